-- A breaker per provider. When a provider keeps failing, its jobs wait instead of failing one by one: nothing is sent
-- and no attempt is spent. One job at a time is sent as a probe, after a growing pause; a normal response lets all jobs
-- continue.
--
-- 5xx, no response and 429 for too many requests count as failures, whether the call is paid or not. A refusal of one
-- request is a normal response, and so is a provider that is still working.
--
-- Submissions and polls are counted apart, because a provider can fail at one of them alone: while it accepts no new
-- work, it may still answer about earlier work. A normal response to a poll does not reset the count of failed submissions.

create function private.is_provider_failure(p_error_code text)
returns boolean
-- plpgsql rather than sql, which Postgres would plan again at each step of a job.
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return coalesce(p_error_code in ('provider_unavailable', 'provider_timeout', 'provider_rate_limited'), false);
end;
$$;
comment on function private.is_provider_failure(text) is
  'Whether the code means that the provider is down or overloaded, rather than a fault of one request or our own load.';

create function private.note_provider_answer(p_provider text, p_job_id uuid, p_is_poll boolean, p_error_code text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- The provider is locked "for no key update": a stronger lock would deadlock with a session that has locked an owner's
  -- limits and inserts a row with a foreign key to the provider.
  if p_error_code is null then
    -- A healthy provider's row is not written.
    update public.ai_providers as p
    set breaker_failures = case when p_is_poll then p.breaker_failures else 0 end,
        breaker_poll_failures =
          case when p_is_poll or p.breaker_opened_at is not null then 0 else p.breaker_poll_failures end,
        breaker_opened_at = case when not n.is_closing then p.breaker_opened_at end,
        breaker_probe_at = case when not n.is_closing then p.breaker_probe_at end,
        breaker_probes = case when n.is_closing then 0 else p.breaker_probes end,
        breaker_probe_job_id = case when not n.is_closing then p.breaker_probe_job_id end
    from (
      select o.provider, not p_is_poll or coalesce(o.breaker_failures < o.breaker_threshold, true) as is_closing
      from public.ai_providers as o
      where o.provider = p_provider
      for no key update
    ) as n
    where p.provider = n.provider
      and case
        when p.breaker_opened_at is not null then p.breaker_probe_job_id = p_job_id
        when p_is_poll then p.breaker_poll_failures > 0
        else p.breaker_failures > 0
      end;
    return;
  end if;
  update public.ai_providers as p
  set breaker_failures = p.breaker_failures + (not p_is_poll)::integer,
      breaker_poll_failures = p.breaker_poll_failures + p_is_poll::integer,
      breaker_last_error_code = p_error_code,
      breaker_opened_at = n.opened_at,
      breaker_probes = n.probes,
      breaker_probe_at = case
        when n.opened_at is not null then clock_timestamp()
          + make_interval(secs => least(p.breaker_pause_seconds * power(2, least(n.probes, 20)), p.breaker_max_pause_seconds))
      end,
      breaker_probe_job_id = null
  from (
    select o.provider,
      case
        when o.breaker_opened_at is not null then o.breaker_opened_at
        when case when p_is_poll then o.breaker_poll_failures else o.breaker_failures end + 1 >= o.breaker_threshold
          then clock_timestamp()
      end as opened_at,
      o.breaker_probes + (o.breaker_opened_at is not null)::integer as probes
    from public.ai_providers as o
    where o.provider = p_provider
    for no key update
  ) as n
  where p.provider = n.provider
    -- Calls that were in flight when the breaker opened carry no new information.
    and (p.breaker_opened_at is null or p.breaker_probe_job_id = p_job_id);
end;
$$;
comment on function private.note_provider_answer(text, uuid, boolean, text) is
  'Counts a failure of a provider (p_error_code), or a normal response (null), to a poll or to a submission. Opens the '
  'breaker at the threshold of either. While it is open only the probe counts: its failure lengthens the pause; its '
  'normal response closes the breaker, but a poll''s only if submissions were not what opened it. Security definer '
  'because triggers call it for every role that changes a job.';

create function private.is_poll(p_job public.ai_jobs)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  return p_job.spend = 'incurred' and not exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job.id and c.outcome in ('sent', 'unknown')
  );
