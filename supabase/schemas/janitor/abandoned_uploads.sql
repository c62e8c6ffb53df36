-- Resumable uploads that no job will finish, for the janitor to abort.

create function public.claim_abandoned_uploads(p_limit integer, p_lease_seconds integer default 120)
returns table (upload_id text, lease_token uuid)
language sql
volatile
security definer
set search_path = ''
as $$
  update private.abandoned_uploads as a
  set attempts = a.attempts + 1,
      lease_token = t.token,
      next_attempt_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  from (
    select u.upload_id
    from private.abandoned_uploads as u
    where u.next_attempt_at <= clock_timestamp()
    order by u.next_attempt_at
    limit p_limit
    for update skip locked
  ) as due, (select gen_random_uuid() as token) as t
  where a.upload_id = due.upload_id
  returning a.upload_id, a.lease_token;
$$;
comment on function public.claim_abandoned_uploads(integer, integer) is
  'Leases up to p_limit uploads that are due to be aborted. service_role only; security definer because the list is in '
  'schema private.';
revoke execute on function public.claim_abandoned_uploads(integer, integer) from public, anon, authenticated;
grant execute on function public.claim_abandoned_uploads(integer, integer) to service_role;

create function public.settle_abandoned_uploads(p_upload_ids text[], p_lease_token uuid, p_error_code text default null)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ended integer := 0;
begin
  if p_error_code is null then
    delete from private.abandoned_uploads as a where a.upload_id = any (p_upload_ids) and a.lease_token = p_lease_token;
    get diagnostics v_ended = row_count;
    return v_ended;
  end if;
  update private.abandoned_uploads as a
  set last_error_code = p_error_code,
      next_attempt_at = clock_timestamp() + private.removal_pause(a.attempts),
      lease_token = null
  where a.upload_id = any (p_upload_ids) and a.lease_token = p_lease_token;
  return v_ended;
end;
$$;
comment on function public.settle_abandoned_uploads(text[], uuid, text) is
  'Settles leased uploads: deletes the row if Storage no longer has the upload, otherwise retries later, with '
  'p_error_code. Returns how many were deleted. service_role only; security definer because the list is in schema '
  'private.';
revoke execute on function public.settle_abandoned_uploads(text[], uuid, text) from public, anon, authenticated;
grant execute on function public.settle_abandoned_uploads(text[], uuid, text) to service_role;
