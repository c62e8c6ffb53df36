-- The module people: profiles, calls, avatars, slideshows and keepsakes. Needs core.
-- Written by `deno task db:baseline` from supabase/schemas. Not to be edited: change the schema file.

-- ===== supabase/schemas/people/profiles.sql

-- Profiles.
--
-- In this module, references between two rows of one owner are composite foreign keys over (id, user_id), so that no
-- writer can make a row refer to another owner's row. A job's products outlive the job; only the reference is
-- cleared.

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
  -- The second condition raises 22023, with the name of the zone, if Postgres does not know it.
  constraint profiles_time_zone_is_known check (
    time_zone ~ '^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$' and timezone(time_zone, timestamptz 'epoch') is not null
  )
);
comment on table public.profiles is
  'A user''s name, photo, language and time zone. One row per user, created and changed by the user.';
comment on column public.profiles.locale is 'Language of the app for this user, as a BCP 47 tag such as de or pt-BR.';
comment on column public.profiles.time_zone is
  'The user''s time zone, as a name of the IANA database such as Europe/Vienna. Dates that are printed for the user '
  'are in it.';
comment on column public.profiles.photo_path is 'Object of the public bucket profile-photos, as <bucket>/<path>.';

alter table public.profiles enable row level security;

create policy "users can read their own profile" on public.profiles for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can make their own profile" on public.profiles for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their own profile" on public.profiles for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own profile" on public.profiles for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.profiles from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.profiles to service_role;
grant select, delete on public.profiles to authenticated;
grant insert (user_id, display_name, photo_path, locale, time_zone) on public.profiles to authenticated;
grant update (display_name, photo_path, locale, time_zone) on public.profiles to authenticated;

create trigger profiles_touch_updated_at
before update on public.profiles
for each row execute function private.touch_updated_at();

create trigger profiles_refuse_display_name_length
before insert or update of display_name on public.profiles
for each row when (length(new.display_name) not between 1 and 100)
execute function private.refuse_text_length('display_name', '1', '100');

create trigger profiles_record_photo after delete or update of photo_path on public.profiles
for each row execute function private.record_storage_removal('photo_path');

insert into private.storage_references (table_name, column_name) values ('public.profiles', 'photo_path');

-- ===== supabase/schemas/people/calls.sql

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

-- ===== supabase/schemas/people/avatars.sql

-- Photos that talk.

