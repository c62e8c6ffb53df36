-- Buckets and who may touch what in them. Every object lies in its owner's folder: <user id>/…

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  (
    'voice-samples', 'voice-samples', false, 10485760,
    array[
      'audio/mpeg', 'audio/mp3', 'audio/wav', 'audio/x-wav', 'audio/wave', 'audio/mp4', 'audio/m4a', 'audio/x-m4a',
      'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/x-flac'
    ]
  ),
  (
    'uploads', 'uploads', false, 52428800,
    array[
      'audio/mpeg', 'audio/mp3', 'audio/wav', 'audio/x-wav', 'audio/wave', 'audio/mp4', 'audio/m4a', 'audio/x-m4a',
      'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/x-flac',
      'image/jpeg', 'image/png', 'image/webp', 'video/mp4', 'video/webm', 'application/pdf'
    ]
  ),
  (
    'outputs', 'outputs', false, 524288000,
    array['audio/mpeg', 'audio/wav', 'video/mp4', 'application/pdf', 'application/json', 'text/plain']
  ),
  (
    'profile-photos', 'profile-photos', true, 5242880,
    array['image/jpeg', 'image/png', 'image/webp']
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
