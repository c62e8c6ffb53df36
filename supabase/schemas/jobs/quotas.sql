-- Quotas per user, exact under parallel inserts: one row per user in ai_limits, which each transaction that adds jobs
-- of the user locks. A job that ends does not lower the count, so the count is an upper bound; it is made exact
-- before it refuses anything.

create function private.charge_ai_job_quota(p_user_id uuid, p_active integer, p_created integer, p_is_paid boolean)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_limits record;
  v_active integer;
  -- Not current_date, which depends on the time zone that a request to the Data API may set.
  v_today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
  for v_try in 1..2 loop
    update public.ai_limits as l
    set active_jobs_at_most = l.active_jobs_at_most + p_active,
        jobs_that_day = case when l.counted_on >= v_today then l.jobs_that_day + p_created else p_created end,
        counted_on = greatest(l.counted_on, v_today)
    from public.ai_limits as d
    where l.user_id = p_user_id and d.user_id is null
    returning l.id, l.active_jobs_at_most, l.jobs_that_day,
      coalesce(l.max_active_jobs, d.max_active_jobs) as max_active_jobs,
      coalesce(l.max_jobs_per_day, d.max_jobs_per_day) as max_jobs_per_day,
      coalesce(l.max_voices, d.max_voices) as max_voices,
      coalesce(l.requires_established_account, d.requires_established_account) as requires_established_account
    into v_limits;
    exit when found;
    insert into public.ai_limits as l (user_id) values (p_user_id) on conflict (user_id) do nothing;
  end loop;

  if p_is_paid and p_created > 0 and v_limits.requires_established_account then
    perform 1
    from auth.users as u
    where u.id = p_user_id
      and (coalesce(u.email_confirmed_at, u.phone_confirmed_at) is null or u.created_at > now() - interval '1 hour');
    if found then
      raise exception 'confirm your e-mail address and wait until your account is an hour old' using
        errcode = 'AJ038', detail = 'user_id';
    end if;
  end if;
  if p_active > 0 and v_limits.active_jobs_at_most > v_limits.max_active_jobs then
    -- The session that held the row has committed by now, and this statement sees it.
    select count(*) into v_active
    from public.ai_jobs as j
    where j.user_id = p_user_id and j.status in ('pending', 'processing');
    if v_active > v_limits.max_active_jobs then
      raise exception 'You have reached your limit of % active jobs. Wait until one ends, or cancel one.', v_limits.max_active_jobs
        using errcode = 'AJ034', detail = 'user_id';
    end if;
    update public.ai_limits as l set active_jobs_at_most = v_active where l.id = v_limits.id;
  end if;
  if p_created > 0 and v_limits.jobs_that_day > v_limits.max_jobs_per_day then
    raise exception 'You have reached your limit of % new jobs per day (UTC). Try again tomorrow.', v_limits.max_jobs_per_day
      using errcode = 'AJ035', detail = 'user_id';
  end if;
  return v_limits.max_voices;
end;
$$;
comment on function private.charge_ai_job_quota(uuid, integer, integer, boolean) is
  'Adds jobs that now wait or run, and new jobs, to a user''s counts, and locks them until the transaction ends. Raises '
  'AJ034 or AJ035 when a quota would be exceeded, and AJ038 for new paid jobs (p_is_paid) of an account that is not '
  'confirmed or not an hour old, where the limits require that; this undoes the whole statement. Returns how many voices '
  'the user may have, or null, because the same rows say so. Security definer because owners may not write their counts.';

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
  v_max_voices integer;
begin
  -- Ordered by user, so that two statements over several users cannot deadlock.
  for v_owner in
    select j.user_id, count(*)::integer as jobs,
      array_agg(distinct j.provider) filter (where j.job_type = 'voice_clone') as voice_providers
    from public.ai_jobs as j
    where j.id = any (p_job_ids)
    group by j.user_id
    order by j.user_id
  loop
    v_max_voices := private.charge_ai_job_quota(v_owner.user_id, v_owner.jobs, 0, false);
    if v_owner.voice_providers is not null then
      perform private.check_voice_room(v_owner.user_id, v_max_voices, v_owner.voice_providers);
    end if;
  end loop;
end;
$$;
comment on function private.charge_reopened_ai_jobs(uuid[]) is
  'Charges retried jobs as active jobs, and voice clones for a voice, but not as created today. Security definer '
  'because it calls security definer functions.';
