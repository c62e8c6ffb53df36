-- Pipelines: a job may depend on an earlier one of the same owner. It waits until that job completes, is dispatched
-- in the commit that completes it, and fails if it failed or was cancelled. A job exists before another can name it,
-- and the reference never changes, so there are no cycles.

create function private.is_dependency_unfinished(p_user_id uuid, p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_status text;
begin
  if p_job_id is null then
    return false;
  end if;
  select d.status into v_status from public.ai_jobs as d where d.id = p_job_id and d.user_id = p_user_id;
  if v_status in ('pending', 'processing') then
    -- The other job cannot end before this transaction commits. Whichever comes first, either its end finds this job
    -- waiting, or this finds its end.
    select d.status into v_status from public.ai_jobs as d where d.id = p_job_id and d.user_id = p_user_id for share;
  end if;
  if v_status is null then
    raise exception 'depends_on_job_id must name one of your jobs' using errcode = 'AJ016', detail = 'depends_on_job_id';
  end if;
  if v_status in ('failed', 'cancelled') then
    raise exception 'the job that this one depends on has %',
      case v_status when 'failed' then 'failed' else 'been cancelled' end
      using errcode = 'AJ017', detail = 'depends_on_job_id';
  end if;
  return v_status <> 'completed';
end;
$$;
comment on function private.is_dependency_unfinished(uuid, uuid) is
  'Whether a job must wait for that job of the same owner; false for null. Raises AJ016 if there is no such job of the '
  'owner, and AJ017 if it failed or was cancelled. Holds a share lock on a job that has not ended.';

create function private.keep_ai_job_dependency()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if new.depends_on_job_id is not null then
    raise exception 'depends_on_job_id cannot change after the job was created' using errcode = 'AJ051', detail = 'depends_on_job_id';
  end if;
  if old.is_blocked then
    new.status := 'failed';
    new.is_blocked := false;
    new.stage := null;
    new.error_code := 'dependency_failed';
    new.error_message := 'The job that this one depends on was deleted.';
    new.completed_at := greatest(clock_timestamp(), old.created_at);
    new.event_seq := old.event_seq + 1;
    new.last_event := 'failed';
  end if;
  return new;
end;
$$;
comment on function private.keep_ai_job_dependency() is
  'Row trigger: the dependency of a job cannot change (AJ051). Only deleting the dependency clears the reference, and '
  'fails a job that still waits for it.';

create function private.follow_ai_job_dependency(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_completed uuid[];
  v_reopened uuid[];
  v_given_up uuid[];
  v_dependents uuid[];
  v_due uuid[];
begin
  select
    array_agg(j.id) filter (where j.status = 'completed'),
    array_agg(j.id) filter (where j.status = 'pending'),
    array_agg(j.id) filter (where j.status in ('failed', 'cancelled'))
  into v_completed, v_reopened, v_given_up
  from public.ai_jobs as j
  where j.id = any (p_job_ids);

  if v_completed is not null then
    perform 1
    from public.ai_jobs as j
    where j.depends_on_job_id = any (v_completed) and j.is_blocked
    order by j.id
    for no key update;
    with unblocked as (
      update public.ai_jobs as j
      set is_blocked = false,
          stage = null,
          event_seq = j.event_seq + 1,
          last_event = 'unblocked'
      where j.depends_on_job_id = any (v_completed) and j.is_blocked
      returning j.id, j.priority, j.scheduled_at
    )
    select (array_agg(u.id order by u.priority, u.id))[1:50] into v_due
    from unblocked as u
    where u.scheduled_at <= clock_timestamp();
    perform private.dispatch_ai_jobs(v_due);
  end if;

  if v_reopened is not null then
    with recursive dependents as (
      select j.id from public.ai_jobs as j
      where j.depends_on_job_id = any (v_reopened) and j.status = 'failed' and j.error_code = 'dependency_failed'
      union all
      select j.id from public.ai_jobs as j
      join dependents as d on j.depends_on_job_id = d.id
      where j.status = 'failed' and j.error_code = 'dependency_failed'
    )
    select array_agg(d.id) into v_dependents from dependents as d;
    perform 1 from public.ai_jobs as j where j.id = any (v_dependents) order by j.id for no key update;
    update public.ai_jobs as j
    set is_blocked = true,
        retry_requested_at = clock_timestamp()
    where j.id = any (v_dependents) and j.status = 'failed';
  end if;

  if v_given_up is not null then
    -- All levels together: nested triggers, one per level, would reach the limit of the stack.
    with recursive dependents as (
      select j.id from public.ai_jobs as j where j.depends_on_job_id = any (v_given_up) and j.is_blocked
      union all
      select j.id from public.ai_jobs as j
      join dependents as d on j.depends_on_job_id = d.id
      where j.is_blocked
    )
    select array_agg(d.id) into v_dependents from dependents as d;
    perform 1 from public.ai_jobs as j where j.id = any (v_dependents) order by j.id for no key update;
    update public.ai_jobs as j
    set status = 'failed',
        is_blocked = false,
        stage = null,
        error_code = 'dependency_failed',
        error_message = 'The job that this one depends on has failed or was cancelled.',
        completed_at = greatest(clock_timestamp(), j.created_at),
        event_seq = j.event_seq + 1,
        last_event = 'failed'
    where j.id = any (v_dependents) and j.is_blocked;
  end if;
end;
$$;
comment on function private.follow_ai_job_dependency(uuid[]) is
  'Applies the end of jobs to those that wait for them. Completed: they may run, and one dispatch wakes a worker. '
  'Failed or cancelled: they fail (dependency_failed), and so do those that wait for them, at every depth. Retried: '
  'those that failed because of them wait again. Security definer because it changes jobs that the calling role may '
  'not change, and dispatches.';
