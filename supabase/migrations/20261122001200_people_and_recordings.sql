-- The rest of what people own: who they are, their calls, and what is made from their photos and voices.
--
-- References between two things of one owner are composite foreign keys over (id, user_id): a row can only point at a
-- row of the same owner, whoever writes it. What a job made outlives the job; only the link goes.

alter table public.media add constraint media_id_user_id_key unique (id, user_id);
alter table public.voices add constraint voices_id_user_id_key unique (id, user_id);
alter table public.ai_jobs add constraint ai_jobs_id_user_id_key unique (id, user_id);

alter table public.voices
  drop constraint voices_job_id_fkey,
  drop constraint voices_job_id_key,
  add constraint voices_job_fkey foreign key (job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (job_id),
  add constraint voices_job_key unique (job_id, user_id);
comment on column public.voices.job_id is
  'The job that made it, of the same owner; at most one voice each. Null once that job is deleted.';

create table public.profiles (
  user_id uuid not null default auth.uid(),
  display_name text not null,
  photo_path text,
  locale text not null default 'en',
  time_zone text not null default 'UTC',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint profiles_pkey primary key (user_id),
  constraint profiles_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint profiles_display_name_length check (length(display_name) between 1 and 100),
  constraint profiles_photo_path_is_owners check (
    photo_path ~ '^profile-photos/[^/]+/.*[^/]$'
    and photo_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(photo_path, '/', 2) = user_id::text
  ),
  constraint profiles_locale_is_bcp47 check (locale ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$'),
  -- The second of these raises 22023, which names the zone, unless Postgres knows it.
  constraint profiles_time_zone_is_known check (
    time_zone ~ '^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$' and timezone(time_zone, timestamptz 'epoch') is not null
  )
);
comment on table public.profiles is 'How a user wants to be called and seen. One row per user, made and kept by the user.';
comment on column public.profiles.locale is 'Language of the app for this user, as a BCP 47 tag such as de or pt-BR.';
comment on column public.profiles.time_zone is
  'Where the user lives, as a name of the IANA database such as Europe/Vienna: the day of what is dated for them is the day there.';
comment on column public.profiles.photo_path is 'Object of the public bucket profile-photos, as <bucket>/<path>.';

create table public.calls (
  id uuid not null default gen_random_uuid(),
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
comment on table public.calls is 'A recorded conversation of the owner''s; its transcript is written by the job that made it.';
comment on column public.calls.recording_id is 'The recording in the owner''s media; null once that is deleted.';
comment on column public.calls.held_at is 'When people talked; the list is in this order.';
comment on column public.calls.transcript is 'What was said, as plain text. Stays when the job or the recording is deleted.';
comment on column public.calls.transcript_data is 'Words with times and speakers, as the transcription job found them.';
comment on column public.calls.transcript_job_id is 'The job that wrote the transcript; null once that job is deleted.';

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
  duration_seconds numeric(10, 3),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint avatars_pkey primary key (id),
  constraint avatars_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint avatars_job_fkey foreign key (job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (job_id),
  constraint avatars_voice_fkey foreign key (voice_id, user_id) references public.voices (id, user_id)
    on delete set null (voice_id),
  constraint avatars_photo_fkey foreign key (photo_id, user_id) references public.media (id, user_id)
    on delete set null (photo_id),
  constraint avatars_job_key unique (job_id, user_id),
  constraint avatars_provider_avatar_id_key unique (provider, provider_avatar_id),
  constraint avatars_provider_is_word check (provider ~ '^[a-z][a-z0-9-]{1,62}$'),
  constraint avatars_provider_avatar_id_length check (length(provider_avatar_id) between 1 and 255),
  constraint avatars_name_length check (length(name) between 1 and 100),
  constraint avatars_video_url_is_owners check (
    video_url ~ '^outputs/[^/]+/.*[^/]$'
    and video_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(video_url, '/', 2) = user_id::text
  ),
  constraint avatars_duration_is_positive check (duration_seconds > 0)
);
comment on table public.avatars is 'A photo that talks: the finished video of an avatar job. Written by the job; the owner may rename or remove it.';
comment on column public.avatars.job_id is 'The job that made it, of the same owner; null once that job is deleted.';
comment on column public.avatars.provider_avatar_id is 'The provider''s id of the rendered video or talk.';
comment on column public.avatars.video_url is 'The video in our own Storage, as outputs/<path>.';

create table public.slideshows (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  title text not null,
  description text,
  is_published boolean not null default false,
  share_token text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint slideshows_pkey primary key (id),
  constraint slideshows_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint slideshows_id_user_id_key unique (id, user_id),
  constraint slideshows_share_token_key unique (share_token),
  constraint slideshows_share_token_is_unguessable check (share_token ~ '^[0-9a-f]{64}$'),
  constraint slideshows_title_length check (length(title) between 1 and 200),
  constraint slideshows_description_length check (length(description) <= 2000)
);
comment on table public.slideshows is 'Photos in an order, with captions. Private, or readable by whoever has the link.';
comment on column public.slideshows.is_published is
  'True lets whoever has the link read it. Switching it off makes the link void for good and lets go of the public copies.';
comment on column public.slideshows.share_token is
  'The secret of the link, drawn by the database: 244 random bits. Who has it can read the slideshow while it is published.';

create table public.slideshow_items (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  slideshow_id uuid not null,
  media_id uuid not null,
  position integer not null,
  caption text,
  is_full_page boolean not null default false,
  public_path text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint slideshow_items_pkey primary key (id),
  constraint slideshow_items_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint slideshow_items_slideshow_fkey foreign key (slideshow_id, user_id)
    references public.slideshows (id, user_id) on delete cascade,
  constraint slideshow_items_media_fkey foreign key (media_id, user_id)
    references public.media (id, user_id) on delete cascade,
  constraint slideshow_items_position_key unique (slideshow_id, position) deferrable initially deferred,
  constraint slideshow_items_position_in_range check (position between 0 and 999),
  constraint slideshow_items_caption_length check (length(caption) between 1 and 500),
  constraint slideshow_items_public_path_is_owners check (
    public_path ~ '^published-media/[^/]+/.*[^/]$'
    and public_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(public_path, '/', 2) = user_id::text
  )
);
comment on table public.slideshow_items is 'The photos of a slideshow in their order. Slideshow and photo belong to the same owner, by foreign key.';
comment on column public.slideshow_items.position is 'From 0. Unique in the slideshow at commit, so that two can be swapped in one transaction.';
comment on column public.slideshow_items.is_full_page is 'In print the photo has a page to itself, up to the edges.';
comment on column public.slideshow_items.public_path is
  'Copy of the photo in the public bucket published-media, made by the owner to be seen by others; forgotten when the '
  'slideshow is withdrawn.';

create function private.withdraw_slideshow()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.share_token := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  update public.slideshow_items as i set public_path = null where i.slideshow_id = new.id and i.public_path is not null;
  return new;
end;
$$;
comment on function private.withdraw_slideshow() is
  'Row trigger: a slideshow that is no longer published gets a new secret, so that links that were given away stay void '
  'when it is published again, and its slides let go of their public copies.';

create trigger slideshows_withdraw
before update of is_published on public.slideshows
for each row when (old.is_published and not new.is_published)
execute function private.withdraw_slideshow();

create function public.reorder_slideshow(p_slideshow_id uuid, p_item_ids uuid[])
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  update public.slideshow_items as i
  set position = given.number - 1
  from unnest(p_item_ids) with ordinality as given (id, number)
  where i.id = given.id and i.slideshow_id = p_slideshow_id;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function public.reorder_slideshow(uuid, uuid[]) is
  'Puts the slides of one slideshow into the given order, in one transaction; name all of them. Returns how many were '
  'placed. Security invoker: the policies decide whose slides these may be.';
revoke execute on function public.reorder_slideshow(uuid, uuid[]) from public, anon;
grant execute on function public.reorder_slideshow(uuid, uuid[]) to authenticated, service_role;

create table public.pdfs (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  slideshow_id uuid,
  job_id uuid,
  title text not null,
  pdf_url text not null,
  page_count integer not null,
  size_bytes bigint not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint pdfs_pkey primary key (id),
  constraint pdfs_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint pdfs_slideshow_fkey foreign key (slideshow_id, user_id) references public.slideshows (id, user_id)
    on delete set null (slideshow_id),
  constraint pdfs_job_fkey foreign key (job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (job_id),
  constraint pdfs_job_key unique (job_id, user_id),
  constraint pdfs_title_length check (length(title) between 1 and 200),
  constraint pdfs_pdf_url_is_owners check (
    pdf_url ~ '^pdfs/[^/]+/.*[^/]$'
    and pdf_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(pdf_url, '/', 2) = user_id::text
  ),
  constraint pdfs_page_count_is_positive check (page_count > 0),
  constraint pdfs_size_is_positive check (size_bytes > 0)
);
comment on table public.pdfs is 'A rendered keepsake. Written by the job; the owner may retitle or remove it.';
comment on column public.pdfs.slideshow_id is 'What it was made from; null once that is deleted.';
comment on column public.pdfs.job_id is 'The job that made it, of the same owner; null once that job is deleted.';
comment on column public.pdfs.pdf_url is 'The file in our own Storage, as pdfs/<path>.';
