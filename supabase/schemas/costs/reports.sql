-- What jobs, users and providers have cost.

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
  date_trunc('month', coalesce(k.settled_at, now()) at time zone 'UTC')::date as month,
  k.provider,
  count(*) filter (where k.outcome not in ('rejected', 'absent')) as paid_calls,
  coalesce(sum(k.cost_micros), 0)::bigint as cost_micros,
  coalesce(sum(k.estimated_cost_micros) filter (where k.outcome in ('sent', 'unknown')), 0)::bigint as reserved_micros
from public.ai_provider_calls as k
group by 1, 2, 3;
comment on view private.ai_user_costs is
  'What each user''s paid calls have cost and may still cost, by provider and by the budget month (UTC) in which they '
  'count: the month of settlement, or the current month while they are open. In millionths of a US dollar. For the '
  'operator.';
revoke all on private.ai_user_costs from public, anon, authenticated, service_role;

create function public.get_ai_costs(p_user_id uuid default auth.uid())
returns table (month date, provider text, paid_calls bigint, cost_micros bigint, reserved_micros bigint)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    date_trunc('month', coalesce(k.settled_at, now()) at time zone 'UTC')::date,
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
  'What a user''s paid calls have cost and may still cost (while their outcome is unknown), by provider and by the '
  'budget month (UTC) in which they count, in millionths of a US dollar. Security invoker: an owner gets their own '
  'costs, the service those of any user.';
revoke execute on function public.get_ai_costs(uuid) from public, anon;
grant execute on function public.get_ai_costs(uuid) to authenticated, service_role;

create view private.ai_provider_costs
with (security_invoker = true)
as
select
  k.provider,
  k.operation,
  date_trunc('month', coalesce(k.settled_at, now()) at time zone 'UTC')::date as month,
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
  'What each provider has cost by operation and month (UTC), with the estimate, in millionths of a US dollar. For the '
  'operator.';
revoke all on private.ai_provider_costs from public, anon, authenticated, service_role;

create view private.ai_provider_budgets
with (security_invoker = true)
as
select
  p.provider,
  m.month,
  p.budget_micros,
  c.spent_micros,
  c.reserved_micros,
  case when p.budget_micros is not null then greatest(p.budget_micros - c.spent_micros - c.reserved_micros, 0) end
    as remaining_micros
from public.ai_providers as p
cross join (select date_trunc('month', now() at time zone 'UTC')::date as month) as m
cross join lateral (
  select
    (
      select coalesce(sum(s.spent_micros), 0)::bigint from public.ai_provider_spend as s
      where s.provider = p.provider and s.month = m.month
    ) as spent_micros,
    (
      select coalesce(sum(k.estimated_cost_micros), 0)::bigint from public.ai_provider_calls as k
      where k.provider = p.provider and k.outcome in ('sent', 'unknown')
    ) as reserved_micros
) as c;
comment on view private.ai_provider_budgets is
  'Each provider''s budget of this month over all users (null: no limit), and the amounts spent, reserved and left, in '
  'millionths of a US dollar. For the operator.';
revoke all on private.ai_provider_budgets from public, anon, authenticated, service_role;
