-- Written by `deno task db:schema` from supabase/migrations. Not to be edited, not to be run: for reading.

-- Extensions

create extension pg_cron with schema pg_catalog;

create extension pg_net with schema extensions;

create extension pg_stat_statements with schema extensions;

create extension pgcrypto with schema extensions;

create extension supabase_vault with schema vault;

create extension "uuid-ossp" with schema extensions;

-- Settings of roles

alter role anon set statement_timeout=3s;

alter role authenticated set statement_timeout=8s;

alter role authenticator set lock_timeout=8s;

alter role authenticator set statement_timeout=8s;

alter role service_role set statement_timeout=30s;

-- Schemas

create schema private;
comment on schema private is
  'Functions and tables of the service itself. Not exposed by the Data API and not usable by API roles.';

create schema public;
comment on schema public is
  'standard public schema';
grant usage on schema public to anon;
grant usage on schema public to authenticated;
grant create, usage on schema public to postgres;
grant usage on schema public to public;
grant usage on schema public to service_role;
grant create, usage on schema public to supabase_realtime_admin;

-- Tables

create table private.abandoned_uploads (
  upload_id text not null,
  requested_at timestamp with time zone not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamp with time zone not null default now(),
  lease_token uuid,
  last_error_code text,
  constraint abandoned_uploads_pkey PRIMARY KEY (upload_id)
);
alter table private.abandoned_uploads enable row level security;

comment on table private.abandoned_uploads is
  'Resumable uploads that nobody will finish. The janitor ends them; a row is deleted when Storage does not have its upload any more.';

CREATE INDEX abandoned_uploads_next_attempt_at_idx ON private.abandoned_uploads USING btree (next_attempt_at);

create table private.ai_recording_limits (
  job_type text not null,
  provider text not null,
  mime_types text[] not null,
  max_bytes bigint not null,
  max_seconds integer not null,
  constraint ai_recording_limits_pkey PRIMARY KEY (job_type, provider),
  constraint ai_recording_limits_job_type_fkey FOREIGN KEY (job_type) REFERENCES public.ai_job_types(job_type),
  constraint ai_recording_limits_provider_fkey FOREIGN KEY (provider) REFERENCES public.ai_providers(provider),
  constraint ai_recording_limits_max_bytes_in_range CHECK (max_bytes >= 1 AND max_bytes <= '5368709120'::bigint),
  constraint ai_recording_limits_max_seconds_in_range CHECK (max_seconds >= 1 AND max_seconds <= 86400)
);
alter table private.ai_recording_limits enable row level security;

comment on table private.ai_recording_limits is
  'What each provider takes as the recording that a photo speaks. The same as in _shared/providers; a job is checked when it is created, before a speech that it depends on is paid for in vain.';
comment on column private.ai_recording_limits.mime_types is
  'Content types by their canonical names.';

CREATE INDEX ai_recording_limits_provider_idx ON private.ai_recording_limits USING btree (provider);

create table private.dispatch_receipts (
  message_id text not null,
  received_at timestamp with time zone not null default clock_timestamp(),
  constraint dispatch_receipts_pkey PRIMARY KEY (message_id),
  constraint dispatch_receipts_message_id_length CHECK (length(message_id) >= 1 AND length(message_id) <= 128)
);
alter table private.dispatch_receipts enable row level security;

comment on table private.dispatch_receipts is
  'Ids of the dispatches of the last minutes, so that a recorded request cannot be played again. The sweep prunes it.';

CREATE INDEX dispatch_receipts_received_at_idx ON private.dispatch_receipts USING btree (received_at);

create table private.former_ai_jobs (
  job_id uuid not null,
  deleted_at timestamp with time zone not null default now(),
  constraint former_ai_jobs_pkey PRIMARY KEY (job_id)
);
alter table private.former_ai_jobs enable row level security;

comment on table private.former_ai_jobs is
  'Jobs that were deleted after a paid call: something that carries the marker of one of them was made here, and not by another installation that shares the account.';

create table private.janitor_settings (
  id integer not null default 1,
  orphan_grace_seconds integer not null default 86400,
  failed_grace_seconds integer not null default 604800,
  scan_interval_seconds integer not null default 21600,
  cancelled_done_until timestamp with time zone not null default '-infinity'::timestamp with time zone,
  failed_done_until timestamp with time zone not null default '-infinity'::timestamp with time zone,
  file_scan_bucket text,
  file_scan_name text,
  file_scan_done_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
  constraint janitor_settings_pkey PRIMARY KEY (id),
  constraint janitor_settings_are_not_negative CHECK (orphan_grace_seconds >= 0 AND failed_grace_seconds >= 0 AND scan_interval_seconds >= 0),
  constraint janitor_settings_file_scan_is_whole CHECK ((file_scan_bucket IS NULL) = (file_scan_name IS NULL)),
  constraint janitor_settings_is_one_row CHECK (id = 1)
);
alter table private.janitor_settings enable row level security;

comment on table private.janitor_settings is
  'One row: how long the janitor waits before it removes what nobody names, and how far it has looked at ended jobs.';
comment on column private.janitor_settings.orphan_grace_seconds is
  'What a provider holds with our marker and no row names, what a cancelled job left, and a file without account or job is removed after so long. An empty look-up by marker counts after so long, too.';
comment on column private.janitor_settings.failed_grace_seconds is
  'What a failed job left is kept for so long: a retry goes on with it instead of paying again.';
comment on column private.janitor_settings.scan_interval_seconds is
  'Wait between two readings of everything that a provider lists, and of everything in our buckets.';
comment on column private.janitor_settings.cancelled_done_until is
  'Left-overs of jobs that were cancelled until then are queued.';
comment on column private.janitor_settings.failed_done_until is
  'Left-overs of jobs that failed until then are queued.';
comment on column private.janitor_settings.file_scan_bucket is
  'The bucket that is being read for files without account or job; null between two readings.';
comment on column private.janitor_settings.file_scan_name is
  'The last object of it that was looked at.';
comment on column private.janitor_settings.file_scan_done_at is
  'When the last reading of our buckets ended.';

create table private.provider_objects (
  provider text not null,
  object_id text not null,
  object_type text not null,
  job_id uuid,
  standing text not null,
  first_seen_at timestamp with time zone not null default clock_timestamp(),
  last_seen_at timestamp with time zone not null default clock_timestamp(),
  orphan_since timestamp with time zone,
  constraint provider_objects_pkey PRIMARY KEY (provider, object_id),
  constraint provider_objects_orphan_since_matches_standing CHECK ((standing = 'orphan'::text) = (orphan_since IS NOT NULL)),
  constraint provider_objects_standing_is_known CHECK (standing = ANY (ARRAY['named'::text, 'live'::text, 'orphan'::text, 'foreign'::text]))
);
alter table private.provider_objects enable row level security;

comment on table private.provider_objects is
  'What providers list that carries a marker of the form job:<id>, or that a row names, as of the last reading of the list.';
comment on column private.provider_objects.job_id is
  'The job of its marker. Not a foreign key: it may be anybody''s.';
comment on column private.provider_objects.standing is
  'named (a row has it), live (its job may still go on with it), orphan (made here, and nobody has it), foreign (its marker is of no job of ours: reported, never removed).';
comment on column private.provider_objects.orphan_since is
  'When it was first seen as an orphan; the grace counts from here.';

CREATE INDEX provider_objects_last_seen_at_idx ON private.provider_objects USING btree (provider, last_seen_at);

create table private.provider_removals (
  id bigint not null generated always as identity,
  provider text not null,
  object_type text not null,
  provider_object_id text,
  marker text,
  job_id uuid,
  made_at timestamp with time zone,
  requested_at timestamp with time zone not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamp with time zone not null default now(),
  lease_token uuid,
  last_error_code text,
  outcome text,
  done_at timestamp with time zone,
  constraint provider_removals_pkey PRIMARY KEY (id),
  constraint provider_removals_can_be_found CHECK (provider_object_id IS NOT NULL OR marker IS NOT NULL),
  constraint provider_removals_done_has_outcome CHECK ((done_at IS NULL) = (outcome IS NULL)),
  constraint provider_removals_outcome_is_known CHECK (outcome = ANY (ARRAY['removed'::text, 'absent'::text]))
);
alter table private.provider_removals enable row level security;

comment on table private.provider_removals is
  'What providers hold for us and no row names any more: a voice that takes a place of the plan, a rendered video.';
comment on column private.provider_removals.object_type is
  'voice, avatar, or the operation of a journalled call.';
comment on column private.provider_removals.provider_object_id is
  'The provider''s id; null when its answer never came.';
comment on column private.provider_removals.marker is
  'By which the provider finds what a call made (job:<id>), for a call whose outcome was unknown.';
comment on column private.provider_removals.job_id is
  'The job that made it. Not a foreign key: it may be deleted, and is known by this row to have been ours.';
comment on column private.provider_removals.made_at is
  'When the call was sent: narrows the look for it where there is no direct way.';
comment on column private.provider_removals.attempts is
  'Removals begun. Given up never: with five and an error it counts as failing.';
comment on column private.provider_removals.next_attempt_at is
  'Not before; while it is being removed, when it is tried again if that never ends.';
comment on column private.provider_removals.lease_token is
  'Who removes it: an outcome with another token changes nothing.';
comment on column private.provider_removals.outcome is
  'removed (or gone already), or absent: by its marker nothing was ever found.';
comment on column private.provider_removals.done_at is
  'When the provider was found not to have it any more.';

CREATE INDEX provider_removals_id_idx ON private.provider_removals USING btree (id) WHERE (done_at IS NULL);
CREATE INDEX provider_removals_job_id_idx ON private.provider_removals USING btree (job_id) WHERE (job_id IS NOT NULL);
CREATE INDEX provider_removals_next_attempt_at_idx ON private.provider_removals USING btree (next_attempt_at) WHERE (done_at IS NULL);
CREATE INDEX provider_removals_object_id_idx ON private.provider_removals USING btree (provider, provider_object_id);
CREATE UNIQUE INDEX provider_removals_object_key ON private.provider_removals USING btree (provider, COALESCE(provider_object_id, marker)) WHERE (done_at IS NULL);

create table private.provider_scans (
  provider text not null,
  started_at timestamp with time zone not null,
  page_cursor text,
  pages integer not null default 0,
  listed_at timestamp with time zone,
  finished_at timestamp with time zone,
  last_error_code text,
  lease_token uuid,
  lease_expires_at timestamp with time zone,
  constraint provider_scans_pkey PRIMARY KEY (provider),
  constraint provider_scans_provider_fkey FOREIGN KEY (provider) REFERENCES public.ai_providers(provider),
  constraint provider_scans_finished_after_listed CHECK (finished_at IS NULL OR listed_at IS NOT NULL),
  constraint provider_scans_lease_is_whole CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL))
);
alter table private.provider_scans enable row level security;

comment on table private.provider_scans is
  'How far each provider''s list has been read; a reading that broke off is gone on with.';
comment on column private.provider_scans.page_cursor is
  'The provider''s own word for the next page.';
comment on column private.provider_scans.listed_at is
  'When its last page was read.';
comment on column private.provider_scans.finished_at is
  'When the rows that it did not show had been asked for one by one.';

create table private.provider_webhook_receipts (
  provider text not null,
  event_id text not null,
  received_at timestamp with time zone not null default clock_timestamp(),
  constraint provider_webhook_receipts_pkey PRIMARY KEY (provider, event_id),
  constraint provider_webhook_receipts_provider_fkey FOREIGN KEY (provider) REFERENCES public.ai_providers(provider),
  constraint provider_webhook_receipts_event_id_length CHECK (length(event_id) >= 1 AND length(event_id) <= 255)
);
alter table private.provider_webhook_receipts enable row level security;

comment on table private.provider_webhook_receipts is
  'Events that providers have delivered, so that a recorded delivery cannot be played again. Forgotten after two days.';

CREATE INDEX provider_webhook_receipts_received_at_idx ON private.provider_webhook_receipts USING btree (received_at);

create table private.storage_removals (
  id bigint not null generated always as identity,
  object_path text not null,
  user_id uuid not null,
  reason text not null,
  requested_at timestamp with time zone not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamp with time zone not null default now(),
  lease_token uuid,
  last_error_code text,
  outcome text,
  done_at timestamp with time zone,
  constraint storage_removals_pkey PRIMARY KEY (id),
  constraint storage_removals_done_has_outcome CHECK ((done_at IS NULL) = (outcome IS NULL)),
  constraint storage_removals_outcome_is_known CHECK (outcome = ANY (ARRAY['removed'::text, 'replaced'::text]))
);
alter table private.storage_removals enable row level security;

comment on table private.storage_removals is
  'Objects of Storage whose row, or whose owner, was deleted, and what a job without a result left. The janitor works them off; private.due_storage_removals says which may go.';
comment on column private.storage_removals.object_path is
  'As <bucket>/<path>.';
comment on column private.storage_removals.user_id is
  'Whose it was. Not a foreign key: the account may be gone.';
comment on column private.storage_removals.reason is
  'The table whose row named it, users when the account was deleted, job_leftovers, or no_account when its folder is that of no account.';
comment on column private.storage_removals.attempts is
  'Removals begun. Given up never: with five and an error it counts as failing.';
comment on column private.storage_removals.next_attempt_at is
  'Not before; while it is being removed, when it is tried again if that never ends.';
comment on column private.storage_removals.lease_token is
  'Who removes it: an outcome with another token changes nothing.';
comment on column private.storage_removals.outcome is
  'removed, or replaced: the owner has put another object there since, which is not what was to go.';
comment on column private.storage_removals.done_at is
  'When the object was found to be gone from Storage.';

CREATE INDEX storage_removals_done_at_idx ON private.storage_removals USING btree (done_at) WHERE (done_at IS NOT NULL);
CREATE INDEX storage_removals_id_idx ON private.storage_removals USING btree (id) WHERE (done_at IS NULL);
CREATE INDEX storage_removals_next_attempt_at_idx ON private.storage_removals USING btree (next_attempt_at) WHERE (done_at IS NULL);
CREATE UNIQUE INDEX storage_removals_object_path_key ON private.storage_removals USING btree (object_path) WHERE (done_at IS NULL);

create table public.ai_job_checkpoints (
  job_id uuid not null,
  data jsonb not null,
  upload_id text,
  constraint ai_job_checkpoints_pkey PRIMARY KEY (job_id),
  constraint ai_job_checkpoints_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ai_jobs(id) ON DELETE CASCADE,
  constraint ai_job_checkpoints_data_is_object CHECK (jsonb_typeof(data) = 'object'::text),
  constraint ai_job_checkpoints_upload_id_length CHECK (length(upload_id) >= 1 AND length(upload_id) <= 1024)
);
alter table public.ai_job_checkpoints enable row level security;

comment on table public.ai_job_checkpoints is
  'How far a job has come that is worked on in several claims, in its processor''s own form. Gone when the job has ended.';
comment on column public.ai_job_checkpoints.upload_id is
  'A resumable upload that the job has begun, by the last part of its address at Storage. The janitor ends one that is not finished.';

CREATE TRIGGER ai_job_checkpoints_abandon_deleted AFTER DELETE ON public.ai_job_checkpoints FOR EACH ROW WHEN ((old.upload_id IS NOT NULL)) EXECUTE FUNCTION private.abandon_upload();
CREATE TRIGGER ai_job_checkpoints_abandon_replaced AFTER UPDATE OF upload_id ON public.ai_job_checkpoints FOR EACH ROW WHEN (((old.upload_id IS NOT NULL) AND (old.upload_id IS DISTINCT FROM new.upload_id))) EXECUTE FUNCTION private.abandon_upload();

grant select on public.ai_job_checkpoints to service_role;