create table public.avatars (
  id uuid not null default private.uuid_v7(),
  user_id uuid not null,
  job_id uuid,
  voice_id uuid,
  photo_id uuid,
  name text not null,
  provider text not null,
  provider_video_id text not null,
  video_url text not null,
  duration_seconds numeric(10, 3),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  provider_missing_since timestamptz,
  constraint avatars_pkey primary key (id),
  constraint avatars_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint avatars_job_fkey foreign key (job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (job_id),
  constraint avatars_voice_fkey foreign key (voice_id, user_id) references public.voices (id, user_id)
    on delete set null (voice_id),
  constraint avatars_photo_fkey foreign key (photo_id, user_id) references public.media (id, user_id)
    on delete set null (photo_id),
  constraint avatars_job_key unique (job_id, user_id),
  constraint avatars_provider_video_id_key unique (provider, provider_video_id),
  constraint avatars_provider_is_word check (provider ~ '^[a-z][a-z0-9-]{1,62}$'),
  constraint avatars_provider_video_id_length check (length(provider_video_id) between 1 and 255),
  constraint avatars_name_length check (length(name) between 1 and 100),
  constraint avatars_video_url_is_owners check (
    video_url ~ '^outputs/[^/]+/.*[^/]$'
    and video_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(video_url, '/', 2) = user_id::text
  ),
  constraint avatars_duration_is_positive check (duration_seconds > 0)
);
comment on table public.avatars is
  'A talking photo: the finished video of an avatar job. The job writes it; the owner may rename or delete it.';
comment on column public.avatars.job_id is 'The job that created it, of the same owner; null once that job is deleted.';
comment on column public.avatars.provider_video_id is 'The provider''s id of the rendered video or talk.';
comment on column public.avatars.video_url is 'The video in our Storage, as outputs/<path>.';
comment on column public.avatars.provider_missing_since is
  'Since when the provider no longer has the video; our copy in Storage remains.';

create index avatars_user_id_created_at_idx on public.avatars (user_id, created_at desc, id desc);
create index avatars_voice_id_idx on public.avatars (voice_id, user_id);
create index avatars_photo_id_idx on public.avatars (photo_id, user_id);

alter table public.avatars enable row level security;

create policy "users can read their own avatars" on public.avatars for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can rename their own avatars" on public.avatars for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own avatars" on public.avatars for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.avatars from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.avatars to service_role;
grant select, delete on public.avatars to authenticated;
grant update (name) on public.avatars to authenticated;

create trigger avatars_touch_updated_at
before update on public.avatars
for each row execute function private.touch_updated_at();

create trigger avatars_refuse_name_length
before update of name on public.avatars
for each row when (length(new.name) not between 1 and 100)
execute function private.refuse_text_length('name', '1', '100');

create trigger avatars_record_video after delete or update of video_url on public.avatars
for each row execute function private.record_storage_removal('video_url');

create trigger avatars_record_avatar after delete on public.avatars
for each row execute function private.record_provider_removal('avatar', 'provider_video_id');

insert into private.storage_references (table_name, column_name) values ('public.avatars', 'video_url');

insert into private.provider_references (table_name, object_type, column_name, operation)
values ('public.avatars', 'avatar', 'provider_video_id', 'create_video');

-- ===== supabase/schemas/people/slideshows.sql

-- Slideshows, private or shared by link.

create table public.slideshows (
  id uuid not null default private.uuid_v7(),
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
comment on table public.slideshows is
  'Photos in an order, with captions. Private, or readable by anyone who has the link.';
comment on column public.slideshows.is_published is
  'True: anyone with the link can read it. Setting it to false permanently invalidates the link and releases the '
  'public copies.';
comment on column public.slideshows.share_token is
  'The secret in the link, generated by the database: 244 random bits. Anyone who has it can read the slideshow while '
  'it is published.';

create index slideshows_user_id_created_at_idx on public.slideshows (user_id, created_at desc, id desc);

alter table public.slideshows enable row level security;

-- A published slideshow can be read with its token, and not found without it: the policy compares with a setting that
-- only get_shared_slideshow sets, for its transaction.
create policy "users can read their own slideshows and shared ones by link" on public.slideshows for select
to authenticated
using (
  user_id = (select auth.uid())
  or (is_published and share_token = (select current_setting('app.share_token', true)))
);

create policy "anyone can read a shared slideshow by link" on public.slideshows for select to anon
using (is_published and share_token = (select current_setting('app.share_token', true)));

create policy "users can make slideshows of their own" on public.slideshows for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their own slideshows" on public.slideshows for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own slideshows" on public.slideshows for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.slideshows from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.slideshows to service_role;
grant select, delete on public.slideshows to authenticated;
grant select (id, title, description, is_published, share_token) on public.slideshows to anon;
grant insert (user_id, title, description, is_published) on public.slideshows to authenticated;
grant update (title, description, is_published) on public.slideshows to authenticated;

create table public.slideshow_items (
  id uuid not null default private.uuid_v7(),
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
comment on column public.slideshow_items.position is
  'From 0. Unique in the slideshow at commit, so that one transaction can swap two slides.';
comment on column public.slideshow_items.is_full_page is 'In print the photo fills its page, up to the edges.';
comment on column public.slideshow_items.public_path is
  'Copy of the photo in the public bucket published-media, which the owner creates to share it; cleared when the '
  'slideshow is no longer published.';

create index slideshow_items_user_id_idx on public.slideshow_items (user_id);
create index slideshow_items_slideshow_id_idx on public.slideshow_items (slideshow_id, user_id);
create index slideshow_items_media_id_idx on public.slideshow_items (media_id, user_id);

alter table public.slideshow_items enable row level security;

create policy "users can read their own slides and shared ones by link" on public.slideshow_items for select
to authenticated
using (
  user_id = (select auth.uid())
  or slideshow_id = any (array(
    select s.id from public.slideshows as s
    where s.is_published and s.share_token = (select current_setting('app.share_token', true))
  ))
);

create policy "anyone can read the slides of a shared slideshow by link" on public.slideshow_items for select to anon
using (
  slideshow_id = any (array(
    select s.id from public.slideshows as s
    where s.is_published and s.share_token = (select current_setting('app.share_token', true))
  ))
);

create policy "users can add slides to their own slideshows" on public.slideshow_items for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their own slides" on public.slideshow_items for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own slides" on public.slideshow_items for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.slideshow_items from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.slideshow_items to service_role;
grant select, delete on public.slideshow_items to authenticated;
grant select (slideshow_id, position, caption, public_path) on public.slideshow_items to anon;
grant insert (user_id, slideshow_id, media_id, position, caption, is_full_page, public_path) on public.slideshow_items
  to authenticated;
grant update (media_id, position, caption, is_full_page, public_path) on public.slideshow_items to authenticated;

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
  'Row trigger: a slideshow that is no longer published gets a new secret, so that earlier links stay invalid when it '
  'is published again, and its slides release their public copies.';

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
  'Puts the slides of one slideshow into the given order, in one transaction; pass all of them. Returns how many were '
  'placed. Security invoker: the policies decide which slides the caller may change.';
revoke execute on function public.reorder_slideshow(uuid, uuid[]) from public, anon;
grant execute on function public.reorder_slideshow(uuid, uuid[]) to authenticated, service_role;

create function public.get_shared_slideshow(p_share_token text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform set_config('app.share_token', p_share_token, true);
  return (
    select jsonb_build_object(
      'title', s.title,
      'description', s.description,
      'slides', coalesce((
        select jsonb_agg(jsonb_build_object('caption', i.caption, 'public_path', i.public_path) order by i.position)
        from public.slideshow_items as i
        where i.slideshow_id = s.id and i.public_path is not null
      ), '[]')
    )
    from public.slideshows as s
    where s.share_token = p_share_token and s.is_published
  );
end;
$$;
comment on function public.get_shared_slideshow(text) is
  'The published slideshow behind a link: title, description and its public slides; null when there is none. Anyone '
  'may call it. Security invoker: the policies decide, using the token that this function sets for its transaction.';
revoke execute on function public.get_shared_slideshow(text) from public, anon, authenticated, service_role;
grant execute on function public.get_shared_slideshow(text) to anon, authenticated;

create trigger slideshows_withdraw
before update of is_published on public.slideshows
for each row when (old.is_published and not new.is_published)
execute function private.withdraw_slideshow();

create trigger slideshows_touch_updated_at
before update on public.slideshows
for each row execute function private.touch_updated_at();

create trigger slideshows_refuse_title_length
before insert or update of title on public.slideshows
for each row when (length(new.title) not between 1 and 200)
execute function private.refuse_text_length('title', '1', '200');

create trigger slideshows_refuse_description_length
before insert or update of description on public.slideshows
for each row when (length(new.description) not between 0 and 2000)
execute function private.refuse_text_length('description', '0', '2000');

create trigger slideshow_items_touch_updated_at
before update on public.slideshow_items
for each row execute function private.touch_updated_at();

create trigger slideshow_items_refuse_caption_length
before insert or update of caption on public.slideshow_items
for each row when (length(new.caption) not between 1 and 500)
execute function private.refuse_text_length('caption', '1', '500');

create trigger slideshow_items_record_copy after delete or update of public_path on public.slideshow_items
for each row execute function private.record_storage_removal('public_path');

insert into private.storage_references (table_name, column_name) values ('public.slideshow_items', 'public_path');

-- ===== supabase/schemas/people/pdfs.sql

-- Keepsakes: rendered slideshows.

create table public.pdfs (
  id uuid not null default private.uuid_v7(),
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
comment on table public.pdfs is 'A rendered keepsake. The job writes it; the owner may retitle or delete it.';
comment on column public.pdfs.slideshow_id is 'The slideshow that it shows; null once that is deleted.';
comment on column public.pdfs.job_id is 'The job that rendered it, of the same owner; null once that job is deleted.';
comment on column public.pdfs.pdf_url is 'The file in our Storage, as pdfs/<path>.';

create index pdfs_user_id_created_at_idx on public.pdfs (user_id, created_at desc, id desc);
create index pdfs_slideshow_id_idx on public.pdfs (slideshow_id, user_id);

alter table public.pdfs enable row level security;

create policy "users can read their own pdfs" on public.pdfs for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can retitle their own pdfs" on public.pdfs for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own pdfs" on public.pdfs for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.pdfs from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.pdfs to service_role;
grant select, delete on public.pdfs to authenticated;
grant update (title) on public.pdfs to authenticated;

create trigger pdfs_touch_updated_at
before update on public.pdfs
for each row execute function private.touch_updated_at();

create trigger pdfs_refuse_title_length
before update of title on public.pdfs
for each row when (length(new.title) not between 1 and 200)
execute function private.refuse_text_length('title', '1', '200');

create trigger pdfs_record_file after delete or update of pdf_url on public.pdfs
for each row execute function private.record_storage_removal('pdf_url');

insert into private.storage_references (table_name, column_name) values ('public.pdfs', 'pdf_url');

-- ===== supabase/schemas/people/avatar_video.sql

-- The job type avatar_video: a talking photo. D-ID renders it unless metadata.provider names heygen.

create table private.ai_recording_limits (
  job_type text not null,
  provider text not null,
  mime_types text[] not null,
  max_bytes bigint not null,
  max_seconds integer not null,
  constraint ai_recording_limits_pkey primary key (job_type, provider),
  constraint ai_recording_limits_job_type_fkey foreign key (job_type) references public.ai_job_types (job_type),
  constraint ai_recording_limits_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_recording_limits_max_bytes_in_range check (max_bytes between 1 and 5368709120),
  constraint ai_recording_limits_max_seconds_in_range check (max_seconds between 1 and 86400)
);
comment on table private.ai_recording_limits is
  'Which recordings each provider accepts as the speech of an avatar video. Equal to the limits in _shared/providers. '
  'A job is checked when it is created, before a speech that it depends on is paid for needlessly.';
comment on column private.ai_recording_limits.mime_types is 'Content types by their canonical names.';

create index ai_recording_limits_provider_idx on private.ai_recording_limits (provider);

alter table private.ai_recording_limits enable row level security;
revoke all on private.ai_recording_limits from public, anon, authenticated, service_role;

insert into public.ai_job_types (
  job_type, provider, other_providers, max_attempts, max_age_seconds, input_name, input_buckets, input_mime_types,
  input_max_bytes, hooks
) values (
  'avatar_video',
  'd-id',
  array['heygen'],
  5,
  -- Long enough for an outage of an hour, a full plan and a slow render; short enough that a render that never ends
  -- does not wait for a day.
  14400,
  'photo',
  array['uploads', 'profile-photos'],
  array['image/jpeg', 'image/png'],
  10000000,
  array['check']
);

-- Per second of video. D-ID sells minutes of a plan and publishes no price per second; this is roughly what its plans
-- cost.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('avatar_video', 'd-id', 'second', 1, 20000), ('avatar_video', 'heygen', 'second', 1, 50000);

insert into private.ai_recording_limits (job_type, provider, mime_types, max_bytes, max_seconds)
values
  ('avatar_video', 'd-id', array['audio/mpeg', 'audio/wav', 'audio/mp4', 'audio/flac'], 6000000, 600),
  ('avatar_video', 'heygen', array['audio/mpeg', 'audio/wav'], 15000000, 600);

create function private.spoken_seconds(p_text text)
returns numeric
language sql
immutable
security invoker
set search_path = ''
as $$
  select greatest(1, ceil(
    (
      length(p_text)
      + 2 * length(regexp_replace(p_text, '[^\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]', '', 'g'))
    ) / 12.0
  ));
$$;
comment on function private.spoken_seconds(text) is
  'How long a text lasts when spoken slowly: 12 characters a second; a Chinese, Japanese or Korean character counts as '
  'three. Equal to spokenSeconds in _shared/media/spoken-seconds.ts.';

create function private.check_expected_speech(p_speech public.ai_jobs, p_limits private.ai_recording_limits)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_speed numeric := 1;
  v_format text := coalesce(p_speech.metadata ->> 'output_format', 'mp3_44100_128');
  v_kilobits numeric := coalesce(substring(p_speech.metadata ->> 'output_format' from '_([0-9]{1,3})$')::numeric, 128);
  v_seconds numeric;
  v_smaller text;
begin
  -- A plain insert may contain anything here; a value that is not a number is ignored.
  if jsonb_typeof(p_speech.metadata #> '{settings,speed}') = 'number' then
    v_speed := greatest((p_speech.metadata #>> '{settings,speed}')::numeric, 0.5);
  end if;
  v_seconds := ceil(private.spoken_seconds(coalesce(p_speech.metadata ->> 'text', '')) / v_speed);
  if v_seconds > p_limits.max_seconds then
    raise exception
      'the recording (the speech that this job depends on) will last about % s; % accepts at most % s. Shorten its text to about % characters',
      v_seconds, p_limits.provider, p_limits.max_seconds,
      floor(length(p_speech.metadata ->> 'text') * p_limits.max_seconds / v_seconds)
      using errcode = 'AJ014', detail = 'depends_on_job_id';
  end if;
  if v_seconds * v_kilobits * 125 > p_limits.max_bytes then
    select f.name into v_smaller
    from (values ('mp3_44100_96', 96), ('mp3_44100_64', 64), ('mp3_44100_32', 32)) as f (name, kilobits)
    where v_seconds * f.kilobits * 125 <= p_limits.max_bytes
    order by f.kilobits desc
    limit 1;
    raise exception
      'the recording (the speech that this job depends on) will have about % bytes as %; % accepts at most % bytes. %',
      v_seconds * v_kilobits * 125, v_format, p_limits.provider, p_limits.max_bytes,
      case when v_smaller is null then 'Shorten its text' else format('Create the speech with output_format %s', v_smaller) end
      using errcode = 'AJ014', detail = 'depends_on_job_id';
  end if;
end;
$$;
comment on function private.check_expected_speech(public.ai_jobs, private.ai_recording_limits) is
  'Raises AJ014 when a speech that does not exist yet is likely to be longer or larger than the provider of the video '
  'accepts, and names an output_format that would fit.';

create function private.check_avatar_video(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_limits private.ai_recording_limits;
  v_speech public.ai_jobs;
begin
  if not p_job.metadata ? 'audio_url' and (p_job.depends_on_job_id is null or p_job.metadata ? 'text') then
    return;
  end if;
  select * into v_limits from private.ai_recording_limits as l
  where l.job_type = p_job.job_type and l.provider = p_job.provider;
  if p_job.metadata ? 'audio_url' then
    perform private.check_ai_job_object(
      p_job.user_id, coalesce(p_job.metadata ->> 'audio_url', ''), 'the recording (metadata.audio_url)', 'metadata.audio_url',
      p_job.provider, array['uploads', 'recordings', 'voice-samples', 'outputs'], v_limits.mime_types, v_limits.max_bytes
    );
    return;
  end if;
  select * into v_speech from public.ai_jobs as j
  where j.id = p_job.depends_on_job_id and j.user_id = p_job.user_id and j.job_type = 'text_to_speech';
  if not found then
    return;
  end if;
  if v_speech.status <> 'completed' then
    perform private.check_expected_speech(v_speech, v_limits);
    return;
  end if;
  perform private.check_ai_job_object(
    p_job.user_id, coalesce(v_speech.output_url, ''), 'the recording (the speech that this job depends on)', 'depends_on_job_id',
    p_job.provider, array['outputs'], v_limits.mime_types, v_limits.max_bytes
  );
  if jsonb_typeof(v_speech.result_data -> 'duration_seconds') = 'number'
    and (v_speech.result_data ->> 'duration_seconds')::numeric > v_limits.max_seconds then
    raise exception 'the recording (the speech that this job depends on) lasts % s; % accepts at most % s',
      v_speech.result_data ->> 'duration_seconds', p_job.provider, v_limits.max_seconds
      using errcode = 'AJ014', detail = 'depends_on_job_id';
  end if;
end;
$$;
comment on function private.check_avatar_video(public.ai_jobs) is
  'Checks the recording of an avatar video: it is in the owner''s folder (AJ015) of a bucket for recordings (AJ011), '
  'exists (AJ012), and has a type (AJ013) and size (AJ014) that the job''s provider accepts. A speech that the job '
  'depends on is checked in the same way or, until it exists, estimated from its text. Called by private.admit_ai_job '
  'after it has checked the owner and chosen the provider.';

insert into private.ai_job_products (kind) values ('avatar');

create function private.save_avatar(p_items jsonb, p_job_ids uuid[])
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
  -- The voice, photo or slideshow may have been deleted meanwhile. That is no reason to discard a result that was
  -- paid for.
  insert into public.avatars (
    user_id, job_id, voice_id, photo_id, name, provider, provider_video_id, video_url, duration_seconds
  )
  select
    j.user_id, j.id,
    (select o.id from public.voices as o where o.id = a.voice_id and o.user_id = j.user_id),
    (select o.id from public.media as o where o.storage_path = j.input_url and o.user_id = j.user_id),
    a.name, j.provider, a.provider_video_id, j.output_url, a.duration_seconds
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as a (provider_video_id text, name text, voice_id uuid, duration_seconds numeric)
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'avatar'
  order by j.id;
end;
$$;
comment on function private.save_avatar(jsonb, uuid[]) is
  'Writes the avatars that jobs created (provider_video_id, name, voice_id, duration_seconds). See '
  'private.ai_job_products.';

-- ===== supabase/schemas/people/pdf_render.sql

-- The job type pdf_render: which slideshows it accepts, and what it reads of them.

insert into public.ai_job_types (
  job_type, provider, worker, max_attempts, is_input_required, input_buckets, input_mime_types, input_max_bytes,
  cache_ttl_seconds, hooks
) values (
  'pdf_render', 'internal', 'render-ai-job', 3,
  -- The input is a slideshow; input_max_bytes limits the sum of its photos.
  false, '{}', '{}', 503316480,
  -- Not cached: a slideshow can change while the parameters stay the same, and rendering it again costs nothing.
  0,
  array['check']
);

create function private.check_pdf_render(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_max_slides constant integer := 100;
  v_max_characters constant integer := 30000;
  v_named text := lower(p_job.metadata ->> 'slideshow_id');
  v_slideshow uuid := case when v_named ~ v_uuid then v_named::uuid end;
  v_max_bytes bigint;
  v_slides integer;
  v_bytes numeric;
  v_characters bigint;
begin
  if v_named is null then
    raise exception 'metadata.slideshow_id is required' using errcode = 'AJ020', detail = 'metadata.slideshow_id';
  end if;
  if not exists (
    select 1 from public.slideshows as s where s.id = v_slideshow and s.user_id = p_job.user_id
  ) then
    raise exception 'metadata.slideshow_id must name one of your slideshows'
      using errcode = 'AJ090', detail = 'metadata.slideshow_id';
  end if;
  -- The job detects photos that are not in Storage, because it can name the slide.
  select sum(p.slides), sum(p.characters), coalesce(sum((o.metadata ->> 'size')::bigint), 0)
  into v_slides, v_characters, v_bytes
  from (
    -- A photo on several slides is stored in the book once.
    select m.storage_path, count(*) as slides, coalesce(sum(length(i.caption)), 0) as characters
    from public.slideshow_items as i
    join public.media as m on m.id = i.media_id and m.user_id = i.user_id
    where i.slideshow_id = v_slideshow and i.user_id = p_job.user_id
    group by m.storage_path
  ) as p
  left join storage.objects as o
    on o.bucket_id = split_part(p.storage_path, '/', 1)
    and o.name = substr(p.storage_path, strpos(p.storage_path, '/') + 1);
  select t.input_max_bytes into v_max_bytes from public.ai_job_types as t where t.job_type = p_job.job_type;
  if v_slides is null then
    raise exception 'the slideshow has no photos' using errcode = 'AJ091', detail = 'metadata.slideshow_id';
  end if;
  if v_slides > v_max_slides or v_bytes > v_max_bytes or v_characters > v_max_characters then
    raise exception
      'the slideshow has % slides, photos of % bytes and captions of % characters; the limits are %, % and %',
      v_slides, v_bytes, v_characters, v_max_slides, v_max_bytes, v_max_characters
      using errcode = 'AJ092', detail = 'metadata.slideshow_id';
  end if;
end;
$$;
comment on function private.check_pdf_render(public.ai_jobs) is
  'Raises AJ090 unless metadata.slideshow_id names a slideshow of the job''s owner; the error is the same for another '
  'user''s slideshow and for none. Raises AJ091 when it is empty, AJ092 when it is too large. Called by '
  'private.admit_ai_job, which runs with its owner''s rights, so this function checks the owner.';

create function public.get_keepsake_contents(p_slideshow_id uuid, p_user_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'id', s.id,
    'title', s.title,
    'description', s.description,
    'created_at', s.created_at,
    'author', p.display_name,
    'locale', coalesce(p.locale, 'en'),
    'time_zone', coalesce(p.time_zone, 'UTC'),
    'slides', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'caption', i.caption,
            'is_full_page', i.is_full_page,
            'object', m.storage_path,
            'size', (o.metadata ->> 'size')::bigint,
            'version', concat_ws('/', o.id, o.version, o.metadata ->> 'eTag')
          )
          order by i.position
        )
        from public.slideshow_items as i
        left join public.media as m on m.id = i.media_id and m.user_id = i.user_id
        left join storage.objects as o
          on o.bucket_id = split_part(m.storage_path, '/', 1)
          and o.name = substr(m.storage_path, strpos(m.storage_path, '/') + 1)
        where i.slideshow_id = s.id and i.user_id = s.user_id
      ),
      '[]'
    )
  )
  from public.slideshows as s
  left join public.profiles as p on p.user_id = s.user_id
  where s.id = p_slideshow_id and s.user_id = p_user_id;
$$;
comment on function public.get_keepsake_contents(uuid, uuid) is
  'All contents of a keepsake in one result: the slideshow, its owner''s display name, and the slides in order, each '
  'with the object of its photo, that object''s size (null: not in Storage) and its version. Null unless the slideshow '
  'belongs to that user; media of other users are null. service_role only.';
revoke execute on function public.get_keepsake_contents(uuid, uuid) from public, anon, authenticated;
grant execute on function public.get_keepsake_contents(uuid, uuid) to service_role;

insert into private.ai_job_products (kind) values ('pdf');

create function private.save_pdf(p_items jsonb, p_job_ids uuid[])
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
  -- The voice, photo or slideshow may have been deleted meanwhile. That is no reason to discard a result that was
  -- paid for.
  insert into public.pdfs (user_id, job_id, slideshow_id, title, pdf_url, page_count, size_bytes)
  select
    j.user_id, j.id,
    (select o.id from public.slideshows as o where o.id = p.slideshow_id and o.user_id = j.user_id),
    p.title, j.output_url, p.page_count, p.size_bytes
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as p (title text, slideshow_id uuid, page_count integer, size_bytes bigint)
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'pdf'
  order by j.id;
end;
$$;
comment on function private.save_pdf(jsonb, uuid[]) is
  'Writes the keepsakes that jobs rendered (title, slideshow_id, page_count, size_bytes). See private.ai_job_products.';

-- ===== supabase/schemas/people/transcription.sql

-- The job type transcription: it transcribes a recording, for a call of the owner if metadata.call_id names one.

insert into public.ai_job_types (
  job_type, provider, max_attempts, reconcile_seconds, max_age_seconds, is_input_required, input_name, input_buckets,
  input_mime_types, input_max_bytes, hooks
) values (
  'transcription', 'elevenlabs', 5, 60,
  -- Long enough for an outage of an hour and a long queue; short enough that a transcript that never arrives does not
  -- keep its job for a day.
  14400,
  true,
  'recording',
  array['recordings', 'uploads', 'voice-samples', 'outputs'],
  array[
    'audio/mpeg', 'audio/wav', 'audio/mp4', 'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/aiff',
    'audio/3gpp', 'video/mp4', 'video/webm', 'video/quicktime', 'video/3gpp'
  ],
  -- The limit of the bucket. Recordings that take too long for one request are transcribed asynchronously.
  524288000,
  array['check', 'can_reuse']
);

insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('transcription', 'elevenlabs', 'second', 3600, 220000);

create function private.check_transcription(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_call text := p_job.metadata ->> 'call_id';
begin
  if p_job.metadata ? 'call_id' and not exists (
    select 1 from public.calls as c
    where c.id = case when v_call ~ v_uuid then v_call::uuid end and c.user_id = p_job.user_id
  ) then
    raise exception 'metadata.call_id must name one of your calls' using errcode = 'AJ019', detail = 'metadata.call_id';
  end if;
end;
$$;
comment on function private.check_transcription(public.ai_jobs) is
  'Raises AJ019 if metadata.call_id does not name a call of the job''s owner; the error is the same for another '
  'user''s call and for none. Called by private.admit_ai_job, which runs with its owner''s rights, so this function '
  'checks the owner.';

create function private.can_reuse_transcription(p_job public.ai_jobs)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- A call that has since been transcribed again needs this transcript written again.
  select p_job.metadata ->> 'call_id' is null
    or exists (select 1 from public.calls as c where c.user_id = p_job.user_id and c.transcript_job_id = p_job.id);
$$;
comment on function private.can_reuse_transcription(public.ai_jobs) is
  'Whether the call of a completed transcription, if it has one, still has the transcript of this job.';

insert into private.ai_job_products (kind) values ('transcript');

create function private.save_transcript(p_items jsonb, p_job_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_saved integer;
begin
  update public.calls as c
  set transcript = t.transcript,
      transcript_data = t.transcript_data,
      duration_seconds = coalesce(t.duration_seconds, c.duration_seconds),
      transcript_job_id = j.id
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as t (call_id uuid, transcript text, transcript_data jsonb, duration_seconds numeric)
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'transcript'
    and c.id = t.call_id and c.user_id = j.user_id and t.transcript is not null;
  get diagnostics v_saved = row_count;
  -- Two transcripts of one call are fewer rows too, and are then saved one by one.
  if v_saved < (
    select count(*) from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
    where i.job_id = any (p_job_ids) and i.product ->> 'kind' = 'transcript'
  ) then
    raise exception 'the transcript is empty, or its call was deleted' using errcode = 'AJ081', detail = 'p_product.call_id';
  end if;
end;
$$;
comment on function private.save_transcript(jsonb, uuid[]) is
  'Writes transcripts to their calls (call_id, transcript, transcript_data, duration_seconds). Raises AJ081 when a '
  'transcript is empty or its call was deleted. See private.ai_job_products.';
