-- Budgets of users: setting and reading them.

create function public.set_ai_budget(p_user_id uuid, p_budget_micros bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_budget_micros < 0 then
    raise exception 'p_budget_micros must be 0 or more, or null for no limit' using errcode = '22023', detail = 'p_budget_micros';
  end if;
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
  'Sets what a user''s paid calls may cost in a calendar month (UTC), in millionths of a US dollar. Null as the user '
  'sets the default for all users without their own budget. Null as the budget restores the default; for the default '
  'itself it means no limit. Amounts already reserved or spent count. A user who does not exist is an error (AJ075). '
  'service_role only.';
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
    -- Null without a budget; greatest() alone would ignore the null and return 0.
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
  'The caller''s budget of this month (UTC; null: no limit), with the amounts spent, reserved for calls whose outcome '
  'is open, and left (null: no limit), in millionths of a US dollar. Security invoker: the caller can read only their '
  'own limits and the default ones.';
revoke execute on function public.get_ai_budget() from public, anon, authenticated, service_role;
grant execute on function public.get_ai_budget() to authenticated;