create table public.ai_job_events (
  job_id uuid not null,
  seq integer not null,
  user_id uuid not null,
  event text not null,
  attempt integer not null,
  data jsonb not null default '{}'::jsonb,
  created_at timestamp with time zone not null default clock_timestamp(),
  constraint ai_job_events_pkey PRIMARY KEY (job_id, seq),
  constraint ai_job_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ai_jobs(id) ON DELETE CASCADE,
  constraint ai_job_events_event_is_known CHECK (event = ANY (ARRAY['created'::text, 'claimed'::text, 'progress'::text, 'submitted'::text, 'settled'::text, 'snoozed'::text, 'retried'::text, 'released'::text, 'rescued'::text, 'unblocked'::text, 'cancel_requested'::text, 'retry_requested'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))
);
alter table public.ai_job_events enable row level security;

comment on table public.ai_job_events is
  'Append-only timeline, numbered per job from 1 without a gap: what people debug with and what a client resumes from.';
comment on column public.ai_job_events.seq is
  'Equals ai_jobs.event_seq at the write that caused the event.';
comment on column public.ai_job_events.user_id is
  'The job''s owner, repeated here by the triggers so that the policy needs no join. No foreign key of its own: it goes with the job, and a check at each event would lock the user''s row.';
comment on column public.ai_job_events.event is
  'What happened; docs/job-lifecycle.md says which function writes which event.';

create policy "users can read the events of their own ai jobs" on public.ai_job_events for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER ai_job_events_after_insert_broadcast AFTER INSERT ON public.ai_job_events REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.broadcast_ai_job_events();

grant select on public.ai_job_events to authenticated;
grant select on public.ai_job_events to service_role;

create table public.ai_job_types (
  job_type text not null,
  provider text not null,
  other_providers text[] not null default '{}'::text[],
  worker text not null default 'process-ai-job'::text,
  is_enabled boolean not null default true,
  paused_at timestamp with time zone,
  max_attempts integer not null default 5,
  lease_seconds integer not null default 10,
  backoff_base_seconds integer not null default 2,
  backoff_max_seconds integer not null default 300,
  reconcile_seconds integer not null default 60,
  max_age_seconds integer not null default 86400,
  is_input_required boolean not null default true,
  input_name text not null default 'input'::text,
  input_buckets text[] not null default '{}'::text[],
  input_mime_types text[] not null default '{}'::text[],
  input_max_bytes bigint not null default 10485760,
  cache_ttl_seconds integer not null default 86400,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  stock_voice_ids text[] not null default '{}'::text[],
  constraint ai_job_types_pkey PRIMARY KEY (job_type),
  constraint ai_job_types_provider_fkey FOREIGN KEY (provider) REFERENCES public.ai_providers(provider),
  constraint ai_job_types_backoff_in_range CHECK (backoff_base_seconds >= 1 AND backoff_base_seconds <= 3600 AND backoff_max_seconds >= backoff_base_seconds AND backoff_max_seconds <= 86400),
  constraint ai_job_types_cache_ttl_in_range CHECK (cache_ttl_seconds >= 0 AND cache_ttl_seconds <= 2592000),
  constraint ai_job_types_input_name_is_word CHECK (input_name ~ '^[a-z]{2,30}$'::text),
  constraint ai_job_types_input_size_in_range CHECK (input_max_bytes >= 1 AND input_max_bytes <= '5368709120'::bigint),
  constraint ai_job_types_job_type_is_slug CHECK (job_type ~ '^[a-z][a-z0-9_]{1,62}$'::text),
  constraint ai_job_types_lease_in_range CHECK (lease_seconds >= 3 AND lease_seconds <= 300),
  constraint ai_job_types_max_age_in_range CHECK (max_age_seconds >= 60 AND max_age_seconds <= 2678400),
  constraint ai_job_types_max_attempts_in_range CHECK (max_attempts >= 1 AND max_attempts <= 25),
  constraint ai_job_types_other_providers_are_others CHECK (provider <> ALL (other_providers)),
  constraint ai_job_types_reconcile_in_range CHECK (reconcile_seconds >= 0 AND reconcile_seconds <= 86400),
  constraint ai_job_types_stock_voice_ids_are_complete CHECK (array_position(stock_voice_ids, NULL::text) IS NULL),
  constraint ai_job_types_worker_is_slug CHECK (worker ~ '^[a-z][a-z0-9-]{1,62}$'::text)
);
alter table public.ai_job_types enable row level security;

comment on table public.ai_job_types is
  'One row per job type: the policy the database enforces and the runner follows. Rows, not constants in code.';
comment on column public.ai_job_types.provider is
  'Who does the paid work unless the job chooses otherwise: elevenlabs, d-id, heygen, or internal.';
comment on column public.ai_job_types.other_providers is
  'Who else can do it: a job that names one in metadata.provider is theirs, and counts towards their cap.';
comment on column public.ai_job_types.worker is
  'The Edge Function that works on jobs of the type. Work that needs much processor time or memory has a function of its own: when the platform ends one of its isolates, no paid call ends with it.';
comment on column public.ai_job_types.is_enabled is
  'False refuses new jobs of the type (AJ002) and leaves waiting ones unclaimed.';
comment on column public.ai_job_types.paused_at is
  'Set: jobs of the type wait, new ones are accepted. See pause_ai_jobs.';
comment on column public.ai_job_types.max_attempts is
  'Attempts in all, the first one included.';
comment on column public.ai_job_types.lease_seconds is
  'How long a claim is good without a heartbeat; the runner sends one every third of it.';
comment on column public.ai_job_types.backoff_base_seconds is
  'Wait before attempt n+1: base × 2^(n-1) seconds, up to backoff_max_seconds, ±20 % jitter.';
comment on column public.ai_job_types.reconcile_seconds is
  'After a paid call with an unknown outcome: how long the provider''s own listing may lag behind. Only after it may an empty look-up count as "nothing was created".';
comment on column public.ai_job_types.max_age_seconds is
  'How long after its first start a job may be handed back, snoozed or tried again; then it fails (job_expired).';
comment on column public.ai_job_types.input_name is
  'What error messages call the object that input_url names: recording or photo.';
comment on column public.ai_job_types.input_buckets is
  'Storage buckets that input_url may name.';
comment on column public.ai_job_types.input_mime_types is
  'Content types that the input object may have, by their canonical names: audio/wav also stands for audio/x-wav.';
comment on column public.ai_job_types.cache_ttl_seconds is
  'How long an equal request of the same owner is answered from the earlier result; 0 switches that off.';
comment on column public.ai_job_types.stock_voice_ids is
  'The provider''s voices that every user may speak with, by the provider''s ids. Whatever is not listed here must be a voice of the owner''s own: all users share one account at the provider.';

CREATE INDEX ai_job_types_provider_idx ON public.ai_job_types USING btree (provider);

create policy "signed-in users can read the enabled job types" on public.ai_job_types for select to authenticated
  using (is_enabled);

CREATE TRIGGER ai_job_types_name_input_mime_types BEFORE INSERT OR UPDATE OF input_mime_types ON public.ai_job_types FOR EACH ROW EXECUTE FUNCTION private.name_input_mime_types();
CREATE TRIGGER ai_job_types_touch_updated_at BEFORE UPDATE ON public.ai_job_types FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant select on public.ai_job_types to authenticated;
grant insert, select, update on public.ai_job_types to service_role;

create table public.ai_jobs (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  job_type text not null,
  status text not null default 'pending'::text,
  progress_percentage integer not null default 0,
  input_url text,
  metadata jsonb not null default '{}'::jsonb,
  output_url text,
  result_data jsonb,
  error_message text,
  error_code text,
  provider text not null default 'internal'::text,
  provider_job_id text,
  stage text,
  attempt integer not null default 0,
  max_attempts integer not null default 1,
  scheduled_at timestamp with time zone not null default now(),
  priority integer not null default 0,
  queue_key bigint,
  lease_token uuid,
  lease_expires_at timestamp with time zone,
  idempotency_key text,
  input_hash text,
  cached_from_job_id uuid,
  depends_on_job_id uuid,
  is_blocked boolean not null default false,
  cancel_requested_at timestamp with time zone,
  retry_requested_at timestamp with time zone,
  spend text not null default 'none'::text,
  billable_calls integer not null default 0,
  cost_micros bigint not null default 0,
  cost_currency text not null default 'USD'::text,
  event_seq integer not null default 1,
  last_event text not null default 'created'::text,
  created_at timestamp with time zone not null default now(),
  started_at timestamp with time zone,
  completed_at timestamp with time zone,
  updated_at timestamp with time zone not null default now(),
  constraint ai_jobs_pkey PRIMARY KEY (id),
  constraint ai_jobs_id_user_id_key UNIQUE (id, user_id),
  constraint ai_jobs_cached_from_job_id_fkey FOREIGN KEY (cached_from_job_id) REFERENCES public.ai_jobs(id) ON DELETE SET NULL,
  constraint ai_jobs_dependency_fkey FOREIGN KEY (depends_on_job_id, user_id) REFERENCES public.ai_jobs(id, user_id) ON DELETE SET NULL (depends_on_job_id),
  constraint ai_jobs_job_type_fkey FOREIGN KEY (job_type) REFERENCES public.ai_job_types(job_type),
  constraint ai_jobs_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint ai_jobs_attempt_within_max CHECK (attempt >= 0 AND attempt <= max_attempts),
  constraint ai_jobs_blocked_waits_for_a_job CHECK (NOT is_blocked OR depends_on_job_id IS NOT NULL AND status = 'pending'::text AND queue_key IS NULL),
  constraint ai_jobs_completed_after_created CHECK (completed_at >= created_at),
  constraint ai_jobs_completed_after_started CHECK (completed_at >= started_at),
  constraint ai_jobs_completed_at_matches_status CHECK ((status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) = (completed_at IS NOT NULL)),
  constraint ai_jobs_completed_has_no_error CHECK (status <> 'completed'::text OR error_code IS NULL AND error_message IS NULL),
  constraint ai_jobs_cost_currency_is_iso CHECK (cost_currency ~ '^[A-Z]{3}$'::text),
  constraint ai_jobs_cost_is_not_negative CHECK (cost_micros >= 0 AND billable_calls >= 0),
  constraint ai_jobs_does_not_depend_on_itself CHECK (depends_on_job_id <> id),
  constraint ai_jobs_event_seq_is_positive CHECK (event_seq >= 1),
  constraint ai_jobs_failed_has_error_code CHECK (status <> 'failed'::text OR error_code IS NOT NULL),
  constraint ai_jobs_idempotency_key_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255),
  constraint ai_jobs_input_url_is_object_path CHECK (input_url ~ '^[a-z0-9][a-z0-9_-]{0,62}/[^/]+/.*[^/]$'::text AND input_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'::text),
  constraint ai_jobs_lease_matches_status CHECK ((status = 'processing'::text) = (lease_token IS NOT NULL) AND (lease_token IS NULL) = (lease_expires_at IS NULL)),
  constraint ai_jobs_max_attempts_in_range CHECK (max_attempts >= 1 AND max_attempts <= 100),
  constraint ai_jobs_metadata_is_object CHECK (jsonb_typeof(metadata) = 'object'::text),
  constraint ai_jobs_metadata_is_small CHECK (octet_length(metadata::text) <= 65536),
  constraint ai_jobs_output_url_is_object_path CHECK (output_url ~ '^[a-z0-9][a-z0-9_-]{0,62}/[^/]+/.*[^/]$'::text),
  constraint ai_jobs_priority_in_range CHECK (priority >= '-100'::integer AND priority <= 100),
  constraint ai_jobs_progress_in_range CHECK (progress_percentage >= 0 AND progress_percentage <= 100),
  constraint ai_jobs_progress_is_full_when_completed CHECK (status <> 'completed'::text OR progress_percentage = 100),
  constraint ai_jobs_queue_key_only_when_pending CHECK (queue_key IS NULL OR (status <> ALL (ARRAY['processing'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
  constraint ai_jobs_result_only_when_completed CHECK (status = 'completed'::text OR result_data IS NULL AND output_url IS NULL),
  constraint ai_jobs_result_when_completed CHECK (status <> 'completed'::text OR result_data IS NOT NULL),
  constraint ai_jobs_scheduled_within_a_month CHECK (started_at IS NOT NULL OR retry_requested_at IS NOT NULL OR scheduled_at <= (created_at + '31 days'::interval)),
  constraint ai_jobs_spend_is_known CHECK (spend = ANY (ARRAY['none'::text, 'unknown'::text, 'incurred'::text])),
  constraint ai_jobs_started_after_created CHECK (started_at >= created_at),
  constraint ai_jobs_started_when_processing CHECK (status <> 'processing'::text OR started_at IS NOT NULL),
  constraint ai_jobs_status_is_known CHECK (status = ANY (ARRAY['pending'::text, 'processing'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))
);
alter table public.ai_jobs enable row level security;

comment on table public.ai_jobs is
  'One row per piece of AI work an app asked for; the only truth about it. Owners insert and read, the queue functions (service_role) write everything else. Webhooks, caches and Realtime are hints about this table.';
comment on column public.ai_jobs.user_id is
  'The owner. Row Level Security lets nobody else see the row.';
comment on column public.ai_jobs.status is
  'pending (waiting; a retry is pending with attempt > 0), processing (a runner holds the lease), completed, failed, cancelled. The last three are final.';
comment on column public.ai_jobs.input_url is
  'An object of this project''s Storage as <bucket>/<path>, the first folder being the owner''s id. Never a foreign URL.';
comment on column public.ai_jobs.metadata is
  'Parameters of the job type, as the app sent them.';
comment on column public.ai_jobs.output_url is
  'Object path of the result as <bucket>/<path>; signed when read, never stored signed.';
comment on column public.ai_jobs.error_message is
  'Safe to show to the owner. The cause itself is only in the log.';
comment on column public.ai_jobs.error_code is
  'Stable machine-readable cause; the list is docs/error-codes.md.';
comment on column public.ai_jobs.provider is
  'Who does the paid work; set as the job is inserted: the job type''s provider, or the one of its others that metadata names.';
comment on column public.ai_jobs.provider_job_id is
  'The provider''s own id of what it made or is making; written before anything else is done with it.';
comment on column public.ai_jobs.stage is
  'What the runner was doing last, for people: fetching_input, calling_provider, …';
comment on column public.ai_jobs.attempt is
  'Attempts started so far: 0 on insert, +1 at claim, given back by snooze and release.';
comment on column public.ai_jobs.max_attempts is
  'First attempt included; set from the job type as the job is inserted.';
comment on column public.ai_jobs.scheduled_at is
  'Not before this time. Retry, snooze and backoff move it.';
comment on column public.ai_jobs.priority is
  'Lower runs first; one claim in eight takes the longest waiting job instead.';
comment on column public.ai_jobs.queue_key is
  'Turn within job type, provider and priority, set when the job becomes due: a user''s jobs are one turn apart, so that users take turns however many jobs each has. Null: not due yet, or not waiting.';
comment on column public.ai_jobs.lease_token is
  'The fence: drawn anew at each claim, carried by every later write; a write with an old token changes 0 rows.';
comment on column public.ai_jobs.lease_expires_at is
  'By the database''s clock. After it the sweep takes the job back.';
comment on column public.ai_jobs.idempotency_key is
  'The app''s own key, unique per owner: the same key never makes a second job.';
comment on column public.ai_jobs.input_hash is
  'SHA-256 over job type, owner, version of the input object and parameters; names the cached result. Never a user-chosen value.';
comment on column public.ai_jobs.cached_from_job_id is
  'The earlier job of the same owner whose result this one shares. Checked by the database; a wrong id is dropped.';
comment on column public.ai_jobs.depends_on_job_id is
  'An earlier job of the same owner whose result this one works with. Given on insert, never changed; null once that job is deleted.';
comment on column public.ai_jobs.is_blocked is
  'Waits for depends_on_job_id to be completed and cannot be claimed before; set and cleared by the database alone.';
comment on column public.ai_jobs.cancel_requested_at is
  'Set by the owner to cancel: a waiting job is cancelled at once, a running one within a heartbeat.';
comment on column public.ai_jobs.retry_requested_at is
  'Set by the owner to run a failed job again.';
comment on column public.ai_jobs.spend is
  'Whether money was spent for this job: none, incurred, or unknown while a paid call has no known outcome.';
comment on column public.ai_jobs.billable_calls is
  'Paid provider calls sent for this job, counted before sending: more than 0 means money may have been spent.';
comment on column public.ai_jobs.cost_micros is
  'Cost of those that are settled, in millionths of cost_currency; private.ai_job_costs has what is open as well.';
comment on column public.ai_jobs.event_seq is
  'Number of the newest row in ai_job_events; raised by the write that causes the event.';
comment on column public.ai_jobs.last_event is
  'Name of that event.';

CREATE INDEX ai_jobs_active_idx ON public.ai_jobs USING btree (user_id) WHERE (status = ANY (ARRAY['pending'::text, 'processing'::text]));
CREATE INDEX ai_jobs_cached_from_job_id_idx ON public.ai_jobs USING btree (cached_from_job_id) WHERE (cached_from_job_id IS NOT NULL);
CREATE INDEX ai_jobs_cancelled_idx ON public.ai_jobs USING btree (completed_at) WHERE (status = 'cancelled'::text);
CREATE INDEX ai_jobs_depends_on_job_id_idx ON public.ai_jobs USING btree (depends_on_job_id, user_id) WHERE (depends_on_job_id IS NOT NULL);
CREATE INDEX ai_jobs_failed_idx ON public.ai_jobs USING btree (completed_at) WHERE (status = 'failed'::text);
CREATE INDEX ai_jobs_job_type_idx ON public.ai_jobs USING btree (job_type);
CREATE INDEX ai_jobs_provider_job_id_idx ON public.ai_jobs USING btree (provider_job_id) WHERE ((status = 'pending'::text) AND (provider_job_id IS NOT NULL));
CREATE INDEX ai_jobs_running_idx ON public.ai_jobs USING btree (provider, user_id) WHERE (status = 'processing'::text);
CREATE INDEX ai_jobs_scheduled_at_idx ON public.ai_jobs USING btree (scheduled_at) WHERE ((status = 'pending'::text) AND (queue_key IS NULL) AND (NOT is_blocked));
CREATE INDEX ai_jobs_turn_idx ON public.ai_jobs USING btree (job_type, provider, priority, queue_key, scheduled_at, id) INCLUDE (user_id) WHERE ((status = 'pending'::text) AND (queue_key IS NOT NULL));
CREATE INDEX ai_jobs_user_id_created_at_idx ON public.ai_jobs USING btree (user_id, created_at DESC, id DESC);
CREATE UNIQUE INDEX ai_jobs_user_id_idempotency_key_key ON public.ai_jobs USING btree (user_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);
CREATE INDEX ai_jobs_user_scheduled_at_idx ON public.ai_jobs USING btree (user_id, scheduled_at) WHERE ((status = 'pending'::text) AND (queue_key IS NULL) AND (NOT is_blocked));
CREATE INDEX ai_jobs_user_turn_idx ON public.ai_jobs USING btree (user_id, job_type, provider, priority, queue_key) WHERE ((status = 'pending'::text) AND (queue_key IS NOT NULL));
CREATE INDEX ai_jobs_voice_clones_at_work_idx ON public.ai_jobs USING btree (provider) WHERE ((job_type = 'voice_clone'::text) AND (status = ANY (ARRAY['pending'::text, 'processing'::text])));
CREATE INDEX ai_jobs_waiting_idx ON public.ai_jobs USING btree (job_type, provider, scheduled_at, id) INCLUDE (user_id) WHERE ((status = 'pending'::text) AND (queue_key IS NOT NULL));

create policy "users can ask to cancel or retry their own ai jobs" on public.ai_jobs for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can create ai jobs of their own" on public.ai_jobs for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can read their own ai jobs" on public.ai_jobs for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER ai_jobs_admit BEFORE INSERT ON public.ai_jobs FOR EACH ROW EXECUTE FUNCTION private.admit_ai_job();
CREATE TRIGGER ai_jobs_after_end_follow_dependency AFTER UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((old.status IS DISTINCT FROM new.status) AND ((new.status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) OR (old.status = 'failed'::text)))) EXECUTE FUNCTION private.follow_ai_job_dependency();
CREATE TRIGGER ai_jobs_after_insert_record AFTER INSERT ON public.ai_jobs REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.record_inserted_ai_jobs();
CREATE TRIGGER ai_jobs_after_reopen_charge AFTER UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((old.status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) AND (new.status = ANY (ARRAY['pending'::text, 'processing'::text])))) EXECUTE FUNCTION private.charge_reopened_ai_job();
CREATE TRIGGER ai_jobs_after_reopen_take_voice_place AFTER UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((new.job_type = 'voice_clone'::text) AND (old.status = 'failed'::text) AND (new.status = 'pending'::text))) EXECUTE FUNCTION private.take_reopened_voice_place();
CREATE TRIGGER ai_jobs_after_step_note_provider AFTER UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((old.status = 'processing'::text) AND (((new.status = 'completed'::text) AND (new.cached_from_job_id IS NULL)) OR ((new.status = 'pending'::text) AND (new.last_event = 'snoozed'::text))))) EXECUTE FUNCTION private.note_provider_progress();
CREATE TRIGGER ai_jobs_after_update_record AFTER UPDATE ON public.ai_jobs REFERENCING OLD TABLE AS outdated NEW TABLE AS updated FOR EACH STATEMENT EXECUTE FUNCTION private.record_updated_ai_jobs();
CREATE TRIGGER ai_jobs_apply_owner_request BEFORE UPDATE OF cancel_requested_at, retry_requested_at ON public.ai_jobs FOR EACH ROW EXECUTE FUNCTION private.apply_owner_request();
CREATE TRIGGER ai_jobs_check_avatar_recording BEFORE INSERT ON public.ai_jobs FOR EACH ROW WHEN (((new.job_type = 'avatar_video'::text) AND ((new.metadata ? 'audio_url'::text) OR ((new.depends_on_job_id IS NOT NULL) AND (NOT (new.metadata ? 'text'::text)))))) EXECUTE FUNCTION private.check_avatar_recording();
CREATE TRIGGER ai_jobs_check_pdf_render BEFORE INSERT ON public.ai_jobs FOR EACH ROW WHEN ((new.job_type = 'pdf_render'::text)) EXECUTE FUNCTION private.check_pdf_render();
CREATE TRIGGER ai_jobs_dispatch AFTER INSERT ON public.ai_jobs REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.dispatch_inserted_ai_jobs();
CREATE TRIGGER ai_jobs_doubt_unfinished_call AFTER UPDATE OF status ON public.ai_jobs FOR EACH ROW WHEN (((old.status = 'processing'::text) AND (new.status <> 'processing'::text))) EXECUTE FUNCTION private.doubt_unfinished_call();
CREATE TRIGGER ai_jobs_end_instead_of_waiting BEFORE UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((old.status = 'processing'::text) AND (new.status = 'pending'::text))) EXECUTE FUNCTION private.end_instead_of_waiting();
CREATE TRIGGER ai_jobs_fix_dependency BEFORE UPDATE OF depends_on_job_id ON public.ai_jobs FOR EACH ROW WHEN ((old.depends_on_job_id IS DISTINCT FROM new.depends_on_job_id)) EXECUTE FUNCTION private.keep_ai_job_dependency();
CREATE TRIGGER ai_jobs_forget_checkpoint AFTER UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((old.status IS DISTINCT FROM new.status) AND (new.status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])))) EXECUTE FUNCTION private.forget_checkpoint();
CREATE TRIGGER ai_jobs_guard_transition BEFORE UPDATE ON public.ai_jobs FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION private.guard_ai_job_transition();
CREATE TRIGGER ai_jobs_hold_voice_places BEFORE INSERT ON public.ai_jobs FOR EACH ROW WHEN ((new.job_type = 'voice_clone'::text)) EXECUTE FUNCTION private.hold_voice_places();
CREATE TRIGGER ai_jobs_hold_voice_places_again BEFORE UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((new.job_type = 'voice_clone'::text) AND (old.status = 'failed'::text) AND (new.status = 'pending'::text))) EXECUTE FUNCTION private.hold_voice_places();
CREATE TRIGGER ai_jobs_leave_queue BEFORE UPDATE ON public.ai_jobs FOR EACH ROW WHEN (((new.queue_key IS NOT NULL) AND ((new.status <> 'pending'::text) OR (new.scheduled_at IS DISTINCT FROM old.scheduled_at) OR (new.priority IS DISTINCT FROM old.priority)))) EXECUTE FUNCTION private.leave_ai_job_queue();
CREATE TRIGGER ai_jobs_record_output AFTER DELETE ON public.ai_jobs FOR EACH ROW EXECUTE FUNCTION private.record_storage_removal('output_url');
CREATE TRIGGER ai_jobs_take_quota AFTER INSERT ON public.ai_jobs REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.charge_inserted_ai_jobs();
CREATE TRIGGER ai_jobs_take_turns AFTER INSERT ON public.ai_jobs REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.part_inserted_ai_jobs();
CREATE TRIGGER ai_jobs_take_voice_places AFTER INSERT ON public.ai_jobs REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.take_inserted_voice_places();
CREATE TRIGGER ai_jobs_touch_updated_at BEFORE UPDATE ON public.ai_jobs FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant select on public.ai_jobs to authenticated;
grant delete, insert, select, update on public.ai_jobs to service_role;
grant insert (user_id, job_type, input_url, metadata, scheduled_at, idempotency_key, cached_from_job_id, depends_on_job_id) on public.ai_jobs to authenticated;
grant update (cancel_requested_at, retry_requested_at) on public.ai_jobs to authenticated;

