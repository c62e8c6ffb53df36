-- Quotas per user, exact under any number of parallel inserts: one row per user, which each transaction that adds jobs of
-- the user locks. A job that ends does not touch it: its count is an upper bound, made exact before it refuses anything.

-- Added here and not with the table: an account's rows go in the order of the foreign keys, and jobs are locked before
-- limits everywhere.
alter table public.ai_limits
  add constraint ai_limits_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade;

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
  -- Not current_date, which follows the time zone that a request may ask the Data API for.
  v_today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
  insert into public.ai_limits as l (user_id, active_jobs_at_most, counted_on, jobs_that_day)
  values (p_user_id, p_active, v_today, p_created)
  on conflict (user_id) do update
  set active_jobs_at_most = l.active_jobs_at_most + p_active,
      jobs_that_day = case when l.counted_on >= v_today then l.jobs_that_day + p_created else p_created end,
      counted_on = greatest(l.counted_on, v_today)
  returning l.* into v_limits;
  select coalesce(v_limits.max_active_jobs, d.max_active_jobs), coalesce(v_limits.max_jobs_per_day, d.max_jobs_per_day)
  into v_max_active, v_max_per_day
  from public.ai_limits as d
  where d.user_id is null;

  if p_active > 0 and v_limits.active_jobs_at_most > v_max_active then
    -- Whoever held the row before has committed by now, and this statement sees it.
    select count(*) into v_active
    from public.ai_jobs as j
    where j.user_id = p_user_id and j.status in ('pending', 'processing');
    if v_active > v_max_active then
      raise exception 'at most % jobs may wait or run at once', v_max_active using errcode = 'AJ034', detail = 'user_id';
    end if;
    update public.ai_limits as l set active_jobs_at_most = v_active where l.id = v_limits.id;
  end if;
  if p_created > 0 and v_limits.jobs_that_day > v_max_per_day then
    raise exception 'at most % jobs may be created in a day', v_max_per_day using errcode = 'AJ035', detail = 'user_id';
  end if;
end;
$$;
comment on function private.charge_ai_job_quota(uuid, integer, integer) is
  'Charges a user for that many jobs that wait or run from now on, and that many new ones. It raises AJ034 or AJ035 when '
  'a quota would be exceeded, which undoes the whole statement. Security definer because owners may not write their '
  'own counts.';

create function private.charge_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user record;
begin
  -- In the order of the ids, so that two statements over several users cannot wait for each other.
  for v_user in
    select i.user_id, count(*) filter (where i.status in ('pending', 'processing')) as active, count(*) as created,
      bool_or(i.is_blocked) as is_any_blocked
    from inserted as i
    group by i.user_id
    order by i.user_id
  loop
    perform private.charge_ai_job_quota(v_user.user_id, v_user.active::integer, v_user.created::integer);
    -- They all end in one statement when the first of them fails, which must not take long.
    if v_user.is_any_blocked and (
      select count(*) from public.ai_jobs as j where j.user_id = v_user.user_id and j.status = 'pending' and j.is_blocked
    ) > 500 then
      raise exception 'at most 500 jobs may wait for other jobs at once' using errcode = 'AJ034', detail = 'depends_on';
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.charge_inserted_ai_jobs() is
  'Statement trigger: charges the owners of new jobs, and lets at most 500 of each wait for other jobs. Security definer because it calls a function that is.';

create function private.charge_reopened_ai_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge_ai_job_quota(new.user_id, 1, 0);
  return null;
end;
$$;
comment on function private.charge_reopened_ai_job() is
  'Row trigger: a failed job that is tried again waits and runs like a new one, but was created before. Security definer '
  'because it calls a function that is.';

-- After all that needs no lock, by its name: what it locks is what other inserts of the user wait for.
create trigger ai_jobs_take_quota
after insert on public.ai_jobs referencing new table as inserted
for each statement execute function private.charge_inserted_ai_jobs();

create function private.part_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
-- Planning it anew for each statement takes longer than running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_lane record;
  v_taken bigint;
  v_last bigint;
begin
  for v_lane in
    select i.user_id, i.job_type, i.provider, i.priority, min(i.queue_key) as first, count(*) as turns
    from inserted as i
    where i.queue_key is not null
    group by 1, 2, 3, 4
  loop
    select count(*) into v_taken
    from public.ai_jobs as j
    where j.user_id = v_lane.user_id and j.job_type = v_lane.job_type and j.provider = v_lane.provider
      and j.priority = v_lane.priority and j.status = 'pending' and j.queue_key >= v_lane.first;
    -- More than this statement's own: those of one that committed since, which did not see these either.
    if v_taken > v_lane.turns then
      select max(j.queue_key) into v_last
      from public.ai_jobs as j
      where j.user_id = v_lane.user_id and j.job_type = v_lane.job_type and j.provider = v_lane.provider
        and j.priority = v_lane.priority and j.status = 'pending' and j.queue_key >= v_lane.first
        and not exists (select 1 from inserted as i where i.id = j.id);
      update public.ai_jobs as j
      set queue_key = j.queue_key + v_last - v_lane.first + 1
      from inserted as i
      where j.id = i.id and i.queue_key is not null
        and (i.user_id, i.job_type, i.provider, i.priority)
          = (v_lane.user_id, v_lane.job_type, v_lane.provider, v_lane.priority);
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.part_inserted_ai_jobs() is
  'Statement trigger, under the lock of the quota: inserts of one user that run side by side do not see each other''s jobs and '
  'draw the same turns (private.next_queue_key); the later one to get here moves its jobs behind the others. So each turn '
  'has one job of a user, however many inserts run at once. Security definer because owners may not change what waits.';

create trigger ai_jobs_take_turns
after insert on public.ai_jobs referencing new table as inserted
for each statement execute function private.part_inserted_ai_jobs();

create trigger ai_jobs_after_reopen_charge
after update on public.ai_jobs
for each row when (old.status in ('completed', 'failed', 'cancelled') and new.status in ('pending', 'processing'))
execute function private.charge_reopened_ai_job();
