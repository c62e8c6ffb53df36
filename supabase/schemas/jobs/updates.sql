-- What follows from changed jobs: dependents, quotas, breakers, calls, checkpoints, counts and events.

create function private.follow_updated_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
-- Of a transition table the planner knows no size, and it would keep a plan that compares each row with each.
set enable_nestloop = off
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_carried constant jsonb := nullif(current_setting('private.carried_changes', true), '')::jsonb;
  v_job record;
  v_stopped uuid[];
  v_ended uuid[];
  v_reopened uuid[];
  v_has record;
  v_item jsonb;
  v_has_settlement boolean;
  v_has_report boolean;
  v_data jsonb;
  v_millis bigint;
begin
  -- The first row of each: both tables have one row in most statements.
  select (select count(*) from updated) as jobs,
    n.id, n.user_id, n.job_type, n.provider, n.status, n.attempt, n.progress_percentage, n.stage, n.error_code, n.scheduled_at,
    n.event_seq, n.last_event, n.depends_on_job_id, n.started_at, n.completed_at, o.status as old_status,
    o.event_seq as old_event_seq, o.progress_percentage as old_progress, o.scheduled_at as old_scheduled_at
  into v_job
  from updated as n
  cross join outdated as o;
  if not found then
    return null;
  end if;

  if v_job.jobs = 1 then
    if v_job.status <> v_job.old_status then
      v_stopped := case when v_job.old_status = 'processing' then array[v_job.id] end;
      v_ended := case when v_job.status in ('completed', 'failed', 'cancelled') then array[v_job.id] end;
      v_reopened := case when v_job.old_status in ('completed', 'failed', 'cancelled') then array[v_job.id] end;
    end if;
  -- Claims, heartbeats and the steps of a paid call have no consequences.
  elsif exists (select 1 from updated as n where n.status <> 'processing') then
    select
      array_agg(n.id) filter (where o.status = 'processing'),
      array_agg(n.id) filter (where n.status in ('completed', 'failed', 'cancelled')),
      array_agg(n.id) filter (where o.status in ('completed', 'failed', 'cancelled'))
    into v_stopped, v_ended, v_reopened
    from updated as n
    join outdated as o on o.id = n.id
    where n.status <> o.status;
  end if;
  if v_stopped is not null or v_ended is not null or v_reopened is not null then
    -- One statement that says what there is to do: most jobs have neither dependents nor an open call, and so on.
    select
      exists (
        select 1 from public.ai_jobs as j
        where j.depends_on_job_id = any (v_ended || v_reopened) and (j.is_blocked or j.error_code = 'dependency_failed')
      ) as dependents,
      -- A healthy provider's row is not written.
      exists (
        select 1 from public.ai_providers as p where p.breaker_poll_failures > 0 or p.breaker_opened_at is not null
      ) as failing_provider,
      -- An update of no rows would still fire the triggers of the journal.
      exists (
        select 1 from public.ai_provider_calls as c where c.job_id = any (v_stopped) and c.outcome = 'sent'
      ) as open_call,
      exists (select 1 from public.ai_job_checkpoints as c where c.job_id = any (v_ended)) as checkpoint
    into v_has;
    if v_has.dependents and v_ended is not null then
      perform private.follow_ai_job_dependency(v_ended);
    end if;
    if v_reopened is not null then
      if v_has.dependents then
        perform private.follow_ai_job_dependency(v_reopened);
      end if;
      perform private.charge_reopened_ai_jobs(v_reopened);
    end if;
    if v_has.failing_provider and v_stopped is not null then
      perform private.note_completed_jobs(v_stopped);
    end if;
    if v_has.open_call then
      perform private.mark_open_calls_unknown(v_stopped);
    end if;
    if v_has.checkpoint then
      -- A retry starts from the beginning.
      delete from public.ai_job_checkpoints as c where c.job_id = any (v_ended);
    end if;
  end if;

  -- For one row: the statements below, which join and group rows, would take most of the time of a step.
  if v_job.jobs = 1 then
    if v_job.status <> v_job.old_status then
      v_millis := case
        when v_job.status = 'processing' and (v_job.attempt > 1 or v_job.depends_on_job_id is null)
          then greatest(extract(epoch from clock_timestamp() - v_job.old_scheduled_at) * 1000, 0)::bigint
        when v_job.status = 'completed'
          then greatest(extract(epoch from v_job.completed_at - coalesce(v_job.started_at, v_job.completed_at)) * 1000, 0)::bigint
      end;
      insert into private.ai_counter_queue (
        counted_at, event, job_type, provider, code, from_status, to_status, slot, millis, amount
      )
      values (
        date_trunc('minute', clock_timestamp()),
        case
          when v_job.old_status = 'pending' and v_job.status = 'failed' and v_job.error_code = 'outcome_unknown' then 'taken_back'
          else v_job.last_event
        end,
        v_job.job_type, v_job.provider,
        case when v_job.status = 'failed' or v_job.last_event in ('retried', 'rescued') then coalesce(v_job.error_code, '') else '' end,
        v_job.old_status, v_job.status, private.duration_slot(v_millis), coalesce(v_millis, 0), 1
      );
    end if;
    if v_job.event_seq = v_job.old_event_seq then
      return null;
    end if;
    v_data := jsonb_strip_nulls(jsonb_build_object(
      'status', v_job.status,
      'progress', v_job.progress_percentage,
      'stage', v_job.stage,
      'error_code', case when v_job.status <> 'processing' then v_job.error_code end,
      'scheduled_at', case when v_job.status = 'pending' then v_job.scheduled_at end
    ));
    if v_carried is null or v_job.event_seq = v_job.old_event_seq + 1 then
      if v_job.last_event = 'settled' then
        v_data := v_data || jsonb_strip_nulls(jsonb_build_object('outcome', (
          select c.outcome from public.ai_provider_calls as c where c.job_id = v_job.id
          order by coalesce(c.settled_at, c.unknown_since) desc nulls last limit 1
        )));
      end if;
      insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
      values (v_job.id, v_job.event_seq, v_job.user_id, v_job.last_event, v_job.attempt, v_data);
      return null;
    end if;
    v_item := jsonb_path_query_first(v_carried, '$[*] ? (@.job_id == $id)', jsonb_build_object('id', v_job.id));
    v_has_report := v_item ->> 'report_stage' is not null;
    v_has_settlement := v_item is not null and v_job.event_seq - v_job.old_event_seq - 1 - v_has_report::integer > 0;
    insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
    select v_job.id, e.seq, v_job.user_id, e.event, v_job.attempt, e.data
    from (values
      (
        v_has_settlement, v_job.old_event_seq + 1, 'settled',
        jsonb_build_object('status', v_job.old_status, 'progress', greatest(v_job.old_progress, (v_item ->> 'progress')::integer))
      ),
      (
        v_has_report, v_job.event_seq - 1, 'progress',
        jsonb_strip_nulls(jsonb_build_object(
          'status', v_job.old_status,
          'progress', greatest(
            v_job.old_progress,
            case when v_has_settlement then (v_item ->> 'progress')::integer end,
            least((v_item ->> 'report_progress')::integer, 99)
          ),
          'stage', v_item ->> 'report_stage'
        ))
      ),
      (true, v_job.event_seq, v_job.last_event, v_data)
    ) as e (is_written, seq, event, data)
    where e.is_written;
    return null;
  end if;

  -- The steps of a running job end here: a job comes into processing by a claim alone, which says so.
  if exists (select 1 from updated as n where n.status <> 'processing' or n.last_event = 'claimed') then
    insert into private.ai_counter_queue (
      counted_at, event, job_type, provider, code, from_status, to_status, slot, millis, amount
    )
    select date_trunc('minute', clock_timestamp()), c.last_event, c.job_type, c.provider, c.code, c.from_status, c.to_status,
      private.duration_slot(c.millis), coalesce(sum(c.millis), 0), count(*)
    from (
      select
        case
          -- It has failed once, and an operator's answer that is taken back is no other failure.
          when o.status = 'pending' and n.status = 'failed' and n.error_code = 'outcome_unknown' then 'taken_back'
          else n.last_event
        end as last_event,
        n.job_type, n.provider, o.status as from_status, n.status as to_status,
        case when n.status = 'failed' or n.last_event in ('retried', 'rescued') then coalesce(n.error_code, '') else '' end
          as code,
        case
          -- One that waited for another job was due before it could run.
          when n.status = 'processing' and (n.attempt > 1 or n.depends_on_job_id is null)
            then greatest(extract(epoch from clock_timestamp() - o.scheduled_at) * 1000, 0)::bigint
          when n.status = 'completed'
            then greatest(extract(epoch from n.completed_at - coalesce(n.started_at, n.completed_at)) * 1000, 0)::bigint
        end as millis
      from updated as n
      join outdated as o on o.id = n.id
      where n.status <> o.status
    ) as c
    group by 2, 3, 4, 5, 6, 7, 8;
  end if;
  -- Most writes carry nothing; starting the statement below would take most of their time here.
  if v_carried is null then
    insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
    select n.id, n.event_seq, n.user_id, n.last_event, n.attempt,
      -- Inline rather than a function, which Postgres would not inline, and this runs at each step of each job.
      jsonb_strip_nulls(jsonb_build_object(
        'status', n.status,
        'progress', n.progress_percentage,
        'stage', n.stage,
        -- While it runs, the row still has the code that it waited with.
        'error_code', case when n.status <> 'processing' then n.error_code end,
        -- Of the call that was settled last.
        'outcome', case when n.last_event = 'settled' then (
          select c.outcome from public.ai_provider_calls as c where c.job_id = n.id
          order by coalesce(c.settled_at, c.unknown_since) desc nulls last limit 1
        ) end,
        'scheduled_at', case when n.status = 'pending' then n.scheduled_at end
      ))
    from updated as n
    join outdated as o on o.id = n.id
    where n.event_seq <> o.event_seq;
    return null;
  end if;
  -- One insert, so that the events reach a listener in their order.
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select n.id, n.event_seq, n.user_id, n.last_event, n.attempt,
    jsonb_strip_nulls(jsonb_build_object(
      'status', n.status,
      'progress', n.progress_percentage,
      'stage', n.stage,
      'error_code', case when n.status <> 'processing' then n.error_code end,
      'scheduled_at', case when n.status = 'pending' then n.scheduled_at end
    ))
  from updated as n
  join outdated as o on o.id = n.id
  where n.event_seq <> o.event_seq
  union all
  select n.id, e.seq, n.user_id, e.event, n.attempt,
    -- Progress never decreases, so that of the row and of the previous event counts too.
    jsonb_strip_nulls(jsonb_build_object('status', o.status, 'progress', e.progress, 'stage', e.stage))
  from jsonb_to_recordset(v_carried) as c (job_id uuid, progress integer, report_progress integer, report_stage text)
  join updated as n on n.id = c.job_id
  join outdated as o on o.id = n.id
  cross join lateral (
    select n.event_seq - o.event_seq - 1 - (c.report_stage is not null)::integer > 0 as has_settlement
  ) as k
  cross join lateral (
    select o.event_seq + 1 as seq, 'settled' as event, greatest(o.progress_percentage, c.progress) as progress, null as stage
    where k.has_settlement
    union all
    select n.event_seq - 1, 'progress',
      greatest(o.progress_percentage, case when k.has_settlement then c.progress end, least(c.report_progress, 99)),
      c.report_stage
    where c.report_stage is not null
  ) as e
  where n.event_seq > o.event_seq + 1
  order by 1, 2;
  return null;
end;
$$;
comment on function private.follow_updated_ai_jobs() is
  'Statement trigger: applies the consequences of status changes to dependents, quotas, the provider''s breaker, open calls '
  'and checkpoints, counts the jobs whose status changed, with how long they waited to be claimed or ran, and writes one '
  'event for each job whose event_seq changed, and the events of what the statement carried (private.carried_changes). One '
  'trigger, because each one and each of its statements costs time at every step of a job. Security definer because the '
  'roles that change jobs may not write dependents, quotas, breakers, counts and events.';
