-- Removals: a file that will be removed answers no new job; the check that nothing needs a file reads indexes; a scan of a
-- provider's list begins again after a row that cannot be queried; an answered job that cannot run ends again; what a failed job
-- depends on stays, and its deleted input stays for the grace period. Replaces
-- functions, and creates three indexes on ai_jobs: writes to it wait until they are built.

create index ai_jobs_failed_input_idx on public.ai_jobs (input_url) where status = 'failed';
create index ai_jobs_failed_audio_idx on public.ai_jobs ((metadata ->> 'audio_url')) where status = 'failed';
create index ai_jobs_output_url_idx on public.ai_jobs (output_url) where output_url is not null;

create or replace function private.record_storage_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_column text := tg_argv[0];
  v_path text := to_jsonb(old) ->> v_column;
begin
  if v_path is not null and (tg_op = 'DELETE' or v_path is distinct from to_jsonb(new) ->> v_column) then
    insert into private.storage_removals as r (object_path, user_id, reason)
    values (v_path, old.user_id, tg_table_name)
    -- Requested again: the reason to keep it may no longer apply, and the object to remove is the current one. A job that
    -- ends or is deleted removes less than the owner, who deletes what it made.
    on conflict (object_path) where done_at is null do update
    set requested_at = excluded.requested_at, next_attempt_at = excluded.next_attempt_at,
        reason = case when r.reason in ('ai_jobs', 'job_leftovers') then excluded.reason else r.reason end;
  end if;
  return null;
end;
$$;
comment on function private.record_storage_removal() is
  'Row trigger: queues the removal of the object that the column (first argument) of a deleted or changed row named. '
  'Security definer because no role has rights in schema private.';

create function private.is_input_kept(p_job public.ai_jobs)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select p_job.completed_at > clock_timestamp() - make_interval(
      secs => (select s.failed_grace_seconds from private.janitor_settings as s)
    )
    or exists (
      select 1 from public.ai_provider_calls as c where c.job_id = p_job.id and c.outcome in ('sent', 'unknown')
    );
$$;
comment on function private.is_input_kept(public.ai_jobs) is
  'Whether a file that its owner has deleted is kept for a failed job that reads it: while the grace period of failed jobs '
  'lasts (janitor_settings.failed_grace_seconds), and while the job is parked.';

create or replace function private.is_object_referenced(p_removal private.storage_removals)
returns boolean
language sql
stable
security invoker
set search_path = ''
-- While few jobs have failed, a sequential scan looks cheaper.
set enable_seqscan = off
set jit = off
as $$
  select
    exists (select 1 from public.media as m where m.storage_path = p_removal.object_path)
    or exists (
      select 1 from public.voices as v where v.user_id = p_removal.user_id and v.sample_url = p_removal.object_path
    )
    or private.is_object_in_registered_row(p_removal.user_id, p_removal.object_path)
    -- One condition for each index: an owner may have very many jobs.
    or exists (
      select 1 from public.ai_jobs as j
      where j.user_id = p_removal.user_id and j.status in ('pending', 'processing')
        and p_removal.object_path in (j.input_url, j.metadata ->> 'audio_url')
    )
    -- A failed job may be retried; later it fails without cost, because its input is gone.
    or exists (
      select 1 from public.ai_jobs as j
      where j.status = 'failed' and j.input_url = p_removal.object_path and j.user_id = p_removal.user_id
        and private.is_input_kept(j)
    )
    or exists (
      select 1 from public.ai_jobs as j
      where j.status = 'failed' and j.metadata ->> 'audio_url' = p_removal.object_path and j.user_id = p_removal.user_id
        and private.is_input_kept(j)
    )
    -- Jobs answered from the cache share an output.
    or (
      p_removal.reason in ('ai_jobs', 'job_leftovers')
      and exists (
        select 1 from public.ai_jobs as j
        where j.output_url = p_removal.object_path and j.user_id = p_removal.user_id
      )
    )
    -- It was retried: the files in its folder are in use again.
    or (
      p_removal.reason = 'job_leftovers'
      and exists (
        select 1 from public.ai_jobs as j
        where j.id = case
            when split_part(p_removal.object_path, '/', 3) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            then split_part(p_removal.object_path, '/', 3)::uuid
          end
          and j.user_id = p_removal.user_id
          and j.status not in ('failed', 'cancelled')
      )
    );
$$;
comment on function private.is_object_referenced(private.storage_removals) is
  'Whether something still needs the object: a row names it, a job may still read it, or, if a deleted or ended job '
  'requested the removal, another job shares it as its output or the job itself continues.';

