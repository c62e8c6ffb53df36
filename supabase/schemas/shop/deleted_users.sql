-- Deletes the draft orders of a deleted account.

create function private.forget_user_drafts()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from public.orders as o where o.user_id = old.id and o.status = 'draft';
  return old;
end;
$$;
comment on function private.forget_user_drafts() is
  'Row trigger before the delete of an account: removes its draft orders. Placed orders stay, without the account. '
  'Security definer because the Auth service deletes users and has no rights on orders.';

create trigger users_forget_drafts before delete on auth.users
for each row execute function private.forget_user_drafts();