create table public.ai_limits (
  id uuid not null default gen_random_uuid(),
  user_id uuid,
  max_active_jobs integer,
  max_jobs_per_day integer,
  max_concurrent_jobs integer,
  max_voices integer,
  max_unused_uploads integer,
  max_unused_upload_bytes bigint,
  requires_established_account boolean,
  paused_at timestamp with time zone,
  active_jobs_at_most integer not null default 0,
  counted_on date not null default ((now() AT TIME ZONE 'UTC'::text))::date,
  jobs_that_day integer not null default 0,
  budget_micros bigint,
  budget_month date not null default (date_trunc('month'::text, (now() AT TIME ZONE 'UTC'::text)))::date,
  spent_micros bigint not null default 0,
  reserved_micros bigint not null default 0,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint ai_limits_pkey PRIMARY KEY (id),
  constraint ai_limits_user_id_key UNIQUE NULLS NOT DISTINCT (user_id),
  constraint ai_limits_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint ai_limits_are_not_negative CHECK (max_active_jobs >= 0 AND max_jobs_per_day >= 0 AND max_concurrent_jobs >= 0 AND max_voices >= 0 AND max_unused_uploads >= 0 AND max_unused_upload_bytes >= 0),
  constraint ai_limits_budget_is_not_negative CHECK (budget_micros >= 0 AND spent_micros >= 0 AND reserved_micros >= 0),
  constraint ai_limits_counts_are_not_negative CHECK (active_jobs_at_most >= 0 AND jobs_that_day >= 0),
  constraint ai_limits_default_is_complete CHECK (user_id IS NOT NULL OR max_active_jobs IS NOT NULL AND max_jobs_per_day IS NOT NULL AND max_concurrent_jobs IS NOT NULL AND requires_established_account IS NOT NULL AND max_unused_uploads IS NOT NULL AND max_unused_upload_bytes IS NOT NULL)
);
alter table public.ai_limits enable row level security;

comment on table public.ai_limits is
  'What a user may have and spend. The row without a user holds the limits of everybody who has none of their own.';
comment on column public.ai_limits.max_active_jobs is
  'Most jobs waiting or in processing at once. Null: the default.';
comment on column public.ai_limits.max_jobs_per_day is
  'Most jobs created in one day (UTC). Null: the default.';
comment on column public.ai_limits.max_concurrent_jobs is
  'Most jobs in processing at once. Null: the default.';
comment on column public.ai_limits.max_voices is
  'Most cloned voices, with jobs that are still to make one. Null: the default; null there: no limit.';
comment on column public.ai_limits.max_unused_uploads is
  'Most upload URLs that may still be used, and stored files that no row names, together. Null: the default.';
comment on column public.ai_limits.max_unused_upload_bytes is
  'Most bytes of these, as declared or as stored. Null: the default.';
comment on column public.ai_limits.requires_established_account is
  'True: paid jobs only for an account whose e-mail address or phone number is confirmed and that is an hour old. Null: the default.';
comment on column public.ai_limits.paused_at is
  'Set: the user''s jobs wait. See pause_ai_jobs.';
comment on column public.ai_limits.active_jobs_at_most is
  'Never less than the jobs waiting or in processing. Counts up with new jobs and not down with ended ones, which would make all of a user''s jobs wait for one row; made exact when it would refuse a job.';
comment on column public.ai_limits.jobs_that_day is
  'Jobs created on counted_on.';
comment on column public.ai_limits.budget_micros is
  'Most that paid calls of the user may cost in a calendar month (UTC), in millionths of a US dollar. Null: the default; null there: no limit.';
comment on column public.ai_limits.budget_month is
  'First day of the month that spent_micros counts.';
comment on column public.ai_limits.spent_micros is
  'Cost of the paid calls that were settled in budget_month; in a later month that is nothing yet.';
comment on column public.ai_limits.reserved_micros is
  'Estimated cost of the paid calls that are under way or of unknown outcome, whenever they were sent.';

create policy "users can read the default limits and their own" on public.ai_limits for select to authenticated
  using (((user_id IS NULL) OR (user_id = ( SELECT auth.uid() AS uid))));

CREATE TRIGGER ai_limits_touch_updated_at BEFORE UPDATE ON public.ai_limits FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant select on public.ai_limits to authenticated;
grant insert, select, update on public.ai_limits to service_role;

create table public.ai_prices (
  job_type text not null,
  provider text not null,
  unit text not null,
  per_units bigint not null,
  price_micros bigint not null,
  currency text not null default 'USD'::text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint ai_prices_pkey PRIMARY KEY (job_type, provider),
  constraint ai_prices_job_type_fkey FOREIGN KEY (job_type) REFERENCES public.ai_job_types(job_type),
  constraint ai_prices_provider_fkey FOREIGN KEY (provider) REFERENCES public.ai_providers(provider),
  constraint ai_prices_currency_is_that_of_budgets CHECK (currency = 'USD'::text),
  constraint ai_prices_per_units_in_range CHECK (per_units >= 1 AND per_units <= 1000000000),
  constraint ai_prices_price_in_range CHECK (price_micros >= 0 AND price_micros <= 1000000000),
  constraint ai_prices_unit_is_known CHECK (unit = ANY (ARRAY['character'::text, 'second'::text, 'creation'::text]))
);
alter table public.ai_prices enable row level security;

comment on table public.ai_prices is
  'What each paid call of a job type costs at a provider: price_micros for per_units units, rounded up. The operator keeps it as their plan has it; a type and provider without a row costs nothing.';
comment on column public.ai_prices.unit is
  'What the processor of the type counts: characters as the provider bills them, seconds of sound or video, or creations. For the reader; to change it changes no processor.';
comment on column public.ai_prices.price_micros is
  'In millionths of currency, for per_units units. What is under way keeps its price.';
comment on column public.ai_prices.currency is
  'One for all prices, since budgets and sums are over all of them.';

CREATE INDEX ai_prices_provider_idx ON public.ai_prices USING btree (provider);

CREATE TRIGGER ai_prices_touch_updated_at BEFORE UPDATE ON public.ai_prices FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant insert, select, update on public.ai_prices to service_role;

create table public.ai_provider_calls (
  id uuid not null default gen_random_uuid(),
  job_id uuid not null,
  user_id uuid not null,
  provider text not null,
  operation text not null,
  attempt integer not null,
  outcome text not null default 'sent'::text,
  provider_object_id text,
  http_status integer,
  error_code text,
  units bigint not null default 1,
  price_micros bigint not null default 0,
  price_units bigint not null default 1,
  estimated_cost_micros bigint not null default 0,
  cost_micros bigint,
  sent_at timestamp with time zone not null default clock_timestamp(),
  unknown_since timestamp with time zone,
  settled_at timestamp with time zone,
  discarded_at timestamp with time zone,
  constraint ai_provider_calls_pkey PRIMARY KEY (id),
  constraint ai_provider_calls_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ai_jobs(id) ON DELETE CASCADE,
  constraint ai_provider_calls_cost_is_not_negative CHECK (estimated_cost_micros >= 0 AND cost_micros >= 0),
  constraint ai_provider_calls_cost_matches_outcome CHECK (
CASE
    WHEN outcome = ANY (ARRAY['sent'::text, 'unknown'::text]) THEN cost_micros IS NULL
    WHEN outcome = ANY (ARRAY['succeeded'::text, 'adopted'::text, 'rejected'::text, 'absent'::text]) THEN cost_micros IS NOT NULL
    ELSE true
END),
  constraint ai_provider_calls_operation_is_word CHECK (operation ~ '^[a-z][a-z0-9_]{1,62}(:[1-9][0-9]{0,3})?$'::text),
  constraint ai_provider_calls_outcome_is_known CHECK (outcome = ANY (ARRAY['sent'::text, 'unknown'::text, 'succeeded'::text, 'adopted'::text, 'rejected'::text, 'absent'::text])),
  constraint ai_provider_calls_price_in_range CHECK (price_micros >= 0 AND price_micros <= 1000000000 AND price_units >= 1 AND price_units <= 1000000000),
  constraint ai_provider_calls_settled_matches_outcome CHECK ((outcome = ANY (ARRAY['sent'::text, 'unknown'::text])) = (settled_at IS NULL)),
  constraint ai_provider_calls_success_has_object CHECK ((outcome <> ALL (ARRAY['succeeded'::text, 'adopted'::text])) OR provider_object_id IS NOT NULL),
  constraint ai_provider_calls_units_in_range CHECK (units >= 0 AND units <= 1000000000),
  constraint ai_provider_calls_unknown_since_matches_outcome CHECK ((outcome = 'unknown'::text) = (unknown_since IS NOT NULL))
);
alter table public.ai_provider_calls enable row level security;

comment on table public.ai_provider_calls is
  'One row per paid provider call, committed before the call is sent. The marker by which the provider finds what the call made is job:<job_id>.';
comment on column public.ai_provider_calls.user_id is
  'The job''s owner. No foreign key of its own: it goes with the job, and a check at each call would wait for an account that is being deleted, which waits for the job.';
comment on column public.ai_provider_calls.operation is
  'The step of the job, for example create_voice; text_to_speech:2 is the second of several equal ones.';
comment on column public.ai_provider_calls.outcome is
  'sent (in flight, or its sender died), unknown (no usable answer), succeeded, adopted (found at the provider afterwards), rejected (a definite no, nothing charged), absent (the provider was asked: nothing was made).';
comment on column public.ai_provider_calls.units is
  'How much was asked for, in the unit of its price (ai_prices): as estimated while the call is open, afterwards as the provider told, where it tells.';
comment on column public.ai_provider_calls.price_micros is
  'The price as it was when the call was sent, in millionths of a US dollar for price_units units. A later change of ai_prices does not touch it.';
comment on column public.ai_provider_calls.estimated_cost_micros is
  'What it was taken to cost as it was sent, in millionths of a US dollar; reserved in ai_limits until it is settled.';
comment on column public.ai_provider_calls.cost_micros is
  'What it did cost: the price of its units, rounded up; 0 when nothing was made. Null while that is open.';
comment on column public.ai_provider_calls.unknown_since is
  'When it became unknown, which is when its sender was known to have gone or given up. reconcile_seconds count from here and not from sent_at: a call may be with the provider for minutes.';
comment on column public.ai_provider_calls.discarded_at is
  'Since when the janitor removes what the call made: a retry of the job does not go on with it, and sends a new call.';

CREATE INDEX ai_provider_calls_job_id_sent_at_idx ON public.ai_provider_calls USING btree (job_id, sent_at);
CREATE INDEX ai_provider_calls_object_idx ON public.ai_provider_calls USING btree (provider, provider_object_id) WHERE (provider_object_id IS NOT NULL);
CREATE UNIQUE INDEX ai_provider_calls_one_per_step_key ON public.ai_provider_calls USING btree (job_id, operation) WHERE ((outcome = ANY (ARRAY['sent'::text, 'unknown'::text, 'succeeded'::text, 'adopted'::text])) AND (discarded_at IS NULL));
CREATE INDEX ai_provider_calls_open_idx ON public.ai_provider_calls USING btree (provider) INCLUDE (estimated_cost_micros) WHERE (outcome = ANY (ARRAY['sent'::text, 'unknown'::text]));
CREATE INDEX ai_provider_calls_user_id_idx ON public.ai_provider_calls USING btree (user_id);
CREATE INDEX ai_provider_calls_voices_idx ON public.ai_provider_calls USING btree (provider, job_id) WHERE ((operation = 'create_voice'::text) AND (outcome = ANY (ARRAY['sent'::text, 'unknown'::text, 'succeeded'::text, 'adopted'::text])) AND (discarded_at IS NULL));

create policy "users can read the provider calls of their own ai jobs" on public.ai_provider_calls for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER ai_provider_calls_date_unknown_outcome BEFORE INSERT OR UPDATE OF outcome, units ON public.ai_provider_calls FOR EACH ROW EXECUTE FUNCTION private.date_unknown_outcome();
CREATE TRIGGER ai_provider_calls_note_settled AFTER UPDATE OF outcome ON public.ai_provider_calls FOR EACH ROW WHEN ((old.outcome IS DISTINCT FROM new.outcome)) EXECUTE FUNCTION private.note_settled_call();
CREATE TRIGGER ai_provider_calls_record_object AFTER DELETE ON public.ai_provider_calls FOR EACH ROW EXECUTE FUNCTION private.record_provider_call_removal();
CREATE TRIGGER ai_provider_calls_release_cost AFTER DELETE ON public.ai_provider_calls FOR EACH ROW WHEN (((old.outcome = ANY (ARRAY['sent'::text, 'unknown'::text])) AND (old.estimated_cost_micros > 0))) EXECUTE FUNCTION private.settle_reserved_cost();
CREATE TRIGGER ai_provider_calls_settle_cost AFTER UPDATE OF outcome, units ON public.ai_provider_calls FOR EACH ROW WHEN (((old.outcome IS DISTINCT FROM new.outcome) OR (old.cost_micros IS DISTINCT FROM new.cost_micros))) EXECUTE FUNCTION private.settle_reserved_cost();

grant select on public.ai_provider_calls to authenticated;
grant insert, select, update on public.ai_provider_calls to service_role;

create table public.ai_provider_spend (
  provider text not null,
  slot smallint not null,
  month date not null,
  spent_micros bigint not null default 0,
  constraint ai_provider_spend_pkey PRIMARY KEY (provider, slot),
  constraint ai_provider_spend_provider_fkey FOREIGN KEY (provider) REFERENCES public.ai_providers(provider),
  constraint ai_provider_spend_is_not_negative CHECK (spent_micros >= 0),
  constraint ai_provider_spend_slot_in_range CHECK (slot >= 0 AND slot <= 15)
);
alter table public.ai_provider_spend enable row level security;

comment on table public.ai_provider_spend is
  'What all users together have spent at a provider in a calendar month (UTC), in millionths of a US dollar: the sum of its slots. A table of its own, because what was paid stays paid when jobs and accounts are deleted.';
comment on column public.ai_provider_spend.slot is
  'Drawn from the user''s id: calls that end at the same time seldom wait for each other.';
comment on column public.ai_provider_spend.month is
  'First day of the month that spent_micros counts.';

grant select on public.ai_provider_spend to service_role;

create table public.ai_providers (
  provider text not null,
  max_concurrent integer not null,
  budget_micros bigint,
  max_voices integer,
  paused_at timestamp with time zone,
  breaker_threshold integer default 10,
  breaker_pause_seconds integer not null default 5,
  breaker_max_pause_seconds integer not null default 30,
  breaker_failures integer not null default 0,
  breaker_opened_at timestamp with time zone,
  breaker_probe_at timestamp with time zone,
  breaker_probes integer not null default 0,
  breaker_probe_job_id uuid,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint ai_providers_pkey PRIMARY KEY (provider),
  constraint ai_providers_breaker_counts_are_not_negative CHECK (breaker_failures >= 0 AND breaker_probes >= 0),
  constraint ai_providers_breaker_pause_in_range CHECK (breaker_pause_seconds >= 1 AND breaker_pause_seconds <= 3600 AND breaker_max_pause_seconds >= breaker_pause_seconds AND breaker_max_pause_seconds <= 3600),
  constraint ai_providers_breaker_probes_while_open CHECK ((breaker_opened_at IS NULL) = (breaker_probe_at IS NULL) AND (breaker_opened_at IS NOT NULL OR breaker_probes = 0 AND breaker_probe_job_id IS NULL)),
  constraint ai_providers_breaker_threshold_in_range CHECK (breaker_threshold >= 1 AND breaker_threshold <= 10000),
  constraint ai_providers_budget_is_not_negative CHECK (budget_micros >= 0),
  constraint ai_providers_max_concurrent_in_range CHECK (max_concurrent >= 1 AND max_concurrent <= 10000),
  constraint ai_providers_max_voices_is_not_negative CHECK (max_voices >= 0),
  constraint ai_providers_provider_is_slug CHECK (provider ~ '^[a-z][a-z0-9-]{1,40}$'::text)
);
alter table public.ai_providers enable row level security;

comment on table public.ai_providers is
  'The AI providers: how many of their jobs may run at once, and whether they run at all.';
comment on column public.ai_providers.max_concurrent is
  'Most jobs of this provider in processing at any moment, over all workers; never exceeded by one. Set it to your plan.';
comment on column public.ai_providers.budget_micros is
  'Most that paid calls of all users together may cost at this provider in a calendar month (UTC), in millionths of a US dollar. Null: no limit.';
comment on column public.ai_providers.max_voices is
  'Most voices that the project may have at this provider, over all users; with jobs that are still to make one. Set it to the places of your plan. Null: no limit.';
comment on column public.ai_providers.paused_at is
  'Set: its jobs wait, new ones are accepted. See pause_ai_jobs.';
comment on column public.ai_providers.breaker_threshold is
  'So many failures of the provider one after the other open its breaker: its jobs wait. Null: never. More than a job''s attempts, so that one job alone cannot do it.';
comment on column public.ai_providers.breaker_pause_seconds is
  'Wait before the first probe; doubled with each probe that fails.';
comment on column public.ai_providers.breaker_max_pause_seconds is
  'Longest wait between two probes, and so the longest that a recovery goes unnoticed.';
comment on column public.ai_providers.breaker_failures is
  'Failures of the provider since it last answered properly.';
comment on column public.ai_providers.breaker_opened_at is
  'Set: the breaker is open, since then.';
comment on column public.ai_providers.breaker_probe_at is
  'When the next single job may be tried.';
comment on column public.ai_providers.breaker_probes is
  'Probes that have failed since it opened.';
comment on column public.ai_providers.breaker_probe_job_id is
  'The job that was let through last; while it is in processing no other is. No foreign key: it may be deleted.';

CREATE TRIGGER ai_providers_touch_updated_at BEFORE UPDATE ON public.ai_providers FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant insert, select, update on public.ai_providers to service_role;

create table public.ai_result_cache (
  cache_key text not null,
  user_id uuid not null,
  value jsonb not null,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null default now(),
  constraint ai_result_cache_pkey PRIMARY KEY (cache_key),
  constraint ai_result_cache_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint ai_result_cache_key_is_hash CHECK (cache_key ~ '^ai_job:[0-9a-f]{64}$'::text)
);
alter table public.ai_result_cache enable row level security;

comment on table public.ai_result_cache is
  'Where the result of an equal earlier request is, by hash of the request; kept cache_ttl_seconds.';
comment on column public.ai_result_cache.value is
  '{"job_id": "<uuid>"}';

CREATE INDEX ai_result_cache_expires_at_idx ON public.ai_result_cache USING btree (expires_at);
CREATE INDEX ai_result_cache_user_id_idx ON public.ai_result_cache USING btree (user_id);

create policy "users can read their own cache entries" on public.ai_result_cache for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

grant select on public.ai_result_cache to authenticated;
grant delete, insert, select, update on public.ai_result_cache to service_role;