create or replace function private.is_ai_job_result_reusable(p_source public.ai_jobs, p_user_id uuid, p_input_hash text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_is_kept boolean;
begin
  if exists (
    select 1 from public.ai_job_types as t where t.job_type = p_source.job_type and 'can_reuse' = any (t.hooks)
  ) then
    execute format('select private.%I($1)', 'can_reuse_' || p_source.job_type) into v_is_kept using p_source;
    if v_is_kept is not true then
      return false;
    end if;
  end if;
  return (
    select coalesce(
      p_source.user_id = p_user_id
      and p_source.input_hash = p_input_hash
      and p_source.status = 'completed'
      and p_source.completed_at > now() - make_interval(secs => t.cache_ttl_seconds)
      and (
        p_source.job_type <> 'voice_clone'
        or exists (
          select 1 from public.voices as v
          where v.user_id = p_user_id and v.id::text = p_source.result_data ->> 'voice_id'
            and v.provider_missing_since is null
        )
      )
      and (
        p_source.output_url is null
        or exists (
          select 1 from storage.objects as o
          where o.bucket_id = split_part(p_source.output_url, '/', 1)
            and o.name = substr(p_source.output_url, strpos(p_source.output_url, '/') + 1)
        )
      )
      and not exists (
        select 1 from private.storage_removals as r
        where r.object_path = p_source.output_url and r.done_at is null
          -- What its owner has deleted is removed as soon as nothing reads it any more.
          and not (r.reason in ('ai_jobs', 'job_leftovers') and private.is_object_referenced(r))
      ),
      false
    )
    from public.ai_job_types as t
    where t.job_type = p_source.job_type
  );
end;
$$;
comment on function private.is_ai_job_result_reusable(public.ai_jobs, uuid, text) is
  'True if the source job is completed, belongs to this owner, has exactly this input, is not older than the type '
  'allows, and its product still exists and will not be removed. This decides, not the cache: a wrong cache entry only costs time.';

create or replace function private.provider_object_standing(p_provider text, p_object_id text, p_job_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when p_object_id is not null and exists (select 1 from private.provider_rows(p_provider, p_object_id)) then 'named'
    when exists (
      select 1
      from public.ai_jobs as j
      where j.id in (
          select p_job_id
          union all
          select c.job_id
          from public.ai_provider_calls as c
          where c.provider = p_provider and c.provider_object_id = p_object_id
        )
        and (
          j.status in ('pending', 'processing')
          or (
            j.status = 'failed'
            and (
              -- Parked: only an operator can find out the outcome of the call.
              exists (
                select 1 from public.ai_provider_calls as o where o.job_id = j.id and o.outcome in ('sent', 'unknown')
              )
              or j.completed_at > clock_timestamp() - make_interval(
                secs => (select s.failed_grace_seconds from private.janitor_settings as s)
              )
            )
          )
        )
    ) then 'live'
    when exists (select 1 from public.ai_jobs as j where j.id = p_job_id)
      or exists (select 1 from private.former_ai_jobs as f where f.job_id = p_job_id)
      or exists (
        select 1 from public.ai_provider_calls as c where c.provider = p_provider and c.provider_object_id = p_object_id
      )
      or exists (
        select 1
        from private.provider_removals as r
        where r.provider = p_provider and r.provider_object_id = p_object_id
      ) then 'orphan'
    else 'foreign'
  end;
$$;
comment on function private.provider_object_standing(text, text, uuid) is
  'The standing of an object at a provider: named, live, orphan or foreign, as in private.provider_objects.';

create or replace function private.queue_job_leftovers(p_limit integer default 500)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_settings private.janitor_settings;
  v_status text;
  v_from timestamptz;
  v_to timestamptz;
  v_until timestamptz;
  v_jobs uuid[];
  v_count integer := 0;
begin
  select * into v_settings from private.janitor_settings for update skip locked;
  if not found then
    return 0;
  end if;
  foreach v_status in array array['cancelled', 'failed'] loop
    v_from := case v_status when 'cancelled' then v_settings.cancelled_done_until else v_settings.failed_done_until end;
    v_to := clock_timestamp() - make_interval(
      secs => case v_status when 'cancelled' then v_settings.orphan_grace_seconds else v_settings.failed_grace_seconds end
    );
    select array_agg(d.id), max(d.completed_at) into v_jobs, v_until
    from (
      (
        select j.id, j.completed_at
        from public.ai_jobs as j
        where v_status = 'cancelled' and j.status = 'cancelled' and j.completed_at > v_from and j.completed_at <= v_to
        order by j.completed_at
        fetch first p_limit rows with ties
      )
      union all
      (
        select j.id, j.completed_at
        from public.ai_jobs as j
        where v_status = 'failed' and j.status = 'failed' and j.completed_at > v_from and j.completed_at <= v_to
        order by j.completed_at
        fetch first p_limit rows with ties
      )
    ) as d;
    continue when v_jobs is null;

    -- A parked job keeps everything: an operator may let it continue. The answer makes it run, or ends it again, and it
    -- is picked up then.
    select array_agg(j.id) into v_jobs
    from public.ai_jobs as j
    where j.id = any (v_jobs)
      and (
        j.status = 'cancelled'
        or not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
      );

    insert into private.provider_removals (provider, object_type, provider_object_id, marker, job_id, made_at)
    select
      c.provider, c.operation, c.provider_object_id,
      case when c.provider_object_id is null then 'job:' || c.job_id end, c.job_id, c.sent_at
    from public.ai_provider_calls as c
    -- Speech and transcripts do not count against a plan's limit, and a retry of a failed job reads them again.
    where c.job_id = any (v_jobs)
      and (
        c.operation = 'create_voice' or c.operation in (select r.operation from private.provider_references as r)
      )
      and c.outcome not in ('rejected', 'absent') and c.discarded_at is null
      and private.provider_object_standing(c.provider, c.provider_object_id, c.job_id) = 'orphan'
    on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;

    insert into private.storage_removals (object_path, user_id, reason)
    select f.object_path, j.user_id, 'job_leftovers'
    from public.ai_jobs as j
    cross join lateral private.job_files(j.user_id, j.id) as f (object_path)
    where j.id = any (v_jobs)
    on conflict (object_path) where done_at is null do nothing;

    v_count := v_count + coalesce(cardinality(v_jobs), 0);
    if v_status = 'cancelled' then
      update private.janitor_settings as s set cancelled_done_until = v_until where s.id = v_settings.id;
    else
      update private.janitor_settings as s set failed_done_until = v_until where s.id = v_settings.id;
    end if;
  end loop;
  return v_count;
end;
$$;
comment on function private.queue_job_leftovers(integer) is
  'Queues for removal what ended jobs without a result left behind, once their grace period is over: the voice or '
  'registered object of a call, and the files in the job''s folder. Parked jobs keep everything. Continues where the last call '
  'stopped; returns the number of jobs.';

create function private.is_scan_continued(p_scan private.provider_scans, p_interval interval)
returns boolean
language sql
volatile
security invoker
set search_path = ''
as $$
  select p_scan.finished_at is null and coalesce(p_scan.listed_at > clock_timestamp() - p_interval, true);
$$;
comment on function private.is_scan_continued(private.provider_scans, interval) is
  'Whether the next scan of a provider continues this one, which did not finish. Not when its list is older than the '
  'interval between scans: otherwise one row that cannot be queried would keep the list from being read ever again.';

create or replace function public.begin_provider_scan(p_provider text, p_lease_seconds integer default 120)
returns table (lease_token uuid, page_cursor text, is_listed boolean)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_scan private.provider_scans;
  v_interval interval := make_interval(secs => (select s.scan_interval_seconds from private.janitor_settings as s));
begin
  if not exists (
    select 1
    from public.ai_providers as p
    where p.provider = p_provider and p.paused_at is null
      -- Normally only a job closes a breaker. If no job has tried, the janitor sends a request instead.
      and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp() - interval '10 minutes')
  ) then
    return;
  end if;
  insert into private.provider_scans as s (provider, started_at, lease_token, lease_expires_at)
  values (p_provider, clock_timestamp(), gen_random_uuid(), clock_timestamp() + make_interval(secs => p_lease_seconds))
  on conflict (provider) do update
  set started_at = case when private.is_scan_continued(s, v_interval) then s.started_at else excluded.started_at end,
      page_cursor = case when private.is_scan_continued(s, v_interval) then s.page_cursor end,
      pages = case when private.is_scan_continued(s, v_interval) then s.pages else 0 end,
      listed_at = case when private.is_scan_continued(s, v_interval) then s.listed_at end,
      finished_at = null,
      last_error_code = null,
      lease_token = excluded.lease_token,
      lease_expires_at = excluded.lease_expires_at
  where coalesce(s.lease_expires_at <= clock_timestamp(), true)
    and coalesce(s.finished_at <= clock_timestamp() - v_interval, true)
  returning * into v_scan;
  if found then
    return query select v_scan.lease_token, v_scan.page_cursor, v_scan.listed_at is not null;
  end if;
end;
$$;
comment on function public.begin_provider_scan(text, integer) is
  'Leases the scan of a provider''s list: a new one if the last is old enough, otherwise an interrupted one, from its '
  'next page on, unless its list is older than the interval between scans. 0 rows: nothing to do, or another run holds the lease. service_role only; security definer because '
  'the table is in schema private.';

create or replace function public.resolve_unknown_ai_job(
  p_job_id uuid,
  p_was_made boolean,
  p_provider_object_id text default null,
  p_call_id uuid default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_status text;
  v_call public.ai_provider_calls;
begin
  if p_was_made is null or p_was_made <> (p_provider_object_id is not null) then
    raise exception 'pass the provider''s id of the created object, or p_was_made => false without an id' using
      errcode = 'AJ073', detail = 'p_provider_object_id';
  end if;
  -- The job's row first, as everywhere.
  select j.status into v_status
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('failed', 'cancelled')
  for no key update;
  if v_status is null then
    return false;
  end if;
  v_call := private.unknown_call(p_job_id, p_call_id);
  if v_call.id is null then
    return false;
  end if;
  if p_was_made then
    -- Two jobs that are resolved at the same time must not both get the object.
    perform pg_advisory_xact_lock(hashtextextended('provider_object:' || v_call.provider || ':' || p_provider_object_id, 0));
    perform private.refuse_provider_object(v_call, p_provider_object_id);
  end if;
  update public.ai_provider_calls as c
  set outcome = case when p_was_made then 'adopted' else 'absent' end,
      provider_object_id = p_provider_object_id,
      settled_at = clock_timestamp(),
      answered_at = clock_timestamp()
  where c.id = v_call.id;
  perform private.record_call_change(p_job_id);
  if v_status = 'failed' and not exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job_id and c.outcome = 'unknown'
  ) and not private.retry_failed_ai_job(p_job_id) then
    -- It ends now, and not when it was parked: from now on the janitor waits for a retry, and then removes what it made.
    update public.ai_jobs as j set completed_at = clock_timestamp() where j.id = p_job_id;
  end if;
  return true;
end;
$$;
comment on function public.resolve_unknown_ai_job(uuid, boolean, text, uuid) is
  'Records what the operator found out at the provider about a parked job''s paid call: the provider''s id of what it '
  'created, or that it created nothing; the cost follows from that. An id that cannot be of this call is refused (AJ098, '
  'AJ099). A failed job then runs again, with that object or with a new call, unless its owner has no room for another '
  'active job: then it ends now, and the owner can retry it later. A cancelled job stays cancelled. Of several such calls p_call_id names '
  'the one that is meant; without it, that is the one sent first. The job runs again after the last. False, and nothing '
  'changes: the job has no such call, or the named one was already resolved. service_role only; security definer for the '
  'retry in schema private.';

create or replace function public.delete_ended_ai_jobs(
  p_user_id uuid default null,
  p_ended_before timestamptz default null,
  p_limit integer default 1000
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_ids uuid[];
begin
  if p_user_id is null and p_ended_before is null then
    raise exception 'give p_user_id, p_ended_before or both' using errcode = '22023';
  end if;
  if not isfinite(p_ended_before) or p_ended_before > clock_timestamp() then
    raise exception 'p_ended_before must be a time in the past' using errcode = '22023', detail = 'p_ended_before';
  end if;
  if p_limit is null or p_limit not between 1 and 10000 then
    raise exception 'p_limit must be between 1 and 10000' using errcode = '22023', detail = 'p_limit';
  end if;
  if p_user_id is not null and not exists (select 1 from auth.users as u where u.id = p_user_id) then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
  end if;

  if p_user_id is not null then
    select array_agg(d.id) into v_ids
    from (
      select j.id
      from public.ai_jobs as j
      where j.user_id = p_user_id and j.status in ('completed', 'failed', 'cancelled')
        and j.completed_at < coalesce(p_ended_before, 'infinity')
        and not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
        and not exists (
          select 1 from public.ai_jobs as d where d.depends_on_job_id = j.id and d.status in ('pending', 'processing', 'failed')
        )
      order by j.created_at, j.id
      limit p_limit
      for update skip locked
    ) as d;
  else
    select array_agg(d.id) into v_ids
    from (
      select j.id
      from public.ai_jobs as j
      -- In the order of the primary key, which is that of creation: younger jobs are not read.
      where j.id < private.first_uuid_v7_at(p_ended_before) and j.status in ('completed', 'failed', 'cancelled')
        and j.completed_at < p_ended_before
        and not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
        and not exists (
          select 1 from public.ai_jobs as d where d.depends_on_job_id = j.id and d.status in ('pending', 'processing', 'failed')
        )
      order by j.id
      limit p_limit
      for update skip locked
    ) as d;
  end if;
  if v_ids is null then
    return 0;
  end if;
  delete from public.ai_jobs as j where j.id = any (v_ids);
  return cardinality(v_ids);
end;
$$;
comment on function public.delete_ended_ai_jobs(uuid, timestamptz, integer) is
  'Deletes up to p_limit ended jobs, the oldest first, and returns how many: those of a user (AJ075 if there is none), those '
  'that ended before a time, or both. Their timelines and journals are deleted with them, and the janitor removes the files '
  'and provider objects that no other row refers to. A job with a paid call of unknown outcome stays, and so does one that a '
  'job depends on which waits, runs, or has failed and may be retried. For the operator; security definer because it reads accounts.';
