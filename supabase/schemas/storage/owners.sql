-- Every object of our buckets belongs to an account that exists.

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
  'Row trigger on storage.objects: refuses an object of our buckets whose first folder is the id of no account (42501) '
  'from every writer; folders that are no id are left alone. Security definer because the roles of Storage may not read accounts.';

-- After the insert, so that the policies have refused other people's folders before this looks for their account.
create trigger objects_check_owner
after insert or update of bucket_id, name on storage.objects
for each row execute function private.check_object_owner();