create table public.avatars (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  job_id uuid,
  voice_id uuid,
  photo_id uuid,
  name text not null,
  provider text not null,
  provider_avatar_id text not null,
  video_url text not null,
  duration_seconds numeric(10,3),
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  provider_missing_since timestamp with time zone,
  constraint avatars_pkey PRIMARY KEY (id),
  constraint avatars_job_key UNIQUE (job_id, user_id),
  constraint avatars_provider_avatar_id_key UNIQUE (provider, provider_avatar_id),
  constraint avatars_job_fkey FOREIGN KEY (job_id, user_id) REFERENCES public.ai_jobs(id, user_id) ON DELETE SET NULL (job_id),
  constraint avatars_photo_fkey FOREIGN KEY (photo_id, user_id) REFERENCES public.media(id, user_id) ON DELETE SET NULL (photo_id),
  constraint avatars_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint avatars_voice_fkey FOREIGN KEY (voice_id, user_id) REFERENCES public.voices(id, user_id) ON DELETE SET NULL (voice_id),
  constraint avatars_duration_is_positive CHECK (duration_seconds > 0::numeric),
  constraint avatars_name_length CHECK (length(name) >= 1 AND length(name) <= 100),
  constraint avatars_provider_avatar_id_length CHECK (length(provider_avatar_id) >= 1 AND length(provider_avatar_id) <= 255),
  constraint avatars_provider_is_word CHECK (provider ~ '^[a-z][a-z0-9-]{1,62}$'::text),
  constraint avatars_video_url_is_owners CHECK (video_url ~ '^outputs/[^/]+/.*[^/]$'::text AND video_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'::text AND split_part(video_url, '/'::text, 2) = user_id::text)
);
alter table public.avatars enable row level security;

comment on table public.avatars is
  'A photo that talks: the finished video of an avatar job. Written by the job; the owner may rename or remove it.';
comment on column public.avatars.job_id is
  'The job that made it, of the same owner; null once that job is deleted.';
comment on column public.avatars.provider_avatar_id is
  'The provider''s id of the rendered video or talk.';
comment on column public.avatars.video_url is
  'The video in our own Storage, as outputs/<path>.';
comment on column public.avatars.provider_missing_since is
  'Since when the provider does not have the video any more; ours is in Storage all the same.';

CREATE INDEX avatars_photo_id_idx ON public.avatars USING btree (photo_id, user_id);
CREATE INDEX avatars_user_id_created_at_idx ON public.avatars USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX avatars_voice_id_idx ON public.avatars USING btree (voice_id, user_id);

create policy "users can read their own avatars" on public.avatars for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can remove their own avatars" on public.avatars for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can rename their own avatars" on public.avatars for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER avatars_record_avatar AFTER DELETE ON public.avatars FOR EACH ROW EXECUTE FUNCTION private.record_provider_removal('avatar', 'provider_avatar_id');
CREATE TRIGGER avatars_record_video AFTER DELETE OR UPDATE OF video_url ON public.avatars FOR EACH ROW EXECUTE FUNCTION private.record_storage_removal('video_url');
CREATE TRIGGER avatars_touch_updated_at BEFORE UPDATE ON public.avatars FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.avatars to authenticated;
grant delete, insert, select, update on public.avatars to service_role;
grant update (name) on public.avatars to authenticated;

create table public.calls (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  title text not null,
  recording_id uuid,
  held_at timestamp with time zone not null default now(),
  duration_seconds numeric(10,3),
  transcript text,
  transcript_data jsonb,
  transcript_job_id uuid,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint calls_pkey PRIMARY KEY (id),
  constraint calls_transcript_job_key UNIQUE (transcript_job_id, user_id),
  constraint calls_recording_fkey FOREIGN KEY (recording_id, user_id) REFERENCES public.media(id, user_id) ON DELETE SET NULL (recording_id),
  constraint calls_transcript_job_fkey FOREIGN KEY (transcript_job_id, user_id) REFERENCES public.ai_jobs(id, user_id) ON DELETE SET NULL (transcript_job_id),
  constraint calls_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint calls_duration_is_positive CHECK (duration_seconds > 0::numeric),
  constraint calls_title_length CHECK (length(title) >= 1 AND length(title) <= 200),
  constraint calls_transcript_data_has_transcript CHECK (transcript_data IS NULL OR transcript IS NOT NULL),
  constraint calls_transcript_data_is_object CHECK (jsonb_typeof(transcript_data) = 'object'::text)
);
alter table public.calls enable row level security;

comment on table public.calls is
  'A recorded conversation of the owner''s; its transcript is written by the job that made it.';
comment on column public.calls.recording_id is
  'The recording in the owner''s media; null once that is deleted.';
comment on column public.calls.held_at is
  'When people talked; the list is in this order.';
comment on column public.calls.transcript is
  'What was said, as plain text. Stays when the job or the recording is deleted.';
comment on column public.calls.transcript_data is
  'Words with times and speakers, as the transcription job found them.';
comment on column public.calls.transcript_job_id is
  'The job that wrote the transcript; null once that job is deleted.';

CREATE INDEX calls_recording_id_idx ON public.calls USING btree (recording_id, user_id);
CREATE INDEX calls_user_id_held_at_idx ON public.calls USING btree (user_id, held_at DESC, id DESC);

create policy "users can add calls of their own" on public.calls for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can change their own calls" on public.calls for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can read their own calls" on public.calls for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can remove their own calls" on public.calls for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER calls_touch_updated_at BEFORE UPDATE ON public.calls FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.calls to authenticated;
grant delete, insert, select, update on public.calls to service_role;
grant insert (user_id, title, recording_id, held_at, duration_seconds) on public.calls to authenticated;
grant update (title, recording_id, held_at, duration_seconds) on public.calls to authenticated;

create table public.deliveries (
  id uuid not null default gen_random_uuid(),
  order_id uuid not null,
  vendor_id uuid not null,
  user_id uuid,
  carrier text,
  tracking_number text,
  status text not null default 'preparing'::text,
  shipped_at timestamp with time zone,
  delivered_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint deliveries_pkey PRIMARY KEY (id),
  constraint deliveries_tracking_number_key UNIQUE (carrier, tracking_number),
  constraint deliveries_order_fkey FOREIGN KEY (order_id, vendor_id) REFERENCES public.orders(id, vendor_id) ON DELETE RESTRICT,
  constraint deliveries_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE SET NULL,
  constraint deliveries_carrier_is_word CHECK (carrier ~ '^[a-z][a-z0-9-]{1,62}$'::text),
  constraint deliveries_delivered_after_shipped CHECK (delivered_at >= shipped_at),
  constraint deliveries_delivered_at_matches_status CHECK ((status = 'delivered'::text) = (delivered_at IS NOT NULL)),
  constraint deliveries_forgotten_has_no_tracking CHECK (user_id IS NOT NULL OR tracking_number IS NULL),
  constraint deliveries_shipped_at_matches_status CHECK (status = 'preparing'::text OR shipped_at IS NOT NULL),
  constraint deliveries_shipped_has_tracking CHECK (status = 'preparing'::text OR tracking_number IS NOT NULL OR user_id IS NULL),
  constraint deliveries_status_is_known CHECK (status = ANY (ARRAY['preparing'::text, 'shipped'::text, 'delivered'::text, 'returned'::text, 'lost'::text])),
  constraint deliveries_tracking_has_carrier CHECK ((carrier IS NULL) = (tracking_number IS NULL)),
  constraint deliveries_tracking_number_is_code CHECK (tracking_number ~ '^[A-Z0-9][A-Z0-9-]{3,39}$'::text)
);
alter table public.deliveries enable row level security;

comment on table public.deliveries is
  'A parcel of an order. Written by the service only; customer and vendor can read it. When the customer''s account is deleted it stays for the books, without the number by which the carrier knows who got it.';
comment on column public.deliveries.vendor_id is
  'The order''s vendor, set by trigger.';
comment on column public.deliveries.user_id is
  'The order''s customer, set by trigger so that the policy needs no join; null once their account is deleted.';
comment on column public.deliveries.carrier is
  'Who brings it, in one spelling: dhl, post-at, ups. Removed with the tracking number.';
comment on column public.deliveries.tracking_number is
  'Unique per carrier; capitals, digits and hyphens. Removed when the account is deleted, and none is taken afterwards.';
comment on column public.deliveries.status is
  'preparing, shipped, delivered, returned, lost. private.guard_delivery has the transitions.';

CREATE INDEX deliveries_order_id_idx ON public.deliveries USING btree (order_id, vendor_id);
CREATE INDEX deliveries_user_id_created_at_idx ON public.deliveries USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX deliveries_vendor_id_created_at_idx ON public.deliveries USING btree (vendor_id, created_at DESC, id DESC);

create policy "customers can read their deliveries, and vendors their own" on public.deliveries for select to authenticated
  using (((user_id = ( SELECT auth.uid() AS uid)) OR ((vendor_id = ANY (ARRAY( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid))))) AND (vendor_id >= ( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid))
  ORDER BY m.vendor_id
 LIMIT 1)) AND (vendor_id <= ( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid))
  ORDER BY m.vendor_id DESC
 LIMIT 1)))));

CREATE TRIGGER deliveries_guard BEFORE INSERT OR UPDATE ON public.deliveries FOR EACH ROW EXECUTE FUNCTION private.guard_delivery();
CREATE TRIGGER deliveries_touch_updated_at BEFORE UPDATE ON public.deliveries FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant select on public.deliveries to authenticated;
grant insert, select, update on public.deliveries to service_role;

create table public.media (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  media_type text not null,
  storage_path text not null,
  file_name text not null,
  content_type text not null,
  size_bytes bigint not null,
  duration_seconds numeric(10,3),
  title text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint media_pkey PRIMARY KEY (id),
  constraint media_id_user_id_key UNIQUE (id, user_id),
  constraint media_storage_path_key UNIQUE (storage_path),
  constraint media_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint media_content_type_is_mime CHECK (content_type ~ '^[a-z]+/[a-z0-9.+-]+$'::text),
  constraint media_duration_is_positive CHECK (duration_seconds > 0::numeric),
  constraint media_file_name_length CHECK (length(file_name) >= 1 AND length(file_name) <= 255),
  constraint media_media_type_is_known CHECK (media_type = ANY (ARRAY['image'::text, 'audio'::text, 'video'::text, 'document'::text])),
  constraint media_size_is_positive CHECK (size_bytes > 0),
  constraint media_storage_path_is_owners CHECK (storage_path ~ '^[a-z0-9][a-z0-9_-]{0,62}/[^/]+/.*[^/]$'::text AND storage_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'::text AND split_part(storage_path, '/'::text, 2) = user_id::text),
  constraint media_storage_path_names_a_bucket_for_media CHECK (split_part(storage_path, '/'::text, 1) = ANY (ARRAY['voice-samples'::text, 'uploads'::text, 'recordings'::text, 'profile-photos'::text, 'published-media'::text, 'outputs'::text, 'pdfs'::text])),
  constraint media_title_length CHECK (length(title) >= 1 AND length(title) <= 200)
);
alter table public.media enable row level security;

comment on table public.media is
  'A recording, photo, video or document that its owner keeps in Storage.';
comment on column public.media.storage_path is
  'The object as <bucket>/<path>; its first folder is the owner''s id.';
comment on column public.media.content_type is
  'The canonical name: what is written as audio/webm;codecs=opus or audio/x-wav is kept as audio/webm or audio/wav.';

CREATE INDEX media_user_id_created_at_idx ON public.media USING btree (user_id, created_at DESC, id DESC);

create policy "users can add media of their own" on public.media for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can read their own media" on public.media for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can remove their own media" on public.media for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can retitle their own media" on public.media for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER media_name_content_type BEFORE INSERT OR UPDATE OF content_type ON public.media FOR EACH ROW EXECUTE FUNCTION private.name_media_content_type();
CREATE TRIGGER media_record_object AFTER DELETE OR UPDATE OF storage_path ON public.media FOR EACH ROW EXECUTE FUNCTION private.record_storage_removal('storage_path');
CREATE TRIGGER media_touch_updated_at BEFORE UPDATE ON public.media FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.media to authenticated;
grant delete, insert, select, update on public.media to service_role;
grant insert (user_id, media_type, storage_path, file_name, content_type, size_bytes, duration_seconds, title) on public.media to authenticated;
grant update (duration_seconds, title) on public.media to authenticated;

create table public.order_items (
  id uuid not null default gen_random_uuid(),
  order_id uuid not null,
  vendor_id uuid not null,
  product_id uuid not null,
  currency text not null,
  pdf_id uuid,
  description text not null,
  quantity integer not null,
  unit_price_minor bigint not null,
  line_total_minor bigint not null generated always as ((quantity * unit_price_minor)) stored,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint order_items_pkey PRIMARY KEY (id),
  constraint order_items_order_fkey FOREIGN KEY (order_id, vendor_id, currency) REFERENCES public.orders(id, vendor_id, currency) ON DELETE CASCADE,
  constraint order_items_pdf_id_fkey FOREIGN KEY (pdf_id) REFERENCES public.pdfs(id) ON DELETE SET NULL,
  constraint order_items_product_fkey FOREIGN KEY (product_id, vendor_id, currency) REFERENCES public.vendor_products(id, vendor_id, currency) ON DELETE RESTRICT,
  constraint order_items_price_is_not_negative CHECK (unit_price_minor >= 0),
  constraint order_items_quantity_in_range CHECK (quantity >= 1 AND quantity <= 1000)
);
alter table public.order_items enable row level security;

comment on table public.order_items is
  'What an order is made of. Product, order and currency belong to one vendor by foreign key; name and price are copied from the price list by trigger and are not the customer''s to write.';
comment on column public.order_items.vendor_id is
  'The order''s vendor, repeated for the foreign keys; set by trigger.';
comment on column public.order_items.currency is
  'The order''s currency, repeated for the foreign keys; set by trigger.';
comment on column public.order_items.pdf_id is
  'The keepsake to print; the order''s customer owns it (trigger). Cannot be deleted while the order is under way.';
comment on column public.order_items.description is
  'Name of the product as ordered; set by trigger.';
comment on column public.order_items.unit_price_minor is
  'Minor units. From the price list whenever the item of a draft is written, and fixed once the order is placed.';
comment on column public.order_items.line_total_minor is
  'Minor units.';

CREATE INDEX order_items_order_id_idx ON public.order_items USING btree (order_id, vendor_id, currency);
CREATE INDEX order_items_pdf_id_idx ON public.order_items USING btree (pdf_id);
CREATE INDEX order_items_product_id_idx ON public.order_items USING btree (product_id, vendor_id, currency);

create policy "customers can add items to their own drafts" on public.order_items for insert to authenticated
  with check ((EXISTS ( SELECT 1
   FROM public.orders o
  WHERE ((o.id = order_items.order_id) AND (o.user_id = ( SELECT auth.uid() AS uid)) AND (o.status = 'draft'::text)))));
create policy "customers can change items of their own drafts" on public.order_items for update to authenticated
  using ((EXISTS ( SELECT 1
   FROM public.orders o
  WHERE ((o.id = order_items.order_id) AND (o.user_id = ( SELECT auth.uid() AS uid)) AND (o.status = 'draft'::text)))))
  with check ((EXISTS ( SELECT 1
   FROM public.orders o
  WHERE ((o.id = order_items.order_id) AND (o.user_id = ( SELECT auth.uid() AS uid)) AND (o.status = 'draft'::text)))));
create policy "customers can remove items of their own drafts" on public.order_items for delete to authenticated
  using ((EXISTS ( SELECT 1
   FROM public.orders o
  WHERE ((o.id = order_items.order_id) AND (o.user_id = ( SELECT auth.uid() AS uid)) AND (o.status = 'draft'::text)))));
create policy "whoever can read an order can read its items" on public.order_items for select to authenticated
  using ((EXISTS ( SELECT 1
   FROM public.orders o
  WHERE (o.id = order_items.order_id))));

CREATE TRIGGER order_items_fill BEFORE INSERT OR DELETE OR UPDATE ON public.order_items FOR EACH ROW EXECUTE FUNCTION private.fill_order_item();
CREATE TRIGGER order_items_total AFTER INSERT OR DELETE OR UPDATE ON public.order_items FOR EACH ROW EXECUTE FUNCTION private.total_order_items();
CREATE TRIGGER order_items_touch_updated_at BEFORE UPDATE ON public.order_items FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.order_items to authenticated;
grant delete, insert, select, update on public.order_items to service_role;
grant insert (order_id, product_id, pdf_id, quantity) on public.order_items to authenticated;
grant update (pdf_id, quantity) on public.order_items to authenticated;

create table public.orders (
  id uuid not null default gen_random_uuid(),
  user_id uuid default auth.uid(),
  vendor_id uuid not null,
  status text not null default 'draft'::text,
  currency text not null,
  items_total_minor bigint not null default 0,
  shipping_minor bigint not null default 0,
  tax_minor bigint not null default 0,
  total_minor bigint not null generated always as (((items_total_minor + shipping_minor) + tax_minor)) stored,
  shipping_address jsonb,
  placed_at timestamp with time zone,
  paid_at timestamp with time zone,
  completed_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint orders_pkey PRIMARY KEY (id),
  constraint orders_id_currency_key UNIQUE (id, currency),
  constraint orders_id_vendor_id_currency_key UNIQUE (id, vendor_id, currency),
  constraint orders_id_vendor_id_key UNIQUE (id, vendor_id),
  constraint orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE SET NULL,
  constraint orders_vendor_id_fkey FOREIGN KEY (vendor_id) REFERENCES public.vendors(id) ON DELETE RESTRICT,
  constraint orders_address_is_object CHECK (jsonb_typeof(shipping_address) = 'object'::text),
  constraint orders_address_is_small CHECK (octet_length(shipping_address::text) <= 4096),
  constraint orders_amounts_are_not_negative CHECK (items_total_minor >= 0 AND shipping_minor >= 0 AND tax_minor >= 0),
  constraint orders_completed_at_matches_status CHECK ((status = ANY (ARRAY['delivered'::text, 'cancelled'::text, 'refunded'::text])) = (completed_at IS NOT NULL)),
  constraint orders_currency_is_iso CHECK (currency ~ '^[A-Z]{3}$'::text),
  constraint orders_forgotten_has_no_address CHECK (user_id IS NOT NULL OR shipping_address IS NULL),
  constraint orders_paid_at_matches_status CHECK ((status <> ALL (ARRAY['paid'::text, 'in_production'::text, 'shipped'::text, 'delivered'::text, 'refunded'::text])) OR paid_at IS NOT NULL),
  constraint orders_placed_at_matches_status CHECK ((status = ANY (ARRAY['draft'::text, 'cancelled'::text])) OR placed_at IS NOT NULL),
  constraint orders_placed_has_address CHECK ((status = ANY (ARRAY['draft'::text, 'cancelled'::text])) OR shipping_address IS NOT NULL OR user_id IS NULL),
  constraint orders_status_is_known CHECK (status = ANY (ARRAY['draft'::text, 'placed'::text, 'paid'::text, 'in_production'::text, 'shipped'::text, 'delivered'::text, 'cancelled'::text, 'refunded'::text]))
);
alter table public.orders enable row level security;

comment on table public.orders is
  'A keepsake somebody ordered. The customer writes drafts, places and cancels; the service does the rest. When the customer''s account is deleted the order stays for the books, without name and address.';
comment on column public.orders.user_id is
  'The customer; null once their account is deleted.';
comment on column public.orders.status is
  'draft, placed (binding, unpaid), paid, in_production, shipped, delivered, cancelled (before it was paid), refunded (all money given back). private.guard_order has the transitions. A payment that is captured after the order was cancelled is listed by report_payments_to_return.';
comment on column public.orders.items_total_minor is
  'Sum of the items, kept by trigger. Minor units of the currency.';
comment on column public.orders.shipping_minor is
  'Set by the service. Minor units.';
comment on column public.orders.tax_minor is
  'Set by the service. Minor units.';
comment on column public.orders.total_minor is
  'What the payments have to cover. Minor units.';
comment on column public.orders.shipping_address is
  'Where to; removed when the account is deleted.';
comment on column public.orders.placed_at is
  'Set by trigger, as are paid_at and completed_at.';
comment on column public.orders.paid_at is
  'From this moment on the vendor sees the order.';
comment on column public.orders.completed_at is
  'When it was delivered, cancelled or refunded.';

CREATE INDEX orders_user_id_created_at_idx ON public.orders USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX orders_vendor_id_paid_at_idx ON public.orders USING btree (vendor_id, paid_at DESC, id DESC);

create policy "customers can change their own orders" on public.orders for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "customers can read their orders, and vendors those to fulfil" on public.orders for select to authenticated
  using (((user_id = ( SELECT auth.uid() AS uid)) OR ((paid_at IS NOT NULL) AND (vendor_id = ANY (ARRAY( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid))))) AND (vendor_id >= ( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid))
  ORDER BY m.vendor_id
 LIMIT 1)) AND (vendor_id <= ( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid))
  ORDER BY m.vendor_id DESC
 LIMIT 1)))));
create policy "customers can remove their own drafts" on public.orders for delete to authenticated
  using (((user_id = ( SELECT auth.uid() AS uid)) AND (status = 'draft'::text)));
create policy "users can draft orders of their own" on public.orders for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER orders_guard BEFORE INSERT OR DELETE OR UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION private.guard_order();
CREATE TRIGGER orders_touch_updated_at BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.orders to authenticated;
grant delete, insert, select, update on public.orders to service_role;
grant insert (user_id, vendor_id, currency, shipping_address) on public.orders to authenticated;
grant update (status, shipping_address) on public.orders to authenticated;

create table public.payments (
  id uuid not null default gen_random_uuid(),
  order_id uuid not null,
  user_id uuid,
  provider text not null,
  provider_payment_id text not null,
  status text not null default 'pending'::text,
  amount_minor bigint not null,
  refunded_minor bigint not null default 0,
  currency text not null,
  captured_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint payments_pkey PRIMARY KEY (id),
  constraint payments_provider_payment_id_key UNIQUE (provider, provider_payment_id),
  constraint payments_order_fkey FOREIGN KEY (order_id, currency) REFERENCES public.orders(id, currency) ON DELETE RESTRICT,
  constraint payments_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE SET NULL,
  constraint payments_amount_is_positive CHECK (amount_minor > 0),
  constraint payments_captured_at_matches_status CHECK ((status = ANY (ARRAY['captured'::text, 'partially_refunded'::text, 'refunded'::text])) = (captured_at IS NOT NULL)),
  constraint payments_currency_is_iso CHECK (currency ~ '^[A-Z]{3}$'::text),
  constraint payments_provider_is_word CHECK (provider ~ '^[a-z][a-z0-9-]{1,62}$'::text),
  constraint payments_provider_payment_id_length CHECK (length(provider_payment_id) >= 1 AND length(provider_payment_id) <= 255),
  constraint payments_refund_matches_status CHECK ((status = 'refunded'::text) = (refunded_minor = amount_minor) AND (status = 'partially_refunded'::text) = (refunded_minor > 0 AND refunded_minor < amount_minor)),
  constraint payments_refund_within_amount CHECK (refunded_minor >= 0 AND refunded_minor <= amount_minor),
  constraint payments_status_is_known CHECK (status = ANY (ARRAY['pending'::text, 'authorised'::text, 'captured'::text, 'partially_refunded'::text, 'refunded'::text, 'failed'::text, 'cancelled'::text]))
);
alter table public.payments enable row level security;

comment on table public.payments is
  'Money moved for an order, as the payment provider tells it. Written by the service only; kept when the account is deleted.';
comment on column public.payments.user_id is
  'The order''s customer, set by trigger so that the policy needs no join; null once their account is deleted.';
comment on column public.payments.provider is
  'The payment provider, for example stripe.';
comment on column public.payments.provider_payment_id is
  'The provider''s id: the same notification twice is one row.';
