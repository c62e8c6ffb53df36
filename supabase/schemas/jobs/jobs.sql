-- The job table: the only source of truth about a job. Named constraints limit what a row may hold, so that a bug
-- fails at the write and not weeks later. Its triggers are in triggers.sql.
--
-- A trigger (ai_jobs_validate_written_once) checks the constraints of columns that are written once: Postgres parses each
-- check of a table again for every statement, and the steps of a job would pay for checks that they cannot break.

create table public.ai_jobs (
  id uuid not null default private.uuid_v7(),
  user_id uuid not null default auth.uid(),
  job_type text not null,
  status text not null default 'pending',
  progress_percentage integer not null default 0,
  input_url text,
  metadata jsonb not null default '{}',
  output_url text,
  result_data jsonb,
  error_message text,
  error_code text,
  provider text not null default 'internal',
  provider_job_id text,
  stage text,
  attempt integer not null default 0,
  max_attempts integer not null default 1,
  scheduled_at timestamptz not null default now(),
  priority integer not null default 0,
  queue_key bigint,
  lease_token uuid,
  lease_expires_at timestamptz,
  idempotency_key text,
  input_hash text,
  cached_from_job_id uuid,
  depends_on_job_id uuid,
  is_blocked boolean not null default false,
  cancel_requested_at timestamptz,
  retry_requested_at timestamptz,
  spend text not null default 'none',
  billable_calls integer not null default 0,
  cost_micros bigint not null default 0,
  cost_currency text not null default 'USD',
  traceparent text not null default
    '00-' || replace(gen_random_uuid()::text, '-', '') || '-' || left(replace(gen_random_uuid()::text, '-', ''), 16) || '-01',
  event_seq integer not null default 1,
  last_event text not null default 'created',
  created_at timestamptz not null default now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint ai_jobs_pkey primary key (id),
  constraint ai_jobs_id_user_id_key unique (id, user_id),
  constraint ai_jobs_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint ai_jobs_job_type_fkey foreign key (job_type) references public.ai_job_types (job_type),
  constraint ai_jobs_dependency_fkey foreign key (depends_on_job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (depends_on_job_id),
  constraint ai_jobs_cached_from_job_id_fkey
    foreign key (cached_from_job_id) references public.ai_jobs (id) on delete set null,
  constraint ai_jobs_blocked_waits_for_a_job
    check (not is_blocked or (depends_on_job_id is not null and status = 'pending' and queue_key is null)),
  constraint ai_jobs_status_is_known
    check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
  constraint ai_jobs_progress_in_range check (progress_percentage between 0 and 100),
  constraint ai_jobs_progress_is_full_when_completed check (status <> 'completed' or progress_percentage = 100),
  constraint ai_jobs_lease_matches_status
    check ((status = 'processing') = (lease_token is not null) and (lease_token is null) = (lease_expires_at is null)),
  constraint ai_jobs_completed_at_matches_status
    check ((status in ('completed', 'failed', 'cancelled')) = (completed_at is not null)),
  constraint ai_jobs_failed_has_error_code check (status <> 'failed' or error_code is not null),
  constraint ai_jobs_completed_has_no_error
    check (status <> 'completed' or (error_code is null and error_message is null)),
  constraint ai_jobs_result_only_when_completed check (status = 'completed' or (result_data is null and output_url is null)),
  constraint ai_jobs_result_when_completed check (status <> 'completed' or result_data is not null),
  constraint ai_jobs_attempt_within_max check (attempt between 0 and max_attempts),
  constraint ai_jobs_started_when_processing check (status <> 'processing' or started_at is not null),
  constraint ai_jobs_started_after_created check (started_at >= created_at),
  constraint ai_jobs_completed_after_created check (completed_at >= created_at),
  constraint ai_jobs_completed_after_started check (completed_at >= started_at),
  -- Only until the first start: a retry of an old job is scheduled later than this.
  constraint ai_jobs_scheduled_within_a_month
    check (
      started_at is not null or retry_requested_at is not null or scheduled_at <= created_at + interval '31 days'
    ),
  constraint ai_jobs_queue_key_only_when_pending check (queue_key is null or status not in ('processing', 'completed', 'failed', 'cancelled')),
  constraint ai_jobs_spend_is_known check (spend in ('none', 'unknown', 'incurred')),
  constraint ai_jobs_cost_is_not_negative check (cost_micros >= 0 and billable_calls >= 0),
  constraint ai_jobs_event_seq_is_positive check (event_seq >= 1)
)
-- Leaves room for new versions of a row on its page: the steps of a job change no indexed column.
-- Vacuumed after changes to 2 % of it, not 20 %: claims read past the dead entries of the queue's indexes, of which a long
-- history would allow many.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
comment on table public.ai_jobs is
  'One row per requested piece of AI work; the only source of truth about it. Owners insert and read; the queue '
  'functions (service_role) write everything else. Webhooks, caches and Realtime are hints about this table.';
comment on column public.ai_jobs.user_id is 'The owner. Row Level Security hides the row from all other users.';
comment on column public.ai_jobs.status is
  'pending (waiting; a retry is pending with attempt > 0), processing (a worker holds the lease), completed, failed, '
  'cancelled. The last three are final.';
comment on column public.ai_jobs.input_url is
  'An object of this project''s Storage as <bucket>/<path>; the first folder is the owner''s id. Never an external '
  'URL.';
comment on column public.ai_jobs.output_url is 'Object path of the result as <bucket>/<path>; signed when read, never stored signed.';
comment on column public.ai_jobs.metadata is 'Parameters of the job type, as the app sent them.';
comment on column public.ai_jobs.error_code is 'Stable machine-readable cause; the list is docs/error-codes.md.';
comment on column public.ai_jobs.error_message is 'Safe to show to the owner. The cause itself is only in the log.';
comment on column public.ai_jobs.provider_job_id is
  'The provider''s id of the object that it created or is creating; stored before the object is used.';
comment on column public.ai_jobs.provider is
  'The provider of the paid work, set on insert: the job type''s default, or one of its others that metadata names.';
comment on column public.ai_jobs.max_attempts is 'First attempt included; set from the job type as the job is inserted.';
comment on column public.ai_jobs.stage is
  'The last step that the worker reported, for display: fetching_input, calling_provider, …';
comment on column public.ai_jobs.attempt is
  'Attempts started so far: 0 on insert, +1 at each claim, returned by snooze and release.';
comment on column public.ai_jobs.scheduled_at is 'Not before this time. Retry, snooze and backoff move it.';
comment on column public.ai_jobs.priority is
  'Lower runs first; one claim in eight begins with the job that has waited longest instead.';
comment on column public.ai_jobs.queue_key is
  'Turn within job type, provider and priority, set when the job becomes due. The jobs of a user are one turn apart, '
  'so users take turns however many jobs each has. Null: not due yet, or not waiting.';
comment on column public.ai_jobs.spend is
  'Whether money was spent for this job: none, incurred, or unknown while a paid call has no known outcome.';
comment on column public.ai_jobs.cancel_requested_at is
  'Set by the owner to cancel: a waiting job is cancelled immediately, a running one within a heartbeat.';
comment on column public.ai_jobs.retry_requested_at is 'Set by the owner to run a failed job again.';
comment on column public.ai_jobs.lease_token is
  'The fencing token: generated at each claim and sent with every later write; a write with an old token changes 0 '
  'rows.';
comment on column public.ai_jobs.lease_expires_at is
  'By the database''s clock. After this time the sweep requeues the job.';
comment on column public.ai_jobs.idempotency_key is
  'The app''s key, unique per owner: the same key never creates a second job.';
comment on column public.ai_jobs.input_hash is
  'SHA-256 over job type, owner, version of the input object and parameters; the key of the cached result. Never a '
  'value chosen by a user.';
comment on column public.ai_jobs.cached_from_job_id is
  'The earlier job of the same owner whose result this one shares. Checked by the database; a wrong id is dropped.';
comment on column public.ai_jobs.depends_on_job_id is
  'An earlier job of the same owner whose result this one uses. Set on insert, never changed; null once that job is '
  'deleted.';
comment on column public.ai_jobs.is_blocked is
  'The job waits for depends_on_job_id to complete and cannot be claimed before; only the database sets and clears it.';
comment on column public.ai_jobs.billable_calls is
  'Paid provider calls sent for this job, counted before sending: more than 0 means money may have been spent.';
comment on column public.ai_jobs.cost_micros is
  'Cost of the settled calls, in millionths of cost_currency; private.ai_job_costs includes open calls.';
comment on column public.ai_jobs.traceparent is
  'W3C Trace Context of the request that created the job, or one that the database generated. Its trace id is in the '
  'job''s log lines and journal.';
comment on column public.ai_jobs.event_seq is 'Number of the newest row in ai_job_events; raised by the write that causes the event.';
comment on column public.ai_jobs.last_event is 'Name of that event.';

create function private.validate_written_once()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_broken constant text := case
    when jsonb_typeof(new.metadata) <> 'object' then 'ai_jobs_metadata_is_object'
    when octet_length(new.metadata::text) > 65536 then 'ai_jobs_metadata_is_small'
    -- Not as {0,62}, for which Postgres takes ten times as long.
    when new.input_url !~ '^[a-z0-9][a-z0-9_-]*/[^/]+/.*[^/]$' or strpos(new.input_url, '/') > 64
      or new.input_url ~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)' then 'ai_jobs_input_url_is_object_path'
    when new.output_url !~ '^[a-z0-9][a-z0-9_-]*/[^/]+/.*[^/]$' or strpos(new.output_url, '/') > 64
      then 'ai_jobs_output_url_is_object_path'
    when length(new.idempotency_key) not between 1 and 255 then 'ai_jobs_idempotency_key_length'
    when new.max_attempts not between 1 and 100 then 'ai_jobs_max_attempts_in_range'
    when new.priority not between -100 and 100 then 'ai_jobs_priority_in_range'
    when new.cost_currency !~ '^[A-Z]{3}$' then 'ai_jobs_cost_currency_is_iso'
    -- Of hexadecimal digits, and not all zeros. A regular expression for it takes ten times as long.
    when new.traceparent not like '00-________________________________-________________-__'
      or translate(new.traceparent, '0123456789abcdef', '') <> '---'
      or new.traceparent like '00-00000000000000000000000000000000-%' or new.traceparent like '%-0000000000000000-__'
      then 'ai_jobs_traceparent_is_valid'
    when new.depends_on_job_id = new.id then 'ai_jobs_does_not_depend_on_itself'
  end;
