-- Pipelines: a job may depend on an earlier one of the same owner. It waits until that one is completed, is dispatched in
-- the commit that completes it, and fails when it failed or was cancelled. A job exists before another can name it and
-- the reference never changes, so there is no cycle.

alter table public.ai_jobs
  add constraint ai_jobs_dependency_fkey foreign key (depends_on_job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (depends_on_job_id);

create function private.keep_ai_job_dependency()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if new.depends_on_job_id is not null then
    raise exception 'what a job depends on is fixed' using errcode = 'AJ051', detail = 'depends_on_job_id';
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
  'Row trigger: what a job depends on does not change (AJ051); only its deletion clears the reference, and fails a job that '
  'still waits for it.';

-- Before guard_transition, by its name.
create trigger ai_jobs_fix_dependency
before update of depends_on_job_id on public.ai_jobs
for each row when (old.depends_on_job_id is distinct from new.depends_on_job_id)
execute function private.keep_ai_job_dependency();

create function private.follow_ai_job_dependency()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_due uuid[];
begin
  if not exists (
    select 1 from public.ai_jobs as j
    where j.depends_on_job_id = new.id and (j.is_blocked or j.error_code = 'dependency_failed')
  ) then
    return null;
  end if;
  if new.status = 'completed' then
    with unblocked as (
      update public.ai_jobs as j
      set is_blocked = false,
          stage = null,
          event_seq = j.event_seq + 1,
          last_event = 'unblocked'
      where j.depends_on_job_id = new.id and j.is_blocked
      returning j.id, j.priority, j.scheduled_at
    )
    select (array_agg(u.id order by u.priority, u.id))[1:50] into v_due
    from unblocked as u
    where u.scheduled_at <= clock_timestamp();
    perform private.dispatch_ai_jobs(v_due);
  elsif new.status = 'pending' then
    with recursive dependents as (
      select j.id from public.ai_jobs as j
      where j.depends_on_job_id = new.id and j.status = 'failed' and j.error_code = 'dependency_failed'
      union all
      select j.id from public.ai_jobs as j
      join dependents as d on j.depends_on_job_id = d.id
      where j.status = 'failed' and j.error_code = 'dependency_failed'
    )
    update public.ai_jobs as j
    set is_blocked = true,
        retry_requested_at = clock_timestamp()
    from dependents as d
    where j.id = d.id and j.status = 'failed';
  else
    -- All levels at once: one trigger inside the other for each would end at the depth of the stack.
    with recursive dependents as (
      select j.id from public.ai_jobs as j where j.depends_on_job_id = new.id and j.is_blocked
      union all
      select j.id from public.ai_jobs as j
      join dependents as d on j.depends_on_job_id = d.id
      where j.is_blocked
    )
    update public.ai_jobs as j
    set status = 'failed',
        is_blocked = false,
        stage = null,
        error_code = 'dependency_failed',
        error_message = 'The job that this one depends on has failed or was cancelled.',
        completed_at = greatest(clock_timestamp(), j.created_at),
        event_seq = j.event_seq + 1,
        last_event = 'failed'
    from dependents as d
    where j.id = d.id and j.is_blocked;
  end if;
  return null;
end;
$$;
comment on function private.follow_ai_job_dependency() is
  'Row trigger: what the end of a job means for those that wait for it. Completed: they may run, and one call asks for a '
  'worker. Failed or cancelled: they fail (dependency_failed), and those that wait for them, at every depth. Tried again: '
  'those that failed because of it wait again. Security definer because it changes jobs that the statement may not, and '
  'dispatches.';

create trigger ai_jobs_after_end_follow_dependency
after update on public.ai_jobs
for each row when (
  old.status is distinct from new.status
  and (new.status in ('completed', 'failed', 'cancelled') or old.status = 'failed')
)
execute function private.follow_ai_job_dependency();
