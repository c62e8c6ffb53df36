-- The queue: claim, then writes that carry the lease token, then one ending. All of it is for service_role alone
-- and decided by the database's clock; docs/job-lifecycle.md draws it.

create function public.claim_ai_jobs(p_limit integer, p_job_ids uuid[] default null)
returns setof public.ai_jobs
language sql
volatile
security invoker
set search_path = ''
as $$
  with due as (
    select j.id, t.lease_seconds
    from public.ai_jobs as j
    join public.ai_job_types as t on t.job_type = j.job_type
    where j.status = 'pending'
      and j.scheduled_at <= now()
      and j.attempt < j.max_attempts
      and t.is_enabled
      and (p_job_ids is null or j.id = any (p_job_ids))
    order by j.priority, j.scheduled_at, j.id
    limit p_limit
    for update of j skip locked
  )
  update public.ai_jobs as j
  set status = 'processing',
      attempt = j.attempt + 1,
      lease_token = gen_random_uuid(),
      lease_expires_at = clock_timestamp() + make_interval(secs => due.lease_seconds),
      -- Never before created_at: after a failover to a machine whose clock is behind, one such row would otherwise
      -- fail its check and with it every claim.
      started_at = coalesce(j.started_at, greatest(clock_timestamp(), j.created_at)),
      stage = 'claimed',
      event_seq = j.event_seq + 1,
      last_event = 'claimed'
  from due
  where j.id = due.id
  returning j.*;
$$;
comment on function public.claim_ai_jobs(integer, uuid[]) is
  'Takes up to p_limit due jobs (of p_job_ids, or any) for the caller: status processing, attempt + 1, a fresh lease '
  'token. Two callers never get the same job; 0 rows: nothing is due. service_role only.';

create table private.dispatch_receipts (
  message_id text not null,
  received_at timestamptz not null default clock_timestamp(),
  constraint dispatch_receipts_pkey primary key (message_id),
  constraint dispatch_receipts_message_id_length check (length(message_id) between 1 and 128)
);
comment on table private.dispatch_receipts is
  'Ids of the dispatches of the last minutes, so that a recorded request cannot be played again. The sweep prunes it.';
create index dispatch_receipts_received_at_idx on private.dispatch_receipts (received_at);
alter table private.dispatch_receipts enable row level security;
revoke all on private.dispatch_receipts from public, anon, authenticated, service_role;

create function public.claim_dispatched_ai_jobs(
  p_message_id text,
  p_sent_at_unix double precision,
  p_limit integer,
  p_job_ids uuid[]
)
returns setof public.ai_jobs
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_sent_at_unix is null or abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > 300 then
    raise exception 'dispatch % is older or newer than five minutes', p_message_id using errcode = 'AJ040';
  end if;
  insert into private.dispatch_receipts (message_id) values (p_message_id) on conflict do nothing;
  if not found then
    raise exception 'dispatch % was delivered before', p_message_id using errcode = 'AJ041';
  end if;
  return query select c.* from public.claim_ai_jobs(p_limit, p_job_ids) as c;
end;
$$;
comment on function public.claim_dispatched_ai_jobs(text, double precision, integer, uuid[]) is
  'claim_ai_jobs for a dispatch whose signature the caller has verified: also refuses one that is more than five '
  'minutes old or ahead (AJ040) by this clock, not the worker''s, and one delivered before (AJ041). service_role only. '
  'Security definer because the receipts lie in schema private.';

create function public.heartbeat_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_progress integer default null,
  p_stage text default null
)
returns table (lease_expires_at timestamptz, is_cancel_requested boolean)
language sql
volatile
security invoker
set search_path = ''
as $$
  update public.ai_jobs as j
  set lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      -- least() passes over nulls, so a beat without progress would otherwise count as 99.
      progress_percentage = greatest(j.progress_percentage, least(coalesce(p_progress, 0), 99)),
      stage = coalesce(p_stage, j.stage),
      event_seq = j.event_seq + (p_progress is not null or p_stage is not null)::integer,
      last_event = case when p_progress is not null or p_stage is not null then 'progress' else j.last_event end
  from public.ai_job_types as t
  where j.id = p_job_id
    and j.lease_token = p_lease_token
    and t.job_type = j.job_type
  returning j.lease_expires_at, j.cancel_requested_at is not null;
$$;
comment on function public.heartbeat_ai_job(uuid, uuid, integer, text) is
  'Extends the lease and, when given, reports progress (never backwards, never 100) and stage. 0 rows: the lease is '
  'lost, stop. service_role only.';

