-- The removal of files from Storage.

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

create function private.is_object_referenced(p_removal private.storage_removals)
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

create function private.removal_pause(p_attempts integer)
returns interval
language sql
volatile
security invoker
set search_path = ''
as $$
  select make_interval(secs => least(30 * power(2, least(greatest(p_attempts, 1) - 1, 20)), 21600) * (0.8 + 0.4 * random()));
$$;
comment on function private.removal_pause(integer) is
  'Wait after a failed removal: 30 s, doubled each time, at most 6 hours, ±20 %.';

create function private.job_files(p_user_id uuid, p_job_id uuid)
returns setof text
language sql
stable
security invoker
set search_path = ''
as $$
  select o.bucket_id || '/' || o.name
  from storage.objects as o
  -- A range, so that the index over names serves it; '0' is the character after the slash.
  where o.name ~>=~ (p_user_id || '/' || p_job_id || '/') and o.name ~<~ (p_user_id || '/' || p_job_id || '0')
    and o.bucket_id in ('outputs', 'pdfs');
$$;
comment on function private.job_files(uuid, uuid) is
  'The files in the folder of a job, <user id>/<job id>/, in the buckets that jobs write to, as <bucket>/<path>.';

create function private.lease_storage_removal(p_removal private.storage_removals, p_lease_token uuid, p_lease_seconds integer)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_object_changed_at timestamptz;
begin
  if private.is_object_referenced(p_removal) then
    update private.storage_removals as r
    set next_attempt_at = clock_timestamp() + interval '1 day'
    where r.id = p_removal.id;
    return false;
  end if;
  select greatest(o.created_at, o.updated_at) into v_object_changed_at
  from storage.objects as o
  where o.bucket_id = split_part(p_removal.object_path, '/', 1)
    and o.name = substr(p_removal.object_path, strpos(p_removal.object_path, '/') + 1);
  if not found then
    update private.storage_removals as r
    set done_at = clock_timestamp(), outcome = 'removed', last_error_code = null, lease_token = null
    where r.id = p_removal.id;
    return false;
  end if;
  -- Replaced since by an owner whose account exists: not the object that was to be removed.
  if v_object_changed_at > p_removal.requested_at
    and exists (select 1 from auth.users as u where u.id = p_removal.user_id) then
    update private.storage_removals as r
    set done_at = clock_timestamp(), outcome = 'replaced', last_error_code = null, lease_token = null
    where r.id = p_removal.id;
    return false;
  end if;
  update private.storage_removals as r
  set attempts = r.attempts + 1,
      lease_token = p_lease_token,
      next_attempt_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.id = p_removal.id;
  return true;
end;
$$;
comment on function private.lease_storage_removal(private.storage_removals, uuid, integer) is
  'Leases a removal whose row the caller has locked. False when its object may not be deleted now: an object that a '
  'row still needs waits a day, or until the removal is requested again; one that is gone, or that its owner has '
  'replaced since, is done.';

