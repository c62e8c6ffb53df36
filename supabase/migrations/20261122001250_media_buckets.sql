-- The buckets of the tables before, by the same rules as the first ones: an owner's folder, nothing listed to others.
--
-- Replacing stays for profile photos only. A recording is the input of jobs; a published photo lies in caches for an
-- hour, so that a changed one is better a new object; a keepsake may be on order.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  ('recordings', 'recordings', false, 524288000, array['audio/*', 'video/*', 'application/ogg']),
  ('pdfs', 'pdfs', false, 104857600, array['application/pdf']),
  (
    'published-media', 'published-media', true, 20971520,
    array['image/jpeg', 'image/jpg', 'image/pjpeg', 'image/png', 'image/x-png', 'image/webp']
  )
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

-- Not from pdfs: the file of a keepsake goes with its row, which an open order holds (private.guard_pdf).
alter policy "users can remove objects in their own folder" on storage.objects
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);