create function public.complete_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_result_data jsonb,
  p_output_url text default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'completed',
      progress_percentage = 100,
      stage = null,
      result_data = p_result_data,
      output_url = p_output_url,
      error_code = null,
      error_message = null,
      lease_token = null,
      lease_expires_at = null,
      completed_at = greatest(clock_timestamp(), j.started_at),
      event_seq = j.event_seq + 1,
      last_event = 'completed'
  where j.id = p_job_id and j.lease_token = p_lease_token;
  return found;
end;
$$;
comment on function public.complete_ai_job(uuid, uuid, jsonb, text) is
  'Ends a claimed job as completed. False: the lease is lost and nothing changed. Job types whose result is also a row '
  'have their own complete_… function that calls this one in the same transaction. service_role only.';

create function public.complete_voice_clone_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_result_data jsonb,
  p_voice jsonb
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if not public.complete_ai_job(p_job_id, p_lease_token, p_result_data) then
    return false;
  end if;
  insert into public.voices (
    user_id, job_id, provider, provider_voice_id, name, description, labels, stability, similarity_boost, sample_url
  )
  select
    j.user_id, j.id, j.provider, v.provider_voice_id, v.name, v.description, coalesce(v.labels, '{}'), v.stability,
    v.similarity_boost, j.input_url
  from public.ai_jobs as j
  cross join jsonb_to_record(p_voice) as v (
    provider_voice_id text, name text, description text, labels jsonb, stability numeric, similarity_boost numeric
  )
  where j.id = p_job_id;
  return true;
end;
$$;
comment on function public.complete_voice_clone_job(uuid, uuid, jsonb, jsonb) is
  'complete_ai_job and the voices row, in one commit. p_voice: provider_voice_id, name, description, labels, stability, '
  'similarity_boost. False: the lease is lost and nothing changed. service_role only.';

create function private.ai_job_backoff(p_job_type text, p_attempt integer)
returns interval
language sql
volatile
security invoker
set search_path = ''
as $$
  select make_interval(
    secs => least(t.backoff_base_seconds * power(2, greatest(p_attempt, 1) - 1), t.backoff_max_seconds)
      * (0.8 + 0.4 * random())
  )
  from public.ai_job_types as t
  where t.job_type = p_job_type;
$$;
comment on function private.ai_job_backoff(text, integer) is
  'Wait after a failed attempt: base × 2^(attempt-1) seconds of the job type, capped, ±20 % so that jobs that failed '
  'together do not return together.';

create function public.fail_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_error_code text,
  p_error_message text,
  p_is_retryable boolean,
  p_retry_after_seconds double precision default null
)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_retry boolean;
  v_is_unknown boolean;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return null;
  end if;
  v_retry := p_is_retryable and v_job.attempt < v_job.max_attempts;
  v_is_unknown := not v_retry and exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job_id and c.outcome in ('sent', 'unknown')
  );
  update public.ai_jobs as j
  set status = case when v_retry then 'pending' else 'failed' end,
      progress_percentage = case when v_retry then 0 else j.progress_percentage end,
      error_code = case when v_is_unknown then 'outcome_unknown' else p_error_code end,
      error_message = p_error_message,
      scheduled_at = case
        when v_retry then clock_timestamp() + greatest(
          private.ai_job_backoff(j.job_type, j.attempt),
          make_interval(secs => least(coalesce(p_retry_after_seconds, 0), 3600))
        )
        else j.scheduled_at
      end,
      lease_token = null,
      lease_expires_at = null,
      completed_at = case when v_retry then null else greatest(clock_timestamp(), j.started_at) end,
      event_seq = j.event_seq + 1,
      last_event = case when v_retry then 'retried' else 'failed' end
  where j.id = p_job_id;
  return case when v_retry then 'pending' else 'failed' end;
end;
$$;
comment on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) is
  'Ends an attempt: back to pending after backoff (at least p_retry_after_seconds, at most an hour of it) while attempts '
  'are left and the error is retryable, else failed; failed with a paid call of unknown outcome is outcome_unknown. '
  'Returns the new status, null when the lease is lost. service_role only; security definer for the backoff in private.';

create function public.snooze_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_delay_seconds double precision,
  p_stage text default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'pending',
      attempt = j.attempt - 1,
      stage = coalesce(p_stage, j.stage),
      scheduled_at = clock_timestamp() + make_interval(secs => least(greatest(p_delay_seconds, 0), 3600)),
      lease_token = null,
      lease_expires_at = null,
      event_seq = j.event_seq + 1,
      last_event = 'snoozed'
  where j.id = p_job_id and j.lease_token = p_lease_token;
  return found;