create function public.claim_storage_removals(p_limit integer, p_lease_seconds integer default 120)
returns table (id bigint, lease_token uuid, object_path text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.storage_removals;
  v_token uuid := gen_random_uuid();
  v_claimed integer := 0;
begin
  for v_removal in
    select r.*
    from private.storage_removals as r
    where r.done_at is null and r.next_attempt_at <= clock_timestamp()
    order by r.next_attempt_at
    limit p_limit * 10
    for update skip locked
  loop
    exit when v_claimed >= p_limit;
    if private.lease_storage_removal(v_removal, v_token, p_lease_seconds) then
      v_claimed := v_claimed + 1;
      return query select v_removal.id, v_token, v_removal.object_path;
    end if;
  end loop;
end;
$$;
comment on function public.claim_storage_removals(integer, integer) is
  'Leases up to p_limit due removals whose object may be deleted now. Delete these immediately. service_role only; '
  'security definer because the table is in schema private.';
revoke execute on function public.claim_storage_removals(integer, integer) from public, anon, authenticated;
grant execute on function public.claim_storage_removals(integer, integer) to service_role;

create function public.claim_lost_job_files(p_user_id uuid, p_job_id uuid, p_lease_seconds integer default 120)
returns table (id bigint, lease_token uuid, object_path text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_removal private.storage_removals;
  v_token uuid := gen_random_uuid();
begin
  -- A deleted job never returns, so only workers that have lost it as well could write there.
  if exists (select 1 from public.ai_jobs as j where j.id = p_job_id) then
    return;
  end if;
  insert into private.storage_removals (object_path, user_id, reason)
  select f.object_path, p_user_id, 'job_leftovers'
  from private.job_files(p_user_id, p_job_id) as f (object_path)
  on conflict (object_path) where done_at is null do nothing;
  for v_removal in
    select r.*
    from private.storage_removals as r
    where r.object_path = any (array(select f.object_path from private.job_files(p_user_id, p_job_id) as f (object_path)))
      and r.done_at is null
      and r.next_attempt_at <= clock_timestamp()
    for update skip locked
  loop
    if private.lease_storage_removal(v_removal, v_token, p_lease_seconds) then
      return query select v_removal.id, v_token, v_removal.object_path;
    end if;
  end loop;
end;
$$;
comment on function public.claim_lost_job_files(uuid, uuid, integer) is
  'For a worker that has lost its lease: if the job was deleted, alone or with its account, queues the files in its '
  'folder that no row names and leases them for deletion. 0 rows while the job exists: its files belong to another '
  'worker or to its owner. service_role only; security definer because the table is in schema private.';
revoke execute on function public.claim_lost_job_files(uuid, uuid, integer) from public, anon, authenticated;
grant execute on function public.claim_lost_job_files(uuid, uuid, integer) to service_role;

create function public.scan_stored_files(p_limit integer default 5000)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_buckets constant text[] := private.own_buckets();
  v_settings private.janitor_settings;
  v_bucket text;
  v_after text;
  v_until text;
  v_page integer;
  v_seen integer := 0;
begin
  select s.* into v_settings from private.janitor_settings as s for update skip locked;
  if not found
    or (
      v_settings.file_scan_bucket is null
      and v_settings.file_scan_done_at > clock_timestamp() - make_interval(secs => v_settings.scan_interval_seconds)
    ) then
    return 0;
  end if;
  v_after := coalesce(v_settings.file_scan_name, '');
  foreach v_bucket in array v_buckets[coalesce(array_position(v_buckets, v_settings.file_scan_bucket), 1):] loop
    select count(*), max(p.name) into v_page, v_until
    from (
      select o.name
      from storage.objects as o
      where o.bucket_id = v_bucket and o.name > v_after
      order by o.name
      limit p_limit - v_seen
    ) as p;

    insert into private.storage_removals (object_path, user_id, reason)
    select v_bucket || '/' || l.name, l.folder::uuid, case when l.has_account then 'job_leftovers' else 'no_account' end
    from (
      select o.name, f.folder, f.job_id, exists (select 1 from auth.users as u where u.id = f.folder::uuid) as has_account
      from storage.objects as o
      cross join lateral (
        select
          -- Null for a name of another form: it is in no user's folder, and ignored.
          case when o.name ~ '/.' and split_part(o.name, '/', 1) ~ v_uuid then split_part(o.name, '/', 1) end as folder,
          case
            when v_bucket in ('outputs', 'pdfs') and split_part(o.name, '/', 2) ~ v_uuid and split_part(o.name, '/', 3) <> ''
            then split_part(o.name, '/', 2)
          end as job_id
      ) as f
      where o.bucket_id = v_bucket and o.name > v_after and o.name <= v_until
        and f.folder is not null
        and greatest(o.created_at, o.updated_at)
          <= clock_timestamp() - make_interval(secs => v_settings.orphan_grace_seconds)
    ) as l
    where not l.has_account
      or (
        l.job_id is not null
        and not exists (select 1 from public.ai_jobs as j where j.id = l.job_id::uuid)
        and not private.is_object_referenced(jsonb_populate_record(
          null::private.storage_removals,
          jsonb_build_object('object_path', v_bucket || '/' || l.name, 'user_id', l.folder, 'reason', 'job_leftovers')
        ))
      )
    on conflict (object_path) where done_at is null do nothing;

    v_seen := v_seen + v_page;
    if v_seen >= p_limit then
      update private.janitor_settings as s
      set file_scan_bucket = v_bucket, file_scan_name = v_until
      where s.id = v_settings.id;
      return v_seen;
    end if;
    v_after := '';
  end loop;
  update private.janitor_settings as s
  set file_scan_bucket = null, file_scan_name = null, file_scan_done_at = clock_timestamp()
  where s.id = v_settings.id;
  return v_seen;
end;
$$;
comment on function public.scan_stored_files(integer) is
  'Continues the scan of our buckets by up to p_limit objects. Queues an object that is older than the grace period '
  'and is in the folder of no account, or in that of a deleted job and no row names it. Returns how many objects it '
  'scanned; fewer than p_limit: the scan is complete, and the next one starts after scan_interval_seconds. '
  'service_role only; security definer because it reads accounts and a table in schema private.';
revoke execute on function public.scan_stored_files(integer) from public, anon, authenticated;
grant execute on function public.scan_stored_files(integer) to service_role;

create function public.settle_storage_removals(p_ids bigint[], p_lease_token uuid, p_error_code text default null)
returns integer
language sql
volatile
security definer
set search_path = ''
as $$
  with settled as (
    update private.storage_removals as r
    set done_at = case when s.is_gone then clock_timestamp() end,
        outcome = case when s.is_gone then 'removed' end,
        last_error_code = case when not s.is_gone then coalesce(p_error_code, 'storage_unavailable') end,
        next_attempt_at = case when s.is_gone then r.next_attempt_at else clock_timestamp() + private.removal_pause(r.attempts) end,
        lease_token = null
    from (
      select q.id, not exists (
        select 1
        from storage.objects as o
        where o.bucket_id = split_part(q.object_path, '/', 1)
          and o.name = substr(q.object_path, strpos(q.object_path, '/') + 1)
      ) as is_gone
      from private.storage_removals as q
      where q.id = any (p_ids)
    ) as s
    where r.id = s.id and r.lease_token = p_lease_token and r.done_at is null
    returning r.done_at
  )
  select count(s.done_at)::integer from settled as s;
$$;
comment on function public.settle_storage_removals(bigint[], uuid, text) is
  'Settles leased removals. Done if Storage no longer has the object, regardless of what the caller reports; otherwise retried '
  'later. Returns how many are done. service_role only; security definer because the table is in schema private.';
revoke execute on function public.settle_storage_removals(bigint[], uuid, text) from public, anon, authenticated;
grant execute on function public.settle_storage_removals(bigint[], uuid, text) to service_role;
