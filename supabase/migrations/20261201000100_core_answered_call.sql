-- An operator's answer about a parked job names the call that it is about. Before, it went to the job's first call with an
-- unknown outcome: if another operator had answered that one meanwhile, to the next. Replaces functions; locks no table.

drop function public.ops_resolve(uuid, uuid, boolean, text, boolean);
drop function public.ops_parked_call(uuid, uuid);
drop function public.resolve_unknown_ai_job(uuid, boolean, text);
drop function private.first_unknown_call(uuid);

create function private.unknown_call(p_job_id uuid, p_call_id uuid)
returns public.ai_provider_calls
language sql
stable
security invoker
set search_path = ''
as $$
  select c.*
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.outcome = 'unknown' and (p_call_id is null or c.id = p_call_id)
  order by c.sent_at, c.id
  limit 1;
$$;
comment on function private.unknown_call(uuid, uuid) is
  'The call of a job with an unknown outcome that an operator''s answer resolves: the given one or, with null, the one that '
  'was sent first. A row of nulls if there is none.';

create function public.resolve_unknown_ai_job(
  p_job_id uuid,
  p_was_made boolean,
  p_provider_object_id text default null,
  p_call_id uuid default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_status text;
  v_call public.ai_provider_calls;
begin
  if p_was_made is null or p_was_made <> (p_provider_object_id is not null) then
    raise exception 'pass the provider''s id of the created object, or p_was_made => false without an id' using
      errcode = 'AJ073', detail = 'p_provider_object_id';
  end if;
  -- The job's row first, as everywhere.
  select j.status into v_status
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('failed', 'cancelled')
  for no key update;
  if v_status is null then
    return false;
  end if;
  v_call := private.unknown_call(p_job_id, p_call_id);
  if v_call.id is null then
    return false;
  end if;
  if p_was_made then
    -- Two jobs that are resolved at the same time must not both get the object.
    perform pg_advisory_xact_lock(hashtextextended('provider_object:' || v_call.provider || ':' || p_provider_object_id, 0));
    perform private.refuse_provider_object(v_call, p_provider_object_id);
  end if;
  update public.ai_provider_calls as c
  set outcome = case when p_was_made then 'adopted' else 'absent' end,
      provider_object_id = p_provider_object_id,
      settled_at = clock_timestamp(),
      answered_at = clock_timestamp()
  where c.id = v_call.id;
  perform private.record_call_change(p_job_id);
  if v_status = 'failed' and not exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job_id and c.outcome = 'unknown'
  ) then
    perform private.retry_failed_ai_job(p_job_id);
  end if;
  return true;
end;
$$;
comment on function public.resolve_unknown_ai_job(uuid, boolean, text, uuid) is
  'Records what the operator found out at the provider about a parked job''s paid call: the provider''s id of what it '
  'created, or that it created nothing; the cost follows from that. An id that cannot be of this call is refused (AJ098, '
  'AJ099). A failed job then runs again, with that object or with a new call, unless its owner has no room for another '
  'active job: then the owner can retry it later. A cancelled job stays cancelled. Of several such calls p_call_id names '
  'the one that is meant; without it, that is the one sent first. The job runs again after the last. False, and nothing '
  'changes: the job has no such call, or the named one was already resolved. service_role only; security definer for the '
  'retry in schema private.';
revoke execute on function public.resolve_unknown_ai_job(uuid, boolean, text, uuid) from public, anon, authenticated;
grant execute on function public.resolve_unknown_ai_job(uuid, boolean, text, uuid) to service_role;

create function private.refuse_answer(p_call_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_call_id is null then
    raise exception 'no call of this job waits for an answer' using errcode = 'AJ097', detail = 'job_id';
  end if;
  raise exception 'call % is not of this job, or does not wait for an answer', p_call_id using errcode = 'AJ097', detail = 'call_id';
end;
$$;
comment on function private.refuse_answer(uuid) is
  'Raises AJ097, naming the call if the answer was about one.';

create function public.ops_parked_call(p_operator_id uuid, p_job_id uuid, p_call_id uuid default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_call public.ai_provider_calls;
  v_text text;
begin
  perform private.require_ai_operator(p_operator_id);
  select j.metadata ->> 'text' into v_text
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('failed', 'cancelled');
  if found then
    v_call := private.unknown_call(p_job_id, p_call_id);
  end if;
  if v_call.id is null then
    perform private.refuse_answer(p_call_id);
  end if;
  return jsonb_build_object(
    'call_id', v_call.id, 'provider', v_call.provider, 'operation', v_call.operation, 'sent_at', v_call.sent_at, 'text', v_text
  );
end;
$$;
comment on function public.ops_parked_call(uuid, uuid, uuid) is
  'For the Edge Function ops: the call of a parked job that an answer resolves (p_call_id, or the one sent first), {call_id, '
  'provider, operation, sent_at, text}, to look its object up at the provider; text is that of the job''s parameters, which '
  'ops compares and never returns. AJ097 when there is none, AJ095 for anyone but an operator. service_role only; security '
  'definer because it reads the jobs of all users.';
revoke execute on function public.ops_parked_call(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_parked_call(uuid, uuid, uuid) to service_role;

create function public.ops_resolve(
  p_operator_id uuid,
  p_job_id uuid,
  p_was_made boolean,
  p_provider_object_id text default null,
  p_is_unchecked boolean default false,
  p_call_id uuid default null
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'resolve', jsonb_build_object(
    'job_id', p_job_id, 'call_id', p_call_id, 'was_made', p_was_made, 'provider_object_id', p_provider_object_id,
    'is_unchecked', p_is_unchecked
  ));
  if not public.resolve_unknown_ai_job(p_job_id, p_was_made, p_provider_object_id, p_call_id) then
    perform private.refuse_answer(p_call_id);
  end if;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_resolve(uuid, uuid, boolean, text, boolean, uuid) is
  'For the console: public.resolve_unknown_ai_job; returns the job''s new status. p_is_unchecked, which is only '
  'recorded: the provider could not be queried. AJ097 when no call of the job waits for an answer, or the named one does '
  'not, AJ095 for anyone but an operator; then nothing changes. service_role only; security definer because the record is '
  'in schema private.';
revoke execute on function public.ops_resolve(uuid, uuid, boolean, text, boolean, uuid) from public, anon, authenticated;
grant execute on function public.ops_resolve(uuid, uuid, boolean, text, boolean, uuid) to service_role;
