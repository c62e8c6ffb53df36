-- What was reserved for a paid call is spent or given back when its outcome is known.

create function private.settle_reserved_cost()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_reserved bigint := 0;
  v_spent bigint := 0;
  v_month date := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
begin
  if old.outcome in ('sent', 'unknown') then
    v_reserved := -old.estimated_cost_micros;
  -- What was paid stays paid, also when its job is deleted; and a month that is over is not counted any more.
  elsif tg_op = 'UPDATE' and date_trunc('month', old.settled_at at time zone 'UTC') = v_month then
    v_spent := -old.cost_micros;
  end if;
  if tg_op = 'UPDATE' then
    if new.outcome in ('sent', 'unknown') then
      v_reserved := v_reserved + new.estimated_cost_micros;
    elsif date_trunc('month', new.settled_at at time zone 'UTC') = v_month then
      v_spent := v_spent + new.cost_micros;
    end if;
  end if;
  if v_reserved <> 0 or v_spent <> 0 then
    update public.ai_limits as l
    set reserved_micros = greatest(l.reserved_micros + v_reserved, 0),
        spent_micros = greatest(case when l.budget_month >= v_month then l.spent_micros else 0 end + v_spent, 0),
        budget_month = greatest(l.budget_month, v_month)
    where l.user_id = old.user_id;
  end if;
  if v_spent <> 0 then
    insert into public.ai_provider_spend as s (provider, slot, month, spent_micros)
    values (old.provider, hashtextextended(old.user_id::text, 0) & 15, v_month, greatest(v_spent, 0))
    on conflict (provider, slot) do update
    set spent_micros = greatest(case when s.month >= v_month then s.spent_micros else 0 end + v_spent, 0),
        month = greatest(s.month, v_month);
  end if;
  return null;
end;
$$;
comment on function private.settle_reserved_cost() is
  'Row trigger: what was reserved for a paid call becomes spent, or is given back when nothing was made; a call that is '
  'deleted with its job gives back what was still open. Security definer because it writes the counts of the owner and '
  'of the provider, whoever settles.';

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
  'Writes how much a settled call of the job did use, where that is known only later: a video is ordered, and paid, before '
  'anybody knows how long it will be. 0 gives it back. A call that was given up keeps what it cost. False: the lease is lost; '
  'nothing changed. service_role only.';
revoke execute on function public.revise_provider_call(uuid, uuid, text, bigint) from public, anon, authenticated;
grant execute on function public.revise_provider_call(uuid, uuid, text, bigint) to service_role;

create trigger ai_provider_calls_settle_cost
after update of outcome, units on public.ai_provider_calls
for each row when (old.outcome is distinct from new.outcome or old.cost_micros is distinct from new.cost_micros)
execute function private.settle_reserved_cost();

create trigger ai_provider_calls_release_cost
after delete on public.ai_provider_calls
for each row when (old.outcome in ('sent', 'unknown') and old.estimated_cost_micros > 0)
execute function private.settle_reserved_cost();
