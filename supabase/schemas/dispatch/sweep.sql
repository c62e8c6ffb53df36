-- The sweep: guarantees that every due job that no worker runs is dispatched again.

create function private.sweep_ai_jobs()
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

create function private.prune_ai_job_leftovers()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from public.ai_result_cache as c where c.expires_at < now();
  delete from private.storage_removals as r where r.done_at < now() - interval '30 days';
  delete from public.pending_uploads as u where u.stored_at is null and u.expires_at < now();
  -- A run that a restart of Postgres ended has no end.
  delete from cron.job_run_details as d where coalesce(d.end_time, d.start_time) < now() - interval '1 day';
end;
$$;
comment on function private.prune_ai_job_leftovers() is
  'Hourly: removes expired cache entries, records of files that were removed a month ago (their names may identify '
  'people who have left), expired upload URLs, and pg_cron''s own history, which would grow forever.';
