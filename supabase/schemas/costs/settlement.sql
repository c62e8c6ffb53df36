-- Releases the reservation of a paid call that is deleted, and records usage that is known late. What settles a call charges
-- it (private.follow_updated_provider_calls).

create function private.release_reserved_cost()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.ai_limits as l
  set reserved_micros = greatest(l.reserved_micros - old.estimated_cost_micros, 0)
  where l.user_id = old.user_id;
  return null;
end;
$$;
comment on function private.release_reserved_cost() is
  'Row trigger: an open call that is deleted with its job releases its reservation. Amounts already charged stay. '
  'Security definer because every role that deletes must update the owner''s counts.';

create function public.revise_provider_call(p_job_id uuid, p_lease_token uuid, p_operation text, p_units bigint)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for no key update;
  if not found then
    return false;
  end if;
  update public.ai_provider_calls as c
  set units = p_units
  where c.job_id = p_job_id and c.operation = p_operation and c.outcome in ('succeeded', 'adopted')
    and c.discarded_at is null and c.units <> p_units;
  if found then
    update public.ai_jobs as j
    set cost_micros = (
      select coalesce(sum(c.cost_micros), 0) from public.ai_provider_calls as c where c.job_id = p_job_id
    )
    where j.id = p_job_id;
  end if;
  return true;
end;
$$;
comment on function public.revise_provider_call(uuid, uuid, text, bigint) is
  'Records the actual usage of a settled call when it is known only later: a video is submitted and charged before its '
  'length is known. 0 refunds the call. A discarded call keeps its cost. False: the lease is lost and nothing changed. '
  'service_role only.';
revoke execute on function public.revise_provider_call(uuid, uuid, text, bigint) from public, anon, authenticated;
grant execute on function public.revise_provider_call(uuid, uuid, text, bigint) to service_role;

create trigger ai_provider_calls_release_cost
after delete on public.ai_provider_calls
for each row when (old.outcome in ('sent', 'unknown') and old.estimated_cost_micros > 0)
execute function private.release_reserved_cost();
