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
