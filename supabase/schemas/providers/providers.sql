-- The AI providers, and how many of their jobs may run at the same time.

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
  breaker_poll_failures integer not null default 0,
  breaker_last_error_code text,
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
  constraint ai_providers_breaker_counts_are_not_negative check (
    breaker_failures >= 0 and breaker_poll_failures >= 0 and breaker_probes >= 0
  ),
  constraint ai_providers_breaker_probes_while_open check (
    (breaker_opened_at is null) = (breaker_probe_at is null)
    and (breaker_opened_at is not null or (breaker_probes = 0 and breaker_probe_job_id is null))
  )
);
comment on table public.ai_providers is 'The AI providers: how many of their jobs may run at the same time, and whether they run at all.';
comment on column public.ai_providers.max_concurrent is
  'Most jobs of this provider in processing at any moment, over all workers; never exceeded. Set it to the limit of '
  'your plan.';
comment on column public.ai_providers.budget_micros is
  'Most that paid calls of all users together may cost at this provider in a calendar month (UTC), in millionths of a US '
  'dollar. Null: no limit.';
comment on column public.ai_providers.max_voices is
  'Most voices that the project may have at this provider over all users, including those that unfinished jobs will '
  'create. Set it to the limit of your plan. Null: no limit.';
comment on column public.ai_providers.paused_at is 'Set: its jobs wait, new ones are accepted. See pause_ai_jobs.';
comment on column public.ai_providers.breaker_threshold is
  'This many consecutive failures of submissions, or of polls, open the provider''s breaker: its jobs wait. Null: never. Keep it above a job''s '
  'attempts, so that one job alone cannot open it.';
comment on column public.ai_providers.breaker_pause_seconds is
  'Wait before the first probe; doubled by each failed probe.';
comment on column public.ai_providers.breaker_max_pause_seconds is
  'Longest wait between two probes, and so the longest time until a recovery is noticed.';
comment on column public.ai_providers.breaker_failures is
  'Consecutive failures of submissions since the last normal response to one: paid calls, what prepares them, and '
  'queries about their outcome.';
comment on column public.ai_providers.breaker_poll_failures is
  'Consecutive failures of polls since the last normal response to one: calls about paid work that the provider has '
  'accepted.';
comment on column public.ai_providers.breaker_last_error_code is 'The code of the last failure that was counted.';
comment on column public.ai_providers.breaker_opened_at is 'Set while the breaker is open: since when.';
comment on column public.ai_providers.breaker_probe_at is 'When the next probe may start.';
comment on column public.ai_providers.breaker_probes is 'Probes that have failed since it opened.';
comment on column public.ai_providers.breaker_probe_job_id is
  'The job that is the last probe; while it is in processing, no other probe starts. No foreign key: the job may be '
  'deleted.';

alter table public.ai_providers enable row level security;
revoke all on public.ai_providers from public, anon, authenticated, service_role;
grant select, insert, update on public.ai_providers to service_role;

insert into public.ai_providers (provider, max_concurrent)
values ('elevenlabs', 10), ('d-id', 10), ('heygen', 10), ('internal', 20);

create trigger ai_providers_touch_updated_at
before update on public.ai_providers
for each row execute function private.touch_updated_at();