comment on column public.payments.status is
  'pending, authorised (reserved), captured (money taken), partially_refunded, refunded, failed, cancelled. private.guard_payment has the transitions.';
comment on column public.payments.amount_minor is
  'Minor units.';
comment on column public.payments.refunded_minor is
  'Given back so far. Minor units.';
comment on column public.payments.captured_at is
  'When the money was taken; never changes again.';

CREATE INDEX payments_order_id_idx ON public.payments USING btree (order_id, currency);
CREATE INDEX payments_user_id_created_at_idx ON public.payments USING btree (user_id, created_at DESC, id DESC);

create policy "users can read their own payments" on public.payments for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER payments_guard BEFORE INSERT OR UPDATE ON public.payments FOR EACH ROW EXECUTE FUNCTION private.guard_payment();
CREATE TRIGGER payments_touch_updated_at BEFORE UPDATE ON public.payments FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant select on public.payments to authenticated;
grant insert, select, update on public.payments to service_role;

create table public.pdfs (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  slideshow_id uuid,
  job_id uuid,
  title text not null,
  pdf_url text not null,
  page_count integer not null,
  size_bytes bigint not null,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint pdfs_pkey PRIMARY KEY (id),
  constraint pdfs_job_key UNIQUE (job_id, user_id),
  constraint pdfs_job_fkey FOREIGN KEY (job_id, user_id) REFERENCES public.ai_jobs(id, user_id) ON DELETE SET NULL (job_id),
  constraint pdfs_slideshow_fkey FOREIGN KEY (slideshow_id, user_id) REFERENCES public.slideshows(id, user_id) ON DELETE SET NULL (slideshow_id),
  constraint pdfs_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint pdfs_page_count_is_positive CHECK (page_count > 0),
  constraint pdfs_pdf_url_is_owners CHECK (pdf_url ~ '^pdfs/[^/]+/.*[^/]$'::text AND pdf_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'::text AND split_part(pdf_url, '/'::text, 2) = user_id::text),
  constraint pdfs_size_is_positive CHECK (size_bytes > 0),
  constraint pdfs_title_length CHECK (length(title) >= 1 AND length(title) <= 200)
);
alter table public.pdfs enable row level security;

comment on table public.pdfs is
  'A rendered keepsake. Written by the job; the owner may retitle or remove it.';
comment on column public.pdfs.slideshow_id is
  'What it was made from; null once that is deleted.';
comment on column public.pdfs.job_id is
  'The job that made it, of the same owner; null once that job is deleted.';
comment on column public.pdfs.pdf_url is
  'The file in our own Storage, as pdfs/<path>.';

CREATE INDEX pdfs_slideshow_id_idx ON public.pdfs USING btree (slideshow_id, user_id);
CREATE INDEX pdfs_user_id_created_at_idx ON public.pdfs USING btree (user_id, created_at DESC, id DESC);

create policy "users can read their own pdfs" on public.pdfs for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can remove their own pdfs" on public.pdfs for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can retitle their own pdfs" on public.pdfs for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER pdfs_guard BEFORE DELETE ON public.pdfs FOR EACH ROW EXECUTE FUNCTION private.guard_pdf();
CREATE TRIGGER pdfs_record_file AFTER DELETE OR UPDATE OF pdf_url ON public.pdfs FOR EACH ROW EXECUTE FUNCTION private.record_storage_removal('pdf_url');
CREATE TRIGGER pdfs_touch_updated_at BEFORE UPDATE ON public.pdfs FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.pdfs to authenticated;
grant delete, insert, select, update on public.pdfs to service_role;
grant update (title) on public.pdfs to authenticated;

create table public.pending_uploads (
  object_path text not null,
  user_id uuid not null default auth.uid(),
  size_bytes bigint not null,
  stored_at timestamp with time zone,
  expires_at timestamp with time zone not null default (now() + '02:00:00'::interval),
  created_at timestamp with time zone not null default now(),
  constraint pending_uploads_pkey PRIMARY KEY (object_path),
  constraint pending_uploads_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint pending_uploads_object_path_is_owners CHECK (object_path ~ '^[a-z0-9][a-z0-9_-]{0,62}/[^/]+/.*[^/]$'::text AND split_part(object_path, '/'::text, 2) = user_id::text),
  constraint pending_uploads_object_path_names_a_bucket_for_uploads CHECK (split_part(object_path, '/'::text, 1) = ANY (ARRAY['voice-samples'::text, 'uploads'::text, 'recordings'::text, 'profile-photos'::text, 'published-media'::text])),
  constraint pending_uploads_size_is_not_negative CHECK (size_bytes >= 0)
);
alter table public.pending_uploads enable row level security;

comment on table public.pending_uploads is
  'Room that a user has taken in Storage for what no row names: an address for an upload, from when it is asked for until it ends or is used, and a stored file until a row names it or it is removed. Whether a row names it is looked up only before something is refused, so that there may be rows of files that are named by now.';
comment on column public.pending_uploads.object_path is
  'As <bucket>/<path>; its first folder is the owner''s id.';
comment on column public.pending_uploads.size_bytes is
  'As declared; once it is stored, as stored.';
comment on column public.pending_uploads.stored_at is
  'When the file was stored; null: it may still come.';
comment on column public.pending_uploads.expires_at is
  'Until when a file that is not stored takes room: as long as Storage takes it by its signed address.';

CREATE INDEX pending_uploads_expires_at_idx ON public.pending_uploads USING btree (expires_at) WHERE (stored_at IS NULL);
CREATE INDEX pending_uploads_user_id_idx ON public.pending_uploads USING btree (user_id) INCLUDE (size_bytes, stored_at, expires_at);

create policy "users can read their own pending uploads" on public.pending_uploads for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can write down uploads of their own" on public.pending_uploads for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER pending_uploads_reserve BEFORE INSERT ON public.pending_uploads FOR EACH ROW WHEN ((new.stored_at IS NULL)) EXECUTE FUNCTION private.reserve_upload();

grant select on public.pending_uploads to authenticated;
grant select on public.pending_uploads to service_role;
grant insert (object_path, user_id, size_bytes) on public.pending_uploads to authenticated;

create table public.profiles (
  user_id uuid not null default auth.uid(),
  display_name text not null,
  photo_path text,
  locale text not null default 'en'::text,
  time_zone text not null default 'UTC'::text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint profiles_pkey PRIMARY KEY (user_id),
  constraint profiles_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint profiles_display_name_length CHECK (length(display_name) >= 1 AND length(display_name) <= 100),
  constraint profiles_locale_is_bcp47 CHECK (locale ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$'::text),
  constraint profiles_photo_path_is_owners CHECK (photo_path ~ '^profile-photos/[^/]+/.*[^/]$'::text AND photo_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'::text AND split_part(photo_path, '/'::text, 2) = user_id::text),
  constraint profiles_time_zone_is_known CHECK (time_zone ~ '^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$'::text AND timezone(time_zone, '1970-01-01 00:00:00+00'::timestamp with time zone) IS NOT NULL)
);
alter table public.profiles enable row level security;

comment on table public.profiles is
  'How a user wants to be called and seen. One row per user, made and kept by the user.';
comment on column public.profiles.photo_path is
  'Object of the public bucket profile-photos, as <bucket>/<path>.';
comment on column public.profiles.locale is
  'Language of the app for this user, as a BCP 47 tag such as de or pt-BR.';
comment on column public.profiles.time_zone is
  'Where the user lives, as a name of the IANA database such as Europe/Vienna: the day of what is dated for them is the day there.';

create policy "users can change their own profile" on public.profiles for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can make their own profile" on public.profiles for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can read their own profile" on public.profiles for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can remove their own profile" on public.profiles for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER profiles_record_photo AFTER DELETE OR UPDATE OF photo_path ON public.profiles FOR EACH ROW EXECUTE FUNCTION private.record_storage_removal('photo_path');
CREATE TRIGGER profiles_touch_updated_at BEFORE UPDATE ON public.profiles FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.profiles to authenticated;
grant delete, insert, select, update on public.profiles to service_role;
grant insert (user_id, display_name, photo_path, locale, time_zone) on public.profiles to authenticated;
grant update (display_name, photo_path, locale, time_zone) on public.profiles to authenticated;

create table public.slideshow_items (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  slideshow_id uuid not null,
  media_id uuid not null,
  "position" integer not null,
  caption text,
  is_full_page boolean not null default false,
  public_path text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint slideshow_items_pkey PRIMARY KEY (id),
  constraint slideshow_items_position_key UNIQUE (slideshow_id, "position") DEFERRABLE INITIALLY DEFERRED,
  constraint slideshow_items_media_fkey FOREIGN KEY (media_id, user_id) REFERENCES public.media(id, user_id) ON DELETE CASCADE,
  constraint slideshow_items_slideshow_fkey FOREIGN KEY (slideshow_id, user_id) REFERENCES public.slideshows(id, user_id) ON DELETE CASCADE,
  constraint slideshow_items_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint slideshow_items_caption_length CHECK (length(caption) >= 1 AND length(caption) <= 500),
  constraint slideshow_items_position_in_range CHECK ("position" >= 0 AND "position" <= 999),
  constraint slideshow_items_public_path_is_owners CHECK (public_path ~ '^published-media/[^/]+/.*[^/]$'::text AND public_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'::text AND split_part(public_path, '/'::text, 2) = user_id::text)
);
alter table public.slideshow_items enable row level security;

comment on table public.slideshow_items is
  'The photos of a slideshow in their order. Slideshow and photo belong to the same owner, by foreign key.';
comment on column public.slideshow_items."position" is
  'From 0. Unique in the slideshow at commit, so that two can be swapped in one transaction.';
comment on column public.slideshow_items.is_full_page is
  'In print the photo has a page to itself, up to the edges.';
comment on column public.slideshow_items.public_path is
  'Copy of the photo in the public bucket published-media, made by the owner to be seen by others; forgotten when the slideshow is withdrawn.';

CREATE INDEX slideshow_items_media_id_idx ON public.slideshow_items USING btree (media_id, user_id);
CREATE INDEX slideshow_items_slideshow_id_idx ON public.slideshow_items USING btree (slideshow_id, user_id);
CREATE INDEX slideshow_items_user_id_idx ON public.slideshow_items USING btree (user_id);

create policy "anybody can read the slides of a shared slideshow by link" on public.slideshow_items for select to anon
  using ((slideshow_id = ANY (ARRAY( SELECT s.id
   FROM public.slideshows s
  WHERE (s.is_published AND (s.share_token = ( SELECT current_setting('app.share_token'::text, true) AS current_setting)))))));
create policy "users can add slides to their own slideshows" on public.slideshow_items for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can change their own slides" on public.slideshow_items for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can read their own slides and shared ones by link" on public.slideshow_items for select to authenticated
  using (((user_id = ( SELECT auth.uid() AS uid)) OR (slideshow_id = ANY (ARRAY( SELECT s.id
   FROM public.slideshows s
  WHERE (s.is_published AND (s.share_token = ( SELECT current_setting('app.share_token'::text, true) AS current_setting))))))));
create policy "users can remove their own slides" on public.slideshow_items for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER slideshow_items_record_copy AFTER DELETE OR UPDATE OF public_path ON public.slideshow_items FOR EACH ROW EXECUTE FUNCTION private.record_storage_removal('public_path');
CREATE TRIGGER slideshow_items_touch_updated_at BEFORE UPDATE ON public.slideshow_items FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.slideshow_items to authenticated;
grant delete, insert, select, update on public.slideshow_items to service_role;
grant select (slideshow_id, "position", caption, public_path) on public.slideshow_items to anon;
grant insert (user_id, slideshow_id, media_id, "position", caption, is_full_page, public_path) on public.slideshow_items to authenticated;
grant update (media_id, "position", caption, is_full_page, public_path) on public.slideshow_items to authenticated;

create table public.slideshows (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  title text not null,
  description text,
  is_published boolean not null default false,
  share_token text not null default replace(((gen_random_uuid())::text || (gen_random_uuid())::text), '-'::text, ''::text),
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint slideshows_pkey PRIMARY KEY (id),
  constraint slideshows_id_user_id_key UNIQUE (id, user_id),
  constraint slideshows_share_token_key UNIQUE (share_token),
  constraint slideshows_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint slideshows_description_length CHECK (length(description) <= 2000),
  constraint slideshows_share_token_is_unguessable CHECK (share_token ~ '^[0-9a-f]{64}$'::text),
  constraint slideshows_title_length CHECK (length(title) >= 1 AND length(title) <= 200)
);
alter table public.slideshows enable row level security;

comment on table public.slideshows is
  'Photos in an order, with captions. Private, or readable by whoever has the link.';
comment on column public.slideshows.is_published is
  'True lets whoever has the link read it. Switching it off makes the link void for good and lets go of the public copies.';
comment on column public.slideshows.share_token is
  'The secret of the link, drawn by the database: 244 random bits. Who has it can read the slideshow while it is published.';

CREATE INDEX slideshows_user_id_created_at_idx ON public.slideshows USING btree (user_id, created_at DESC, id DESC);

create policy "anybody can read a shared slideshow by link" on public.slideshows for select to anon
  using ((is_published AND (share_token = ( SELECT current_setting('app.share_token'::text, true) AS current_setting))));
create policy "users can change their own slideshows" on public.slideshows for update to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)))
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can make slideshows of their own" on public.slideshows for insert to authenticated
  with check ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can read their own slideshows and shared ones by link" on public.slideshows for select to authenticated
  using (((user_id = ( SELECT auth.uid() AS uid)) OR (is_published AND (share_token = ( SELECT current_setting('app.share_token'::text, true) AS current_setting)))));
create policy "users can remove their own slideshows" on public.slideshows for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER slideshows_touch_updated_at BEFORE UPDATE ON public.slideshows FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();
CREATE TRIGGER slideshows_withdraw BEFORE UPDATE OF is_published ON public.slideshows FOR EACH ROW WHEN ((old.is_published AND (NOT new.is_published))) EXECUTE FUNCTION private.withdraw_slideshow();

grant delete, select on public.slideshows to authenticated;
grant delete, insert, select, update on public.slideshows to service_role;
grant select (id, title, description, is_published, share_token) on public.slideshows to anon;
grant insert (user_id, title, description, is_published) on public.slideshows to authenticated;
grant update (title, description, is_published) on public.slideshows to authenticated;

create table public.vendor_members (
  vendor_id uuid not null,
  user_id uuid not null,
  created_at timestamp with time zone not null default now(),
  constraint vendor_members_pkey PRIMARY KEY (vendor_id, user_id),
  constraint vendor_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint vendor_members_vendor_id_fkey FOREIGN KEY (vendor_id) REFERENCES public.vendors(id) ON DELETE CASCADE
);
alter table public.vendor_members enable row level security;

comment on table public.vendor_members is
  'Which users act for a vendor and so see the orders that are its to fulfil. Kept by the service.';

CREATE INDEX vendor_members_user_id_idx ON public.vendor_members USING btree (user_id);

create policy "users can read their own vendor memberships" on public.vendor_members for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

grant select on public.vendor_members to authenticated;
grant delete, insert, select, update on public.vendor_members to service_role;

create table public.vendor_products (
  id uuid not null default gen_random_uuid(),
  vendor_id uuid not null,
  sku text not null,
  name text not null,
  unit_price_minor bigint not null,
  currency text not null,
  is_active boolean not null default true,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint vendor_products_pkey PRIMARY KEY (id),
  constraint vendor_products_id_vendor_id_currency_key UNIQUE (id, vendor_id, currency),
  constraint vendor_products_sku_key UNIQUE (vendor_id, sku),
  constraint vendor_products_vendor_id_fkey FOREIGN KEY (vendor_id) REFERENCES public.vendors(id) ON DELETE RESTRICT,
  constraint vendor_products_currency_is_iso CHECK (currency ~ '^[A-Z]{3}$'::text),
  constraint vendor_products_name_length CHECK (length(name) >= 1 AND length(name) <= 200),
  constraint vendor_products_price_in_range CHECK (unit_price_minor >= 1 AND unit_price_minor <= 10000000),
  constraint vendor_products_sku_is_code CHECK (sku ~ '^[A-Z0-9][A-Z0-9-]{1,39}$'::text)
);
alter table public.vendor_products enable row level security;

comment on table public.vendor_products is
  'The price list, kept by the service. An order item copies name and price from here while its order is a draft.';
comment on column public.vendor_products.sku is
  'The vendor''s own code for it, unique in its list.';
comment on column public.vendor_products.unit_price_minor is
  'In the smallest unit of the currency: cents for EUR, whole yen for JPY.';
comment on column public.vendor_products.is_active is
  'False takes it off the list; items of placed orders keep it.';

create policy "signed-in users can read what vendors sell" on public.vendor_products for select to authenticated
  using (((is_active AND (vendor_id = ANY (ARRAY( SELECT v.id
   FROM public.vendors v
  WHERE v.is_active)))) OR (vendor_id = ANY (ARRAY( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid)))))));

CREATE TRIGGER vendor_products_touch_updated_at BEFORE UPDATE ON public.vendor_products FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant select on public.vendor_products to authenticated;
grant delete, insert, select, update on public.vendor_products to service_role;

create table public.vendors (
  id uuid not null default gen_random_uuid(),
  name text not null,
  country text not null,
  is_active boolean not null default true,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint vendors_pkey PRIMARY KEY (id),
  constraint vendors_name_key UNIQUE (name),
  constraint vendors_country_is_iso CHECK (country ~ '^[A-Z]{2}$'::text),
  constraint vendors_name_length CHECK (length(name) >= 1 AND length(name) <= 100)
);
alter table public.vendors enable row level security;

comment on table public.vendors is
  'Who prints and ships. Kept by the service; a vendor with orders cannot be deleted, only made inactive.';
comment on column public.vendors.country is
  'Where they ship from, as ISO 3166-1 alpha-2.';
comment on column public.vendors.is_active is
  'False takes no new orders; those under way go on.';

create policy "signed-in users can read active vendors and their own" on public.vendors for select to authenticated
  using ((is_active OR (id = ANY (ARRAY( SELECT m.vendor_id
   FROM public.vendor_members m
  WHERE (m.user_id = ( SELECT auth.uid() AS uid)))))));

CREATE TRIGGER vendors_touch_updated_at BEFORE UPDATE ON public.vendors FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant select on public.vendors to authenticated;
grant delete, insert, select, update on public.vendors to service_role;

create table public.voices (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  job_id uuid,
  provider text not null,
  provider_voice_id text not null,
  name text not null,
  description text,
  labels jsonb not null default '{}'::jsonb,
  stability numeric(4,3) not null,
  similarity_boost numeric(4,3) not null,
  sample_url text,
  provider_missing_since timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint voices_pkey PRIMARY KEY (id),
  constraint voices_id_user_id_key UNIQUE (id, user_id),
  constraint voices_job_key UNIQUE (job_id, user_id),
  constraint voices_provider_voice_id_key UNIQUE (provider, provider_voice_id),
  constraint voices_job_fkey FOREIGN KEY (job_id, user_id) REFERENCES public.ai_jobs(id, user_id) ON DELETE SET NULL (job_id),
  constraint voices_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint voices_labels_is_object CHECK (jsonb_typeof(labels) = 'object'::text),
  constraint voices_name_length CHECK (length(name) >= 1 AND length(name) <= 100),
  constraint voices_similarity_boost_in_range CHECK (similarity_boost >= 0::numeric AND similarity_boost <= 1::numeric),
  constraint voices_stability_in_range CHECK (stability >= 0::numeric AND stability <= 1::numeric)
);
alter table public.voices enable row level security;

comment on table public.voices is
  'A cloned voice: written by the transaction that completes its job, never by users. Points back to that job.';
comment on column public.voices.job_id is
  'The job that made it, of the same owner; at most one voice each. Null once that job is deleted.';
comment on column public.voices.provider_voice_id is
  'The provider''s id of the voice, for speech in it.';
comment on column public.voices.stability is
  'Setting for speech in this voice, 0 to 1: low is expressive, high is even.';
comment on column public.voices.similarity_boost is
  'Setting for speech in this voice, 0 to 1: how closely to keep to the sample.';
comment on column public.voices.sample_url is
  'The recording it was cloned from, as <bucket>/<path>.';
comment on column public.voices.provider_missing_since is
  'Since when the provider does not have the voice any more; nothing can be spoken in it. Null: it was there when looked at last.';

CREATE INDEX voices_provider_idx ON public.voices USING btree (provider) WHERE (provider_missing_since IS NULL);
CREATE INDEX voices_user_id_created_at_idx ON public.voices USING btree (user_id, created_at DESC, id DESC);

create policy "users can read their own voices" on public.voices for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));
create policy "users can remove their own voices" on public.voices for delete to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)));

CREATE TRIGGER voices_record_sample AFTER DELETE ON public.voices FOR EACH ROW EXECUTE FUNCTION private.record_storage_removal('sample_url');
CREATE TRIGGER voices_record_voice AFTER DELETE ON public.voices FOR EACH ROW EXECUTE FUNCTION private.record_provider_removal('voice', 'provider_voice_id');
CREATE TRIGGER voices_touch_updated_at BEFORE UPDATE ON public.voices FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();

