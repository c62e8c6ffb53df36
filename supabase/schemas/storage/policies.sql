-- Who may access which objects. Every object is in its owner's folder: <user id>/…

-- Read: the owner's folder, in every bucket. Public URLs of the public bucket need no policy, and without one nobody
-- else can list it.
create policy "users can read objects in their own folder"
on storage.objects for select to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'pdfs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

-- Write: only the service writes outputs.
create policy "users can upload into their own folder"
on storage.objects for insert to authenticated
with check (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
  -- Before Storage signs an upload URL, it tries this insert and rolls it back. Only recorded uploads may be signed.
  and (
    storage.operation() is distinct from 'storage.object.sign_upload_url'
    or exists (
      select 1 from public.pending_uploads as u
      where u.object_path = objects.bucket_id || '/' || objects.name and u.stored_at is null and u.expires_at > now()
    )
  )
);

-- Replace: profile photos only. A job's input must stay what it was when the job was accepted; a published photo is
-- cached for an hour, so a changed one should be a new object; a keepsake may be in an order.
create policy "users can replace their own profile photos"
on storage.objects for update to authenticated
using (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text)
with check (bucket_id = 'profile-photos' and (storage.foldername(name))[1] = (select auth.uid())::text);

-- Not in pdfs: the file of a keepsake is removed with its row, which an open order protects (private.guard_pdf).
create policy "users can remove objects in their own folder"
on storage.objects for delete to authenticated
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);
