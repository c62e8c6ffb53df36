-- For the operator: redriving, resolving and pausing jobs.

create function private.retry_failed_ai_job(p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j set retry_requested_at = clock_timestamp() where j.id = p_job_id;
  return true;
exception
  when sqlstate 'AJ034' or sqlstate 'AJ036' or sqlstate 'AJ037' or sqlstate 'AJ070' or sqlstate 'AJ017' then
    return false;
end;
$$;
comment on function private.retry_failed_ai_job(uuid) is
  'Retries a failed job for the operator. False, and the job stays failed, if its owner has no room for another active '
  'job or voice, it was tried too often, or its dependency was deleted; a redrive continues with the other jobs.';

create function public.redrive_ai_jobs(
  p_job_type text default null,
  p_error_code text default null,
  p_user_id uuid default null,
  p_failed_since timestamptz default '-infinity',
  p_limit integer default 1000
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ids uuid[];
  v_id uuid;
  v_count integer := 0;
begin
  if p_limit is null or p_limit < 1 then
    raise exception 'p_limit must be 1 or more' using errcode = '22023', detail = 'p_limit';
  end if;
  if p_job_type is not null and not exists (select 1 from public.ai_job_types as t where t.job_type = p_job_type) then
    raise exception 'there is no job type %', p_job_type using errcode = 'AJ075', detail = 'p_job_type';
  end if;
  if p_user_id is not null and not exists (select 1 from auth.users as u where u.id = p_user_id) then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
  end if;
  select array_agg(c.id order by c.user_id, c.id) into v_ids
  from (
    select f.id, f.user_id
    from public.ai_jobs as f
    where f.status = 'failed' and f.id in (
      select r.id from private.ai_jobs_with_room(p_job_type, null, p_error_code, p_user_id, p_failed_since) as r
    )
      -- Null as a time selects no job here, while it is no filter in the function above.
      and f.completed_at >= p_failed_since
    order by f.completed_at, f.id
    limit p_limit
    for update skip locked
  ) as c;
  -- Ordered by user, as every function locks quotas: otherwise two parallel redrives could deadlock.
  foreach v_id in array coalesce(v_ids, '{}') loop
    v_count := v_count + private.retry_failed_ai_job(v_id)::integer;
  end loop;
  return v_count;
end;
$$;
comment on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) is
  'Retries failed jobs that match every given filter, oldest first, up to p_limit; returns how many. A job whose owner '
  'has no room for it stays failed. Skips jobs with a paid call of unknown outcome, because each needs a decision '
  '(resolve_unknown_ai_job). Jobs that failed because of their dependency are retried with it. A job type or user that '
  'does not exist is an error (AJ075). For the operator; service_role only; security definer for the retry in schema '
  'private.';
revoke execute on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) from public, anon, authenticated;
grant execute on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) to service_role;