grant delete, select on public.voices to authenticated;
grant delete, insert, select, update on public.voices to service_role;

-- Views

create view private.ai_job_costs with (security_invoker=true) as
 SELECT j.id AS job_id,
    j.user_id,
    j.job_type,
    j.provider,
    j.status,
    j.created_at,
    count(k.id) FILTER (WHERE k.outcome <> ALL (ARRAY['rejected'::text, 'absent'::text])) AS paid_calls,
    COALESCE(sum(k.cost_micros), 0::numeric)::bigint AS cost_micros,
    COALESCE(sum(k.estimated_cost_micros) FILTER (WHERE k.outcome = ANY (ARRAY['sent'::text, 'unknown'::text])), 0::numeric)::bigint AS reserved_micros
   FROM public.ai_jobs j
     LEFT JOIN public.ai_provider_calls k ON k.job_id = j.id
  GROUP BY j.id;
comment on view private.ai_job_costs is
  'What each job has cost and may still cost, in millionths of a US dollar. For the operator.';

create view private.ai_job_dead_letters with (security_invoker=true) as
 SELECT id,
    user_id,
    job_type,
    provider,
    error_code,
    error_message,
    attempt,
    spend,
    billable_calls,
    provider_job_id,
    created_at,
    completed_at AS failed_at,
    ( SELECT jsonb_agg(jsonb_build_object('operation', c.operation, 'attempt', c.attempt, 'outcome', c.outcome, 'error_code', c.error_code, 'http_status', c.http_status, 'provider_object_id', c.provider_object_id, 'sent_at', c.sent_at) ORDER BY c.sent_at) AS jsonb_agg
           FROM public.ai_provider_calls c
          WHERE c.job_id = j.id) AS provider_calls
   FROM public.ai_jobs j
  WHERE status = 'failed'::text OR status = 'cancelled'::text AND spend = 'unknown'::text;
comment on view private.ai_job_dead_letters is
  'Jobs that failed for good, and cancelled ones of which it is unknown whether they were paid for, with their last cause and what was asked of the provider. For the operator.';

create view private.ai_provider_budgets with (security_invoker=true) as
 SELECT p.provider,
    m.month,
    p.budget_micros,
    c.spent_micros,
    c.reserved_micros,
        CASE
            WHEN p.budget_micros IS NOT NULL THEN GREATEST(p.budget_micros - c.spent_micros - c.reserved_micros, 0::bigint)
            ELSE NULL::bigint
        END AS remaining_micros
   FROM public.ai_providers p
     CROSS JOIN ( SELECT date_trunc('month'::text, (now() AT TIME ZONE 'UTC'::text))::date AS month) m
     CROSS JOIN LATERAL ( SELECT ( SELECT COALESCE(sum(s.spent_micros), 0::numeric)::bigint AS "coalesce"
                   FROM public.ai_provider_spend s
                  WHERE s.provider = p.provider AND s.month = m.month) AS spent_micros,
            ( SELECT COALESCE(sum(k.estimated_cost_micros), 0::numeric)::bigint AS "coalesce"
                   FROM public.ai_provider_calls k
                  WHERE k.provider = p.provider AND (k.outcome = ANY (ARRAY['sent'::text, 'unknown'::text]))) AS reserved_micros) c;
comment on view private.ai_provider_budgets is
  'Each provider''s budget of this month over all users (null: no limit), what of it is spent, reserved and left, in millionths of a US dollar. For the operator.';

create view private.ai_provider_costs with (security_invoker=true) as
 SELECT provider,
    operation,
    date_trunc('month'::text, (COALESCE(settled_at, now()) AT TIME ZONE 'UTC'::text))::date AS month,
    count(*) FILTER (WHERE outcome = ANY (ARRAY['succeeded'::text, 'adopted'::text])) AS made,
    count(*) FILTER (WHERE outcome = ANY (ARRAY['sent'::text, 'unknown'::text])) AS open,
    count(*) FILTER (WHERE outcome = ANY (ARRAY['rejected'::text, 'absent'::text])) AS free,
    COALESCE(sum(estimated_cost_micros) FILTER (WHERE outcome = ANY (ARRAY['succeeded'::text, 'adopted'::text])), 0::numeric)::bigint AS estimated_micros,
    COALESCE(sum(cost_micros), 0::numeric)::bigint AS cost_micros,
    COALESCE(sum(estimated_cost_micros) FILTER (WHERE outcome = ANY (ARRAY['sent'::text, 'unknown'::text])), 0::numeric)::bigint AS reserved_micros
   FROM public.ai_provider_calls k
  GROUP BY provider, operation, (date_trunc('month'::text, (COALESCE(settled_at, now()) AT TIME ZONE 'UTC'::text))::date);
comment on view private.ai_provider_costs is
  'What each provider has cost by operation and month (UTC), beside what was estimated, in millionths of a US dollar. For the operator.';

create view private.ai_provider_states with (security_invoker=true) as
 SELECT provider,
        CASE
            WHEN paused_at IS NOT NULL THEN 'paused'::text
            WHEN breaker_opened_at IS NULL THEN 'working'::text
            WHEN breaker_probe_at <= clock_timestamp() THEN 'probing'::text
            ELSE 'open'::text
        END AS state,
    breaker_failures AS failures_in_a_row,
    breaker_opened_at AS open_since,
    breaker_probe_at AS next_probe_at,
    breaker_probes AS failed_probes,
    ( SELECT count(*) AS count
           FROM public.ai_jobs j
          WHERE j.provider = p.provider AND j.status = 'processing'::text) AS running,
    ( SELECT count(*) AS count
           FROM public.ai_jobs j
          WHERE j.provider = p.provider AND j.status = 'pending'::text) AS waiting
   FROM public.ai_providers p;
comment on view private.ai_provider_states is
  'Each provider: working, paused, open (its jobs wait) or probing (one job at a time tries it). For the operator.';

create view private.ai_user_costs with (security_invoker=true) as
 SELECT user_id,
    date_trunc('month'::text, (COALESCE(settled_at, now()) AT TIME ZONE 'UTC'::text))::date AS month,
    provider,
    count(*) FILTER (WHERE outcome <> ALL (ARRAY['rejected'::text, 'absent'::text])) AS paid_calls,
    COALESCE(sum(cost_micros), 0::numeric)::bigint AS cost_micros,
    COALESCE(sum(estimated_cost_micros) FILTER (WHERE outcome = ANY (ARRAY['sent'::text, 'unknown'::text])), 0::numeric)::bigint AS reserved_micros
   FROM public.ai_provider_calls k
  GROUP BY user_id, (date_trunc('month'::text, (COALESCE(settled_at, now()) AT TIME ZONE 'UTC'::text))::date), provider;
comment on view private.ai_user_costs is
  'What each user''s paid calls have cost and may still cost, by provider and the month (UTC) of the budget that they count in: that in which they were settled, this one while they are open. In millionths of a US dollar. For the operator.';

-- Functions

create function private.abandon_upload()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.abandon_upload() is
  'Row trigger: writes down an upload that its job will not finish, because the job has ended without a result, is deleted, or has begun another. Security definer because nobody is granted anything in schema private.';

create function private.admit_ai_job()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.admit_ai_job() is
  'Row trigger before insert: checks type, parameters and input object, fills in the policy of the type, and completes the job at once when it names an earlier equal job. Security definer because an owner may neither read the policy columns nor set what is set here; the owner of the input is therefore checked explicitly.';

create function private.ai_job_backoff(p_job_type text, p_attempt integer)
  returns interval language sql volatile security invoker set search_path="";
comment on function private.ai_job_backoff(text,integer) is
  'Wait after a failed attempt: base × 2^(attempt-1) seconds of the job type, capped, ±20 % so that jobs that failed together do not return together.';

create function private.apply_owner_request()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.apply_owner_request() is
  'Row trigger: turns an owner''s cancel_requested_at and retry_requested_at, the only columns they may change, into what they mean. A waiting job is cancelled at once; a running one when its runner''s heartbeat learns of it; a failed one may be retried unless it is unknown whether it was paid for (AJ072). Security definer because an owner may not read the policy of a type that is switched off.';

create function private.broadcast_ai_job_events()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.broadcast_ai_job_events() is
  'Statement trigger: one private broadcast ai_job_events for each owner, on the topic ai_jobs:<user id>, with {events: [...]} of at most 100 events, else {more: true}. Does nothing while no client is connected to Realtime, and never fails the statement. Security definer because the roles that change jobs may not write for other people''s topics.';

create function private.cancellation_message(p_spend text)
  returns text language sql immutable security invoker set search_path="";
comment on function private.cancellation_message(text) is
  'What the owner of a cancelled job is told about the money.';

create function private.canonical_mime_type(p_content_type text)
  returns text language sql immutable security invoker set search_path="";
comment on function private.canonical_mime_type(text) is
  'The canonical name of a content type: lower case, without parameters, synonyms replaced. A type that is not known keeps its own name; null for null or an empty text. The same as canonicalMimeType in _shared/contracts/mime-type.ts.';

create function private.canonical_voice_clone(p_metadata jsonb)
  returns jsonb language plpgsql immutable security invoker set search_path="";
comment on function private.canonical_voice_clone(jsonb) is
  'The parameters of a voice clone with voice_name in the place of name, its name before 1.0, and with the default where there is neither. Raises AJ020 when both are there and differ.';

create function private.captured_for_order(p_order_id uuid)
  returns bigint language sql stable security invoker set search_path="";
comment on function private.captured_for_order(uuid) is
  'Money of the customer that we hold for an order: captured and not given back. Minor units.';

create function private.charge_ai_job_quota(p_user_id uuid, p_active integer, p_created integer)
  returns void language plpgsql volatile security definer set search_path="";
comment on function private.charge_ai_job_quota(uuid,integer,integer) is
  'Charges a user for that many jobs that wait or run from now on, and that many new ones. It raises AJ034 or AJ035 when a quota would be exceeded, which undoes the whole statement. Security definer because owners may not write their own counts.';

create function private.charge_inserted_ai_jobs()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.charge_inserted_ai_jobs() is
  'Statement trigger: charges the owners of new jobs, and lets at most 500 of each wait for other jobs. Security definer because it calls a function that is.';

create function private.charge_reopened_ai_job()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.charge_reopened_ai_job() is
  'Row trigger: a failed job that is tried again waits and runs like a new one, but was created before. Security definer because it calls a function that is.';

create function private.check_account_standing(p_user_id uuid)
  returns void language plpgsql stable security invoker set search_path="";
comment on function private.check_account_standing(uuid) is
  'Raises AJ038 when the limits require an established account, and this one is neither confirmed nor an hour old. An account that is gone is left to the foreign key. Called by the intake trigger, which runs as its owner.';

create function private.check_ai_job_input(p_user_id uuid, p_type public.ai_job_types, p_input_url text)
  returns void language plpgsql stable security invoker set search_path="";
comment on function private.check_ai_job_input(uuid,public.ai_job_types,text) is
  'Raises AJ010 to AJ015 unless the job has the input that its type takes. Called by the intake trigger, which runs as its owner.';

create function private.check_ai_job_object(p_user_id uuid, p_url text, p_name text, p_field text, p_taker text, p_buckets text[], p_mime_types text[], p_max_bytes bigint)
  returns void language plpgsql stable security invoker set search_path="";
comment on function private.check_ai_job_object(uuid,text,text,text,text,text[],text[],bigint) is
  'Raises AJ011 to AJ015 unless p_url names an existing object in the owner''s folder of an allowed bucket, type and size. Messages call the object p_name and say what p_taker takes; p_field is the wrong field. The caller runs as its owner, so that the folder is checked here.';

create function private.check_ai_job_references(p_user_id uuid, p_type public.ai_job_types, p_metadata jsonb, p_depends_on_job_id uuid)
  returns void language plpgsql stable security invoker set search_path="";
comment on function private.check_ai_job_references(uuid,public.ai_job_types,jsonb,uuid) is
  'Raises AJ018 or AJ019 unless the voice or call that the parameters name is the owner''s (or a stock voice); the answer for another''s is the one for none. Speech that depends on a voice clone may leave the voice out: it is the one that is made. Called by the intake trigger, which runs as its owner, so that the owner is checked here.';

create function private.check_ai_job_texts(p_metadata jsonb)
  returns void language plpgsql immutable security invoker set search_path="";
comment on function private.check_ai_job_texts(jsonb) is
  'Raises AJ020 when a text among the parameters is empty: has nothing but spaces and invisible characters. Whatever else a type wants of its parameters is checked where the job runs.';

create function private.check_avatar_recording()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.check_avatar_recording() is
  'Row trigger: the recording that an avatar video shall speak lies in the owner''s folder (AJ015) of a bucket for it (AJ011), exists (AJ012), and has a type (AJ013) and size (AJ014) that the job''s provider takes; so does the speech that the job depends on, or will, as far as its text tells. After ai_jobs_admit, which has made sure of the owner and chosen the provider. Security definer because it is asked for jobs that the service inserts as well.';

create function private.check_expected_speech(p_speech public.ai_jobs, p_limits private.ai_recording_limits)
  returns void language plpgsql stable security invoker set search_path="";
comment on function private.check_expected_speech(public.ai_jobs,private.ai_recording_limits) is
  'Raises AJ014 when a speech that is not made yet is likely to be longer or larger than the provider of the video takes, and says which output_format would fit.';

create function private.check_object_owner()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.check_object_owner() is
  'Row trigger on storage.objects: refuses an object of our buckets whose first folder is the id of no account (42501), whoever writes it; folders that are no id are left alone. Security definer because the roles of Storage may not read accounts.';

create function private.check_pdf_render()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.check_pdf_render() is
  'Row trigger before insert: raises AJ090 unless the parameters name a slideshow of the job''s owner, the same for another''s as for none; AJ091 and AJ092 when it is empty or too large. Security invoker: an owner sees all that is asked for here, and the owner is asked for besides.';

create function private.check_voice_room(p_user_id uuid, p_provider text)
  returns void language plpgsql volatile security definer set search_path="";
comment on function private.check_voice_room(uuid,text) is
  'Raises AJ036 when the user, and AJ037 when all users together, have more voices than they may. Security definer because owners may not read what others have.';

create function private.count_provider_voices(p_provider text)
  returns bigint language sql stable security invoker set search_path="";
comment on function private.count_provider_voices(text) is
  'Places for voices that are taken at a provider: voices, jobs that are still to make one, what ended jobs have made without a row, and what the janitor has yet to remove.';

create function private.count_stored_upload()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.count_stored_upload() is
  'Row trigger on storage.objects: counts what a user stores in our buckets, and refuses it where there is no room (42501), whichever way it comes; what is removed counts no more. Storage also runs it to ask for permission, and undoes that. Security definer because the roles of Storage may write nothing here.';

create function private.count_user_voices(p_user_id uuid)
  returns bigint language sql stable security invoker set search_path="";
comment on function private.count_user_voices(uuid) is
  'A user''s voices: those that live at a provider, the jobs that are still to make one, and what ended jobs have made, or may have made, without a row. A voice that was deleted counts no more.';

create function private.date_unknown_outcome()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.date_unknown_outcome() is
  'Row trigger: keeps the cost, whoever writes the outcome or the units, and unknown_since.';

create function private.dispatch_ai_jobs(p_job_ids uuid[])
  returns bigint language plpgsql volatile security definer set search_path="";
comment on function private.dispatch_ai_jobs(uuid[]) is
  'Asks the worker of these jobs, or each of their workers, by pg_net and signed with the Vault''s dispatch_secret, to work on them. Returns a pg_net request id, or null when nothing could be sent. Never raises. Security definer because the inserting role may not call private.post_signed.';

create function private.dispatch_inserted_ai_jobs()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.dispatch_inserted_ai_jobs() is
  'Statement trigger: one signed call per insert and worker, whatever the number of rows, for what is due of them and of the jobs that they wait for. Security definer because the inserting role may not call private.dispatch_ai_jobs.';

create function private.doubt_unfinished_call()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.doubt_unfinished_call() is
  'Row trigger: when a job leaves processing, however it does, nobody waits for its call any more. A call is sent only while its job is processing; without this one whose answer was lost could be neither asked about nor resolved.';

create function private.due_storage_removals(p_limit integer, p_after_id bigint DEFAULT 0)
  returns SETOF private.storage_removals language sql stable security invoker set search_path="";
comment on function private.due_storage_removals(integer,bigint) is
  'Open removals, oldest first and after the given id, whose object no row needs any more; the rest waits. To be asked anew right before an object is deleted.';

create function private.end_instead_of_waiting()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.end_instead_of_waiting() is
  'Row trigger: a running job that is handed back, snoozed, retried or rescued ends instead of waiting when its owner has cancelled it, or when it is older than its type allows: no job goes round for ever. Security definer because it reads the policy of the type for whoever hands back.';

create function private.ending_message(p_job_id uuid, p_error_code text, p_last_cause text)
  returns text language sql stable security invoker set search_path="";
comment on function private.ending_message(uuid,text,text) is
  'The words of outcome_unknown, with how the calls in question ended, or of job_expired; then what was known last. All of it is safe to show.';

create function private.fill_order_item()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.fill_order_item() is
  'Row trigger: items change only while their order is a draft, keep their order and product, name a keepsake of the customer''s own, and take name and price from the price list. Security definer because customers may write neither; whose order it is, is therefore checked explicitly.';

create function private.find_upload_room(p_user_id uuid, p_object_path text, p_size_bytes bigint, OUT code text, OUT message text)
  returns record language plpgsql volatile security invoker set search_path="";
comment on function private.find_upload_room(uuid,text,bigint) is
  'Whether the user has room for a file of that size there: nulls, or which limit would be exceeded and words for it. Until the transaction ends no other of the user gets an answer. What is named by a row, or gone, is forgotten before it says no.';

create function private.follow_ai_job_dependency()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.follow_ai_job_dependency() is
  'Row trigger: what the end of a job means for those that wait for it. Completed: they may run, and one call asks for a worker. Failed or cancelled: they fail (dependency_failed), and those that wait for them, at every depth. Tried again: those that failed because of it wait again. Security definer because it changes jobs that the statement may not, and dispatches.';

create function private.forget_checkpoint()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.forget_checkpoint() is
  'Row trigger: a job that has ended goes on with nothing; tried again it begins anew. Security definer because an owner who cancels may not touch checkpoints.';

create function private.forget_user()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.forget_user() is
  'Row trigger before the delete of an account: writes down every object in its folders of our buckets. What else is theirs goes, or is made anonymous, by foreign keys and their triggers. Security definer because the Auth service deletes users and may touch none of this.';

create function private.forget_user_drafts()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.forget_user_drafts() is
  'Row trigger before the delete of an account: removes its draft orders. Placed ones stay, without the account. Security definer because the Auth service deletes users and may touch none of this.';

create function private.give_up_provider_object(p_provider text, p_object_type text, p_object_id text, p_job_id uuid)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function private.give_up_provider_object(text,text,text,uuid) is
  'Whether the object may be removed at its provider. If so, no job goes on with it from now on: the calls that made it are discarded in the same transaction, and the lost call of a cancelled job is settled by it.';

create function private.guard_ai_job_transition()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.guard_ai_job_transition() is
  'Row trigger: refuses a change of status that is not a transition of docs/job-lifecycle.md (AJ050). A completed or cancelled job never changes again; a failed one only goes back to pending.';

create function private.guard_delivery()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.guard_delivery() is
  'Row trigger: a delivery is for a paid order, keeps it, and changes along its transitions. A deleted account leaves no tracking number.';

create function private.guard_order()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.guard_order() is
  'Row trigger: an order begins as an empty draft with an active vendor, keeps customer, vendor and currency, changes along its transitions, and is only ever deleted as a draft. Placed needs items at today''s prices and an address, paid needs captured payments that cover the total, cancelled and refunded need all money given back, shipped and delivered need deliveries. A customer may place and cancel. A deleted account leaves neither name nor address. Security definer because it reads payments, deliveries and items whatever the caller may see.';

create function private.guard_payment()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.guard_payment() is
  'Row trigger: a payment is for a placed order and of its customer, keeps its amount, and changes along its transitions. What was captured cannot be un-captured, only refunded, and a refund only grows.';

create function private.guard_pdf()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.guard_pdf() is
  'Row trigger: a keepsake that somebody has ordered and nobody has printed yet cannot be deleted, but goes with its owner''s account. Security definer because it asks whether the account still exists.';

create function private.has_visible_text(p_text text)
  returns boolean language sql immutable security invoker set search_path="";
comment on function private.has_visible_text(text) is
  'Whether a text has a character that is more than a space: not a control character, and not one that Unicode lets be ignored (Default_Ignorable_Code_Point), such as a joiner, a direction mark or a filler. VISIBLE in _shared/contracts/plain-text.ts is the same; a test compares them character by character.';

create function private.hold_voice_places()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.hold_voice_places() is
  'Row trigger: has the voice clones of a provider with a limit come one after the other. Before the rows of users are locked, so that none waits for another the other way round. Security definer because owners may not read the limits of providers.';

