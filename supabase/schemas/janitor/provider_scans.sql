-- The comparison of a provider's list with our rows.

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

create function public.begin_provider_scan(p_provider text, p_lease_seconds integer default 120)
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
revoke execute on function public.begin_provider_scan(text, integer) from public, anon, authenticated;
grant execute on function public.begin_provider_scan(text, integer) to service_role;

create function public.record_provider_page(
  p_provider text,
  p_lease_token uuid,
  p_objects jsonb,
  p_next_cursor text default null,
  p_lease_seconds integer default 120
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_settings private.janitor_settings;
  v_ids text[];
begin
  update private.provider_scans as s
  set page_cursor = p_next_cursor,
      pages = s.pages + 1,
      listed_at = case when p_next_cursor is null then clock_timestamp() end,
      lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where s.provider = p_provider and s.lease_token = p_lease_token and s.finished_at is null;
  if not found then
    return false;
  end if;
  select * into v_settings from private.janitor_settings;
  select array_agg(o.object_id) into v_ids from jsonb_to_recordset(p_objects) as o (object_id text);

  with given as (
    select distinct on (o.object_id) o.object_id, o.object_type, o.job_id
    from jsonb_to_recordset(p_objects) as o (object_id text, object_type text, job_id uuid)
    order by o.object_id, o.job_id
  ),
  judged as (
    select g.*, private.provider_object_standing(p_provider, g.object_id, g.job_id) as standing from given as g
  )
  insert into private.provider_objects as k (provider, object_id, object_type, job_id, standing, orphan_since)
  select
    p_provider, j.object_id, j.object_type, j.job_id, j.standing,
    case when j.standing = 'orphan' then clock_timestamp() end
  from judged as j
  -- An object without marker and without row is not ours.
  where j.job_id is not null or j.standing <> 'foreign'
  on conflict (provider, object_id) do update
  set object_type = excluded.object_type,
      job_id = excluded.job_id,
      standing = excluded.standing,
      last_seen_at = clock_timestamp(),
      orphan_since = case when excluded.standing = 'orphan' then coalesce(k.orphan_since, excluded.orphan_since) end;

  insert into private.provider_removals (provider, object_type, provider_object_id, job_id)
  select o.provider, o.object_type, o.object_id, o.job_id
  from private.provider_objects as o
  where o.provider = p_provider and o.object_id = any (v_ids)
    and o.orphan_since <= clock_timestamp() - make_interval(secs => v_settings.orphan_grace_seconds)
  on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;

  perform private.set_provider_missing(p_provider, v_ids, null);
  return true;
end;
$$;
comment on function public.record_provider_page(text, uuid, jsonb, text, integer) is
  'Records a page of a provider''s list, [{object_id, object_type, job_id?}], and the cursor of the next one (null: '
  'last page). An orphan is noted when it is first seen, and queued for removal when it is seen again after the grace '
  'period. False: the lease is lost and nothing changed. service_role only; security definer because the tables are in '
  'schema private.';
revoke execute on function public.record_provider_page(text, uuid, jsonb, text, integer) from public, anon, authenticated;
grant execute on function public.record_provider_page(text, uuid, jsonb, text, integer) to service_role;

create function public.unseen_provider_rows(p_provider text, p_lease_token uuid, p_limit integer)
returns setof text
language sql
stable
security definer
set search_path = ''
as $$
  select u.object_id
  from private.provider_scans as s
  cross join lateral private.provider_rows(s.provider) as u
  where u.provider_missing_since is null and u.created_at < s.started_at - interval '1 hour'
    and s.provider = p_provider and s.lease_token = p_lease_token and s.listed_at is not null
    and not exists (
      select 1
      from private.provider_objects as o
      where o.provider = s.provider and o.object_id = u.object_id and o.last_seen_at >= s.started_at
    )
  limit p_limit;
$$;
comment on function public.unseen_provider_rows(text, uuid, integer) is
  'Objects that our rows name but that a complete scan of the provider''s list did not show. Leaves out rows younger '
  'than an hour: lists may lag behind. service_role only; security definer because the table is in schema private.';
revoke execute on function public.unseen_provider_rows(text, uuid, integer) from public, anon, authenticated;
grant execute on function public.unseen_provider_rows(text, uuid, integer) to service_role;

create function public.record_provider_rows(p_provider text, p_lease_token uuid, p_missing text[], p_present text[])
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform 1 from private.provider_scans as s where s.provider = p_provider and s.lease_token = p_lease_token for update;
  if not found then
    return false;
  end if;
  perform private.set_provider_missing(p_provider, p_missing, clock_timestamp());
  insert into private.provider_objects as k (provider, object_id, object_type, standing)
  select p_provider, p.object_id, 'unlisted', 'named' from unnest(p_present) as p (object_id)
  on conflict (provider, object_id) do update set last_seen_at = clock_timestamp();
  return true;
end;
$$;
comment on function public.record_provider_rows(text, uuid, text[], text[]) is
  'Records what the provider answered about single objects: marks the rows of those that it does not have. False: the '
  'lease is lost and nothing changed. service_role only; security definer because the table is in schema private.';
revoke execute on function public.record_provider_rows(text, uuid, text[], text[]) from public, anon, authenticated;
grant execute on function public.record_provider_rows(text, uuid, text[], text[]) to service_role;

create function public.end_provider_scan(p_provider text, p_lease_token uuid, p_error_code text default null)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_scan private.provider_scans;
begin
  update private.provider_scans as s
  set finished_at = case when p_error_code is null and s.listed_at is not null then clock_timestamp() end,
      -- Otherwise a cursor that the provider no longer accepts would be used forever.
      page_cursor = null,
      started_at = case when p_error_code is not null and s.listed_at is null then clock_timestamp() else s.started_at end,
      last_error_code = p_error_code,
      lease_token = null,
      lease_expires_at = null
  where s.provider = p_provider and s.lease_token = p_lease_token
  returning * into v_scan;
  if not found then
    return false;
  end if;
  if v_scan.finished_at is not null then
    delete from private.provider_objects as o where o.provider = p_provider and o.last_seen_at < v_scan.started_at;
  end if;
  return true;
end;
$$;
comment on function public.end_provider_scan(text, uuid, text) is
  'Ends the scan of a provider''s list and forgets the objects that it did not show. After an error the next scan '
  'starts at the first page. False: the lease is lost and nothing changed. service_role only; security definer because '
  'the table is in schema private.';
revoke execute on function public.end_provider_scan(text, uuid, text) from public, anon, authenticated;
grant execute on function public.end_provider_scan(text, uuid, text) to service_role;