end;
$$;
comment on function private.is_poll(public.ai_jobs) is
  'Whether a call of this job that is not journalled is about paid work that the provider has accepted. Otherwise it '
  'prepares a submission, or queries the outcome of one. Security definer because security definer functions call it.';

create function private.note_failed_attempt(p_job public.ai_jobs, p_error_code text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if not private.is_provider_failure(p_error_code) or p_job.cancel_requested_at is not null then
    return false;
  end if;
  -- A refused paid call was already counted when it was settled.
  if p_job.last_event <> 'settled' then
    perform private.note_provider_answer(p_job.provider, p_job.id, private.is_poll(p_job), p_error_code);
  end if;
  return exists (
    select 1 from public.ai_providers as p where p.provider = p_job.provider and p.breaker_opened_at is not null
  );
end;
$$;
comment on function private.note_failed_attempt(public.ai_jobs, text) is
  'Counts an attempt that ended with a failure of the provider; true while the breaker is open. Security definer '
  'because it calls a security definer function.';

create function private.note_snoozed_job(p_job public.ai_jobs, p_error_code text)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if private.is_provider_failure(p_error_code) then
    if p_job.cancel_requested_at is null then
      perform private.note_provider_answer(p_job.provider, p_job.id, private.is_poll(p_job), p_error_code);
    end if;
    return (select p.breaker_probe_at from public.ai_providers as p where p.provider = p_job.provider);
  end if;
  if p_error_code is null and exists (
    select 1 from public.ai_providers as p
    where p.provider = p_job.provider and (p.breaker_poll_failures > 0 or p.breaker_opened_at is not null)
  ) and private.is_poll(p_job) then
    perform private.note_provider_answer(p_job.provider, p_job.id, true, null);
  end if;
  return null;
end;
$$;
comment on function private.note_snoozed_job(public.ai_jobs, text) is
  'Counts for the breaker why a job is snoozed: a failure of the provider, or, without a code, paid work that it has '
  'not finished yet. A job that waits to query a lost call says nothing. Returns, after a failure, when the next probe '
  'may start if the breaker is open. Security definer because it calls a security definer function.';

create function private.note_completed_jobs(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_job record;
begin
  for v_job in
    select j.id, j.provider
    from public.ai_jobs as j
    -- A healthy provider's row is not written.
    join public.ai_providers as p
      on p.provider = j.provider and (p.breaker_poll_failures > 0 or p.breaker_opened_at is not null)
    where j.id = any (p_job_ids) and j.status = 'completed' and j.cached_from_job_id is null
    order by j.provider, j.id
  loop
    perform private.note_provider_answer(v_job.provider, v_job.id, true, null);
  end loop;
end;
$$;
comment on function private.note_completed_jobs(uuid[]) is
  'Counts a normal response to a poll for each of these jobs that was completed by a worker. The submission''s own '
  'response is counted when its call is settled. Security definer because it calls a security definer function.';

create view private.ai_provider_states
with (security_invoker = true)
as
select
  p.provider,
  case
    when p.paused_at is not null then 'paused'
    when p.breaker_opened_at is null then 'working'
    when p.breaker_probe_at <= clock_timestamp() then 'probing'
    else 'open'
  end as state,
  greatest(p.breaker_failures, p.breaker_poll_failures) as failures_in_a_row,
  case when p.breaker_failures + p.breaker_poll_failures > 0 then p.breaker_last_error_code end as last_error_code,
  p.breaker_opened_at as open_since,
  p.breaker_probe_at as next_probe_at,
  p.breaker_probes as failed_probes,
  (select count(*) from public.ai_jobs as j where j.provider = p.provider and j.status = 'processing') as running,
  (select count(*) from public.ai_jobs as j where j.provider = p.provider and j.status = 'pending') as waiting
from public.ai_providers as p;
comment on view private.ai_provider_states is
  'Each provider: working, paused, open (its jobs wait) or probing (one job at a time tries it). For the operator.';
revoke all on private.ai_provider_states from public, anon, authenticated, service_role;