create function private.is_ai_job_result_reusable(p_source public.ai_jobs, p_user_id uuid, p_input_hash text)
  returns boolean language plpgsql stable security invoker set search_path="";
comment on function private.is_ai_job_result_reusable(public.ai_jobs,uuid,text) is
  'True if the source job is a completed one of this owner with this very input, not older than the type allows, and what it made still exists. This, not the cache, decides: a cache that lies can only cost time.';

create function private.is_dependency_unfinished(p_user_id uuid, p_job_id uuid)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function private.is_dependency_unfinished(uuid,uuid) is
  'Whether a job has to wait for that one of the same owner; false for null. Raises AJ016 when there is none, or it is somebody else''s, and AJ017 when it has failed or was cancelled. Holds a share lock on one that has not ended.';

create function private.is_object_named(p_removal private.storage_removals)
  returns boolean language sql stable security invoker set search_path="";
comment on function private.is_object_named(private.storage_removals) is
  'Whether a row still needs the object: a row of the library names it, a job may still read it, or, if a deleted or ended job asked for the removal, another job shares it as its output or the job itself goes on.';

create function private.is_provider_failure(p_error_code text)
  returns boolean language plpgsql immutable security invoker set search_path="";
comment on function private.is_provider_failure(text) is
  'Whether the code tells of a provider that is down or overloaded, and not of one request or of our own load.';

create function private.job_files(p_user_id uuid, p_job_id uuid)
  returns SETOF text language sql stable security invoker set search_path="";
comment on function private.job_files(uuid,uuid) is
  'What lies in the folder of a job, <user id>/<job id>/, in the buckets that jobs write to, as <bucket>/<path>.';

create function private.keep_ai_job_dependency()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.keep_ai_job_dependency() is
  'Row trigger: what a job depends on does not change (AJ051); only its deletion clears the reference, and fails a job that still waits for it.';

create function private.lease_storage_removal(p_removal private.storage_removals, p_lease_token uuid, p_lease_seconds integer)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function private.lease_storage_removal(private.storage_removals,uuid,integer) is
  'Leases a removal whose row the caller has locked; false when its object may not go now: what a row still needs waits a day, or until it is requested again; what is gone, or was replaced by its owner since, is done.';

create function private.leave_ai_job_queue()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.leave_ai_job_queue() is
  'Row trigger: a job that no longer waits, or is put off, or gets another priority, loses its turn; the next claim gives it a new one when it is due.';

create function private.name_input_mime_types()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.name_input_mime_types() is
  'Row trigger: writes the content types of a job type under their canonical names, each once, since that is what inputs are compared with. Security definer because the service may not use schema private.';

create function private.name_media_content_type()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.name_media_content_type() is
  'Row trigger: writes the content type under its canonical name, without parameters; AJ076 when it says nothing. Security definer because owners may not use schema private.';

create function private.next_queue_key(p_user_id uuid, p_job_type text, p_provider text, p_priority integer)
  returns bigint language plpgsql volatile security invoker set search_path="" set plan_cache_mode=force_generic_plan;
comment on function private.next_queue_key(uuid,text,text,integer) is
  'The turn of a job that becomes due. A user with nothing waiting joins the turn being served, whatever the backlog of others (start-time fair queueing); each further job of theirs is one turn later. Volatile, so that the rows of one statement see each other.';

create function private.note_failed_attempt(p_job public.ai_jobs, p_error_code text)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function private.note_failed_attempt(public.ai_jobs,text) is
  'Counts an attempt that ended with a failure of the provider; true while the breaker is open. Security definer because it calls a function that is.';

create function private.note_provider_answer(p_provider text, p_job_id uuid, p_is_failure boolean)
  returns void language plpgsql volatile security definer set search_path="";
comment on function private.note_provider_answer(text,uuid,boolean) is
  'Counts a failure of a provider, or its proper answer. Opens the breaker at the threshold; while it is open only the probe counts: its failure makes the pause longer, its answer closes the breaker. Security definer because it is called by triggers, whoever changes the job.';

create function private.note_provider_progress()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.note_provider_progress() is
  'Row trigger: a job that was completed, or put off because its provider is still at work, has had a proper answer. One that waits until a call can be looked for, or until trouble is over, has not. Security definer because it calls a function that is.';

create function private.note_settled_call()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.note_settled_call() is
  'Row trigger: what became of a paid call is counted for the provider''s breaker. Security definer because it calls a function that is.';

create function private.note_settled_doubt(p_job_id uuid, p_provider_object_id text)
  returns void language plpgsql volatile security invoker set search_path="";
comment on function private.note_settled_doubt(uuid,text) is
  'Writes onto an ended job what its journal says about the money, after a call of unknown outcome was settled, by an operator or the janitor, and what that call made, by the provider''s id, if anything.';

create function private.own_buckets()
  returns text[] language sql immutable security invoker set search_path="";
comment on function private.own_buckets() is
  'The buckets of these migrations. In any other, an app''s own, nothing is checked, counted or removed.';

create function private.part_inserted_ai_jobs()
  returns trigger language plpgsql volatile security definer set search_path="" set plan_cache_mode=force_generic_plan;
comment on function private.part_inserted_ai_jobs() is
  'Statement trigger, under the lock of the quota: inserts of one user that run side by side do not see each other''s jobs and draw the same turns (private.next_queue_key); the later one to get here moves its jobs behind the others. So each turn has one job of a user, however many inserts run at once. Security definer because owners may not change what waits.';

create function private.post_signed(p_function text, p_body jsonb)
  returns bigint language plpgsql volatile security definer set search_path="";
comment on function private.post_signed(text,jsonb) is
  'Calls one of our Edge Functions by pg_net, signed with the Vault''s dispatch_secret. Returns the pg_net request id, or null when it could not be sent. Never raises. Security definer because the causing role may read neither the Vault nor schema net.';

create function private.provider_object_standing(p_provider text, p_object_id text, p_job_id uuid)
  returns text language sql stable security invoker set search_path="";
comment on function private.provider_object_standing(text,text,uuid) is
  'Who has what a provider holds: named, live, orphan or foreign, as in private.provider_objects.';

create function private.prune_ai_job_leftovers()
  returns void language plpgsql volatile security invoker set search_path="";
comment on function private.prune_ai_job_leftovers() is
  'Hourly: removes cache entries that have ended, what is written down about files that were removed a month ago (their names are those of people who may have left), upload URLs that have ended, and pg_cron''s own history, which grows for ever otherwise.';

create function private.prune_provider_webhook_receipts()
  returns void language sql volatile security invoker set search_path="";
comment on function private.prune_provider_webhook_receipts() is
  'Hourly: forgets events of more than two days ago; a provider tries for one day at most.';

create function private.queue_job_leftovers(p_limit integer DEFAULT 500)
  returns integer language plpgsql volatile security invoker set search_path="";
comment on function private.queue_job_leftovers(integer) is
  'Writes down what jobs left that ended without a result, once their grace is over: the voice or video of a call, and the files in the job''s folder. Parked jobs keep all. Goes on where it was the last time; returns the number of jobs.';

create function private.ready_due_ai_jobs(p_limit integer)
  returns void language plpgsql volatile security invoker set search_path="";
comment on function private.ready_due_ai_jobs(integer) is
  'Gives jobs whose time has come their turn: delayed, retried, snoozed, released and rescued ones; p_limit at a time, those that have been due longest, or, when more are due, as many of each user. One call at a time; a second one does nothing.';

create function private.record_inserted_ai_jobs()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.record_inserted_ai_jobs() is
  'Statement trigger: writes the created event of each new job. Security definer because owners insert jobs but may not write events.';

create function private.record_provider_call_removal()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.record_provider_call_removal() is
  'Row trigger on the journal of paid calls: a job that is deleted between the call and its result leaves something at the provider that no other row names. Security definer because nobody is granted anything in schema private.';

create function private.record_provider_removal()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.record_provider_removal() is
  'Row trigger: writes down what a provider made for the deleted row; arguments: what it is, and the column with its id. Security definer because nobody is granted anything in schema private.';

create function private.record_storage_removal()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.record_storage_removal() is
  'Row trigger: writes down the object that the column (first argument) of a deleted or changed row named. Security definer because nobody is granted anything in schema private.';

create function private.record_updated_ai_jobs()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.record_updated_ai_jobs() is
  'Statement trigger: writes one event for each job whose event_seq the statement changed. Security definer because nobody is granted insert on ai_job_events.';

create function private.removal_pause(p_attempts integer)
  returns interval language sql volatile security invoker set search_path="";
comment on function private.removal_pause(integer) is
  'Wait after a removal that failed: 30 s, doubled with each, 6 hours at most, ±20 %.';

create function private.reserve_upload()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.reserve_upload() is
  'Row trigger: lets a user write down what they will upload as long as there is room (AJ039, AJ043). Security definer because it forgets rows, which users may not.';

create function private.run_janitor()
  returns bigint language sql volatile security invoker set search_path="";
comment on function private.run_janitor() is
  'Asks the Edge Function janitor for a run, signed. Returns the pg_net request id, or null when it could not be sent.';

create function private.settle_cancelled_call(p_job_id uuid, p_provider text, p_object_type text, p_object_id text)
  returns void language plpgsql volatile security invoker set search_path="";
comment on function private.settle_cancelled_call(uuid,text,text,text) is
  'The janitor knows what became of a cancelled job''s call that nobody waited for: what it made (by its id), which goes now, or null for nothing. Settles the call, so that what was reserved for it is spent or given back, and what the row says about the money.';

create function private.settle_reserved_cost()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.settle_reserved_cost() is
  'Row trigger: what was reserved for a paid call becomes spent, or is given back when nothing was made; a call that is deleted with its job gives back what was still open. Security definer because it writes the counts of the owner and of the provider, whoever settles.';

create function private.spoken_seconds(p_text text)
  returns numeric language sql immutable security invoker set search_path="";
comment on function private.spoken_seconds(text) is
  'How long a text lasts when it is spoken slowly: 12 characters a second, a Chinese, Japanese or Korean one counting for three. The same as spokenSeconds in _shared/media/spoken-seconds.ts.';

create function private.sweep_ai_jobs()
  returns jsonb language plpgsql volatile security invoker set search_path="";
comment on function private.sweep_ai_jobs() is
  'The delivery guarantee, run by pg_cron every few seconds: takes back expired leases, dispatches what is due (up to 200 jobs in calls of 20), forgets old receipts. Returns the counts.';

create function private.take_inserted_voice_places()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.take_inserted_voice_places() is
  'Statement trigger: refuses new voice clones for which there is no room. Security definer because it calls a function that is.';

create function private.take_reopened_voice_place()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.take_reopened_voice_place() is
  'Row trigger: a failed voice clone that is tried again needs room like a new one. Security definer because it calls a function that is.';

create function private.total_order_items()
  returns trigger language plpgsql volatile security definer set search_path="";
comment on function private.total_order_items() is
  'Row trigger: keeps orders.items_total_minor equal to the sum of the items. Security definer because nobody else may write that column.';

create function private.touch_updated_at()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.touch_updated_at() is
  'Row trigger: sets updated_at to the time of the write. Shared by every table that has the column.';

create function private.try_ai_job_again(p_job_id uuid)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function private.try_ai_job_again(uuid) is
  'Retries a failed job for the operator. False, and it stays failed, when its owner has as many waiting as they may, there is no room for another voice, it was tried too often, or what it depends on is gone: that is no reason to leave others undone.';

create function private.users_without_room()
  returns uuid[] language plpgsql stable security invoker set search_path="";
comment on function private.users_without_room() is
  'Users whose jobs may not start now: as many run as may, or they are paused.';

create function private.withdraw_slideshow()
  returns trigger language plpgsql volatile security invoker set search_path="";
comment on function private.withdraw_slideshow() is
  'Row trigger: a slideshow that is no longer published gets a new secret, so that links that were given away stay void when it is published again, and its slides let go of their public copies.';

create function public.ai_job_input_hash(p_user_id uuid, p_job_type text, p_input_url text, p_metadata jsonb)
  returns text language plpgsql stable security invoker set search_path="" set plan_cache_mode=force_generic_plan;
comment on function public.ai_job_input_hash(uuid,text,text,jsonb) is
  'SHA-256 (hex) over owner, job type, version of the input object and canonical parameters: the name under which a result is cached. An empty p_input_url is none. Only objects in the owner''s own folder have a version here: the intake trigger, which sees every object, stores the hash where its owner reads it. Security invoker: a caller who cannot see the object gets the hash of "no object".';
grant execute on function public.ai_job_input_hash(uuid,text,text,jsonb) to authenticated;
grant execute on function public.ai_job_input_hash(uuid,text,text,jsonb) to service_role;

create function public.begin_janitor_run(p_message_id text, p_sent_at_unix double precision)
  returns integer language plpgsql volatile security definer set search_path="";
comment on function public.begin_janitor_run(text,double precision) is
  'Takes in a call of the janitor whose signature the caller has verified: refuses one that is more than five minutes old or ahead (AJ040), and one delivered before (AJ041). Queues what ended jobs left and returns how many were looked at. service_role only; security definer because the lists lie in schema private.';
grant execute on function public.begin_janitor_run(text,double precision) to service_role;

create function public.begin_provider_call(p_job_id uuid, p_lease_token uuid, p_operation text, p_progress integer, p_stage text, p_units bigint DEFAULT 1, p_call_id uuid DEFAULT NULL::uuid)
  returns TABLE(call_id uuid, decision text, provider_object_id text, is_lookup_conclusive boolean) language plpgsql volatile security invoker set search_path="";
comment on function public.begin_provider_call(uuid,uuid,text,integer,text,bigint,uuid) is
  'Journals a paid call before it is sent, and says what to do: send; reconcile (an earlier call of this step has an unknown outcome: ask the provider first); done (it succeeded: use provider_object_id). is_lookup_conclusive: the outcome has been unknown for so long that an empty look-up means nothing was made; cancelled: the owner asked for that, send nothing; over_budget: the price of p_units (ai_prices; without a row it costs nothing), of at least one, and of no fewer than an earlier call of this step was taken to need or did, does not fit into what is left of the owner''s budget, send nothing; over_provider_budget: it does not fit into what all users together have left at the provider (ai_providers.budget_micros), send nothing. What is sent is reserved until it is settled. 0 rows: the lease is lost. p_call_id, drawn by the caller, makes it safe to ask again when the answer was lost: the same id gets send again. service_role only.';
grant execute on function public.begin_provider_call(uuid,uuid,text,integer,text,bigint,uuid) to service_role;

create function public.begin_provider_scan(p_provider text, p_lease_seconds integer DEFAULT 120)
  returns TABLE(lease_token uuid, page_cursor text, is_listed boolean) language plpgsql volatile security definer set search_path="";
comment on function public.begin_provider_scan(text,integer) is
  'Leases the reading of a provider''s list: a new one when the last is old enough, else one that broke off, from its next page on. 0 rows: nothing to do, or somebody is at it. service_role only; security definer because the scans lie in schema private.';
grant execute on function public.begin_provider_scan(text,integer) to service_role;

create function public.cancel_ai_job(p_job_id uuid, p_lease_token uuid)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.cancel_ai_job(uuid,uuid) is
  'Ends a claimed job whose owner asked for it to be cancelled; spend on the row says what it cost. False: the lease is lost or nobody asked; nothing changed. service_role only; security definer for the message in schema private.';
grant execute on function public.cancel_ai_job(uuid,uuid) to service_role;

create function public.claim_abandoned_uploads(p_limit integer, p_lease_seconds integer DEFAULT 120)
  returns TABLE(upload_id text, lease_token uuid) language sql volatile security definer set search_path="";
comment on function public.claim_abandoned_uploads(integer,integer) is
  'Leases up to p_limit uploads that are to be ended now. service_role only; security definer because the list lies in schema private.';
grant execute on function public.claim_abandoned_uploads(integer,integer) to service_role;

create function public.claim_ai_jobs(p_limit integer, p_job_ids uuid[] DEFAULT NULL::uuid[], p_worker text DEFAULT 'process-ai-job'::text)
  returns SETOF public.ai_jobs language plpgsql volatile security definer set search_path="" set lock_timeout=5s set plan_cache_mode=force_generic_plan;
comment on function public.claim_ai_jobs(integer,uuid[],text) is
  'Takes up to p_limit due jobs of the types of p_worker for the caller (of p_job_ids, if given): status processing, attempt + 1, a fresh lease token. Lower priority first, users in turns; one claim in eight begins with the job that waits longest. Never exceeds what a provider or a user may run at once, never gives a job to two callers, and lets one job at a time try a provider whose breaker is open. 0 rows: nothing may run. service_role only; security definer because it reads limits and calls functions of schema private.';
grant execute on function public.claim_ai_jobs(integer,uuid[],text) to service_role;

create function public.claim_dispatched_ai_jobs(p_message_id text, p_sent_at_unix double precision, p_limit integer, p_worker text DEFAULT 'process-ai-job'::text)
  returns SETOF public.ai_jobs language plpgsql volatile security definer set search_path="";
comment on function public.claim_dispatched_ai_jobs(text,double precision,integer,text) is
  'claim_ai_jobs for a dispatch whose signature the caller has verified: also refuses one that is more than five minutes old or ahead (AJ040) by this clock, not the worker''s, and one delivered before (AJ041). service_role only. Security definer because the receipts lie in schema private.';
grant execute on function public.claim_dispatched_ai_jobs(text,double precision,integer,text) to service_role;

create function public.claim_lost_job_files(p_user_id uuid, p_job_id uuid, p_lease_seconds integer DEFAULT 120)
  returns TABLE(id bigint, lease_token uuid, object_path text) language plpgsql volatile security definer set search_path="";
comment on function public.claim_lost_job_files(uuid,uuid,integer) is
  'For a worker whose lease is lost: when the job was deleted, with its account or alone, queues the files in its folder that no row names, and leases them to be deleted at once. 0 rows while the job exists: its files are another worker''s, or its owner''s. service_role only; security definer because the list lies in schema private.';
grant execute on function public.claim_lost_job_files(uuid,uuid,integer) to service_role;

create function public.claim_provider_removals(p_providers text[], p_limit integer, p_lease_seconds integer DEFAULT 120)
  returns TABLE(id bigint, lease_token uuid, provider text, object_type text, provider_object_id text, marker text, made_at timestamp with time zone, is_lookup_conclusive boolean) language plpgsql volatile security definer set search_path="";
comment on function public.claim_provider_removals(text[],integer,integer) is
  'Leases up to p_limit removals that are due at these providers, but for those that are paused or down, and that may go now. What a row names or a job may go on with waits an hour. is_lookup_conclusive: an empty look-up by marker means that nothing was made. service_role only; security definer because the list lies in schema private.';
grant execute on function public.claim_provider_removals(text[],integer,integer) to service_role;

create function public.claim_storage_removals(p_limit integer, p_lease_seconds integer DEFAULT 120)
  returns TABLE(id bigint, lease_token uuid, object_path text) language plpgsql volatile security definer set search_path="";
comment on function public.claim_storage_removals(integer,integer) is
  'Leases up to p_limit removals that are due and whose object may go now, to be deleted at once. service_role only; security definer because the list lies in schema private.';
grant execute on function public.claim_storage_removals(integer,integer) to service_role;

create function public.complete_ai_job(p_job_id uuid, p_lease_token uuid, p_result_data jsonb, p_output_url text DEFAULT NULL::text, p_product jsonb DEFAULT NULL::jsonb)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.complete_ai_job(uuid,uuid,jsonb,text,jsonb) is
  'Ends a claimed job as completed and writes the row that its result is, in one commit. False: the lease is lost and nothing changed. p_product, by its kind: voice (provider_voice_id, name, description, labels, stability, similarity_boost), avatar (provider_avatar_id, name, voice_id, duration_seconds), pdf (title, slideshow_id, page_count, size_bytes), transcript (call_id, transcript, transcript_data, duration_seconds); owner, job, provider and file come from the job. A product that cannot be written raises (AJ080, AJ081, or the constraint) and takes the completion back with it. service_role only; security definer because it holds the owner''s account, in schema auth, before the job.';
grant execute on function public.complete_ai_job(uuid,uuid,jsonb,text,jsonb) to service_role;

create function public.end_provider_scan(p_provider text, p_lease_token uuid, p_error_code text DEFAULT NULL::text)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.end_provider_scan(text,uuid,text) is
  'Ends a reading of a provider''s list: what it did not show is not kept in mind. With an error the list is read from its beginning the next time. False: the lease is lost; nothing changed. service_role only; security definer because the scans lie in schema private.';
grant execute on function public.end_provider_scan(text,uuid,text) to service_role;

create function public.fail_ai_job(p_job_id uuid, p_lease_token uuid, p_error_code text, p_error_message text, p_is_retryable boolean, p_retry_after_seconds double precision DEFAULT NULL::double precision)
  returns text language plpgsql volatile security definer set search_path="";
