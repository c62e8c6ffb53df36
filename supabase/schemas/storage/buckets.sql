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
