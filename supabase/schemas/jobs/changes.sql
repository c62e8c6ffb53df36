-- What follows from new jobs: events, counts, dispatches, quotas, turns and room for voices. updates.sql: from changed ones.

create function private.follow_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_jobs integer;
  v_job record;
  v_lane record;
  v_worker text;
  v_job_ids uuid[];
  v_max_voices integer;
  v_provider_max_voices integer;
  v_is_moved boolean;
begin
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select i.id, 1, i.user_id, 'created', i.attempt, jsonb_build_object('job_type', i.job_type)
  from inserted as i;
  get diagnostics v_jobs = row_count;
  if v_jobs = 0 then
    return null;
  end if;
  -- Most inserts have one row that waits for no other job. Their steps are those below, for one row: statements that group
  -- and sort rows would take most of their time.
  if v_jobs = 1 then
    select i.id, i.user_id, i.job_type, i.provider, i.priority, i.status, i.queue_key,
      i.scheduled_at <= now() as is_due, i.is_blocked
    into v_job
    from inserted as i;
    if v_job.status = 'pending' and not v_job.is_blocked then
      insert into private.ai_counter_queue (counted_at, event, job_type, provider, to_status, amount)
      values (date_trunc('minute', clock_timestamp()), 'created', v_job.job_type, v_job.provider, v_job.status, 1);
      select t.worker, p.max_voices
      into v_worker, v_provider_max_voices
      from public.ai_job_types as t
      left join public.ai_providers as p on p.provider = v_job.provider
      where t.job_type = v_job.job_type;
      if v_job.is_due and not private.relies_on_expected_claim(v_worker) then
        perform private.dispatch_to_worker(v_worker, array[v_job.id]);
      end if;
      -- From here to the end of the transaction, other inserts of this user wait.
      v_max_voices := private.charge_ai_job_quota(v_job.user_id, 1, 1, v_job.provider <> 'internal');
      if v_job.queue_key is not null then
        v_is_moved := private.separate_turns(
          v_job.user_id, v_job.job_type, v_job.provider, v_job.priority, array[v_job.id], v_job.queue_key, v_job.queue_key
        );
      end if;
      if v_job.job_type = 'voice_clone' and (v_max_voices is not null or v_provider_max_voices is not null) then
        perform private.check_voice_room(v_job.user_id, v_max_voices, array[v_job.provider]);
      end if;
      return null;
    end if;
  end if;

  -- A job that is answered from the cache is completed on insert and has both events. An insert of no rows
  -- would still run its triggers.
  if exists (select 1 from inserted as i where i.event_seq > 1) then
    insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
    select i.id, i.event_seq, i.user_id, i.last_event, i.attempt,
      jsonb_strip_nulls(jsonb_build_object(
        'status', i.status,
        'progress', i.progress_percentage,
        'stage', i.stage,
        'error_code', i.error_code,
        'scheduled_at', case when i.status = 'pending' then i.scheduled_at end
      ))
    from inserted as i
    where i.event_seq > 1;
  end if;
  insert into private.ai_counter_queue (counted_at, event, job_type, provider, code, to_status, amount)
  select date_trunc('minute', clock_timestamp()), 'created', i.job_type, i.provider,
    case when i.status = 'failed' then coalesce(i.error_code, '') else '' end, i.status, count(*)
  from inserted as i
  group by 3, 4, 5, 6;

  for v_worker, v_job_ids in
    select t.worker, (array_agg(due.id order by due.priority, due.id))[1:50]
    from (
      select i.id, i.job_type, i.priority
      from inserted as i
      where i.status = 'pending' and not i.is_blocked and i.scheduled_at <= now()
      union
      -- An insert holds the job that it depends on, and a claim that came in between has passed over it.
      select d.id, d.job_type, d.priority
      from public.ai_jobs as d
      -- An array, so that they are looked up: of a transition table Postgres knows no size and might join it row by row.
      where d.id = any (array(select distinct i.depends_on_job_id from inserted as i where i.is_blocked))
        and d.status = 'pending' and not d.is_blocked and d.scheduled_at <= now()
    ) as due
    join public.ai_job_types as t on t.job_type = due.job_type
    group by t.worker
  loop
    if not private.relies_on_expected_claim(v_worker) then
      perform private.dispatch_to_worker(v_worker, v_job_ids);
    end if;
  end loop;

  -- Ordered by user, so that two statements over several users cannot deadlock. From here on, other inserts of these users
  -- wait.
  for v_lane in
    select i.user_id, i.job_type, i.provider, i.priority,
      count(*)::integer as created,
      (count(*) filter (where i.status in ('pending', 'processing')))::integer as active,
      array_agg(i.id) filter (where i.queue_key is not null) as job_ids,
      min(i.queue_key) as first_turn,
      max(i.queue_key) as last_turn,
      bool_or(i.is_blocked) as is_any_blocked
    from inserted as i
    group by 1, 2, 3, 4
    order by 1, 2, 3, 4
  loop
    v_max_voices := private.charge_ai_job_quota(
      v_lane.user_id, v_lane.active, v_lane.created, v_lane.provider <> 'internal'
    );
    if v_lane.job_ids is not null then
      v_is_moved := private.separate_turns(
        v_lane.user_id, v_lane.job_type, v_lane.provider, v_lane.priority, v_lane.job_ids, v_lane.first_turn, v_lane.last_turn
      );
    end if;
    if v_lane.job_type = 'voice_clone' and v_lane.active > 0 then
      perform private.check_voice_room(v_lane.user_id, v_max_voices, array[v_lane.provider]);
    end if;
    -- If the first of them fails, all end in one statement, which must not take long. Checked apart: as part of one
    -- condition, the count would be planned for each statement, even if nothing is blocked.
    continue when not v_lane.is_any_blocked;
    if (
      select count(*) from public.ai_jobs as j where j.user_id = v_lane.user_id and j.status = 'pending' and j.is_blocked
    ) > 500 then
      raise exception 'You have reached the limit of 500 jobs that wait for other jobs. Wait until some have run.'
        using errcode = 'AJ034', detail = 'depends_on';
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.follow_inserted_ai_jobs() is
  'Statement trigger: records and counts new jobs, dispatches each worker once for any number of rows (those that are '
  'due, and due jobs that they depend on), then charges their owners, separates their turns, checks the room for voices, '
  'and '
  'lets at most 500 jobs of an owner wait for other jobs. One trigger, because each one and each of its statements costs '
  'time at every insert. Security definer because owners insert jobs but may not write events, counts or quotas.';
