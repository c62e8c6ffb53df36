-- The buckets of the tables before, by the same rules as the first ones: an owner's folder, nothing listed to others.
--
-- Replacing stays for profile photos only. A recording is the input of jobs; a published photo lies in caches for an
-- hour, so that a changed one is better a new object; a keepsake may be on order.

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

alter policy "users can read objects in their own folder" on storage.objects
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'pdfs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

alter policy "users can upload into their own folder" on storage.objects
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

-- Not from pdfs: the file of a keepsake goes with its row, which an open order holds (private.guard_pdf).
alter policy "users can remove objects in their own folder" on storage.objects
using (
  bucket_id in ('voice-samples', 'uploads', 'recordings', 'outputs', 'profile-photos', 'published-media')
  and (storage.foldername(name))[1] = (select auth.uid())::text
);

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
  'The buckets of these migrations. In any other, an app''s own, nothing is checked, counted or removed.';

-- A policy alone would not do: a signed upload URL and a worker write as the service, also when the account has gone since.
create function private.check_object_owner()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_folder text := split_part(new.name, '/', 1);
begin
  if new.bucket_id <> all (private.own_buckets()) or new.name !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/' then
    return null;
  end if;
  -- Held until this commits: a deletion of the account that comes later finds the object.
  perform 1 from auth.users as u where u.id = v_folder::uuid for key share;
  if not found then
    -- 42501 is the one state whose message Storage passes on, with 403.
    raise exception 'account_not_found: the account of this folder no longer exists' using errcode = '42501';
  end if;
  return null;
end;
$$;
comment on function private.check_object_owner() is
  'Row trigger on storage.objects: refuses an object of our buckets whose first folder is the id of no account (42501), '
  'whoever writes it; folders that are no id are left alone. Security definer because the roles of Storage may not read accounts.';

-- After the insert, so that the policies have refused other people's folders before this looks for their account.
create trigger objects_check_owner
after insert or update of bucket_id, name on storage.objects
for each row execute function private.check_object_owner();
