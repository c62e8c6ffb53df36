-- What an operator can do from the console. Each action checks the role, and is one transaction with its record: there is no
-- action without a record, and no record without its action.

create function public.ops_pause(
  p_operator_id uuid,
  p_is_paused boolean,
  p_job_type text default null,
  p_provider text default null,
  p_user_id uuid default null
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(
    p_operator_id,
    case when p_is_paused then 'pause' else 'resume' end,
    jsonb_build_object('job_type', p_job_type, 'provider', p_provider, 'user_id', p_user_id)
  );
  return public.pause_ai_jobs(p_job_type, p_provider, p_user_id, p_is_paused);
end;
$$;
comment on function public.ops_pause(uuid, boolean, text, text, uuid) is
  'For the console: public.pause_ai_jobs. AJ095 for anyone but an operator. service_role only; security definer because the '
  'record is in schema private.';
revoke execute on function public.ops_pause(uuid, boolean, text, text, uuid) from public, anon, authenticated;
grant execute on function public.ops_pause(uuid, boolean, text, text, uuid) to service_role;

create function public.ops_probe_provider(p_operator_id uuid, p_provider text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'probe', jsonb_build_object('provider', p_provider));
  if not exists (select 1 from public.ai_providers as p where p.provider = p_provider) then
    raise exception 'there is no provider %', p_provider using errcode = 'AJ075', detail = 'provider';
  end if;
  update public.ai_providers as p
  set breaker_probe_at = clock_timestamp()
  where p.provider = p_provider and p.breaker_opened_at is not null;
  return found;
end;
$$;
comment on function public.ops_probe_provider(uuid, text) is
  'For the console: lets one job try a provider whose breaker is open, now. False: it is not open. AJ095 for anyone but an '
  'operator. service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_probe_provider(uuid, text) from public, anon, authenticated;
grant execute on function public.ops_probe_provider(uuid, text) to service_role;

create function private.standing_of_ai_job(p_job_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_standing jsonb;
begin
  select jsonb_build_object('job_id', j.id, 'status', j.status, 'spend', j.spend) into v_standing
  from public.ai_jobs as j
  where j.id = p_job_id;
  if v_standing is null then
    raise exception 'there is no job %', p_job_id using errcode = 'AJ075', detail = 'job_id';
  end if;
  return v_standing;
end;
$$;
comment on function private.standing_of_ai_job(uuid) is
  'What an action of the console returns about a job: {job_id, status, spend}. Raises AJ075 when there is none.';

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

create function public.ops_take_back(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'take_back', jsonb_build_object(
    'job_id', p_job_id,
    'provider_object_id', (
      select c.provider_object_id from public.ai_provider_calls as c where c.id = private.last_operator_answer(p_job_id)
    )
  ));
  if not public.take_back_ai_job_answer(p_job_id) then
    raise exception 'no answer about this job can be taken back: there is none, or the job runs, has completed, or has sent '
      'another paid call since' using errcode = 'AJ097', detail = 'job_id';
  end if;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_take_back(uuid, uuid) is
  'For the console: public.take_back_ai_job_answer; returns the job''s new status. AJ097 when there is no answer that can be '
  'taken back, AJ095 for anyone but an operator; then nothing changes. service_role only; security definer because the '
  'record is in schema private.';
revoke execute on function public.ops_take_back(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_take_back(uuid, uuid) to service_role;

create function public.ops_cancel(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'cancel', jsonb_build_object('job_id', p_job_id));
  update public.ai_jobs as j set cancel_requested_at = clock_timestamp() where j.id = p_job_id;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_cancel(uuid, uuid) is
  'For the console: cancels a job as its owner would (AJ071 when it has ended, AJ075 when there is none). AJ095 for anyone '
  'but an operator. service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_cancel(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_cancel(uuid, uuid) to service_role;

create function public.ops_retry(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'retry', jsonb_build_object('job_id', p_job_id));
  update public.ai_jobs as j set retry_requested_at = clock_timestamp() where j.id = p_job_id;
  return private.standing_of_ai_job(p_job_id);
end;
$$;
comment on function public.ops_retry(uuid, uuid) is
  'For the console: retries a failed job as its owner would (AJ070, AJ072, AJ034 and others when it may not; AJ075 when '
  'there is none). AJ095 for anyone but an operator. service_role only; security definer because the record is in schema '
  'private.';
revoke execute on function public.ops_retry(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_retry(uuid, uuid) to service_role;

create function public.ops_set_budget(
  p_operator_id uuid,
  p_budget_micros bigint default null,
  p_user_id uuid default null,
  p_provider text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_operator_action(p_operator_id, 'set_budget', jsonb_build_object(
    'user_id', p_user_id, 'provider', p_provider, 'budget_micros', p_budget_micros, 'is_unlimited', p_budget_micros is null
  ));
  if p_provider is null then
    perform public.set_ai_budget(p_user_id, p_budget_micros);
    return;
  end if;
  update public.ai_providers as p set budget_micros = p_budget_micros where p.provider = p_provider;
  if not found then
    raise exception 'there is no provider %', p_provider using errcode = 'AJ075', detail = 'provider';
  end if;
exception
  when foreign_key_violation then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'user_id';
end;
$$;
comment on function public.ops_set_budget(uuid, bigint, uuid, text) is
  'For the console: sets the monthly budget of a provider, of a user, or, without either, of everyone who has none of their '
  'own; null: no limit, or for a user the default. In millionths of a US dollar. AJ095 for anyone but an operator. '
  'service_role only; security definer because the record is in schema private.';
revoke execute on function public.ops_set_budget(uuid, bigint, uuid, text) from public, anon, authenticated;
grant execute on function public.ops_set_budget(uuid, bigint, uuid, text) to service_role;
