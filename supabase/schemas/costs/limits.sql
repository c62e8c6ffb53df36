-- What a user may have and spend. The table is created after ai_jobs: the rows of a deleted account are deleted in
-- the order in which the foreign keys were created, and jobs are locked before limits everywhere.

create table public.ai_limits (
  id uuid not null default private.uuid_v7(),
  user_id uuid,
  max_active_jobs integer,
  max_jobs_per_day integer,
  max_concurrent_jobs integer,
  max_voices integer,
  max_unused_uploads integer,
  max_unused_upload_bytes bigint,
  requires_established_account boolean,
  paused_at timestamptz,
  active_jobs_at_most integer not null default 0,
  counted_on date not null default (now() at time zone 'UTC')::date,
  jobs_that_day integer not null default 0,
  budget_micros bigint,
  budget_month date not null default date_trunc('month', now() at time zone 'UTC')::date,
  spent_micros bigint not null default 0,
  reserved_micros bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint ai_limits_pkey primary key (id),
  constraint ai_limits_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint ai_limits_user_id_key unique nulls not distinct (user_id),
  constraint ai_limits_are_not_negative check (
    max_active_jobs >= 0 and max_jobs_per_day >= 0 and max_concurrent_jobs >= 0 and max_voices >= 0
    and max_unused_uploads >= 0 and max_unused_upload_bytes >= 0
  ),
  constraint ai_limits_counts_are_not_negative check (active_jobs_at_most >= 0 and jobs_that_day >= 0),
  constraint ai_limits_budget_is_not_negative check (budget_micros >= 0 and spent_micros >= 0 and reserved_micros >= 0),
  constraint ai_limits_default_is_complete check (
    user_id is not null
    or (
      max_active_jobs is not null and max_jobs_per_day is not null and max_concurrent_jobs is not null
      and requires_established_account is not null and max_unused_uploads is not null
      and max_unused_upload_bytes is not null
    )
  )
);
comment on table public.ai_limits is
  'What a user may have and spend. The row without a user holds the default limits for all others.';
comment on column public.ai_limits.max_active_jobs is 'Most jobs waiting or in processing at the same time. Null: the default.';
comment on column public.ai_limits.max_jobs_per_day is 'Most jobs created in one day (UTC). Null: the default.';
comment on column public.ai_limits.max_concurrent_jobs is 'Most jobs in processing at the same time. Null: the default.';
comment on column public.ai_limits.max_voices is
  'Most cloned voices, including those that unfinished jobs will create. Null: the default; null there: no limit.';
comment on column public.ai_limits.max_unused_uploads is
  'Most unused upload URLs and stored files that no row names, together. Null: the default.';
comment on column public.ai_limits.max_unused_upload_bytes is
  'Most bytes of those, as declared or as stored. Null: the default.';
comment on column public.ai_limits.requires_established_account is
  'True: paid jobs only for an account whose e-mail address or phone number is confirmed and that is an hour old. Null: the '
  'default.';
comment on column public.ai_limits.paused_at is 'Set: the user''s jobs wait. See pause_ai_jobs.';
comment on column public.ai_limits.active_jobs_at_most is
  'An upper bound of the jobs waiting or in processing. New jobs raise it, but ended jobs do not lower it: otherwise '
  'all jobs of a user would wait for one row. It is made exact before it refuses a job.';
comment on column public.ai_limits.jobs_that_day is 'Jobs created on counted_on.';
comment on column public.ai_limits.budget_micros is
  'Most that paid calls of the user may cost in a calendar month (UTC), in millionths of a US dollar. Null: the default; '
  'null there: no limit.';
comment on column public.ai_limits.budget_month is 'First day of the month that spent_micros counts.';
comment on column public.ai_limits.spent_micros is
  'Cost of the paid calls that were settled in budget_month; in a later month it counts as 0.';
comment on column public.ai_limits.reserved_micros is
  'Estimated cost of the paid calls that are in flight or have an unknown outcome, regardless of when they were sent.';

-- Serves each claim: the few users whose jobs may not start.
create index ai_limits_blocked_idx on public.ai_limits (user_id)
  where user_id is not null and (paused_at is not null or max_concurrent_jobs = 0);

alter table public.ai_limits enable row level security;

create policy "users can read the default limits and their own"
on public.ai_limits for select to authenticated
using (user_id is null or user_id = (select auth.uid()));

revoke all on public.ai_limits from public, anon, authenticated, service_role;
grant select on public.ai_limits to authenticated;
grant select, insert, update on public.ai_limits to service_role;

insert into public.ai_limits (
  user_id, max_active_jobs, max_jobs_per_day, max_concurrent_jobs, max_unused_uploads, max_unused_upload_bytes,
  requires_established_account
)
values (null, 25000, 50000, 10, 500, 2147483648, false);

create trigger ai_limits_touch_updated_at
before update on public.ai_limits
for each row execute function private.touch_updated_at();
