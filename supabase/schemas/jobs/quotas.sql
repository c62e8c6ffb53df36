-- Quotas per user, exact under parallel inserts: one row per user in ai_limits, which each transaction that adds jobs
-- of the user locks. A job that ends does not lower the count, so the count is an upper bound; it is made exact
-- before it refuses anything.

create function private.charge_ai_job_quota(p_user_id uuid, p_active integer, p_created integer)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_limits public.ai_limits;
  v_max_active integer;
  v_max_per_day integer;
  v_active integer;
  -- Not current_date, which depends on the time zone that a request to the Data API may set.
  v_today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
  for v_try in 1..2 loop
    update public.ai_limits as l
    set active_jobs_at_most = l.active_jobs_at_most + p_active,
        jobs_that_day = case when l.counted_on >= v_today then l.jobs_that_day + p_created else p_created end,
        counted_on = greatest(l.counted_on, v_today)
    where l.user_id = p_user_id
    returning l.* into v_limits;
    exit when found;
    insert into public.ai_limits as l (user_id) values (p_user_id) on conflict (user_id) do nothing;
  end loop;
  select coalesce(v_limits.max_active_jobs, d.max_active_jobs), coalesce(v_limits.max_jobs_per_day, d.max_jobs_per_day)
  into v_max_active, v_max_per_day
  from public.ai_limits as d
  where d.user_id is null;

  if p_active > 0 and v_limits.active_jobs_at_most > v_max_active then
    -- The session that held the row has committed by now, and this statement sees it.
    select count(*) into v_active
    from public.ai_jobs as j
    where j.user_id = p_user_id and j.status in ('pending', 'processing');
    if v_active > v_max_active then
      raise exception 'You have reached your limit of % active jobs. Wait until one ends, or cancel one.', v_max_active using errcode = 'AJ034', detail = 'user_id';
    end if;
    update public.ai_limits as l set active_jobs_at_most = v_active where l.id = v_limits.id;
  end if;
  if p_created > 0 and v_limits.jobs_that_day > v_max_per_day then
    raise exception 'You have reached your limit of % new jobs per day (UTC). Try again tomorrow.', v_max_per_day using errcode = 'AJ035', detail = 'user_id';
  end if;
end;
$$;
comment on function private.charge_ai_job_quota(uuid, integer, integer) is
  'Adds jobs that now wait or run, and new jobs, to a user''s counts. Raises AJ034 or AJ035 when a quota would be '
  'exceeded, which undoes the whole statement. Security definer because owners may not write their counts.';

create function private.charge_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_user record;
begin
  -- Ordered by id, so that two statements over several users cannot deadlock.
  for v_user in
    select i.user_id, count(*) filter (where i.status in ('pending', 'processing')) as active, count(*) as created,
      bool_or(i.is_blocked) as is_any_blocked
    from inserted as i
    group by i.user_id
    order by i.user_id
  loop
    perform private.charge_ai_job_quota(v_user.user_id, v_user.active::integer, v_user.created::integer);
    -- If the first of them fails, all end in one statement, which must not take long. Checked apart: as part of one
    -- condition, the count would be planned for each statement, even if nothing is blocked.
    continue when not v_user.is_any_blocked;
    if (
      select count(*) from public.ai_jobs as j where j.user_id = v_user.user_id and j.status = 'pending' and j.is_blocked
    ) > 500 then
      raise exception 'You have reached the limit of 500 jobs that wait for other jobs. Wait until some have run.' using errcode = 'AJ034', detail = 'depends_on';
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.charge_inserted_ai_jobs() is
  'Statement trigger: charges the owners of new jobs, and lets at most 500 jobs of each wait for other jobs. Security '
  'definer because it calls a security definer function.';

create function private.charge_reopened_ai_jobs(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_owner record;
begin
  for v_owner in
    select j.user_id, count(*)::integer as jobs
    from public.ai_jobs as j
    where j.id = any (p_job_ids)
    group by j.user_id
    order by j.user_id
  loop
    perform private.charge_ai_job_quota(v_owner.user_id, v_owner.jobs, 0);
  end loop;
  for v_owner in
    select j.user_id, j.provider
    from public.ai_jobs as j
    where j.id = any (p_job_ids) and j.job_type = 'voice_clone'
    group by j.user_id, j.provider
    order by j.user_id, j.provider
  loop
    perform private.check_voice_room(v_owner.user_id, v_owner.provider);
  end loop;
end;
$$;
comment on function private.charge_reopened_ai_jobs(uuid[]) is
  'Charges retried jobs as active jobs, and voice clones for a voice, but not as created today. Security definer '
  'because it calls security definer functions.';
