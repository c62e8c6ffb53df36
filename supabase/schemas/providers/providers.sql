-- The AI providers: who does the paid work, and how much of it at once.

create table public.ai_providers (
  provider text not null,
  max_concurrent integer not null,
  budget_micros bigint,
  max_voices integer,
  paused_at timestamptz,
  breaker_threshold integer default 10,
  breaker_pause_seconds integer not null default 5,
  breaker_max_pause_seconds integer not null default 30,
  breaker_failures integer not null default 0,
  breaker_opened_at timestamptz,
  breaker_probe_at timestamptz,
  breaker_probes integer not null default 0,
  breaker_probe_job_id uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint ai_providers_pkey primary key (provider),
  constraint ai_providers_provider_is_slug check (provider ~ '^[a-z][a-z0-9-]{1,40}$'),
  constraint ai_providers_max_concurrent_in_range check (max_concurrent between 1 and 10000),
  constraint ai_providers_budget_is_not_negative check (budget_micros >= 0),
  constraint ai_providers_max_voices_is_not_negative check (max_voices >= 0),
  constraint ai_providers_breaker_threshold_in_range check (breaker_threshold between 1 and 10000),
  constraint ai_providers_breaker_pause_in_range check (
    breaker_pause_seconds between 1 and 3600 and breaker_max_pause_seconds between breaker_pause_seconds and 3600
  ),
  constraint ai_providers_breaker_counts_are_not_negative check (breaker_failures >= 0 and breaker_probes >= 0),
  constraint ai_providers_breaker_probes_while_open check (
    (breaker_opened_at is null) = (breaker_probe_at is null)
    and (breaker_opened_at is not null or (breaker_probes = 0 and breaker_probe_job_id is null))
  )
);
comment on table public.ai_providers is 'The AI providers: how many of their jobs may run at once, and whether they run at all.';
comment on column public.ai_providers.max_concurrent is
  'Most jobs of this provider in processing at any moment, over all workers; never exceeded by one. Set it to your plan.';
comment on column public.ai_providers.budget_micros is
  'Most that paid calls of all users together may cost at this provider in a calendar month (UTC), in millionths of a US '
  'dollar. Null: no limit.';
comment on column public.ai_providers.max_voices is
  'Most voices that the project may have at this provider, over all users; with jobs that are still to make one. Set it to '
  'the places of your plan. Null: no limit.';
comment on column public.ai_providers.paused_at is 'Set: its jobs wait, new ones are accepted. See pause_ai_jobs.';
comment on column public.ai_providers.breaker_threshold is
  'So many failures of the provider one after the other open its breaker: its jobs wait. Null: never. More than a job''s '
  'attempts, so that one job alone cannot do it.';
comment on column public.ai_providers.breaker_pause_seconds is 'Wait before the first probe; doubled with each probe that fails.';
comment on column public.ai_providers.breaker_max_pause_seconds is
  'Longest wait between two probes, and so the longest that a recovery goes unnoticed.';
comment on column public.ai_providers.breaker_failures is 'Failures of the provider since it last answered properly.';
comment on column public.ai_providers.breaker_opened_at is 'Set: the breaker is open, since then.';
comment on column public.ai_providers.breaker_probe_at is 'When the next single job may be tried.';
comment on column public.ai_providers.breaker_probes is 'Probes that have failed since it opened.';
comment on column public.ai_providers.breaker_probe_job_id is
  'The job that was let through last; while it is in processing no other is. No foreign key: it may be deleted.';

alter table public.ai_providers enable row level security;
revoke all on public.ai_providers from public, anon, authenticated, service_role;
grant select, insert, update on public.ai_providers to service_role;

insert into public.ai_providers (provider, max_concurrent)
values ('elevenlabs', 10), ('d-id', 10), ('heygen', 10), ('internal', 20);

create trigger ai_providers_touch_updated_at
before update on public.ai_providers
for each row execute function private.touch_updated_at();
