-- The place of a waiting job in the queue, for its owner.

create function public.jobs_ahead(p_job public.ai_jobs)
returns integer
language plpgsql
stable
security definer
set search_path = ''
-- A list reads it once for each waiting job; planning takes longer than running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_job record;
begin
  -- Not the fields of the argument: the caller could make them up, and learn how long other queues are.
  select j.id, j.job_type, j.provider, j.priority, j.queue_key, j.scheduled_at into v_job
  from public.ai_jobs as j
  where j.id = p_job.id and j.user_id = (select auth.uid()) and j.status = 'pending' and j.queue_key is not null;
  if not found then
    return null;
  end if;
  return (
    select count(*)
    from (
      select j.id
      from public.ai_jobs as j
      where j.job_type = v_job.job_type and j.provider = v_job.provider and j.status = 'pending' and j.queue_key is not null
        and (j.priority, j.queue_key, j.scheduled_at, j.id)
          < (v_job.priority, v_job.queue_key, v_job.scheduled_at, v_job.id)
      order by j.priority, j.queue_key, j.scheduled_at, j.id
      limit 100
    ) as ahead
  );
end;
$$;
comment on function public.jobs_ahead(public.ai_jobs) is
  'Computed field for the owner: how many jobs of the same type and provider come before this one in the order of '
  'claim_ai_jobs; 100 means 100 or more, so that it reads at most that many rows of an index. Null unless the job waits for '
  'its turn. An estimate: users take turns, one claim in eight takes the job that waits longest, and jobs of users at their '
  'limit are passed over. Security definer because owners may not read the jobs that it counts; it reveals nothing else about them.';
revoke execute on function public.jobs_ahead(public.ai_jobs) from public, anon, authenticated, service_role;
grant execute on function public.jobs_ahead(public.ai_jobs) to authenticated;
