-- Health: what an operator on call must know, at a cost that does not grow with the number of jobs.

create function private.count_stuck_ai_jobs()
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_blocked_users uuid[] := private.users_without_room();
  v_is_sweeping boolean;
begin
  select r.last_run_at > statement_timestamp() - interval '1 minute' into v_is_sweeping
  from private.ai_schedule_runs as r
  where r.name = 'sweep';
  return (
    -- No worker holds them any more, and the sweep has not rescued them.
    select count(*)
    from public.ai_jobs as j
    where j.status = 'processing' and j.lease_expires_at < statement_timestamp() - interval '1 minute'
  ) + (
    -- Due, with room to run, and no job of the kind was claimed for two minutes.
    select count(*)
    from (
      select t.job_type, p.provider
      from public.ai_job_types as t
      join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
      where t.is_enabled and t.paused_at is null and p.paused_at is null and p.breaker_opened_at is null
        and p.max_concurrent > (
          select count(*) from public.ai_jobs as r where r.status = 'processing' and r.provider = p.provider
        )
        and not exists (
          select 1
          from private.ai_counters as c
          where c.resolution = 60 and c.metric = 'claimed' and c.bucket_at > statement_timestamp() - interval '3 minutes'
            and c.job_type = t.job_type and c.provider = p.provider
        )
      -- So that this is decided by kind, and not for each job that waits.
      offset 0
    ) as l
    cross join lateral (
      select w.user_id
      from public.ai_jobs as w
      where w.job_type = l.job_type and w.provider = l.provider and w.status = 'pending' and w.queue_key is not null
        and w.scheduled_at < statement_timestamp() - interval '2 minutes'
        -- Before the limit: the oldest jobs may all be of one user who is paused.
        and coalesce(w.user_id <> all (v_blocked_users), true)
      order by w.scheduled_at
      limit 200
    ) as w
  ) + case
    when v_is_sweeping then 0
    -- Without the sweep nothing else finds these.
    else (
      select count(*)
      from (
        select 1
        from public.ai_jobs as d
        where d.status = 'pending' and d.queue_key is null and not d.is_blocked
          and d.scheduled_at < statement_timestamp() - interval '2 minutes'
        limit 1000
      ) as d
    )
  end;
end;
$$;
comment on function private.count_stuck_ai_jobs() is
  'Jobs that should make progress and do not: their lease ran out a minute ago; or they have been due for two minutes while their '
  'provider and their owner have room, nothing is paused, and no job of their kind was claimed. Counts at most 200 of a '
  'kind, and 1000 that the sweep has not seen.';

create view private.ai_parked_jobs
with (security_invoker = true)
as
select
  j.id as job_id,
  j.user_id,
  j.job_type,
  j.provider,
  j.status,
  j.error_code,
  j.error_message,
  'job:' || j.id as marker,
  j.created_at,
  j.completed_at as parked_at,
  c.id as call_id,
  c.operation,
  c.attempt,
  c.error_code as call_error_code,
  c.http_status,
  c.estimated_cost_micros,
  c.sent_at,
  c.unknown_since
from public.ai_provider_calls as c
join public.ai_jobs as j on j.id = c.job_id
where c.outcome = 'unknown' and j.status in ('failed', 'cancelled');
comment on view private.ai_parked_jobs is
  'Ended jobs with a paid call of unknown outcome, one row for each such call. The marker is what to '
  'search for at the provider; public.resolve_unknown_ai_job takes the answer. For the operator.';
revoke all on private.ai_parked_jobs from public, anon, authenticated, service_role;

create view private.ai_provider_queues
with (security_invoker = true)
as
with scheduled as (
  select s.provider, count(*) as jobs
  from (
    select j.provider
    from public.ai_jobs as j
    where j.status = 'pending' and j.queue_key is null and not j.is_blocked and j.scheduled_at > statement_timestamp()
    order by j.scheduled_at
    limit 1000
  ) as s
  group by s.provider
)
select
  p.provider,
  greatest(coalesce(w.jobs, 0) - coalesce(s.jobs, 0), 0)::bigint as waiting,
  coalesce(s.jobs, 0)::bigint as scheduled,
  (select count(*) from public.ai_jobs as r where r.status = 'processing' and r.provider = p.provider) as running