create function private.record_call_change(p_job_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set spend = k.spend,
      error_message = case when j.status = 'cancelled' then private.cancellation_message(k.spend) else j.error_message end,
      provider_job_id = k.provider_object_id,
      cost_micros = k.cost_micros
  from (
    select
      case
        when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
        when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
        else 'none'
      end as spend,
      coalesce(sum(c.cost_micros), 0) as cost_micros,
      (array_agg(c.provider_object_id order by c.settled_at desc) filter (where c.outcome in ('succeeded', 'adopted')))[1]
        as provider_object_id
    from public.ai_provider_calls as c
    where c.job_id = p_job_id
  ) as k
  where j.id = p_job_id;
end;
$$;
comment on function private.record_call_change(uuid) is
  'Updates a job after someone other than its worker has changed the outcome of its call: what the journal says about the '
  'money, and the provider''s id of what was created last.';

create function private.refuse_provider_object(p_call public.ai_provider_calls, p_object_id text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_object_id !~ '^[A-Za-z0-9][A-Za-z0-9._~-]{0,254}$' or p_object_id = p_call.job_id::text then
    raise exception 'provider_object_id must be the id that the provider gave to the object: letters, digits, ".", "_", "~" and "-", '
      'and neither a marker nor the id of the job' using errcode = 'AJ099', detail = 'p_provider_object_id';
  end if;
  if exists (
    select 1 from public.ai_provider_calls as c
    where c.provider = p_call.provider and c.provider_object_id = p_object_id and c.id <> p_call.id
  ) or exists (
    select 1 from private.provider_rows(p_call.provider, p_object_id)
  ) or exists (
    -- Its marker, in the last list of the provider.
    select 1 from private.provider_objects as o
    where o.provider = p_call.provider and o.object_id = p_object_id and o.job_id <> p_call.job_id
  ) or exists (
    select 1 from private.provider_removals as r
    where r.provider = p_call.provider and r.provider_object_id = p_object_id
  ) then
    raise exception 'provider_object_id belongs to another call, or to something that was removed; search for the marker job:%',
      p_call.job_id using errcode = 'AJ098', detail = 'p_provider_object_id';
  end if;
end;
$$;
comment on function private.refuse_provider_object(public.ai_provider_calls, text) is
  'Raises an error unless this id can be of what the call created: AJ099 when it does not have the form of an id, AJ098 '
  'when another call created the object, a row names it, it has another job''s marker, or it was or will be removed. '
  'What the provider has under this id is not known here.';

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
  ) and not private.retry_failed_ai_job(p_job_id) then
    -- It ends now, and not when it was parked: from now on the janitor waits for a retry, and then removes what it made.
    update public.ai_jobs as j set completed_at = clock_timestamp() where j.id = p_job_id;
  end if;
  return true;
end;
$$;
comment on function public.resolve_unknown_ai_job(uuid, boolean, text, uuid) is
  'Records what the operator found out at the provider about a parked job''s paid call: the provider''s id of what it '
  'created, or that it created nothing; the cost follows from that. An id that cannot be of this call is refused (AJ098, '
  'AJ099). A failed job then runs again, with that object or with a new call, unless its owner has no room for another '
  'active job: then it ends now, and the owner can retry it later. A cancelled job stays cancelled. Of several such calls p_call_id names '
  'the one that is meant; without it, that is the one sent first. The job runs again after the last. False, and nothing '
  'changes: the job has no such call, or the named one was already resolved. service_role only; security definer for the '
  'retry in schema private.';
revoke execute on function public.resolve_unknown_ai_job(uuid, boolean, text, uuid) from public, anon, authenticated;
grant execute on function public.resolve_unknown_ai_job(uuid, boolean, text, uuid) to service_role;

create function private.last_operator_answer(p_job_id uuid)
returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select c.id
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.answered_at is not null and c.discarded_at is null
    and not exists (
      select 1 from public.ai_provider_calls as l where l.job_id = p_job_id and l.sent_at >= c.answered_at
    )
  order by c.answered_at desc, c.id desc
  limit 1;
$$;
comment on function private.last_operator_answer(uuid) is
  'The call that an operator answered last, unless the job has sent another one since: that one followed from the answer, '
  'so the answer stays. Null: there is none.';

create function public.take_back_ai_job_answer(p_job_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_call_id uuid;
begin
  -- The job's row first, as everywhere. A worker may be using the answer of a running job.
  perform 1
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('pending', 'failed', 'cancelled')
  for no key update;
  if not found then
    return false;
  end if;
  v_call_id := private.last_operator_answer(p_job_id);
  if v_call_id is null then
    return false;
  end if;
  update public.ai_provider_calls as c
  set outcome = 'unknown', provider_object_id = null, settled_at = null, answered_at = null
  where c.id = v_call_id;
  perform private.record_call_change(p_job_id);
  update public.ai_jobs as j
  set status = 'failed',
      stage = null,
      queue_key = null,
      is_blocked = false,
      error_code = 'outcome_unknown',
      error_message = private.ending_message(j.id, 'outcome_unknown', 'an operator has taken the answer back.'),
      completed_at = coalesce(j.completed_at, greatest(clock_timestamp(), j.started_at, j.created_at)),
      event_seq = j.event_seq + 1,
      last_event = 'failed'
  where j.id = p_job_id and j.status in ('pending', 'failed');
  return true;
end;
$$;
comment on function public.take_back_ai_job_answer(uuid) is
  'Takes back the operator''s last answer about a job (resolve_unknown_ai_job), so that another one can be given: the '
  'outcome of the call is unknown again, its cost is reserved again, and a job that waits or has failed is parked. False, '
  'and nothing changes: there is no such answer, the job has completed or runs, or it has sent another call since. '
  'service_role only; security definer for its parts in schema private.';
revoke execute on function public.take_back_ai_job_answer(uuid) from public, anon, authenticated;
grant execute on function public.take_back_ai_job_answer(uuid) to service_role;

create function public.doubt_provider_call(
  p_job_id uuid,
  p_lease_token uuid,
  p_operation text,
  p_making_seconds integer default 0
)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_call public.ai_provider_calls;
begin
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for no key update;
  if not found then
    return null;
  end if;
  select c.* into v_call
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.operation = p_operation and c.outcome in ('unknown', 'adopted') and c.discarded_at is null;
  if v_call.outcome = 'unknown' and v_call.error_code = 'provider_object_missing' then
    -- The response to an earlier request was lost.
    return 'doubted';
  elsif v_call.outcome is distinct from 'adopted' then
    return 'kept';
  elsif v_call.settled_at > clock_timestamp() - interval '1 minute'
    or v_call.sent_at > clock_timestamp() - make_interval(secs => p_making_seconds) then
    return 'too_early';
  end if;
  update public.ai_provider_calls as c
  set outcome = 'unknown', provider_object_id = null, settled_at = null, answered_at = null,
      error_code = 'provider_object_missing', http_status = null
  where c.id = v_call.id;
  perform private.record_call_change(p_job_id);
  return 'doubted';
end;
$$;
comment on function public.doubt_provider_call(uuid, uuid, text, integer) is
  'For a worker to which the provider said that the object of a step does not exist. doubted: an operator or a lookup had '
  'named the object, and the outcome of the call is unknown again, so that the job ends as outcome_unknown and nothing is '
  'sent again; too_early: that was less than a minute ago, and a list may lag, or the call was sent less than '
  'p_making_seconds ago, and the object is still being made, so query again; kept: the call itself '
  'returned the object, '
  'and nothing changed. Null: the lease is lost. service_role only; security definer for its part in schema private.';
revoke execute on function public.doubt_provider_call(uuid, uuid, text, integer) from public, anon, authenticated;
grant execute on function public.doubt_provider_call(uuid, uuid, text, integer) to service_role;

create function public.pause_ai_jobs(
  p_job_type text default null,
  p_provider text default null,
  p_user_id uuid default null,
  p_is_paused boolean default true
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_paused_at timestamptz := case when p_is_paused then clock_timestamp() end;
  v_changed integer;
  v_count integer := 0;
begin
  if num_nonnulls(p_job_type, p_provider, p_user_id) = 0 then
    raise exception 'pass a job type, a provider or a user' using errcode = 'AJ074', detail = 'p_job_type';
  end if;
  update public.ai_job_types as t set paused_at = v_paused_at where t.job_type = p_job_type;
  get diagnostics v_changed = row_count;
  if p_job_type is not null and v_changed = 0 then
    raise exception 'there is no job type %', p_job_type using errcode = 'AJ075', detail = 'p_job_type';
  end if;
  v_count := v_count + v_changed;
  update public.ai_providers as p set paused_at = v_paused_at where p.provider = p_provider;
  get diagnostics v_changed = row_count;
  if p_provider is not null and v_changed = 0 then
    raise exception 'there is no provider %', p_provider using errcode = 'AJ075', detail = 'p_provider';
  end if;
  v_count := v_count + v_changed;
  if p_user_id is not null then
    insert into public.ai_limits (user_id, paused_at) values (p_user_id, v_paused_at)
    on conflict (user_id) do update set paused_at = excluded.paused_at;
    v_count := v_count + 1;
  end if;
  return v_count;
exception
  when foreign_key_violation then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
end;
$$;
comment on function public.pause_ai_jobs(text, text, uuid, boolean) is
  'Pauses the jobs of the given type, provider and user, or resumes them with p_is_paused => false. Running jobs '
  'continue, waiting jobs keep their place, new jobs are accepted. Returns how many were paused or resumed. A name '
  'that does not exist is an error (AJ075), and nothing changes. service_role only.';
revoke execute on function public.pause_ai_jobs(text, text, uuid, boolean) from public, anon, authenticated;
grant execute on function public.pause_ai_jobs(text, text, uuid, boolean) to service_role;

create view private.ai_job_dead_letters
with (security_invoker = true)
as
select
  j.id, j.user_id, j.job_type, j.provider, j.error_code, j.error_message, j.attempt, j.spend, j.billable_calls,
  j.provider_job_id, j.created_at, j.completed_at as failed_at,
  (
    select jsonb_agg(
      jsonb_build_object(
        'operation', c.operation, 'attempt', c.attempt, 'outcome', c.outcome, 'error_code', c.error_code,
        'http_status', c.http_status, 'provider_object_id', c.provider_object_id, 'sent_at', c.sent_at
      )
      order by c.sent_at
    )
    from public.ai_provider_calls as c
    where c.job_id = j.id
  ) as provider_calls
from public.ai_jobs as j
where j.status = 'failed' or (
  j.status = 'cancelled'
  and exists (select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown'))
);
comment on view private.ai_job_dead_letters is
  'Failed jobs, and cancelled jobs with a paid call of unknown outcome, with their last cause and all their paid calls. For '
  'the operator.';
revoke all on private.ai_job_dead_letters from public, anon, authenticated, service_role;