begin
  if v_broken is not null then
    raise exception 'new row for relation "ai_jobs" violates check constraint "%"', v_broken
      using errcode = 'check_violation', schema = 'public', table = 'ai_jobs', constraint = v_broken;
  end if;
  return new;
end;
$$;
comment on function private.validate_written_once() is
  'Row trigger: the constraints of those columns of ai_jobs that are written once. An error is that of a check constraint '
  '(23514) and carries the name of the constraint.';

-- Indexes with few distinct keys end with the id: otherwise equal keys form one long list, which every new row
-- version searches.

-- Serve the claim: the next turns, the longest waiting jobs, and the jobs that become due.
create index ai_jobs_turn_idx on public.ai_jobs (job_type, provider, priority, queue_key, scheduled_at, id) include (user_id)
  where status = 'pending' and queue_key is not null;
create index ai_jobs_waiting_idx on public.ai_jobs (job_type, provider, scheduled_at, id) include (user_id)
  where status = 'pending' and queue_key is not null;
create index ai_jobs_scheduled_at_idx on public.ai_jobs (scheduled_at) where status = 'pending' and queue_key is null and not is_blocked;
create index ai_jobs_user_scheduled_at_idx on public.ai_jobs (user_id, scheduled_at)
  where status = 'pending' and queue_key is null and not is_blocked;
