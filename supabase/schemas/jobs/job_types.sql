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
