-- The other ends of an attempt: fail, snooze, release.

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

create function private.ending_message(p_job_id uuid, p_error_code text, p_last_cause text)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select concat_ws(
    ' ',
    case p_error_code
      when 'outcome_unknown' then 'It is unknown whether the AI provider did the work; it was not sent again.'
      when 'job_expired' then 'The job did not finish within the time limit of its type.'
    end,
    case when p_error_code = 'outcome_unknown' then (
      select string_agg(
        format(
          'Its call %s %s.',
          c.operation,
          case
            when c.error_code is null then 'was interrupted before a response arrived'
            else 'ended with ' || c.error_code || coalesce(' (HTTP ' || c.http_status || ')', '')
          end
        ),
        ' ' order by c.sent_at
      )
      from public.ai_provider_calls as c
      where c.job_id = p_job_id and c.outcome in ('sent', 'unknown')
    ) end,
    'Last: ' || p_last_cause
  );
$$;
comment on function private.ending_message(uuid, text, text) is
  'The error message for outcome_unknown, with how the calls in question ended, or for job_expired; followed by the '
  'last known cause. All of it is safe to show to the owner.';

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
  v_is_outage boolean;
  v_retry boolean;
  v_is_unknown boolean;
  v_status text;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return null;
  end if;
  v_is_outage := private.note_failed_attempt(v_job, p_error_code) and p_is_retryable;
  v_retry := v_is_outage or (p_is_retryable and v_job.attempt < v_job.max_attempts);
  -- A worker that gives up no longer waits for the response.
  update public.ai_provider_calls as c set outcome = 'unknown' where c.job_id = p_job_id and c.outcome = 'sent';
  v_is_unknown := not v_retry and exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job_id and c.outcome in ('sent', 'unknown')
  );
  update public.ai_jobs as j
  set status = case when v_retry then 'pending' else 'failed' end,
      attempt = j.attempt - v_is_outage::integer,
      progress_percentage = case when v_retry then 0 else j.progress_percentage end,
      error_code = case when v_is_unknown then 'outcome_unknown' else p_error_code end,
      error_message =
        case when v_is_unknown then private.ending_message(j.id, 'outcome_unknown', p_error_message) else p_error_message end,
      scheduled_at = case
        when v_retry then clock_timestamp() + greatest(
          -- While the breaker is open, it decides when the job may be retried.
          case when v_is_outage then interval '0' else private.ai_job_backoff(j.job_type, j.attempt) end,
          make_interval(secs => least(coalesce(p_retry_after_seconds, 0), 3600))
        )
        else j.scheduled_at
      end,
      lease_token = null,
      lease_expires_at = null,
      completed_at = case when v_retry then null else greatest(clock_timestamp(), j.started_at) end,
      event_seq = j.event_seq + 1,
      last_event = case when v_retry then 'retried' else 'failed' end
  where j.id = p_job_id
  returning j.status into v_status;
  return v_status;
end;
$$;
comment on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) is
  'Ends an attempt. Back to pending after the backoff (at least p_retry_after_seconds, up to an hour of it) while '
  'attempts are left and the error is retryable; otherwise failed. A job that fails with a paid call of unknown '
  'outcome gets outcome_unknown, and its message keeps the given cause. A retryable failure of a provider whose '
  'breaker is open spends no attempt. Returns the new status, which is cancelled if the owner has requested that '
  'meanwhile; null if the lease is lost. service_role only; security definer for the backoff in schema private.';
revoke execute on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) from public, anon, authenticated;
grant execute on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) to service_role;

create function public.snooze_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_delay_seconds double precision,
  p_stage text default null,
  p_error_code text default null,
  p_error_message text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_probe_at timestamptz;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return false;
  end if;
  v_probe_at := private.note_snoozed_job(v_job, p_error_code);
  update public.ai_jobs as j
  set status = 'pending',
      attempt = j.attempt - 1,
      stage = coalesce(p_stage, j.stage),
      error_code = p_error_code,
      error_message = p_error_message,
      -- While the breaker is open, it decides when the job may run.
      scheduled_at = least(
        clock_timestamp() + make_interval(secs => least(greatest(p_delay_seconds, 0), 3600)), v_probe_at
      ),
      lease_token = null,
      lease_expires_at = null,
      event_seq = j.event_seq + 1,
      last_event = 'snoozed'
  where j.id = p_job_id;
  return true;
end;
$$;
comment on function public.snooze_ai_job(uuid, uuid, double precision, text, text, text) is
  'Requeues a claimed job for later without spending the attempt: the provider is still working, its listing may lag, '
  'or, with p_error_code, a call that is not in the journal failed. The job shows that code while it waits, and the '
  'breaker counts it if the provider is at fault. False: the lease is lost. service_role only; security definer for the breaker '
  'in schema private.';
revoke execute on function public.snooze_ai_job(uuid, uuid, double precision, text, text, text) from public, anon, authenticated;
grant execute on function public.snooze_ai_job(uuid, uuid, double precision, text, text, text) to service_role;

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
  'Requeues a claimed job immediately and returns its attempt: the worker is shutting down. False: the lease is lost. '
  'service_role only.';
revoke execute on function public.release_ai_job(uuid, uuid) from public, anon, authenticated;
grant execute on function public.release_ai_job(uuid, uuid) to service_role;

create function private.finish_instead_of_requeue()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_is_too_old boolean;
begin
  if new.cancel_requested_at is not null then
    new.status := 'cancelled';
    new.error_code := 'cancelled';
    new.error_message := private.cancellation_message(new.spend);
    new.last_event := 'cancelled';
  else
    select old.started_at < clock_timestamp() - make_interval(secs => t.max_age_seconds)
      -- What was paid for late, after an outage or a pause, still gets its time: otherwise it would be paid for without a result.
      and not exists (
        select 1
        from public.ai_provider_calls as c
        where c.job_id = new.id and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
          and c.sent_at >= clock_timestamp() - make_interval(secs => t.max_age_seconds)
      )
    into v_is_too_old
    from public.ai_job_types as t
    where t.job_type = new.job_type;
    if not v_is_too_old then
      return new;
    end if;
    new.status := 'failed';
    new.error_code := case
      when exists (
        select 1 from public.ai_provider_calls as c where c.job_id = new.id and c.outcome in ('sent', 'unknown')
      ) then 'outcome_unknown'
      else 'job_expired'
    end;
    new.error_message := private.ending_message(new.id, new.error_code, new.error_message);
    new.last_event := 'failed';
  end if;
  new.stage := null;
  new.completed_at := greatest(clock_timestamp(), new.started_at);
  return new;
end;
$$;
comment on function private.finish_instead_of_requeue() is
  'Row trigger: a running job that fails is cancelled if its owner has requested that: nobody may run it again. One that is '
  'released, snoozed, retried or rescued ends instead of waiting again if its owner has cancelled it, or if it is older than its type allows, counted from its start and from its last paid call. So no '
  'job is requeued forever. Security definer because '
  'it reads the type''s policy for every role that requeues a job.';
