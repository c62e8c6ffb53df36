-- The buckets of the tables before, by the same rules as the first ones: an owner's folder, nothing listed to others.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  (
    'recordings', 'recordings', false, 524288000,
    array[
      'audio/mpeg', 'audio/mp3', 'audio/wav', 'audio/x-wav', 'audio/wave', 'audio/mp4', 'audio/m4a', 'audio/x-m4a',
      'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/x-flac', 'video/mp4', 'video/webm'
    ]
  ),
  ('pdfs', 'pdfs', false, 104857600, array['application/pdf']),
  ('published-media', 'published-media', true, 20971520, array['image/jpeg', 'image/png', 'image/webp'])
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

alter policy "users can read objects in their own folder" on storage.objects
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'pdfs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

alter policy "users can upload into their own folder" on storage.objects
with check (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

alter policy "users can remove objects in their own folder" on storage.objects
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'pdfs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);
