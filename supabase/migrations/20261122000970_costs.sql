-- What paid calls cost: settled or refunded in the owner's budget when it is known what became of a call, and to be asked
-- per job, user and provider. The unit is the millionth of a US dollar everywhere.

create function private.settle_reserved_cost()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_reserved bigint := 0;
  v_spent bigint := 0;
  v_month date := date_trunc('month', current_date)::date;
begin
  if old.outcome in ('sent', 'unknown') then
    v_reserved := -old.estimated_cost_micros;
  else
    v_spent := -old.cost_micros;
  end if;
  if tg_op = 'DELETE' then
    -- What was paid stays paid.
    v_spent := 0;
  elsif new.outcome in ('sent', 'unknown') then
    v_reserved := v_reserved + new.estimated_cost_micros;
  else
    v_spent := v_spent + new.cost_micros;
  end if;
  if v_reserved <> 0 or v_spent <> 0 then
    update public.ai_limits as l
    set reserved_micros = greatest(l.reserved_micros + v_reserved, 0),
        spent_micros = greatest(case when l.budget_month = v_month then l.spent_micros else 0 end + v_spent, 0),
        budget_month = v_month
    where l.user_id = old.user_id;
  end if;
  return null;
end;
$$;
comment on function private.settle_reserved_cost() is
  'Row trigger: what was reserved for a paid call becomes spent, or is given back when nothing was made; a call that is '
  'deleted with its job gives back what was still open. Security definer because it writes the counts of the owner, '
  'whoever settles.';

create trigger ai_provider_calls_settle_cost
after update of outcome, cost_micros on public.ai_provider_calls
for each row when (old.outcome is distinct from new.outcome or old.cost_micros is distinct from new.cost_micros)
execute function private.settle_reserved_cost();

create trigger ai_provider_calls_release_cost
after delete on public.ai_provider_calls
for each row when (old.outcome in ('sent', 'unknown') and old.estimated_cost_micros > 0)
execute function private.settle_reserved_cost();

create view private.ai_job_costs
with (security_invoker = true)
as
select
  j.id as job_id,
  j.user_id,
  j.job_type,
  j.provider,
  j.status,
  j.created_at,
  count(k.id) filter (where k.outcome not in ('rejected', 'absent')) as paid_calls,
  coalesce(sum(k.cost_micros), 0)::bigint as cost_micros,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint as reserved_micros
from public.ai_jobs as j
left join public.ai_provider_calls as k on k.job_id = j.id
group by j.id;
comment on view private.ai_job_costs is
  'What each job has cost and may still cost, in millionths of a US dollar. For the operator.';
revoke all on private.ai_job_costs from public, anon, authenticated, service_role;

create view private.ai_user_costs
with (security_invoker = true)
as
select
  k.user_id,
  date_trunc('month', k.sent_at at time zone 'UTC')::date as month,
  k.provider,
  count(*) filter (where k.outcome not in ('rejected', 'absent')) as paid_calls,
  coalesce(sum(k.cost_micros), 0)::bigint as cost_micros,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint as reserved_micros
from public.ai_provider_calls as k
group by 1, 2, 3;
comment on view private.ai_user_costs is
  'What each user''s paid calls have cost and may still cost, by the month (UTC) they were sent in and provider, in '
  'millionths of a US dollar. For the operator.';
revoke all on private.ai_user_costs from public, anon, authenticated, service_role;

create function public.get_ai_costs(p_user_id uuid default auth.uid())
returns table (month date, provider text, paid_calls bigint, cost_micros bigint, reserved_micros bigint)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    date_trunc('month', k.sent_at at time zone 'UTC')::date,
    k.provider,
    count(*) filter (where k.outcome not in ('rejected', 'absent')),
    coalesce(sum(k.cost_micros), 0)::bigint,
    coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint
  from public.ai_provider_calls as k
  where k.user_id = p_user_id
  group by 1, 2
  order by 1 desc, 2;
$$;
comment on function public.get_ai_costs(uuid) is
  'What a user''s paid calls have cost and may still cost (while it is unknown what became of them), by the month (UTC) they '
  'were sent in and provider, in millionths of a US dollar. Security invoker: an owner gets their own, the service anybody''s.';
revoke execute on function public.get_ai_costs(uuid) from public, anon;
grant execute on function public.get_ai_costs(uuid) to authenticated, service_role;

create view private.ai_provider_costs
with (security_invoker = true)
as
select
  k.provider,
  k.operation,
  date_trunc('month', k.sent_at at time zone 'UTC')::date as month,
  count(*) filter (where k.outcome in ('succeeded', 'adopted')) as made,
  count(*) filter (where k.outcome in ('sent', 'unknown')) as open,
  count(*) filter (where k.outcome in ('rejected', 'absent')) as free,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('succeeded', 'adopted')), 0)::bigint
    as estimated_micros,
  coalesce(sum(k.cost_micros), 0)::bigint as cost_micros,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint as reserved_micros
from public.ai_provider_calls as k
group by 1, 2, 3;
comment on view private.ai_provider_costs is
  'What each provider has cost by operation and month (UTC), beside what was estimated, in millionths of a US dollar. For '
  'the operator.';
revoke all on private.ai_provider_costs from public, anon, authenticated, service_role;
