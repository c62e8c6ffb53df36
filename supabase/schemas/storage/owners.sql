-- Every object of our buckets belongs to an account that exists.

-- A policy is not enough: signed upload URLs and workers write as the service, even after the account was deleted.
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
  -- Held until commit, so that a later deletion of the account finds the object.
  perform 1 from auth.users as u where u.id = v_folder::uuid for key share;
  if not found then
    -- 42501 is the only SQLSTATE whose message Storage returns, with 403.
    raise exception 'account_not_found: the account of this folder no longer exists' using errcode = '42501';
  end if;
  return null;
end;
$$;
comment on function private.check_object_owner() is
  'Row trigger on storage.objects: refuses, from every writer, an object in our buckets whose first folder is an id '
  'without an account (42501). Folders that are not ids are ignored. Security definer because the roles of Storage may '
  'not read accounts.';

-- After the insert, so that the policies refuse other users' folders before this checks their account.
create trigger objects_check_owner
after insert or update of bucket_id, name on storage.objects
for each row execute function private.check_object_owner();
