-- Consequences of status changes for dependents, quotas, breakers, calls and checkpoints.

create function private.follow_changed_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
set enable_nestloop = off
as $$
declare
  v_stopped uuid[];
  v_ended uuid[];
  v_reopened uuid[];
begin
  -- Claims, heartbeats and the steps of a paid call have no consequences.
  if not exists (select 1 from updated as n where n.status <> 'processing') then
    return null;
  end if;
  select
    array_agg(n.id) filter (where o.status = 'processing'),
    array_agg(n.id) filter (where n.status in ('completed', 'failed', 'cancelled')),
    array_agg(n.id) filter (where o.status in ('completed', 'failed', 'cancelled'))
  into v_stopped, v_ended, v_reopened
  from updated as n
  join outdated as o on o.id = n.id
  where n.status <> o.status;
  if v_ended is not null then
    perform private.follow_ai_job_dependency(v_ended);
  end if;
  if v_reopened is not null then
    perform private.follow_ai_job_dependency(v_reopened);
    perform private.charge_reopened_ai_jobs(v_reopened);
  end if;
  if v_stopped is not null then
    perform private.note_completed_jobs(v_stopped);
    perform private.mark_open_calls_unknown(v_stopped);
  end if;
  if v_ended is not null then
    perform private.forget_checkpoints(v_ended);
  end if;
  return null;
end;
$$;
comment on function private.follow_changed_ai_jobs() is
  'Statement trigger: applies the consequences of status changes to dependents, quotas, the provider''s breaker, open '
  'calls and checkpoints. One trigger, because each one costs time at every step of a job. Security definer because it '
  'calls security definer functions.';
