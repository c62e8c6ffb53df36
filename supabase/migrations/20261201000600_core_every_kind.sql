-- The sweep dispatches the oldest jobs of each kind first, and the health check counts those of users who are not paused,
-- also behind 200 older ones. Replaces functions; locks no table.

create or replace function private.sweep_ai_jobs()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_rescued integer := 0;
  v_rescue_error text;
  v_chunk uuid[];
  v_dispatched integer := 0;
  v_blocked_users uuid[];
begin
  -- In a separate block: a row that cannot be rescued must not keep the others from being dispatched.
  begin
    select count(*) into v_rescued from public.rescue_stalled_ai_jobs();
  exception when others then
    v_rescue_error := sqlstate || ': ' || sqlerrm;
    raise warning 'stalled ai jobs could not be rescued (%)', v_rescue_error;
  end;

  -- After the rescue, because rescued jobs leave room.
  v_blocked_users := private.users_without_room();
  perform private.ready_due_ai_jobs(1000);
  for v_chunk in
    select array_agg(due.id order by due.position)
    from (
      select chosen.id, row_number() over (order by chosen.worker, chosen.place, chosen.id) as position
      from (
        select j.id, j.place, t.worker
        from public.ai_job_types as t
        cross join public.ai_providers as p
        cross join lateral (
          select p.max_concurrent - count(*) as room
          from public.ai_jobs as r
          where r.status = 'processing' and r.provider = p.provider
        ) as k
        cross join lateral (
          select w.id, row_number() over (order by w.scheduled_at) as place
          from public.ai_jobs as w
          where w.job_type = t.job_type and w.provider = p.provider and w.status = 'pending' and w.queue_key is not null
            and w.attempt < w.max_attempts
            -- No worker could claim them, and each call has a cost. In coalesce for the planner's sake, as in claim_ai_jobs.
            and coalesce(w.user_id <> all (v_blocked_users), true)
          order by w.scheduled_at
          -- More could not be claimed, and each call has a cost.
          limit least(greatest(k.room, 0), 200)
        ) as j
        where t.is_enabled and t.paused_at is null and p.paused_at is null
          and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp())
        -- The oldest of each kind first, so that a kind with many cannot keep the jobs of the others from their worker.
        order by j.place
        limit 200
      ) as chosen
    ) as due
    group by (due.position - 1) / 20
    order by min(due.position)
  loop
    v_dispatched := v_dispatched + cardinality(v_chunk);
    perform private.dispatch_ai_jobs(v_chunk);
  end loop;

  delete from private.dispatch_receipts as r where r.received_at < clock_timestamp() - interval '15 minutes';
  delete from private.expected_claims as e where e.expected_at < clock_timestamp() - interval '15 minutes';
  perform private.note_schedule_run('sweep');
  return jsonb_strip_nulls(jsonb_build_object(
    'rescued', v_rescued, 'dispatched', v_dispatched, 'rescue_error', v_rescue_error
  ));
end;
$$;
comment on function private.sweep_ai_jobs() is
  'The delivery guarantee, run by pg_cron every few seconds: rescues jobs with an expired lease, dispatches due jobs (up to '
  '200 jobs in calls of 20, and no more of a job type than its provider has room for), deletes old receipts. Returns the '
  'counts.';

create or replace function private.count_stuck_ai_jobs()
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
