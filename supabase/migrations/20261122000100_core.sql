-- The module core: jobs, providers, costs, Storage, media, voices and the janitor.
-- Written by `deno task db:baseline` from supabase/schemas. Not to be edited: change the schema file.

-- ===== supabase/schemas/foundation.sql

-- Extensions, the schema private, which the API never exposes, and default privileges that grant nothing. Everything else
-- builds on this.

create extension if not exists pgcrypto with schema extensions;

create extension if not exists supabase_vault with schema vault;

create extension if not exists pg_net with schema extensions;

create extension if not exists pg_cron with schema pg_catalog;

-- PostgreSQL lets everyone execute a new function by default. Here each function names its callers.
alter default privileges revoke execute on functions from public;

create schema if not exists private;
comment on schema private is
  'Functions and tables of the service itself. Not exposed by the Data API and not usable by API roles.';
revoke all on schema private from public, anon, authenticated, service_role;

create function private.touch_updated_at()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end;
$$;
comment on function private.touch_updated_at() is
  'Row trigger: sets updated_at to the time of the write. Shared by every table that has the column.';

create function private.uuid_v7()
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return encode(
    -- A random UUID has the version 4 (0100): the bits 52 and 53, counted from the least of each byte, make it 7 (0111).
    set_bit(
      set_bit(
        overlay(
          uuid_send(gen_random_uuid())
          placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6
        ),
        52, 1
      ),
      53, 1
    ),
    'hex'
  )::uuid;
end;
$$;
comment on function private.uuid_v7() is
  'A UUID of version 7 (RFC 9562): 48 bits of the time in milliseconds, then 74 random bits. The default of ids, because '
  'new entries of an index are then neighbours: with random ids, each of them changes another page of a large index.';
-- Defaults run with the rights of the role that inserts. Without usage of the schema, a role cannot call it by name.
grant execute on function private.uuid_v7() to authenticated, service_role;

-- ===== supabase/schemas/data/mime_types.sql

-- Content types: one canonical name for each format. Browsers, phones and Storage send the same format under several
-- names, and with parameters (audio/webm;codecs=opus).

create function private.canonical_mime_type(p_content_type text)
returns text
-- In SQL it would be planned again for each recording.
language plpgsql
immutable
security invoker
parallel safe
set search_path = ''
as $$
declare
  v_name constant text := lower(btrim(split_part(p_content_type, ';', 1), E' \t\r\n'));
begin
  return case v_name
    when 'audio/mp3' then 'audio/mpeg'
    when 'audio/mpeg3' then 'audio/mpeg'
    when 'audio/mpg' then 'audio/mpeg'
    when 'audio/mpga' then 'audio/mpeg'
    when 'audio/x-mp3' then 'audio/mpeg'
    when 'audio/x-mpeg' then 'audio/mpeg'
    when 'audio/x-mpeg-3' then 'audio/mpeg'
    when 'audio/vnd.wave' then 'audio/wav'
    when 'audio/wave' then 'audio/wav'
    when 'audio/x-pn-wav' then 'audio/wav'
    when 'audio/x-wav' then 'audio/wav'
    when 'audio/m4a' then 'audio/mp4'
    when 'audio/mp4a-latm' then 'audio/mp4'
    when 'audio/x-m4a' then 'audio/mp4'
    when 'audio/x-mp4' then 'audio/mp4'
    when 'audio/aacp' then 'audio/aac'
    when 'audio/vnd.dlna.adts' then 'audio/aac'
    when 'audio/x-aac' then 'audio/aac'
    when 'audio/x-hx-aac-adts' then 'audio/aac'
    when 'application/ogg' then 'audio/ogg'
    when 'audio/opus' then 'audio/ogg'
    when 'audio/vorbis' then 'audio/ogg'
    when 'audio/x-ogg' then 'audio/ogg'
    when 'video/ogg' then 'audio/ogg'
    when 'audio/x-flac' then 'audio/flac'
    when 'audio/x-aiff' then 'audio/aiff'
    when 'audio/3gp' then 'audio/3gpp'
    when 'audio/3gpp2' then 'audio/3gpp'
    when 'audio/amr-wb' then 'audio/amr'
    when 'audio/x-amr' then 'audio/amr'
    when 'video/x-m4v' then 'video/mp4'
    when 'video/3gp' then 'video/3gpp'
    when 'video/3gpp2' then 'video/3gpp'
    when 'image/jpg' then 'image/jpeg'
    when 'image/pjpeg' then 'image/jpeg'
    when 'image/x-png' then 'image/png'
    when 'application/x-pdf' then 'application/pdf'
    else nullif(v_name, '')
  end;
end;
$$;
comment on function private.canonical_mime_type(text) is
  'The canonical name of a content type: lower case, without parameters, synonyms replaced. An unknown type keeps its '
  'name; null for null or an empty text. Equal to canonicalMimeType in _shared/contracts/mime-type.ts.';

-- ===== supabase/schemas/data/visible_text.sql

-- Whether a text has visible characters.

create function private.has_visible_text(p_text text)
returns boolean
-- In SQL it would be planned again for each text.
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return p_text ~ (
    '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f'
    || '\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a'
    || '\U000e0000-\U000e0fff]'
  );
end;
$$;
comment on function private.has_visible_text(text) is
  'Whether a text has a visible character: not a space, not a control character, and not one that Unicode ignores by '
  'default (Default_Ignorable_Code_Point), such as a joiner, a direction mark or a filler. Equal to VISIBLE in '
  '_shared/contracts/plain-text.ts; a test compares the two character by character.';

-- ===== supabase/schemas/data/text_length.sql

-- The error for a text that an app writes directly into a table and that is too long or empty.

create function private.refuse_text_length()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  raise exception '% must have % to % characters; it has %',
    tg_argv[0], tg_argv[1], tg_argv[2], length(to_jsonb(new) ->> tg_argv[0])
    using errcode = 'AJ077', detail = tg_argv[0];
end;
$$;
comment on function private.refuse_text_length() is
  'Row trigger for a text of the wrong length: raises AJ077 with the column, the limits and the length. Arguments: column, '
  'least and most characters; the trigger''s condition compares them. The table''s constraint has the same limits, but its '
  'error names only the constraint.';

-- ===== supabase/schemas/providers/providers.sql

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

-- ===== supabase/schemas/jobs/job_types.sql

-- Policy per job type, as rows: accepted input, provider, attempts and times. An operator changes a row; no
-- deployment is needed.

create table public.ai_job_types (
  job_type text not null,
  provider text not null,
  other_providers text[] not null default '{}',
  worker text not null default 'process-ai-job',
  is_enabled boolean not null default true,
  paused_at timestamptz,
  max_attempts integer not null default 5,
  lease_seconds integer not null default 10,
  backoff_base_seconds integer not null default 2,
  backoff_max_seconds integer not null default 300,
  reconcile_seconds integer not null default 60,
  max_age_seconds integer not null default 86400,
  is_input_required boolean not null default true,
  input_name text not null default 'input',
  input_buckets text[] not null default '{}',
  input_mime_types text[] not null default '{}',
  input_max_bytes bigint not null default 10485760,
  cache_ttl_seconds integer not null default 86400,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  stock_voice_ids text[] not null default '{}',
  hooks text[] not null default '{}',
  constraint ai_job_types_pkey primary key (job_type),
  constraint ai_job_types_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_job_types_other_providers_are_others check (provider <> all (other_providers)),
  constraint ai_job_types_job_type_is_slug check (job_type ~ '^[a-z][a-z0-9_]{1,62}$'),
  constraint ai_job_types_worker_is_slug check (worker ~ '^[a-z][a-z0-9-]{1,62}$'),
  constraint ai_job_types_max_attempts_in_range check (max_attempts between 1 and 25),
  constraint ai_job_types_lease_in_range check (lease_seconds between 3 and 300),
  constraint ai_job_types_backoff_in_range check (
    backoff_base_seconds between 1 and 3600 and backoff_max_seconds between backoff_base_seconds and 86400
  ),
  constraint ai_job_types_reconcile_in_range check (reconcile_seconds between 0 and 86400),
  constraint ai_job_types_max_age_in_range check (max_age_seconds between 60 and 2678400),
  constraint ai_job_types_input_name_is_word check (input_name ~ '^[a-z]{2,30}$'),
  constraint ai_job_types_input_size_in_range check (input_max_bytes between 1 and 5368709120),
  constraint ai_job_types_cache_ttl_in_range check (cache_ttl_seconds between 0 and 2592000),
  constraint ai_job_types_hooks_are_known check (hooks <@ array['check', 'can_reuse']),
  constraint ai_job_types_stock_voice_ids_are_complete check (array_position(stock_voice_ids, null) is null)
);
comment on table public.ai_job_types is
  'One row per job type: the policy that the database enforces and the workers follow. Rows, not constants in code.';
comment on column public.ai_job_types.provider is
  'The default provider of the paid work: elevenlabs, d-id, heygen, or internal.';
comment on column public.ai_job_types.other_providers is
  'The other providers that a job may name in metadata.provider; such a job counts towards that provider''s cap.';
comment on column public.ai_job_types.worker is
  'The Edge Function that runs jobs of the type. Work that needs much CPU time or memory has a separate function: when '
  'the platform kills one of its isolates, no paid call is interrupted.';
comment on column public.ai_job_types.is_enabled is
  'False refuses new jobs of the type (AJ002) and leaves waiting ones unclaimed.';
comment on column public.ai_job_types.paused_at is 'Set: jobs of the type wait, new ones are accepted. See pause_ai_jobs.';
comment on column public.ai_job_types.max_attempts is 'Attempts in all, the first one included.';
comment on column public.ai_job_types.lease_seconds is
  'How long a claim is valid without a heartbeat; the worker sends one every third of it.';
comment on column public.ai_job_types.backoff_base_seconds is
  'Wait before attempt n+1: base × 2^(n-1) seconds, up to backoff_max_seconds, ±20 % jitter.';
comment on column public.ai_job_types.reconcile_seconds is
  'How long the provider''s listing may lag after a paid call with an unknown outcome. An empty lookup counts as '
  '"nothing was created" only after this time.';
comment on column public.ai_job_types.max_age_seconds is
  'How long after its first start a job may be released, snoozed or retried; then it fails (job_expired).';
comment on column public.ai_job_types.input_name is
  'What error messages call the object that input_url names: recording or photo.';
comment on column public.ai_job_types.input_buckets is 'Storage buckets that input_url may name.';
comment on column public.ai_job_types.input_mime_types is
  'Content types that the input object may have, by their canonical names: audio/wav also stands for audio/x-wav.';
comment on column public.ai_job_types.cache_ttl_seconds is
  'How long an equal request of the same owner is answered from the earlier result; 0 disables that.';
comment on column public.ai_job_types.stock_voice_ids is
  'Ids of the provider''s voices that every user may use. Every other voice must belong to the owner: all users share '
  'one account at the provider.';
comment on column public.ai_job_types.hooks is
  'The optional functions of the type. check: private.check_<job_type>(public.ai_jobs) raises when a new job may not '
  'be accepted. can_reuse: private.can_reuse_<job_type>(public.ai_jobs) says whether the product of a completed job '
  'still exists.';

create index ai_job_types_provider_idx on public.ai_job_types (provider);

alter table public.ai_job_types enable row level security;

create policy "signed-in users can read the enabled job types"
on public.ai_job_types for select to authenticated
using (is_enabled);

revoke all on public.ai_job_types from public, anon, authenticated, service_role;
grant select on public.ai_job_types to authenticated;
grant select, insert, update on public.ai_job_types to service_role;

create function private.name_input_mime_types()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.input_mime_types := array(
    select private.canonical_mime_type(t.name)
    from unnest(new.input_mime_types) with ordinality as t (name, number)
    group by 1
    order by min(t.number)
  );
  return new;
end;
$$;
comment on function private.name_input_mime_types() is
  'Row trigger: stores the content types of a job type under their canonical names, each once, because inputs are '
  'compared with these. Security definer because the service may not use schema private.';

create trigger ai_job_types_touch_updated_at
before update on public.ai_job_types
for each row execute function private.touch_updated_at();

create trigger ai_job_types_name_input_mime_types
before insert or update of input_mime_types on public.ai_job_types
for each row execute function private.name_input_mime_types();

-- ===== supabase/schemas/jobs/jobs.sql

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

-- ===== supabase/schemas/jobs/events.sql

-- The timeline of a job. Written by statement triggers, so that no path that changes a job can forget it, and one
-- statement over 5,000 jobs costs one insert here. A write that carries more than one change adds the events of the others.

create table public.ai_job_events (
  job_id uuid not null,
  seq integer not null,
  user_id uuid not null,
  event text not null,
  attempt integer not null,
  data jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  constraint ai_job_events_pkey primary key (job_id, seq),
  constraint ai_job_events_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  constraint ai_job_events_event_is_known check (event in (
    'created', 'claimed', 'progress', 'submitted', 'settled', 'snoozed', 'retried', 'released', 'rescued', 'unblocked',
    'cancel_requested', 'retry_requested', 'completed', 'failed', 'cancelled'
  ))
);
comment on table public.ai_job_events is
  'Append-only timeline, numbered per job from 1 without a gap, for debugging and for clients that resume.';
comment on column public.ai_job_events.seq is 'Equals ai_jobs.event_seq at the write that caused the event.';
comment on column public.ai_job_events.user_id is
  'The job''s owner, copied by the triggers so that the policy needs no join. No foreign key: the row is deleted with '
  'its job, and a check at each event would lock the user''s row.';
comment on column public.ai_job_events.event is
  'What happened; docs/job-lifecycle.md lists which function writes which event.';

alter table public.ai_job_events enable row level security;

create policy "users can read the events of their own ai jobs"
on public.ai_job_events for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_job_events from public, anon, authenticated, service_role;
grant select on public.ai_job_events to authenticated;
grant select on public.ai_job_events to service_role;

create function private.carried_changes(p_items jsonb)
returns text
-- plpgsql rather than sql, which Postgres would plan again for each call.
language plpgsql
immutable
security invoker
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  -- One item is passed on without its large values. To take it apart would start a statement.
  if jsonb_array_length(p_items) = 1 then
    return (p_items #- '{0,result_data}' #- '{0,product}')::text;
  end if;
  return (
    select coalesce(jsonb_agg(to_jsonb(i)), '[]')::text
    from jsonb_to_recordset(p_items) as i (job_id uuid, progress integer, report_progress integer, report_stage text)
  );
end;
$$;
comment on function private.carried_changes(jsonb) is
  'What the items of a write carry besides its own change: a settlement (progress) and a report (report_progress, '
  'report_stage). The write sets it as private.carried_changes for its update of ai_jobs.';

-- ===== supabase/schemas/jobs/live_progress.sql

-- Live progress: each new event of the timeline is also broadcast to its owner by Realtime. The table is
-- authoritative and the broadcast only a hint to read it: a client that misses one continues from the last number
-- that it has seen.

create policy "users can receive the events of their own ai jobs"
on realtime.messages for select to authenticated
using (
  extension = 'broadcast'
  and (select realtime.topic()) = 'ai_jobs:' || (select auth.uid())::text
);

create function private.broadcast_ai_job_events()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_owner record;
begin
  -- Realtime creates the partition of the day when a client connects. Without one nobody listens, and each send would
  -- write a warning to the log.
  if to_regclass('realtime.messages_' || to_char(now() at time zone 'UTC', 'YYYY_MM_DD')) is null then
    return null;
  end if;
  for v_owner in
    select i.user_id,
      case
        when count(*) > 100 then jsonb_build_object('more', true)
        else jsonb_build_object('events', jsonb_agg(jsonb_build_object(
          'job_id', i.job_id,
          'seq', i.seq,
          'event', i.event,
          'attempt', i.attempt,
          'data', i.data,
          'created_at', i.created_at
        ) order by i.job_id, i.seq))
      end as payload
    from inserted as i
    group by i.user_id
  loop
    perform realtime.send(v_owner.payload, 'ai_job_events', 'ai_jobs:' || v_owner.user_id, true);
  end loop;
  return null;
exception when others then
  -- The job matters more than the hint.
  raise warning 'ai_job_events are not broadcast: %', sqlerrm;
  return null;
end;
$$;
comment on function private.broadcast_ai_job_events() is
  'Statement trigger: one private broadcast ai_job_events for each owner, on the topic ai_jobs:<user id>, with '
  '{events: [...]} of at most 100 events, else {more: true}. Does nothing while no client is connected to Realtime, '
  'and never fails the statement. Security definer because the roles that change jobs may not write to other users'' '
  'topics.';

create trigger ai_job_events_after_insert_broadcast
after insert on public.ai_job_events referencing new table as inserted
for each statement execute function private.broadcast_ai_job_events();

-- ===== supabase/schemas/janitor/settings.sql

-- Settings of the janitor, and how far its scans have come.

create table private.janitor_settings (
  id integer not null default 1,
  orphan_grace_seconds integer not null default 86400,
  failed_grace_seconds integer not null default 604800,
  scan_interval_seconds integer not null default 21600,
  operator_action_days integer default 730,
  ended_job_days integer,
  cancelled_done_until timestamptz not null default '-infinity',
  failed_done_until timestamptz not null default '-infinity',
  file_scan_bucket text,
  file_scan_name text,
  file_scan_done_at timestamptz not null default '-infinity',
  constraint janitor_settings_pkey primary key (id),
  constraint janitor_settings_is_one_row check (id = 1),
  constraint janitor_settings_are_not_negative check (
    orphan_grace_seconds >= 0 and failed_grace_seconds >= 0 and scan_interval_seconds >= 0
  ),
  constraint janitor_settings_days_are_positive check (operator_action_days >= 1 and ended_job_days >= 1),
  constraint janitor_settings_file_scan_is_whole check ((file_scan_bucket is null) = (file_scan_name is null))
);
comment on table private.janitor_settings is
  'One row: how long the janitor waits before it removes what no row names, and how far its scan of ended jobs has '
  'come.';
comment on column private.janitor_settings.orphan_grace_seconds is
  'How long these are kept before they are removed: objects at a provider with our marker that no row names, leftovers '
  'of a cancelled job, and files without an account or job. Also how long an outcome must be unknown before an empty '
  'lookup by marker counts.';
comment on column private.janitor_settings.failed_grace_seconds is
  'How long leftovers of a failed job are kept: a retry uses them instead of paying again.';
comment on column private.janitor_settings.scan_interval_seconds is
  'Time between two scans of a provider''s complete list, and of all objects in our buckets.';
comment on column private.janitor_settings.operator_action_days is
  'How many days private.operator_actions keeps an action; null keeps all.';
comment on column private.janitor_settings.ended_job_days is
  'How many days an ended job is kept, with its timeline, journal and files that no other row refers to; null keeps all.';
comment on column private.janitor_settings.cancelled_done_until is
  'Leftovers of jobs cancelled before this time are queued.';
comment on column private.janitor_settings.failed_done_until is
  'Leftovers of jobs that failed before this time are queued.';
comment on column private.janitor_settings.file_scan_bucket is
  'The bucket that is being scanned for files without an account or job; null between two scans.';
comment on column private.janitor_settings.file_scan_name is 'The last object that was scanned in it.';
comment on column private.janitor_settings.file_scan_done_at is 'When the last scan of our buckets ended.';

alter table private.janitor_settings enable row level security;
revoke all on private.janitor_settings from public, anon, authenticated, service_role;

insert into private.janitor_settings default values;

-- ===== supabase/schemas/janitor/removals.sql

-- Objects outside of the database whose row is deleted: files in Storage and objects at providers. SQL cannot delete
-- them, so the transaction that deletes the row records them here for the janitor.

create table private.storage_removals (
  id bigint not null generated always as identity,
  object_path text not null,
  user_id uuid not null,
  reason text not null,
  requested_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  last_error_code text,
  outcome text,
  done_at timestamptz,
  constraint storage_removals_pkey primary key (id),
  constraint storage_removals_outcome_is_known check (outcome in ('removed', 'replaced')),
  constraint storage_removals_done_has_outcome check ((done_at is null) = (outcome is null))
);
comment on table private.storage_removals is
  'Objects in Storage to remove: their row or owner was deleted, or a job without a result left them. The janitor '
  'removes those that claim_storage_removals leases to it.';
comment on column private.storage_removals.object_path is 'As <bucket>/<path>.';
comment on column private.storage_removals.user_id is
  'The owner of the object. Not a foreign key: the account may be deleted.';
comment on column private.storage_removals.reason is
  'The table whose row named it; users when the account was deleted; job_leftovers; or no_account when its folder '
  'belongs to no account.';
comment on column private.storage_removals.attempts is
  'Removals started. Never given up: with five attempts and an error it is reported as failing.';
comment on column private.storage_removals.next_attempt_at is
  'Not before this time. During a removal: when to retry if it never ends.';
comment on column private.storage_removals.lease_token is
  'The run that removes it. A result with another token changes nothing.';
comment on column private.storage_removals.outcome is
  'removed, or replaced: the owner has since stored another object there, which stays.';
comment on column private.storage_removals.done_at is 'When Storage was found not to have the object any more.';

create unique index storage_removals_object_path_key on private.storage_removals (object_path) where done_at is null;
create index storage_removals_next_attempt_at_idx on private.storage_removals (next_attempt_at) where done_at is null;
create index storage_removals_done_at_idx on private.storage_removals (done_at) where done_at is not null;

alter table private.storage_removals enable row level security;
revoke all on private.storage_removals from public, anon, authenticated, service_role;

create table private.provider_removals (
  id bigint not null generated always as identity,
  provider text not null,
  object_type text not null,
  provider_object_id text,
  marker text,
  job_id uuid,
  made_at timestamptz,
  requested_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  last_error_code text,
  outcome text,
  done_at timestamptz,
  constraint provider_removals_pkey primary key (id),
  constraint provider_removals_outcome_is_known check (outcome in ('removed', 'absent')),
  constraint provider_removals_done_has_outcome check ((done_at is null) = (outcome is null)),
  constraint provider_removals_can_be_found check (provider_object_id is not null or marker is not null)
);
comment on table private.provider_removals is
  'Objects at providers that no row names any more, such as a voice that occupies a place of the plan, or a rendered '
  'video.';
comment on column private.provider_removals.object_type is 'voice, a type in provider_references, or the operation of a journalled call.';
comment on column private.provider_removals.provider_object_id is
  'The provider''s id; null if its response never arrived.';
comment on column private.provider_removals.marker is
  'The marker (job:<id>) by which the provider finds the object of a call whose outcome was unknown.';
comment on column private.provider_removals.job_id is
  'The job that made it. Not a foreign key: the job may be deleted, and this row shows that it was ours.';
comment on column private.provider_removals.made_at is
  'When the call was sent: narrows a lookup where the provider has no direct one.';
comment on column private.provider_removals.attempts is
  'Removals started. Never given up: with five attempts and an error it is reported as failing.';
comment on column private.provider_removals.next_attempt_at is
  'Not before this time. During a removal: when to retry if it never ends.';
comment on column private.provider_removals.lease_token is
  'The run that removes it. A result with another token changes nothing.';
comment on column private.provider_removals.outcome is
  'removed (or already gone), or absent: the marker never found anything.';
comment on column private.provider_removals.done_at is 'When the provider was found not to have it any more.';

create unique index provider_removals_object_key on private.provider_removals (
  provider, coalesce(provider_object_id, marker)
) where done_at is null;
create index provider_removals_id_idx on private.provider_removals (id) where done_at is null;
create index provider_removals_next_attempt_at_idx on private.provider_removals (next_attempt_at) where done_at is null;
create index provider_removals_job_id_idx on private.provider_removals (job_id) where job_id is not null;
create index provider_removals_object_id_idx on private.provider_removals (provider, provider_object_id);

alter table private.provider_removals enable row level security;
revoke all on private.provider_removals from public, anon, authenticated, service_role;

create table private.former_ai_jobs (
  job_id uuid not null,
  deleted_at timestamptz not null default now(),
  constraint former_ai_jobs_pkey primary key (job_id)
);
comment on table private.former_ai_jobs is
  'Deleted jobs that had a paid call: an object with the marker of one of them was made here, and not by another '
  'installation that shares the account.';

alter table private.former_ai_jobs enable row level security;
revoke all on private.former_ai_jobs from public, anon, authenticated, service_role;

create function private.record_storage_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_column text := tg_argv[0];
  v_path text := to_jsonb(old) ->> v_column;
begin
  if v_path is not null and (tg_op = 'DELETE' or v_path is distinct from to_jsonb(new) ->> v_column) then
    insert into private.storage_removals (object_path, user_id, reason)
    values (v_path, old.user_id, tg_table_name)
    -- Requested again: the reason to keep it may no longer apply, and the object to remove is the current one.
    on conflict (object_path) where done_at is null do update
    set requested_at = excluded.requested_at, next_attempt_at = excluded.next_attempt_at;
  end if;
  return null;
end;
$$;
comment on function private.record_storage_removal() is
  'Row trigger: queues the removal of the object that the column (first argument) of a deleted or changed row named. '
  'Security definer because no role has rights in schema private.';

create function private.record_provider_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_column text := tg_argv[1];
begin
  if old.provider <> 'internal' then
    insert into private.provider_removals (provider, object_type, provider_object_id, job_id)
    values (old.provider, tg_argv[0], to_jsonb(old) ->> v_column, old.job_id)
    on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;
  end if;
  return null;
end;
$$;
comment on function private.record_provider_removal() is
  'Row trigger: queues the removal of what a provider made for the deleted row. Arguments: the object type, and the '
  'column with its id. Security definer because no role has rights in schema private.';

create function private.record_provider_call_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.former_ai_jobs (job_id) values (old.job_id) on conflict do nothing;
  -- A call that was refused or created nothing leaves nothing; an object with its own row is removed with that row.
  if old.provider = 'internal' or old.outcome in ('rejected', 'absent')
    or (
      old.provider_object_id is not null
      and exists (select 1 from private.provider_rows(old.provider, old.provider_object_id))
    ) then
    return null;
  end if;
  insert into private.provider_removals (
    provider, object_type, provider_object_id, marker, job_id, made_at, next_attempt_at
  )
  values (
    old.provider, old.operation, old.provider_object_id,
    case when old.provider_object_id is null then 'job:' || old.job_id end,
    old.job_id, old.sent_at,
    -- A call in flight would be queried too early. For a deleted account it is queried immediately, and again until the
    -- grace period is over.
    case
      when old.provider_object_id is null and exists (select 1 from auth.users as u where u.id = old.user_id)
      then now() + make_interval(secs => (select s.orphan_grace_seconds from private.janitor_settings as s))
      else now()
    end
  )
  on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;
  return null;
end;
$$;
comment on function private.record_provider_call_removal() is
  'Row trigger on the journal of paid calls: a job that is deleted between the call and its result leaves an object at '
  'the provider that no other row names. Security definer because no role has rights in schema private.';

-- ===== supabase/schemas/data/media.sql

-- Files that users upload.

create table public.media (
  id uuid not null default private.uuid_v7(),
  user_id uuid not null default auth.uid(),
  media_type text not null,
  storage_path text not null,
  file_name text not null,
  content_type text not null,
  size_bytes bigint not null,
  duration_seconds numeric(10, 3),
  title text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint media_pkey primary key (id),
  constraint media_id_user_id_key unique (id, user_id),
  constraint media_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint media_storage_path_key unique (storage_path),
  constraint media_media_type_is_known check (media_type in ('image', 'audio', 'video', 'document')),
  constraint media_storage_path_is_owners
    check (
      storage_path ~ '^[a-z0-9][a-z0-9_-]{0,62}/[^/]+/.*[^/]$'
      and storage_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
      and split_part(storage_path, '/', 2) = user_id::text
    ),
  -- When a row is deleted, its file is removed. So a row may name only files that its owner may remove; an app's own
  -- buckets have their own rules.
  constraint media_storage_path_names_a_bucket_for_media
    check (
      split_part(storage_path, '/', 1)
        in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media', 'outputs', 'pdfs')
    ),
  constraint media_file_name_length check (length(file_name) between 1 and 255),
  constraint media_content_type_is_mime check (content_type ~ '^[a-z]+/[a-z0-9.+-]+$'),
  constraint media_size_is_positive check (size_bytes > 0),
  constraint media_duration_is_positive check (duration_seconds > 0),
  constraint media_title_length check (length(title) between 1 and 200)
);
comment on table public.media is 'A recording, photo, video or document that its owner keeps in Storage.';
comment on column public.media.storage_path is 'The object as <bucket>/<path>; its first folder is the owner''s id.';
comment on column public.media.content_type is
  'The canonical name: audio/webm;codecs=opus is stored as audio/webm, audio/x-wav as audio/wav.';

create index media_user_id_created_at_idx on public.media (user_id, created_at desc, id desc);

alter table public.media enable row level security;

create policy "users can read their own media"
on public.media for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can add media of their own"
on public.media for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can retitle their own media"
on public.media for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));

create policy "users can remove their own media"
on public.media for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.media from public, anon, authenticated, service_role;
grant select, delete on public.media to authenticated;
grant insert (
  user_id, media_type, storage_path, file_name, content_type, size_bytes, duration_seconds, title
) on public.media to authenticated;
grant update (title, duration_seconds) on public.media to authenticated;
grant select, insert, update, delete on public.media to service_role;

create function private.name_media_content_type()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.content_type := private.canonical_mime_type(new.content_type);
  if new.content_type is null or new.content_type in ('application/octet-stream', 'binary/octet-stream') then
    raise exception
      'content_type does not say what the file is. Browsers leave file.type empty when they do not know it. Set the type of the file, for example audio/mp4'
      using errcode = 'AJ076', detail = 'content_type';
  end if;
  return new;
end;
$$;
comment on function private.name_media_content_type() is
  'Row trigger: stores the content type under its canonical name, without parameters; AJ076 when it does not identify '
  'a format. Security definer because owners may not use schema private.';

create trigger media_touch_updated_at
before update on public.media
for each row execute function private.touch_updated_at();

create trigger media_refuse_title_length
before insert or update of title on public.media
for each row when (length(new.title) not between 1 and 200)
execute function private.refuse_text_length('title', '1', '200');

create trigger media_name_content_type
before insert or update of content_type on public.media
for each row execute function private.name_media_content_type();

create trigger media_record_object after delete or update of storage_path on public.media
for each row execute function private.record_storage_removal('storage_path');

-- ===== supabase/schemas/data/voices.sql

-- Cloned voices, the result of a voice clone.

create table public.voices (
  id uuid not null default private.uuid_v7(),
  user_id uuid not null,
  job_id uuid,
  provider text not null,
  provider_voice_id text not null,
  name text not null,
  description text,
  labels jsonb not null default '{}',
  stability numeric(4, 3) not null,
  similarity_boost numeric(4, 3) not null,
  sample_url text,
  provider_missing_since timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint voices_pkey primary key (id),
  constraint voices_id_user_id_key unique (id, user_id),
  constraint voices_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint voices_job_fkey foreign key (job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (job_id),
  constraint voices_job_key unique (job_id, user_id),
  constraint voices_provider_voice_id_key unique (provider, provider_voice_id),
  constraint voices_name_length check (length(name) between 1 and 100),
  constraint voices_labels_is_object check (jsonb_typeof(labels) = 'object'),
  constraint voices_stability_in_range check (stability between 0 and 1),
  constraint voices_similarity_boost_in_range check (similarity_boost between 0 and 1)
);
comment on table public.voices is
  'A cloned voice. The transaction that completes its job writes it, never a user. It refers to that job.';
comment on column public.voices.provider_voice_id is 'The provider''s id of the voice, which speech uses.';
comment on column public.voices.stability is
  'Setting for speech in this voice, 0 to 1: a low value is expressive, a high one even.';
comment on column public.voices.similarity_boost is
  'Setting for speech in this voice, 0 to 1: how closely it follows the sample.';
comment on column public.voices.sample_url is 'The recording from which it was cloned, as <bucket>/<path>.';
comment on column public.voices.provider_missing_since is
  'Since when the provider no longer has the voice, so that it cannot speak. Null: the provider had it at the last '
  'check.';
comment on column public.voices.job_id is
  'The job that created it, of the same owner; at most one voice per job. Null once that job is deleted.';

create index voices_user_id_created_at_idx on public.voices (user_id, created_at desc, id desc);
create index voices_provider_idx on public.voices (provider) where provider_missing_since is null;

alter table public.voices enable row level security;

create policy "users can read their own voices"
on public.voices for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can remove their own voices" on public.voices for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.voices from public, anon, authenticated, service_role;
grant select, delete on public.voices to authenticated;
grant select, insert, update, delete on public.voices to service_role;

create trigger voices_touch_updated_at
before update on public.voices
for each row execute function private.touch_updated_at();

create trigger voices_record_sample after delete on public.voices
for each row execute function private.record_storage_removal('sample_url');

create trigger voices_record_voice after delete on public.voices
for each row execute function private.record_provider_removal('voice', 'provider_voice_id');

-- ===== supabase/schemas/jobs/provider_calls.sql

-- The journal of paid calls: each call is recorded before it is sent and settled afterwards. After a crash, the next
-- attempt sees that a call may have been sent, and queries the provider instead of sending again. See journal.sql.

create table public.ai_provider_calls (
  id uuid not null default private.uuid_v7(),
  job_id uuid not null,
  user_id uuid not null,
  provider text not null,
  operation text not null,
  attempt integer not null,
  outcome text not null default 'sent',
  provider_object_id text,
  http_status integer,
  error_code text,
  units bigint not null default 1,
  price_micros bigint not null default 0,
  price_units bigint not null default 1,
  estimated_cost_micros bigint not null default 0,
  cost_micros bigint,
  sent_at timestamptz not null default clock_timestamp(),
  unknown_since timestamptz,
  repeated_at timestamptz,
  settled_at timestamptz,
  discarded_at timestamptz,
  answered_at timestamptz,
  trace_id text,
  constraint ai_provider_calls_pkey primary key (id),
  constraint ai_provider_calls_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  -- Lengths apart: for a bounded repetition Postgres takes ten times as long.
  constraint ai_provider_calls_operation_is_word check (
    operation ~ '^[a-z][a-z0-9_]+(:[1-9][0-9]*)?$'
    and length(split_part(operation, ':', 1)) <= 63 and length(split_part(operation, ':', 2)) <= 4
  ),
  constraint ai_provider_calls_outcome_is_known
    check (outcome in ('sent', 'unknown', 'succeeded', 'adopted', 'rejected', 'absent')),
  constraint ai_provider_calls_success_has_object
    check (outcome not in ('succeeded', 'adopted') or provider_object_id is not null),
  constraint ai_provider_calls_unknown_since_matches_outcome check ((outcome = 'unknown') = (unknown_since is not null)),
  constraint ai_provider_calls_units_in_range check (units between 0 and 1000000000),
  constraint ai_provider_calls_price_in_range check (price_micros between 0 and 1000000000 and price_units between 1 and 1000000000),
  constraint ai_provider_calls_cost_is_not_negative check (estimated_cost_micros >= 0 and cost_micros >= 0),
  constraint ai_provider_calls_cost_matches_outcome check (
    case
      when outcome in ('sent', 'unknown') then cost_micros is null
      when outcome in ('succeeded', 'adopted', 'rejected', 'absent') then cost_micros is not null
      else true
    end
  ),
  constraint ai_provider_calls_settled_matches_outcome check ((outcome in ('sent', 'unknown')) = (settled_at is null)),
  constraint ai_provider_calls_answer_is_adopted_or_absent check (answered_at is null or outcome in ('adopted', 'absent'))
);
comment on table public.ai_provider_calls is
  'One row per paid provider call, committed before the call is sent. The provider finds what the call created by the '
  'marker job:<job_id>.';
comment on column public.ai_provider_calls.user_id is
  'The job''s owner. No foreign key: the row is deleted with its job, and a check at each call would wait for an '
  'account that is being deleted, which waits for the job.';
comment on column public.ai_provider_calls.operation is 'The step of the job, for example create_voice; text_to_speech:2 is the second of several equal ones.';
comment on column public.ai_provider_calls.trace_id is 'The trace of the job''s traceparent: finds the call in the logs.';
comment on column public.ai_provider_calls.outcome is
  'sent (in flight, or its sender died), unknown (no usable response), succeeded, adopted (found at the provider '
  'later), rejected (definitely refused, nothing charged), absent (the provider was queried: nothing was created).';
comment on column public.ai_provider_calls.units is
  'The amount, in the unit of its price (ai_prices): an estimate while the call is open, then the usage that the '
  'provider reports, if it does.';
comment on column public.ai_provider_calls.price_micros is
  'The price as it was when the call was sent, in millionths of a US dollar for price_units units. A later change of '
  'ai_prices does not touch it.';
comment on column public.ai_provider_calls.estimated_cost_micros is
  'The estimated cost when it was sent, in millionths of a US dollar; reserved in ai_limits until it is settled.';
comment on column public.ai_provider_calls.cost_micros is
  'The actual cost: the price of its units, rounded up; 0 when nothing was created. Null while the call is open.';
comment on column public.ai_provider_calls.unknown_since is
  'When the outcome became unknown: when its sender was known to have died or given up. reconcile_seconds count from '
  'here and not from sent_at, because a provider may work on a call for minutes.';
comment on column public.ai_provider_calls.repeated_at is
  'When its request was last sent once more, after an unknown outcome: the provider recognises it by its idempotency key.';
comment on column public.ai_provider_calls.discarded_at is
  'Since when the janitor removes what the call created: a retry of the job does not use it, and sends a new call.';
comment on column public.ai_provider_calls.answered_at is
  'When an operator recorded the outcome; null when the worker or the janitor found it out.';

-- At most one paid call of a step may be open or have succeeded; the database refuses a second one.
create unique index ai_provider_calls_one_per_step_key on public.ai_provider_calls (job_id, operation)
  where outcome in ('sent', 'unknown', 'succeeded', 'adopted') and discarded_at is null;
create index ai_provider_calls_job_id_sent_at_idx on public.ai_provider_calls (job_id, sent_at);
-- Serves the budget of a provider.
create index ai_provider_calls_open_idx on public.ai_provider_calls (provider) include (estimated_cost_micros)
  where outcome in ('sent', 'unknown');
create index ai_provider_calls_user_id_idx on public.ai_provider_calls (user_id, id);
create index ai_provider_calls_voices_idx on public.ai_provider_calls (provider, job_id)
  where operation = 'create_voice' and outcome in ('sent', 'unknown', 'succeeded', 'adopted') and discarded_at is null;
create index ai_provider_calls_object_idx on public.ai_provider_calls (provider, provider_object_id)
  where provider_object_id is not null;

alter table public.ai_provider_calls enable row level security;

create policy "users can read the provider calls of their own ai jobs"
on public.ai_provider_calls for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_provider_calls from public, anon, authenticated, service_role;
grant select on public.ai_provider_calls to authenticated;
grant select, insert, update on public.ai_provider_calls to service_role;

create function private.derive_call_outcome()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or new.outcome is distinct from old.outcome then
    new.unknown_since := case when new.outcome = 'unknown' then clock_timestamp() end;
  end if;
  new.cost_micros := case
    when new.outcome in ('succeeded', 'adopted')
      then (new.units * new.price_micros + new.price_units - 1) / new.price_units
    when new.outcome in ('rejected', 'absent') then 0
  end;
  return new;
end;
$$;
comment on function private.derive_call_outcome() is
  'Row trigger: derives the cost and unknown_since for every writer of the outcome or the units.';

create trigger ai_provider_calls_derive_call_outcome
before insert or update of outcome, units on public.ai_provider_calls
for each row execute function private.derive_call_outcome();

create trigger ai_provider_calls_record_object after delete on public.ai_provider_calls
for each row execute function private.record_provider_call_removal();

-- ===== supabase/schemas/jobs/checkpoints.sql

-- The progress that a job with several claims saves for the next claim.

create table public.ai_job_checkpoints (
  job_id uuid not null,
  data jsonb not null,
  upload_id text,
  constraint ai_job_checkpoints_pkey primary key (job_id),
  constraint ai_job_checkpoints_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  constraint ai_job_checkpoints_data_is_object check (jsonb_typeof(data) = 'object'),
  constraint ai_job_checkpoints_upload_id_length check (length(upload_id) between 1 and 1024)
);
comment on table public.ai_job_checkpoints is
  'The progress of a job that takes several claims, in a form that its processor defines. Deleted when the job ends.';
comment on column public.ai_job_checkpoints.upload_id is
  'A resumable upload that the job has started, by the last part of its URL at Storage. The janitor aborts it if it is '
  'not finished.';

alter table public.ai_job_checkpoints enable row level security;
revoke all on public.ai_job_checkpoints from public, anon, authenticated, service_role;
grant select on public.ai_job_checkpoints to service_role;

create table private.abandoned_uploads (
  upload_id text not null,
  requested_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  last_error_code text,
  constraint abandoned_uploads_pkey primary key (upload_id)
);
comment on table private.abandoned_uploads is
  'Resumable uploads that no job will finish. The janitor aborts them and deletes a row when Storage no longer has its '
  'upload.';

create index abandoned_uploads_next_attempt_at_idx on private.abandoned_uploads (next_attempt_at);

alter table private.abandoned_uploads enable row level security;
revoke all on private.abandoned_uploads from public, anon, authenticated, service_role;

create function private.abandon_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- A completed job has finished its upload, which is its output.
  if not exists (select 1 from public.ai_jobs as j where j.id = old.job_id and j.status = 'completed') then
    insert into private.abandoned_uploads (upload_id) values (old.upload_id) on conflict do nothing;
  end if;
  return null;
end;
$$;
comment on function private.abandon_upload() is
  'Row trigger: records an upload that its job will not finish, because the job has ended without a result, was '
  'deleted, or has started another upload. Security definer because no role has rights in schema private.';

create function public.save_ai_job_checkpoint(
  p_job_id uuid,
  p_lease_token uuid,
  p_data jsonb,
  p_upload_id text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- Locked, so that the job cannot end or be claimed by another worker between the check and the write.
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for no key update;
  if not found then
    return false;
  end if;
  insert into public.ai_job_checkpoints as c (job_id, data, upload_id)
  values (p_job_id, p_data, p_upload_id)
  on conflict (job_id) do update
  set data = excluded.data, upload_id = excluded.upload_id;
  return true;
end;
$$;
comment on function public.save_ai_job_checkpoint(uuid, uuid, jsonb, text) is
  'Saves the progress of a claimed job, replacing what was saved before. p_upload_id: the resumable upload that it has '
  'started; the janitor aborts one that was named before and no longer is. False: the lease is lost and nothing '
  'changed. service_role only; security definer because no role may write checkpoints.';
revoke execute on function public.save_ai_job_checkpoint(uuid, uuid, jsonb, text) from public, anon, authenticated;
grant execute on function public.save_ai_job_checkpoint(uuid, uuid, jsonb, text) to service_role;

create trigger ai_job_checkpoints_abandon_deleted
after delete on public.ai_job_checkpoints
for each row when (old.upload_id is not null)
execute function private.abandon_upload();

create trigger ai_job_checkpoints_abandon_replaced
after update of upload_id on public.ai_job_checkpoints
for each row when (old.upload_id is not null and old.upload_id is distinct from new.upload_id)
execute function private.abandon_upload();

-- ===== supabase/schemas/costs/limits.sql

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

-- ===== supabase/schemas/costs/prices.sql

-- What a paid call costs. The unit is the millionth of a US dollar everywhere.

create table public.ai_prices (
  job_type text not null,
  provider text not null,
  unit text not null,
  per_units bigint not null,
  price_micros bigint not null,
  currency text not null default 'USD',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint ai_prices_pkey primary key (job_type, provider),
  constraint ai_prices_job_type_fkey foreign key (job_type) references public.ai_job_types (job_type),
  constraint ai_prices_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_prices_unit_is_known check (unit in ('character', 'second', 'creation')),
  constraint ai_prices_per_units_in_range check (per_units between 1 and 1000000000),
  constraint ai_prices_price_in_range check (price_micros between 0 and 1000000000),
  constraint ai_prices_currency_is_that_of_budgets check (currency = 'USD')
);
comment on table public.ai_prices is
  'What each paid call of a job type costs at a provider: price_micros for per_units units, rounded up. The operator '
  'keeps it equal to their plan; a type and provider without a row cost nothing.';
comment on column public.ai_prices.unit is
  'What the processor of the type counts: characters as the provider bills them, seconds of sound or video, or '
  'creations. For information only; changing it changes no processor.';
comment on column public.ai_prices.price_micros is
  'In millionths of currency, for per_units units. Calls in flight keep their price.';
comment on column public.ai_prices.currency is 'The same for all prices, because budgets and sums cover all of them.';

create index ai_prices_provider_idx on public.ai_prices (provider);

alter table public.ai_prices enable row level security;
revoke all on public.ai_prices from public, anon, authenticated, service_role;
grant select, insert, update on public.ai_prices to service_role;

create trigger ai_prices_touch_updated_at
before update on public.ai_prices
for each row execute function private.touch_updated_at();

-- ===== supabase/schemas/costs/provider_spend.sql

-- What all users together have spent at a provider in a month.

create table public.ai_provider_spend (
  provider text not null,
  slot smallint not null,
  month date not null,
  spent_micros bigint not null default 0,
  constraint ai_provider_spend_pkey primary key (provider, slot),
  constraint ai_provider_spend_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_provider_spend_slot_in_range check (slot between 0 and 15),
  constraint ai_provider_spend_is_not_negative check (spent_micros >= 0)
);
comment on table public.ai_provider_spend is
  'What all users together have spent at a provider in a calendar month (UTC), in millionths of a US dollar: the sum '
  'of its slots. A separate table, because the amount stays when jobs and accounts are deleted.';
comment on column public.ai_provider_spend.slot is
  'Derived from the user''s id, so that calls that end at the same time rarely wait for each other.';
comment on column public.ai_provider_spend.month is 'First day of the month that spent_micros counts.';

alter table public.ai_provider_spend enable row level security;
revoke all on public.ai_provider_spend from public, anon, authenticated, service_role;
grant select on public.ai_provider_spend to service_role;

-- ===== supabase/schemas/costs/settlement.sql

-- Releases the reservation of a paid call that is deleted, and records usage that is known late. What settles a call charges
-- it (private.follow_updated_provider_calls).

create function private.release_reserved_cost()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.ai_limits as l
  set reserved_micros = greatest(l.reserved_micros - old.estimated_cost_micros, 0)
  where l.user_id = old.user_id;
  return null;
end;
$$;
comment on function private.release_reserved_cost() is
  'Row trigger: an open call that is deleted with its job releases its reservation. Amounts already charged stay. '
  'Security definer because every role that deletes must update the owner''s counts.';

create function public.revise_provider_call(p_job_id uuid, p_lease_token uuid, p_operation text, p_units bigint)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for no key update;
  if not found then
    return false;
  end if;
  update public.ai_provider_calls as c
  set units = p_units
  where c.job_id = p_job_id and c.operation = p_operation and c.outcome in ('succeeded', 'adopted')
    and c.discarded_at is null and c.units <> p_units;
  if found then
    update public.ai_jobs as j
    set cost_micros = (
      select coalesce(sum(c.cost_micros), 0) from public.ai_provider_calls as c where c.job_id = p_job_id
    )
    where j.id = p_job_id;
  end if;
  return true;
end;
$$;
comment on function public.revise_provider_call(uuid, uuid, text, bigint) is
  'Records the actual usage of a settled call when it is known only later: a video is submitted and charged before its '
  'length is known. 0 refunds the call. A discarded call keeps its cost. False: the lease is lost and nothing changed. '
  'service_role only.';
revoke execute on function public.revise_provider_call(uuid, uuid, text, bigint) from public, anon, authenticated;
grant execute on function public.revise_provider_call(uuid, uuid, text, bigint) to service_role;

create trigger ai_provider_calls_release_cost
after delete on public.ai_provider_calls
for each row when (old.outcome in ('sent', 'unknown') and old.estimated_cost_micros > 0)
execute function private.release_reserved_cost();

-- ===== supabase/schemas/costs/budgets.sql

-- Budgets of users: setting and reading them.

create function public.set_ai_budget(p_user_id uuid, p_budget_micros bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_budget_micros < 0 then
    raise exception 'p_budget_micros must be 0 or more, or null for no limit' using errcode = '22023', detail = 'p_budget_micros';
  end if;
  if p_user_id is null then
    update public.ai_limits as l set budget_micros = p_budget_micros where l.user_id is null;
  else
    insert into public.ai_limits as l (user_id, budget_micros) values (p_user_id, p_budget_micros)
    on conflict (user_id) do update set budget_micros = excluded.budget_micros;
  end if;
exception
  when foreign_key_violation then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
end;
$$;
comment on function public.set_ai_budget(uuid, bigint) is
  'Sets what a user''s paid calls may cost in a calendar month (UTC), in millionths of a US dollar. Null as the user '
  'sets the default for all users without their own budget. Null as the budget restores the default; for the default '
  'itself it means no limit. Amounts already reserved or spent count. A user who does not exist is an error (AJ075). '
  'service_role only.';
revoke execute on function public.set_ai_budget(uuid, bigint) from public, anon, authenticated;
grant execute on function public.set_ai_budget(uuid, bigint) to service_role;

create function public.get_ai_budget()
returns table (month date, budget_micros bigint, spent_micros bigint, reserved_micros bigint, remaining_micros bigint)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    m.month,
    b.budget_micros,
    c.spent_micros,
    c.reserved_micros,
    -- Null without a budget; greatest() alone would ignore the null and return 0.
    case when b.budget_micros is not null then greatest(b.budget_micros - c.spent_micros - c.reserved_micros, 0) end
  from (select date_trunc('month', now() at time zone 'UTC')::date as month) as m
  join public.ai_limits as d on d.user_id is null
  left join public.ai_limits as l on l.user_id = auth.uid()
  cross join lateral (select coalesce(l.budget_micros, d.budget_micros) as budget_micros) as b
  cross join lateral (
    select
      case when l.budget_month >= m.month then l.spent_micros else 0 end as spent_micros,
      coalesce(l.reserved_micros, 0) as reserved_micros
  ) as c;
$$;
comment on function public.get_ai_budget() is
  'The caller''s budget of this month (UTC; null: no limit), with the amounts spent, reserved for calls whose outcome '
  'is open, and left (null: no limit), in millionths of a US dollar. Security invoker: the caller can read only their '
  'own limits and the default ones.';
revoke execute on function public.get_ai_budget() from public, anon, authenticated, service_role;
grant execute on function public.get_ai_budget() to authenticated;

-- ===== supabase/schemas/costs/reports.sql

-- What jobs, users and providers have cost.

create view private.ai_job_costs
with (security_invoker = true)
as
select
  j.id as job_id,
  j.user_id,
  j.job_type,
  j.provider,
  j.status,
  j.created_at,
  count(k.id) filter (where k.outcome not in ('rejected', 'absent')) as paid_calls,
  coalesce(sum(k.cost_micros), 0)::bigint as cost_micros,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint as reserved_micros
from public.ai_jobs as j
left join public.ai_provider_calls as k on k.job_id = j.id
group by j.id;
comment on view private.ai_job_costs is
  'What each job has cost and may still cost, in millionths of a US dollar. For the operator.';
revoke all on private.ai_job_costs from public, anon, authenticated, service_role;

create view private.ai_user_costs
with (security_invoker = true)
as
select
  k.user_id,
  date_trunc('month', coalesce(k.settled_at, now()) at time zone 'UTC')::date as month,
  k.provider,
  count(*) filter (where k.outcome not in ('rejected', 'absent')) as paid_calls,
  coalesce(sum(k.cost_micros), 0)::bigint as cost_micros,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint as reserved_micros
from public.ai_provider_calls as k
group by 1, 2, 3;
comment on view private.ai_user_costs is
  'What each user''s paid calls have cost and may still cost, by provider and by the budget month (UTC) in which they '
  'count: the month of settlement, or the current month while they are open. In millionths of a US dollar. For the '
  'operator.';
revoke all on private.ai_user_costs from public, anon, authenticated, service_role;

create function public.get_ai_costs(p_user_id uuid default auth.uid())
returns table (month date, provider text, paid_calls bigint, cost_micros bigint, reserved_micros bigint)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    date_trunc('month', coalesce(k.settled_at, now()) at time zone 'UTC')::date,
    k.provider,
    count(*) filter (where k.outcome not in ('rejected', 'absent')),
    coalesce(sum(k.cost_micros), 0)::bigint,
    coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint
  from public.ai_provider_calls as k
  where k.user_id = p_user_id
  group by 1, 2
  order by 1 desc, 2;
$$;
comment on function public.get_ai_costs(uuid) is
  'What a user''s paid calls have cost and may still cost (while their outcome is unknown), by provider and by the '
  'budget month (UTC) in which they count, in millionths of a US dollar. Security invoker: an owner gets their own '
  'costs, the service those of any user.';
revoke execute on function public.get_ai_costs(uuid) from public, anon;
grant execute on function public.get_ai_costs(uuid) to authenticated, service_role;

create view private.ai_provider_costs
with (security_invoker = true)
as
select
  k.provider,
  k.operation,
  date_trunc('month', coalesce(k.settled_at, now()) at time zone 'UTC')::date as month,
  count(*) filter (where k.outcome in ('succeeded', 'adopted')) as made,
  count(*) filter (where k.outcome in ('sent', 'unknown')) as open,
  count(*) filter (where k.outcome in ('rejected', 'absent')) as free,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('succeeded', 'adopted')), 0)::bigint
    as estimated_micros,
  coalesce(sum(k.cost_micros), 0)::bigint as cost_micros,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint as reserved_micros
from public.ai_provider_calls as k
group by 1, 2, 3;
comment on view private.ai_provider_costs is
  'What each provider has cost by operation and month (UTC), with the estimate, in millionths of a US dollar. For the '
  'operator.';
revoke all on private.ai_provider_costs from public, anon, authenticated, service_role;

create view private.ai_provider_budgets
with (security_invoker = true)
as
select
  p.provider,
  m.month,
  p.budget_micros,
  c.spent_micros,
  c.reserved_micros,
  case when p.budget_micros is not null then greatest(p.budget_micros - c.spent_micros - c.reserved_micros, 0) end
    as remaining_micros
from public.ai_providers as p
cross join (select date_trunc('month', now() at time zone 'UTC')::date as month) as m
cross join lateral (
  select
    (
      select coalesce(sum(s.spent_micros), 0)::bigint from public.ai_provider_spend as s
      where s.provider = p.provider and s.month = m.month
    ) as spent_micros,
    (
      select coalesce(sum(k.estimated_cost_micros), 0)::bigint from public.ai_provider_calls as k
      where k.provider = p.provider and k.outcome in ('sent', 'unknown')
    ) as reserved_micros
) as c;
comment on view private.ai_provider_budgets is
  'Each provider''s budget of this month over all users (null: no limit), and the amounts spent, reserved and left, in '
  'millionths of a US dollar. For the operator.';
revoke all on private.ai_provider_budgets from public, anon, authenticated, service_role;

-- ===== supabase/schemas/cache/result_cache.sql

-- The result cache in Postgres, used when no Redis is configured. A value is only the id of an earlier job: the database
-- decides from that job's own row what may be reused, so a wrong entry costs time and nothing else. complete_ai_jobs writes
-- the entries, and claim_ai_jobs reads them.

create table public.ai_result_cache (
  cache_key text not null,
  user_id uuid not null,
  value jsonb not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  constraint ai_result_cache_pkey primary key (cache_key),
  constraint ai_result_cache_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  -- Not as {64}, for which Postgres takes ten times as long.
  constraint ai_result_cache_key_is_hash check (length(cache_key) = 71 and cache_key ~ '^ai_job:[0-9a-f]+$')
);
comment on table public.ai_result_cache is 'The earlier job with the same request, by the hash of the request; kept for cache_ttl_seconds.';
comment on column public.ai_result_cache.value is '{"job_id": "<uuid>"}';

create index ai_result_cache_user_id_idx on public.ai_result_cache (user_id, cache_key);
create index ai_result_cache_expires_at_idx on public.ai_result_cache (expires_at);

alter table public.ai_result_cache enable row level security;

create policy "users can read their own cache entries"
on public.ai_result_cache for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_result_cache from public, anon, authenticated, service_role;
grant select on public.ai_result_cache to authenticated;
grant select, insert, update, delete on public.ai_result_cache to service_role;

create function public.get_ai_result_cache(p_cache_key text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (select c.value from public.ai_result_cache as c where c.cache_key = p_cache_key and c.expires_at > now());
end;
$$;
comment on function public.get_ai_result_cache(text) is
  'The value of an entry that has not ended, or null. Security invoker: an owner sees only entries of their own.';
revoke execute on function public.get_ai_result_cache(text) from public, anon;
grant execute on function public.get_ai_result_cache(text) to authenticated, service_role;

-- ===== supabase/schemas/dispatch/receipts.sql

-- Ids of recent dispatches, so that a replay is refused.

create table private.dispatch_receipts (
  message_id text not null,
  received_at timestamptz not null default clock_timestamp(),
  constraint dispatch_receipts_pkey primary key (message_id),
  constraint dispatch_receipts_message_id_length check (length(message_id) between 1 and 128)
);
comment on table private.dispatch_receipts is
  'Ids of the dispatches of the last minutes, so that a recorded request cannot be replayed. The sweep prunes it.';

create index dispatch_receipts_received_at_idx on private.dispatch_receipts (received_at);

alter table private.dispatch_receipts enable row level security;
revoke all on private.dispatch_receipts from public, anon, authenticated, service_role;

-- ===== supabase/schemas/dispatch/expected_claims.sql

-- Inserts that send no dispatch: which of them rely on a claim that a worker is going to make anyway.

create table private.expected_claims (
  id text not null,
  worker text not null,
  is_poll boolean not null,
  expected_at timestamptz not null default clock_timestamp(),
  constraint expected_claims_pkey primary key (id)
);
comment on table private.expected_claims is
  'Claims that a worker is going to make: one for each dispatch that was sent and not received yet, and one for each busy '
  'isolate that polls. Inserts rely on one of the last half second instead of sending a dispatch. A row commits with the '
  'transaction that causes the claim, so that no insert relies on a dispatch that is rolled back. The sweep prunes it.';
comment on column private.expected_claims.id is 'The message id of the dispatch, or the id of the poll.';
comment on column private.expected_claims.is_poll is
  'True: a worker that polls (poll_ai_jobs). Its row lasts until its last poll. False: a dispatch, until it is received.';
comment on column private.expected_claims.expected_at is 'When the dispatch was sent, or the worker last polled.';
create index expected_claims_worker_expected_at_idx on private.expected_claims (worker, expected_at);
alter table private.expected_claims enable row level security;
revoke all on private.expected_claims from public, anon, authenticated, service_role;

create function private.relies_on_expected_claim(p_worker text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  if not exists (
    select 1 from private.expected_claims as e
    where e.worker = p_worker and e.expected_at > clock_timestamp() - interval '500 milliseconds'
  ) then
    return false;
  end if;
  -- Held until this transaction ends: the expected claim waits for it, and finds the jobs. Not available while such a
  -- claim runs, because it may no longer find them.
  return pg_try_advisory_xact_lock_shared(hashtextextended('expected_claims:' || p_worker, 0))
    -- Again, since that claim may have ended in between.
    and exists (
      select 1 from private.expected_claims as e
      where e.worker = p_worker and e.expected_at > clock_timestamp() - interval '500 milliseconds'
    );
end;
$$;
comment on function private.relies_on_expected_claim(text) is
  'Whether a claim that the worker is going to make will find the jobs of this transaction, so that it need not send a '
  'dispatch. Security definer because inserting roles may not read schema private.';

create function private.wait_for_relying_inserts(p_worker text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
-- An insert whose transaction stays open for longer is left to the sweep.
set lock_timeout = '50ms'
as $$
begin
  -- Until this transaction ends, no insert relies on the claim that it makes.
  perform pg_advisory_xact_lock(hashtextextended('expected_claims:' || p_worker, 0));
exception when lock_not_available then
  null;
end;
$$;
comment on function private.wait_for_relying_inserts(text) is
  'Waits until the inserts that rely on the claim that the caller makes have committed, so that it sees their jobs; 50 ms '
  'at most. Security definer because it is called by functions that are.';

create function private.is_polled(p_worker text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  -- The last poll deletes its row, so it waits for the caller's transaction, and then for the inserts that rely on either
  -- claim. One that is already being deleted does not count.
  perform 1
  from private.expected_claims as e
  where e.worker = p_worker and e.is_poll and e.expected_at > clock_timestamp() - interval '250 milliseconds'
  limit 1
  for key share skip locked;
  return found;
end;
$$;
comment on function private.is_polled(text) is
  'Whether a busy worker polls, and its last poll comes after this transaction: an insert that relies on the claim that the '
  'caller makes may then be left to that poll. Security definer because it is called by functions that are.';

-- ===== supabase/schemas/dispatch/post_signed.sql

-- A signed call of one of our Edge Functions.

create function private.post_signed(p_function text, p_body jsonb, p_message_id text default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_url text;
  v_secret text;
  v_base64 text;
  v_message_id constant text := coalesce(p_message_id, 'msg_' || replace(gen_random_uuid()::text, '-', ''));
  v_timestamp text := floor(extract(epoch from clock_timestamp()))::bigint::text;
  v_signature text;
begin
  select
    max(s.decrypted_secret) filter (where s.name = 'project_url'),
    max(s.decrypted_secret) filter (where s.name = 'dispatch_secret')
  into v_url, v_secret
  from vault.decrypted_secrets as s
  where s.name in ('project_url', 'dispatch_secret');
  v_base64 := substr(v_secret, length('whsec_') + 1);
  -- A secret in another format (the receiver checks the same: whsec_ and at least 24 bytes in base64) would sign with a
  -- different key, and every call would be refused.
  if v_url is null
    or coalesce(
      v_secret !~ '^whsec_[A-Za-z0-9+/]+={0,2}$' or length(v_base64) % 4 <> 0 or length(rtrim(v_base64, '=')) < 32,
      true
    )
  then
    raise log 'nothing is dispatched to %: the Vault has no project_url, or no dispatch_secret of the form whsec_<base64>', p_function;
    return null;
  end if;

  -- Standard Webhooks: HMAC-SHA256 over id.timestamp.body with the decoded secret, in base64.
  v_signature := 'v1,' || encode(
    extensions.hmac(
      convert_to(v_message_id || '.' || v_timestamp || '.' || p_body::text, 'UTF8'),
      decode(v_base64, 'base64'),
      'sha256'
    ),
    'base64'
  );
  return net.http_post(
    url := rtrim(v_url, '/') || '/functions/v1/' || p_function,
    body := p_body,
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'webhook-id', v_message_id,
      'webhook-timestamp', v_timestamp,
      'webhook-signature', v_signature
    ),
    timeout_milliseconds := 5000
  );
exception when others then
  -- A dispatch must not undo the insert that caused it: the schedule delivers later. The message of an error here
  -- could quote the secret, so only its code is written.
  raise warning '% could not be dispatched to (%); the schedule will', p_function, sqlstate;
  return null;
end;
$$;
comment on function private.post_signed(text, jsonb, text) is
  'Calls one of our Edge Functions by pg_net, signed with the Vault''s dispatch_secret. Returns the pg_net request id, or '
  'null when it could not be sent. Never raises. Security definer because the causing role may read neither the Vault nor '
  'schema net.';

-- ===== supabase/schemas/dispatch/dispatch.sql

-- Dispatch: a hint that makes a job start within milliseconds. It may be lost, late or duplicated; the sweep is the
-- guarantee.

create function private.dispatch_to_worker(p_worker text, p_job_ids uuid[])
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_message_id constant text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  v_request_id bigint;
begin
  -- The shape of a database webhook, with ids only; job_ids names the rest of a bulk insert.
  v_request_id := private.post_signed(
    p_worker,
    jsonb_build_object(
      'type', 'INSERT',
      'table', 'ai_jobs',
      'schema', 'public',
      'record', jsonb_build_object('id', p_job_ids[1]),
      'old_record', null,
      'job_ids', to_jsonb(p_job_ids)
    ),
    v_message_id
  );
  if v_request_id is not null then
    insert into private.expected_claims (id, worker, is_poll) values (v_message_id, p_worker, false);
  end if;
  return v_request_id;
end;
$$;
comment on function private.dispatch_to_worker(text, uuid[]) is
  'Sends one worker a dispatch for these jobs by pg_net, signed with the Vault''s dispatch_secret, and records the '
  'claim that it will cause. Returns the pg_net request id, or null when nothing could be sent. Security definer because it is called by '
  'functions that are.';

create function private.dispatch_ai_jobs(p_job_ids uuid[])
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_worker text;
  v_job_ids uuid[];
  v_request_id bigint;
begin
  for v_worker, v_job_ids in
    select t.worker, array_agg(j.id order by array_position(p_job_ids, j.id))
    from public.ai_jobs as j
    join public.ai_job_types as t on t.job_type = j.job_type
    where j.id = any (p_job_ids)
    group by t.worker
  loop
    v_request_id := coalesce(private.dispatch_to_worker(v_worker, v_job_ids), v_request_id);
  end loop;
  return v_request_id;
end;
$$;
comment on function private.dispatch_ai_jobs(uuid[]) is
  'Sends each worker of these jobs a dispatch by pg_net, signed with the Vault''s dispatch_secret. Returns a pg_net '
  'request id, or null when nothing could be sent. Never raises. Security definer because the '
  'inserting role may not call '
  'private.post_signed.';

create function public.wake_ai_job_worker(p_worker text default 'process-ai-job')
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- A job that was snoozed without delay has no turn yet.
  perform private.ready_due_ai_jobs(200);
  return private.dispatch_ai_jobs((
    select array_agg(due.id)
    from (
      select j.id
      from public.ai_job_types as t
      cross join lateral (
        select w.id
        from public.ai_jobs as w
        where w.job_type = t.job_type and w.status = 'pending' and w.queue_key is not null
        limit 1
      ) as j
      where t.worker = p_worker
      limit 1
    ) as due
  )) is not null;
end;
$$;
comment on function public.wake_ai_job_worker(text) is
  'Dispatches a worker again while jobs of its types wait: called by an isolate that is too old to claim, or that runs '
  'one job per request. False: nothing waits, or it could not be sent. service_role only; security definer '
  'for the dispatch in schema private.';
revoke execute on function public.wake_ai_job_worker(text) from public, anon, authenticated;
grant execute on function public.wake_ai_job_worker(text) to service_role;

-- ===== supabase/schemas/dispatch/sweep.sql

-- The sweep: guarantees that every due job that no worker runs is dispatched again.

create function private.sweep_ai_jobs()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_rescued integer := 0;
  v_rescue_error text;
  v_chunk uuid[];
  v_dispatched integer := 0;
  v_blocked_users uuid[];
begin
  -- In a separate block: a row that cannot be rescued must not keep the others from being dispatched.
  begin
    select count(*) into v_rescued from public.rescue_stalled_ai_jobs();
  exception when others then
    v_rescue_error := sqlstate || ': ' || sqlerrm;
    raise warning 'stalled ai jobs could not be rescued (%)', v_rescue_error;
  end;

  -- After the rescue, because rescued jobs leave room.
  v_blocked_users := private.users_without_room();
  perform private.ready_due_ai_jobs(1000);
  for v_chunk in
    select array_agg(due.id order by due.position)
    from (
      select j.id, row_number() over () as position
      from public.ai_job_types as t
      cross join public.ai_providers as p
      cross join lateral (
        select p.max_concurrent - count(*) as room
        from public.ai_jobs as r
        where r.status = 'processing' and r.provider = p.provider
      ) as k
      cross join lateral (
        select w.id
        from public.ai_jobs as w
        where w.job_type = t.job_type and w.provider = p.provider and w.status = 'pending' and w.queue_key is not null
          and w.attempt < w.max_attempts
          -- No worker could claim them, and each call has a cost. In coalesce for the planner's sake, as in claim_ai_jobs.
          and coalesce(w.user_id <> all (v_blocked_users), true)
        order by w.scheduled_at
        -- More could not be claimed, and each call has a cost.
        limit least(greatest(k.room, 0), 200)
      ) as j
      where t.is_enabled and t.paused_at is null and p.paused_at is null
        and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp())
      limit 200
    ) as due
    group by (due.position - 1) / 20
    order by min(due.position)
  loop
    v_dispatched := v_dispatched + cardinality(v_chunk);
    perform private.dispatch_ai_jobs(v_chunk);
  end loop;

  delete from private.dispatch_receipts as r where r.received_at < clock_timestamp() - interval '15 minutes';
  delete from private.expected_claims as e where e.expected_at < clock_timestamp() - interval '15 minutes';
  perform private.note_schedule_run('sweep');
  return jsonb_strip_nulls(jsonb_build_object(
    'rescued', v_rescued, 'dispatched', v_dispatched, 'rescue_error', v_rescue_error
  ));
end;
$$;
comment on function private.sweep_ai_jobs() is
  'The delivery guarantee, run by pg_cron every few seconds: rescues jobs with an expired lease, dispatches due jobs (up to '
  '200 jobs in calls of 20, and no more of a job type than its provider has room for), deletes old receipts. Returns the '
  'counts.';

create function private.prune_ai_job_leftovers()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from public.ai_result_cache as c where c.expires_at < now();
  delete from private.storage_removals as r where r.done_at < now() - interval '30 days';
  delete from public.pending_uploads as u where u.stored_at is null and u.expires_at < now();
  -- A run that a restart of Postgres ended has no end.
  delete from cron.job_run_details as d where coalesce(d.end_time, d.start_time) < now() - interval '1 day';
end;
$$;
comment on function private.prune_ai_job_leftovers() is
  'Hourly: removes expired cache entries, records of files that were removed a month ago (their names may identify '
  'people who have left), expired upload URLs, and pg_cron''s own history, which would grow forever.';

-- ===== supabase/schemas/jobs/input_hash.sql

-- The key under which a result is cached.

create function public.ai_job_input_hash(
  p_user_id uuid,
  p_job_type text,
  p_input_url text,
  p_metadata jsonb,
  p_input_version text default null
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
-- Planning it again for each job takes four times as long as running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_input_version text := p_input_version;
  v_audio_version text;
begin
  -- The time only where there is no version: Storage's own migrations may update all objects. As a number: as text it would
  -- depend on the caller's time zone.
  if v_input_version is null and p_input_url <> '' then
    select concat_ws(':', coalesce(o.version, concat_ws(':', o.metadata ->> 'eTag', extract(epoch from o.updated_at))), o.id)
    into v_input_version
    from storage.objects as o
    where o.bucket_id = split_part(p_input_url, '/', 1)
      and o.name = substr(p_input_url, strpos(p_input_url, '/') + 1)
      and split_part(o.name, '/', 1) = p_user_id::text;
  end if;
  -- A second object that the parameters name is an input as well.
  if p_metadata ? 'audio_url' then
    select concat_ws(':', coalesce(o.version, concat_ws(':', o.metadata ->> 'eTag', extract(epoch from o.updated_at))), o.id)
    into v_audio_version
    from storage.objects as o
    where o.bucket_id = split_part(p_metadata ->> 'audio_url', '/', 1)
      and o.name = substr(p_metadata ->> 'audio_url', strpos(p_metadata ->> 'audio_url', '/') + 1)
      and split_part(o.name, '/', 1) = p_user_id::text;
  end if;
  -- jsonb's own text form is canonical: keys sorted, doubles removed, spaces fixed.
  return encode(
    sha256(convert_to(
      (jsonb_build_object(
        'user_id', p_user_id,
        'job_type', p_job_type,
        'input_url', nullif(p_input_url, ''),
        'input_version', v_input_version,
        'metadata', p_metadata
      )
      || case when p_metadata ? 'audio_url' then jsonb_build_object('audio_version', v_audio_version) else '{}' end)::text,
      'UTF8'
    )),
    'hex'
  );
end;
$$;
comment on function public.ai_job_input_hash(uuid, text, text, jsonb, text) is
  'SHA-256 (hex) over owner, job type, version of the input object and canonical parameters: the key under which a '
  'result is cached. An empty p_input_url counts as none. p_input_version: that of the input object, if the caller has just '
  'read it as here; otherwise it is looked up. Only objects in the owner''s own folder have a version here: '
  'the intake trigger, which sees every object, stores the hash where its owner reads it. Security invoker: a caller '
  'who cannot see the object gets the hash for no object.';
revoke execute on function public.ai_job_input_hash(uuid, text, text, jsonb, text) from public, anon;
grant execute on function public.ai_job_input_hash(uuid, text, text, jsonb, text) to authenticated, service_role;

-- ===== supabase/schemas/jobs/turns.sql

-- The turns of waiting jobs: start-time fair queueing over users.

create function private.leave_ai_job_queue()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.queue_key := null;
  return new;
end;
$$;
comment on function private.leave_ai_job_queue() is
  'Row trigger: a job that no longer waits, is postponed, or changes its priority loses its turn; the next claim gives '
  'it a new one when it is due.';

create function private.next_queue_key(p_user_id uuid, p_job_type text, p_provider text, p_priority integer)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
-- Planning it again for each job takes longer than running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_is_first_write constant boolean := pg_current_xact_id_if_assigned() is null;
  v_turn bigint;
begin
  v_turn := coalesce(
    -- Behind the user's own waiting jobs …
    (
      select j.queue_key + 1
      from public.ai_jobs as j
      where j.user_id = p_user_id and j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
        and j.status = 'pending' and j.queue_key is not null
      order by j.queue_key desc
      limit 1
    ),
    -- … or, if there is none, in the turn that is being served.
    (
      select j.queue_key
      from public.ai_jobs as j
      where j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
        and j.status = 'pending' and j.queue_key is not null
      order by j.queue_key
      limit 1
    ),
    0
  );
  -- One reservation for a transaction: all sessions share one table of locks, and a bulk insert would fill it.
  if v_is_first_write then
    for v_try in 1..50 loop
      exit when pg_try_advisory_xact_lock(
        hashtextextended(format('turn:%s:%s:%s:%s:%s', p_user_id, p_job_type, p_provider, p_priority, v_turn), 0)
      );
      v_turn := v_turn + 1;
    end loop;
  end if;
  return v_turn;
end;
$$;
comment on function private.next_queue_key(uuid, text, text, integer) is
  'The turn of a job that becomes due. A user with no waiting job joins the turn that is being served, however long '
  'the backlog of others is (start-time fair queueing); each further job of the user is one turn later. The first write '
  'of a transaction reserves its turn until the transaction ends, so that parallel single inserts get different turns '
  'without waiting for each other; private.separate_turns handles the others, and a job that was committed in between. '
  'Volatile, so that the rows of one statement see each other.';

create function private.ready_due_ai_jobs(p_limit integer)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_due uuid[];
begin
  -- Checked first, because most claims have nothing to do here and an update of no rows would still fire its
  -- triggers.
  if not exists (
    select 1
    from public.ai_jobs as d
    where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.scheduled_at <= (select clock_timestamp())
  ) then
    return;
  end if;
  -- Two concurrent calls would not see each other's turns and assign the same ones; the other call already does this
  -- work.
  if not pg_try_advisory_xact_lock(hashtextextended('ready_due_ai_jobs', 0)) then
    return;
  end if;
  select array_agg(d.id) into v_due
  from (
    select d.id
    from public.ai_jobs as d
    -- Not now(): jobs that the same transaction has just requeued are due as well.
    where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.scheduled_at <= (select clock_timestamp())
    order by d.scheduled_at
    limit p_limit
  ) as d;
  if cardinality(v_due) = p_limit then
    -- More jobs are due than fit: each user gets a share, so that one backlog holds up no other. From user to user
    -- through the index, because a backlog may be long.
    with recursive owners as (
      (
        select d.user_id
        from public.ai_jobs as d
        where d.status = 'pending' and d.queue_key is null and not d.is_blocked
        order by d.user_id
        limit 1
      )
      union all
      select (
        select d.user_id
        from public.ai_jobs as d
        where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.user_id > o.user_id
        order by d.user_id
        limit 1
      )
      from owners as o
      where o.user_id is not null
    ),
    waiting as (
      select o.user_id, count(*) over () as users
      from owners as o
      where exists (
        select 1
        from public.ai_jobs as d
        where d.user_id = o.user_id and d.status = 'pending' and d.queue_key is null and not d.is_blocked
          and d.scheduled_at <= (select clock_timestamp())
      )
    )
    select array_agg(s.id) into v_due
    from (
      select d.id
      from waiting as w
      cross join lateral (
        select d.id, d.scheduled_at
        from public.ai_jobs as d
        where d.user_id = w.user_id and d.status = 'pending' and d.queue_key is null and not d.is_blocked
          and d.scheduled_at <= (select clock_timestamp())
        order by d.scheduled_at
        limit greatest(p_limit / w.users, 1)
      ) as d
      order by d.scheduled_at
      limit p_limit
    ) as s;
  end if;
  update public.ai_jobs as j
  set queue_key = private.next_queue_key(j.user_id, j.job_type, j.provider, j.priority)
  from (
    select d.id
    from public.ai_jobs as d
    where d.id = any (v_due) and d.status = 'pending' and d.queue_key is null and not d.is_blocked
    for update skip locked
  ) as due
  where j.id = due.id;
end;
$$;
comment on function private.ready_due_ai_jobs(integer) is
  'Gives a turn to delayed, retried, snoozed, released and rescued jobs that are due: up to p_limit, those due longest '
  'first, or, if more are due, an equal share of each user. One call at a time; a concurrent one does nothing.';

create function private.separate_turns(
  p_user_id uuid,
  p_job_type text,
  p_provider text,
  p_priority integer,
  p_job_ids uuid[],
  p_first bigint,
  p_last bigint
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
-- Planning it again for each statement takes longer than running it, and a plan that was made while the table was small
-- stays in use.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_behind bigint;
begin
  -- Includes jobs of another statement that has committed since, which did not see these either.
  perform 1
  from public.ai_jobs as j
  where j.user_id = p_user_id and j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
    and j.status = 'pending' and j.queue_key between p_first and p_last and j.id <> all (p_job_ids)
  -- Without an order, a plan that is made while few jobs wait would read all waiting jobs of the type.
  order by j.queue_key
  limit 1;
  if not found then
    return false;
  end if;
  select j.queue_key into v_behind
  from public.ai_jobs as j
  where j.user_id = p_user_id and j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
    and j.status = 'pending' and j.queue_key >= p_first and j.id <> all (p_job_ids)
  order by j.queue_key desc
  limit 1;
  update public.ai_jobs as j
  set queue_key = j.queue_key + v_behind - p_first + 1
  where j.id = any (p_job_ids) and j.queue_key is not null;
  return true;
end;
$$;
comment on function private.separate_turns(uuid, text, text, integer, uuid[], bigint, bigint) is
  'Called under the lock of the quota for the new jobs of a user in one lane, which have the turns p_first to p_last: '
  'parallel inserts of several jobs of one user do not see each other''s jobs and get the same turns '
  '(private.next_queue_key), so the later one moves its jobs behind the others. Each turn then has one job of a user. '
  'Returns whether it moved them. Security definer because owners may not change waiting jobs.';

-- ===== supabase/schemas/jobs/jobs_ahead.sql

-- The place of a waiting job in the queue, for its owner.

create function public.jobs_ahead(p_job public.ai_jobs)
returns integer
language plpgsql
stable
security definer
set search_path = ''
-- A list reads it once for each waiting job; planning takes longer than running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_job record;
begin
  -- Not the fields of the argument: the caller could make them up, and learn how long other queues are.
  select j.id, j.job_type, j.provider, j.priority, j.queue_key, j.scheduled_at into v_job
  from public.ai_jobs as j
  where j.id = p_job.id and j.user_id = (select auth.uid()) and j.status = 'pending' and j.queue_key is not null;
  if not found then
    return null;
  end if;
  return (
    select count(*)
    from (
      select j.id
      from public.ai_jobs as j
      where j.job_type = v_job.job_type and j.provider = v_job.provider and j.status = 'pending' and j.queue_key is not null
        and (j.priority, j.queue_key, j.scheduled_at, j.id)
          < (v_job.priority, v_job.queue_key, v_job.scheduled_at, v_job.id)
      order by j.priority, j.queue_key, j.scheduled_at, j.id
      limit 100
    ) as ahead
  );
end;
$$;
comment on function public.jobs_ahead(public.ai_jobs) is
  'Computed field for the owner: how many jobs of the same type and provider come before this one in the order of '
  'claim_ai_jobs; 100 means 100 or more, so that it reads at most that many rows of an index. Null unless the job waits for '
  'its turn. An estimate: users take turns, one claim in eight takes the job that waits longest, and jobs of users at their '
  'limit are passed over. Security definer because owners may not read the jobs that it counts; it reveals nothing else about them.';
revoke execute on function public.jobs_ahead(public.ai_jobs) from public, anon, authenticated, service_role;
grant execute on function public.jobs_ahead(public.ai_jobs) to authenticated;

-- ===== supabase/schemas/jobs/dependencies.sql

-- Pipelines: a job may depend on an earlier one of the same owner. It waits until that job completes, is dispatched
-- in the commit that completes it, and fails if it failed or was cancelled. A job exists before another can name it,
-- and the reference never changes, so there are no cycles.

create function private.is_dependency_unfinished(p_user_id uuid, p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_status text;
begin
  if p_job_id is null then
    return false;
  end if;
  select d.status into v_status from public.ai_jobs as d where d.id = p_job_id and d.user_id = p_user_id;
  if v_status in ('pending', 'processing') then
    -- The other job cannot end before this transaction commits. Whichever comes first, either its end finds this job
    -- waiting, or this finds its end.
    select d.status into v_status from public.ai_jobs as d where d.id = p_job_id and d.user_id = p_user_id for share;
  end if;
  if v_status is null then
    raise exception 'depends_on_job_id must name one of your jobs' using errcode = 'AJ016', detail = 'depends_on_job_id';
  end if;
  if v_status in ('failed', 'cancelled') then
    raise exception 'the job that this one depends on has %',
      case v_status when 'failed' then 'failed' else 'been cancelled' end
      using errcode = 'AJ017', detail = 'depends_on_job_id';
  end if;
  return v_status <> 'completed';
end;
$$;
comment on function private.is_dependency_unfinished(uuid, uuid) is
  'Whether a job must wait for that job of the same owner; false for null. Raises AJ016 if there is no such job of the '
  'owner, and AJ017 if it failed or was cancelled. Holds a share lock on a job that has not ended.';

create function private.keep_ai_job_dependency()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if new.depends_on_job_id is not null then
    raise exception 'depends_on_job_id cannot change after the job was created' using errcode = 'AJ051', detail = 'depends_on_job_id';
  end if;
  if old.is_blocked then
    new.status := 'failed';
    new.is_blocked := false;
    new.stage := null;
    new.error_code := 'dependency_failed';
    new.error_message := 'The job that this one depends on was deleted.';
    new.completed_at := greatest(clock_timestamp(), old.created_at);
    new.event_seq := old.event_seq + 1;
    new.last_event := 'failed';
  end if;
  return new;
end;
$$;
comment on function private.keep_ai_job_dependency() is
  'Row trigger: the dependency of a job cannot change (AJ051). Only deleting the dependency clears the reference, and '
  'fails a job that still waits for it.';

create function private.follow_ai_job_dependency(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_completed uuid[];
  v_reopened uuid[];
  v_given_up uuid[];
  v_dependents uuid[];
  v_due uuid[];
begin
  select
    array_agg(j.id) filter (where j.status = 'completed'),
    array_agg(j.id) filter (where j.status = 'pending'),
    array_agg(j.id) filter (where j.status in ('failed', 'cancelled'))
  into v_completed, v_reopened, v_given_up
  from public.ai_jobs as j
  where j.id = any (p_job_ids);

  if v_completed is not null then
    perform 1
    from public.ai_jobs as j
    where j.depends_on_job_id = any (v_completed) and j.is_blocked
    order by j.id
    for no key update;
    with unblocked as (
      update public.ai_jobs as j
      set is_blocked = false,
          stage = null,
          event_seq = j.event_seq + 1,
          last_event = 'unblocked'
      where j.depends_on_job_id = any (v_completed) and j.is_blocked
      returning j.id, j.priority, j.scheduled_at
    )
    select (array_agg(u.id order by u.priority, u.id))[1:50] into v_due
    from unblocked as u
    where u.scheduled_at <= clock_timestamp();
    perform private.dispatch_ai_jobs(v_due);
  end if;

  if v_reopened is not null then
    with recursive dependents as (
      select j.id from public.ai_jobs as j
      where j.depends_on_job_id = any (v_reopened) and j.status = 'failed' and j.error_code = 'dependency_failed'
      union all
      select j.id from public.ai_jobs as j
      join dependents as d on j.depends_on_job_id = d.id
      where j.status = 'failed' and j.error_code = 'dependency_failed'
    )
    select array_agg(d.id) into v_dependents from dependents as d;
    perform 1 from public.ai_jobs as j where j.id = any (v_dependents) order by j.id for no key update;
    update public.ai_jobs as j
    set is_blocked = true,
        retry_requested_at = clock_timestamp()
    where j.id = any (v_dependents) and j.status = 'failed';
  end if;

  if v_given_up is not null then
    -- All levels together: nested triggers, one per level, would reach the limit of the stack.
    with recursive dependents as (
      select j.id from public.ai_jobs as j where j.depends_on_job_id = any (v_given_up) and j.is_blocked
      union all
      select j.id from public.ai_jobs as j
      join dependents as d on j.depends_on_job_id = d.id
      where j.is_blocked
    )
    select array_agg(d.id) into v_dependents from dependents as d;
    perform 1 from public.ai_jobs as j where j.id = any (v_dependents) order by j.id for no key update;
    update public.ai_jobs as j
    set status = 'failed',
        is_blocked = false,
        stage = null,
        error_code = 'dependency_failed',
        error_message = 'The job that this one depends on has failed or was cancelled.',
        completed_at = greatest(clock_timestamp(), j.created_at),
        event_seq = j.event_seq + 1,
        last_event = 'failed'
    where j.id = any (v_dependents) and j.is_blocked;
  end if;
end;
$$;
comment on function private.follow_ai_job_dependency(uuid[]) is
  'Applies the end of jobs to those that wait for them. Completed: they may run, and one dispatch wakes a worker. '
  'Failed or cancelled: they fail (dependency_failed), and so do those that wait for them, at every depth. Retried: '
  'those that failed because of them wait again. Security definer because it changes jobs that the calling role may '
  'not change, and dispatches.';

-- ===== supabase/schemas/jobs/quotas.sql

-- Quotas per user, exact under parallel inserts: one row per user in ai_limits, which each transaction that adds jobs
-- of the user locks. A job that ends does not lower the count, so the count is an upper bound; it is made exact
-- before it refuses anything.

create function private.charge_ai_job_quota(p_user_id uuid, p_active integer, p_created integer, p_is_paid boolean)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_limits record;
  v_active integer;
  -- Not current_date, which depends on the time zone that a request to the Data API may set.
  v_today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
  for v_try in 1..2 loop
    update public.ai_limits as l
    set active_jobs_at_most = l.active_jobs_at_most + p_active,
        jobs_that_day = case when l.counted_on >= v_today then l.jobs_that_day + p_created else p_created end,
        counted_on = greatest(l.counted_on, v_today)
    from public.ai_limits as d
    where l.user_id = p_user_id and d.user_id is null
    returning l.id, l.active_jobs_at_most, l.jobs_that_day,
      coalesce(l.max_active_jobs, d.max_active_jobs) as max_active_jobs,
      coalesce(l.max_jobs_per_day, d.max_jobs_per_day) as max_jobs_per_day,
      coalesce(l.max_voices, d.max_voices) as max_voices,
      coalesce(l.requires_established_account, d.requires_established_account) as requires_established_account
    into v_limits;
    exit when found;
    insert into public.ai_limits as l (user_id) values (p_user_id) on conflict (user_id) do nothing;
  end loop;

  if p_is_paid and p_created > 0 and v_limits.requires_established_account then
    perform 1
    from auth.users as u
    where u.id = p_user_id
      and (coalesce(u.email_confirmed_at, u.phone_confirmed_at) is null or u.created_at > now() - interval '1 hour');
    if found then
      raise exception 'confirm your e-mail address and wait until your account is an hour old' using
        errcode = 'AJ038', detail = 'user_id';
    end if;
  end if;
  if p_active > 0 and v_limits.active_jobs_at_most > v_limits.max_active_jobs then
    -- The session that held the row has committed by now, and this statement sees it.
    select count(*) into v_active
    from public.ai_jobs as j
    where j.user_id = p_user_id and j.status in ('pending', 'processing');
    if v_active > v_limits.max_active_jobs then
      raise exception 'You have reached your limit of % active jobs. Wait until one ends, or cancel one.', v_limits.max_active_jobs
        using errcode = 'AJ034', detail = 'user_id';
    end if;
    update public.ai_limits as l set active_jobs_at_most = v_active where l.id = v_limits.id;
  end if;
  if p_created > 0 and v_limits.jobs_that_day > v_limits.max_jobs_per_day then
    raise exception 'You have reached your limit of % new jobs per day (UTC). Try again tomorrow.', v_limits.max_jobs_per_day
      using errcode = 'AJ035', detail = 'user_id';
  end if;
  return v_limits.max_voices;
end;
$$;
comment on function private.charge_ai_job_quota(uuid, integer, integer, boolean) is
  'Adds jobs that now wait or run, and new jobs, to a user''s counts, and locks them until the transaction ends. Raises '
  'AJ034 or AJ035 when a quota would be exceeded, and AJ038 for new paid jobs (p_is_paid) of an account that is not '
  'confirmed or not an hour old, where the limits require that; this undoes the whole statement. Returns how many voices '
  'the user may have, or null, because the same rows say so. Security definer because owners may not write their counts.';

create function private.charge_reopened_ai_jobs(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_owner record;
  v_max_voices integer;
begin
  -- Ordered by user, so that two statements over several users cannot deadlock.
  for v_owner in
    select j.user_id, count(*)::integer as jobs,
      array_agg(distinct j.provider) filter (where j.job_type = 'voice_clone') as voice_providers
    from public.ai_jobs as j
    where j.id = any (p_job_ids)
    group by j.user_id
    order by j.user_id
  loop
    v_max_voices := private.charge_ai_job_quota(v_owner.user_id, v_owner.jobs, 0, false);
    if v_owner.voice_providers is not null then
      perform private.check_voice_room(v_owner.user_id, v_max_voices, v_owner.voice_providers);
    end if;
  end loop;
end;
$$;
comment on function private.charge_reopened_ai_jobs(uuid[]) is
  'Charges retried jobs as active jobs, and voice clones for a voice, but not as created today. Security definer '
  'because it calls security definer functions.';

-- ===== supabase/schemas/jobs/reuse.sql

-- Checks whether a new job can use an earlier result, and completes a claimed job with it.

create function private.is_ai_job_result_reusable(p_source public.ai_jobs, p_user_id uuid, p_input_hash text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_is_kept boolean;
begin
  if exists (
    select 1 from public.ai_job_types as t where t.job_type = p_source.job_type and 'can_reuse' = any (t.hooks)
  ) then
    execute format('select private.%I($1)', 'can_reuse_' || p_source.job_type) into v_is_kept using p_source;
    if v_is_kept is not true then
      return false;
    end if;
  end if;
  return (
    select coalesce(
      p_source.user_id = p_user_id
      and p_source.input_hash = p_input_hash
      and p_source.status = 'completed'
      and p_source.completed_at > now() - make_interval(secs => t.cache_ttl_seconds)
      and (
        p_source.job_type <> 'voice_clone'
        or exists (
          select 1 from public.voices as v
          where v.user_id = p_user_id and v.id::text = p_source.result_data ->> 'voice_id'
            and v.provider_missing_since is null
        )
      )
      and (
        p_source.output_url is null
        or exists (
          select 1 from storage.objects as o
          where o.bucket_id = split_part(p_source.output_url, '/', 1)
            and o.name = substr(p_source.output_url, strpos(p_source.output_url, '/') + 1)
        )
      ),
      false
    )
    from public.ai_job_types as t
    where t.job_type = p_source.job_type
  );
end;
$$;
comment on function private.is_ai_job_result_reusable(public.ai_jobs, uuid, text) is
  'True if the source job is completed, belongs to this owner, has exactly this input, is not older than the type '
  'allows, and its product still exists. This decides, not the cache: a wrong cache entry only costs time.';

create function public.reuse_ai_job_result(p_job_id uuid, p_lease_token uuid, p_source_job_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_source public.ai_jobs;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return false;
  end if;
  -- Otherwise an object that this job has paid for, or may have, would be left at the provider.
  if exists (
    select 1 from public.ai_provider_calls as c
    where c.job_id = p_job_id and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted')
  ) then
    return false;
  end if;
  select * into v_source from public.ai_jobs as j where j.id = p_source_job_id and j.id <> p_job_id;
  if not coalesce(private.is_ai_job_result_reusable(v_source, v_job.user_id, v_job.input_hash), false) then
    return false;
  end if;
  update public.ai_jobs as j
  set status = 'completed',
      progress_percentage = 100,
      stage = null,
      result_data = v_source.result_data,
      output_url = v_source.output_url,
      cached_from_job_id = v_source.id,
      completed_at = greatest(clock_timestamp(), j.started_at),
      lease_token = null,
      lease_expires_at = null,
      error_code = null,
      error_message = null,
      event_seq = j.event_seq + 1,
      last_event = 'completed'
  where j.id = p_job_id;
  return true;
end;
$$;
comment on function public.reuse_ai_job_result(uuid, uuid, uuid) is
  'Completes a claimed job with the result of an earlier equal job of the same owner. False, and nothing changed, if '
  'the lease is lost or the jobs are not equal. service_role only. Security definer because it shares its check, in '
  'schema private, with the intake trigger.';
revoke execute on function public.reuse_ai_job_result(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.reuse_ai_job_result(uuid, uuid, uuid) to service_role;

-- ===== supabase/schemas/jobs/intake.sql

-- Checks of a job before its row exists, for create-ai-job and for plain inserts with supabase-js. Errors have their
-- own SQLSTATE (AJ…), and the name of the field in DETAIL.

create function private.blank_ai_job_text(p_metadata jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case
    -- Only a condition that is false ends the evaluation of the others: one that is null does not.
    when p_metadata ? 'text' and jsonb_typeof(p_metadata -> 'text') = 'string'
      and not private.has_visible_text(p_metadata ->> 'text') then 'text'
    when p_metadata ? 'voice_name' and jsonb_typeof(p_metadata -> 'voice_name') = 'string'
      and not private.has_visible_text(p_metadata ->> 'voice_name') then 'voice_name'
    when p_metadata ? 'name' and jsonb_typeof(p_metadata -> 'name') = 'string'
      and not private.has_visible_text(p_metadata ->> 'name') then 'name'
    when p_metadata ? 'description' and jsonb_typeof(p_metadata -> 'description') = 'string'
      and not private.has_visible_text(p_metadata ->> 'description') then 'description'
    when p_metadata ? 'title' and jsonb_typeof(p_metadata -> 'title') = 'string'
      and not private.has_visible_text(p_metadata ->> 'title') then 'title'
  end;
end;
$$;
comment on function private.blank_ai_job_text(jsonb) is
  'The first text among the parameters that has only spaces and invisible characters, or null. The processor checks the '
  'other rules of its type.';

create function private.check_ai_job_object(
  p_user_id uuid,
  p_url text,
  p_name text,
  p_field text,
  p_taker text,
  p_buckets text[],
  p_mime_types text[],
  p_max_bytes bigint
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_bucket text := split_part(p_url, '/', 1);
  v_name text := substr(p_url, strpos(p_url, '/') + 1);
  v_mime_type text;
  v_size bigint;
  v_version text;
begin
  if p_url !~ '^[a-z0-9][a-z0-9_-]*/[^/]+/.*[^/]$' or strpos(p_url, '/') > 64 or p_url ~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)' then
    raise exception '% must name an object of this project''s Storage as <bucket>/<path>', p_name
      using errcode = 'AJ011', detail = p_field;
  end if;

  if v_bucket <> all (p_buckets) then
    raise exception '% must be in one of these buckets: %', p_name, array_to_string(p_buckets, ', ')
      using errcode = 'AJ011', detail = p_field;
  end if;

  -- Before any lookup: the error for another user's folder must not depend on what is in it.
  if split_part(v_name, '/', 1) is distinct from p_user_id::text then
    raise exception '% is outside your own folder; its path must begin with your user id', p_name using errcode = 'AJ015', detail = p_field;
  end if;

  select o.metadata ->> 'mimetype', (o.metadata ->> 'size')::bigint,
    -- As ai_job_input_hash reads it.
    concat_ws(':', coalesce(o.version, concat_ws(':', o.metadata ->> 'eTag', extract(epoch from o.updated_at))), o.id)
  into v_mime_type, v_size, v_version
  from storage.objects as o
  where o.bucket_id = v_bucket and o.name = v_name;
  if not found then
    raise exception '% does not exist; upload it first', p_name using errcode = 'AJ012', detail = p_field;
  end if;

  -- The types that are accepted have canonical names.
  if (v_mime_type = any (p_mime_types)) is not true then
    v_mime_type := private.canonical_mime_type(v_mime_type);
  end if;
  if v_mime_type is null or v_mime_type <> all (p_mime_types) then
    raise exception '% has the content type %; % accepts %',
      p_name, coalesce(v_mime_type, 'unknown'), p_taker, array_to_string(p_mime_types, ', ')
      using errcode = 'AJ013', detail = p_field;
  end if;

  if v_size is null or v_size < 1 then
    raise exception '% is empty', p_name using errcode = 'AJ014', detail = p_field;
  end if;
  if v_size > p_max_bytes then
    raise exception '% has % bytes; % accepts at most %', p_name, v_size, p_taker, p_max_bytes
      using errcode = 'AJ014', detail = p_field;
  end if;
  return v_version;
end;
$$;
comment on function private.check_ai_job_object(uuid, text, text, text, text, text[], text[], bigint) is
  'Raises AJ011 to AJ015 unless p_url names an existing object in the owner''s folder, of an allowed bucket, type and '
  'size, and returns the version of that object, for ai_job_input_hash. Messages use p_name for the object and p_taker for what accepts it; p_field is the wrong field. It runs with '
  'its owner''s rights, so it checks the folder itself.';

create function private.admit_ai_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_type record;
  v_source public.ai_jobs;
  v_blank_text text;
  v_input_version text;
begin
  -- The policy on the table sees the row only after this trigger. If another user's id were accepted here, the errors
  -- below would reveal to a caller what is in that user's folder.
  if current_setting('role') = 'authenticated' and new.user_id is distinct from auth.uid() then
    raise exception 'new row violates row-level security policy for table "ai_jobs"' using errcode = '42501';
  end if;
  if new.job_type = 'voice_clone' and jsonb_typeof(new.metadata) = 'object' then
    -- Before anything compares the parameters: a request without a name equals one that has the default name.
    new.metadata := jsonb_build_object('voice_name', 'Cloned Voice') || new.metadata;
  end if;
  if new.idempotency_key is not null then
    -- Parallel inserts with the same key do not see each other here. They wait at the unique index, which accepts one
    -- and refuses the others (23505); when those are sent again, this code answers them. No lock per key: all
    -- connections share one lock table, and a bulk insert would fill it.
    select * into v_source from public.ai_jobs as j
    where j.user_id = new.user_id and j.idempotency_key = new.idempotency_key;
    if found then
      if (v_source.job_type, v_source.input_url, v_source.metadata, v_source.depends_on_job_id)
        is not distinct from (new.job_type, new.input_url, new.metadata, new.depends_on_job_id) then
        raise exception 'a job with this idempotency key exists' using
          errcode = 'AJ032', detail = 'idempotency_key', hint = v_source.id::text;
      end if;
      raise exception 'this idempotency key was used for a different request; use a new key' using
        errcode = 'AJ030', detail = 'idempotency_key';
    end if;
  end if;

  select t.is_enabled, t.provider, t.other_providers, t.max_attempts, t.is_input_required, t.input_name, t.input_buckets,
    t.input_mime_types, t.input_max_bytes, t.hooks
  into v_type
  from public.ai_job_types as t
  where t.job_type = new.job_type;
  if not found then
    raise exception 'job_type % is unknown', coalesce(new.job_type, '(none)') using errcode = 'AJ001', detail = 'job_type';
  end if;
  if not v_type.is_enabled then
    raise exception 'job_type % is disabled', new.job_type using errcode = 'AJ002', detail = 'job_type';
  end if;
  if jsonb_typeof(new.metadata) is distinct from 'object' then
    raise exception 'metadata must be a JSON object' using errcode = 'AJ020', detail = 'metadata';
  end if;
  if octet_length(new.metadata::text) > 65536 then
    raise exception 'metadata must have at most 65536 bytes' using errcode = 'AJ020', detail = 'metadata';
  end if;
  v_blank_text := private.blank_ai_job_text(new.metadata);
  if v_blank_text is not null then
    raise exception 'metadata.% must contain a visible character', v_blank_text
      using errcode = 'AJ020', detail = 'metadata.' || v_blank_text;
  end if;
  if new.input_url is not null then
    if v_type.input_buckets = '{}' then
      raise exception '% accepts no input_url; omit it', new.job_type using errcode = 'AJ011', detail = 'input_url';
    end if;
    v_input_version := private.check_ai_job_object(
      new.user_id, new.input_url, 'the ' || v_type.input_name || ' (input_url)', 'input_url', new.job_type,
      v_type.input_buckets, v_type.input_mime_types, v_type.input_max_bytes
    );
  elsif v_type.is_input_required then
    raise exception 'input_url is required for %: the %', new.job_type, v_type.input_name
      using errcode = 'AJ010', detail = 'input_url';
  end if;

  new.provider := v_type.provider;
  if new.metadata ? 'provider' and v_type.other_providers <> '{}' then
    new.provider := new.metadata ->> 'provider';
    if (new.provider = v_type.provider or new.provider = any (v_type.other_providers)) is not true then
      raise exception 'metadata.provider must be one of these: %',
        array_to_string(v_type.provider || v_type.other_providers, ', ')
        using errcode = 'AJ020', detail = 'metadata.provider';
    end if;
  end if;
  if 'check' = any (v_type.hooks) then
    execute format('select private.%I($1)', 'check_' || new.job_type) using new;
  end if;
  new.max_attempts := v_type.max_attempts;
  new.scheduled_at := greatest(new.scheduled_at, now());
  if new.depends_on_job_id is not null then
    -- Before the other job, because deleting an account locks the account first and then its jobs.
    perform 1 from auth.users as u where u.id = new.user_id for key share;
  end if;
  new.is_blocked := new.depends_on_job_id is not null
    and private.is_dependency_unfinished(new.user_id, new.depends_on_job_id);
  if new.is_blocked then
    new.stage := 'waiting_for_dependency';
  elsif new.scheduled_at <= now() then
    new.queue_key := private.next_queue_key(new.user_id, new.job_type, new.provider, new.priority);
  end if;
  new.input_hash := public.ai_job_input_hash(
    new.user_id, new.job_type, new.input_url, new.metadata, v_input_version
  );
  if new.depends_on_job_id is not null then
    -- The same parameters with another dependency are a different request.
    new.input_hash := encode(
      sha256(convert_to(
        new.input_hash || ':' || (
          select coalesce(d.cached_from_job_id, d.id) from public.ai_jobs as d where d.id = new.depends_on_job_id
        ),
        'UTF8'
      )),
      'hex'
    );
  end if;

  if new.cached_from_job_id is not null then
    select * into v_source from public.ai_jobs as j where j.id = new.cached_from_job_id;
    if private.is_ai_job_result_reusable(v_source, new.user_id, new.input_hash) then
      new.status := 'completed';
      new.queue_key := null;
      new.is_blocked := false;
      new.stage := null;
      new.progress_percentage := 100;
      new.result_data := v_source.result_data;
      new.output_url := v_source.output_url;
      new.started_at := now();
      new.completed_at := now();
      new.event_seq := 2;
      new.last_event := 'completed';
    else
      new.cached_from_job_id := null;
    end if;
  end if;
  return new;
end;
$$;
comment on function private.admit_ai_job() is
  'Row trigger before insert: checks type, parameters and input object, fills in the policy of the type, and completes '
  'the job immediately when it names an earlier equal job. Security definer because an owner may neither read the policy '
  'columns nor set the columns that this sets; so it checks the owner of the input itself.';

-- ===== supabase/schemas/jobs/create.sql

-- Creates a job in one call of the Data API, for create-ai-job.

create function public.create_ai_job(
  p_job_type text,
  p_metadata jsonb,
  p_input_url text default null,
  p_idempotency_key text default null,
  p_depends_on_job_id uuid default null,
  -- As the column's default, which a value in the insert replaces.
  p_traceparent text default
    '00-' || replace(gen_random_uuid()::text, '-', '') || '-' || left(replace(gen_random_uuid()::text, '-', ''), 16) || '-01',
  p_is_cache_searched boolean default false,
  p_cached_from_job_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_source_id uuid := p_cached_from_job_id;
  v_hash text;
  v_job record;
begin
  -- The input of a dependent job does not exist yet; the claim searches the cache later.
  if p_is_cache_searched and p_depends_on_job_id is null then
    v_hash := public.ai_job_input_hash(v_user_id, p_job_type, p_input_url, p_metadata);
    begin
      v_source_id := (public.get_ai_result_cache('ai_job:' || v_hash) ->> 'job_id')::uuid;
    exception when others then
      -- The cache saves a call of the provider; without it the job is created anyway.
      raise warning 'the result cache was not read: %', sqlerrm;
    end;
  end if;
  insert into public.ai_jobs as j (
    user_id, job_type, input_url, metadata, idempotency_key, depends_on_job_id, traceparent, cached_from_job_id
  )
  values (
    v_user_id, p_job_type, p_input_url, p_metadata, p_idempotency_key, p_depends_on_job_id, p_traceparent, v_source_id
  )
  returning j.id, j.job_type, j.status, j.input_url, j.metadata, j.result_data, j.cached_from_job_id into v_job;
  return to_jsonb(v_job);
end;
$$;
comment on function public.create_ai_job(text, jsonb, text, text, uuid, text, boolean, uuid) is
  'Inserts a job of the caller and returns its id, job_type, status, input_url, metadata, result_data and '
  'cached_from_job_id. With p_is_cache_searched it first searches ai_result_cache for an earlier equal job; otherwise '
  'p_cached_from_job_id may name one. Raises what the insert raises. Security invoker: the insert and the search have '
  'the rights of the caller, under Row Level Security.';
revoke execute on function public.create_ai_job(text, jsonb, text, text, uuid, text, boolean, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.create_ai_job(text, jsonb, text, text, uuid, text, boolean, uuid) to authenticated;

-- ===== supabase/schemas/jobs/transitions.sql

-- Which changes of status are allowed.

create function private.guard_ai_job_transition()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if (old.status, new.status) not in (
    ('pending', 'processing'),
    ('pending', 'cancelled'),
    ('pending', 'failed'),
    ('processing', 'pending'),
    ('processing', 'completed'),
    ('processing', 'failed'),
    ('processing', 'cancelled'),
    ('failed', 'pending')
  ) then
    raise exception 'ai job % cannot change from % to %', old.id, old.status, new.status using errcode = 'AJ050';
  end if;
  return new;
end;
$$;
comment on function private.guard_ai_job_transition() is
  'Row trigger: refuses a change of status that is not a transition of docs/job-lifecycle.md (AJ050). A completed '
  'or cancelled job never changes again; a failed one only goes back to pending.';

-- ===== supabase/schemas/jobs/claim.sql

-- Claiming: which jobs a worker gets, under the limits of users and providers.

create function private.users_without_room()
returns uuid[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return array(
    select j.user_id
    from public.ai_jobs as j
    where j.status = 'processing'
    group by j.user_id
    having count(*) >= coalesce(
      (select l.max_concurrent_jobs from public.ai_limits as l where l.user_id = j.user_id),
      (select d.max_concurrent_jobs from public.ai_limits as d where d.user_id is null)
    )
    union all
    select l.user_id
    from public.ai_limits as l
    where l.user_id is not null and (l.paused_at is not null or l.max_concurrent_jobs = 0)
  );
end;
$$;
comment on function private.users_without_room() is
  'Users whose jobs may not start now, because they are at their cap or paused.';

create sequence private.ai_job_claims;
comment on sequence private.ai_job_claims is
  'Counts claims, so that every eighth begins with the job that has waited longest.';
revoke all on sequence private.ai_job_claims from public, anon, authenticated, service_role;

create function public.claim_ai_jobs(
  p_limit integer,
  p_job_ids uuid[] default null,
  p_worker text default 'process-ai-job'
)
returns setof public.ai_jobs
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '5s'
-- Planning takes longer than running it, and by default each new connection plans the first five calls again.
set plan_cache_mode = force_generic_plan
-- A plan made while the table is small stays in use after it has grown.
set enable_seqscan = off
-- The cost of a plan that needs one all the same is so high that Postgres would compile it, for a hundred times as long as
-- it runs.
set jit = off
as $$
declare
  v_blocked_users uuid[];
  v_default_cap integer;
  -- One claim in eight begins with the job that waits longest, so that neither priority nor turns can starve one.
  v_is_oldest_first boolean := nextval('private.ai_job_claims') % 8 = 0;
  v_open_providers text[];
  v_is_waiting boolean;
  v_setting text;
  v_ids uuid[];
  v_claimed record;
  v_job public.ai_jobs;
begin
  if p_limit is null or p_limit < 0 then
    raise exception 'p_limit must be 0 or more' using errcode = '22023';
  end if;
  if p_limit = 0 then
    return;
  end if;
  -- Losing a claim in a crash of Postgres is harmless: nothing paid is sent before begin_provider_calls, whose commit
  -- waits for the disk and includes this one. The next claim need not wait either.
  v_setting := set_config('synchronous_commit', 'off', true);
  -- One claim at a time, so that the caps are exact. Released at the end of the transaction, which holds no other
  -- lock.
  perform pg_advisory_xact_lock(hashtextextended('claim_ai_jobs', 0));
  perform private.ready_due_ai_jobs(200);

  -- Many claims find nothing; the statements below would take most of their time.
  select
    exists (
      select 1
      from public.ai_job_types as t
      cross join lateral (
        select 1 from public.ai_jobs as j where j.job_type = t.job_type and j.status = 'pending' and j.queue_key is not null limit 1
      ) as j
      where t.worker = p_worker
    ),
    l.max_concurrent_jobs,
    array(select p.provider from public.ai_providers as p where p.breaker_opened_at is not null)
  into v_is_waiting, v_default_cap, v_open_providers
  from public.ai_limits as l
  where l.user_id is null;
  if not v_is_waiting then
    return;
  end if;
  v_blocked_users := private.users_without_room();

  with
  -- Counted once, not for each row that is read.
  running as materialized (
    select j.provider, j.user_id, count(*) as jobs from public.ai_jobs as j where j.status = 'processing' group by 1, 2
  ),
  -- Job types of this worker that may run, with one lane for each of their providers and the room that it has.
  lanes as materialized (
    select t.job_type, p.provider,
      p.max_concurrent - coalesce((select sum(r.jobs) from running as r where r.provider = p.provider), 0) as room
    from public.ai_job_types as t
    join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
      -- Jobs that wait for a provider that their type no longer names stay with it, because they may be paid for. One
      -- row in the order of the index: for an exists the planner may choose to read all waiting jobs.
      or (
        select true
        from public.ai_jobs as j
        where j.job_type = t.job_type and j.provider = p.provider and j.status = 'pending' and j.queue_key is not null
        order by j.priority
        limit 1
      )
    where t.worker = p_worker and t.is_enabled and t.paused_at is null and p.paused_at is null
      and (
        p.breaker_opened_at is null
        or (
          p.breaker_probe_at <= clock_timestamp()
          and not exists (select 1 from public.ai_jobs as j where j.id = p.breaker_probe_job_id and j.status = 'processing')
        )
      )
  ),
  -- Only one, however many are claimed: the others of a batch follow the turns; otherwise one user's backlog would
  -- fill the batch.
  oldest as materialized (
    select c.*, l.job_type, l.provider, l.room
    from lanes as l
    cross join lateral (
      select j.id, j.user_id, j.priority, j.queue_key, j.scheduled_at
      from public.ai_jobs as j
      where j.job_type = l.job_type and j.provider = l.provider and j.status = 'pending' and j.queue_key is not null
        and j.attempt < j.max_attempts
        -- With coalesce the planner expects half of the rows. For the arrays, which it does not know, it expects
        -- almost none, and would read and sort all waiting jobs instead of following the index to its first rows.
        and coalesce(j.user_id <> all (v_blocked_users), true)
        and coalesce(j.id = any (p_job_ids), true)
      order by j.scheduled_at, j.id
      limit 1
    ) as c
    where l.room > 0 and v_is_oldest_first
    order by c.scheduled_at, c.id
    limit 1
  ),
  -- The next jobs of each lane; more than requested, because the caps of users exclude some.
  candidates as (
    select 0 as rank, o.* from oldest as o
    union all
    select 1, c.*, l.job_type, l.provider, l.room
    from lanes as l
    cross join lateral (
      select j.id, j.user_id, j.priority, j.queue_key, j.scheduled_at
      from public.ai_jobs as j
      where j.job_type = l.job_type and j.provider = l.provider and j.status = 'pending' and j.queue_key is not null
        and j.attempt < j.max_attempts
        and coalesce(j.user_id <> all (v_blocked_users), true)
        and coalesce(j.id = any (p_job_ids), true)
        and j.id is distinct from (select o.id from oldest as o)
      order by j.priority, j.queue_key, j.scheduled_at, j.id
      limit p_limit * 4
    ) as c
    where l.room > 0
  ),
  -- Turns are counted within a lane; the first job of each lane comes before the second of any.
  in_lane as (
    select c.*,
      row_number() over (partition by c.job_type, c.provider order by c.rank, c.priority, c.queue_key, c.scheduled_at, c.id) as position
    from candidates as c
  ),
  numbered as (
    select c.*,
      row_number() over (partition by c.user_id order by c.rank, c.priority, c.position, c.scheduled_at, c.id) as of_user,
      row_number() over (partition by c.provider order by c.rank, c.priority, c.position, c.scheduled_at, c.id) as of_provider
    from in_lane as c
  ),
  chosen as (
    select j.id
    -- Sorted here, so that only the rows that are taken are looked up and locked.
    from (
      select c.id
      from numbered as c
      left join public.ai_limits as l on l.user_id = c.user_id
      where c.of_provider <= c.room
        -- An open breaker lets one job through at a time.
        and (c.of_provider = 1 or c.provider <> all (v_open_providers))
        and c.of_user <= coalesce(l.max_concurrent_jobs, v_default_cap)
          - coalesce((select sum(r.jobs) from running as r where r.user_id = c.user_id), 0)
      order by c.rank, c.priority, c.position, c.scheduled_at, c.id
    ) as n
    -- One by one through the primary key: as a join, each of them would be compared with all.
    cross join lateral (
      select p.id
      from public.ai_jobs as p
      -- With coalesce no index of waiting jobs applies, which would be read from one end to the other.
      where p.id = n.id and coalesce(p.status = 'pending', true)
      limit 1
      for update skip locked
    ) as j
    limit p_limit
  )
  select array_agg(c.id) into v_ids from chosen as c;
  if v_ids is null then
    return;
  end if;

  for v_claimed in
  with claimed as (
    update public.ai_jobs as j
    set status = 'processing',
        attempt = j.attempt + 1,
        queue_key = null,
        lease_token = gen_random_uuid(),
        lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
        -- Never before created_at: after a failover to a machine whose clock is behind, one such row would otherwise
        -- fail its check and with it every claim.
        started_at = coalesce(j.started_at, greatest(clock_timestamp(), j.created_at)),
        stage = 'claimed',
        event_seq = j.event_seq + 1,
        last_event = 'claimed'
    from public.ai_job_types as t
    where j.id = any (v_ids) and t.job_type = j.job_type
    returning j.*
  )
  select c as job,
    -- The cache entry is not trusted: reuse_ai_job_result checks that the job exists and is equal.
    (
      select (r.value ->> 'job_id')::uuid
      from public.ai_result_cache as r
      where r.cache_key = 'ai_job:' || c.input_hash and r.expires_at > now()
        and r.value ->> 'job_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' and r.value ->> 'job_id' <> c.id::text
    ) as cached_from_job_id
  from claimed as c
  loop
    v_job := v_claimed.job;
    if v_job.provider = any (v_open_providers) then
      update public.ai_providers as p
      set breaker_probe_job_id = v_job.id
      where p.provider = v_job.provider and p.breaker_opened_at is not null;
    end if;
    -- Only in the response.
    v_job.cached_from_job_id := v_claimed.cached_from_job_id;
    return next v_job;
  end loop;
end;
$$;
comment on function public.claim_ai_jobs(integer, uuid[], text) is
  'Claims up to p_limit due jobs of p_worker''s types (of p_job_ids, if given): status processing, attempt + 1, a new '
  'lease token. Lower priority first, users in turns; one claim in eight begins with the job that has waited longest. '
  'Never exceeds the caps of providers and users, never gives a job to two callers, and lets through one job at a time '
  'as a probe of a provider whose breaker is open. cached_from_job_id, in the answer only: the job that the result cache '
  'has for this input; see reuse_ai_job_result. 0 rows: nothing may run. service_role only; security definer '
  'because it reads limits and calls functions of schema private.';
revoke execute on function public.claim_ai_jobs(integer, uuid[], text) from public, anon, authenticated;
grant execute on function public.claim_ai_jobs(integer, uuid[], text) to service_role;

create function public.claim_dispatched_ai_jobs(
  p_message_id text,
  p_sent_at_unix double precision,
  p_limit integer,
  p_worker text default 'process-ai-job'
)
returns setof public.ai_jobs
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_sent_at_unix is null or abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > 300 then
    raise exception 'the timestamp of dispatch % is more than five minutes off', p_message_id using errcode = 'AJ040';
  end if;
  insert into private.dispatch_receipts (message_id) values (p_message_id) on conflict do nothing;
  if not found then
    raise exception 'dispatch % was already delivered', p_message_id using errcode = 'AJ041';
  end if;
  delete from private.expected_claims as e where e.id = p_message_id;
  if found and not private.is_polled(p_worker) then
    perform private.wait_for_relying_inserts(p_worker);
  end if;
  return query select c.* from public.claim_ai_jobs(p_limit, null, p_worker) as c;
end;
$$;
comment on function public.claim_dispatched_ai_jobs(text, double precision, integer, text) is
  'claim_ai_jobs for a dispatch whose signature the caller has verified: also refuses one that is more than five '
  'minutes old or ahead by this clock, not the worker''s (AJ040), and one that was already delivered (AJ041). '
  'service_role only. Security definer because the receipts are in schema private.';
revoke execute on function public.claim_dispatched_ai_jobs(text, double precision, integer, text) from public, anon, authenticated;
grant execute on function public.claim_dispatched_ai_jobs(text, double precision, integer, text) to service_role;

create function public.poll_ai_jobs(
  p_poll_id uuid,
  p_limit integer,
  p_is_last boolean default false,
  p_worker text default 'process-ai-job'
)
returns setof public.ai_jobs
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_is_last then
    delete from private.expected_claims as e where e.id = p_poll_id::text;
    if found then
      perform private.wait_for_relying_inserts(p_worker);
    end if;
  else
    insert into private.expected_claims as e (id, worker, is_poll)
    values (p_poll_id::text, p_worker, true)
    -- Not at each poll: inserts rely on it for half a second.
    on conflict (id) do update set expected_at = excluded.expected_at
    where e.expected_at < clock_timestamp() - interval '100 milliseconds';
  end if;
  return query select c.* from public.claim_ai_jobs(p_limit, null, p_worker) as c;
end;
$$;
comment on function public.poll_ai_jobs(uuid, integer, boolean, text) is
  'claim_ai_jobs for a worker that claims again within a quarter of a second for as long as jobs keep arriving: inserts rely '
  'on that and send it no dispatch. p_is_last ends this: it waits for the inserts that relied on it, 50 ms at most, and '
  'claims their jobs. If p_limit is less than what is due then, the caller must call wake_ai_job_worker. A worker that dies '
  'in between is relied on for half a second; the sweep dispatches those jobs. service_role only; security definer '
  'because the table of expected claims is in schema private.';
revoke execute on function public.poll_ai_jobs(uuid, integer, boolean, text) from public, anon, authenticated;
grant execute on function public.poll_ai_jobs(uuid, integer, boolean, text) to service_role;

-- ===== supabase/schemas/jobs/leases.sql

-- Shared parts of the functions that handle several jobs in one call.
--
-- These functions list their jobs in an array (j.id = any (v_ids)), and look up calls and events one by one. Otherwise a
-- generic plan, made while the tables are small, may join them by reading a whole index, and stays in use after they
-- have grown.

create function private.lock_leased_ai_jobs(p_items jsonb)
returns uuid[]
language plpgsql
volatile
security definer
set search_path = ''
-- The planner expects a hundred items and would read a table of some thousand rows completely.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  -- Two conditions would be one statement, which is started even for a single item.
  if jsonb_array_length(p_items) > 1 then
    if (select count(*) <> count(distinct i.job_id) from jsonb_to_recordset(p_items) as i (job_id uuid)) then
      raise exception 'each job may occur only once in a call' using errcode = '22023';
    end if;
  end if;
  return array(
    select j.id
    from jsonb_to_recordset(p_items) as b (job_id uuid, lease_token uuid)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    where j.id = any (array(select i.job_id from jsonb_to_recordset(p_items) as i (job_id uuid)))
    order by j.id
    for no key update of j
  );
end;
$$;
comment on function private.lock_leased_ai_jobs(jsonb) is
  'Locks the jobs of [{job_id, lease_token, …}] whose lease is held, ordered by id, as every function that locks '
  'several jobs does, and returns their ids. Refuses two items of one job (22023). The lock is not stronger than that of '
  'an update, so that inserting a job that depends on one of them does not wait. Security definer because security definer '
  'functions call it.';

create function private.item_error(p_sqlstate text, p_message text, p_detail text, p_constraint text)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'code', p_sqlstate, 'message', p_message, 'details', nullif(p_detail, ''), 'constraint', nullif(p_constraint, '')
  ));
$$;
comment on function private.item_error(text, text, text, text) is
  'The error of one item of a call with several: what the call would have raised for it alone.';

-- ===== supabase/schemas/jobs/heartbeat.sql

-- The heartbeat of a worker for all the jobs that it holds.

create function public.heartbeat_ai_jobs(p_beats jsonb)
returns table (job_id uuid, is_cancel_requested boolean)
language plpgsql
volatile
security definer
set search_path = ''
-- The planner expects a hundred beats and would read a table of some thousand rows completely.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  -- If a crash of Postgres shortens a lease, the job is only rescued sooner.
  v_setting constant text := set_config('synchronous_commit', 'off', true);
  v_job_ids constant uuid[] := private.lock_leased_ai_jobs(p_beats);
begin
  return query
  update public.ai_jobs as j
  set lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      -- least() ignores nulls, so a beat without progress would count as 99.
      progress_percentage = greatest(j.progress_percentage, least(coalesce(b.progress, 0), 99)),
      stage = coalesce(b.stage, j.stage),
      event_seq = j.event_seq + (b.progress is not null or b.stage is not null)::integer,
      last_event = case when b.progress is not null or b.stage is not null then 'progress' else j.last_event end
  from jsonb_to_recordset(p_beats) as b (job_id uuid, lease_token uuid, progress integer, stage text),
    public.ai_job_types as t
  where j.id = b.job_id
    and j.id = any (v_job_ids)
    and j.lease_token = b.lease_token
    and t.job_type = j.job_type
  returning j.id, j.cancel_requested_at is not null;
end;
$$;
comment on function public.heartbeat_ai_jobs(jsonb) is
  'For all jobs that a worker holds, in one call: extends their leases and, where given, reports progress (never '
  'backwards, never 100) and stage. p_beats: [{job_id, lease_token, progress?, stage?}]. The worker has lost every job '
  'that is not returned and must stop it. service_role only; security definer for the lock in schema private.';
revoke execute on function public.heartbeat_ai_jobs(jsonb) from public, anon, authenticated;
grant execute on function public.heartbeat_ai_jobs(jsonb) to service_role;

-- ===== supabase/schemas/jobs/journal.sql

-- The journal of paid calls: a call is written before it is sent.

create function private.mark_open_calls_unknown(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  update public.ai_provider_calls as c
  set outcome = 'unknown'
  where c.job_id = any (p_job_ids) and c.outcome = 'sent';
end;
$$;
comment on function private.mark_open_calls_unknown(uuid[]) is
  'Marks the open calls of jobs that have left processing as unknown, because no worker waits for them any more. A '
  'call is sent only while its job is processing; without this, a call whose response was lost could be neither '
  'queried nor resolved. Security definer because security definer functions call it.';

create function private.units_to_reserve(p_job public.ai_jobs, p_operation text, p_units bigint)
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_job.billable_calls = 0 then
    return least(greatest(coalesce(p_units, 1), 1), 1000000000);
  end if;
  return (
    select least(
      greatest(
        coalesce(p_units, 1), 1, max(c.units), max(c.estimated_cost_micros * c.price_units / nullif(c.price_micros, 0))
      ),
      1000000000
    )
    from public.ai_provider_calls as c
    where c.job_id = p_job.id and c.operation = p_operation
  );
end;
$$;
comment on function private.units_to_reserve(public.ai_jobs, text, bigint) is
  'The units to reserve for a call: at least one, and at least as many as an earlier call of the step was estimated at '
  'or used. A call is sent again when its result was discarded, and its caller may no longer know the units.';

create function private.reserve_call_costs(p_calls jsonb)
returns table (job_id uuid, decision text)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_month constant date := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
  v_item record;
  v_reserved_jobs uuid[] := '{}';
  v_reserved_micros bigint[] := '{}';
  v_provider text;
  v_remaining bigint;
begin
  -- All limits are locked before the first provider, so that a wait for one user's row never blocks all other users
  -- at the provider.
  for v_item in
    select j.id, j.user_id, (private.units_to_reserve(j, b.operation, b.units) * p.price_micros + p.per_units - 1) / p.per_units as estimate
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, operation text, units bigint)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    join public.ai_prices as p on p.job_type = j.job_type and p.provider = j.provider
    where p.price_micros > 0 and j.cancel_requested_at is null
      and j.id = any (array(select i.job_id from jsonb_to_recordset(p_calls) as i (job_id uuid)))
      and (
        select c.id from public.ai_provider_calls as c
        where c.job_id = b.job_id and c.operation = b.operation
          and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
        limit 1
      ) is null
    order by j.user_id, j.id
  loop
    insert into public.ai_limits (user_id) values (v_item.user_id) on conflict (user_id) do nothing;
    -- Usage above the estimate reduces the budget immediately; when it is used up, no call with a price fits.
    update public.ai_limits as l
    set reserved_micros = l.reserved_micros + v_item.estimate,
        spent_micros = case when l.budget_month >= v_month then l.spent_micros else 0 end,
        budget_month = greatest(l.budget_month, v_month)
    where l.user_id = v_item.user_id
      and case when l.budget_month >= v_month then l.spent_micros else 0 end + l.reserved_micros + v_item.estimate
        <= coalesce(
          l.budget_micros,
          (select d.budget_micros from public.ai_limits as d where d.user_id is null),
          9223372036854775807
        );
    if found then
      v_reserved_jobs := v_reserved_jobs || v_item.id;
      v_reserved_micros := v_reserved_micros || v_item.estimate;
    else
      return query select v_item.id, 'over_budget';
    end if;
  end loop;

  for v_item in
    select j.id, j.user_id, j.provider, p.budget_micros, r.estimate
    from unnest(v_reserved_jobs, v_reserved_micros) as r (id, estimate)
    join public.ai_jobs as j on j.id = r.id
    join public.ai_providers as p on p.provider = j.provider
    where p.budget_micros is not null
    order by j.provider, j.user_id, j.id
  loop
    if v_item.provider is distinct from v_provider then
      v_provider := v_item.provider;
      -- One transaction at a time from here to the commit, so that each sees the reservations of the previous ones.
      perform pg_advisory_xact_lock(hashtextextended('ai_providers.budget_micros:' || v_provider, 0));
      select v_item.budget_micros
        - (
          select coalesce(sum(s.spent_micros), 0) from public.ai_provider_spend as s
          where s.provider = v_provider and s.month = v_month
        )
        - (
          select coalesce(sum(c.estimated_cost_micros), 0) from public.ai_provider_calls as c
          where c.provider = v_provider and c.outcome in ('sent', 'unknown')
        )
      into v_remaining;
    end if;
    if v_item.estimate <= v_remaining then
      v_remaining := v_remaining - v_item.estimate;
    else
      update public.ai_limits as l
      set reserved_micros = l.reserved_micros - v_item.estimate
      where l.user_id = v_item.user_id;
      return query select v_item.id, 'over_provider_budget';
    end if;
  end loop;
end;
$$;
comment on function private.reserve_call_costs(jsonb) is
  'Reserves the estimated cost of those calls of begin_provider_calls that have a price and would be sent. Returns the '
  'jobs whose call does not fit, and into which budget: over_budget (the owner''s) or over_provider_budget. Locks '
  'limits by user, then budgets by provider. Security definer because security definer functions call it.';

create function private.count_ended_calls(p_job_id uuid, p_operation text)
returns integer
language sql
stable
security invoker
set search_path = ''
as $$
  select count(*)::integer
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.operation = p_operation and (c.outcome = 'rejected' or c.discarded_at is not null);
$$;
comment on function private.count_ended_calls(uuid, text) is
  'How many calls of a step were refused, or made something that was discarded. The next request needs another '
  'idempotency key than they had: the provider would repeat their response. An absent call is not counted: a request '
  'under its key creates nothing new if it was made after all.';

create function private.begin_leased_calls(p_calls jsonb, p_job_ids uuid[])
returns table (
  job_id uuid, call_id uuid, decision text, provider_object_id text, is_lookup_conclusive boolean, ended_calls integer
)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_over_budget uuid[] := '{}';
  v_over_provider_budget uuid[] := '{}';
  v_sent uuid[];
  v_repeated uuid[] := '{}';
  v_is_carrying constant boolean := jsonb_path_exists(p_calls, '$[*].report_stage');
  v_setting text;
begin
  if exists (
    select 1
    from jsonb_to_recordset(p_calls) as b (job_id uuid)
    join public.ai_jobs as j on j.id = b.job_id
    join public.ai_prices as p on p.job_type = j.job_type and p.provider = j.provider
    where p.price_micros > 0 and j.id = any (p_job_ids)
  ) then
    select
      coalesce(array_agg(r.job_id) filter (where r.decision = 'over_budget'), '{}'),
      coalesce(array_agg(r.job_id) filter (where r.decision = 'over_provider_budget'), '{}')
    into v_over_budget, v_over_provider_budget
    from private.reserve_call_costs(p_calls) as r;
  end if;

  with sent as (
    insert into public.ai_provider_calls as c (
      id, job_id, user_id, provider, operation, attempt, units, price_micros, price_units, estimated_cost_micros, trace_id
    )
    select
      b.call_id, j.id, j.user_id, j.provider, b.operation, j.attempt, u.units, u.price_micros, u.price_units,
      (u.units * u.price_micros + u.price_units - 1) / u.price_units, substr(j.traceparent, 4, 32)
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, call_id uuid, operation text, units bigint)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    left join public.ai_prices as p on p.job_type = j.job_type and p.provider = j.provider
    cross join lateral (
      select private.units_to_reserve(j, b.operation, b.units) as units,
        coalesce(p.price_micros, 0) as price_micros, coalesce(p.per_units, 1) as price_units
      -- Otherwise the units would be computed for each of the columns that use them.
      offset 0
    ) as u
    -- Nothing is sent for an owner who has cancelled.
    where j.cancel_requested_at is null and j.id <> all (v_over_budget) and j.id <> all (v_over_provider_budget)
      and j.id = any (p_job_ids)
      and (
        select o.id from public.ai_provider_calls as o
        where o.job_id = b.job_id and o.operation = b.operation
          and o.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and o.discarded_at is null
        limit 1
      ) is null
    returning c.job_id
  )
  select coalesce(array_agg(s.job_id), '{}') into v_sent from sent as s;

  if cardinality(v_sent) < jsonb_array_length(p_calls) then
    -- Another call of the step is open, but its sender no longer waits for a response.
    update public.ai_provider_calls as c
    set outcome = 'unknown'
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, call_id uuid, operation text)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    where c.job_id = b.job_id and c.job_id = any (p_job_ids) and j.id = any (p_job_ids) and c.operation = b.operation
      and c.outcome = 'sent' and c.discarded_at is null and c.id <> b.call_id;
    -- Items that write nothing: refused ones, and calls that are repeated because the first response was lost.
    return query
    select
      j.id,
      c.id,
      case
        when c.id is not null then 'send'
        when j.id = any (v_over_budget) then 'over_budget'
        when j.id = any (v_over_provider_budget) then 'over_provider_budget'
        else 'cancelled'
      end,
      null::text,
      false,
      private.count_ended_calls(j.id, b.operation)
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, call_id uuid, operation text)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    left join lateral (
      select o.id, o.outcome from public.ai_provider_calls as o
      where o.job_id = b.job_id and o.operation = b.operation
        and o.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and o.discarded_at is null
      limit 1
    ) as c on true
    where j.id = any (p_job_ids) and j.id <> all (v_sent) and (c.id is null or (c.id = b.call_id and c.outcome = 'sent'));
    if jsonb_path_exists(p_calls, '$[*].repeat_within_seconds') then
      -- The provider knows the request by its key. The call is in flight again, so that unknown_since counts from the
      -- end of its last sender: an empty lookup must not be conclusive while that request is being processed.
      with repeated as (
        update public.ai_provider_calls as c
        set outcome = 'sent', repeated_at = clock_timestamp()
        from jsonb_to_recordset(p_calls)
            as b (job_id uuid, lease_token uuid, operation text, repeat_within_seconds integer)
          join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
          join public.ai_job_types as t on t.job_type = j.job_type
        where c.job_id = b.job_id and c.job_id = any (p_job_ids) and j.id = any (p_job_ids) and c.operation = b.operation
          and c.outcome = 'unknown' and c.discarded_at is null and j.cancel_requested_at is null
          and c.sent_at > clock_timestamp() - make_interval(secs => b.repeat_within_seconds)
          and c.unknown_since > clock_timestamp() - make_interval(secs => t.reconcile_seconds)
        returning c.job_id
      )
      select coalesce(array_agg(r.job_id), '{}') into v_repeated from repeated as r;
    end if;
  end if;

  if cardinality(v_sent || v_repeated) > 0 and current_setting('synchronous_commit') = 'off' then
    -- The next step sends the call, which cannot be undone, so this commit must survive a crash of Postgres, even in
    -- a project that has disabled this for speed.
    v_setting := set_config('synchronous_commit', 'on', true);
  end if;

  if v_is_carrying then
    v_setting := set_config('private.carried_changes', private.carried_changes(p_calls), true);
  end if;
  return query
  update public.ai_jobs as j
  set progress_percentage = greatest(j.progress_percentage, b.progress),
      stage = case when j.id = any (v_sent || v_repeated) then b.stage when c.outcome = 'unknown' then 'reconciling' else j.stage end,
      billable_calls = j.billable_calls + (j.id = any (v_sent))::integer,
      spend = case when j.id = any (v_sent) and j.spend = 'none' then 'unknown' else j.spend end,
      lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      event_seq = j.event_seq + 1 + (b.report_stage is not null)::integer,
      last_event = case when j.id = any (v_sent || v_repeated) then 'submitted' else 'progress' end
  from jsonb_to_recordset(p_calls)
      as b (job_id uuid, lease_token uuid, call_id uuid, operation text, progress integer, stage text, report_stage text)
    cross join lateral (
      select o.id, o.outcome, o.provider_object_id, o.unknown_since from public.ai_provider_calls as o
      where o.job_id = b.job_id and o.operation = b.operation
        and o.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and o.discarded_at is null
      limit 1
    ) as c,
    public.ai_job_types as t
  where j.id = b.job_id and j.id = any (p_job_ids) and j.lease_token = b.lease_token and t.job_type = j.job_type
    and (j.id = any (v_sent || v_repeated) or c.outcome <> 'sent')
  returning
    j.id,
    c.id,
    case
      when j.id = any (v_sent) then 'send'
      when j.id = any (v_repeated) then 'repeat'
      when c.outcome = 'unknown' then 'reconcile'
      else 'done'
    end,
    c.provider_object_id,
    coalesce(c.unknown_since <= clock_timestamp() - make_interval(secs => t.reconcile_seconds), false),
    -- The first call of a job has none before it.
    case when j.billable_calls > 1 then private.count_ended_calls(j.id, b.operation) else 0 end;

  if v_is_carrying then
    v_setting := set_config('private.carried_changes', '', true);
  end if;
end;
$$;
comment on function private.begin_leased_calls(jsonb, uuid[]) is
  'The work of begin_provider_calls, for the jobs p_job_ids, which it has locked. Security definer because security definer '
  'functions call it.';

create function public.begin_provider_calls(p_calls jsonb)
returns table (
  job_id uuid, call_id uuid, decision text, provider_object_id text, is_lookup_conclusive boolean, ended_calls integer,
  error jsonb
)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_call jsonb;
  v_code text;
  v_message text;
  v_detail text;
  v_constraint text;
begin
  begin
    -- Locked in here: to update rows in a subtransaction that the transaction itself has locked takes a multixact.
    return query
    select r.*, null::jsonb from private.begin_leased_calls(p_calls, private.lock_leased_ai_jobs(p_calls)) as r;
    return;
  exception when data_exception or integrity_constraint_violation then
    null;
  end;
  -- What was locked above is not any more.
  perform private.lock_leased_ai_jobs(p_calls);
  -- An item cannot be written: repeat them one by one, so that it fails alone. Ordered by user, as limits are locked.
  for v_call in
    select i.item
    from jsonb_array_elements(p_calls) as i (item)
    join public.ai_jobs as j on j.id = (i.item ->> 'job_id')::uuid and j.lease_token = (i.item ->> 'lease_token')::uuid
    order by j.user_id, j.id
  loop
    begin
      return query
      select r.*, null::jsonb from private.begin_leased_calls(
        jsonb_build_array(v_call), array[(v_call ->> 'job_id')::uuid]
      ) as r;
    exception when data_exception or integrity_constraint_violation then
      get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_constraint = constraint_name;
      return query
      select (v_call ->> 'job_id')::uuid, null::uuid, null::text, null::text, false, 0,
        private.item_error(v_code, v_message, v_detail, v_constraint);
    end;
  end loop;
end;
$$;
comment on function public.begin_provider_calls(jsonb) is
  'Journals paid calls before they are sent, and decides for each what to do. p_calls: [{job_id, lease_token, call_id, '
  'operation, progress, stage, units?, repeat_within_seconds?, report_progress?, report_stage?}], one for each job; the '
  'report is one that no heartbeat has sent, and precedes the call in the timeline. One row for each job whose lease is held; a job without a '
  'row has lost it. decision: send; reconcile (an earlier call of this step has an unknown outcome: query the provider '
  'first); repeat (the same, but the provider was queried, the call was first sent less than repeat_within_seconds ago, '
  'and the provider knows it by its key: send it once more, under the same call_id); done (it succeeded: use provider_object_id); cancelled (the owner has cancelled: send nothing); over_budget '
  '(the price of the units, by ai_prices, exceeds the rest of the owner''s budget: send nothing); over_provider_budget '
  '(it exceeds the rest of the provider''s budget for all users, ai_providers.budget_micros: send nothing). '
  'is_lookup_conclusive: the outcome has been unknown for so long that an empty lookup means that nothing was created. '
  'ended_calls: how many calls of this step were refused or discarded, for the idempotency key (private.count_ended_calls). '
  'The cost of what is sent is reserved until it is settled. call_id, generated by the caller, makes it safe to repeat '
  'a call whose response was lost: the same id gets send again. An item that cannot be written has error {code, '
  'message, details?, constraint?} and changes nothing; the others are committed. service_role only; security definer '
  'for its parts in schema private.';
revoke execute on function public.begin_provider_calls(jsonb) from public, anon, authenticated;
grant execute on function public.begin_provider_calls(jsonb) to service_role;

-- ===== supabase/schemas/jobs/settle_calls.sql

-- The outcome of paid calls.

create function private.write_call_outcomes(p_items jsonb, p_job_ids uuid[])
returns uuid[]
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_settled uuid[];
begin
  if jsonb_path_exists(p_items, '$[*] ? (@.outcome == "adopted")') then
    -- Equal speeches have no marker of their job: two lookups may find the same one.
    perform pg_advisory_xact_lock(hashtextextended('provider_object:' || k.provider || ':' || k.object_id, 0))
    from (
      select distinct c.provider, b.provider_object_id as object_id
      from jsonb_to_recordset(p_items) as b (job_id uuid, call_id uuid, outcome text, provider_object_id text)
      join public.ai_provider_calls as c on c.id = b.call_id and c.job_id = b.job_id
      where b.outcome = 'adopted' and b.provider_object_id is not null
      order by 1, 2
    ) as k;
    if exists (
      select 1
      from jsonb_to_recordset(p_items) as b (job_id uuid, call_id uuid, outcome text, provider_object_id text)
      join public.ai_provider_calls as c on c.id = b.call_id and c.job_id = b.job_id
      where b.outcome = 'adopted' and (
        exists (
          select 1 from public.ai_provider_calls as o
          where o.provider = c.provider and o.provider_object_id = b.provider_object_id
            and (o.job_id <> c.job_id or o.operation <> c.operation)
        ) or exists (
          select 1
          from jsonb_to_recordset(p_items) as i (job_id uuid, call_id uuid, outcome text, provider_object_id text)
          join public.ai_provider_calls as o on o.id = i.call_id and o.job_id = i.job_id
          where i.outcome = 'adopted' and o.provider = c.provider and i.provider_object_id = b.provider_object_id
            and o.id <> c.id
        )
      )
    ) then
      raise exception 'another call has created this object' using errcode = 'AJ098', detail = 'provider_object_id';
    end if;
  end if;
  with settled as (
    update public.ai_provider_calls as c
    set outcome = b.outcome,
        provider_object_id = b.provider_object_id,
        http_status = b.http_status,
        error_code = b.error_code,
        units = coalesce(b.units, c.units),
        settled_at = case when b.outcome = 'unknown' then null else clock_timestamp() end
    from jsonb_to_recordset(p_items) as b (
        job_id uuid, lease_token uuid, call_id uuid, outcome text, provider_object_id text, http_status integer,
        error_code text, units bigint
      )
      join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    where c.id = b.call_id and c.job_id = b.job_id and c.job_id = any (p_job_ids) and j.id = any (p_job_ids)
      and (c.outcome = 'sent' or (c.outcome = 'unknown' and b.outcome is distinct from 'unknown'))
    returning c.job_id
  )
  select coalesce(array_agg(s.job_id), '{}') into v_settled from settled as s;
  return v_settled;
end;
$$;
comment on function private.write_call_outcomes(jsonb, uuid[]) is
  'Writes the outcome of open calls into the journal, for the jobs p_job_ids, which the caller has locked, and returns those '
  'whose call was open. Raises AJ098 for a call that adopts what another step or job has recorded or adopts too. Security '
  'definer because security definer functions call it.';

create function private.settle_leased_calls(p_calls jsonb, p_job_ids uuid[])
returns table (job_id uuid, is_settled boolean)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_settled uuid[] := private.write_call_outcomes(p_calls, p_job_ids);
begin
  if cardinality(v_settled) > 0 then
    update public.ai_jobs as j
    set progress_percentage = greatest(j.progress_percentage, b.progress),
        provider_job_id = coalesce(b.provider_object_id, j.provider_job_id),
        spend = k.spend,
        cost_micros = k.cost_micros,
        lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
        event_seq = j.event_seq + 1,
        last_event = 'settled'
    from jsonb_to_recordset(p_calls) as b (job_id uuid, provider_object_id text, progress integer)
      cross join lateral (
        select
          case
            when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
            when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
            else 'none'
          end as spend,
          coalesce(sum(c.cost_micros), 0) as cost_micros
        from public.ai_provider_calls as c
        where c.job_id = b.job_id
      ) as k,
      public.ai_job_types as t
    where b.job_id = any (v_settled) and j.id = any (v_settled) and j.id = b.job_id and t.job_type = j.job_type;
  end if;

  if cardinality(v_settled) = jsonb_array_length(p_calls) then
    return query select s.id, true from unnest(v_settled) as s (id);
    return;
  end if;
  return query
  select
    j.id,
    j.id = any (v_settled) or exists (
      -- Already settled in the same way; the response was lost.
      select 1 from public.ai_provider_calls as c
      where c.id = b.call_id and c.job_id = b.job_id and c.outcome = b.outcome
        and c.provider_object_id is not distinct from b.provider_object_id
    )
  from jsonb_to_recordset(p_calls)
    as b (job_id uuid, lease_token uuid, call_id uuid, outcome text, provider_object_id text)
  join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
  where j.id = any (p_job_ids);
end;
$$;
comment on function private.settle_leased_calls(jsonb, uuid[]) is
  'The work of settle_provider_calls, for the jobs p_job_ids, which it has locked. Security definer because security definer '
  'functions call it.';

create function public.settle_provider_calls(p_calls jsonb)
returns table (job_id uuid, is_settled boolean, error jsonb)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_call jsonb;
  v_code text;
  v_message text;
  v_detail text;
  v_constraint text;
begin
  begin
    -- Only the holder of the lease settles, and no other worker can take the job over in between. Locked in here, as in
    -- begin_provider_calls.
    return query
    select r.*, null::jsonb from private.settle_leased_calls(p_calls, private.lock_leased_ai_jobs(p_calls)) as r;
    return;
  exception when data_exception or integrity_constraint_violation or sqlstate 'AJ098' then
    null;
  end;
  -- What was locked above is not any more.
  perform private.lock_leased_ai_jobs(p_calls);
  -- An item cannot be written: repeat them one by one, so that it fails alone. Ordered by user, as limits are locked.
  for v_call in
    select i.item
    from jsonb_array_elements(p_calls) as i (item)
    join public.ai_jobs as j on j.id = (i.item ->> 'job_id')::uuid and j.lease_token = (i.item ->> 'lease_token')::uuid
    order by j.user_id, j.id
  loop
    begin
      return query
      select r.*, null::jsonb from private.settle_leased_calls(
        jsonb_build_array(v_call), array[(v_call ->> 'job_id')::uuid]
      ) as r;
    exception when data_exception or integrity_constraint_violation or sqlstate 'AJ098' then
      get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_constraint = constraint_name;
      return query
      select (v_call ->> 'job_id')::uuid, false, private.item_error(v_code, v_message, v_detail, v_constraint);
    end;
  end loop;
end;
$$;
comment on function public.settle_provider_calls(jsonb) is
  'Writes the outcome and cost of journalled calls, and the provider''s ids of what they created onto their jobs, in '
  'one commit. p_calls: [{job_id, lease_token, call_id, outcome, provider_object_id?, http_status?, error_code?, '
  'progress?, units?}], one for each job; without units the estimate counts. One row for each job whose lease is held; '
  'a job without a row has lost it. is_settled is true, and nothing changes, for a repeated settlement; false, and '
  'nothing changes, for a call that was settled differently. An item that cannot be written has error {code, message, '
  'details?, constraint?} and changes nothing; the others are committed. service_role only; security definer for its '
  'parts in schema private.';
revoke execute on function public.settle_provider_calls(jsonb) from public, anon, authenticated;
grant execute on function public.settle_provider_calls(jsonb) to service_role;

-- ===== supabase/schemas/jobs/products.sql

-- Products: the rows that jobs create as results. Each module registers the kinds that it saves.

create table private.ai_job_products (
  kind text not null,
  constraint ai_job_products_pkey primary key (kind),
  constraint ai_job_products_kind_is_word check (kind ~ '^[a-z][a-z_]{0,39}$')
);
comment on table private.ai_job_products is
  'The kinds of product that complete_ai_jobs accepts. It saves all of a kind with private.save_<kind>(p_items jsonb, '
  'p_job_ids uuid[]), as its owner and in the commit that completes the jobs: p_items is [{job_id, product, …}], and '
  'p_job_ids are the jobs that were completed, with items of other kinds among them.';

alter table private.ai_job_products enable row level security;
revoke all on private.ai_job_products from public, anon, authenticated, service_role;

-- ===== supabase/schemas/jobs/complete.sql

-- Completes jobs together with the rows of their results.

create function private.complete_leased_jobs(p_jobs jsonb, p_job_ids uuid[])
returns uuid[]
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_settled uuid[] := '{}';
  v_is_carrying boolean;
  v_done uuid[];
  v_kind text;
  v_is_known boolean;
  v_setting text;
begin
  if jsonb_path_exists(p_jobs, '$[*].call_id') then
    v_settled := private.write_call_outcomes(p_jobs, p_job_ids);
  end if;

  v_is_carrying := cardinality(v_settled) > 0 or jsonb_path_exists(p_jobs, '$[*].report_stage');
  if v_is_carrying then
    v_setting := set_config('private.carried_changes', private.carried_changes(p_jobs), true);
  end if;
  with done as (
    update public.ai_jobs as j
    set status = 'completed',
        progress_percentage = 100,
        stage = null,
        result_data = b.result_data,
        output_url = b.output_url,
        provider_job_id = coalesce(b.provider_object_id, j.provider_job_id),
        spend = coalesce(k.spend, j.spend),
        cost_micros = coalesce(k.cost_micros, j.cost_micros),
        error_code = null,
        error_message = null,
        lease_token = null,
        lease_expires_at = null,
        completed_at = greatest(clock_timestamp(), j.started_at),
        event_seq = j.event_seq + 1 + (k.spend is not null)::integer + (b.report_stage is not null)::integer,
        last_event = 'completed'
    from jsonb_to_recordset(p_jobs) as b (
        job_id uuid, lease_token uuid, result_data jsonb, output_url text, call_id uuid, outcome text,
        provider_object_id text, report_stage text
      )
      left join lateral (
        select
          case
            when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
            when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
            else 'none'
          end as spend,
          coalesce(sum(c.cost_micros), 0) as cost_micros
        from public.ai_provider_calls as c
        where c.job_id = b.job_id
      ) as k on b.job_id = any (v_settled)
    where j.id = b.job_id and j.id = any (p_job_ids) and j.lease_token = b.lease_token
      and (
        b.call_id is null
        -- Settled by this write, or identically before.
        or exists (
          select 1 from public.ai_provider_calls as c
          where c.id = b.call_id and c.job_id = b.job_id and c.outcome = b.outcome
            and c.provider_object_id is not distinct from b.provider_object_id
        )
      )
    returning j.id
  )
  select coalesce(array_agg(d.id), '{}') into v_done from done as d;

  if v_is_carrying then
    v_setting := set_config('private.carried_changes', '', true);
  end if;

  for v_kind, v_is_known in
    select distinct b.product ->> 'kind', k.kind is not null
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, product jsonb)
    left join private.ai_job_products as k on k.kind = b.product ->> 'kind'
    where b.product is not null and b.job_id = any (v_done)
    order by 1
  loop
    if not v_is_known then
      raise exception 'product.kind must be a kind in private.ai_job_products' using errcode = 'AJ080', detail = 'p_jobs.product.kind';
    end if;
    execute format('select private.%I($1, $2)', 'save_' || v_kind) using p_jobs, v_done;
  end loop;

  if jsonb_path_exists(p_jobs, '$[*].cache_seconds') then
    insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
    -- Two equal jobs of one call have one entry.
    select distinct on (j.input_hash)
      'ai_job:' || j.input_hash, j.user_id, jsonb_build_object('job_id', j.id), now() + make_interval(secs => b.cache_seconds)
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, cache_seconds integer)
    join public.ai_jobs as j on j.id = b.job_id
    where b.cache_seconds > 0 and j.id = any (v_done) and j.input_hash is not null
    order by j.input_hash, j.id
    on conflict (cache_key) do update
    set value = excluded.value, expires_at = excluded.expires_at, user_id = excluded.user_id;
  end if;
  return v_done;
end;
$$;
comment on function private.complete_leased_jobs(jsonb, uuid[]) is
  'The work of complete_ai_jobs, for the jobs p_job_ids, which it has locked like their accounts; returns the completed '
  'jobs. Security definer because security definer functions call it.';

create function public.complete_ai_jobs(p_jobs jsonb)
returns table (job_id uuid, error jsonb)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_job jsonb;
  v_job_ids uuid[];
  v_code text;
  v_message text;
  v_detail text;
  v_constraint text;
begin
  -- Products and cache entries refer to the owner's account. Deleting an account locks it and then its jobs, so it is
  -- locked first here.
  perform 1
  from auth.users as u
  where u.id = any (array(
    select j.user_id
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, product jsonb, cache_seconds integer)
    join public.ai_jobs as j on j.id = b.job_id
    where (b.product is not null or b.cache_seconds > 0)
      and j.id = any (array(select i.job_id from jsonb_to_recordset(p_jobs) as i (job_id uuid)))
  ))
  order by u.id
  for key share;
  begin
    -- Locked in here, as in begin_provider_calls.
    return query
    select d.id, null::jsonb
    from unnest(private.complete_leased_jobs(p_jobs, private.lock_leased_ai_jobs(p_jobs))) as d (id);
    return;
  exception when data_exception or integrity_constraint_violation or sqlstate 'AJ080' or sqlstate 'AJ081' then
    null;
  end;
  -- What was locked above is not any more.
  perform private.lock_leased_ai_jobs(p_jobs);
  -- An item cannot be written: repeat them one by one, so that it fails alone. By user, since settlements lock limits.
  for v_job in
    select i.item
    from jsonb_array_elements(p_jobs) as i (item)
    join public.ai_jobs as j on j.id = (i.item ->> 'job_id')::uuid and j.lease_token = (i.item ->> 'lease_token')::uuid
    order by j.user_id, j.id
  loop
    v_job_ids := array[(v_job ->> 'job_id')::uuid];
    begin
      -- In its own block, so that the settlement is kept even if the result cannot be saved.
      if v_job ? 'call_id' then
        perform private.settle_leased_calls(jsonb_build_array(v_job), v_job_ids);
      end if;
      begin
        return query
        select d.id, null::jsonb from unnest(private.complete_leased_jobs(jsonb_build_array(v_job), v_job_ids)) as d (id);
      exception when data_exception or integrity_constraint_violation or sqlstate 'AJ080' or sqlstate 'AJ081' then
        get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
          v_constraint = constraint_name;
        return query
        select (v_job ->> 'job_id')::uuid, private.item_error(v_code, v_message, v_detail, v_constraint);
      end;
    exception when data_exception or integrity_constraint_violation then
      -- The settlement failed, so nothing of the item is written.
      get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_constraint = constraint_name;
      return query
      select (v_job ->> 'job_id')::uuid, private.item_error(v_code, v_message, v_detail, v_constraint);
    end;
  end loop;
end;
$$;
comment on function public.complete_ai_jobs(jsonb) is
  'Completes claimed jobs and writes the rows of their results, in one commit. p_jobs: [{job_id, lease_token, '
  'result_data, output_url?, product?, call_id?, outcome?, provider_object_id?, units?, report_progress?, report_stage?, '
  'cache_seconds?}], one for each job. With call_id, it also settles that call, as settle_provider_calls does. report_progress '
  'and report_stage: a report that no heartbeat has sent yet. cache_seconds: how long the result cache keeps the job. One '
  'row for each job whose lease is held; a job without a row has lost it, or its call was settled differently, and nothing '
  'changed. product has a kind that is registered in private.ai_job_products, whose function private.save_<kind> writes the '
  'rows; owner, job, provider and file come from the job. An item that cannot be written has error {code, message, details?, '
  'constraint?} (AJ080, AJ081, or a constraint), and its job stays as it was, but its call is settled; the others are '
  'committed. service_role only; security definer because it locks the owners'' accounts, in schema auth, before the jobs.';
revoke execute on function public.complete_ai_jobs(jsonb) from public, anon, authenticated;
grant execute on function public.complete_ai_jobs(jsonb) to service_role;

-- ===== supabase/schemas/jobs/fail.sql

-- The other ends of an attempt: fail, snooze, release.

create function private.ai_job_backoff(p_job_type text, p_attempt integer)
returns interval
language sql
volatile
security invoker
set search_path = ''
as $$
  select make_interval(
    secs => least(t.backoff_base_seconds * power(2, greatest(p_attempt, 1) - 1), t.backoff_max_seconds)
      * (0.8 + 0.4 * random())
  )
  from public.ai_job_types as t
  where t.job_type = p_job_type;
$$;
comment on function private.ai_job_backoff(text, integer) is
  'Wait after a failed attempt: base × 2^(attempt-1) seconds of the job type, capped, ±20 % so that jobs that failed '
  'together do not return together.';

create function private.ending_message(p_job_id uuid, p_error_code text, p_last_cause text)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select concat_ws(
    ' ',
    case p_error_code
      when 'outcome_unknown' then 'It is unknown whether the AI provider did the work; it was not sent again.'
      when 'job_expired' then 'The job did not finish within the time limit of its type.'
    end,
    case when p_error_code = 'outcome_unknown' then (
      select string_agg(
        format(
          'Its call %s %s.',
          c.operation,
          case
            when c.error_code is null then 'was interrupted before a response arrived'
            else 'ended with ' || c.error_code || coalesce(' (HTTP ' || c.http_status || ')', '')
          end
        ),
        ' ' order by c.sent_at
      )
      from public.ai_provider_calls as c
      where c.job_id = p_job_id and c.outcome in ('sent', 'unknown')
    ) end,
    'Last: ' || p_last_cause
  );
$$;
comment on function private.ending_message(uuid, text, text) is
  'The error message for outcome_unknown, with how the calls in question ended, or for job_expired; followed by the '
  'last known cause. All of it is safe to show to the owner.';

create function public.fail_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_error_code text,
  p_error_message text,
  p_is_retryable boolean,
  p_retry_after_seconds double precision default null
)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_is_outage boolean;
  v_retry boolean;
  v_is_unknown boolean;
  v_status text;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return null;
  end if;
  v_is_outage := private.note_failed_attempt(v_job, p_error_code) and p_is_retryable;
  v_retry := v_is_outage or (p_is_retryable and v_job.attempt < v_job.max_attempts);
  -- A worker that gives up no longer waits for the response.
  update public.ai_provider_calls as c set outcome = 'unknown' where c.job_id = p_job_id and c.outcome = 'sent';
  v_is_unknown := not v_retry and exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job_id and c.outcome in ('sent', 'unknown')
  );
  update public.ai_jobs as j
  set status = case when v_retry then 'pending' else 'failed' end,
      attempt = j.attempt - v_is_outage::integer,
      progress_percentage = case when v_retry then 0 else j.progress_percentage end,
      error_code = case when v_is_unknown then 'outcome_unknown' else p_error_code end,
      error_message =
        case when v_is_unknown then private.ending_message(j.id, 'outcome_unknown', p_error_message) else p_error_message end,
      scheduled_at = case
        when v_retry then clock_timestamp() + greatest(
          -- While the breaker is open, it decides when the job may be retried.
          case when v_is_outage then interval '0' else private.ai_job_backoff(j.job_type, j.attempt) end,
          make_interval(secs => least(coalesce(p_retry_after_seconds, 0), 3600))
        )
        else j.scheduled_at
      end,
      lease_token = null,
      lease_expires_at = null,
      completed_at = case when v_retry then null else greatest(clock_timestamp(), j.started_at) end,
      event_seq = j.event_seq + 1,
      last_event = case when v_retry then 'retried' else 'failed' end
  where j.id = p_job_id
  returning j.status into v_status;
  return v_status;
end;
$$;
comment on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) is
  'Ends an attempt. Back to pending after the backoff (at least p_retry_after_seconds, up to an hour of it) while '
  'attempts are left and the error is retryable; otherwise failed. A job that fails with a paid call of unknown '
  'outcome gets outcome_unknown, and its message keeps the given cause. A retryable failure of a provider whose '
  'breaker is open spends no attempt. Returns the new status, which is cancelled if the owner has requested that '
  'meanwhile; null if the lease is lost. service_role only; security definer for the backoff in schema private.';
revoke execute on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) from public, anon, authenticated;
grant execute on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) to service_role;

create function public.snooze_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_delay_seconds double precision,
  p_stage text default null,
  p_error_code text default null,
  p_error_message text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_probe_at timestamptz;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return false;
  end if;
  v_probe_at := private.note_snoozed_job(v_job, p_error_code);
  update public.ai_jobs as j
  set status = 'pending',
      attempt = j.attempt - 1,
      stage = coalesce(p_stage, j.stage),
      error_code = p_error_code,
      error_message = p_error_message,
      -- While the breaker is open, it decides when the job may run.
      scheduled_at = least(
        clock_timestamp() + make_interval(secs => least(greatest(p_delay_seconds, 0), 3600)), v_probe_at
      ),
      lease_token = null,
      lease_expires_at = null,
      event_seq = j.event_seq + 1,
      last_event = 'snoozed'
  where j.id = p_job_id;
  return true;
end;
$$;
comment on function public.snooze_ai_job(uuid, uuid, double precision, text, text, text) is
  'Requeues a claimed job for later without spending the attempt: the provider is still working, its listing may lag, '
  'or, with p_error_code, a call that is not in the journal failed. The job shows that code while it waits, and the '
  'breaker counts it if the provider is at fault. False: the lease is lost. service_role only; security definer for the breaker '
  'in schema private.';
revoke execute on function public.snooze_ai_job(uuid, uuid, double precision, text, text, text) from public, anon, authenticated;
grant execute on function public.snooze_ai_job(uuid, uuid, double precision, text, text, text) to service_role;

create function public.release_ai_job(p_job_id uuid, p_lease_token uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'pending',
      attempt = j.attempt - 1,
      scheduled_at = clock_timestamp(),
      lease_token = null,
      lease_expires_at = null,
      event_seq = j.event_seq + 1,
      last_event = 'released'
  where j.id = p_job_id and j.lease_token = p_lease_token;
  return found;
end;
$$;
comment on function public.release_ai_job(uuid, uuid) is
  'Requeues a claimed job immediately and returns its attempt: the worker is shutting down. False: the lease is lost. '
  'service_role only.';
revoke execute on function public.release_ai_job(uuid, uuid) from public, anon, authenticated;
grant execute on function public.release_ai_job(uuid, uuid) to service_role;

create function private.finish_instead_of_requeue()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_is_too_old boolean;
begin
  if new.cancel_requested_at is not null then
    new.status := 'cancelled';
    new.error_code := 'cancelled';
    new.error_message := private.cancellation_message(new.spend);
    new.last_event := 'cancelled';
  else
    select old.started_at < clock_timestamp() - make_interval(secs => t.max_age_seconds) into v_is_too_old
    from public.ai_job_types as t
    where t.job_type = new.job_type;
    if not v_is_too_old then
      return new;
    end if;
    new.status := 'failed';
    new.error_code := case
      when exists (
        select 1 from public.ai_provider_calls as c where c.job_id = new.id and c.outcome in ('sent', 'unknown')
      ) then 'outcome_unknown'
      else 'job_expired'
    end;
    new.error_message := private.ending_message(new.id, new.error_code, new.error_message);
    new.last_event := 'failed';
  end if;
  new.stage := null;
  new.completed_at := greatest(clock_timestamp(), new.started_at);
  return new;
end;
$$;
comment on function private.finish_instead_of_requeue() is
  'Row trigger: a running job that is released, snoozed, retried or rescued ends instead of waiting again if its owner '
  'has cancelled it, or if it is older than its type allows. So no job is requeued forever. Security definer because '
  'it reads the type''s policy for every role that requeues a job.';

-- ===== supabase/schemas/jobs/cancel.sql

-- Cancelling and retrying, for the owner of a job.

create function public.cancel_ai_job(p_job_id uuid, p_lease_token uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'cancelled',
      stage = null,
      error_code = 'cancelled',
      error_message = private.cancellation_message(j.spend),
      lease_token = null,
      lease_expires_at = null,
      completed_at = greatest(clock_timestamp(), j.started_at),
      event_seq = j.event_seq + 1,
      last_event = 'cancelled'
  where j.id = p_job_id and j.lease_token = p_lease_token and j.cancel_requested_at is not null;
  return found;
end;
$$;
comment on function public.cancel_ai_job(uuid, uuid) is
  'Ends a claimed job whose owner requested its cancellation; spend on the row says whether it cost money. False: the '
  'lease is lost or no cancellation was requested; nothing changed. service_role only; security definer for the '
  'message in schema private.';
revoke execute on function public.cancel_ai_job(uuid, uuid) from public, anon, authenticated;
grant execute on function public.cancel_ai_job(uuid, uuid) to service_role;

create function private.cancellation_message(p_spend text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select case p_spend
    when 'none' then 'Cancelled before anything was paid.'
    when 'incurred' then 'Cancelled after the AI provider had done paid work.'
    else 'Cancelled during a call to the AI provider; it may have cost money.'
  end;
$$;
comment on function private.cancellation_message(text) is
  'The message to the owner of a cancelled job: whether it cost money.';

create function private.apply_owner_request()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.cancel_requested_at is distinct from old.cancel_requested_at then
    if new.cancel_requested_at is null or old.cancel_requested_at is not null then
      -- A repeated request changes nothing; a request cannot be withdrawn.
      new.cancel_requested_at := old.cancel_requested_at;
    elsif old.status not in ('pending', 'processing') then
      raise exception 'the job is %; only a waiting or running job can be cancelled', old.status using errcode = 'AJ071', detail = 'job_id';
    else
      new.cancel_requested_at := now();
      new.event_seq := old.event_seq + 1;
      new.last_event := 'cancel_requested';
      if old.status = 'pending' then
        new.status := 'cancelled';
        new.queue_key := null;
        new.is_blocked := false;
        new.stage := null;
        new.error_code := 'cancelled';
        new.error_message := private.cancellation_message(old.spend);
        new.completed_at := greatest(clock_timestamp(), old.started_at, old.created_at);
        new.last_event := 'cancelled';
      end if;
    end if;
  end if;

  if new.retry_requested_at is distinct from old.retry_requested_at then
    if old.status <> 'failed' then
      raise exception 'the job is %; only a failed job can be retried', old.status using errcode = 'AJ070', detail = 'job_id';
    end if;
    if old.spend = 'unknown' then
      raise exception 'it is unknown whether this job was paid for; an operator must resolve it before it can be retried' using
        errcode = 'AJ072', detail = 'job_id';
    end if;
    if old.max_attempts >= 100 then
      raise exception 'the job had % attempts, which is the limit; create a new job', old.attempt using errcode = 'AJ070', detail = 'job_id';
    end if;
    new.retry_requested_at := now();
    new.status := 'pending';
    if old.error_code = 'dependency_failed' and new.depends_on_job_id is null then
      raise exception 'the job that this one depends on was deleted; create a new job' using errcode = 'AJ017', detail = 'job_id';
    end if;
    -- If it is retried with its dependency, it is already blocked; if it is retried alone, the dependency must be
    -- checked.
    if not new.is_blocked then
      new.is_blocked := private.is_dependency_unfinished(new.user_id, new.depends_on_job_id);
    end if;
    new.started_at := null;
    new.max_attempts := least(100, old.attempt + (
      select t.max_attempts from public.ai_job_types as t where t.job_type = old.job_type
    ));
    new.progress_percentage := 0;
    new.stage := case when new.is_blocked then 'waiting_for_dependency' end;
    new.scheduled_at := now();
    new.completed_at := null;
    new.cancel_requested_at := null;
    new.event_seq := old.event_seq + 1;
    new.last_event := 'retry_requested';
  end if;
  return new;
end;
$$;
comment on function private.apply_owner_request() is
  'Row trigger: applies cancel_requested_at and retry_requested_at, the only columns that an owner may change. A '
  'waiting job is cancelled immediately, a running one after its worker''s next heartbeat. A failed job is retried unless '
  'it is unknown whether it was paid for (AJ072). Security definer because an owner may not read the policy of a '
  'disabled type.';

-- ===== supabase/schemas/jobs/rescue.sql

-- Requeues jobs whose worker died.

create function public.rescue_stalled_ai_jobs(p_limit integer default 500)
returns table (job_id uuid, status text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  return query
  with stalled as (
    select j.id
    from public.ai_jobs as j
    where j.status = 'processing' and j.lease_expires_at <= clock_timestamp()
    order by j.lease_expires_at
    limit p_limit
    for update of j skip locked
  ),
  -- From now on, a call whose sender died has an unknown outcome.
  marked as (
    update public.ai_provider_calls as c
    set outcome = 'unknown'
    from stalled as s
    where c.job_id = s.id and c.outcome = 'sent'
    returning c.job_id
  ),
  decided as (
    select s.id, k.has_open_call, m.job_id is not null as has_lost_call, m.job_id is not null or k.is_paid as gets_another
    from stalled as s
    left join marked as m on m.job_id = s.id
    -- Job by job through the index, because the journal grows with the age of the project.
    cross join lateral (
      select
        coalesce(bool_or(c.outcome in ('sent', 'unknown')), false) as has_open_call,
        coalesce(bool_or(c.outcome in ('succeeded', 'adopted')), false) as is_paid
      from public.ai_provider_calls as c
      where c.job_id = s.id
    ) as k
  )
  update public.ai_jobs as j
  set
    -- A last attempt that died during a paid call gets one more claim, to query the provider. This cannot repeat,
    -- because the call is then no longer 'sent'. A last attempt that died with a paid result is retried until the job
    -- expires.
    attempt = j.attempt - (j.attempt >= j.max_attempts and d.gets_another)::integer,
    status = case when j.attempt < j.max_attempts or d.gets_another then 'pending' else 'failed' end,
    progress_percentage =
      case when j.attempt < j.max_attempts or d.gets_another then 0 else j.progress_percentage end,
    scheduled_at = case
      when j.attempt <= 1 or d.has_lost_call then clock_timestamp()
      else clock_timestamp() + private.ai_job_backoff(j.job_type, j.attempt - 1)
    end,
    error_code = case when d.has_open_call and j.attempt >= j.max_attempts then 'outcome_unknown' else 'lease_expired' end,
    error_message = case
      when d.has_open_call and j.attempt >= j.max_attempts
        then private.ending_message(j.id, 'outcome_unknown', 'The worker stopped responding.')
      else 'The worker stopped responding.'
    end,
    completed_at = case when j.attempt < j.max_attempts or d.gets_another then null else greatest(clock_timestamp(), j.started_at) end,
    lease_token = null,
    lease_expires_at = null,
    event_seq = j.event_seq + 1,
    last_event = case when j.attempt < j.max_attempts or d.gets_another then 'rescued' else 'failed' end
  from decided as d
  where j.id = d.id
  returning j.id, j.status;
end;
$$;
comment on function public.rescue_stalled_ai_jobs(integer) is
  'Requeues jobs whose lease has expired: to pending (the attempt stays spent; immediately after the first, with backoff '
  'later), or to failed with lease_expired or outcome_unknown when no attempts are left. Called by the sweep. '
  'service_role only; security definer for the backoff in schema private.';
revoke execute on function public.rescue_stalled_ai_jobs(integer) from public, anon, authenticated;
grant execute on function public.rescue_stalled_ai_jobs(integer) to service_role;

-- ===== supabase/schemas/jobs/operator.sql

-- For the operator: redriving, resolving and pausing jobs.

create function private.retry_failed_ai_job(p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j set retry_requested_at = clock_timestamp() where j.id = p_job_id;
  return true;
exception
  when sqlstate 'AJ034' or sqlstate 'AJ036' or sqlstate 'AJ037' or sqlstate 'AJ070' or sqlstate 'AJ017' then
    return false;
end;
$$;
comment on function private.retry_failed_ai_job(uuid) is
  'Retries a failed job for the operator. False, and the job stays failed, if its owner has no room for another active '
  'job or voice, it was tried too often, or its dependency was deleted; a redrive continues with the other jobs.';

create function public.redrive_ai_jobs(
  p_job_type text default null,
  p_error_code text default null,
  p_user_id uuid default null,
  p_failed_since timestamptz default '-infinity',
  p_limit integer default 1000
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ids uuid[];
  v_id uuid;
  v_count integer := 0;
begin
  if p_limit is null or p_limit < 1 then
    raise exception 'p_limit must be 1 or more' using errcode = '22023', detail = 'p_limit';
  end if;
  if p_job_type is not null and not exists (select 1 from public.ai_job_types as t where t.job_type = p_job_type) then
    raise exception 'there is no job type %', p_job_type using errcode = 'AJ075', detail = 'p_job_type';
  end if;
  if p_user_id is not null and not exists (select 1 from auth.users as u where u.id = p_user_id) then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
  end if;
  select array_agg(c.id order by c.user_id, c.id) into v_ids
  from (
    select f.id, f.user_id
    from public.ai_jobs as f
    where f.status = 'failed' and f.spend <> 'unknown' and f.max_attempts < 100
      -- These are retried with the job that they depend on.
      and f.error_code <> 'dependency_failed'
      and (p_job_type is null or f.job_type = p_job_type)
      and (p_error_code is null or f.error_code = p_error_code)
      and (p_user_id is null or f.user_id = p_user_id)
      and f.completed_at >= p_failed_since
    order by f.completed_at
    limit p_limit
    for update skip locked
  ) as c;
  -- Ordered by user, as every function locks quotas: otherwise two parallel redrives could deadlock.
  foreach v_id in array coalesce(v_ids, '{}') loop
    v_count := v_count + private.retry_failed_ai_job(v_id)::integer;
  end loop;
  return v_count;
end;
$$;
comment on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) is
  'Retries failed jobs that match every given filter, oldest first, up to p_limit; returns how many. A job whose owner '
  'has no room for it stays failed. Skips jobs whose spend is unknown, because each needs a decision '
  '(resolve_unknown_ai_job). Jobs that failed because of their dependency are retried with it. A job type or user that '
  'does not exist is an error (AJ075). For the operator; service_role only; security definer for the retry in schema '
  'private.';
revoke execute on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) from public, anon, authenticated;
grant execute on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) to service_role;

create function private.record_call_change(p_job_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set spend = k.spend,
      error_message = case when j.status = 'cancelled' then private.cancellation_message(k.spend) else j.error_message end,
      provider_job_id = k.provider_object_id,
      cost_micros = k.cost_micros
  from (
    select
      case
        when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
        when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
        else 'none'
      end as spend,
      coalesce(sum(c.cost_micros), 0) as cost_micros,
      (array_agg(c.provider_object_id order by c.settled_at desc) filter (where c.outcome in ('succeeded', 'adopted')))[1]
        as provider_object_id
    from public.ai_provider_calls as c
    where c.job_id = p_job_id
  ) as k
  where j.id = p_job_id;
end;
$$;
comment on function private.record_call_change(uuid) is
  'Updates a job after someone other than its worker has changed the outcome of its call: what the journal says about the '
  'money, and the provider''s id of what was created last.';

create function private.refuse_provider_object(p_call public.ai_provider_calls, p_object_id text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_object_id !~ '^[A-Za-z0-9][A-Za-z0-9._~-]{0,254}$' or p_object_id = p_call.job_id::text then
    raise exception 'provider_object_id must be the id that the provider gave to the object: letters, digits, ".", "_", "~" and "-", '
      'and neither a marker nor the id of the job' using errcode = 'AJ099', detail = 'p_provider_object_id';
  end if;
  if exists (
    select 1 from public.ai_provider_calls as c
    where c.provider = p_call.provider and c.provider_object_id = p_object_id and c.id <> p_call.id
  ) or exists (
    select 1 from private.provider_rows(p_call.provider, p_object_id)
  ) or exists (
    -- Its marker, in the last list of the provider.
    select 1 from private.provider_objects as o
    where o.provider = p_call.provider and o.object_id = p_object_id and o.job_id <> p_call.job_id
  ) or exists (
    select 1 from private.provider_removals as r
    where r.provider = p_call.provider and r.provider_object_id = p_object_id
  ) then
    raise exception 'provider_object_id belongs to another call, or to something that was removed; search for the marker job:%',
      p_call.job_id using errcode = 'AJ098', detail = 'p_provider_object_id';
  end if;
end;
$$;
comment on function private.refuse_provider_object(public.ai_provider_calls, text) is
  'Raises an error unless this id can be of what the call created: AJ099 when it does not have the form of an id, AJ098 '
  'when another call created the object, a row names it, it has another job''s marker, or it was or will be removed. '
  'What the provider has under this id is not known here.';

create function private.first_unknown_call(p_job_id uuid)
returns public.ai_provider_calls
language sql
stable
security invoker
set search_path = ''
as $$
  select c.*
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.outcome = 'unknown'
  order by c.sent_at, c.id
  limit 1;
$$;
comment on function private.first_unknown_call(uuid) is
  'The call of a job with an unknown outcome that was sent first: the one that an operator''s next answer resolves.';

create function public.resolve_unknown_ai_job(p_job_id uuid, p_was_made boolean, p_provider_object_id text default null)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_status text;
  v_call public.ai_provider_calls;
begin
  if p_was_made is null or p_was_made <> (p_provider_object_id is not null) then
    raise exception 'pass the provider''s id of the created object, or p_was_made => false without an id' using
      errcode = 'AJ073', detail = 'p_provider_object_id';
  end if;
  -- The job's row first, as everywhere.
  select j.status into v_status
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('failed', 'cancelled')
  for no key update;
  if v_status is null then
    return false;
  end if;
  v_call := private.first_unknown_call(p_job_id);
  if v_call.id is null then
    return false;
  end if;
  if p_was_made then
    -- Two jobs that are resolved at the same time must not both get the object.
    perform pg_advisory_xact_lock(hashtextextended('provider_object:' || v_call.provider || ':' || p_provider_object_id, 0));
    perform private.refuse_provider_object(v_call, p_provider_object_id);
  end if;
  update public.ai_provider_calls as c
  set outcome = case when p_was_made then 'adopted' else 'absent' end,
      provider_object_id = p_provider_object_id,
      settled_at = clock_timestamp(),
      answered_at = clock_timestamp()
  where c.id = v_call.id;
  perform private.record_call_change(p_job_id);
  if v_status = 'failed' and not exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job_id and c.outcome = 'unknown'
  ) then
    perform private.retry_failed_ai_job(p_job_id);
  end if;
  return true;
end;
$$;
comment on function public.resolve_unknown_ai_job(uuid, boolean, text) is
  'Records what the operator found out at the provider about a parked job''s paid call: the provider''s id of what it '
  'created, or that it created nothing; the cost follows from that. An id that cannot be of this call is refused (AJ098, '
  'AJ099). A failed job then runs again, with that object or with a new call, unless its owner has no room for another '
  'active job: then the owner can retry it later. A cancelled job stays cancelled. Of several such calls the one sent first '
  'is meant, and the job runs again after the last. False: the job has no such call. service_role only; security definer '
  'for the retry in schema private.';
revoke execute on function public.resolve_unknown_ai_job(uuid, boolean, text) from public, anon, authenticated;
grant execute on function public.resolve_unknown_ai_job(uuid, boolean, text) to service_role;

create function private.last_operator_answer(p_job_id uuid)
returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select c.id
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.answered_at is not null and c.discarded_at is null
    and not exists (
      select 1 from public.ai_provider_calls as l where l.job_id = p_job_id and l.sent_at >= c.answered_at
    )
  order by c.answered_at desc, c.id desc
  limit 1;
$$;
comment on function private.last_operator_answer(uuid) is
  'The call that an operator answered last, unless the job has sent another one since: that one followed from the answer, '
  'so the answer stays. Null: there is none.';

create function public.take_back_ai_job_answer(p_job_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_call_id uuid;
begin
  -- The job's row first, as everywhere. A worker may be using the answer of a running job.
  perform 1
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('pending', 'failed', 'cancelled')
  for no key update;
  if not found then
    return false;
  end if;
  v_call_id := private.last_operator_answer(p_job_id);
  if v_call_id is null then
    return false;
  end if;
  update public.ai_provider_calls as c
  set outcome = 'unknown', provider_object_id = null, settled_at = null, answered_at = null
  where c.id = v_call_id;
  perform private.record_call_change(p_job_id);
  update public.ai_jobs as j
  set status = 'failed',
      stage = null,
      queue_key = null,
      is_blocked = false,
      error_code = 'outcome_unknown',
      error_message = private.ending_message(j.id, 'outcome_unknown', 'an operator has taken the answer back.'),
      completed_at = coalesce(j.completed_at, greatest(clock_timestamp(), j.started_at, j.created_at)),
      event_seq = j.event_seq + 1,
      last_event = 'failed'
  where j.id = p_job_id and j.status in ('pending', 'failed');
  return true;
end;
$$;
comment on function public.take_back_ai_job_answer(uuid) is
  'Takes back the operator''s last answer about a job (resolve_unknown_ai_job), so that another one can be given: the '
  'outcome of the call is unknown again, its cost is reserved again, and a job that waits or has failed is parked. False, '
  'and nothing changes: there is no such answer, the job has completed or runs, or it has sent another call since. '
  'service_role only; security definer for its parts in schema private.';
revoke execute on function public.take_back_ai_job_answer(uuid) from public, anon, authenticated;
grant execute on function public.take_back_ai_job_answer(uuid) to service_role;

create function public.doubt_provider_call(
  p_job_id uuid,
  p_lease_token uuid,
  p_operation text,
  p_making_seconds integer default 0
)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_call public.ai_provider_calls;
begin
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for no key update;
  if not found then
    return null;
  end if;
  select c.* into v_call
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.operation = p_operation and c.outcome in ('unknown', 'adopted') and c.discarded_at is null;
  if v_call.outcome = 'unknown' and v_call.error_code = 'provider_object_missing' then
    -- The response to an earlier request was lost.
    return 'doubted';
  elsif v_call.outcome is distinct from 'adopted' then
    return 'kept';
  elsif v_call.settled_at > clock_timestamp() - interval '1 minute'
    or v_call.sent_at > clock_timestamp() - make_interval(secs => p_making_seconds) then
    return 'too_early';
  end if;
  update public.ai_provider_calls as c
  set outcome = 'unknown', provider_object_id = null, settled_at = null, answered_at = null,
      error_code = 'provider_object_missing', http_status = null
  where c.id = v_call.id;
  perform private.record_call_change(p_job_id);
  return 'doubted';
end;
$$;
comment on function public.doubt_provider_call(uuid, uuid, text, integer) is
  'For a worker to which the provider said that the object of a step does not exist. doubted: an operator or a lookup had '
  'named the object, and the outcome of the call is unknown again, so that the job ends as outcome_unknown and nothing is '
  'sent again; too_early: that was less than a minute ago, and a list may lag, or the call was sent less than '
  'p_making_seconds ago, and the object is still being made, so query again; kept: the call itself '
  'returned the object, '
  'and nothing changed. Null: the lease is lost. service_role only; security definer for its part in schema private.';
revoke execute on function public.doubt_provider_call(uuid, uuid, text, integer) from public, anon, authenticated;
grant execute on function public.doubt_provider_call(uuid, uuid, text, integer) to service_role;

create function public.pause_ai_jobs(
  p_job_type text default null,
  p_provider text default null,
  p_user_id uuid default null,
  p_is_paused boolean default true
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_paused_at timestamptz := case when p_is_paused then clock_timestamp() end;
  v_changed integer;
  v_count integer := 0;
begin
  if num_nonnulls(p_job_type, p_provider, p_user_id) = 0 then
    raise exception 'pass a job type, a provider or a user' using errcode = 'AJ074', detail = 'p_job_type';
  end if;
  update public.ai_job_types as t set paused_at = v_paused_at where t.job_type = p_job_type;
  get diagnostics v_changed = row_count;
  if p_job_type is not null and v_changed = 0 then
    raise exception 'there is no job type %', p_job_type using errcode = 'AJ075', detail = 'p_job_type';
  end if;
  v_count := v_count + v_changed;
  update public.ai_providers as p set paused_at = v_paused_at where p.provider = p_provider;
  get diagnostics v_changed = row_count;
  if p_provider is not null and v_changed = 0 then
    raise exception 'there is no provider %', p_provider using errcode = 'AJ075', detail = 'p_provider';
  end if;
  v_count := v_count + v_changed;
  if p_user_id is not null then
    insert into public.ai_limits (user_id, paused_at) values (p_user_id, v_paused_at)
    on conflict (user_id) do update set paused_at = excluded.paused_at;
    v_count := v_count + 1;
  end if;
  return v_count;
exception
  when foreign_key_violation then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
end;
$$;
comment on function public.pause_ai_jobs(text, text, uuid, boolean) is
  'Pauses the jobs of the given type, provider and user, or resumes them with p_is_paused => false. Running jobs '
  'continue, waiting jobs keep their place, new jobs are accepted. Returns how many were paused or resumed. A name '
  'that does not exist is an error (AJ075), and nothing changes. service_role only.';
revoke execute on function public.pause_ai_jobs(text, text, uuid, boolean) from public, anon, authenticated;
grant execute on function public.pause_ai_jobs(text, text, uuid, boolean) to service_role;

create view private.ai_job_dead_letters
with (security_invoker = true)
as
select
  j.id, j.user_id, j.job_type, j.provider, j.error_code, j.error_message, j.attempt, j.spend, j.billable_calls,
  j.provider_job_id, j.created_at, j.completed_at as failed_at,
  (
    select jsonb_agg(
      jsonb_build_object(
        'operation', c.operation, 'attempt', c.attempt, 'outcome', c.outcome, 'error_code', c.error_code,
        'http_status', c.http_status, 'provider_object_id', c.provider_object_id, 'sent_at', c.sent_at
      )
      order by c.sent_at
    )
    from public.ai_provider_calls as c
    where c.job_id = j.id
  ) as provider_calls
from public.ai_jobs as j
where j.status = 'failed' or (j.status = 'cancelled' and j.spend = 'unknown');
comment on view private.ai_job_dead_letters is
  'Failed jobs, and cancelled jobs for which it is unknown whether they were paid for, with their last cause and all '
  'their paid calls. For the operator.';
revoke all on private.ai_job_dead_letters from public, anon, authenticated, service_role;

-- ===== supabase/schemas/providers/breaker.sql

-- A breaker per provider. When a provider keeps failing, its jobs wait instead of failing one by one: nothing is sent
-- and no attempt is spent. One job at a time is sent as a probe, after a growing pause; a normal response lets all jobs
-- continue.
--
-- 5xx, no response and 429 for too many requests count as failures, whether the call is paid or not. A refusal of one
-- request is a normal response, and so is a provider that is still working.
--
-- Submissions and polls are counted apart, because a provider can fail at one of them alone: while it accepts no new
-- work, it may still answer about earlier work. A normal response to a poll does not reset the count of failed submissions.

create function private.is_provider_failure(p_error_code text)
returns boolean
-- plpgsql rather than sql, which Postgres would plan again at each step of a job.
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return coalesce(p_error_code in ('provider_unavailable', 'provider_timeout', 'provider_rate_limited'), false);
end;
$$;
comment on function private.is_provider_failure(text) is
  'Whether the code means that the provider is down or overloaded, rather than a fault of one request or our own load.';

create function private.note_provider_answer(p_provider text, p_job_id uuid, p_is_poll boolean, p_error_code text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- The provider is locked "for no key update": a stronger lock would deadlock with a session that has locked an owner's
  -- limits and inserts a row with a foreign key to the provider.
  if p_error_code is null then
    -- A healthy provider's row is not written.
    update public.ai_providers as p
    set breaker_failures = case when p_is_poll then p.breaker_failures else 0 end,
        breaker_poll_failures =
          case when p_is_poll or p.breaker_opened_at is not null then 0 else p.breaker_poll_failures end,
        breaker_opened_at = case when not n.is_closing then p.breaker_opened_at end,
        breaker_probe_at = case when not n.is_closing then p.breaker_probe_at end,
        breaker_probes = case when n.is_closing then 0 else p.breaker_probes end,
        breaker_probe_job_id = case when not n.is_closing then p.breaker_probe_job_id end
    from (
      select o.provider, not p_is_poll or coalesce(o.breaker_failures < o.breaker_threshold, true) as is_closing
      from public.ai_providers as o
      where o.provider = p_provider
      for no key update
    ) as n
    where p.provider = n.provider
      and case
        when p.breaker_opened_at is not null then p.breaker_probe_job_id = p_job_id
        when p_is_poll then p.breaker_poll_failures > 0
        else p.breaker_failures > 0
      end;
    return;
  end if;
  update public.ai_providers as p
  set breaker_failures = p.breaker_failures + (not p_is_poll)::integer,
      breaker_poll_failures = p.breaker_poll_failures + p_is_poll::integer,
      breaker_last_error_code = p_error_code,
      breaker_opened_at = n.opened_at,
      breaker_probes = n.probes,
      breaker_probe_at = case
        when n.opened_at is not null then clock_timestamp()
          + make_interval(secs => least(p.breaker_pause_seconds * power(2, least(n.probes, 20)), p.breaker_max_pause_seconds))
      end,
      breaker_probe_job_id = null
  from (
    select o.provider,
      case
        when o.breaker_opened_at is not null then o.breaker_opened_at
        when case when p_is_poll then o.breaker_poll_failures else o.breaker_failures end + 1 >= o.breaker_threshold
          then clock_timestamp()
      end as opened_at,
      o.breaker_probes + (o.breaker_opened_at is not null)::integer as probes
    from public.ai_providers as o
    where o.provider = p_provider
    for no key update
  ) as n
  where p.provider = n.provider
    -- Calls that were in flight when the breaker opened carry no new information.
    and (p.breaker_opened_at is null or p.breaker_probe_job_id = p_job_id);
end;
$$;
comment on function private.note_provider_answer(text, uuid, boolean, text) is
  'Counts a failure of a provider (p_error_code), or a normal response (null), to a poll or to a submission. Opens the '
  'breaker at the threshold of either. While it is open only the probe counts: its failure lengthens the pause; its '
  'normal response closes the breaker, but a poll''s only if submissions were not what opened it. Security definer '
  'because triggers call it for every role that changes a job.';

create function private.is_poll(p_job public.ai_jobs)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  return p_job.spend = 'incurred' and not exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job.id and c.outcome in ('sent', 'unknown')
  );
end;
$$;
comment on function private.is_poll(public.ai_jobs) is
  'Whether a call of this job that is not journalled is about paid work that the provider has accepted. Otherwise it '
  'prepares a submission, or queries the outcome of one. Security definer because security definer functions call it.';

create function private.note_failed_attempt(p_job public.ai_jobs, p_error_code text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if not private.is_provider_failure(p_error_code) or p_job.cancel_requested_at is not null then
    return false;
  end if;
  -- A refused paid call was already counted when it was settled.
  if p_job.last_event <> 'settled' then
    perform private.note_provider_answer(p_job.provider, p_job.id, private.is_poll(p_job), p_error_code);
  end if;
  return exists (
    select 1 from public.ai_providers as p where p.provider = p_job.provider and p.breaker_opened_at is not null
  );
end;
$$;
comment on function private.note_failed_attempt(public.ai_jobs, text) is
  'Counts an attempt that ended with a failure of the provider; true while the breaker is open. Security definer '
  'because it calls a security definer function.';

create function private.note_snoozed_job(p_job public.ai_jobs, p_error_code text)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if private.is_provider_failure(p_error_code) then
    if p_job.cancel_requested_at is null then
      perform private.note_provider_answer(p_job.provider, p_job.id, private.is_poll(p_job), p_error_code);
    end if;
    return (select p.breaker_probe_at from public.ai_providers as p where p.provider = p_job.provider);
  end if;
  if p_error_code is null and exists (
    select 1 from public.ai_providers as p
    where p.provider = p_job.provider and (p.breaker_poll_failures > 0 or p.breaker_opened_at is not null)
  ) and private.is_poll(p_job) then
    perform private.note_provider_answer(p_job.provider, p_job.id, true, null);
  end if;
  return null;
end;
$$;
comment on function private.note_snoozed_job(public.ai_jobs, text) is
  'Counts for the breaker why a job is snoozed: a failure of the provider, or, without a code, paid work that it has '
  'not finished yet. A job that waits to query a lost call says nothing. Returns, after a failure, when the next probe '
  'may start if the breaker is open. Security definer because it calls a security definer function.';

create function private.note_completed_jobs(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_job record;
begin
  for v_job in
    select j.id, j.provider
    from public.ai_jobs as j
    -- A healthy provider's row is not written.
    join public.ai_providers as p
      on p.provider = j.provider and (p.breaker_poll_failures > 0 or p.breaker_opened_at is not null)
    where j.id = any (p_job_ids) and j.status = 'completed' and j.cached_from_job_id is null
    order by j.provider, j.id
  loop
    perform private.note_provider_answer(v_job.provider, v_job.id, true, null);
  end loop;
end;
$$;
comment on function private.note_completed_jobs(uuid[]) is
  'Counts a normal response to a poll for each of these jobs that was completed by a worker. The submission''s own '
  'response is counted when its call is settled. Security definer because it calls a security definer function.';

create view private.ai_provider_states
with (security_invoker = true)
as
select
  p.provider,
  case
    when p.paused_at is not null then 'paused'
    when p.breaker_opened_at is null then 'working'
    when p.breaker_probe_at <= clock_timestamp() then 'probing'
    else 'open'
  end as state,
  greatest(p.breaker_failures, p.breaker_poll_failures) as failures_in_a_row,
  case when p.breaker_failures + p.breaker_poll_failures > 0 then p.breaker_last_error_code end as last_error_code,
  p.breaker_opened_at as open_since,
  p.breaker_probe_at as next_probe_at,
  p.breaker_probes as failed_probes,
  (select count(*) from public.ai_jobs as j where j.provider = p.provider and j.status = 'processing') as running,
  (select count(*) from public.ai_jobs as j where j.provider = p.provider and j.status = 'pending') as waiting
from public.ai_providers as p;
comment on view private.ai_provider_states is
  'Each provider: working, paused, open (its jobs wait) or probing (one job at a time tries it). For the operator.';
revoke all on private.ai_provider_states from public, anon, authenticated, service_role;

-- ===== supabase/schemas/providers/webhooks.sql

-- Webhooks of providers. A webhook only makes a waiting job poll sooner; the job reads the result from the provider
-- itself. A webhook that is lost, late, repeated or out of order affects nothing but the time.

create table private.provider_webhook_receipts (
  provider text not null,
  event_id text not null,
  received_at timestamptz not null default clock_timestamp(),
  constraint provider_webhook_receipts_pkey primary key (provider, event_id),
  constraint provider_webhook_receipts_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint provider_webhook_receipts_event_id_length check (length(event_id) between 1 and 255)
);
comment on table private.provider_webhook_receipts is
  'Webhook events that were received, so that a recorded delivery cannot be replayed. Deleted after two days.';

create index provider_webhook_receipts_received_at_idx on private.provider_webhook_receipts (received_at);

alter table private.provider_webhook_receipts enable row level security;
revoke all on private.provider_webhook_receipts from public, anon, authenticated, service_role;

create function public.receive_provider_webhook(
  p_provider text,
  p_event_ids text[],
  p_job_id uuid default null,
  p_provider_job_id text default null,
  p_sent_at_unix double precision default null,
  p_tolerance_seconds integer default 300,
  p_submission_id text default null
)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_event_id text;
  v_submitted uuid;
  v_woken uuid[];
begin
  if p_sent_at_unix is not null
    and abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > p_tolerance_seconds then
    raise exception 'the webhook is more than % seconds old or ahead', p_tolerance_seconds using errcode = 'AJ042';
  end if;
  foreach v_event_id in array coalesce(p_event_ids, '{}') loop
    insert into private.provider_webhook_receipts (provider, event_id) values (p_provider, v_event_id)
    on conflict do nothing;
    if not found then
      return 'replayed';
    end if;
  end loop;

  if p_submission_id <> p_provider_job_id then
    -- The response to the request did not contain the id of the result. No lease is needed to store it: it records
    -- what was paid for and does not affect who owns the job.
    update public.ai_jobs as j
    set provider_job_id = p_provider_job_id
    where j.id = p_job_id and j.provider = p_provider and j.provider_job_id = p_submission_id
      and j.status in ('pending', 'processing')
      -- Someone who has the webhook's secret must not make a job read another job's result.
      and not exists (
        select 1 from public.ai_provider_calls as c
        where c.provider = p_provider and c.provider_object_id = p_provider_job_id
      )
    returning j.id into v_submitted;
    update public.ai_provider_calls as c
    set provider_object_id = p_provider_job_id
    where c.job_id = v_submitted and c.provider_object_id = p_submission_id;
  end if;

  with woken as (
    update public.ai_jobs as j
    set scheduled_at = clock_timestamp()
    where j.id in (
      select w.id
      from public.ai_jobs as w
      where w.status = 'pending' and w.last_event = 'snoozed' and w.provider = p_provider
        and w.scheduled_at > clock_timestamp()
        and (w.id = p_job_id or w.provider_job_id = p_provider_job_id)
      for update skip locked
    )
    returning j.id
  )
  select array_agg(w.id) into v_woken from woken as w;
  if v_woken is null then
    return 'nothing_waits';
  end if;
  perform private.dispatch_ai_jobs(v_woken);
  return 'woken';
end;
$$;
comment on function public.receive_provider_webhook(text, text[], uuid, text, double precision, integer, text) is
  'A webhook whose signature the caller has verified. Refuses one that is older or further ahead than the tolerance by '
  'this clock (AJ042), records its events, and makes the job that it names due immediately, if that job waits for this '
  'provider. p_submission_id: the provider''s id of the request, if the webhook has one in addition to the id of the result; '
  'a job that knows only the former gets the latter. Returns woken, nothing_waits or replayed; nothing else about any '
  'job changes. service_role only; security definer because the receipts and the dispatch are in schema private.';
revoke execute on function public.receive_provider_webhook(text, text[], uuid, text, double precision, integer, text)
  from public, anon, authenticated;
grant execute on function public.receive_provider_webhook(text, text[], uuid, text, double precision, integer, text) to service_role;

create function private.prune_provider_webhook_receipts()
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  delete from private.provider_webhook_receipts as r where r.received_at < clock_timestamp() - interval '2 days';
$$;
comment on function private.prune_provider_webhook_receipts() is
  'Hourly: deletes receipts older than two days; a provider retries for at most one day.';

-- ===== supabase/schemas/providers/voice_limits.sql

-- Limits of cloned voices per user and per project: a clone costs nothing, but the plans of providers allow few.
-- Exact under parallel inserts: inserts of one user wait for the user's row in ai_limits; clones of one provider wait
-- for its advisory lock, which is taken only if the provider has a limit.

create function private.count_user_voices(p_user_id uuid)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select
    (select count(*) from public.voices as v where v.user_id = p_user_id and v.provider_missing_since is null)
    + (
      select count(*) from public.ai_jobs as j
      where j.user_id = p_user_id and j.job_type = 'voice_clone' and j.status in ('pending', 'processing')
    )
    + (
      select count(*)
      from public.ai_provider_calls as c
      join public.ai_jobs as j on j.id = c.job_id
      where c.user_id = p_user_id and c.operation = 'create_voice'
        and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
        and j.status in ('failed', 'cancelled')
    );
$$;
comment on function private.count_user_voices(uuid) is
  'A user''s voices: those at a provider, those that unfinished jobs will create, and those that ended jobs have '
  'created, or may have created, without a row. A deleted voice no longer counts.';

create function private.count_provider_voices(p_provider text)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select
    (select count(*) from public.voices as v where v.provider = p_provider and v.provider_missing_since is null)
    + (
      select count(*) from public.ai_jobs as j
      where j.provider = p_provider and j.job_type = 'voice_clone' and j.status in ('pending', 'processing')
    )
    + (
      select count(*)
      from public.ai_provider_calls as c
      join public.ai_jobs as j on j.id = c.job_id
      where c.provider = p_provider and c.operation = 'create_voice'
        and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
        and j.status in ('failed', 'cancelled')
        and not exists (select 1 from private.provider_removals as r where r.job_id = c.job_id and r.done_at is null)
    )
    + (
      select count(*) from private.provider_removals as r
      where r.provider = p_provider and r.object_type in ('voice', 'create_voice') and r.done_at is null
    );
$$;
comment on function private.count_provider_voices(text) is
  'Voices that count against a provider''s limit: existing ones, those that unfinished jobs will create, those that '
  'ended jobs have created without a row, and those that the janitor has yet to remove.';

create function private.lock_voice_places()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select 1 from public.ai_providers as p where p.provider = new.provider and p.max_voices is not null) then
    perform pg_advisory_xact_lock(hashtextextended('ai_providers.max_voices:' || new.provider, 0));
  end if;
  return new;
end;
$$;
comment on function private.lock_voice_places() is
  'Row trigger: serializes the voice clones of a provider with a limit. It locks before the rows of users are locked, '
  'so that no two transactions lock in opposite order. Security definer because owners may not read the limits of '
  'providers.';

create function private.check_voice_room(p_user_id uuid, p_max_voices integer, p_providers text[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_provider record;
begin
  if p_max_voices is not null and private.count_user_voices(p_user_id) > p_max_voices then
    raise exception 'You have reached your limit of % voices. Delete one.', p_max_voices
      using errcode = 'AJ036', detail = 'user_id';
  end if;
  for v_provider in
    select p.provider, p.max_voices
    from public.ai_providers as p
    where p.provider = any (p_providers) and p.max_voices is not null
  loop
    if private.count_provider_voices(v_provider.provider) > v_provider.max_voices then
      raise exception 'The project has reached its limit of voices at the AI provider. Try again later.' using errcode = 'AJ037', detail = 'job_type';
    end if;
  end loop;
end;
$$;
comment on function private.check_voice_room(uuid, integer, text[]) is
  'Called under the lock of the quota for voice clones that wait: raises AJ036 when the user has more than p_max_voices '
  'voices (null: no limit), and AJ037 when all users together have more than one of these providers allows. Security '
  'definer because owners may not read other users'' voices.';

-- ===== supabase/schemas/jobs/changes.sql

-- What follows from new jobs: events, counts, dispatches, quotas, turns and room for voices. updates.sql: from changed ones.

create function private.follow_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_jobs integer;
  v_job record;
  v_lane record;
  v_worker text;
  v_job_ids uuid[];
  v_max_voices integer;
  v_provider_max_voices integer;
  v_is_moved boolean;
begin
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select i.id, 1, i.user_id, 'created', i.attempt, jsonb_build_object('job_type', i.job_type)
  from inserted as i;
  get diagnostics v_jobs = row_count;
  if v_jobs = 0 then
    return null;
  end if;
  -- Most inserts have one row that waits for no other job. Their steps are those below, for one row: statements that group
  -- and sort rows would take most of their time.
  if v_jobs = 1 then
    select i.id, i.user_id, i.job_type, i.provider, i.priority, i.status, i.queue_key,
      i.scheduled_at <= now() as is_due, i.is_blocked
    into v_job
    from inserted as i;
    if v_job.status = 'pending' and not v_job.is_blocked then
      insert into private.ai_counter_queue (counted_at, event, job_type, provider, to_status, amount)
      values (date_trunc('minute', clock_timestamp()), 'created', v_job.job_type, v_job.provider, v_job.status, 1);
      select t.worker, p.max_voices
      into v_worker, v_provider_max_voices
      from public.ai_job_types as t
      left join public.ai_providers as p on p.provider = v_job.provider
      where t.job_type = v_job.job_type;
      if v_job.is_due and not private.relies_on_expected_claim(v_worker) then
        perform private.dispatch_to_worker(v_worker, array[v_job.id]);
      end if;
      -- From here to the end of the transaction, other inserts of this user wait.
      v_max_voices := private.charge_ai_job_quota(v_job.user_id, 1, 1, v_job.provider <> 'internal');
      if v_job.queue_key is not null then
        v_is_moved := private.separate_turns(
          v_job.user_id, v_job.job_type, v_job.provider, v_job.priority, array[v_job.id], v_job.queue_key, v_job.queue_key
        );
      end if;
      if v_job.job_type = 'voice_clone' and (v_max_voices is not null or v_provider_max_voices is not null) then
        perform private.check_voice_room(v_job.user_id, v_max_voices, array[v_job.provider]);
      end if;
      return null;
    end if;
  end if;

  -- A job that is answered from the cache is completed on insert and has both events. An insert of no rows
  -- would still run its triggers.
  if exists (select 1 from inserted as i where i.event_seq > 1) then
    insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
    select i.id, i.event_seq, i.user_id, i.last_event, i.attempt,
      jsonb_strip_nulls(jsonb_build_object(
        'status', i.status,
        'progress', i.progress_percentage,
        'stage', i.stage,
        'error_code', i.error_code,
        'scheduled_at', case when i.status = 'pending' then i.scheduled_at end
      ))
    from inserted as i
    where i.event_seq > 1;
  end if;
  insert into private.ai_counter_queue (counted_at, event, job_type, provider, code, to_status, amount)
  select date_trunc('minute', clock_timestamp()), 'created', i.job_type, i.provider,
    case when i.status = 'failed' then coalesce(i.error_code, '') else '' end, i.status, count(*)
  from inserted as i
  group by 3, 4, 5, 6;

  for v_worker, v_job_ids in
    select t.worker, (array_agg(due.id order by due.priority, due.id))[1:50]
    from (
      select i.id, i.job_type, i.priority
      from inserted as i
      where i.status = 'pending' and not i.is_blocked and i.scheduled_at <= now()
      union
      -- An insert holds the job that it depends on, and a claim that came in between has passed over it.
      select d.id, d.job_type, d.priority
      from public.ai_jobs as d
      -- An array, so that they are looked up: of a transition table Postgres knows no size and might join it row by row.
      where d.id = any (array(select distinct i.depends_on_job_id from inserted as i where i.is_blocked))
        and d.status = 'pending' and not d.is_blocked and d.scheduled_at <= now()
    ) as due
    join public.ai_job_types as t on t.job_type = due.job_type
    group by t.worker
  loop
    if not private.relies_on_expected_claim(v_worker) then
      perform private.dispatch_to_worker(v_worker, v_job_ids);
    end if;
  end loop;

  -- Ordered by user, so that two statements over several users cannot deadlock. From here on, other inserts of these users
  -- wait.
  for v_lane in
    select i.user_id, i.job_type, i.provider, i.priority,
      count(*)::integer as created,
      (count(*) filter (where i.status in ('pending', 'processing')))::integer as active,
      array_agg(i.id) filter (where i.queue_key is not null) as job_ids,
      min(i.queue_key) as first_turn,
      max(i.queue_key) as last_turn,
      bool_or(i.is_blocked) as is_any_blocked
    from inserted as i
    group by 1, 2, 3, 4
    order by 1, 2, 3, 4
  loop
    v_max_voices := private.charge_ai_job_quota(
      v_lane.user_id, v_lane.active, v_lane.created, v_lane.provider <> 'internal'
    );
    if v_lane.job_ids is not null then
      v_is_moved := private.separate_turns(
        v_lane.user_id, v_lane.job_type, v_lane.provider, v_lane.priority, v_lane.job_ids, v_lane.first_turn, v_lane.last_turn
      );
    end if;
    if v_lane.job_type = 'voice_clone' and v_lane.active > 0 then
      perform private.check_voice_room(v_lane.user_id, v_max_voices, array[v_lane.provider]);
    end if;
    -- If the first of them fails, all end in one statement, which must not take long. Checked apart: as part of one
    -- condition, the count would be planned for each statement, even if nothing is blocked.
    continue when not v_lane.is_any_blocked;
    if (
      select count(*) from public.ai_jobs as j where j.user_id = v_lane.user_id and j.status = 'pending' and j.is_blocked
    ) > 500 then
      raise exception 'You have reached the limit of 500 jobs that wait for other jobs. Wait until some have run.'
        using errcode = 'AJ034', detail = 'depends_on';
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.follow_inserted_ai_jobs() is
  'Statement trigger: records and counts new jobs, dispatches each worker once for any number of rows (those that are '
  'due, and due jobs that they depend on), then charges their owners, separates their turns, checks the room for voices, '
  'and '
  'lets at most 500 jobs of an owner wait for other jobs. One trigger, because each one and each of its statements costs '
  'time at every insert. Security definer because owners insert jobs but may not write events, counts or quotas.';

-- ===== supabase/schemas/jobs/updates.sql

-- What follows from changed jobs: dependents, quotas, breakers, calls, checkpoints, counts and events.

create function private.follow_updated_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
-- Of a transition table the planner knows no size, and it would keep a plan that compares each row with each.
set enable_nestloop = off
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_carried constant jsonb := nullif(current_setting('private.carried_changes', true), '')::jsonb;
  v_job record;
  v_stopped uuid[];
  v_ended uuid[];
  v_reopened uuid[];
  v_has record;
  v_item jsonb;
  v_has_settlement boolean;
  v_has_report boolean;
  v_data jsonb;
  v_millis bigint;
begin
  -- The first row of each: both tables have one row in most statements.
  select (select count(*) from updated) as jobs,
    n.id, n.user_id, n.job_type, n.provider, n.status, n.attempt, n.progress_percentage, n.stage, n.error_code, n.scheduled_at,
    n.event_seq, n.last_event, n.depends_on_job_id, n.started_at, n.completed_at, o.status as old_status,
    o.event_seq as old_event_seq, o.progress_percentage as old_progress, o.scheduled_at as old_scheduled_at
  into v_job
  from updated as n
  cross join outdated as o;
  if not found then
    return null;
  end if;

  if v_job.jobs = 1 then
    if v_job.status <> v_job.old_status then
      v_stopped := case when v_job.old_status = 'processing' then array[v_job.id] end;
      v_ended := case when v_job.status in ('completed', 'failed', 'cancelled') then array[v_job.id] end;
      v_reopened := case when v_job.old_status in ('completed', 'failed', 'cancelled') then array[v_job.id] end;
    end if;
  -- Claims, heartbeats and the steps of a paid call have no consequences.
  elsif exists (select 1 from updated as n where n.status <> 'processing') then
    select
      array_agg(n.id) filter (where o.status = 'processing'),
      array_agg(n.id) filter (where n.status in ('completed', 'failed', 'cancelled')),
      array_agg(n.id) filter (where o.status in ('completed', 'failed', 'cancelled'))
    into v_stopped, v_ended, v_reopened
    from updated as n
    join outdated as o on o.id = n.id
    where n.status <> o.status;
  end if;
  if v_stopped is not null or v_ended is not null or v_reopened is not null then
    -- One statement that says what there is to do: most jobs have neither dependents nor an open call, and so on.
    select
      exists (
        select 1 from public.ai_jobs as j
        where j.depends_on_job_id = any (v_ended || v_reopened) and (j.is_blocked or j.error_code = 'dependency_failed')
      ) as dependents,
      -- A healthy provider's row is not written.
      exists (
        select 1 from public.ai_providers as p where p.breaker_poll_failures > 0 or p.breaker_opened_at is not null
      ) as failing_provider,
      -- An update of no rows would still fire the triggers of the journal.
      exists (
        select 1 from public.ai_provider_calls as c where c.job_id = any (v_stopped) and c.outcome = 'sent'
      ) as open_call,
      exists (select 1 from public.ai_job_checkpoints as c where c.job_id = any (v_ended)) as checkpoint
    into v_has;
    if v_has.dependents and v_ended is not null then
      perform private.follow_ai_job_dependency(v_ended);
    end if;
    if v_reopened is not null then
      if v_has.dependents then
        perform private.follow_ai_job_dependency(v_reopened);
      end if;
      perform private.charge_reopened_ai_jobs(v_reopened);
    end if;
    if v_has.failing_provider and v_stopped is not null then
      perform private.note_completed_jobs(v_stopped);
    end if;
    if v_has.open_call then
      perform private.mark_open_calls_unknown(v_stopped);
    end if;
    if v_has.checkpoint then
      -- A retry starts from the beginning.
      delete from public.ai_job_checkpoints as c where c.job_id = any (v_ended);
    end if;
  end if;

  -- For one row: the statements below, which join and group rows, would take most of the time of a step.
  if v_job.jobs = 1 then
    if v_job.status <> v_job.old_status then
      v_millis := case
        when v_job.status = 'processing' and (v_job.attempt > 1 or v_job.depends_on_job_id is null)
          then greatest(extract(epoch from clock_timestamp() - v_job.old_scheduled_at) * 1000, 0)::bigint
        when v_job.status = 'completed'
          then greatest(extract(epoch from v_job.completed_at - coalesce(v_job.started_at, v_job.completed_at)) * 1000, 0)::bigint
      end;
      insert into private.ai_counter_queue (
        counted_at, event, job_type, provider, code, from_status, to_status, slot, millis, amount
      )
      values (
        date_trunc('minute', clock_timestamp()),
        case
          when v_job.old_status = 'pending' and v_job.status = 'failed' and v_job.error_code = 'outcome_unknown' then 'taken_back'
          else v_job.last_event
        end,
        v_job.job_type, v_job.provider,
        case when v_job.status = 'failed' or v_job.last_event in ('retried', 'rescued') then coalesce(v_job.error_code, '') else '' end,
        v_job.old_status, v_job.status, private.duration_slot(v_millis), coalesce(v_millis, 0), 1
      );
    end if;
    if v_job.event_seq = v_job.old_event_seq then
      return null;
    end if;
    v_data := jsonb_strip_nulls(jsonb_build_object(
      'status', v_job.status,
      'progress', v_job.progress_percentage,
      'stage', v_job.stage,
      'error_code', case when v_job.status <> 'processing' then v_job.error_code end,
      'scheduled_at', case when v_job.status = 'pending' then v_job.scheduled_at end
    ));
    if v_carried is null or v_job.event_seq = v_job.old_event_seq + 1 then
      if v_job.last_event = 'settled' then
        v_data := v_data || jsonb_strip_nulls(jsonb_build_object('outcome', (
          select c.outcome from public.ai_provider_calls as c where c.job_id = v_job.id
          order by coalesce(c.settled_at, c.unknown_since) desc nulls last limit 1
        )));
      end if;
      insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
      values (v_job.id, v_job.event_seq, v_job.user_id, v_job.last_event, v_job.attempt, v_data);
      return null;
    end if;
    v_item := jsonb_path_query_first(v_carried, '$[*] ? (@.job_id == $id)', jsonb_build_object('id', v_job.id));
    v_has_report := v_item ->> 'report_stage' is not null;
    v_has_settlement := v_item is not null and v_job.event_seq - v_job.old_event_seq - 1 - v_has_report::integer > 0;
    insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
    select v_job.id, e.seq, v_job.user_id, e.event, v_job.attempt, e.data
    from (values
      (
        v_has_settlement, v_job.old_event_seq + 1, 'settled',
        jsonb_build_object('status', v_job.old_status, 'progress', greatest(v_job.old_progress, (v_item ->> 'progress')::integer))
      ),
      (
        v_has_report, v_job.event_seq - 1, 'progress',
        jsonb_strip_nulls(jsonb_build_object(
          'status', v_job.old_status,
          'progress', greatest(
            v_job.old_progress,
            case when v_has_settlement then (v_item ->> 'progress')::integer end,
            least((v_item ->> 'report_progress')::integer, 99)
          ),
          'stage', v_item ->> 'report_stage'
        ))
      ),
      (true, v_job.event_seq, v_job.last_event, v_data)
    ) as e (is_written, seq, event, data)
    where e.is_written;
    return null;
  end if;

  -- The steps of a running job end here: a job comes into processing by a claim alone, which says so.
  if exists (select 1 from updated as n where n.status <> 'processing' or n.last_event = 'claimed') then
    insert into private.ai_counter_queue (
      counted_at, event, job_type, provider, code, from_status, to_status, slot, millis, amount
    )
    select date_trunc('minute', clock_timestamp()), c.last_event, c.job_type, c.provider, c.code, c.from_status, c.to_status,
      private.duration_slot(c.millis), coalesce(sum(c.millis), 0), count(*)
    from (
      select
        case
          -- It has failed once, and an operator's answer that is taken back is no other failure.
          when o.status = 'pending' and n.status = 'failed' and n.error_code = 'outcome_unknown' then 'taken_back'
          else n.last_event
        end as last_event,
        n.job_type, n.provider, o.status as from_status, n.status as to_status,
        case when n.status = 'failed' or n.last_event in ('retried', 'rescued') then coalesce(n.error_code, '') else '' end
          as code,
        case
          -- One that waited for another job was due before it could run.
          when n.status = 'processing' and (n.attempt > 1 or n.depends_on_job_id is null)
            then greatest(extract(epoch from clock_timestamp() - o.scheduled_at) * 1000, 0)::bigint
          when n.status = 'completed'
            then greatest(extract(epoch from n.completed_at - coalesce(n.started_at, n.completed_at)) * 1000, 0)::bigint
        end as millis
      from updated as n
      join outdated as o on o.id = n.id
      where n.status <> o.status
    ) as c
    group by 2, 3, 4, 5, 6, 7, 8;
  end if;
  -- Most writes carry nothing; starting the statement below would take most of their time here.
  if v_carried is null then
    insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
    select n.id, n.event_seq, n.user_id, n.last_event, n.attempt,
      -- Inline rather than a function, which Postgres would not inline, and this runs at each step of each job.
      jsonb_strip_nulls(jsonb_build_object(
        'status', n.status,
        'progress', n.progress_percentage,
        'stage', n.stage,
        -- While it runs, the row still has the code that it waited with.
        'error_code', case when n.status <> 'processing' then n.error_code end,
        -- Of the call that was settled last.
        'outcome', case when n.last_event = 'settled' then (
          select c.outcome from public.ai_provider_calls as c where c.job_id = n.id
          order by coalesce(c.settled_at, c.unknown_since) desc nulls last limit 1
        ) end,
        'scheduled_at', case when n.status = 'pending' then n.scheduled_at end
      ))
    from updated as n
    join outdated as o on o.id = n.id
    where n.event_seq <> o.event_seq;
    return null;
  end if;
  -- One insert, so that the events reach a listener in their order.
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select n.id, n.event_seq, n.user_id, n.last_event, n.attempt,
    jsonb_strip_nulls(jsonb_build_object(
      'status', n.status,
      'progress', n.progress_percentage,
      'stage', n.stage,
      'error_code', case when n.status <> 'processing' then n.error_code end,
      'scheduled_at', case when n.status = 'pending' then n.scheduled_at end
    ))
  from updated as n
  join outdated as o on o.id = n.id
  where n.event_seq <> o.event_seq
  union all
  select n.id, e.seq, n.user_id, e.event, n.attempt,
    -- Progress never decreases, so that of the row and of the previous event counts too.
    jsonb_strip_nulls(jsonb_build_object('status', o.status, 'progress', e.progress, 'stage', e.stage))
  from jsonb_to_recordset(v_carried) as c (job_id uuid, progress integer, report_progress integer, report_stage text)
  join updated as n on n.id = c.job_id
  join outdated as o on o.id = n.id
  cross join lateral (
    select n.event_seq - o.event_seq - 1 - (c.report_stage is not null)::integer > 0 as has_settlement
  ) as k
  cross join lateral (
    select o.event_seq + 1 as seq, 'settled' as event, greatest(o.progress_percentage, c.progress) as progress, null as stage
    where k.has_settlement
    union all
    select n.event_seq - 1, 'progress',
      greatest(o.progress_percentage, case when k.has_settlement then c.progress end, least(c.report_progress, 99)),
      c.report_stage
    where c.report_stage is not null
  ) as e
  where n.event_seq > o.event_seq + 1
  order by 1, 2;
  return null;
end;
$$;
comment on function private.follow_updated_ai_jobs() is
  'Statement trigger: applies the consequences of status changes to dependents, quotas, the provider''s breaker, open calls '
  'and checkpoints, counts the jobs whose status changed, with how long they waited to be claimed or ran, and writes one '
  'event for each job whose event_seq changed, and the events of what the statement carried (private.carried_changes). One '
  'trigger, because each one and each of its statements costs time at every step of a job. Security definer because the '
  'roles that change jobs may not write dependents, quotas, breakers, counts and events.';

-- ===== supabase/schemas/jobs/call_updates.sql

-- What follows from settled paid calls: counts, the breakers of their providers, and what their owners have spent.

create function private.follow_updated_provider_calls()
returns trigger
language plpgsql
security definer
set search_path = ''
-- Of a transition table the planner knows no size, and it would keep a plan that compares each row with each.
set enable_nestloop = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_month constant date := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
  v_changed record;
  v_call record;
  v_millis bigint;
  v_sum record;
begin
  -- The first row of each: both tables have one row in most statements.
  select a.*, n.provider, n.job_id, n.outcome, n.error_code, n.sent_at, n.settled_at, n.repeated_at, o.outcome as old_outcome,
    coalesce(n.cost_micros, 0) - coalesce(o.cost_micros, 0) as micros
  into v_changed
  from (
    select count(*) as calls, bool_or(u.price_micros > 0) as has_price,
      -- A healthy provider's row is not written.
      bool_or(u.outcome in ('rejected', 'unknown'))
        or exists (
          select 1 from public.ai_providers as p where p.breaker_failures > 0 or p.breaker_opened_at is not null
        ) as concerns_breaker
    from updated as u
  ) as a
  cross join updated as n
  cross join outdated as o;
  if not found then
    return null;
  end if;

  if v_changed.calls = 1 then
    -- The steps are those below, for one row: joining and grouping would take most of their time.
    if v_changed.outcome = v_changed.old_outcome and v_changed.micros = 0 then
      return null;
    end if;
    v_millis := case
      when v_changed.old_outcome = 'sent' and v_changed.repeated_at is null and v_changed.outcome in ('succeeded', 'rejected')
        then greatest(extract(epoch from v_changed.settled_at - v_changed.sent_at) * 1000, 0)::bigint
    end;
    -- A repeated call has had its response, and its outcome is unknown until it is known.
    if v_changed.repeated_at is null or v_changed.old_outcome not in ('sent', 'unknown')
      or v_changed.outcome not in ('sent', 'unknown') then
      insert into private.ai_counter_queue (
        counted_at, event, job_type, provider, code, slot, millis, micros, amount
      )
      values (
        date_trunc('minute', clock_timestamp()),
        case
          when v_changed.outcome = v_changed.old_outcome or v_changed.old_outcome not in ('sent', 'unknown') then 'revised'
          when v_changed.old_outcome = 'sent' and v_changed.repeated_at is null then 'call'
          else 'reconciled'
        end,
        coalesce((select j.job_type from public.ai_jobs as j where j.id = v_changed.job_id), ''),
        v_changed.provider,
        case
          when v_changed.outcome in ('rejected', 'unknown') and private.is_provider_failure(v_changed.error_code) then 'unavailable'
          else v_changed.outcome
        end,
        private.duration_slot(v_millis), coalesce(v_millis, 0), v_changed.micros, 1
      );
    end if;
  else
    insert into private.ai_counter_queue (
      counted_at, event, job_type, provider, code, slot, millis, micros, amount
    )
    select date_trunc('minute', clock_timestamp()), c.event, c.job_type, c.provider, c.code, private.duration_slot(c.millis),
      coalesce(sum(c.millis), 0), sum(c.micros), count(*)
    from (
      select n.provider,
        -- Each call counts once, when its response arrives or is known to be lost.
        case
          when n.outcome = o.outcome or o.outcome not in ('sent', 'unknown') then 'revised'
          when o.outcome = 'sent' and n.repeated_at is null then 'call'
          else 'reconciled'
        end as event,
        -- Looked up one by one: a join would have to read all jobs, since it must not be a nested loop here.
        coalesce((select j.job_type from public.ai_jobs as j where j.id = n.job_id), '') as job_type,
        case
          when n.outcome in ('rejected', 'unknown') and private.is_provider_failure(n.error_code) then 'unavailable'
          else n.outcome
        end as code,
        case
          when o.outcome = 'sent' and n.repeated_at is null and n.outcome in ('succeeded', 'rejected')
            then greatest(extract(epoch from n.settled_at - n.sent_at) * 1000, 0)::bigint
        end as millis,
        coalesce(n.cost_micros, 0) - coalesce(o.cost_micros, 0) as micros
      from updated as n
      join outdated as o on o.id = n.id
      where (n.outcome <> o.outcome or coalesce(n.cost_micros, 0) <> coalesce(o.cost_micros, 0))
        -- A repeated call has had its response, and its outcome is unknown until it is known.
        and not (n.repeated_at is not null and o.outcome in ('sent', 'unknown') and n.outcome in ('sent', 'unknown'))
    ) as c
    group by 2, 3, 4, 5, 6;
  end if;

  if v_changed.concerns_breaker then
    for v_call in
      select c.provider, c.job_id, case when c.is_failure then c.error_code end as error_code
      from (
        select n.provider, n.job_id, n.error_code, f.is_failure, bool_or(f.is_failure) over (partition by n.provider) as has_failure
        from updated as n
        join outdated as o on o.id = n.id
        cross join lateral (
          select n.outcome in ('rejected', 'unknown') and private.is_provider_failure(n.error_code) as is_failure
        ) as f
        -- An operator's answer, or taking it back, says nothing about the provider.
        where n.outcome <> o.outcome and o.settled_at is null and n.answered_at is null
          and case
            -- A call that its owner cancelled says nothing about the provider.
            when f.is_failure then not exists (
              select 1 from public.ai_jobs as j where j.id = n.job_id and j.cancel_requested_at is not null
            )
            -- An absent object only proves that the provider's listing works.
            else n.outcome in ('succeeded', 'adopted')
              or (n.outcome = 'rejected' and n.error_code not in ('lease_expired', 'provider_concurrency_limited'))
          end
      ) as c
      join public.ai_providers as p on p.provider = c.provider
      -- A healthy provider's row is not written.
      where c.has_failure or p.breaker_failures > 0 or p.breaker_opened_at is not null
      -- Normal responses come last: a provider that has answered any of these calls is not down.
      order by c.provider, c.is_failure desc, c.job_id
    loop
      perform private.note_provider_answer(v_call.provider, v_call.job_id, false, v_call.error_code);
    end loop;
  end if;
  if not v_changed.has_price then
    return null;
  end if;
  -- Locks are taken by user and then by provider, as everywhere.
  for v_sum in
    select k.user_id, sum(k.reserved)::bigint as reserved, sum(k.spent)::bigint as spent
    from (
      select o.user_id,
        case when n.outcome in ('sent', 'unknown') then n.estimated_cost_micros else 0 end
          - case when o.outcome in ('sent', 'unknown') then o.estimated_cost_micros else 0 end as reserved,
        -- A past month is no longer counted.
        case when date_trunc('month', n.settled_at at time zone 'UTC') = v_month then n.cost_micros else 0 end
          - case when date_trunc('month', o.settled_at at time zone 'UTC') = v_month then o.cost_micros else 0 end as spent
      from updated as n
      join outdated as o on o.id = n.id
      where n.outcome <> o.outcome or n.cost_micros is distinct from o.cost_micros
    ) as k
    where k.reserved <> 0 or k.spent <> 0
    group by k.user_id
    order by k.user_id
  loop
    update public.ai_limits as l
    set reserved_micros = greatest(l.reserved_micros + v_sum.reserved, 0),
        spent_micros = greatest(case when l.budget_month >= v_month then l.spent_micros else 0 end + v_sum.spent, 0),
        budget_month = greatest(l.budget_month, v_month)
    where l.user_id = v_sum.user_id;
  end loop;

  for v_sum in
    select k.provider, k.slot, sum(k.spent)::bigint as spent
    from (
      select o.provider, hashtextextended(o.user_id::text, 0) & 15 as slot,
        case when date_trunc('month', n.settled_at at time zone 'UTC') = v_month then n.cost_micros else 0 end
          - case when date_trunc('month', o.settled_at at time zone 'UTC') = v_month then o.cost_micros else 0 end as spent
      from updated as n
      join outdated as o on o.id = n.id
      where n.outcome <> o.outcome or n.cost_micros is distinct from o.cost_micros
    ) as k
    where k.spent <> 0
    group by k.provider, k.slot
    order by k.provider, k.slot
  loop
    insert into public.ai_provider_spend as s (provider, slot, month, spent_micros)
    values (v_sum.provider, v_sum.slot, v_month, greatest(v_sum.spent, 0))
    on conflict (provider, slot) do update
    set spent_micros = greatest(case when s.month >= v_month then s.spent_micros else 0 end + v_sum.spent, 0),
        month = greatest(s.month, v_month);
  end loop;
  return null;
end;
$$;
comment on function private.follow_updated_provider_calls() is
  'Statement trigger: counts each paid call once, by its response or the lack of one, with the provider''s response time, and '
  'separately the final outcome of calls with an unknown outcome, and the cost; counts the outcomes for the breakers of their '
  'providers; then charges the reservation of a settled call to its owner and provider, or releases it when nothing was '
  'created. One trigger, because each one and each of its statements costs time at every call. Security definer because '
  'every role that settles calls must cause this, and none may write counts, breakers and limits.';

create trigger ai_provider_calls_after_update_follow
after update on public.ai_provider_calls referencing old table as outdated new table as updated
for each statement execute function private.follow_updated_provider_calls();

-- ===== supabase/schemas/ops/schedule_runs.sql

-- When the scheduled work last ran.

create table private.ai_schedule_runs (
  name text not null,
  last_run_at timestamptz not null default now(),
  constraint ai_schedule_runs_pkey primary key (name),
  constraint ai_schedule_runs_name_is_known check (name in ('sweep', 'janitor', 'fold'))
)
with (fillfactor = 50);
comment on table private.ai_schedule_runs is
  'When the sweep, the fold of the counters and the janitor last did their work; not when they were called.';
alter table private.ai_schedule_runs enable row level security;
revoke all on private.ai_schedule_runs from public, anon, authenticated, service_role;
insert into private.ai_schedule_runs (name) values ('sweep'), ('janitor'), ('fold');

create function private.note_schedule_run(p_name text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update private.ai_schedule_runs as r set last_run_at = clock_timestamp() where r.name = p_name;
end;
$$;
comment on function private.note_schedule_run(text) is 'Records that the sweep, the fold or the janitor has just run.';

-- ===== supabase/schemas/ops/counters.sql

-- Kept counters: what happened, per minute, quarter of an hour, two hours and ever, by job type and provider. Charts,
-- metrics and alerts read these and never the history.
--
-- Every statement that changes jobs or paid calls appends what it did to a queue, in its own transaction, so that the
-- counts are exact under rollbacks and crashes. One fold at a time moves the queue into the counters: the rows
-- that everyone would update are written by one session only, and no job waits for another one's count.

create table private.ai_counter_queue (
  id bigint generated always as identity,
  counted_at timestamptz not null,
  event text not null,
  job_type text not null,
  provider text not null,
  code text not null default '',
  from_status text,
  to_status text,
  slot smallint,
  millis bigint not null default 0,
  micros bigint not null default 0,
  amount bigint not null,
  constraint ai_counter_queue_pkey primary key (id)
)
-- It is emptied every few seconds: dead rows must not pile up.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
comment on table private.ai_counter_queue is
  'What was done and is not yet in private.ai_counters: one row per statement, kind of change and duration. Appended by '
  'statement triggers, emptied by private.fold_ai_counters.';
comment on column private.ai_counter_queue.counted_at is 'Start of the minute in which it happened.';
comment on column private.ai_counter_queue.event is
  'created, deleted, the last_event of a job whose status changed (taken_back when an operator''s answer was), call (the response to a paid call, or the lack of one), '
  'reconciled (its unknown outcome is known now), or revised (its recorded cost was corrected).';
comment on column private.ai_counter_queue.slot is 'private.duration_slot of the wait or the work that ended with this.';
comment on column private.ai_counter_queue.millis is 'Sum of these durations.';
comment on column private.ai_counter_queue.micros is 'Money spent, in millionths of a US dollar.';
comment on column private.ai_counter_queue.amount is 'How many jobs or calls.';
alter table private.ai_counter_queue enable row level security;
revoke all on private.ai_counter_queue from public, anon, authenticated, service_role;

create table private.ai_counters (
  resolution integer not null,
  bucket_at timestamptz not null,
  metric text not null,
  job_type text not null,
  provider text not null,
  code text not null,
  slot smallint not null,
  amount bigint not null,
  constraint ai_counters_pkey primary key (resolution, metric, bucket_at, job_type, provider, code, slot),
  constraint ai_counters_resolution_is_known check (resolution in (0, 60, 900, 7200))
)
-- The buckets of now are written again every few seconds, in place.
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
comment on table private.ai_counters is
  'Counts by time bucket. Each resolution is complete in itself, so that a chart of any range reads at most 120 buckets.';
comment on column private.ai_counters.resolution is 'Seconds in a bucket: 60, 900 or 7200; 0 counts since the beginning.';
comment on column private.ai_counters.bucket_at is 'Start of the bucket; -infinity with resolution 0.';
comment on column private.ai_counters.metric is
  'Jobs: created, cached (created with the result of an earlier job), claimed, completed, failed, cancelled, retried, rescued, '
  'snoozed, released, retry_requested, taken_back. Their durations by slot: pickup (due until claimed), run (first start until '
  'completed), and the sums pickup_millis, run_millis. Paid calls by response, each once: calls, call_time by slot, '
  'call_millis; reconciled: those with an unknown outcome, by their final outcome; spend '
  'in millionths of a US dollar. jobs, with resolution 0 only: how many are pending and processing now.';
comment on column private.ai_counters.code is
  'The error code of failed, retried and rescued; the outcome of calls and reconciled, or unavailable when the provider was '
  'at fault; the status of jobs.';
comment on column private.ai_counters.slot is 'private.duration_slot for metrics of durations, else 0.';
alter table private.ai_counters enable row level security;
revoke all on private.ai_counters from public, anon, authenticated, service_role;

create function private.duration_slot(p_millis bigint)
returns smallint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return least(greatest(ceil(2 * ln(greatest(p_millis, 1) / 10.0::double precision) / ln(2.0::double precision)), 0), 40);
end;
$$;
comment on function private.duration_slot(bigint) is
  'The slot of a duration on a fixed logarithmic scale, two slots to an octave: slot n holds durations of at most '
  '10 × 2^(n/2) milliseconds and more than slot n-1. 0 holds up to 10 ms, 40 everything over about two hours.';

create function private.slot_quantiles(p_slots smallint[], p_amounts bigint[], p_quantiles double precision[])
returns bigint[]
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_total numeric := (select sum(a.amount) from unnest(p_amounts) as a (amount));
  v_quantile double precision;
  v_below numeric;
  v_rank double precision;
  v_results bigint[] := '{}';
begin
  if coalesce(v_total, 0) = 0 then
    return null;
  end if;
  foreach v_quantile in array p_quantiles loop
    v_rank := v_quantile * v_total;
    v_below := 0;
    for i in 1..cardinality(p_slots) loop
      if v_below + p_amounts[i] >= v_rank or i = cardinality(p_slots) then
        v_results := v_results || round(
          10 * power(2, (p_slots[i] - 1 + (v_rank - v_below) / p_amounts[i]) / 2.0::double precision)
        )::bigint;
        exit;
      end if;
      v_below := v_below + p_amounts[i];
    end loop;
  end loop;
  return v_results;
end;
$$;
comment on function private.slot_quantiles(smallint[], bigint[], double precision[]) is
  'Quantiles in milliseconds of durations that are counted by slot (private.duration_slot), slots ascending and amounts '
  'positive. Interpolated on the logarithmic scale within a slot: never further off than a slot is wide, a factor of 1.41. '
  'Null when nothing was counted.';

-- ===== supabase/schemas/ops/counting.sql

-- What appends to the counters: statement triggers with transition tables, so that a batch costs as much as one job.

create function private.count_deleted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.ai_counter_queue (counted_at, event, job_type, provider, from_status, amount)
  select date_trunc('minute', clock_timestamp()), 'deleted', d.job_type, d.provider, d.status, count(*)
  from deleted as d
  where d.status in ('pending', 'processing')
  group by 3, 4, 5;
  return null;
end;
$$;
comment on function private.count_deleted_ai_jobs() is
  'Statement trigger: jobs that are deleted while they wait or run no longer count as such. Security definer because the '
  'roles that delete accounts may not write counts.';

-- ===== supabase/schemas/ops/fold.sql

-- What moves the appended counts into the buckets, and keeps the buckets in order.

create function private.fold_ai_counters(p_limit integer default 50000)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_until bigint;
  v_written integer;
begin
  -- One at a time, so that no session waits for a row of the counters.
  if not pg_try_advisory_xact_lock(hashtextextended('fold_ai_counters', 0)) then
    return 0;
  end if;
  -- A lower number that commits later is taken by the next fold.
  select max(f.id) into v_until
  from (select q.id from private.ai_counter_queue as q order by q.id limit p_limit) as f;
  with taken as (
    delete from private.ai_counter_queue as q where q.id <= v_until returning q.*
  ),
  counted as (
    select t.counted_at, m.metric, t.job_type, t.provider, m.code, m.slot, sum(m.amount) as amount
    from taken as t
    cross join lateral (values
      (case when t.event = 'call' then 'calls' when t.event not in ('deleted', 'revised') then t.event end,
        t.code, 0::smallint, t.amount),
      (case when t.event = 'created' and t.to_status not in ('pending', 'processing') then t.to_status end,
        t.code, 0, t.amount),
      (case when t.event = 'created' and t.to_status = 'completed' then 'cached' end, '', 0, t.amount),
      (case when t.to_status in ('pending', 'processing') then 'jobs' end, t.to_status, 0, t.amount),
      (case when t.from_status in ('pending', 'processing') then 'jobs' end, t.from_status, 0, -t.amount),
      (case
        when t.slot is null then null
        when t.event = 'call' then 'call_time'
        when t.to_status = 'processing' then 'pickup'
        when t.to_status = 'completed' then 'run'
      end, '', t.slot, t.amount),
      (case
        when t.slot is null then null
        when t.event = 'call' then 'call_millis'
        when t.to_status = 'processing' then 'pickup_millis'
        when t.to_status = 'completed' then 'run_millis'
      end, '', 0, t.millis),
      (case when t.micros <> 0 then 'spend' end, '', 0, t.micros)
    ) as m (metric, code, slot, amount)
    where m.metric is not null
    group by 1, 2, 3, 4, 5, 6
  )
  insert into private.ai_counters as c (resolution, bucket_at, metric, job_type, provider, code, slot, amount)
  select r.resolution,
    case
      when r.resolution = 0 then '-infinity'
      else date_bin(make_interval(secs => r.resolution), n.counted_at, timestamptz '2000-01-01 00:00:00+00')
    end,
    n.metric, n.job_type, n.provider, n.code, n.slot, sum(n.amount)
  from counted as n
  cross join (values (0), (60), (900), (7200)) as r (resolution)
  -- How many jobs there are is a count of now, and not of a time.
  where r.resolution = 0 or n.metric <> 'jobs'
  group by 1, 2, 3, 4, 5, 6, 7
  on conflict (resolution, metric, bucket_at, job_type, provider, code, slot)
  do update set amount = c.amount + excluded.amount;
  get diagnostics v_written = row_count;
  perform private.note_schedule_run('fold');
  return v_written;
end;
$$;
comment on function private.fold_ai_counters(integer) is
  'Moves up to p_limit rows of private.ai_counter_queue into private.ai_counters, run by pg_cron every few seconds. Returns '
  'how many counters it changed; 0 when there was nothing to count, or while another fold runs.';

create function private.prune_ai_counters()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from private.ai_counters as c
  where (c.resolution = 60 and c.bucket_at < now() - interval '3 hours')
    or (c.resolution = 900 and c.bucket_at < now() - interval '2 days')
    or (c.resolution = 7200 and c.bucket_at < now() - interval '15 days');
end;
$$;
comment on function private.prune_ai_counters() is
  'Hourly: removes buckets that no chart shows any more: minutes after three hours, quarters of an hour after two days, two '
  'hours after fifteen days. The counts since the beginning stay.';

create function private.recount_ai_jobs()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- No job changes and no fold runs until this is done, which reads every job that waits or runs.
  lock table public.ai_jobs in share row exclusive mode;
  perform pg_advisory_xact_lock(hashtextextended('fold_ai_counters', 0));
  while exists (select 1 from private.ai_counter_queue) loop
    perform private.fold_ai_counters();
  end loop;
  delete from private.ai_counters as c where c.metric = 'jobs';
  insert into private.ai_counters (resolution, bucket_at, metric, job_type, provider, code, slot, amount)
  select 0, '-infinity', 'jobs', j.job_type, j.provider, j.status, 0, count(*)
  from public.ai_jobs as j
  where j.status in ('pending', 'processing')
  group by j.job_type, j.provider, j.status;
end;
$$;
comment on function private.recount_ai_jobs() is
  'Counts the jobs that wait and run again, for a database whose rows came without the triggers, such as a restored one. '
  'Changes of jobs wait for it.';

-- ===== supabase/schemas/jobs/triggers.sql

-- The triggers of ai_jobs, in the order in which they fire. Postgres fires the triggers of one event in the order of
-- their names, so name a new trigger to fit its place, and write it here in that place.
--
-- The order matters: ai_jobs_admit fills in columns that the others read; triggers that change the status fire before
-- ai_jobs_guard_transition checks the change; locks are taken from the least to the most shared (advisory lock of the
-- provider, row of the user), so that two statements cannot deadlock.

-- Before insert, each row.

create trigger ai_jobs_admit
before insert on public.ai_jobs
for each row execute function private.admit_ai_job();

-- After ai_jobs_admit, which sets the provider.
create trigger ai_jobs_lock_voice_places
before insert on public.ai_jobs
for each row when (new.job_type = 'voice_clone')
execute function private.lock_voice_places();

-- After the triggers that change these columns. An update of other columns costs no check.
create trigger ai_jobs_validate_written_once
before insert or update of
  metadata, input_url, idempotency_key, max_attempts, priority, cost_currency, traceparent, depends_on_job_id, id
on public.ai_jobs
for each row execute function private.validate_written_once();

-- After insert, each statement.

create trigger ai_jobs_after_insert_follow
after insert on public.ai_jobs referencing new table as inserted
for each statement execute function private.follow_inserted_ai_jobs();

-- Before update, each row.

create trigger ai_jobs_apply_owner_request
before update of cancel_requested_at, retry_requested_at on public.ai_jobs
for each row execute function private.apply_owner_request();

create trigger ai_jobs_finish_instead_of_requeue
before update on public.ai_jobs
for each row
when (old.status = 'processing' and new.status = 'pending')
execute function private.finish_instead_of_requeue();

create trigger ai_jobs_fix_dependency
before update of depends_on_job_id on public.ai_jobs
for each row when (old.depends_on_job_id is distinct from new.depends_on_job_id)
execute function private.keep_ai_job_dependency();

-- After the triggers that change the status themselves.
create trigger ai_jobs_guard_transition
before update on public.ai_jobs
for each row when (old.status is distinct from new.status)
execute function private.guard_ai_job_transition();

-- Also after them, because only a waiting job has a turn.
create trigger ai_jobs_leave_queue
before update on public.ai_jobs
for each row
when (
  new.queue_key is not null
  and (
    new.status <> 'pending'
    or new.scheduled_at is distinct from old.scheduled_at
    or new.priority is distinct from old.priority
  )
)
execute function private.leave_ai_job_queue();

-- Before the row of the user is locked (ai_jobs_after_update_follow), as on insert.
create trigger ai_jobs_lock_voice_places_again
before update on public.ai_jobs
for each row when (new.job_type = 'voice_clone' and old.status = 'failed' and new.status = 'pending')
execute function private.lock_voice_places();

create trigger ai_jobs_touch_updated_at
before update on public.ai_jobs
for each row execute function private.touch_updated_at();

-- Apart from the columns above, because every completion sets it, and only those with a file to a value.
create trigger ai_jobs_validate_written_output
before update of output_url on public.ai_jobs
for each row when (new.output_url is not null)
execute function private.validate_written_once();

-- After update, each statement.

create trigger ai_jobs_after_update_follow
after update on public.ai_jobs referencing old table as outdated new table as updated
for each statement execute function private.follow_updated_ai_jobs();

-- After delete, each row.

create trigger ai_jobs_record_output after delete on public.ai_jobs
for each row execute function private.record_storage_removal('output_url');

-- After delete, each statement.

create trigger ai_jobs_after_delete_count
after delete on public.ai_jobs referencing old table as deleted
for each statement execute function private.count_deleted_ai_jobs();

-- ===== supabase/schemas/janitor/references.sql

-- Which rows name objects in Storage or at providers. The tables of the core are known; a module or an app registers
-- its tables here, so that nothing that they name is removed.

create table private.storage_references (
  table_name text not null,
  column_name text not null,
  constraint storage_references_pkey primary key (table_name, column_name)
);
comment on table private.storage_references is
  'Columns of other modules that name an object as <bucket>/<path>. The table has a column user_id. The janitor removes '
  'nothing that such a row names. Delete a row here before you drop its table.';
comment on column private.storage_references.table_name is 'With its schema.';

alter table private.storage_references enable row level security;
revoke all on private.storage_references from public, anon, authenticated, service_role;

create table private.provider_references (
  table_name text not null,
  object_type text not null,
  column_name text not null,
  operation text not null,
  constraint provider_references_pkey primary key (table_name),
  constraint provider_references_object_type_key unique (object_type)
);
comment on table private.provider_references is
  'Tables of other modules whose rows name objects at a provider. They have the columns provider, job_id, created_at '
  'and provider_missing_since. Delete a row here before you drop its table.';
comment on column private.provider_references.object_type is 'The type of the objects, for reports: model.';
comment on column private.provider_references.operation is
  'The paid call that creates such an object. The janitor removes what such a call left behind without a row.';

alter table private.provider_references enable row level security;
revoke all on private.provider_references from public, anon, authenticated, service_role;

create function private.referenced_objects(p_user_id uuid)
returns setof text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_reference private.storage_references;
begin
  for v_reference in select r.* from private.storage_references as r loop
    return query execute format(
      'select t.%1$I from %2$s as t where t.user_id = $1 and t.%1$I is not null',
      v_reference.column_name, v_reference.table_name::regclass
    ) using p_user_id;
  end loop;
end;
$$;
comment on function private.referenced_objects(uuid) is
  'The objects in Storage that a user''s rows in the registered tables name, as <bucket>/<path>.';

create function private.is_object_in_registered_row(p_user_id uuid, p_object_path text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_reference private.storage_references;
  v_is_named boolean;
begin
  for v_reference in select r.* from private.storage_references as r loop
    execute format(
      'select exists (select 1 from %s as t where t.user_id = $1 and t.%I = $2)',
      v_reference.table_name::regclass, v_reference.column_name
    ) into v_is_named using p_user_id, p_object_path;
    if v_is_named then
      return true;
    end if;
  end loop;
  return false;
end;
$$;
comment on function private.is_object_in_registered_row(uuid, text) is
  'Whether a row of that user in a registered table names the object.';

create function private.provider_rows(p_provider text default null, p_object_id text default null)
returns table (
  object_type text,
  provider text,
  object_id text,
  job_id uuid,
  created_at timestamptz,
  provider_missing_since timestamptz
)
language plpgsql
stable
security invoker
set search_path = ''
-- With a custom plan, a null argument removes its condition, and the other conditions use their indexes.
set plan_cache_mode = force_custom_plan
as $$
declare
  v_reference private.provider_references;
begin
  return query
  select 'voice', v.provider, v.provider_voice_id, v.job_id, v.created_at, v.provider_missing_since
  from public.voices as v
  where (p_provider is null or v.provider = p_provider) and (p_object_id is null or v.provider_voice_id = p_object_id);
  for v_reference in select r.* from private.provider_references as r loop
    return query execute format(
      'select $1, t.provider, t.%1$I, t.job_id, t.created_at, t.provider_missing_since
       from %2$s as t
       where ($2 is null or t.provider = $2) and ($3 is null or t.%1$I = $3)',
      v_reference.column_name, v_reference.table_name::regclass
    ) using v_reference.object_type, p_provider, p_object_id;
  end loop;
end;
$$;
comment on function private.provider_rows(text, text) is
  'The rows that name objects at a provider: voices and rows of the registered tables, of all providers and objects or '
  'of those given.';

create function private.set_provider_missing(p_provider text, p_object_ids text[], p_missing_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_reference private.provider_references;
begin
  update public.voices as v set provider_missing_since = p_missing_since
  where v.provider = p_provider and v.provider_voice_id = any (p_object_ids)
    and (v.provider_missing_since is null) <> (p_missing_since is null);
  for v_reference in select r.* from private.provider_references as r loop
    execute format(
      'update %2$s as t set provider_missing_since = $3
       where t.provider = $1 and t.%1$I = any ($2) and (t.provider_missing_since is null) <> ($3 is null)',
      v_reference.column_name, v_reference.table_name::regclass
    ) using p_provider, p_object_ids, p_missing_since;
  end loop;
end;
$$;
comment on function private.set_provider_missing(text, text[], timestamptz) is
  'Marks the rows of these objects as missing at their provider since then or, with null, as present again. An '
  'existing mark keeps its time.';

-- ===== supabase/schemas/storage/buckets.sql

-- The buckets. Every object is in its owner's folder: <user id>/…; storage/policies.sql says who may access it.
--
-- Storage compares a content type with allowed_mime_types literally, parameters included, unless the entry ends with
-- /*. Browsers send recordings as audio/webm;codecs=opus, so audio and video are allowed by wildcard;
-- create-upload-url and the job types define the accepted formats.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  ('voice-samples', 'voice-samples', false, 10485760, array['audio/*', 'application/ogg', 'video/ogg']),
  (
    'uploads', 'uploads', false, 52428800,
    array[
      'audio/*', 'video/*', 'application/ogg',
      'image/jpeg', 'image/jpg', 'image/pjpeg', 'image/png', 'image/x-png', 'image/webp',
      'application/pdf', 'application/x-pdf'
    ]
  ),
  (
    'outputs', 'outputs', false, 524288000,
    array[
      'audio/mpeg', 'audio/wav', 'video/mp4', 'application/pdf', 'application/json', 'text/plain', 'application/octet-stream'
    ]
  ),
  (
    'profile-photos', 'profile-photos', true, 5242880,
    array['image/jpeg', 'image/jpg', 'image/pjpeg', 'image/png', 'image/x-png', 'image/webp']
  )
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  ('recordings', 'recordings', false, 524288000, array['audio/*', 'video/*', 'application/ogg']),
  ('pdfs', 'pdfs', false, 524288000, array['application/pdf']),
  (
    'published-media', 'published-media', true, 20971520,
    array['image/jpeg', 'image/jpg', 'image/pjpeg', 'image/png', 'image/x-png', 'image/webp']
  )
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

create function private.own_buckets()
returns text[]
language sql
immutable
security invoker
parallel safe
set search_path = ''
as $$
  select array['voice-samples', 'uploads', 'recordings', 'outputs', 'pdfs', 'profile-photos', 'published-media'];
$$;
comment on function private.own_buckets() is
  'The buckets of this schema. In all other buckets, which belong to the app, nothing is checked, counted or removed.';

-- ===== supabase/schemas/storage/owners.sql

-- Every object of our buckets belongs to an account that exists.

-- A policy is not enough: signed upload URLs and workers write as the service, even after the account was deleted.
create function private.check_object_owner()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_folder text := split_part(new.name, '/', 1);
begin
  if new.bucket_id <> all (private.own_buckets()) or new.name !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/' then
    return null;
  end if;
  -- Held until commit, so that a later deletion of the account finds the object.
  perform 1 from auth.users as u where u.id = v_folder::uuid for key share;
  if not found then
    -- 42501 is the only SQLSTATE whose message Storage returns, with 403.
    raise exception 'account_not_found: the account of this folder no longer exists' using errcode = '42501';
  end if;
  return null;
end;
$$;
comment on function private.check_object_owner() is
  'Row trigger on storage.objects: refuses, from every writer, an object in our buckets whose first folder is an id '
  'without an account (42501). Folders that are not ids are ignored. Security definer because the roles of Storage may '
  'not read accounts.';

-- After the insert, so that the policies refuse other users' folders before this checks their account.
create trigger objects_check_owner
after insert or update of bucket_id, name on storage.objects
for each row execute function private.check_object_owner();

-- ===== supabase/schemas/storage/pending_uploads.sql

-- Limits unused Storage per user: upload URLs that may still be used, and files that no row names. Exact under
-- parallel requests and for every way in which a file arrives: the checks of one user wait for each other, and files
-- that turn out to be named no longer count.

create table public.pending_uploads (
  object_path text not null,
  user_id uuid not null default auth.uid(),
  size_bytes bigint not null,
  stored_at timestamptz,
  expires_at timestamptz not null default now() + interval '2 hours',
  created_at timestamptz not null default now(),
  constraint pending_uploads_pkey primary key (object_path),
  constraint pending_uploads_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint pending_uploads_object_path_is_owners
    check (
      object_path ~ '^[a-z0-9][a-z0-9_-]{0,62}/[^/]+/.*[^/]$' and split_part(object_path, '/', 2) = user_id::text
    ),
  -- The buckets into which users upload; an app's own buckets have their own rules.
  constraint pending_uploads_object_path_names_a_bucket_for_uploads
    check (
      split_part(object_path, '/', 1) in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
    ),
  constraint pending_uploads_size_is_not_negative check (size_bytes >= 0)
);
comment on table public.pending_uploads is
  'Storage that a user occupies without a row that names it: an upload URL, from its request until it expires or is '
  'used, and a stored file, until a row names it or it is removed. Whether a row names a file is checked only before a '
  'refusal, so the table may contain files that are named by now.';
comment on column public.pending_uploads.object_path is 'As <bucket>/<path>; its first folder is the owner''s id.';
comment on column public.pending_uploads.size_bytes is 'As declared; after the upload, as stored.';
comment on column public.pending_uploads.stored_at is 'When the file was stored; null: not yet.';
comment on column public.pending_uploads.expires_at is
  'Until when an upload URL that was not used counts: as long as Storage accepts it.';

-- Serves the sums, and the removal of expired URLs.
create index pending_uploads_user_id_idx on public.pending_uploads (user_id) include (size_bytes, stored_at, expires_at);
create index pending_uploads_expires_at_idx on public.pending_uploads (expires_at) where stored_at is null;

alter table public.pending_uploads enable row level security;

create policy "users can read their own pending uploads"
on public.pending_uploads for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can record their own uploads"
on public.pending_uploads for insert to authenticated
with check (user_id = (select auth.uid()));

revoke all on public.pending_uploads from public, anon, authenticated, service_role;
grant select on public.pending_uploads to authenticated;
grant insert (object_path, user_id, size_bytes) on public.pending_uploads to authenticated;
grant select on public.pending_uploads to service_role;

create function private.find_upload_room(
  p_user_id uuid,
  p_object_path text,
  p_size_bytes bigint,
  out code text,
  out message text
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_max_files integer;
  v_max_bytes bigint;
  v_files bigint;
  v_bytes bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended('pending_uploads:' || p_user_id, 0));
  select coalesce(l.max_unused_uploads, d.max_unused_uploads), coalesce(l.max_unused_upload_bytes, d.max_unused_upload_bytes)
  into v_max_files, v_max_bytes
  from public.ai_limits as d
  left join public.ai_limits as l on l.user_id = p_user_id
  where d.user_id is null;
  for v_round in 1..2 loop
    select count(*) + 1, coalesce(sum(u.size_bytes), 0) + p_size_bytes into v_files, v_bytes
    from public.pending_uploads as u
    where u.user_id = p_user_id and u.object_path <> p_object_path and (u.stored_at is not null or u.expires_at > now());
    if v_files <= v_max_files and v_bytes <= v_max_bytes then
      return;
    end if;
    if v_round = 1 then
      delete from public.pending_uploads as u
      where u.user_id = p_user_id and u.stored_at is not null
        and (
          u.object_path in (
            select m.storage_path from public.media as m where m.user_id = p_user_id
            union all
            select o.path from private.referenced_objects(p_user_id) as o (path)
            union all
            select v.sample_url from public.voices as v where v.user_id = p_user_id and v.sample_url is not null
            union all
            select j.input_url from public.ai_jobs as j where j.user_id = p_user_id and j.input_url is not null
            union all
            select j.metadata ->> 'audio_url' from public.ai_jobs as j where j.user_id = p_user_id and j.metadata ? 'audio_url'
          )
          or not exists (
            select 1 from storage.objects as o
            where o.bucket_id = split_part(u.object_path, '/', 1)
              and o.name = substr(u.object_path, strpos(u.object_path, '/') + 1)
          )
        );
    end if;
  end loop;
  if v_files > v_max_files then
    code := 'unused_uploads_exceeded';
    message := format('you may have at most %s unused upload URLs and files; use or delete some', v_max_files);
  else
    code := 'unused_upload_bytes_exceeded';
    message := format('your unused upload URLs and files may have at most %s bytes together; use or delete some', v_max_bytes);
  end if;
end;
$$;
comment on function private.find_upload_room(uuid, text, bigint) is
  'Whether the user has room for a file of that size at that path: nulls, or the limit that would be exceeded and a '
  'message. Locks out other checks of the user until the transaction ends. Before a refusal it forgets rows whose file '
  'is named or gone.';

create function private.reserve_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_code text;
  v_message text;
begin
  select f.code, f.message into v_code, v_message
  from private.find_upload_room(new.user_id, new.object_path, new.size_bytes) as f;
  if v_code = 'unused_uploads_exceeded' then
    raise exception '%', v_message using errcode = 'AJ039', detail = 'size_bytes';
  elsif v_code is not null then
    raise exception '%', v_message using errcode = 'AJ043', detail = 'size_bytes';
  end if;
  -- Replaces an expired one.
  delete from public.pending_uploads as u
  where u.object_path = new.object_path and u.user_id = new.user_id and u.stored_at is null and u.expires_at <= now();
  return new;
end;
$$;
comment on function private.reserve_upload() is
  'Row trigger: lets a user record a planned upload while there is room (AJ039, AJ043). Security definer because it '
  'deletes rows, which users may not.';

create function private.count_stored_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_path text;
  v_owner text;
  v_bytes bigint;
  v_code text;
  v_message text;
begin
  if tg_op <> 'INSERT' and (tg_op = 'DELETE' or (old.bucket_id, old.name) is distinct from (new.bucket_id, new.name)) then
    delete from public.pending_uploads as u where u.object_path = old.bucket_id || '/' || old.name;
  end if;
  if tg_op = 'DELETE' then
    return null;
  end if;
  v_path := new.bucket_id || '/' || new.name;
  v_owner := coalesce(new.owner_id, new.owner::text);
  -- Objects that the service writes have no owner.
  if v_owner is distinct from split_part(new.name, '/', 1)
    or new.bucket_id not in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
    or v_owner !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return null;
  end if;
  v_bytes := coalesce(new.metadata ->> 'size', new.metadata ->> 'contentLength', '0')::bigint;
  select f.code, f.message into v_code, v_message from private.find_upload_room(v_owner::uuid, v_path, v_bytes) as f;
  if v_code is not null then
    -- 42501 is the only SQLSTATE whose message Storage returns, with 403.
    raise exception '%: %', v_code, v_message using errcode = '42501';
  end if;
  insert into public.pending_uploads as u (object_path, user_id, size_bytes, stored_at)
  values (v_path, v_owner::uuid, v_bytes, now())
  on conflict (object_path) do update set size_bytes = excluded.size_bytes, stored_at = excluded.stored_at;
  return null;
end;
$$;
comment on function private.count_stored_upload() is
  'Row trigger on storage.objects: counts what users store in our buckets, however it arrives, and refuses it where '
  'there is no room (42501); a removed object no longer counts. Storage also runs it to check for permission and rolls '
  'that back. Security definer because the roles of Storage may not write these tables.';

create trigger pending_uploads_reserve
before insert on public.pending_uploads
for each row when (new.stored_at is null)
execute function private.reserve_upload();

-- Named so that it fires after the trigger that checks the account.
create trigger objects_count_upload
after insert or update of bucket_id, name, metadata on storage.objects
for each row execute function private.count_stored_upload();

create trigger objects_forget_upload
after delete on storage.objects
for each row execute function private.count_stored_upload();

-- ===== supabase/schemas/storage/policies.sql

-- Who may access which objects. Every object is in its owner's folder: <user id>/…

-- Read: the owner's folder, in every bucket. Public URLs of the public bucket need no policy, and without one nobody
-- else can list it.
create policy "users can read objects in their own folder"
on storage.objects for select to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'pdfs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

-- Write: only the service writes outputs.
create policy "users can upload into their own folder"
on storage.objects for insert to authenticated
with check (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
  -- Before Storage signs an upload URL, it tries this insert and rolls it back. Only recorded uploads may be signed.
  and (
    storage.operation() is distinct from 'storage.object.sign_upload_url'
    or exists (
      select 1 from public.pending_uploads as u
      where u.object_path = objects.bucket_id || '/' || objects.name and u.stored_at is null and u.expires_at > now()
    )
  )
);

-- Replace: profile photos only. A job's input must stay what it was when the job was accepted; a published photo is
-- cached for an hour, so a changed one should be a new object; a keepsake may be in an order.
create policy "users can replace their own profile photos"
on storage.objects for update to authenticated
using (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text)
with check (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text);

-- Not in pdfs: the file of a keepsake is removed with its row, which an open order protects (private.guard_pdf).
create policy "users can remove objects in their own folder"
on storage.objects for delete to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

-- ===== supabase/schemas/janitor/provider_objects.sql

-- Our objects in the providers' lists, and how far each list has been read.

create table private.provider_objects (
  provider text not null,
  object_id text not null,
  object_type text not null,
  job_id uuid,
  standing text not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  orphan_since timestamptz,
  constraint provider_objects_pkey primary key (provider, object_id),
  constraint provider_objects_standing_is_known check (standing in ('named', 'live', 'orphan', 'foreign')),
  constraint provider_objects_orphan_since_matches_standing check ((standing = 'orphan') = (orphan_since is not null))
);
comment on table private.provider_objects is
  'Objects that the last scan of a provider''s list showed and that carry a marker of the form job:<id>, or that a row '
  'names.';
comment on column private.provider_objects.job_id is
  'The job of its marker. Not a foreign key: it may be a job of another installation.';
comment on column private.provider_objects.standing is
  'named (a row names it), live (its job may continue with it), orphan (created here, and no row names it), foreign '
  '(its marker belongs to no job of ours: reported, never removed).';
comment on column private.provider_objects.orphan_since is
  'When it was first seen as an orphan; the grace period starts here.';

create index provider_objects_last_seen_at_idx on private.provider_objects (provider, last_seen_at);

alter table private.provider_objects enable row level security;
revoke all on private.provider_objects from public, anon, authenticated, service_role;

create table private.provider_scans (
  provider text not null,
  started_at timestamptz not null,
  page_cursor text,
  pages integer not null default 0,
  listed_at timestamptz,
  finished_at timestamptz,
  last_error_code text,
  lease_token uuid,
  lease_expires_at timestamptz,
  constraint provider_scans_pkey primary key (provider),
  constraint provider_scans_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint provider_scans_finished_after_listed check (finished_at is null or listed_at is not null),
  constraint provider_scans_lease_is_whole check ((lease_token is null) = (lease_expires_at is null))
);
comment on table private.provider_scans is
  'How far the scan of each provider''s list has come. An interrupted scan is continued.';
comment on column private.provider_scans.page_cursor is 'The provider''s cursor of the next page.';
comment on column private.provider_scans.listed_at is 'When its last page was read.';
comment on column private.provider_scans.finished_at is
  'When the rows that the list did not show had been checked one by one.';

alter table private.provider_scans enable row level security;
revoke all on private.provider_scans from public, anon, authenticated, service_role;

create function private.provider_object_standing(p_provider text, p_object_id text, p_job_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when p_object_id is not null and exists (select 1 from private.provider_rows(p_provider, p_object_id)) then 'named'
    when exists (
      select 1
      from public.ai_jobs as j
      where j.id in (
          select p_job_id
          union all
          select c.job_id
          from public.ai_provider_calls as c
          where c.provider = p_provider and c.provider_object_id = p_object_id
        )
        and (
          j.status in ('pending', 'processing')
          or (
            j.status = 'failed'
            and (
              -- Parked: only an operator can find out the outcome of the call.
              j.error_code = 'outcome_unknown'
              or exists (
                select 1 from public.ai_provider_calls as o where o.job_id = j.id and o.outcome in ('sent', 'unknown')
              )
              or j.completed_at > clock_timestamp() - make_interval(
                secs => (select s.failed_grace_seconds from private.janitor_settings as s)
              )
            )
          )
        )
    ) then 'live'
    when exists (select 1 from public.ai_jobs as j where j.id = p_job_id)
      or exists (select 1 from private.former_ai_jobs as f where f.job_id = p_job_id)
      or exists (
        select 1 from public.ai_provider_calls as c where c.provider = p_provider and c.provider_object_id = p_object_id
      )
      or exists (
        select 1
        from private.provider_removals as r
        where r.provider = p_provider and r.provider_object_id = p_object_id
      ) then 'orphan'
    else 'foreign'
  end;
$$;
comment on function private.provider_object_standing(text, text, uuid) is
  'The standing of an object at a provider: named, live, orphan or foreign, as in private.provider_objects.';

-- ===== supabase/schemas/janitor/deleted_users.sql

-- Queues the removal of a deleted account's files.

create function private.forget_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- All objects in the user's folders of our buckets, whether or not a row names them. The prefix is a literal, so
  -- that the planner uses the index over names; a uuid contains nothing to quote.
  execute format(
    'insert into private.storage_removals (object_path, user_id, reason)
     select o.bucket_id || ''/'' || o.name, %1$L, ''users''
     from storage.objects as o
     where o.name like %2$L and o.bucket_id = any (private.own_buckets())
     on conflict (object_path) where done_at is null do update
     set requested_at = excluded.requested_at, next_attempt_at = excluded.next_attempt_at',
    old.id, old.id || '/%'
  );
  return old;
end;
$$;
comment on function private.forget_user() is
  'Row trigger before the deletion of an account: queues the removal of every object in its folders of our buckets. '
  'Foreign keys and their triggers delete or anonymise the rest. Security definer because the Auth service deletes '
  'users and has no rights on these tables.';

create trigger users_forget before delete on auth.users
for each row execute function private.forget_user();

-- ===== supabase/schemas/janitor/storage_removals.sql

-- The removal of files from Storage.

create function private.is_object_referenced(p_removal private.storage_removals)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select
    exists (select 1 from public.media as m where m.storage_path = p_removal.object_path)
    or exists (
      select 1 from public.voices as v where v.user_id = p_removal.user_id and v.sample_url = p_removal.object_path
    )
    or private.is_object_in_registered_row(p_removal.user_id, p_removal.object_path)
    or exists (
      select 1 from public.ai_jobs as j
      where j.user_id = p_removal.user_id
        and (
          -- A failed job may be retried.
          (
            p_removal.object_path in (j.input_url, j.metadata ->> 'audio_url')
            and j.status in ('pending', 'processing', 'failed')
          )
          -- Jobs answered from the cache share an output.
          or (j.output_url = p_removal.object_path and p_removal.reason in ('ai_jobs', 'job_leftovers'))
          -- It was retried: the files in its folder are in use again.
          or (
            p_removal.reason = 'job_leftovers' and j.id::text = split_part(p_removal.object_path, '/', 3)
            and j.status not in ('failed', 'cancelled')
          )
        )
    );
$$;
comment on function private.is_object_referenced(private.storage_removals) is
  'Whether something still needs the object: a row names it, a job may still read it, or, if a deleted or ended job '
  'requested the removal, another job shares it as its output or the job itself continues.';

create function private.removal_pause(p_attempts integer)
returns interval
language sql
volatile
security invoker
set search_path = ''
as $$
  select make_interval(secs => least(30 * power(2, least(greatest(p_attempts, 1) - 1, 20)), 21600) * (0.8 + 0.4 * random()));
$$;
comment on function private.removal_pause(integer) is
  'Wait after a failed removal: 30 s, doubled each time, at most 6 hours, ±20 %.';

create function private.job_files(p_user_id uuid, p_job_id uuid)
returns setof text
language sql
stable
security invoker
set search_path = ''
as $$
  select o.bucket_id || '/' || o.name
  from storage.objects as o
  -- A range, so that the index over names serves it; '0' is the character after the slash.
  where o.name ~>=~ (p_user_id || '/' || p_job_id || '/') and o.name ~<~ (p_user_id || '/' || p_job_id || '0')
    and o.bucket_id in ('outputs', 'pdfs');
$$;
comment on function private.job_files(uuid, uuid) is
  'The files in the folder of a job, <user id>/<job id>/, in the buckets that jobs write to, as <bucket>/<path>.';

create function private.lease_storage_removal(p_removal private.storage_removals, p_lease_token uuid, p_lease_seconds integer)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_object_changed_at timestamptz;
begin
  if private.is_object_referenced(p_removal) then
    update private.storage_removals as r
    set next_attempt_at = clock_timestamp() + interval '1 day'
    where r.id = p_removal.id;
    return false;
  end if;
  select greatest(o.created_at, o.updated_at) into v_object_changed_at
  from storage.objects as o
  where o.bucket_id = split_part(p_removal.object_path, '/', 1)
    and o.name = substr(p_removal.object_path, strpos(p_removal.object_path, '/') + 1);
  if not found then
    update private.storage_removals as r
    set done_at = clock_timestamp(), outcome = 'removed', last_error_code = null, lease_token = null
    where r.id = p_removal.id;
    return false;
  end if;
  -- Replaced since by an owner whose account exists: not the object that was to be removed.
  if v_object_changed_at > p_removal.requested_at
    and exists (select 1 from auth.users as u where u.id = p_removal.user_id) then
    update private.storage_removals as r
    set done_at = clock_timestamp(), outcome = 'replaced', last_error_code = null, lease_token = null
    where r.id = p_removal.id;
    return false;
  end if;
  update private.storage_removals as r
  set attempts = r.attempts + 1,
      lease_token = p_lease_token,
      next_attempt_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.id = p_removal.id;
  return true;
end;
$$;
comment on function private.lease_storage_removal(private.storage_removals, uuid, integer) is
  'Leases a removal whose row the caller has locked. False when its object may not be deleted now: an object that a '
  'row still needs waits a day, or until the removal is requested again; one that is gone, or that its owner has '
  'replaced since, is done.';

create function public.claim_storage_removals(p_limit integer, p_lease_seconds integer default 120)
returns table (id bigint, lease_token uuid, object_path text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.storage_removals;
  v_token uuid := gen_random_uuid();
  v_claimed integer := 0;
begin
  for v_removal in
    select r.*
    from private.storage_removals as r
    where r.done_at is null and r.next_attempt_at <= clock_timestamp()
    order by r.next_attempt_at
    limit p_limit * 10
    for update skip locked
  loop
    exit when v_claimed >= p_limit;
    if private.lease_storage_removal(v_removal, v_token, p_lease_seconds) then
      v_claimed := v_claimed + 1;
      return query select v_removal.id, v_token, v_removal.object_path;
    end if;
  end loop;
end;
$$;
comment on function public.claim_storage_removals(integer, integer) is
  'Leases up to p_limit due removals whose object may be deleted now. Delete these immediately. service_role only; '
  'security definer because the table is in schema private.';
revoke execute on function public.claim_storage_removals(integer, integer) from public, anon, authenticated;
grant execute on function public.claim_storage_removals(integer, integer) to service_role;

create function public.claim_lost_job_files(p_user_id uuid, p_job_id uuid, p_lease_seconds integer default 120)
returns table (id bigint, lease_token uuid, object_path text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_removal private.storage_removals;
  v_token uuid := gen_random_uuid();
begin
  -- A deleted job never returns, so only workers that have lost it as well could write there.
  if exists (select 1 from public.ai_jobs as j where j.id = p_job_id) then
    return;
  end if;
  insert into private.storage_removals (object_path, user_id, reason)
  select f.object_path, p_user_id, 'job_leftovers'
  from private.job_files(p_user_id, p_job_id) as f (object_path)
  on conflict (object_path) where done_at is null do nothing;
  for v_removal in
    select r.*
    from private.storage_removals as r
    where r.object_path = any (array(select f.object_path from private.job_files(p_user_id, p_job_id) as f (object_path)))
      and r.done_at is null
      and r.next_attempt_at <= clock_timestamp()
    for update skip locked
  loop
    if private.lease_storage_removal(v_removal, v_token, p_lease_seconds) then
      return query select v_removal.id, v_token, v_removal.object_path;
    end if;
  end loop;
end;
$$;
comment on function public.claim_lost_job_files(uuid, uuid, integer) is
  'For a worker that has lost its lease: if the job was deleted, alone or with its account, queues the files in its '
  'folder that no row names and leases them for deletion. 0 rows while the job exists: its files belong to another '
  'worker or to its owner. service_role only; security definer because the table is in schema private.';
revoke execute on function public.claim_lost_job_files(uuid, uuid, integer) from public, anon, authenticated;
grant execute on function public.claim_lost_job_files(uuid, uuid, integer) to service_role;

create function public.scan_stored_files(p_limit integer default 5000)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_buckets constant text[] := private.own_buckets();
  v_settings private.janitor_settings;
  v_bucket text;
  v_after text;
  v_until text;
  v_page integer;
  v_seen integer := 0;
begin
  select s.* into v_settings from private.janitor_settings as s for update skip locked;
  if not found
    or (
      v_settings.file_scan_bucket is null
      and v_settings.file_scan_done_at > clock_timestamp() - make_interval(secs => v_settings.scan_interval_seconds)
    ) then
    return 0;
  end if;
  v_after := coalesce(v_settings.file_scan_name, '');
  foreach v_bucket in array v_buckets[coalesce(array_position(v_buckets, v_settings.file_scan_bucket), 1):] loop
    select count(*), max(p.name) into v_page, v_until
    from (
      select o.name
      from storage.objects as o
      where o.bucket_id = v_bucket and o.name > v_after
      order by o.name
      limit p_limit - v_seen
    ) as p;

    insert into private.storage_removals (object_path, user_id, reason)
    select v_bucket || '/' || l.name, l.folder::uuid, case when l.has_account then 'job_leftovers' else 'no_account' end
    from (
      select o.name, f.folder, f.job_id, exists (select 1 from auth.users as u where u.id = f.folder::uuid) as has_account
      from storage.objects as o
      cross join lateral (
        select
          -- Null for a name of another form: it is in no user's folder, and ignored.
          case when o.name ~ '/.' and split_part(o.name, '/', 1) ~ v_uuid then split_part(o.name, '/', 1) end as folder,
          case
            when v_bucket in ('outputs', 'pdfs') and split_part(o.name, '/', 2) ~ v_uuid and split_part(o.name, '/', 3) <> ''
            then split_part(o.name, '/', 2)
          end as job_id
      ) as f
      where o.bucket_id = v_bucket and o.name > v_after and o.name <= v_until
        and f.folder is not null
        and greatest(o.created_at, o.updated_at)
          <= clock_timestamp() - make_interval(secs => v_settings.orphan_grace_seconds)
    ) as l
    where not l.has_account
      or (
        l.job_id is not null
        and not exists (select 1 from public.ai_jobs as j where j.id = l.job_id::uuid)
        and not private.is_object_referenced(jsonb_populate_record(
          null::private.storage_removals,
          jsonb_build_object('object_path', v_bucket || '/' || l.name, 'user_id', l.folder, 'reason', 'job_leftovers')
        ))
      )
    on conflict (object_path) where done_at is null do nothing;

    v_seen := v_seen + v_page;
    if v_seen >= p_limit then
      update private.janitor_settings as s
      set file_scan_bucket = v_bucket, file_scan_name = v_until
      where s.id = v_settings.id;
      return v_seen;
    end if;
    v_after := '';
  end loop;
  update private.janitor_settings as s
  set file_scan_bucket = null, file_scan_name = null, file_scan_done_at = clock_timestamp()
  where s.id = v_settings.id;
  return v_seen;
end;
$$;
comment on function public.scan_stored_files(integer) is
  'Continues the scan of our buckets by up to p_limit objects. Queues an object that is older than the grace period '
  'and is in the folder of no account, or in that of a deleted job and no row names it. Returns how many objects it '
  'scanned; fewer than p_limit: the scan is complete, and the next one starts after scan_interval_seconds. '
  'service_role only; security definer because it reads accounts and a table in schema private.';
revoke execute on function public.scan_stored_files(integer) from public, anon, authenticated;
grant execute on function public.scan_stored_files(integer) to service_role;

create function public.settle_storage_removals(p_ids bigint[], p_lease_token uuid, p_error_code text default null)
returns integer
language sql
volatile
security definer
set search_path = ''
as $$
  with settled as (
    update private.storage_removals as r
    set done_at = case when s.is_gone then clock_timestamp() end,
        outcome = case when s.is_gone then 'removed' end,
        last_error_code = case when not s.is_gone then coalesce(p_error_code, 'storage_unavailable') end,
        next_attempt_at = case when s.is_gone then r.next_attempt_at else clock_timestamp() + private.removal_pause(r.attempts) end,
        lease_token = null
    from (
      select q.id, not exists (
        select 1
        from storage.objects as o
        where o.bucket_id = split_part(q.object_path, '/', 1)
          and o.name = substr(q.object_path, strpos(q.object_path, '/') + 1)
      ) as is_gone
      from private.storage_removals as q
      where q.id = any (p_ids)
    ) as s
    where r.id = s.id and r.lease_token = p_lease_token and r.done_at is null
    returning r.done_at
  )
  select count(s.done_at)::integer from settled as s;
$$;
comment on function public.settle_storage_removals(bigint[], uuid, text) is
  'Settles leased removals. Done if Storage no longer has the object, regardless of what the caller reports; otherwise retried '
  'later. Returns how many are done. service_role only; security definer because the table is in schema private.';
revoke execute on function public.settle_storage_removals(bigint[], uuid, text) from public, anon, authenticated;
grant execute on function public.settle_storage_removals(bigint[], uuid, text) to service_role;

-- ===== supabase/schemas/janitor/provider_removals.sql

-- The removal of voices and videos at providers. It removes only what was created here, and nothing that a row names
-- or that a job may still continue with.

create function private.settle_cancelled_call(p_job_id uuid, p_provider text, p_object_type text, p_object_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.status = 'cancelled' for no key update;
  if not found then
    return;
  end if;
  update public.ai_provider_calls as c
  set outcome = case when p_object_id is null then 'absent' else 'adopted' end,
      provider_object_id = p_object_id,
      settled_at = clock_timestamp(),
      discarded_at = clock_timestamp()
  where c.job_id = p_job_id and c.provider = p_provider and c.outcome = 'unknown'
    and c.operation = case
      when p_object_type = 'voice' then 'create_voice'
      else coalesce(
        (select r.operation from private.provider_references as r where r.object_type = p_object_type), p_object_type
      )
    end;
  if not found then
    return;
  end if;
  perform private.record_call_change(p_job_id);
end;
$$;
comment on function private.settle_cancelled_call(uuid, text, text, text) is
  'Settles the open call of a cancelled job once the janitor knows its outcome: the object that it made (by id), which '
  'is removed now, or null for nothing. Also settles its reservation and what the job says about the cost.';

create function private.discard_provider_object(p_provider text, p_object_type text, p_object_id text, p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- Lock first: a job that is retried at this moment either continues with the object or finds it discarded.
  perform 1
  from public.ai_jobs as j
  -- An array, so that the index over ids is used: the table keeps growing.
  where j.id = any (
    array(
      select p_job_id
      union
      select c.job_id
      from public.ai_provider_calls as c
      where c.provider = p_provider and c.provider_object_id = p_object_id
    )
  )
  order by j.id
  for update;
  if private.provider_object_standing(p_provider, p_object_id, p_job_id) in ('named', 'live') then
    return false;
  end if;
  update public.ai_provider_calls as c
  set discarded_at = clock_timestamp()
  where c.provider = p_provider and c.provider_object_id = p_object_id and c.discarded_at is null;
  if p_object_id is not null then
    perform private.settle_cancelled_call(p_job_id, p_provider, p_object_type, p_object_id);
  end if;
  return true;
end;
$$;
comment on function private.discard_provider_object(text, text, text, uuid) is
  'Whether the object may be removed at its provider. If so, the calls that made it are discarded in the same '
  'transaction, so that no job continues with it, and the open call of a cancelled job is settled.';

create function public.claim_provider_removals(p_providers text[], p_limit integer, p_lease_seconds integer default 120)
returns table (
  id bigint,
  lease_token uuid,
  provider text,
  object_type text,
  provider_object_id text,
  marker text,
  made_at timestamptz,
  is_lookup_conclusive boolean
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
  v_grace interval := make_interval(secs => (select s.orphan_grace_seconds from private.janitor_settings as s));
  v_claimed integer := 0;
begin
  for v_removal in
    select r.*
    from private.provider_removals as r
    join public.ai_providers as p on p.provider = r.provider
    where r.done_at is null and r.next_attempt_at <= clock_timestamp() and r.provider = any (p_providers)
      and p.paused_at is null
      -- Normally only a job closes a breaker. If no job has tried, the janitor sends a request instead.
      and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp() - interval '10 minutes')
    order by r.next_attempt_at
    limit p_limit * 10
    for update of r skip locked
  loop
    exit when v_claimed >= p_limit;
    if not private.discard_provider_object(
      v_removal.provider, v_removal.object_type, v_removal.provider_object_id, v_removal.job_id
    ) then
      update private.provider_removals as r
      set next_attempt_at = clock_timestamp() + interval '1 hour'
      where r.id = v_removal.id;
      continue;
    end if;
    update private.provider_removals as r
    set attempts = r.attempts + 1,
        lease_token = gen_random_uuid(),
        next_attempt_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
    where r.id = v_removal.id
    returning r.lease_token into lease_token;
    id := v_removal.id;
    provider := v_removal.provider;
    object_type := v_removal.object_type;
    provider_object_id := v_removal.provider_object_id;
    marker := v_removal.marker;
    made_at := v_removal.made_at;
    is_lookup_conclusive := v_removal.requested_at <= clock_timestamp() - v_grace;
    v_claimed := v_claimed + 1;
    return next;
  end loop;
end;
$$;
comment on function public.claim_provider_removals(text[], integer, integer) is
  'Leases up to p_limit due removals at these providers, except paused or unavailable ones. An object that a row '
  'names, or that a job may continue with, waits an hour. is_lookup_conclusive: an empty lookup by marker means that '
  'nothing was made. service_role only; security definer because the table is in schema private.';
revoke execute on function public.claim_provider_removals(text[], integer, integer) from public, anon, authenticated;
grant execute on function public.claim_provider_removals(text[], integer, integer) to service_role;

create function public.discard_found_object(p_id bigint, p_lease_token uuid, p_provider_object_id text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
begin
  select * into v_removal
  from private.provider_removals as r
  where r.id = p_id and r.lease_token = p_lease_token and r.done_at is null
  for update;
  if not found then
    return false;
  end if;
  return private.discard_provider_object(
    v_removal.provider, v_removal.object_type, p_provider_object_id, v_removal.job_id
  );
end;
$$;
comment on function public.discard_found_object(bigint, uuid, text) is
  'Whether the object found by a lookup by marker may be removed: the caller still holds the lease, no row names the '
  'object and no job may continue with it. service_role only; security definer because the table is in schema private.';
revoke execute on function public.discard_found_object(bigint, uuid, text) from public, anon, authenticated;
grant execute on function public.discard_found_object(bigint, uuid, text) to service_role;

create function public.settle_provider_removal(
  p_id bigint,
  p_lease_token uuid,
  p_outcome text,
  p_error_code text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
begin
  update private.provider_removals as r
  set done_at = case when p_outcome in ('removed', 'absent') then clock_timestamp() end,
      outcome = case when p_outcome in ('removed', 'absent') then p_outcome end,
      last_error_code = case when p_outcome = 'failed' then coalesce(p_error_code, 'internal_error') end,
      next_attempt_at = case
        when p_outcome in ('removed', 'absent') then r.next_attempt_at
        else clock_timestamp() + private.removal_pause(r.attempts)
      end,
      lease_token = null
  where r.id = p_id and r.lease_token = p_lease_token and r.done_at is null
  returning r.* into v_removal;
  if not found then
    return false;
  end if;
  if v_removal.done_at is not null then
    delete from private.provider_objects as o
    where o.provider = v_removal.provider and o.object_id = v_removal.provider_object_id;
    if v_removal.provider_object_id is null then
      -- If an object was found, the call is already settled.
      perform private.settle_cancelled_call(v_removal.job_id, v_removal.provider, v_removal.object_type, null);
    end if;
  end if;
  return true;
end;
$$;
comment on function public.settle_provider_removal(bigint, uuid, text, text) is
  'Settles a leased removal: removed (or already gone), absent (the marker finds nothing), looking (not found yet: '
  'look up again later) or failed (retry later). False: another run holds the lease and nothing changed. service_role '
  'only; security definer because the table is in schema private.';
revoke execute on function public.settle_provider_removal(bigint, uuid, text, text) from public, anon, authenticated;
grant execute on function public.settle_provider_removal(bigint, uuid, text, text) to service_role;

-- ===== supabase/schemas/janitor/provider_scans.sql

-- The comparison of a provider's list with our rows.

create function public.begin_provider_scan(p_provider text, p_lease_seconds integer default 120)
returns table (lease_token uuid, page_cursor text, is_listed boolean)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_scan private.provider_scans;
  v_interval interval := make_interval(secs => (select s.scan_interval_seconds from private.janitor_settings as s));
begin
  if not exists (
    select 1
    from public.ai_providers as p
    where p.provider = p_provider and p.paused_at is null
      -- Normally only a job closes a breaker. If no job has tried, the janitor sends a request instead.
      and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp() - interval '10 minutes')
  ) then
    return;
  end if;
  insert into private.provider_scans as s (provider, started_at, lease_token, lease_expires_at)
  values (p_provider, clock_timestamp(), gen_random_uuid(), clock_timestamp() + make_interval(secs => p_lease_seconds))
  on conflict (provider) do update
  set started_at = case when s.finished_at is null then s.started_at else excluded.started_at end,
      page_cursor = case when s.finished_at is null then s.page_cursor end,
      pages = case when s.finished_at is null then s.pages else 0 end,
      listed_at = case when s.finished_at is null then s.listed_at end,
      finished_at = null,
      last_error_code = null,
      lease_token = excluded.lease_token,
      lease_expires_at = excluded.lease_expires_at
  where coalesce(s.lease_expires_at <= clock_timestamp(), true)
    and coalesce(s.finished_at <= clock_timestamp() - v_interval, true)
  returning * into v_scan;
  if found then
    return query select v_scan.lease_token, v_scan.page_cursor, v_scan.listed_at is not null;
  end if;
end;
$$;
comment on function public.begin_provider_scan(text, integer) is
  'Leases the scan of a provider''s list: a new one if the last is old enough, otherwise an interrupted one, from its '
  'next page on. 0 rows: nothing to do, or another run holds the lease. service_role only; security definer because '
  'the table is in schema private.';
revoke execute on function public.begin_provider_scan(text, integer) from public, anon, authenticated;
grant execute on function public.begin_provider_scan(text, integer) to service_role;

create function public.record_provider_page(
  p_provider text,
  p_lease_token uuid,
  p_objects jsonb,
  p_next_cursor text default null,
  p_lease_seconds integer default 120
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_settings private.janitor_settings;
  v_ids text[];
begin
  update private.provider_scans as s
  set page_cursor = p_next_cursor,
      pages = s.pages + 1,
      listed_at = case when p_next_cursor is null then clock_timestamp() end,
      lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where s.provider = p_provider and s.lease_token = p_lease_token and s.finished_at is null;
  if not found then
    return false;
  end if;
  select * into v_settings from private.janitor_settings;
  select array_agg(o.object_id) into v_ids from jsonb_to_recordset(p_objects) as o (object_id text);

  with given as (
    select distinct on (o.object_id) o.object_id, o.object_type, o.job_id
    from jsonb_to_recordset(p_objects) as o (object_id text, object_type text, job_id uuid)
    order by o.object_id, o.job_id
  ),
  judged as (
    select g.*, private.provider_object_standing(p_provider, g.object_id, g.job_id) as standing from given as g
  )
  insert into private.provider_objects as k (provider, object_id, object_type, job_id, standing, orphan_since)
  select
    p_provider, j.object_id, j.object_type, j.job_id, j.standing,
    case when j.standing = 'orphan' then clock_timestamp() end
  from judged as j
  -- An object without marker and without row is not ours.
  where j.job_id is not null or j.standing <> 'foreign'
  on conflict (provider, object_id) do update
  set object_type = excluded.object_type,
      job_id = excluded.job_id,
      standing = excluded.standing,
      last_seen_at = clock_timestamp(),
      orphan_since = case when excluded.standing = 'orphan' then coalesce(k.orphan_since, excluded.orphan_since) end;

  insert into private.provider_removals (provider, object_type, provider_object_id, job_id)
  select o.provider, o.object_type, o.object_id, o.job_id
  from private.provider_objects as o
  where o.provider = p_provider and o.object_id = any (v_ids)
    and o.orphan_since <= clock_timestamp() - make_interval(secs => v_settings.orphan_grace_seconds)
  on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;

  perform private.set_provider_missing(p_provider, v_ids, null);
  return true;
end;
$$;
comment on function public.record_provider_page(text, uuid, jsonb, text, integer) is
  'Records a page of a provider''s list, [{object_id, object_type, job_id?}], and the cursor of the next one (null: '
  'last page). An orphan is noted when it is first seen, and queued for removal when it is seen again after the grace '
  'period. False: the lease is lost and nothing changed. service_role only; security definer because the tables are in '
  'schema private.';
revoke execute on function public.record_provider_page(text, uuid, jsonb, text, integer) from public, anon, authenticated;
grant execute on function public.record_provider_page(text, uuid, jsonb, text, integer) to service_role;

create function public.unseen_provider_rows(p_provider text, p_lease_token uuid, p_limit integer)
returns setof text
language sql
stable
security definer
set search_path = ''
as $$
  select u.object_id
  from private.provider_scans as s
  cross join lateral private.provider_rows(s.provider) as u
  where u.provider_missing_since is null and u.created_at < s.started_at - interval '1 hour'
    and s.provider = p_provider and s.lease_token = p_lease_token and s.listed_at is not null
    and not exists (
      select 1
      from private.provider_objects as o
      where o.provider = s.provider and o.object_id = u.object_id and o.last_seen_at >= s.started_at
    )
  limit p_limit;
$$;
comment on function public.unseen_provider_rows(text, uuid, integer) is
  'Objects that our rows name but that a complete scan of the provider''s list did not show. Leaves out rows younger '
  'than an hour: lists may lag behind. service_role only; security definer because the table is in schema private.';
revoke execute on function public.unseen_provider_rows(text, uuid, integer) from public, anon, authenticated;
grant execute on function public.unseen_provider_rows(text, uuid, integer) to service_role;

create function public.record_provider_rows(p_provider text, p_lease_token uuid, p_missing text[], p_present text[])
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform 1 from private.provider_scans as s where s.provider = p_provider and s.lease_token = p_lease_token for update;
  if not found then
    return false;
  end if;
  perform private.set_provider_missing(p_provider, p_missing, clock_timestamp());
  insert into private.provider_objects as k (provider, object_id, object_type, standing)
  select p_provider, p.object_id, 'unlisted', 'named' from unnest(p_present) as p (object_id)
  on conflict (provider, object_id) do update set last_seen_at = clock_timestamp();
  return true;
end;
$$;
comment on function public.record_provider_rows(text, uuid, text[], text[]) is
  'Records what the provider answered about single objects: marks the rows of those that it does not have. False: the '
  'lease is lost and nothing changed. service_role only; security definer because the table is in schema private.';
revoke execute on function public.record_provider_rows(text, uuid, text[], text[]) from public, anon, authenticated;
grant execute on function public.record_provider_rows(text, uuid, text[], text[]) to service_role;

create function public.end_provider_scan(p_provider text, p_lease_token uuid, p_error_code text default null)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_scan private.provider_scans;
begin
  update private.provider_scans as s
  set finished_at = case when p_error_code is null and s.listed_at is not null then clock_timestamp() end,
      -- Otherwise a cursor that the provider no longer accepts would be used forever.
      page_cursor = null,
      started_at = case when p_error_code is not null and s.listed_at is null then clock_timestamp() else s.started_at end,
      last_error_code = p_error_code,
      lease_token = null,
      lease_expires_at = null
  where s.provider = p_provider and s.lease_token = p_lease_token
  returning * into v_scan;
  if not found then
    return false;
  end if;
  if v_scan.finished_at is not null then
    delete from private.provider_objects as o where o.provider = p_provider and o.last_seen_at < v_scan.started_at;
  end if;
  return true;
end;
$$;
comment on function public.end_provider_scan(text, uuid, text) is
  'Ends the scan of a provider''s list and forgets the objects that it did not show. After an error the next scan '
  'starts at the first page. False: the lease is lost and nothing changed. service_role only; security definer because '
  'the table is in schema private.';
revoke execute on function public.end_provider_scan(text, uuid, text) from public, anon, authenticated;
grant execute on function public.end_provider_scan(text, uuid, text) to service_role;

-- ===== supabase/schemas/janitor/abandoned_uploads.sql

-- Resumable uploads that no job will finish, for the janitor to abort.

create function public.claim_abandoned_uploads(p_limit integer, p_lease_seconds integer default 120)
returns table (upload_id text, lease_token uuid)
language sql
volatile
security definer
set search_path = ''
as $$
  update private.abandoned_uploads as a
  set attempts = a.attempts + 1,
      lease_token = t.token,
      next_attempt_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  from (
    select u.upload_id
    from private.abandoned_uploads as u
    where u.next_attempt_at <= clock_timestamp()
    order by u.next_attempt_at
    limit p_limit
    for update skip locked
  ) as due, (select gen_random_uuid() as token) as t
  where a.upload_id = due.upload_id
  returning a.upload_id, a.lease_token;
$$;
comment on function public.claim_abandoned_uploads(integer, integer) is
  'Leases up to p_limit uploads that are due to be aborted. service_role only; security definer because the list is in '
  'schema private.';
revoke execute on function public.claim_abandoned_uploads(integer, integer) from public, anon, authenticated;
grant execute on function public.claim_abandoned_uploads(integer, integer) to service_role;

create function public.settle_abandoned_uploads(p_upload_ids text[], p_lease_token uuid, p_error_code text default null)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ended integer := 0;
begin
  if p_error_code is null then
    delete from private.abandoned_uploads as a where a.upload_id = any (p_upload_ids) and a.lease_token = p_lease_token;
    get diagnostics v_ended = row_count;
    return v_ended;
  end if;
  update private.abandoned_uploads as a
  set last_error_code = p_error_code,
      next_attempt_at = clock_timestamp() + private.removal_pause(a.attempts),
      lease_token = null
  where a.upload_id = any (p_upload_ids) and a.lease_token = p_lease_token;
  return v_ended;
end;
$$;
comment on function public.settle_abandoned_uploads(text[], uuid, text) is
  'Settles leased uploads: deletes the row if Storage no longer has the upload, otherwise retries later, with '
  'p_error_code. Returns how many were deleted. service_role only; security definer because the list is in schema '
  'private.';
revoke execute on function public.settle_abandoned_uploads(text[], uuid, text) from public, anon, authenticated;
grant execute on function public.settle_abandoned_uploads(text[], uuid, text) to service_role;

-- ===== supabase/schemas/janitor/ended_jobs.sql

-- The deletion of ended jobs: those of an account before it is deleted, and old ones by the janitor.

create function private.first_uuid_v7_at(p_time timestamptz)
returns uuid
language sql
immutable
security invoker
set search_path = ''
as $$
  select (
    overlay(lpad(to_hex(greatest(extract(epoch from p_time) * 1000, 0)::bigint), 12, '0') placing '-' from 9 for 0)
      || '-7000-8000-000000000000'
  )::uuid;
$$;
comment on function private.first_uuid_v7_at(timestamptz) is
  'The least UUID of version 7 with this time, which must be finite: ids that private.uuid_v7 made before are less.';

create function public.delete_ended_ai_jobs(
  p_user_id uuid default null,
  p_ended_before timestamptz default null,
  p_limit integer default 1000
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_ids uuid[];
begin
  if p_user_id is null and p_ended_before is null then
    raise exception 'give p_user_id, p_ended_before or both' using errcode = '22023';
  end if;
  if not isfinite(p_ended_before) or p_ended_before > clock_timestamp() then
    raise exception 'p_ended_before must be a time in the past' using errcode = '22023', detail = 'p_ended_before';
  end if;
  if p_limit is null or p_limit not between 1 and 10000 then
    raise exception 'p_limit must be between 1 and 10000' using errcode = '22023', detail = 'p_limit';
  end if;
  if p_user_id is not null and not exists (select 1 from auth.users as u where u.id = p_user_id) then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
  end if;

  if p_user_id is not null then
    select array_agg(d.id) into v_ids
    from (
      select j.id
      from public.ai_jobs as j
      where j.user_id = p_user_id and j.status in ('completed', 'failed', 'cancelled')
        and j.completed_at < coalesce(p_ended_before, 'infinity')
        and not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
        and not exists (
          select 1 from public.ai_jobs as d where d.depends_on_job_id = j.id and d.status in ('pending', 'processing')
        )
      order by j.created_at, j.id
      limit p_limit
      for update skip locked
    ) as d;
  else
    select array_agg(d.id) into v_ids
    from (
      select j.id
      from public.ai_jobs as j
      -- In the order of the primary key, which is that of creation: younger jobs are not read.
      where j.id < private.first_uuid_v7_at(p_ended_before) and j.status in ('completed', 'failed', 'cancelled')
        and j.completed_at < p_ended_before
        and not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
        and not exists (
          select 1 from public.ai_jobs as d where d.depends_on_job_id = j.id and d.status in ('pending', 'processing')
        )
      order by j.id
      limit p_limit
      for update skip locked
    ) as d;
  end if;
  if v_ids is null then
    return 0;
  end if;
  delete from public.ai_jobs as j where j.id = any (v_ids);
  return cardinality(v_ids);
end;
$$;
comment on function public.delete_ended_ai_jobs(uuid, timestamptz, integer) is
  'Deletes up to p_limit ended jobs, the oldest first, and returns how many: those of a user (AJ075 if there is none), those '
  'that ended before a time, or both. Their timelines and journals are deleted with them, and the janitor removes the files '
  'and provider objects that no other row refers to. A job with a paid call of unknown outcome stays, and so does one that a '
  'waiting or running job depends on. For the operator; security definer because it reads accounts.';
revoke execute on function public.delete_ended_ai_jobs(uuid, timestamptz, integer) from public, anon, authenticated;
grant execute on function public.delete_ended_ai_jobs(uuid, timestamptz, integer) to service_role;

create function private.prune_ended_ai_jobs(p_limit integer default 2000)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_days constant integer := (select s.ended_job_days from private.janitor_settings as s);
begin
  if v_days is null then
    return 0;
  end if;
  return public.delete_ended_ai_jobs(p_ended_before => now() - make_interval(days => v_days), p_limit => p_limit);
end;
$$;
comment on function private.prune_ended_ai_jobs(integer) is
  'Deletes up to p_limit jobs that ended longer ago than private.janitor_settings.ended_job_days, and returns how many. Null '
  'there deletes none. Runs with the janitor.';

-- ===== supabase/schemas/janitor/run.sql

-- A run of the janitor. All of its work is leased in small parts, so that the next run finishes one that was killed.

create function private.queue_job_leftovers(p_limit integer default 500)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_settings private.janitor_settings;
  v_status text;
  v_from timestamptz;
  v_to timestamptz;
  v_until timestamptz;
  v_jobs uuid[];
  v_count integer := 0;
begin
  select * into v_settings from private.janitor_settings for update skip locked;
  if not found then
    return 0;
  end if;
  foreach v_status in array array['cancelled', 'failed'] loop
    v_from := case v_status when 'cancelled' then v_settings.cancelled_done_until else v_settings.failed_done_until end;
    v_to := clock_timestamp() - make_interval(
      secs => case v_status when 'cancelled' then v_settings.orphan_grace_seconds else v_settings.failed_grace_seconds end
    );
    select array_agg(d.id), max(d.completed_at) into v_jobs, v_until
    from (
      (
        select j.id, j.completed_at
        from public.ai_jobs as j
        where v_status = 'cancelled' and j.status = 'cancelled' and j.completed_at > v_from and j.completed_at <= v_to
        order by j.completed_at
        fetch first p_limit rows with ties
      )
      union all
      (
        select j.id, j.completed_at
        from public.ai_jobs as j
        where v_status = 'failed' and j.status = 'failed' and j.completed_at > v_from and j.completed_at <= v_to
        order by j.completed_at
        fetch first p_limit rows with ties
      )
    ) as d;
    continue when v_jobs is null;

    -- A parked job keeps everything: an operator may let it continue. Once resolved it ends again and is picked up then.
    select array_agg(j.id) into v_jobs
    from public.ai_jobs as j
    where j.id = any (v_jobs)
      and (
        j.status = 'cancelled'
        or (
          j.error_code <> 'outcome_unknown'
          and not exists (
            select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
          )
        )
      );

    insert into private.provider_removals (provider, object_type, provider_object_id, marker, job_id, made_at)
    select
      c.provider, c.operation, c.provider_object_id,
      case when c.provider_object_id is null then 'job:' || c.job_id end, c.job_id, c.sent_at
    from public.ai_provider_calls as c
    -- Speech and transcripts do not count against a plan's limit, and a retry of a failed job reads them again.
    where c.job_id = any (v_jobs)
      and (
        c.operation = 'create_voice' or c.operation in (select r.operation from private.provider_references as r)
      )
      and c.outcome not in ('rejected', 'absent') and c.discarded_at is null
      and private.provider_object_standing(c.provider, c.provider_object_id, c.job_id) = 'orphan'
    on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;

    insert into private.storage_removals (object_path, user_id, reason)
    select f.object_path, j.user_id, 'job_leftovers'
    from public.ai_jobs as j
    cross join lateral private.job_files(j.user_id, j.id) as f (object_path)
    where j.id = any (v_jobs)
    on conflict (object_path) where done_at is null do nothing;

    v_count := v_count + coalesce(cardinality(v_jobs), 0);
    if v_status = 'cancelled' then
      update private.janitor_settings as s set cancelled_done_until = v_until where s.id = v_settings.id;
    else
      update private.janitor_settings as s set failed_done_until = v_until where s.id = v_settings.id;
    end if;
  end loop;
  return v_count;
end;
$$;
comment on function private.queue_job_leftovers(integer) is
  'Queues for removal what ended jobs without a result left behind, once their grace period is over: the voice or '
  'registered object of a call, and the files in the job''s folder. Parked jobs keep everything. Continues where the last call '
  'stopped; returns the number of jobs.';

create function public.begin_janitor_run(p_message_id text, p_sent_at_unix double precision)
returns table (jobs_deleted integer, jobs_checked integer)
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_sent_at_unix is null or abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > 300 then
    raise exception 'the timestamp of dispatch % is more than five minutes off', p_message_id using errcode = 'AJ040';
  end if;
  insert into private.dispatch_receipts (message_id) values (p_message_id) on conflict do nothing;
  if not found then
    raise exception 'dispatch % was already delivered', p_message_id using errcode = 'AJ041';
  end if;
  perform private.note_schedule_run('janitor');
  perform private.prune_operator_actions();
  jobs_deleted := private.prune_ended_ai_jobs();
  jobs_checked := private.queue_job_leftovers();
  return next;
end;
$$;
comment on function public.begin_janitor_run(text, double precision) is
  'Accepts a call of the janitor whose signature the caller has verified: rejects one more than five minutes old or '
  'ahead (AJ040) and a replay (AJ041). Removes old actions of operators and deletes old jobs, queues what '
  'cancelled and failed jobs left, and returns how many jobs it deleted and checked, in one row. service_role only; security definer because the tables are in schema private.';
revoke execute on function public.begin_janitor_run(text, double precision) from public, anon, authenticated;
grant execute on function public.begin_janitor_run(text, double precision) to service_role;

create function public.report_ai_leftovers(p_limit integer default 1000)
returns table (
  kind text,
  state text,
  provider text,
  object_type text,
  object_id text,
  job_id uuid,
  since timestamptz,
  remove_after timestamptz,
  attempts integer,
  last_error_code text
)
language sql
stable
security definer
set search_path = ''
as $$
  select l.*
  from (
    select
      o.standing, case o.standing when 'orphan' then 'waiting' else 'reported' end, o.provider, o.object_type, o.object_id,
      o.job_id, coalesce(o.orphan_since, o.first_seen_at),
      o.orphan_since + make_interval(secs => s.orphan_grace_seconds), null::integer, null::text
    from private.provider_objects as o, private.janitor_settings as s
    where o.standing in ('orphan', 'foreign')
      and not exists (
        select 1
        from private.provider_removals as r
        where r.provider = o.provider and r.provider_object_id = o.object_id and r.done_at is null
      )
    union all
    select
      'removal',
      case
        when r.last_error_code is null then 'waiting'
        when r.attempts >= 5 then 'failing'
        else 'retrying'
      end,
      r.provider, r.object_type, coalesce(r.provider_object_id, r.marker), r.job_id, r.requested_at, r.next_attempt_at,
      r.attempts, r.last_error_code
    from private.provider_removals as r
    where r.done_at is null
    union all
    select
      'file',
      case
        when r.last_error_code is null then 'waiting'
        when r.attempts >= 5 then 'failing'
        else 'retrying'
      end,
      'internal', r.reason, r.object_path, null, r.requested_at, r.next_attempt_at, r.attempts, r.last_error_code
    from private.storage_removals as r
    where r.done_at is null
    union all
    select
      'missing', 'reported', n.provider, n.object_type, n.object_id, n.job_id, n.provider_missing_since, null, null, null
    from private.provider_rows() as n
    where n.provider_missing_since is not null
  ) as l (
    kind, state, provider, object_type, object_id, job_id, since, remove_after, attempts, last_error_code
  )
  order by l.state = 'failing' desc, l.since
  limit p_limit;
$$;
comment on function public.report_ai_leftovers(integer) is
  'For the operator: objects at providers and in Storage that no row names, pending removals, and rows whose provider '
  'object is missing. kind: orphan (removed after remove_after), foreign (the marker of no job of ours: never '
  'removed), removal, file, missing. state failing: five attempts, and the last one failed. service_role only; '
  'security definer because the tables are in schema private.';
revoke execute on function public.report_ai_leftovers(integer) from public, anon, authenticated;
grant execute on function public.report_ai_leftovers(integer) to service_role;

create function private.run_janitor()
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.post_signed('janitor', jsonb_build_object('type', 'JANITOR'));
$$;
comment on function private.run_janitor() is
  'Sends a signed request to the Edge Function janitor. Returns the pg_net request id, or null if it could not be '
  'sent.';

-- ===== supabase/schemas/jobs/voice_clone.sql

-- The job type voice_clone: creates a voice from a recording.

insert into public.ai_job_types (
  job_type, provider, max_attempts, input_name, input_buckets, input_mime_types, input_max_bytes
) values (
  'voice_clone',
  'elevenlabs',
  5,
  'recording',
  array['voice-samples', 'uploads'],
  array[
    'audio/mpeg', 'audio/wav', 'audio/mp4', 'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/aiff', 'audio/3gpp'
  ],
  10485760
);

-- An instant clone is included in the plan; it occupies a voice slot.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('voice_clone', 'elevenlabs', 'creation', 1, 0);

insert into private.ai_job_products (kind) values ('voice');

create function private.save_voice(p_items jsonb, p_job_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  insert into public.voices (
    id, user_id, job_id, provider, provider_voice_id, name, description, labels, stability, similarity_boost, sample_url
  )
  select
    v.id, j.user_id, j.id, j.provider, v.provider_voice_id, v.name, v.description, coalesce(v.labels, '{}'), v.stability,
    v.similarity_boost, j.input_url
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as v (
    id uuid, provider_voice_id text, name text, description text, labels jsonb, stability numeric, similarity_boost numeric
  )
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'voice'
  order by j.id;
end;
$$;
comment on function private.save_voice(jsonb, uuid[]) is
  'Writes the voices that voice clones created (id, provider_voice_id, name, description, labels, stability, '
  'similarity_boost). See private.ai_job_products.';

-- ===== supabase/schemas/jobs/text_to_speech.sql

-- The job type text_to_speech: a text is spoken by a voice.

insert into public.ai_job_types (
  job_type, provider, max_attempts, reconcile_seconds, max_age_seconds, is_input_required, input_name, input_buckets,
  input_mime_types, input_max_bytes, stock_voice_ids, hooks
) values (
  'text_to_speech', 'elevenlabs', 5,
  -- The provider does not document how late an item may appear in its history.
  180,
  86400,
  false, 'input', '{}', '{}', 1,
  array['21m00Tcm4TlvDq8ikWAM', 'pNInz6obpgDQGcFmaJgB'],
  array['check']
);

insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('text_to_speech', 'elevenlabs', 'character', 1000, 100000);

create function private.check_text_to_speech(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_voice text := p_job.metadata ->> 'voice_id';
begin
  if v_voice is null then
    if exists (
      select 1 from public.ai_jobs as j
      where j.id = p_job.depends_on_job_id and j.user_id = p_job.user_id and j.job_type = 'voice_clone'
    ) then
      return;
    end if;
    raise exception 'metadata.voice_id is required unless the job depends on a voice clone'
      using errcode = 'AJ020', detail = 'metadata.voice_id';
  end if;
  if exists (
    select 1 from public.ai_job_types as t where t.job_type = p_job.job_type and v_voice = any (t.stock_voice_ids)
  ) then
    return;
  end if;
  if not exists (
    select 1 from public.voices as v
    where v.id = case when v_voice ~ v_uuid then v_voice::uuid end
      and v.user_id = p_job.user_id
      and v.provider = p_job.provider
  ) then
    raise exception 'metadata.voice_id must name a stock voice or one of your voices'
      using errcode = 'AJ018', detail = 'metadata.voice_id';
  end if;
end;
$$;
comment on function private.check_text_to_speech(public.ai_jobs) is
  'Raises AJ018 unless metadata.voice_id names a stock voice or a voice of the job''s owner; the error is the same for '
  'another user''s voice and for none. A job that depends on a voice clone may leave the voice out. Called by '
  'private.admit_ai_job, which runs with its owner''s rights, so this function checks the owner.';

-- ===== supabase/schemas/ops/health.sql

-- Health: what an operator on call must know, at a cost that does not grow with the number of jobs.

create function private.count_stuck_ai_jobs()
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_blocked_users uuid[] := private.users_without_room();
  v_is_sweeping boolean;
begin
  select r.last_run_at > statement_timestamp() - interval '1 minute' into v_is_sweeping
  from private.ai_schedule_runs as r
  where r.name = 'sweep';
  return (
    -- No worker holds them any more, and the sweep has not rescued them.
    select count(*)
    from public.ai_jobs as j
    where j.status = 'processing' and j.lease_expires_at < statement_timestamp() - interval '1 minute'
  ) + (
    -- Due, with room to run, and no job of the kind was claimed for two minutes.
    select count(*)
    from (
      select t.job_type, p.provider
      from public.ai_job_types as t
      join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
      where t.is_enabled and t.paused_at is null and p.paused_at is null and p.breaker_opened_at is null
        and p.max_concurrent > (
          select count(*) from public.ai_jobs as r where r.status = 'processing' and r.provider = p.provider
        )
        and not exists (
          select 1
          from private.ai_counters as c
          where c.resolution = 60 and c.metric = 'claimed' and c.bucket_at > statement_timestamp() - interval '3 minutes'
            and c.job_type = t.job_type and c.provider = p.provider
        )
      -- So that this is decided by kind, and not for each job that waits.
      offset 0
    ) as l
    cross join lateral (
      select w.user_id
      from public.ai_jobs as w
      where w.job_type = l.job_type and w.provider = l.provider and w.status = 'pending' and w.queue_key is not null
        and w.scheduled_at < statement_timestamp() - interval '2 minutes'
      order by w.scheduled_at
      limit 200
    ) as w
    where w.user_id <> all (v_blocked_users)
  ) + case
    when v_is_sweeping then 0
    -- Without the sweep nothing else finds these.
    else (
      select count(*)
      from (
        select 1
        from public.ai_jobs as d
        where d.status = 'pending' and d.queue_key is null and not d.is_blocked
          and d.scheduled_at < statement_timestamp() - interval '2 minutes'
        limit 1000
      ) as d
    )
  end;
end;
$$;
comment on function private.count_stuck_ai_jobs() is
  'Jobs that should make progress and do not: their lease ran out a minute ago; or they have been due for two minutes while their '
  'provider and their owner have room, nothing is paused, and no job of their kind was claimed. Counts at most 200 of a '
  'kind, and 1000 that the sweep has not seen.';

create view private.ai_parked_jobs
with (security_invoker = true)
as
select
  j.id as job_id,
  j.user_id,
  j.job_type,
  j.provider,
  j.status,
  j.error_code,
  j.error_message,
  'job:' || j.id as marker,
  j.created_at,
  j.completed_at as parked_at,
  c.id as call_id,
  c.operation,
  c.attempt,
  c.error_code as call_error_code,
  c.http_status,
  c.estimated_cost_micros,
  c.sent_at,
  c.unknown_since
from public.ai_provider_calls as c
join public.ai_jobs as j on j.id = c.job_id
where c.outcome = 'unknown' and j.status in ('failed', 'cancelled');
comment on view private.ai_parked_jobs is
  'Ended jobs with a paid call of unknown outcome, one row for each such call. The marker is what to '
  'search for at the provider; public.resolve_unknown_ai_job takes the answer. For the operator.';
revoke all on private.ai_parked_jobs from public, anon, authenticated, service_role;

create view private.ai_provider_queues
with (security_invoker = true)
as
with scheduled as (
  select s.provider, count(*) as jobs
  from (
    select j.provider
    from public.ai_jobs as j
    where j.status = 'pending' and j.queue_key is null and not j.is_blocked and j.scheduled_at > statement_timestamp()
    order by j.scheduled_at
    limit 1000
  ) as s
  group by s.provider
)
select
  p.provider,
  greatest(coalesce(w.jobs, 0) - coalesce(s.jobs, 0), 0)::bigint as waiting,
  coalesce(s.jobs, 0)::bigint as scheduled,
  (select count(*) from public.ai_jobs as r where r.status = 'processing' and r.provider = p.provider) as running
from public.ai_providers as p
left join scheduled as s on s.provider = p.provider
left join (
  select c.provider, sum(c.amount) as jobs
  from private.ai_counters as c
  where c.resolution = 0 and c.bucket_at = '-infinity' and c.metric = 'jobs' and c.code = 'pending'
  group by c.provider
) as w on w.provider = p.provider;
comment on view private.ai_provider_queues is
  'How many jobs of each provider wait, are scheduled for later (a start time, a backoff, a snooze), and run. Waiting jobs '
  'include those that wait for another job. Of the scheduled jobs only the next 1000 are counted, of all providers '
  'together; the others count as waiting.';
revoke all on private.ai_provider_queues from public, anon, authenticated, service_role;

create view private.ai_health
with (security_invoker = true)
as
select
  statement_timestamp() as checked_at,
  d.oldest_due_at,
  -- greatest() alone would make 0 of null.
  case
    when d.oldest_due_at is not null
      then greatest(extract(epoch from statement_timestamp() - d.oldest_due_at), 0)::double precision
  end as oldest_due_seconds,
  private.count_stuck_ai_jobs() as stuck,
  (select count(*) from (select distinct k.job_id from private.ai_parked_jobs as k limit 1000) as k) as parked,
  (
    select coalesce(array_agg(p.provider order by p.provider), '{}')
    from public.ai_providers as p
    where p.breaker_opened_at is not null
  ) as open_breakers,
  (select r.last_run_at from private.ai_schedule_runs as r where r.name = 'sweep') as last_sweep_at,
  (select r.last_run_at from private.ai_schedule_runs as r where r.name = 'fold') as last_fold_at,
  (select r.last_run_at from private.ai_schedule_runs as r where r.name = 'janitor') as last_janitor_at,
  (
    select count(*) = 2 from vault.secrets as s where s.name in ('project_url', 'dispatch_secret')
  ) as is_dispatch_configured,
  (
    select count(*)
    from (
      select h.status_code, h.timed_out, h.error_msg, h.created
      from net._http_response as h
      order by h.created desc
      limit 200
    ) as h
    where h.created > statement_timestamp() - interval '10 minutes'
      -- 409 means that it had already been delivered.
      and (h.timed_out or h.error_msg is not null or (h.status_code >= 400 and h.status_code <> 409))
  ) as dispatch_failures,
  (
    select coalesce(
      jsonb_agg(
        jsonb_build_object('provider', q.provider, 'waiting', q.waiting, 'scheduled', q.scheduled, 'running', q.running)
        order by q.provider
      ),
      '[]'
    )
    from private.ai_provider_queues as q
  ) as queue
from (
  select min(w.scheduled_at) as oldest_due_at
  from (
    select (
      select w.scheduled_at
      from public.ai_jobs as w
      where w.job_type = t.job_type and w.provider = p.provider and w.status = 'pending' and w.queue_key is not null
      order by w.scheduled_at
      limit 1
    ) as scheduled_at
    from public.ai_job_types as t
    cross join public.ai_providers as p
    union all
    (
      select w.scheduled_at
      from public.ai_jobs as w
      where w.status = 'pending' and w.queue_key is null and not w.is_blocked and w.scheduled_at <= statement_timestamp()
      order by w.scheduled_at
      limit 1
    )
  ) as w
) as d;
comment on view private.ai_health is
  'What an operator on call must know, in one row: the job that has been due longest, stuck and parked jobs (1000 at most), '
  'open breakers, when sweep, fold and janitor last ran, how many of the last 200 calls to our functions failed in ten '
  'minutes, and the queue by provider. As quick with a million jobs as with ten.';
revoke all on private.ai_health from public, anon, authenticated, service_role;

create function private.ai_failure_share()
returns table (share numeric, accepted numeric, failing_since timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_fewest constant integer := 10;
  v_accepted constant numeric := 0.25;
  v_now constant timestamptz := date_trunc('minute', statement_timestamp());
begin
  return query
  with minutes as (
    select m.at, coalesce(sum(c.amount), 0) as ended, coalesce(sum(c.amount) filter (where c.metric = 'failed'), 0) as failed
    from generate_series(v_now - interval '74 minutes', v_now, interval '1 minute') as m (at)
    left join private.ai_counters as c
      on c.resolution = 60 and c.metric in ('completed', 'failed') and c.bucket_at = m.at
    group by m.at
  ),
  quarters as (
    select s.at, case when s.ended < v_fewest then 0 else round(s.failed / s.ended, 3) end as share
    from (
      select m.at, sum(m.ended) over last_quarter as ended, sum(m.failed) over last_quarter as failed
      from minutes as m
      window last_quarter as (order by m.at rows 14 preceding)
    ) as s
    where s.at > v_now - interval '60 minutes'
  )
  select
    max(q.share) filter (where q.at = v_now),
    v_accepted,
    min(q.at) filter (where q.at > coalesce(k.last_good_at, '-infinity'))
  from quarters as q
  cross join (select max(g.at) as last_good_at from quarters as g where g.share <= v_accepted) as k;
end;
$$;
comment on function private.ai_failure_share() is
  'The one rule for when too many jobs fail, which the checks, the metrics, the alert and the console use. share: of the '
  'jobs that ended in the last 15 minutes, how many failed; 0 when fewer than ten ended. Too many are more than accepted. '
  'failing_since: since which minute that has been so, at most an hour ago; null while it is not.';

create function private.check_ai_health()
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_health private.ai_health;
  v_failures record;
  v_has_janitor boolean;
  v_checks jsonb;
begin
  select h.* into v_health from private.ai_health as h;
  select f.* into v_failures from private.ai_failure_share() as f;
  select exists (select 1 from cron.job as s where s.jobname = 'run-janitor' and s.active) into v_has_janitor;

  select jsonb_agg(
    jsonb_build_object(
      'name', k.name,
      'status', case when k.observed <= k.accepted then 'ok' else k.otherwise end,
      'observed', k.observed,
      'limit', k.accepted,
      'unit', k.unit
    )
    order by k.position
  ) into v_checks
  from (values
    (1, 'sweep_age', extract(epoch from v_health.checked_at - v_health.last_sweep_at), 60, 'seconds', 'failing'),
    (2, 'dispatch_unconfigured', (not v_health.is_dispatch_configured)::integer, 0, 'secrets', 'failing'),
    (3, 'stuck_jobs', v_health.stuck, 0, 'jobs', 'failing'),
    (4, 'dispatch_failures', v_health.dispatch_failures, 10, 'calls', 'degraded'),
    (5, 'open_breakers', cardinality(v_health.open_breakers), 0, 'providers', 'degraded'),
    (6, 'parked_jobs', v_health.parked, 0, 'jobs', 'degraded'),
    (7, 'failed_share', v_failures.share, v_failures.accepted, 'share', 'degraded'),
    (8, 'counters_age', extract(epoch from v_health.checked_at - v_health.last_fold_at), 120, 'seconds', 'degraded'),
    (
      9, 'janitor_age',
      case when v_has_janitor then extract(epoch from v_health.checked_at - v_health.last_janitor_at) else 0 end, 3600,
      'seconds', 'degraded'
    )
  ) as k (position, name, observed, accepted, unit, otherwise);

  return jsonb_build_object(
    'status', case
      when v_checks @> '[{"status": "failing"}]' then 'failing'
      when v_checks @> '[{"status": "degraded"}]' then 'degraded'
      else 'ok'
    end,
    'checked_at', v_health.checked_at,
    'oldest_waiting_seconds', v_health.oldest_due_seconds,
    'queue', v_health.queue,
    'open_breakers', to_jsonb(v_health.open_breakers),
    'failing_since', v_failures.failing_since,
    'checks', v_checks
  );
end;
$$;
comment on function private.check_ai_health() is
  'private.ai_health, judged: {status: ok | degraded | failing, checked_at, oldest_waiting_seconds, queue, open_breakers, '
  'failing_since (private.ai_failure_share), checks: [{name, status, observed, limit, unit}]}. Failing: jobs do not make progress. Degraded: something needs attention.';

-- ===== supabase/schemas/ops/metrics.sql

-- What the Edge Functions health and metrics read.

create view private.ai_provider_standing
with (security_invoker = true)
as
select
  p.provider,
  t.state,
  p.paused_at,
  t.failures_in_a_row,
  t.last_error_code,
  p.breaker_threshold,
  t.open_since,
  t.next_probe_at,
  t.failed_probes,
  p.max_concurrent,
  q.running,
  q.waiting,
  q.scheduled,
  coalesce(h.calls, 0)::bigint as calls_last_hour,
  coalesce(h.failed_calls, 0)::bigint as failed_calls_last_hour,
  coalesce(h.spent_micros, 0)::bigint as spent_micros_last_hour,
  coalesce(s.spent_micros, 0)::bigint as spent_micros_last_day,
  p.budget_micros,
  b.spent_micros as spent_micros_this_month,
  b.reserved_micros
from public.ai_providers as p
-- Of its columns only these are computed; its counts of jobs read the jobs.
join private.ai_provider_states as t on t.provider = p.provider
join private.ai_provider_budgets as b on b.provider = p.provider
join private.ai_provider_queues as q on q.provider = p.provider
left join (
  select c.provider,
    sum(c.amount) filter (where c.metric = 'calls') as calls,
    sum(c.amount) filter (where c.metric = 'calls' and c.code = 'unavailable') as failed_calls,
    sum(c.amount) filter (where c.metric = 'spend') as spent_micros
  from private.ai_counters as c
  where c.resolution = 60 and c.metric in ('calls', 'spend') and c.bucket_at > now() - interval '1 hour'
  group by c.provider
) as h on h.provider = p.provider
left join (
  select c.provider, sum(c.amount) as spent_micros
  from private.ai_counters as c
  where c.resolution = 900 and c.metric = 'spend' and c.bucket_at > now() - interval '1 day'
  group by c.provider
) as s on s.provider = p.provider;
comment on view private.ai_provider_standing is
  'Each provider with its breaker, what runs, may run, waits and is scheduled for later, calls and failures of the last '
  'hour, and money; counted, so that it is as quick with a million jobs as with ten. Money in millionths of a US dollar. For the operator.';
revoke all on private.ai_provider_standing from public, anon, authenticated, service_role;

create function public.read_ai_health()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return private.check_ai_health();
end;
$$;
comment on function public.read_ai_health() is
  'private.check_ai_health for the Edge Function health. service_role only; security definer because it reads schemas private, '
  'net, cron and vault.';
revoke execute on function public.read_ai_health() from public, anon, authenticated;
grant execute on function public.read_ai_health() to service_role;

create function public.read_ai_metrics()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'health', private.check_ai_health(),
    'sweep_age_seconds', (
      select extract(epoch from statement_timestamp() - r.last_run_at) from private.ai_schedule_runs as r where r.name = 'sweep'
    ),
    'janitor_age_seconds', (
      select extract(epoch from statement_timestamp() - r.last_run_at) from private.ai_schedule_runs as r where r.name = 'janitor'
    ),
    'counters', (
      select coalesce(
        jsonb_agg(jsonb_build_object(
          'metric', c.metric, 'job_type', c.job_type, 'provider', c.provider, 'code', c.code, 'slot', c.slot,
          'amount', c.amount
        )),
        '[]'
      )
      from private.ai_counters as c
      where c.resolution = 0 and c.bucket_at = '-infinity'
    ),
    'providers', (
      select coalesce(jsonb_agg(to_jsonb(p) order by p.provider), '[]') from private.ai_provider_standing as p
    )
  );
end;
$$;
comment on function public.read_ai_metrics() is
  'What the Edge Function metrics prints: the counts since the beginning, the health and the providers. No user is in it. '
  'service_role only; security definer because it reads schema private.';
revoke execute on function public.read_ai_metrics() from public, anon, authenticated;
grant execute on function public.read_ai_metrics() to service_role;

-- ===== supabase/schemas/ops/operators.sql

-- Operators: who they are, and what each of them has done. The functions of the console check the role themselves, so that a
-- caller with the secret key can act only for accounts that have it.

create table private.operator_actions (
  id bigint generated always as identity,
  operator_id uuid not null,
  action text not null,
  details jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  constraint operator_actions_pkey primary key (id),
  constraint operator_actions_action_is_word check (action ~ '^[a-z][a-z_]{1,40}$'),
  constraint operator_actions_details_is_object check (jsonb_typeof(details) = 'object')
);
comment on table private.operator_actions is
  'What operators did in the console, and whose payloads they read: written in the transaction of the action, never changed, '
  'and kept for private.janitor_settings.operator_action_days.';
comment on column private.operator_actions.operator_id is
  'The operator''s account. No foreign key: what was done stays on record when the account is deleted.';
-- Serves the janitor, which removes the oldest.
create index operator_actions_created_at_idx on private.operator_actions (created_at);

alter table private.operator_actions enable row level security;
revoke all on private.operator_actions from public, anon, authenticated, service_role;

create function private.require_ai_operator(p_operator_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if not exists (
    select 1 from auth.users as u where u.id = p_operator_id and u.raw_app_meta_data ->> 'role' = 'ai_operator'
  ) then
    raise exception 'only an operator may do this' using errcode = 'AJ095';
  end if;
end;
$$;
comment on function private.require_ai_operator(uuid) is
  'Raises AJ095 unless the account has the role ai_operator in its app_metadata now, regardless of an older token.';

create function private.record_operator_action(p_operator_id uuid, p_action text, p_details jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  insert into private.operator_actions (operator_id, action, details)
  values (p_operator_id, p_action, jsonb_strip_nulls(p_details));
end;
$$;
comment on function private.record_operator_action(uuid, text, jsonb) is
  'Checks the role (AJ095) and records what the operator is about to do; the record is rolled back with it.';

create function private.prune_operator_actions(p_limit integer default 1000)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.operator_actions as a
  using (
    select o.id
    from private.operator_actions as o
    where o.created_at < now() - make_interval(days => (select s.operator_action_days from private.janitor_settings as s))
    order by o.created_at
    limit p_limit
  ) as old
  where a.id = old.id;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.prune_operator_actions(integer) is
  'Removes up to p_limit actions of operators that are older than private.janitor_settings.operator_action_days, the oldest '
  'first, and returns how many. Null there removes none. Runs with the janitor.';

create function public.ops_actions(p_operator_id uuid, p_limit integer default 50, p_before_id bigint default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'id', a.id, 'operator_id', a.operator_id, 'operator_email', u.email, 'action', a.action, 'details', a.details,
          'created_at', a.created_at
        )
        order by a.id desc
      ),
      '[]'
    )
    from (
      select a.*
      from private.operator_actions as a
      where p_before_id is null or a.id < p_before_id
      order by a.id desc
      limit least(greatest(p_limit, 1), 101)
    ) as a
    left join auth.users as u on u.id = a.operator_id
  );
end;
$$;
comment on function public.ops_actions(uuid, integer, bigint) is
  'For the console: what operators did, newest first; the next page begins before the last one''s id. AJ095 for anyone but '
  'an operator. service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_actions(uuid, integer, bigint) from public, anon, authenticated;
grant execute on function public.ops_actions(uuid, integer, bigint) to service_role;

-- ===== supabase/schemas/ops/overview.sql

-- What the console shows of the whole: numbers, charts, failures, providers, budgets.

create function public.ops_overview(p_operator_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_health jsonb;
begin
  perform private.require_ai_operator(p_operator_id);
  v_health := private.check_ai_health();
  return v_health || (
    select jsonb_build_object(
      'waiting', coalesce(sum((q.entry ->> 'waiting')::bigint), 0),
      'scheduled', coalesce(sum((q.entry ->> 'scheduled')::bigint), 0),
      'running', coalesce(sum((q.entry ->> 'running')::bigint), 0)
    )
    from jsonb_array_elements(v_health -> 'queue') as q (entry)
  ) || (
    select jsonb_build_object(
      'completed_last_hour', coalesce(sum(c.amount) filter (where c.metric = 'completed'), 0),
      'failed_last_hour', coalesce(sum(c.amount) filter (where c.metric = 'failed'), 0),
      'spent_micros_last_hour', coalesce(sum(c.amount) filter (where c.metric = 'spend'), 0)
    )
    from private.ai_counters as c
    where c.resolution = 60 and c.bucket_at > statement_timestamp() - interval '1 hour'
      and c.metric in ('completed', 'failed', 'spend')
  );
end;
$$;
comment on function public.ops_overview(uuid) is
  'For the console: private.check_ai_health with the jobs that wait, are scheduled for later and run, and what ended and was '
  'spent in the last hour. Counted, at most some seconds old. AJ095 for anyone but an operator. service_role only; security definer because it '
  'reads schema private.';
revoke execute on function public.ops_overview(uuid) from public, anon, authenticated;
grant execute on function public.ops_overview(uuid) to service_role;

create function private.ai_chart_range(p_range text)
returns table (resolution integer, buckets integer)
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  case p_range
    when '1h' then return query select 60, 60;
    when '24h' then return query select 900, 96;
    when '7d' then return query select 7200, 84;
    else raise exception 'there is no range %; use 1h, 24h or 7d', p_range using errcode = '22023';
  end case;
end;
$$;
comment on function private.ai_chart_range(text) is 'The resolution in seconds, and the number of buckets, of a chart.';

create function private.ai_charts(p_range text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_resolution integer;
  v_buckets integer;
  v_step interval;
  v_last timestamptz;
  v_first timestamptz;
begin
  select r.resolution, r.buckets into v_resolution, v_buckets from private.ai_chart_range(p_range) as r;
  v_step := make_interval(secs => v_resolution);
  v_last := date_bin(v_step, statement_timestamp(), timestamptz '2000-01-01 00:00:00+00');
  v_first := v_last - (v_buckets - 1) * v_step;
  return (
    with counts as materialized (
      select c.bucket_at, c.metric, c.job_type, c.slot, sum(c.amount) as amount
      from private.ai_counters as c
      where c.resolution = v_resolution and c.bucket_at >= v_first
        and c.metric in ('created', 'completed', 'failed', 'cancelled', 'spend', 'pickup', 'run')
      group by 1, 2, 3, 4
    ),
    totals as (
      select c.bucket_at,
        coalesce(sum(c.amount) filter (where c.metric = 'created'), 0) as created,
        coalesce(sum(c.amount) filter (where c.metric = 'completed'), 0) as completed,
        coalesce(sum(c.amount) filter (where c.metric = 'failed'), 0) as failed,
        coalesce(sum(c.amount) filter (where c.metric = 'cancelled'), 0) as cancelled,
        coalesce(sum(c.amount) filter (where c.metric = 'spend'), 0) as spent_micros
      from counts as c
      where c.metric not in ('pickup', 'run')
      group by 1
    ),
    slots as (
      select c.bucket_at, c.metric, case when c.metric = 'run' then c.job_type end as job_type, c.slot,
        sum(c.amount) as amount
      from counts as c
      where c.metric in ('pickup', 'run')
      group by 1, 2, 3, 4
      having sum(c.amount) > 0
    ),
    durations as (
      select s.bucket_at, s.metric, s.job_type, sum(s.amount) as amount,
        private.slot_quantiles(
          array_agg(s.slot order by s.slot), array_agg(s.amount::bigint order by s.slot), array[0.5, 0.95]
        ) as quantiles
      from slots as s
      group by 1, 2, 3
    ),
    runs as (
      select d.bucket_at,
        jsonb_agg(
          jsonb_build_object(
            'job_type', d.job_type, 'count', d.amount, 'p50_ms', d.quantiles[1], 'p95_ms', d.quantiles[2]
          )
          order by d.job_type
        ) as runs
      from durations as d
      where d.metric = 'run'
      group by 1
    )
    select jsonb_build_object(
      'range', p_range,
      'step_seconds', v_resolution,
      'buckets', jsonb_agg(
        jsonb_build_object(
          'at', b.bucket_at,
          'created', coalesce(t.created, 0),
          'completed', coalesce(t.completed, 0),
          'failed', coalesce(t.failed, 0),
          'cancelled', coalesce(t.cancelled, 0),
          'spent_micros', coalesce(t.spent_micros, 0),
          'pickup', case
            when p.bucket_at is not null
              then jsonb_build_object('count', p.amount, 'p50_ms', p.quantiles[1], 'p95_ms', p.quantiles[2])
          end,
          'run', coalesce(r.runs, '[]')
        )
        order by b.bucket_at
      )
    )
    from generate_series(v_first, v_last, v_step) as b (bucket_at)
    left join totals as t on t.bucket_at = b.bucket_at
    left join durations as p on p.bucket_at = b.bucket_at and p.metric = 'pickup'
    left join runs as r on r.bucket_at = b.bucket_at
  );
end;
$$;
comment on function private.ai_charts(text) is
  'The last hour, day or week (1h, 24h, 7d) as 60, 96 or 84 buckets, the last of them not over yet: {range, step_seconds, '
  'buckets: [{at, created, completed, failed, cancelled, spent_micros, pickup: {count, p50_ms, p95_ms} | null, run: '
  '[{job_type, count, p50_ms, p95_ms}]}]}. From the counters alone.';

create function public.ops_charts(p_operator_id uuid, p_range text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return private.ai_charts(p_range);
end;
$$;
comment on function public.ops_charts(uuid, text) is
  'For the console: private.ai_charts. AJ095 for anyone but an operator. service_role only; security definer because the '
  'counters are in schema private.';
revoke execute on function public.ops_charts(uuid, text) from public, anon, authenticated;
grant execute on function public.ops_charts(uuid, text) to service_role;

create function public.ops_failures(p_operator_id uuid, p_range text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_resolution integer;
  v_buckets integer;
begin
  perform private.require_ai_operator(p_operator_id);
  select r.resolution, r.buckets into v_resolution, v_buckets from private.ai_chart_range(p_range) as r;
  return (
    with failures as (
      select c.code, c.job_type, c.provider, sum(c.amount) as amount, min(c.bucket_at) as first_at,
        max(c.bucket_at) as last_at
      from private.ai_counters as c
      where c.resolution = v_resolution and c.metric = 'failed'
        and c.bucket_at > statement_timestamp() - v_buckets * make_interval(secs => v_resolution)
      group by 1, 2, 3
    ),
    -- Bounded, so that the cost does not depend on the size of the table: codes that are not among these rows have no sample.
    newest as (
      select j.id, j.error_code, j.error_message, j.job_type, j.provider, j.completed_at
      from public.ai_jobs as j
      where j.status = 'failed'
      order by j.completed_at desc
      limit 1000
    ),
    samples as (
      select distinct on (n.error_code, n.job_type, n.provider)
        n.id, n.error_code, n.error_message, n.job_type, n.provider
      from newest as n
      order by n.error_code, n.job_type, n.provider, n.completed_at desc
    )
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'error_code', f.code,
          'job_type', f.job_type,
          'provider', f.provider,
          'count', f.amount,
          'first_at', f.first_at,
          'last_at', f.last_at,
          'sample_job_id', s.id,
          'sample_message', s.error_message
        )
        order by f.amount desc, f.code, f.job_type, f.provider
      ),
      '[]'
    )
    from failures as f
    left join samples as s on s.error_code = f.code and s.job_type = f.job_type and s.provider = f.provider
  );
end;
$$;
comment on function public.ops_failures(uuid, text) is
  'For the console: how often jobs failed in the range (one that is retried and fails again counts again), by code, job '
  'type and provider, with the buckets in which the first and the last did, and one of the newest thousand failed jobs as a sample. AJ095 for anyone but an operator. '
  'service_role only; security definer because the counters are in schema private.';
revoke execute on function public.ops_failures(uuid, text) from public, anon, authenticated;
grant execute on function public.ops_failures(uuid, text) to service_role;

create function public.ops_providers(p_operator_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    select jsonb_build_object(
      'checked_at', statement_timestamp(), 'providers', coalesce(jsonb_agg(to_jsonb(p) order by p.provider), '[]')
    )
    from private.ai_provider_standing as p
  );
end;
$$;
comment on function public.ops_providers(uuid) is
  'For the console: private.ai_provider_standing, and when that was. AJ095 for anyone but an operator. service_role only; security definer '
  'because the view is in schema private.';
revoke execute on function public.ops_providers(uuid) from public, anon, authenticated;
grant execute on function public.ops_providers(uuid) to service_role;

create function public.ops_budgets(
  p_operator_id uuid,
  p_limit integer default 50,
  p_after_spent_micros bigint default null,
  p_after_user_id uuid default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_month date := date_trunc('month', statement_timestamp() at time zone 'UTC')::date;
begin
  perform private.require_ai_operator(p_operator_id);
  return jsonb_build_object(
    'month', v_month,
    'default_budget_micros', (select d.budget_micros from public.ai_limits as d where d.user_id is null),
    'providers', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'provider', b.provider, 'budget_micros', b.budget_micros, 'spent_micros', b.spent_micros,
            'reserved_micros', b.reserved_micros, 'remaining_micros', b.remaining_micros
          )
          order by b.provider
        ),
        '[]'
      )
      from private.ai_provider_budgets as b
    ),
    'users', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'user_id', s.user_id, 'email', u.email, 'budget_micros', s.budget_micros, 'spent_micros', s.spent_micros,
            'reserved_micros', s.reserved_micros, 'is_paused', s.paused_at is not null
          )
          order by s.spent_micros desc, s.user_id
        ),
        '[]'
      )
      from (
        select m.*
        from (
          select l.user_id, l.budget_micros, l.reserved_micros, l.paused_at,
            case when l.budget_month >= v_month then l.spent_micros else 0 end as spent_micros
          from public.ai_limits as l
          where l.user_id is not null
        ) as m
        where p_after_spent_micros is null
          or m.spent_micros < p_after_spent_micros
          or (m.spent_micros = p_after_spent_micros and m.user_id > p_after_user_id)
        order by m.spent_micros desc, m.user_id
        limit least(greatest(p_limit, 1), 101)
      ) as s
      left join auth.users as u on u.id = s.user_id
    )
  );
end;
$$;
comment on function public.ops_budgets(uuid, integer, bigint, uuid) is
  'For the console: budgets, spend and reservations of this month (UTC) by provider, and by user, those who spent most '
  'first; the next page begins after the last one''s spent_micros and user_id. In millionths of a US dollar. AJ095 for '
  'anyone but an operator. service_role only; security definer because it reads schemas private and auth.';
revoke execute on function public.ops_budgets(uuid, integer, bigint, uuid) from public, anon, authenticated;
grant execute on function public.ops_budgets(uuid, integer, bigint, uuid) to service_role;

-- ===== supabase/schemas/ops/jobs.sql

-- What the console shows of jobs: search, one job, its payload, and the parked jobs.

create function public.ops_search_jobs(
  p_operator_id uuid,
  p_job_id uuid default null,
  p_user_id uuid default null,
  p_user_email text default null,
  p_job_type text default null,
  p_provider text default null,
  p_status text default null,
  p_error_code text default null,
  p_limit integer default 50,
  p_before_created_at timestamptz default null,
  p_before_id uuid default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
-- The plan depends on which filters are given.
set plan_cache_mode = force_custom_plan
as $$
declare
  v_user_id uuid := p_user_id;
  -- A code alone means the jobs that failed with it: among all jobs, few rows have one, and no index knows which.
  v_status text := coalesce(p_status, case when p_error_code is not null then 'failed' end);
begin
  perform private.require_ai_operator(p_operator_id);
  if p_user_email is not null then
    select u.id into v_user_id
    from auth.users as u
    where u.email = lower(p_user_email) and (p_user_id is null or u.id = p_user_id)
    limit 1;
    if v_user_id is null then
      return '[]';
    end if;
  end if;
  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'job_id', f.id,
          'user_id', f.user_id,
          'job_type', f.job_type,
          'provider', f.provider,
          'status', f.status,
          'stage', f.stage,
          'progress_percentage', f.progress_percentage,
          'attempt', f.attempt,
          'max_attempts', f.max_attempts,
          'error_code', f.error_code,
          'spend', f.spend,
          'cost_micros', f.cost_micros,
          'created_at', f.created_at,
          'started_at', f.started_at,
          'completed_at', f.completed_at,
          'scheduled_at', f.scheduled_at,
          'is_cancel_requested', f.cancel_requested_at is not null
        )
        order by f.created_at desc, f.id desc
      ),
      '[]'
    )
    from (
      select l.*
      from public.ai_job_types as t
      -- Type by type, each through its own index, newest first.
      cross join lateral (
        select j.*
        from public.ai_jobs as j
        where j.job_type = t.job_type
          and (p_job_id is null or j.id = p_job_id)
          and (v_user_id is null or j.user_id = v_user_id)
          and (p_provider is null or j.provider = p_provider)
          and (v_status is null or j.status = v_status)
          and (p_error_code is null or j.error_code = p_error_code)
          and (p_before_created_at is null or (j.created_at, j.id) < (p_before_created_at, p_before_id))
        order by j.created_at desc, j.id desc
        limit least(greatest(p_limit, 1), 101)
      ) as l
      where p_job_type is null or t.job_type = p_job_type
      order by l.created_at desc, l.id desc
      limit least(greatest(p_limit, 1), 101)
    ) as f
  );
end;
$$;
comment on function public.ops_search_jobs(uuid, uuid, uuid, text, text, text, text, text, integer, timestamptz, uuid) is
  'For the console: jobs that match every filter given, newest first, without parameters and results; with a code and no '
  'status those that failed. The next page begins before the last one''s created_at and job_id. AJ095 for anyone but an '
  'operator. service_role only; security definer because it reads the jobs of all users and schema auth.';
revoke execute on function public.ops_search_jobs(uuid, uuid, uuid, text, text, text, text, text, integer, timestamptz, uuid) from public, anon, authenticated;
grant execute on function public.ops_search_jobs(uuid, uuid, uuid, text, text, text, text, text, integer, timestamptz, uuid) to service_role;

create function public.ops_job(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    select jsonb_build_object(
      'job', to_jsonb(j) - array[
        'metadata', 'input_url', 'output_url', 'result_data', 'idempotency_key', 'lease_token', 'input_hash', 'queue_key',
        'error_message', 'event_seq', 'last_event'
      ] || jsonb_build_object(
        'user_email', (select u.email from auth.users as u where u.id = j.user_id),
        'marker', 'job:' || j.id,
        'is_parked', j.status in ('failed', 'cancelled') and exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome = 'unknown'
        ),
        'is_answer_revocable', j.status in ('pending', 'failed', 'cancelled')
          and private.last_operator_answer(j.id) is not null
      ),
      'costs', (
        select jsonb_build_object(
          'cost_micros', coalesce(sum(c.cost_micros), 0),
          'reserved_micros', coalesce(
            sum(c.estimated_cost_micros) filter (where c.outcome in ('sent', 'unknown')), 0
          ),
          'paid_calls', count(*) filter (where c.outcome not in ('rejected', 'absent'))
        )
        from public.ai_provider_calls as c
        where c.job_id = j.id
      ),
      'timeline', (
        select coalesce(
          jsonb_agg(
            jsonb_build_object(
              'seq', e.seq, 'event', e.event, 'attempt', e.attempt, 'data', e.data, 'created_at', e.created_at
            )
            order by e.seq
          ),
          '[]'
        )
        from (
          select e.* from public.ai_job_events as e where e.job_id = j.id order by e.seq desc limit 500
        ) as e
      ),
      'journal', (
        select coalesce(
          jsonb_agg(to_jsonb(c) - array['job_id', 'user_id', 'price_micros', 'price_units'] order by c.sent_at),
          '[]'
        )
        from (
          select c.* from public.ai_provider_calls as c where c.job_id = j.id order by c.sent_at desc limit 200
        ) as c
      )
    )
    from public.ai_jobs as j
    where j.id = p_job_id
  );
end;
$$;
comment on function public.ops_job(uuid, uuid) is
  'For the console: one job with its costs, the last 500 events of its timeline and the last 200 calls of its journal, '
  'without parameters, input and result. Null: there is no such job. AJ095 for anyone but an operator. service_role '
  'only; security definer because it reads the jobs of all users and schema auth.';
revoke execute on function public.ops_job(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_job(uuid, uuid) to service_role;

create function public.ops_job_payload(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_payload jsonb;
begin
  perform private.require_ai_operator(p_operator_id);
  select jsonb_build_object(
    'job_id', j.id, 'input_url', j.input_url, 'metadata', j.metadata, 'output_url', j.output_url,
    'result_data', j.result_data, 'error_message', j.error_message
  ) into v_payload
  from public.ai_jobs as j
  where j.id = p_job_id;
  if v_payload is not null then
    perform private.record_operator_action(p_operator_id, 'read_payload', jsonb_build_object('job_id', p_job_id));
  end if;
  return v_payload;
end;
$$;
comment on function public.ops_job_payload(uuid, uuid) is
  'For the console: parameters, input and result of a job. The access is recorded, with the operator and the time. '
  'Null: there is no such job. AJ095 for anyone but an operator. service_role only; security definer because it reads the '
  'jobs of all users and writes schema private.';
revoke execute on function public.ops_job_payload(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_job_payload(uuid, uuid) to service_role;

create function public.ops_parked(p_operator_id uuid, p_limit integer default 100)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    select coalesce(jsonb_agg(to_jsonb(k) order by k.unknown_since, k.call_id), '[]')
    from (
      select k.* from private.ai_parked_jobs as k order by k.unknown_since, k.call_id limit least(greatest(p_limit, 1), 1000)
    ) as k
  );
end;
$$;
comment on function public.ops_parked(uuid, integer) is
  'For the console: the rows of private.ai_parked_jobs that have waited longest, p_limit of them, 1000 at most. AJ095 for '
  'anyone but an operator. service_role only; security definer because the view is in schema private.';
revoke execute on function public.ops_parked(uuid, integer) from public, anon, authenticated;
grant execute on function public.ops_parked(uuid, integer) to service_role;

-- ===== supabase/schemas/ops/redrive.sql

-- Redrive: failed jobs of a filter run again, after a count and a price.

create function private.ai_jobs_to_redrive(
  p_job_type text,
  p_provider text,
  p_error_code text,
  p_user_id uuid,
  p_failed_since timestamptz
)
returns setof public.ai_jobs
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
begin
  return query
  select f.*
  from public.ai_jobs as f
  where f.status = 'failed' and f.spend <> 'unknown' and f.max_attempts < 100
    -- These are retried with the job that they depend on.
    and f.error_code <> 'dependency_failed'
    and (p_job_type is null or f.job_type = p_job_type)
    and (p_provider is null or f.provider = p_provider)
    and (p_error_code is null or f.error_code = p_error_code)
    and (p_user_id is null or f.user_id = p_user_id)
    and (p_failed_since is null or f.completed_at >= p_failed_since);
end;
$$;
comment on function private.ai_jobs_to_redrive(text, text, text, uuid, timestamptz) is
  'Failed jobs that match every filter given and may run again, as in public.redrive_ai_jobs.';

create function public.ops_preview_redrive(
  p_operator_id uuid,
  p_job_type text default null,
  p_provider text default null,
  p_error_code text default null,
  p_user_id uuid default null,
  p_failed_since timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    with jobs as materialized (
      select f.id, f.user_id, f.completed_at,
        (
          -- Objects that were never created are paid for again; existing ones are used.
          select sum(s.estimate)
          from (
            select c.operation, max(c.estimated_cost_micros) as estimate
            from public.ai_provider_calls as c
            where c.job_id = f.id
            group by c.operation
            having not coalesce(bool_or(c.outcome in ('succeeded', 'adopted') and c.discarded_at is null), false)
          ) as s
        ) as estimate,
        exists (select 1 from public.ai_provider_calls as c where c.job_id = f.id) as was_called,
        exists (
          select 1 from public.ai_prices as p
          where p.job_type = f.job_type and p.provider = f.provider and p.price_micros > 0
        ) as has_price
      from private.ai_jobs_to_redrive(p_job_type, p_provider, p_error_code, p_user_id, p_failed_since) as f
    )
    select jsonb_build_object(
      'count', count(*),
      'user_count', count(distinct j.user_id),
      'price_micros', coalesce(sum(j.estimate), 0),
      'without_estimate', count(*) filter (where not j.was_called and j.has_price),
      'oldest_failed_at', min(j.completed_at),
      'newest_failed_at', max(j.completed_at),
      'left_out', (
        select jsonb_build_object(
          'spend_unknown', count(*) filter (where f.spend = 'unknown'),
          'dependency_failed', count(*) filter (where f.spend <> 'unknown' and f.error_code = 'dependency_failed'),
          'tried_too_often', count(*) filter (
            where f.spend <> 'unknown' and f.error_code <> 'dependency_failed' and f.max_attempts >= 100
          )
        )
        from public.ai_jobs as f
        where f.status = 'failed'
          and (p_job_type is null or f.job_type = p_job_type)
          and (p_provider is null or f.provider = p_provider)
          and (p_error_code is null or f.error_code = p_error_code)
          and (p_user_id is null or f.user_id = p_user_id)
          and (p_failed_since is null or f.completed_at >= p_failed_since)
      )
    )
    from jobs as j
  );
end;
$$;
comment on function public.ops_preview_redrive(uuid, text, text, text, uuid, timestamptz) is
  'For the console: how many failed jobs a redrive of this filter would run again, of how many users, what their calls are '
  'estimated to cost, as far as one was sent before (without_estimate: jobs with a price of which nothing is known), and '
  'what would be left out and why. Changes nothing. AJ095 for anyone but an operator. service_role only; security definer '
  'because it reads the jobs of all users.';
revoke execute on function public.ops_preview_redrive(uuid, text, text, text, uuid, timestamptz) from public, anon, authenticated;
grant execute on function public.ops_preview_redrive(uuid, text, text, text, uuid, timestamptz) to service_role;

create function public.ops_redrive(
  p_operator_id uuid,
  p_expected_count integer,
  p_job_type text default null,
  p_provider text default null,
  p_error_code text default null,
  p_user_id uuid default null,
  p_failed_since timestamptz default null,
  p_limit integer default 2000
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_found integer;
  v_id uuid;
  v_retried integer := 0;
  v_refused integer := 0;
begin
  perform private.require_ai_operator(p_operator_id);
  select count(*) into v_found
  from private.ai_jobs_to_redrive(p_job_type, p_provider, p_error_code, p_user_id, p_failed_since) as f;
  if v_found is distinct from p_expected_count then
    raise exception 'the filter matches % jobs now, and not %', v_found, p_expected_count using
      errcode = 'AJ096', detail = 'expected_count';
  end if;
  -- Ordered by user, as every function locks quotas: otherwise two operators' redrives could deadlock.
  for v_id in
    select o.id
    from (
      select f.id, f.user_id
      from private.ai_jobs_to_redrive(p_job_type, p_provider, p_error_code, p_user_id, p_failed_since) as f
      order by f.completed_at, f.id
      limit least(greatest(p_limit, 1), 5000)
    ) as o
    order by o.user_id, o.id
  loop
    -- Skips a job that another caller has just retried or deleted.
    perform 1 from public.ai_jobs as j where j.id = v_id and j.status = 'failed' for update skip locked;
    if found and private.retry_failed_ai_job(v_id) then
      v_retried := v_retried + 1;
    else
      v_refused := v_refused + 1;
    end if;
  end loop;
  perform private.record_operator_action(p_operator_id, 'redrive', jsonb_build_object(
    'job_type', p_job_type, 'provider', p_provider, 'error_code', p_error_code, 'user_id', p_user_id,
    'failed_since', p_failed_since, 'expected_count', p_expected_count, 'retried', v_retried, 'refused', v_refused
  ));
  return jsonb_build_object(
    'retried', v_retried,
    'refused', v_refused,
    'remaining', v_found - v_retried - v_refused
  );
end;
$$;
comment on function public.ops_redrive(uuid, integer, text, text, text, uuid, timestamptz, integer) is
  'For the console: runs the failed jobs of the filter again, oldest first, if there are as many as were expected (AJ096), '
  'p_limit in one call. {retried, refused: their owner has no room, or they are gone, remaining: for the next call}. AJ095 '
  'for anyone but an operator. service_role only; security definer for the retry in schema private.';
revoke execute on function public.ops_redrive(uuid, integer, text, text, text, uuid, timestamptz, integer) from public, anon, authenticated;
grant execute on function public.ops_redrive(uuid, integer, text, text, text, uuid, timestamptz, integer) to service_role;

-- ===== supabase/schemas/ops/actions.sql

-- What an operator can do from the console. Each action checks the role, and is one transaction with its record: there is no
-- action without a record, and no record without its action.

create function public.ops_pause(
  p_operator_id uuid,
  p_is_paused boolean,
  p_job_type text default null,
  p_provider text default null,
  p_user_id uuid default null
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(
    p_operator_id,
    case when p_is_paused then 'pause' else 'resume' end,
    jsonb_build_object('job_type', p_job_type, 'provider', p_provider, 'user_id', p_user_id)
  );
  return public.pause_ai_jobs(p_job_type, p_provider, p_user_id, p_is_paused);
end;
$$;
comment on function public.ops_pause(uuid, boolean, text, text, uuid) is
  'For the console: public.pause_ai_jobs. AJ095 for anyone but an operator. service_role only; security definer because the '
  'record is in schema private.';
revoke execute on function public.ops_pause(uuid, boolean, text, text, uuid) from public, anon, authenticated;
grant execute on function public.ops_pause(uuid, boolean, text, text, uuid) to service_role;

create function public.ops_probe_provider(p_operator_id uuid, p_provider text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'probe', jsonb_build_object('provider', p_provider));
  if not exists (select 1 from public.ai_providers as p where p.provider = p_provider) then
    raise exception 'there is no provider %', p_provider using errcode = 'AJ075', detail = 'provider';
  end if;
  update public.ai_providers as p
  set breaker_probe_at = clock_timestamp()
  where p.provider = p_provider and p.breaker_opened_at is not null;
  return found;
end;
$$;
comment on function public.ops_probe_provider(uuid, text) is
  'For the console: lets one job try a provider whose breaker is open, now. False: it is not open. AJ095 for anyone but an '
  'operator. service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_probe_provider(uuid, text) from public, anon, authenticated;
grant execute on function public.ops_probe_provider(uuid, text) to service_role;

create function private.standing_of_ai_job(p_job_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_standing jsonb;
begin
  select jsonb_build_object('job_id', j.id, 'status', j.status, 'spend', j.spend) into v_standing
  from public.ai_jobs as j
  where j.id = p_job_id;
  if v_standing is null then
    raise exception 'there is no job %', p_job_id using errcode = 'AJ075', detail = 'job_id';
  end if;
  return v_standing;
end;
$$;
comment on function private.standing_of_ai_job(uuid) is
  'What an action of the console returns about a job: {job_id, status, spend}. Raises AJ075 when there is none.';

create function public.ops_parked_call(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_call public.ai_provider_calls;
  v_text text;
begin
  perform private.require_ai_operator(p_operator_id);
  select j.metadata ->> 'text' into v_text
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('failed', 'cancelled');
  if found then
    v_call := private.first_unknown_call(p_job_id);
  end if;
  if v_call.id is null then
    raise exception 'no call of this job waits for an answer' using errcode = 'AJ097', detail = 'job_id';
  end if;
  return jsonb_build_object(
    'provider', v_call.provider, 'operation', v_call.operation, 'sent_at', v_call.sent_at, 'text', v_text
  );
end;
$$;
comment on function public.ops_parked_call(uuid, uuid) is
  'For the Edge Function ops: the call of a parked job that the next answer resolves, {provider, operation, sent_at, '
  'text}, to look '
  'its object up at the provider; text is that of the job''s parameters, which ops compares and never returns. AJ097 when '
  'there is none, AJ095 for anyone but an operator. service_role only; security definer because it reads the jobs of all '
  'users.';
revoke execute on function public.ops_parked_call(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_parked_call(uuid, uuid) to service_role;

create function public.ops_resolve(
  p_operator_id uuid,
  p_job_id uuid,
  p_was_made boolean,
  p_provider_object_id text default null,
  p_is_unchecked boolean default false
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'resolve', jsonb_build_object(
    'job_id', p_job_id, 'was_made', p_was_made, 'provider_object_id', p_provider_object_id, 'is_unchecked', p_is_unchecked
  ));
  if not public.resolve_unknown_ai_job(p_job_id, p_was_made, p_provider_object_id) then
    raise exception 'no call of this job waits for an answer' using errcode = 'AJ097', detail = 'job_id';
  end if;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_resolve(uuid, uuid, boolean, text, boolean) is
  'For the console: public.resolve_unknown_ai_job; returns the job''s new status. p_is_unchecked, which is only '
  'recorded: the provider could not be queried. AJ097 when no call of the job waits for an answer, AJ095 for anyone but '
  'an operator; then '
  'nothing changes. service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_resolve(uuid, uuid, boolean, text, boolean) from public, anon, authenticated;
grant execute on function public.ops_resolve(uuid, uuid, boolean, text, boolean) to service_role;

create function public.ops_take_back(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'take_back', jsonb_build_object(
    'job_id', p_job_id,
    'provider_object_id', (
      select c.provider_object_id from public.ai_provider_calls as c where c.id = private.last_operator_answer(p_job_id)
    )
  ));
  if not public.take_back_ai_job_answer(p_job_id) then
    raise exception 'no answer about this job can be taken back: there is none, or the job runs, has completed, or has sent '
      'another paid call since' using errcode = 'AJ097', detail = 'job_id';
  end if;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_take_back(uuid, uuid) is
  'For the console: public.take_back_ai_job_answer; returns the job''s new status. AJ097 when there is no answer that can be '
  'taken back, AJ095 for anyone but an operator; then nothing changes. service_role only; security definer because the '
  'record is in schema private.';
revoke execute on function public.ops_take_back(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_take_back(uuid, uuid) to service_role;

create function public.ops_cancel(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'cancel', jsonb_build_object('job_id', p_job_id));
  update public.ai_jobs as j set cancel_requested_at = clock_timestamp() where j.id = p_job_id;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_cancel(uuid, uuid) is
  'For the console: cancels a job as its owner would (AJ071 when it has ended, AJ075 when there is none). AJ095 for anyone '
  'but an operator. service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_cancel(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_cancel(uuid, uuid) to service_role;

create function public.ops_retry(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'retry', jsonb_build_object('job_id', p_job_id));
  update public.ai_jobs as j set retry_requested_at = clock_timestamp() where j.id = p_job_id;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_retry(uuid, uuid) is
  'For the console: retries a failed job as its owner would (AJ070, AJ072, AJ034 and others when it may not; AJ075 when '
  'there is none). AJ095 for anyone but an operator. service_role only; security definer because the record is in schema '
  'private.';
revoke execute on function public.ops_retry(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_retry(uuid, uuid) to service_role;

create function public.ops_set_budget(
  p_operator_id uuid,
  p_budget_micros bigint default null,
  p_user_id uuid default null,
  p_provider text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'set_budget', jsonb_build_object(
    'user_id', p_user_id, 'provider', p_provider, 'budget_micros', p_budget_micros, 'is_unlimited', p_budget_micros is null
  ));
  if p_provider is null then
    perform public.set_ai_budget(p_user_id, p_budget_micros);
    return;
  end if;
  update public.ai_providers as p set budget_micros = p_budget_micros where p.provider = p_provider;
  if not found then
    raise exception 'there is no provider %', p_provider using errcode = 'AJ075', detail = 'provider';
  end if;
exception
  when foreign_key_violation then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'user_id';
end;
$$;
comment on function public.ops_set_budget(uuid, bigint, uuid, text) is
  'For the console: sets the monthly budget of a provider, of a user, or, without either, of everyone who has none of their '
  'own; null: no limit, or for a user the default. In millionths of a US dollar. AJ095 for anyone but an operator. '
  'service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_set_budget(uuid, bigint, uuid, text) from public, anon, authenticated;
grant execute on function public.ops_set_budget(uuid, bigint, uuid, text) to service_role;

-- ===== supabase/schemas/cron.sql

-- Everything that runs on a schedule.

select cron.schedule('sweep-ai-jobs', '2 seconds', 'select private.sweep_ai_jobs()');

select cron.schedule('prune-ai-job-leftovers', '17 * * * *', 'select private.prune_ai_job_leftovers()');

select cron.schedule('prune-provider-webhook-receipts', '23 * * * *', 'select private.prune_provider_webhook_receipts()');

select cron.schedule('run-janitor', '*/15 * * * *', 'select private.run_janitor()');

select cron.schedule('fold-ai-counters', '5 seconds', 'select private.fold_ai_counters()');

select cron.schedule('prune-ai-counters', '29 * * * *', 'select private.prune_ai_counters()');

-- ===== supabase/schemas/roles.sql

-- Settings of roles. At the end, since all databases of a server share them and two migrations that run at the same time would
-- collide here for as long as the first one lasts.

-- Our own work (queue functions called with the secret key) gets 30 s: long enough for a sweep of a large table,
-- short enough that a runaway statement cannot outlive the function that waits for it. DB_STATEMENT_TIMEOUT is
-- the same bound on the caller's side.
alter role service_role set statement_timeout = '30s';

-- Compiling a plan takes longer than running any of our statements, and each session would compile it again.
alter role service_role set jit = off;
alter role authenticated set jit = off;
