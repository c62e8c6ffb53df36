-- What paid calls cost: their prices, the budgets that they have to fit into, what is settled or given back when it is known
-- what became of a call, and the questions that can be asked. The unit is the millionth of a US dollar everywhere.

create table public.ai_prices (
  job_type text not null,
  provider text not null,
  unit text not null,
  per_units bigint not null,
  price_micros bigint not null,
  currency text not null default 'USD',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint ai_prices_pkey primary key (job_type, provider),
  constraint ai_prices_job_type_fkey foreign key (job_type) references public.ai_job_types (job_type),
  constraint ai_prices_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_prices_unit_is_known check (unit in ('character', 'second', 'creation')),
  constraint ai_prices_per_units_in_range check (per_units between 1 and 1000000000),
  constraint ai_prices_price_in_range check (price_micros between 0 and 1000000000),
  constraint ai_prices_currency_is_that_of_budgets check (currency = 'USD')
);
comment on table public.ai_prices is
  'What each paid call of a job type costs at a provider: price_micros for per_units units, rounded up. The operator keeps it '
  'as their plan has it; a type and provider without a row costs nothing.';
comment on column public.ai_prices.unit is
  'What the processor of the type counts: characters as the provider bills them, seconds of sound or video, or creations. '
  'For the reader; to change it changes no processor.';
comment on column public.ai_prices.price_micros is 'In millionths of currency, for per_units units. What is under way keeps its price.';
comment on column public.ai_prices.currency is
  'One for all prices, since budgets and sums are over all of them.';

create index ai_prices_provider_idx on public.ai_prices (provider);

create trigger ai_prices_touch_updated_at
before update on public.ai_prices
for each row execute function private.touch_updated_at();

alter table public.ai_prices enable row level security;
revoke all on public.ai_prices from public, anon, authenticated, service_role;
grant select, insert, update on public.ai_prices to service_role;

-- An instant clone is part of the plan; what it takes is a place for a voice.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('voice_clone', 'elevenlabs', 'creation', 1, 0);

create table public.ai_provider_spend (
  provider text not null,
  slot smallint not null,
  month date not null,
  spent_micros bigint not null default 0,
  constraint ai_provider_spend_pkey primary key (provider, slot),
  constraint ai_provider_spend_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_provider_spend_slot_in_range check (slot between 0 and 15),
  constraint ai_provider_spend_is_not_negative check (spent_micros >= 0)
);
comment on table public.ai_provider_spend is
  'What all users together have spent at a provider in a calendar month (UTC), in millionths of a US dollar: the sum of its '
  'slots. A table of its own, because what was paid stays paid when jobs and accounts are deleted.';
comment on column public.ai_provider_spend.slot is
  'Drawn from the user''s id: calls that end at the same time seldom wait for each other.';
comment on column public.ai_provider_spend.month is 'First day of the month that spent_micros counts.';
alter table public.ai_provider_spend enable row level security;
revoke all on public.ai_provider_spend from public, anon, authenticated, service_role;
grant select on public.ai_provider_spend to service_role;

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

create trigger ai_provider_calls_settle_cost
after update of outcome, units on public.ai_provider_calls
for each row when (old.outcome is distinct from new.outcome or old.cost_micros is distinct from new.cost_micros)
execute function private.settle_reserved_cost();

create trigger ai_provider_calls_release_cost
after delete on public.ai_provider_calls
for each row when (old.outcome in ('sent', 'unknown') and old.estimated_cost_micros > 0)
execute function private.settle_reserved_cost();

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

create function public.set_ai_budget(p_user_id uuid, p_budget_micros bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_user_id is null then
    update public.ai_limits as l set budget_micros = p_budget_micros where l.user_id is null;
  else
    insert into public.ai_limits as l (user_id, budget_micros) values (p_user_id, p_budget_micros)
    on conflict (user_id) do update set budget_micros = excluded.budget_micros;
  end if;
exception
  when foreign_key_violation then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
end;
$$;
comment on function public.set_ai_budget(uuid, bigint) is
  'Sets what a user''s paid calls may cost in a calendar month (UTC), in millionths of a US dollar. Null as the user: of '
  'everybody who has none of their own. Null as the budget: the default again; of the default, no limit. What is reserved '
  'or spent already counts. A user who does not exist is an error (AJ075). service_role only.';
revoke execute on function public.set_ai_budget(uuid, bigint) from public, anon, authenticated;
grant execute on function public.set_ai_budget(uuid, bigint) to service_role;

create function public.get_ai_budget()
returns table (month date, budget_micros bigint, spent_micros bigint, reserved_micros bigint, remaining_micros bigint)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    m.month,
    b.budget_micros,
    c.spent_micros,
    c.reserved_micros,
    -- Null without a budget; greatest alone would pass over the null and say 0.
    case when b.budget_micros is not null then greatest(b.budget_micros - c.spent_micros - c.reserved_micros, 0) end
  from (select date_trunc('month', now() at time zone 'UTC')::date as month) as m
  join public.ai_limits as d on d.user_id is null
  left join public.ai_limits as l on l.user_id = auth.uid()
  cross join lateral (select coalesce(l.budget_micros, d.budget_micros) as budget_micros) as b
  cross join lateral (
    select
      case when l.budget_month >= m.month then l.spent_micros else 0 end as spent_micros,
      coalesce(l.reserved_micros, 0) as reserved_micros
  ) as c;
$$;
comment on function public.get_ai_budget() is
  'The caller''s own budget of this month (UTC; null: no limit), what of it is spent, reserved for calls of which it is open '
  'what became of them, and left (null: no limit); in millionths of a US dollar. Security invoker: the caller reads their own limits and '
  'the default ones, and no others.';
revoke execute on function public.get_ai_budget() from public, anon, authenticated, service_role;
grant execute on function public.get_ai_budget() to authenticated;

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
  'What each user''s paid calls have cost and may still cost, by provider and the month (UTC) of the budget that they '
  'count in: that in which they were settled, this one while they are open. In millionths of a US dollar. For the operator.';
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
  'What a user''s paid calls have cost and may still cost (while it is unknown what became of them), by provider and the month (UTC) '
  'of the budget that they count in, in millionths of a US dollar. Security invoker: an owner gets their own, the service anybody''s.';
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
  'What each provider has cost by operation and month (UTC), beside what was estimated, in millionths of a US dollar. For '
  'the operator.';
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
  'Each provider''s budget of this month over all users (null: no limit), what of it is spent, reserved and left, in millionths '
  'of a US dollar. For the operator.';
revoke all on private.ai_provider_budgets from public, anon, authenticated, service_role;
