-- Requeues jobs whose worker died.

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
    select j.id
    from public.ai_jobs as j
    where j.status = 'processing' and j.lease_expires_at <= clock_timestamp()
    order by j.lease_expires_at
    limit p_limit
    for update of j skip locked
  ),
  -- From now on, a call whose sender died has an unknown outcome.
  marked as (
    update public.ai_provider_calls as c
    set outcome = 'unknown'
    from stalled as s
    where c.job_id = s.id and c.outcome = 'sent'
    returning c.job_id
  ),
  decided as (
    select s.id, k.has_open_call, m.job_id is not null as has_lost_call, m.job_id is not null or k.is_paid as gets_another
    from stalled as s
    left join marked as m on m.job_id = s.id
    -- Job by job through the index, because the journal grows with the age of the project.
    cross join lateral (
      select
        coalesce(bool_or(c.outcome in ('sent', 'unknown')), false) as has_open_call,
        coalesce(bool_or(c.outcome in ('succeeded', 'adopted')), false) as is_paid
      from public.ai_provider_calls as c
      where c.job_id = s.id
    ) as k
  )
  update public.ai_jobs as j
  set
    -- A last attempt that died during a paid call gets one more claim, to query the provider. This cannot repeat,
    -- because the call is then no longer 'sent'. A last attempt that died with a paid result is retried until the job
    -- expires.
    attempt = j.attempt - (j.attempt >= j.max_attempts and d.gets_another)::integer,
    status = case when j.attempt < j.max_attempts or d.gets_another then 'pending' else 'failed' end,
    progress_percentage =
      case when j.attempt < j.max_attempts or d.gets_another then 0 else j.progress_percentage end,
    scheduled_at = case
      when j.attempt <= 1 or d.has_lost_call then clock_timestamp()
      else clock_timestamp() + private.ai_job_backoff(j.job_type, j.attempt - 1)
    end,
    error_code = case when d.has_open_call and j.attempt >= j.max_attempts then 'outcome_unknown' else 'lease_expired' end,
    error_message = case
      when d.has_open_call and j.attempt >= j.max_attempts
        then private.ending_message(j.id, 'outcome_unknown', 'The worker stopped responding.')
      else 'The worker stopped responding.'
    end,
    completed_at = case when j.attempt < j.max_attempts or d.gets_another then null else greatest(clock_timestamp(), j.started_at) end,
    lease_token = null,
    lease_expires_at = null,
    event_seq = j.event_seq + 1,
    last_event = case when j.attempt < j.max_attempts or d.gets_another then 'rescued' else 'failed' end
  from decided as d
  where j.id = d.id
  returning j.id, j.status;
end;
$$;
comment on function public.rescue_stalled_ai_jobs(integer) is
  'Requeues jobs whose lease has expired: to pending (the attempt stays spent; immediately after the first, with backoff '
  'later), or to failed with lease_expired or outcome_unknown when no attempts are left. Called by the sweep. '
  'service_role only; security definer for the backoff in schema private.';
revoke execute on function public.rescue_stalled_ai_jobs(integer) from public, anon, authenticated;
grant execute on function public.rescue_stalled_ai_jobs(integer) to service_role;