comment on function public.fail_ai_job(uuid,uuid,text,text,boolean,double precision) is
  'Ends an attempt: back to pending after backoff (at least p_retry_after_seconds, at most an hour of it) while attempts are left and the error is retryable, else failed; failed with a paid call of unknown outcome is outcome_unknown, and the message keeps the cause given here. A retryable failure of a provider whose breaker is open spends no attempt. Returns the new status, which is cancelled when the owner asked for that meanwhile; null when the lease is lost. service_role only; security definer for the backoff in private.';
grant execute on function public.fail_ai_job(uuid,uuid,text,text,boolean,double precision) to service_role;

create function public.get_ai_budget()
  returns TABLE(month date, budget_micros bigint, spent_micros bigint, reserved_micros bigint, remaining_micros bigint) language sql stable security invoker set search_path="";
comment on function public.get_ai_budget() is
  'The caller''s own budget of this month (UTC; null: no limit), what of it is spent, reserved for calls of which it is open what became of them, and left (null: no limit); in millionths of a US dollar. Security invoker: the caller reads their own limits and the default ones, and no others.';
grant execute on function public.get_ai_budget() to authenticated;

create function public.get_ai_costs(p_user_id uuid DEFAULT auth.uid())
  returns TABLE(month date, provider text, paid_calls bigint, cost_micros bigint, reserved_micros bigint) language sql stable security invoker set search_path="";
comment on function public.get_ai_costs(uuid) is
  'What a user''s paid calls have cost and may still cost (while it is unknown what became of them), by provider and the month (UTC) of the budget that they count in, in millionths of a US dollar. Security invoker: an owner gets their own, the service anybody''s.';
grant execute on function public.get_ai_costs(uuid) to authenticated;
grant execute on function public.get_ai_costs(uuid) to service_role;

create function public.get_ai_result_cache(p_cache_key text)
  returns jsonb language plpgsql stable security invoker set search_path="";
comment on function public.get_ai_result_cache(text) is
  'The value of an entry that has not ended, or null. Security invoker: an owner sees only entries of their own.';
grant execute on function public.get_ai_result_cache(text) to authenticated;
grant execute on function public.get_ai_result_cache(text) to service_role;

create function public.get_keepsake_contents(p_slideshow_id uuid, p_user_id uuid)
  returns jsonb language sql stable security invoker set search_path="";
comment on function public.get_keepsake_contents(uuid,uuid) is
  'All that a keepsake is made of, in one answer: the slideshow, its owner as they want to be called, and the slides in order, each with the object of its photo, the size of that (null: it is not in Storage) and what tells one version of it from another. Null unless the slideshow is that user''s; of other users'' media nothing but null. service_role only.';
grant execute on function public.get_keepsake_contents(uuid,uuid) to service_role;

create function public.get_shared_slideshow(p_share_token text)
  returns jsonb language plpgsql volatile security invoker set search_path="";
comment on function public.get_shared_slideshow(text) is
  'The published slideshow behind a link: title, description and its public slides; null when there is none. For anybody. Security invoker: the policies decide, by the token that it sets for its own transaction.';
grant execute on function public.get_shared_slideshow(text) to anon;
grant execute on function public.get_shared_slideshow(text) to authenticated;

create function public.give_up_found_object(p_id bigint, p_lease_token uuid, p_provider_object_id text)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.give_up_found_object(bigint,uuid,text) is
  'Whether what a look-up by marker has found may be removed: the removal is still leased by the caller, no row names the object and no job may go on with it. service_role only; security definer because the list lies in schema private.';
grant execute on function public.give_up_found_object(bigint,uuid,text) to service_role;

create function public.heartbeat_ai_jobs(p_beats jsonb)
  returns TABLE(job_id uuid, is_cancel_requested boolean) language plpgsql volatile security invoker set search_path="" set enable_seqscan=off;
comment on function public.heartbeat_ai_jobs(jsonb) is
  'For all jobs that a worker has in hand, in one call: extends their leases and, where given, reports progress (never backwards, never 100) and stage. p_beats: [{job_id, lease_token, progress?, stage?}]. A job that is not returned is lost: stop. service_role only.';
grant execute on function public.heartbeat_ai_jobs(jsonb) to service_role;

create function public.note_provider_rows(p_provider text, p_lease_token uuid, p_missing text[], p_present text[])
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.note_provider_rows(text,uuid,text[],text[]) is
  'What the provider answered when it was asked for objects one by one: the rows of those that it does not have are marked. False: the lease is lost; nothing changed. service_role only; security definer because the scan lies in schema private.';
grant execute on function public.note_provider_rows(text,uuid,text[],text[]) to service_role;

create function public.pause_ai_jobs(p_job_type text DEFAULT NULL::text, p_provider text DEFAULT NULL::text, p_user_id uuid DEFAULT NULL::uuid, p_is_paused boolean DEFAULT true)
  returns integer language plpgsql volatile security invoker set search_path="";
comment on function public.pause_ai_jobs(text,text,uuid,boolean) is
  'Pauses the jobs of a type, of a provider and of a user, those that are named, or resumes them with p_is_paused => false. What runs goes on; what waits keeps its place; new jobs are accepted. Returns how many were paused or resumed. A name that does not exist is an error (AJ075), and nothing changes. service_role only.';
grant execute on function public.pause_ai_jobs(text,text,uuid,boolean) to service_role;

create function public.put_ai_result_cache(p_cache_key text, p_user_id uuid, p_value jsonb, p_ttl_seconds integer)
  returns void language plpgsql volatile security invoker set search_path="";
comment on function public.put_ai_result_cache(text,uuid,jsonb,integer) is
  'Sets an entry; its end is p_ttl_seconds from now by the database''s clock. service_role only.';
grant execute on function public.put_ai_result_cache(text,uuid,jsonb,integer) to service_role;

create function public.receive_provider_webhook(p_provider text, p_event_ids text[], p_job_id uuid DEFAULT NULL::uuid, p_provider_job_id text DEFAULT NULL::text, p_sent_at_unix double precision DEFAULT NULL::double precision, p_tolerance_seconds integer DEFAULT 300, p_order_id text DEFAULT NULL::text)
  returns text language plpgsql volatile security definer set search_path="";
comment on function public.receive_provider_webhook(text,text[],uuid,text,double precision,integer,text) is
  'A webhook whose signature the caller has verified: refuses one that is older or further ahead than the tolerance by this clock (AJ042), remembers its events, and makes the job of that provider that it names, if it waits for the provider, due at once. p_order_id: the provider''s id of the order, where it tells that beside the id of what was made; a job that knows only the former gets the latter. Returns woken, nothing_waits or replayed; nothing else about any job changes. service_role only; security definer because the receipts and the dispatch lie in schema private.';
grant execute on function public.receive_provider_webhook(text,text[],uuid,text,double precision,integer,text) to service_role;

create function public.record_provider_page(p_provider text, p_lease_token uuid, p_objects jsonb, p_next_cursor text DEFAULT NULL::text, p_lease_seconds integer DEFAULT 120)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.record_provider_page(text,uuid,jsonb,text,integer) is
  'Takes in a page of a provider''s list, [{object_id, object_type, job_id?}], and where the next one begins (null: it was the last). An orphan is noted when it is first seen, and queued for removal when it is seen again after the grace. False: the lease is lost; nothing changed. service_role only; security definer because the lists lie in schema private.';
grant execute on function public.record_provider_page(text,uuid,jsonb,text,integer) to service_role;

create function public.redrive_ai_jobs(p_job_type text DEFAULT NULL::text, p_error_code text DEFAULT NULL::text, p_user_id uuid DEFAULT NULL::uuid, p_failed_since timestamp with time zone DEFAULT '-infinity'::timestamp with time zone, p_limit integer DEFAULT 1000)
  returns integer language plpgsql volatile security definer set search_path="";
comment on function public.redrive_ai_jobs(text,text,uuid,timestamp with time zone,integer) is
  'Runs failed jobs again, those that match every filter given, oldest first, up to p_limit; returns how many. One whose owner has no room for it stays failed. Jobs whose spend is unknown are left out: each needs a decision (resolve_unknown_ai_job). Jobs that failed because of another come back with that one. A job type or user that does not exist is an error (AJ075). For the operator; service_role only; security definer for the retry in schema private.';
grant execute on function public.redrive_ai_jobs(text,text,uuid,timestamp with time zone,integer) to service_role;

create function public.release_ai_job(p_job_id uuid, p_lease_token uuid)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function public.release_ai_job(uuid,uuid) is
  'Hands a claimed job back at once, attempt included: the runner is being shut down. False: the lease is lost. service_role only.';
grant execute on function public.release_ai_job(uuid,uuid) to service_role;

create function public.reorder_slideshow(p_slideshow_id uuid, p_item_ids uuid[])
  returns integer language plpgsql volatile security invoker set search_path="";
comment on function public.reorder_slideshow(uuid,uuid[]) is
  'Puts the slides of one slideshow into the given order, in one transaction; name all of them. Returns how many were placed. Security invoker: the policies decide whose slides these may be.';
grant execute on function public.reorder_slideshow(uuid,uuid[]) to authenticated;
grant execute on function public.reorder_slideshow(uuid,uuid[]) to service_role;

create function public.report_ai_leftovers(p_limit integer DEFAULT 1000)
  returns TABLE(kind text, state text, provider text, object_type text, object_id text, job_id uuid, since timestamp with time zone, remove_after timestamp with time zone, attempts integer, last_error_code text) language sql stable security definer set search_path="";
comment on function public.report_ai_leftovers(integer) is
  'For the operator: what is at providers and in Storage that nobody has, what is being removed, and rows whose provider object is gone. kind: orphan (removed after remove_after), foreign (a marker of no job of ours: never removed), removal, file, missing. state failing: five attempts, and the last one failed. service_role only; security definer because the lists lie in schema private.';
grant execute on function public.report_ai_leftovers(integer) to service_role;

create function public.report_payments_to_return(p_limit integer DEFAULT 1000)
  returns TABLE(payment_id uuid, order_id uuid, order_status text, provider text, provider_payment_id text, payment_status text, action text, amount_minor bigint, currency text) language sql stable security invoker set search_path="";
comment on function public.report_payments_to_return(integer) is
  'What the service has to undo at the payment provider. action refund: money that we hold and are not owed, because its order was cancelled or refunded before the capture, its customer is gone and nothing was shipped, or it was paid twice; amount_minor says how much. action cancel: a payment that is pending or authorised and could still be captured for an order that needs no more. Gone from the list as soon as the payment''s row says that it is done. Reads all payments that are open or captured. service_role only.';
grant execute on function public.report_payments_to_return(integer) to service_role;

create function public.rescue_stalled_ai_jobs(p_limit integer DEFAULT 500)
  returns TABLE(job_id uuid, status text) language plpgsql volatile security definer set search_path="";
comment on function public.rescue_stalled_ai_jobs(integer) is
  'Takes back jobs whose lease has run out: to pending (the attempt stays spent; at once after the first, with backoff later), or to failed with lease_expired or outcome_unknown when attempts are used up. Called by the sweep. service_role only; security definer for the backoff in private.';
grant execute on function public.rescue_stalled_ai_jobs(integer) to service_role;

create function public.resolve_unknown_ai_job(p_job_id uuid, p_was_made boolean, p_provider_object_id text DEFAULT NULL::text)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.resolve_unknown_ai_job(uuid,boolean,text) is
  'The operator has looked at the provider: what a parked job''s paid call made (by the provider''s id), or that it made nothing, and so what it cost. A failed job then runs again, with that object or with a new call, unless its owner has as many waiting as they may: then it is left to them to retry it. A cancelled one stays cancelled. False: no call of the job waits for this. service_role only; security definer for the retry in schema private.';
grant execute on function public.resolve_unknown_ai_job(uuid,boolean,text) to service_role;

create function public.reuse_ai_job_result(p_job_id uuid, p_lease_token uuid, p_source_job_id uuid)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.reuse_ai_job_result(uuid,uuid,uuid) is
  'Completes a claimed job with the result of an earlier equal job of the same owner; false, and nothing changed, when the lease is lost or the two are not equal. service_role only. Security definer because it shares its check with the intake trigger, which lives in schema private.';
grant execute on function public.reuse_ai_job_result(uuid,uuid,uuid) to service_role;

create function public.revise_provider_call(p_job_id uuid, p_lease_token uuid, p_operation text, p_units bigint)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function public.revise_provider_call(uuid,uuid,text,bigint) is
  'Writes how much a settled call of the job did use, where that is known only later: a video is ordered, and paid, before anybody knows how long it will be. 0 gives it back. A call that was given up keeps what it cost. False: the lease is lost; nothing changed. service_role only.';
grant execute on function public.revise_provider_call(uuid,uuid,text,bigint) to service_role;

create function public.save_ai_job_checkpoint(p_job_id uuid, p_lease_token uuid, p_data jsonb, p_upload_id text DEFAULT NULL::text)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.save_ai_job_checkpoint(uuid,uuid,jsonb,text) is
  'Writes down how far a claimed job has come, in place of what was written before. p_upload_id: the resumable upload that it has begun; one that was named before and is not any more is ended by the janitor. False: the lease is lost and nothing changed. service_role only; security definer because nobody may write checkpoints.';
grant execute on function public.save_ai_job_checkpoint(uuid,uuid,jsonb,text) to service_role;

create function public.scan_stored_files(p_limit integer DEFAULT 5000)
  returns integer language plpgsql volatile security definer set search_path="";
comment on function public.scan_stored_files(integer) is
  'Reads on through our buckets, up to p_limit objects, and queues what is older than the grace and lies in the folder of no account, or of a job that was deleted and whose file no row names. Returns how many it looked at; fewer than p_limit: the reading is over, and the next begins after scan_interval_seconds. service_role only; security definer because it reads accounts and the list lies in schema private.';
grant execute on function public.scan_stored_files(integer) to service_role;

create function public.set_ai_budget(p_user_id uuid, p_budget_micros bigint)
  returns void language plpgsql volatile security invoker set search_path="";
comment on function public.set_ai_budget(uuid,bigint) is
  'Sets what a user''s paid calls may cost in a calendar month (UTC), in millionths of a US dollar. Null as the user: of everybody who has none of their own. Null as the budget: the default again; of the default, no limit. What is reserved or spent already counts. A user who does not exist is an error (AJ075). service_role only.';
grant execute on function public.set_ai_budget(uuid,bigint) to service_role;

create function public.settle_abandoned_uploads(p_upload_ids text[], p_lease_token uuid, p_error_code text DEFAULT NULL::text)
  returns integer language plpgsql volatile security definer set search_path="";
comment on function public.settle_abandoned_uploads(text[],uuid,text) is
  'What became of leased uploads: forgotten when Storage does not have them any more, tried again later after p_error_code. Returns how many are forgotten. service_role only; security definer because the list lies in schema private.';
grant execute on function public.settle_abandoned_uploads(text[],uuid,text) to service_role;

create function public.settle_provider_call(p_call_id uuid, p_job_id uuid, p_lease_token uuid, p_outcome text, p_provider_object_id text DEFAULT NULL::text, p_http_status integer DEFAULT NULL::integer, p_error_code text DEFAULT NULL::text, p_progress integer DEFAULT 0, p_units bigint DEFAULT NULL::bigint)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function public.settle_provider_call(uuid,uuid,uuid,text,text,integer,text,integer,bigint) is
  'Writes what became of a journalled call, what it cost (p_units, or as many as estimated when the provider does not tell), and the provider''s id of what it made onto the job, in one commit. True and no change when it is told the same again. False: the lease is lost, or the call was settled otherwise; nothing changed. service_role only.';
grant execute on function public.settle_provider_call(uuid,uuid,uuid,text,text,integer,text,integer,bigint) to service_role;

create function public.settle_provider_removal(p_id bigint, p_lease_token uuid, p_outcome text, p_error_code text DEFAULT NULL::text)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.settle_provider_removal(bigint,uuid,text,text) is
  'What became of a leased removal: removed (or it was gone), absent (by its marker there is nothing), looking (nothing yet: look again later) or failed (try again later). False: somebody else has it; nothing changed. service_role only; security definer because the list lies in schema private.';
grant execute on function public.settle_provider_removal(bigint,uuid,text,text) to service_role;

create function public.settle_storage_removals(p_ids bigint[], p_lease_token uuid, p_error_code text DEFAULT NULL::text)
  returns integer language sql volatile security definer set search_path="";
comment on function public.settle_storage_removals(bigint[],uuid,text) is
  'What became of leased removals: done where Storage does not have the object any more, whatever the caller thinks; else tried again later. Returns how many are done. service_role only; security definer because the list lies in schema private.';
grant execute on function public.settle_storage_removals(bigint[],uuid,text) to service_role;

create function public.snooze_ai_job(p_job_id uuid, p_lease_token uuid, p_delay_seconds double precision, p_stage text DEFAULT NULL::text)
  returns boolean language plpgsql volatile security invoker set search_path="";
comment on function public.snooze_ai_job(uuid,uuid,double precision,text) is
  'Puts a claimed job back for later without spending the attempt: the provider is still at work, or its listing may lag. False: the lease is lost. service_role only.';
grant execute on function public.snooze_ai_job(uuid,uuid,double precision,text) to service_role;

create function public.unseen_provider_rows(p_provider text, p_lease_token uuid, p_limit integer)
  returns SETOF text language sql stable security definer set search_path="";
comment on function public.unseen_provider_rows(text,uuid,integer) is
  'What rows name that a reading of the provider''s whole list did not show, but for rows younger than an hour, which lists may lag behind. service_role only; security definer because the scan lies in schema private.';
grant execute on function public.unseen_provider_rows(text,uuid,integer) to service_role;

create function public.wake_ai_job_worker(p_worker text DEFAULT 'process-ai-job'::text)
  returns boolean language plpgsql volatile security definer set search_path="";
comment on function public.wake_ai_job_worker(text) is
  'Asks a worker for a request more while jobs of its types are waiting: called by an isolate that is too old to claim, or that works on one job a request. False: nothing waits, or it could not be sent. service_role only; security definer for the dispatch in schema private.';
grant execute on function public.wake_ai_job_worker(text) to service_role;

-- Storage

-- bucket outputs: private, at most 524288000 bytes
--   audio/mpeg audio/wav video/mp4 application/pdf application/json text/plain application/octet-stream

-- bucket pdfs: private, at most 524288000 bytes
--   application/pdf

-- bucket profile-photos: public, at most 5242880 bytes
--   image/jpeg image/jpg image/pjpeg image/png image/x-png image/webp

-- bucket published-media: public, at most 20971520 bytes
--   image/jpeg image/jpg image/pjpeg image/png image/x-png image/webp

-- bucket recordings: private, at most 524288000 bytes
--   audio/* video/* application/ogg

-- bucket uploads: private, at most 52428800 bytes
--   audio/* video/* application/ogg image/jpeg image/jpg image/pjpeg image/png image/x-png image/webp application/pdf application/x-pdf

-- bucket voice-samples: private, at most 10485760 bytes
--   audio/* application/ogg video/ogg

create policy "users can read objects in their own folder" on storage.objects for select to authenticated
  using (((bucket_id = ANY (ARRAY['voice-samples'::text, 'uploads'::text, 'recordings'::text, 'outputs'::text, 'pdfs'::text, 'profile-photos'::text, 'published-media'::text])) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)));

create policy "users can remove objects in their own folder" on storage.objects for delete to authenticated
  using (((bucket_id = ANY (ARRAY['voice-samples'::text, 'uploads'::text, 'recordings'::text, 'outputs'::text, 'profile-photos'::text, 'published-media'::text])) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)));

create policy "users can replace their own profile photos" on storage.objects for update to authenticated
  using (((bucket_id = 'profile-photos'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)))
  with check (((bucket_id = 'profile-photos'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)));

create policy "users can upload into their own folder" on storage.objects for insert to authenticated
  with check (((bucket_id = ANY (ARRAY['voice-samples'::text, 'uploads'::text, 'recordings'::text, 'profile-photos'::text, 'published-media'::text])) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text) AND ((storage.operation() IS DISTINCT FROM 'storage.object.sign_upload_url'::text) OR (EXISTS ( SELECT 1
   FROM public.pending_uploads u
  WHERE ((u.object_path = ((objects.bucket_id || '/'::text) || objects.name)) AND (u.stored_at IS NULL) AND (u.expires_at > now())))))));

-- Realtime

create policy "users can receive the events of their own ai jobs" on realtime.messages for select to authenticated
  using (((extension = 'broadcast'::text) AND (( SELECT realtime.topic() AS topic) = ('ai_jobs:'::text || (( SELECT auth.uid() AS uid))::text))));

-- Scheduled work

select cron.schedule('prune-ai-job-leftovers', '17 * * * *', 'select private.prune_ai_job_leftovers()');

select cron.schedule('prune-provider-webhook-receipts', '23 * * * *', 'select private.prune_provider_webhook_receipts()');

select cron.schedule('run-janitor', '*/15 * * * *', 'select private.run_janitor()');

select cron.schedule('sweep-ai-jobs', '2 seconds', 'select private.sweep_ai_jobs()');
