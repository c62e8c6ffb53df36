-- Recorded conversations and their transcripts.

create table public.calls (
  id uuid not null default private.uuid_v7(),
  user_id uuid not null default auth.uid(),
  title text not null,
  recording_id uuid,
  held_at timestamptz not null default now(),
  duration_seconds numeric(10, 3),
  transcript text,
  transcript_data jsonb,
  transcript_job_id uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint calls_pkey primary key (id),
  constraint calls_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint calls_recording_fkey foreign key (recording_id, user_id) references public.media (id, user_id)
    on delete set null (recording_id),
  constraint calls_transcript_job_fkey foreign key (transcript_job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (transcript_job_id),
  constraint calls_title_length check (length(title) between 1 and 200),
  constraint calls_duration_is_positive check (duration_seconds > 0),
  constraint calls_transcript_data_is_object check (jsonb_typeof(transcript_data) = 'object'),
  constraint calls_transcript_data_has_transcript check (transcript_data is null or transcript is not null),
  constraint calls_transcript_job_key unique (transcript_job_id, user_id)
);
comment on table public.calls is 'A recorded conversation of its owner. The transcription job writes the transcript.';
comment on column public.calls.recording_id is 'The recording in the owner''s media; null once that is deleted.';
comment on column public.calls.held_at is 'When the conversation was held; lists are sorted by it.';
comment on column public.calls.transcript is
  'The transcript as plain text. It stays when the job or the recording is deleted.';
comment on column public.calls.transcript_data is 'Words with times and speakers, as returned by the transcription.';
comment on column public.calls.transcript_job_id is 'The job that wrote the transcript; null once that job is deleted.';

create index calls_user_id_held_at_idx on public.calls (user_id, held_at desc, id desc);
create index calls_recording_id_idx on public.calls (recording_id, user_id);

alter table public.calls enable row level security;

create policy "users can read their own calls" on public.calls for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can add calls of their own" on public.calls for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their own calls" on public.calls for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own calls" on public.calls for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.calls from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.calls to service_role;
grant select, delete on public.calls to authenticated;
grant insert (user_id, title, recording_id, held_at, duration_seconds) on public.calls to authenticated;
grant update (title, recording_id, held_at, duration_seconds) on public.calls to authenticated;

create trigger calls_touch_updated_at
before update on public.calls
for each row execute function private.touch_updated_at();

create trigger calls_refuse_title_length
before insert or update of title on public.calls
for each row when (length(new.title) not between 1 and 200)
execute function private.refuse_text_length('title', '1', '200');
