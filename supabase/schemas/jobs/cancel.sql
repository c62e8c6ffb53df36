-- Cancelling and retrying, for the owner of a job.

create function public.cancel_ai_job(p_job_id uuid, p_lease_token uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'cancelled',
      stage = null,
      error_code = 'cancelled',
      error_message = private.cancellation_message(j.spend),
      lease_token = null,
      lease_expires_at = null,
      completed_at = greatest(clock_timestamp(), j.started_at),
      event_seq = j.event_seq + 1,
      last_event = 'cancelled'
  where j.id = p_job_id and j.lease_token = p_lease_token and j.cancel_requested_at is not null;
  return found;
end;
$$;
comment on function public.cancel_ai_job(uuid, uuid) is
  'Ends a claimed job whose owner requested its cancellation; spend on the row says whether it cost money. False: the '
  'lease is lost or no cancellation was requested; nothing changed. service_role only; security definer for the '
  'message in schema private.';
revoke execute on function public.cancel_ai_job(uuid, uuid) from public, anon, authenticated;
grant execute on function public.cancel_ai_job(uuid, uuid) to service_role;

create function private.cancellation_message(p_spend text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select case p_spend
    when 'none' then 'Cancelled before anything was paid.'
    when 'incurred' then 'Cancelled after the AI provider had done paid work.'
    else 'Cancelled during a call to the AI provider; it may have cost money.'
  end;
$$;
comment on function private.cancellation_message(text) is
  'The message to the owner of a cancelled job: whether it cost money.';

create function private.apply_owner_request()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.cancel_requested_at is distinct from old.cancel_requested_at then
    if new.cancel_requested_at is null or old.cancel_requested_at is not null then
      -- A repeated request changes nothing; a request cannot be withdrawn.
      new.cancel_requested_at := old.cancel_requested_at;
    elsif old.status not in ('pending', 'processing') then
      raise exception 'the job is %; only a waiting or running job can be cancelled', old.status using errcode = 'AJ071', detail = 'job_id';
    else
      new.cancel_requested_at := now();
      new.event_seq := old.event_seq + 1;
      new.last_event := 'cancel_requested';
      if old.status = 'pending' then
        new.status := 'cancelled';
        new.queue_key := null;
        new.is_blocked := false;
        new.stage := null;
        new.error_code := 'cancelled';
        new.error_message := private.cancellation_message(old.spend);
        new.completed_at := greatest(clock_timestamp(), old.started_at, old.created_at);
        new.last_event := 'cancelled';
      end if;
    end if;
  end if;

  if new.retry_requested_at is distinct from old.retry_requested_at then
    if old.status <> 'failed' then
      raise exception 'the job is %; only a failed job can be retried', old.status using errcode = 'AJ070', detail = 'job_id';
    end if;
    -- Not spend, which is incurred as soon as one call has succeeded: the outcome of another may still be unknown.
    if exists (
      select 1 from public.ai_provider_calls as c where c.job_id = old.id and c.outcome in ('sent', 'unknown')
    ) then
      raise exception 'it is unknown whether this job was paid for; an operator must resolve it before it can be retried' using
        errcode = 'AJ072', detail = 'job_id';
    end if;
    if old.max_attempts >= 100 then
      raise exception 'the job had % attempts, which is the limit; create a new job', old.attempt using errcode = 'AJ070', detail = 'job_id';
    end if;
    new.retry_requested_at := now();
    new.status := 'pending';
    if old.error_code = 'dependency_failed' and new.depends_on_job_id is null then
      raise exception 'the job that this one depends on was deleted; create a new job' using errcode = 'AJ017', detail = 'job_id';
    end if;
    -- If it is retried with its dependency, it is already blocked; if it is retried alone, the dependency must be
    -- checked.
    if not new.is_blocked then
      new.is_blocked := private.is_dependency_unfinished(new.user_id, new.depends_on_job_id);
    end if;
    new.started_at := null;
    new.max_attempts := least(100, old.attempt + (
      select t.max_attempts from public.ai_job_types as t where t.job_type = old.job_type
    ));
    new.progress_percentage := 0;
    new.stage := case when new.is_blocked then 'waiting_for_dependency' end;
    new.scheduled_at := now();
    new.completed_at := null;
    new.cancel_requested_at := null;
    new.event_seq := old.event_seq + 1;
    new.last_event := 'retry_requested';
  end if;
  return new;
end;
$$;
comment on function private.apply_owner_request() is
  'Row trigger: applies cancel_requested_at and retry_requested_at, the only columns that an owner may change. A '
  'waiting job is cancelled immediately, a running one after its worker''s next heartbeat. A failed job is retried unless '
  'the outcome of one of its paid calls is unknown (AJ072). Security definer because an owner may not read the policy of a '
  'disabled type.';
