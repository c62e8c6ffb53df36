-- Who may touch which objects. Every object lies in its owner's folder: <user id>/…

-- Reading: the owner's folder, in every bucket. The public bucket needs no policy for its public URLs, and without
-- one for others nobody can list it.
create policy "users can read objects in their own folder"
on storage.objects for select to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'pdfs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

-- Writing: outputs are made by the service alone.
create policy "users can upload into their own folder"
on storage.objects for insert to authenticated
with check (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
  -- Storage signs the address of an upload if this insert were allowed, and undoes it: only what was written down counts.
  and (
    storage.operation() is distinct from 'storage.object.sign_upload_url'
    or exists (
      select 1 from public.pending_uploads as u
      where u.object_path = objects.bucket_id || '/' || objects.name and u.stored_at is null and u.expires_at > now()
    )
  )
);

-- Replacing is for profile photos only. A job's input must stay what it was when the job was accepted; a published photo
-- lies in caches for an hour, so that a changed one is better a new object; a keepsake may be on order.
create policy "users can replace their own profile photos"
on storage.objects for update to authenticated
using (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text)
with check (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text);

-- Not from pdfs: the file of a keepsake goes with its row, which an open order holds (private.guard_pdf).
create policy "users can remove objects in their own folder"
on storage.objects for delete to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);