-- Serves the next turn of a user.
create index ai_jobs_user_turn_idx on public.ai_jobs (user_id, job_type, provider, priority, queue_key)
  where status = 'pending' and queue_key is not null;
-- Serves the caps and the rescue: running jobs by user and provider. The lease is in no index, so that a heartbeat
-- changes no index.
create index ai_jobs_running_idx on public.ai_jobs (provider, user_id, id) where status = 'processing';
-- Serves the quota of waiting and running jobs.
create index ai_jobs_active_idx on public.ai_jobs (user_id, id) where status in ('pending', 'processing');
-- Serves the owner's list, newest first, with keyset pages.
create index ai_jobs_user_id_created_at_idx on public.ai_jobs (user_id, created_at desc, id desc);
create unique index ai_jobs_user_id_idempotency_key_key on public.ai_jobs (user_id, idempotency_key)
  where idempotency_key is not null;
-- Serves the operator's search, newest first.
create index ai_jobs_job_type_created_at_idx on public.ai_jobs (job_type, created_at desc, id desc);
create index ai_jobs_cached_from_job_id_idx on public.ai_jobs (cached_from_job_id) where cached_from_job_id is not null;
-- Serves the end of a job, which its dependents wait for.
create index ai_jobs_depends_on_job_id_idx on public.ai_jobs (depends_on_job_id, user_id) where depends_on_job_id is not null;
create index ai_jobs_failed_idx on public.ai_jobs (completed_at) where status = 'failed';
-- Serves the limits of voices: waiting and running clones count too.
create index ai_jobs_voice_clones_at_work_idx on public.ai_jobs (provider)
  where job_type = 'voice_clone' and status in ('pending', 'processing');
-- Serves the webhook that names the provider's object.
create index ai_jobs_provider_job_id_idx on public.ai_jobs (provider_job_id)
  where status = 'pending' and provider_job_id is not null;
-- Serve the check that no job needs a file which is to be removed; the owner of the file may have very many jobs.
create index ai_jobs_failed_input_idx on public.ai_jobs (input_url) where status = 'failed';
create index ai_jobs_failed_audio_idx on public.ai_jobs ((metadata ->> 'audio_url')) where status = 'failed';
create index ai_jobs_output_url_idx on public.ai_jobs (output_url) where output_url is not null;
-- Serves the janitor's search for objects of cancelled jobs; ai_jobs_failed_idx serves those of failed ones.
create index ai_jobs_cancelled_idx on public.ai_jobs (completed_at) where status = 'cancelled';

alter table public.ai_jobs enable row level security;

create policy "users can read their own ai jobs"
on public.ai_jobs for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can create ai jobs of their own"
on public.ai_jobs for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can ask to cancel or retry their own ai jobs"
on public.ai_jobs for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));

revoke all on public.ai_jobs from public, anon, authenticated, service_role;
grant select on public.ai_jobs to authenticated;

-- Not id: only the database generates ids. With a chosen id a caller could probe which ids exist, or reuse that of a
-- deleted job, which a provider may still know as the marker of a paid call.
grant insert (
  user_id, job_type, input_url, metadata, idempotency_key, scheduled_at, cached_from_job_id, depends_on_job_id,
  traceparent
) on public.ai_jobs to authenticated;
grant select, insert, update, delete on public.ai_jobs to service_role;
grant update (cancel_requested_at, retry_requested_at) on public.ai_jobs to authenticated;