end;
$$;
comment on function public.snooze_ai_job(uuid, uuid, double precision, text) is
  'Puts a claimed job back for later without spending the attempt: the provider is still at work, or its listing may '
  'lag. False: the lease is lost. service_role only.';

create function public.release_ai_job(p_job_id uuid, p_lease_token uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'pending',
      attempt = j.attempt - 1,
      scheduled_at = clock_timestamp(),
      lease_token = null,
      lease_expires_at = null,
      event_seq = j.event_seq + 1,
      last_event = 'released'
  where j.id = p_job_id and j.lease_token = p_lease_token;
  return found;
end;
$$;
comment on function public.release_ai_job(uuid, uuid) is
  'Hands a claimed job back at once, attempt included: the runner is being shut down. False: the lease is lost. '
  'service_role only.';

create function public.rescue_stalled_ai_jobs(p_limit integer default 500)
returns table (job_id uuid, status text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  return query
  with stalled as (
    select j.id,
      exists (
        select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
      ) as has_open_call
    from public.ai_jobs as j
    where j.status = 'processing' and j.lease_expires_at <= clock_timestamp()
    order by j.lease_expires_at
    limit p_limit
    for update of j skip locked
  ),
  -- A call whose sender died has an unknown outcome from now on.
  marked as (
    update public.ai_provider_calls as c
    set outcome = 'unknown'
    from stalled as s
    where c.job_id = s.id and c.outcome = 'sent'
    returning c.job_id
  ),
  decided as (
    select s.id, s.has_open_call, m.job_id is not null as gets_look_up
    from stalled as s
    left join marked as m on m.job_id = s.id
  )
  update public.ai_jobs as j
  set
    -- A last attempt that died inside a paid call gets one more claim, to ask the provider what became of it. It
    -- cannot repeat: by then the call is no longer 'sent'.
    attempt = j.attempt - (j.attempt >= j.max_attempts and d.gets_look_up)::integer,
    status = case when j.attempt < j.max_attempts or d.gets_look_up then 'pending' else 'failed' end,
    progress_percentage =
      case when j.attempt < j.max_attempts or d.gets_look_up then 0 else j.progress_percentage end,
    scheduled_at = case
      when j.attempt <= 1 or d.gets_look_up then clock_timestamp()
      else clock_timestamp() + private.ai_job_backoff(j.job_type, j.attempt - 1)
    end,
    error_code = case when d.has_open_call and j.attempt >= j.max_attempts then 'outcome_unknown' else 'lease_expired' end,
    error_message = 'The work stopped without an answer.',
    completed_at = case when j.attempt < j.max_attempts or d.gets_look_up then null else greatest(clock_timestamp(), j.started_at) end,
    lease_token = null,
    lease_expires_at = null,
    event_seq = j.event_seq + 1,
    last_event = case when j.attempt < j.max_attempts or d.gets_look_up then 'rescued' else 'failed' end
  from decided as d
  where j.id = d.id
  returning j.id, j.status;
end;
$$;
comment on function public.rescue_stalled_ai_jobs(integer) is
  'Takes back jobs whose lease has run out: to pending (the attempt stays spent; at once after the first, with backoff '
  'later), or to failed with lease_expired or outcome_unknown when attempts are used up. Called by the sweep. '
  'service_role only; security definer for the backoff in private.';

do $$
declare
  v_function regprocedure;
begin
  foreach v_function in array array[
    'public.claim_ai_jobs(integer, uuid[])',
    'public.claim_dispatched_ai_jobs(text, double precision, integer, uuid[])',
    'public.heartbeat_ai_job(uuid, uuid, integer, text)',
    'public.complete_ai_job(uuid, uuid, jsonb, text)',
    'public.complete_voice_clone_job(uuid, uuid, jsonb, jsonb)',
    'public.fail_ai_job(uuid, uuid, text, text, boolean, double precision)',
    'public.snooze_ai_job(uuid, uuid, double precision, text)',
    'public.release_ai_job(uuid, uuid)',
    'public.rescue_stalled_ai_jobs(integer)'
  ]::regprocedure[] loop
    execute format('revoke execute on function %s from public, anon, authenticated', v_function);
    execute format('grant execute on function %s to service_role', v_function);
  end loop;
end;
$$;
