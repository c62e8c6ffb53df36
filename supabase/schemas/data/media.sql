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
