-- Charges or releases the reservation of a paid call when its outcome is known.

create function private.settle_reserved_costs()
returns trigger
language plpgsql
security definer
set search_path = ''
set enable_nestloop = off
as $$
declare
  v_month constant date := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
  v_sum record;
begin
  if not exists (select 1 from updated as n where n.price_micros > 0) then
    return null;
  end if;
  -- Locks are taken by user and then by provider, as everywhere.
  for v_sum in
    select k.user_id, sum(k.reserved)::bigint as reserved, sum(k.spent)::bigint as spent
    from (
      select o.user_id,
        case when n.outcome in ('sent', 'unknown') then n.estimated_cost_micros else 0 end
          - case when o.outcome in ('sent', 'unknown') then o.estimated_cost_micros else 0 end as reserved,
        -- A past month is no longer counted.
        case when date_trunc('month', n.settled_at at time zone 'UTC') = v_month then n.cost_micros else 0 end
          - case when date_trunc('month', o.settled_at at time zone 'UTC') = v_month then o.cost_micros else 0 end as spent
      from updated as n
      join outdated as o on o.id = n.id
      where n.outcome <> o.outcome or n.cost_micros is distinct from o.cost_micros
    ) as k
    where k.reserved <> 0 or k.spent <> 0
    group by k.user_id
    order by k.user_id
  loop
    update public.ai_limits as l
    set reserved_micros = greatest(l.reserved_micros + v_sum.reserved, 0),
        spent_micros = greatest(case when l.budget_month >= v_month then l.spent_micros else 0 end + v_sum.spent, 0),
        budget_month = greatest(l.budget_month, v_month)
    where l.user_id = v_sum.user_id;
  end loop;

  for v_sum in
    select k.provider, k.slot, sum(k.spent)::bigint as spent
    from (
      select o.provider, hashtextextended(o.user_id::text, 0) & 15 as slot,
        case when date_trunc('month', n.settled_at at time zone 'UTC') = v_month then n.cost_micros else 0 end
          - case when date_trunc('month', o.settled_at at time zone 'UTC') = v_month then o.cost_micros else 0 end as spent
      from updated as n
      join outdated as o on o.id = n.id
      where n.outcome <> o.outcome or n.cost_micros is distinct from o.cost_micros
    ) as k
    where k.spent <> 0
    group by k.provider, k.slot
    order by k.provider, k.slot
  loop
    insert into public.ai_provider_spend as s (provider, slot, month, spent_micros)
    values (v_sum.provider, v_sum.slot, v_month, greatest(v_sum.spent, 0))
    on conflict (provider, slot) do update
    set spent_micros = greatest(case when s.month >= v_month then s.spent_micros else 0 end + v_sum.spent, 0),
        month = greatest(s.month, v_month);
  end loop;
  return null;
end;
$$;
comment on function private.settle_reserved_costs() is
  'Statement trigger: the reservation of a settled call is charged, or released when nothing was created. Security '
  'definer because every caller that settles must update the counts of owners and providers.';

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

create trigger ai_provider_calls_settle_cost
after update on public.ai_provider_calls referencing old table as outdated new table as updated
for each statement execute function private.settle_reserved_costs();

create trigger ai_provider_calls_release_cost
after delete on public.ai_provider_calls
for each row when (old.outcome in ('sent', 'unknown') and old.estimated_cost_micros > 0)
execute function private.release_reserved_cost();