from public.ai_providers as p
left join scheduled as s on s.provider = p.provider
left join (
  select c.provider, sum(c.amount) as jobs
  from private.ai_counters as c
  where c.resolution = 0 and c.bucket_at = '-infinity' and c.metric = 'jobs' and c.code = 'pending'
  group by c.provider
) as w on w.provider = p.provider;
comment on view private.ai_provider_queues is
  'How many jobs of each provider wait, are scheduled for later (a start time, a backoff, a snooze), and run. Waiting jobs '
  'include those that wait for another job. Of the scheduled jobs only the next 1000 are counted, of all providers '
  'together; the others count as waiting.';
revoke all on private.ai_provider_queues from public, anon, authenticated, service_role;

create view private.ai_health
with (security_invoker = true)
as
select
  statement_timestamp() as checked_at,
  d.oldest_due_at,
  -- greatest() alone would make 0 of null.
  case
    when d.oldest_due_at is not null
      then greatest(extract(epoch from statement_timestamp() - d.oldest_due_at), 0)::double precision
  end as oldest_due_seconds,
  private.count_stuck_ai_jobs() as stuck,
  (select count(*) from (select distinct k.job_id from private.ai_parked_jobs as k limit 1000) as k) as parked,
  (
    select coalesce(array_agg(p.provider order by p.provider), '{}')
    from public.ai_providers as p
    where p.breaker_opened_at is not null
  ) as open_breakers,
  (select r.last_run_at from private.ai_schedule_runs as r where r.name = 'sweep') as last_sweep_at,
  (select r.last_run_at from private.ai_schedule_runs as r where r.name = 'fold') as last_fold_at,
  (select r.last_run_at from private.ai_schedule_runs as r where r.name = 'janitor') as last_janitor_at,
  (
    select count(*) = 2 from vault.secrets as s where s.name in ('project_url', 'dispatch_secret')
  ) as is_dispatch_configured,
  (
    select count(*)
    from (
      select h.status_code, h.timed_out, h.error_msg, h.created
      from net._http_response as h
      order by h.created desc
      limit 200
    ) as h
    where h.created > statement_timestamp() - interval '10 minutes'
      -- 409 means that it had already been delivered.
      and (h.timed_out or h.error_msg is not null or (h.status_code >= 400 and h.status_code <> 409))
  ) as dispatch_failures,
  (
    select coalesce(
      jsonb_agg(
        jsonb_build_object('provider', q.provider, 'waiting', q.waiting, 'scheduled', q.scheduled, 'running', q.running)
        order by q.provider
      ),
      '[]'
    )
    from private.ai_provider_queues as q
  ) as queue
from (
  select min(w.scheduled_at) as oldest_due_at
  from (
    select (
      select w.scheduled_at
      from public.ai_jobs as w
      where w.job_type = t.job_type and w.provider = p.provider and w.status = 'pending' and w.queue_key is not null
      order by w.scheduled_at
      limit 1
    ) as scheduled_at
    from public.ai_job_types as t
    cross join public.ai_providers as p
    union all
    (
      select w.scheduled_at
      from public.ai_jobs as w
      where w.status = 'pending' and w.queue_key is null and not w.is_blocked and w.scheduled_at <= statement_timestamp()
      order by w.scheduled_at
      limit 1
    )
  ) as w
) as d;
comment on view private.ai_health is
  'What an operator on call must know, in one row: the job that has been due longest, stuck and parked jobs (1000 at most), '
  'open breakers, when sweep, fold and janitor last ran, how many of the last 200 calls to our functions failed in ten '
  'minutes, and the queue by provider. As quick with a million jobs as with ten.';
revoke all on private.ai_health from public, anon, authenticated, service_role;

