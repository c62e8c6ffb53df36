-- Operators: who they are, and what each of them has done. The functions of the console check the role themselves, so that a
-- caller with the secret key can act only for accounts that have it.

create table private.operator_actions (
  id bigint generated always as identity,
  operator_id uuid not null,
  action text not null,
  details jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  constraint operator_actions_pkey primary key (id),
  constraint operator_actions_action_is_word check (action ~ '^[a-z][a-z_]{1,40}$'),
  constraint operator_actions_details_is_object check (jsonb_typeof(details) = 'object')
);
comment on table private.operator_actions is
  'What operators did in the console, and whose payloads they read: written in the transaction of the action, never changed, '
  'and kept for private.janitor_settings.operator_action_days.';
comment on column private.operator_actions.operator_id is
  'The operator''s account. No foreign key: what was done stays on record when the account is deleted.';
-- Serves the janitor, which removes the oldest.
create index operator_actions_created_at_idx on private.operator_actions (created_at);

alter table private.operator_actions enable row level security;
revoke all on private.operator_actions from public, anon, authenticated, service_role;

create function private.require_ai_operator(p_operator_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if not exists (
    select 1 from auth.users as u where u.id = p_operator_id and u.raw_app_meta_data ->> 'role' = 'ai_operator'
  ) then
    raise exception 'only an operator may do this' using errcode = 'AJ095';
  end if;
end;
$$;
comment on function private.require_ai_operator(uuid) is
  'Raises AJ095 unless the account has the role ai_operator in its app_metadata now, regardless of an older token.';

create function private.record_operator_action(p_operator_id uuid, p_action text, p_details jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  insert into private.operator_actions (operator_id, action, details)
  values (p_operator_id, p_action, jsonb_strip_nulls(p_details));
end;
$$;
comment on function private.record_operator_action(uuid, text, jsonb) is
  'Checks the role (AJ095) and records what the operator is about to do; the record is rolled back with it.';

create function private.prune_operator_actions(p_limit integer default 1000)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.operator_actions as a
  using (
    select o.id
    from private.operator_actions as o
    where o.created_at < now() - make_interval(days => (select s.operator_action_days from private.janitor_settings as s))
    order by o.created_at
    limit p_limit
  ) as old
  where a.id = old.id;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.prune_operator_actions(integer) is
  'Removes up to p_limit actions of operators that are older than private.janitor_settings.operator_action_days, the oldest '
  'first, and returns how many. Null there removes none. Runs with the janitor.';

create function public.ops_actions(p_operator_id uuid, p_limit integer default 50, p_before_id bigint default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'id', a.id, 'operator_id', a.operator_id, 'operator_email', u.email, 'action', a.action, 'details', a.details,
          'created_at', a.created_at
        )
        order by a.id desc
      ),
      '[]'
    )
    from (
      select a.*
      from private.operator_actions as a
      where p_before_id is null or a.id < p_before_id
      order by a.id desc
      limit least(greatest(p_limit, 1), 101)
    ) as a
    left join auth.users as u on u.id = a.operator_id
  );
end;
$$;
comment on function public.ops_actions(uuid, integer, bigint) is
  'For the console: what operators did, newest first; the next page begins before the last one''s id. AJ095 for anyone but '
  'an operator. service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_actions(uuid, integer, bigint) from public, anon, authenticated;
grant execute on function public.ops_actions(uuid, integer, bigint) to service_role;
