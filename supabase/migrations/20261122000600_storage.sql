-- Buckets and who may touch what in them. Every object lies in its owner's folder: <user id>/…
--
-- Storage compares a content type letter by letter with allowed_mime_types, parameters included, unless the entry ends
-- with /*. Browsers send recordings as audio/webm;codecs=opus, so that sound and film are allowed by wildcard;
-- create-upload-url and the job types say which formats they take.

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

-- Reading: the owner's folder, in every bucket. The public bucket needs no policy for its public URLs, and without
-- one for others nobody can list it.
create policy "users can read objects in their own folder"
on storage.objects for select to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'outputs', 'profile-photos')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

-- Writing: outputs are made by the service alone.
create policy "users can upload into their own folder"
on storage.objects for insert to authenticated
with check (
  bucket_id in ('voice-samples', 'uploads', 'profile-photos')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

-- Replacing is for profile photos only: a job's input must stay what it was when the job was accepted.
create policy "users can replace their own profile photos"
on storage.objects for update to authenticated
using (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text)
with check (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text);

create policy "users can remove objects in their own folder"
on storage.objects for delete to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'outputs', 'profile-photos')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);