create function private.ai_failure_share()
returns table (share numeric, accepted numeric, failing_since timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_fewest constant integer := 10;
  v_accepted constant numeric := 0.25;
  v_now constant timestamptz := date_trunc('minute', statement_timestamp());
begin
  return query
  with minutes as (
    select m.at, coalesce(sum(c.amount), 0) as ended, coalesce(sum(c.amount) filter (where c.metric = 'failed'), 0) as failed
    from generate_series(v_now - interval '74 minutes', v_now, interval '1 minute') as m (at)
    left join private.ai_counters as c
      on c.resolution = 60 and c.metric in ('completed', 'failed') and c.bucket_at = m.at
    group by m.at
  ),
  quarters as (
    select s.at, case when s.ended < v_fewest then 0 else round(s.failed / s.ended, 3) end as share
    from (
      select m.at, sum(m.ended) over last_quarter as ended, sum(m.failed) over last_quarter as failed
      from minutes as m
      window last_quarter as (order by m.at rows 14 preceding)
    ) as s
    where s.at > v_now - interval '60 minutes'
  )
  select
    max(q.share) filter (where q.at = v_now),
    v_accepted,
    min(q.at) filter (where q.at > coalesce(k.last_good_at, '-infinity'))
  from quarters as q
  cross join (select max(g.at) as last_good_at from quarters as g where g.share <= v_accepted) as k;
end;
$$;
comment on function private.ai_failure_share() is
  'The one rule for when too many jobs fail, which the checks, the metrics, the alert and the console use. share: of the '
  'jobs that ended in the last 15 minutes, how many failed; 0 when fewer than ten ended. Too many are more than accepted. '
  'failing_since: since which minute that has been so, at most an hour ago; null while it is not.';

create function private.check_ai_health()
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_health private.ai_health;
  v_failures record;
  v_has_janitor boolean;
  v_checks jsonb;
begin
  select h.* into v_health from private.ai_health as h;
  select f.* into v_failures from private.ai_failure_share() as f;
  select exists (select 1 from cron.job as s where s.jobname = 'run-janitor' and s.active) into v_has_janitor;

  select jsonb_agg(
    jsonb_build_object(
      'name', k.name,
      'status', case when k.observed <= k.accepted then 'ok' else k.otherwise end,
      'observed', k.observed,
      'limit', k.accepted,
      'unit', k.unit
    )
    order by k.position
  ) into v_checks
  from (values
    (1, 'sweep_age', extract(epoch from v_health.checked_at - v_health.last_sweep_at), 60, 'seconds', 'failing'),
    (2, 'dispatch_unconfigured', (not v_health.is_dispatch_configured)::integer, 0, 'secrets', 'failing'),
    (3, 'stuck_jobs', v_health.stuck, 0, 'jobs', 'failing'),
    (4, 'dispatch_failures', v_health.dispatch_failures, 10, 'calls', 'degraded'),
    (5, 'open_breakers', cardinality(v_health.open_breakers), 0, 'providers', 'degraded'),
    (6, 'parked_jobs', v_health.parked, 0, 'jobs', 'degraded'),
    (7, 'failed_share', v_failures.share, v_failures.accepted, 'share', 'degraded'),
    (8, 'counters_age', extract(epoch from v_health.checked_at - v_health.last_fold_at), 120, 'seconds', 'degraded'),
    (
      9, 'janitor_age',
      case when v_has_janitor then extract(epoch from v_health.checked_at - v_health.last_janitor_at) else 0 end, 3600,
      'seconds', 'degraded'
    )
  ) as k (position, name, observed, accepted, unit, otherwise);

  return jsonb_build_object(
    'status', case
      when v_checks @> '[{"status": "failing"}]' then 'failing'
      when v_checks @> '[{"status": "degraded"}]' then 'degraded'
      else 'ok'
    end,
    'checked_at', v_health.checked_at,
    'oldest_waiting_seconds', v_health.oldest_due_seconds,
    'queue', v_health.queue,
    'open_breakers', to_jsonb(v_health.open_breakers),
    'failing_since', v_failures.failing_since,
    'checks', v_checks
  );
end;
$$;
comment on function private.check_ai_health() is
  'private.ai_health, judged: {status: ok | degraded | failing, checked_at, oldest_waiting_seconds, queue, open_breakers, '
  'failing_since (private.ai_failure_share), checks: [{name, status, observed, limit, unit}]}. Failing: jobs do not make progress. Degraded: something needs attention.';
