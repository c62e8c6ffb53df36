-- Queues the removal of a deleted account's files.

create function private.forget_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- All objects in the user's folders of our buckets, whether or not a row names them. The prefix is a literal, so
  -- that the planner uses the index over names; a uuid contains nothing to quote.
  execute format(
    'insert into private.storage_removals (object_path, user_id, reason)
     select o.bucket_id || ''/'' || o.name, %1$L, ''users''
     from storage.objects as o
     where o.name like %2$L and o.bucket_id = any (private.own_buckets())
     on conflict (object_path) where done_at is null do update
     set requested_at = excluded.requested_at, next_attempt_at = excluded.next_attempt_at',
    old.id, old.id || '/%'
  );
  return old;
end;
$$;
comment on function private.forget_user() is
  'Row trigger before the deletion of an account: queues the removal of every object in its folders of our buckets. '
  'Foreign keys and their triggers delete or anonymise the rest. Security definer because the Auth service deletes '
  'users and has no rights on these tables.';

create trigger users_forget before delete on auth.users
for each row execute function private.forget_user();
