-- The janitor: works off what 1450_removals.sql writes down, and compares what the providers hold with our rows. Nothing
-- is removed that a row names or that a job may still go on with; nothing is removed that was not made here. All of its
-- work is leased in small parts, so that a run that is killed half-way is finished by the next one.

alter table public.avatars add column provider_missing_since timestamptz;
comment on column public.avatars.provider_missing_since is
  'Since when the provider does not have the video any more; ours is in Storage all the same.';

create table private.provider_objects (
  provider text not null,
  object_id text not null,
  object_type text not null,
  job_id uuid,
  standing text not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  orphan_since timestamptz,
  constraint provider_objects_pkey primary key (provider, object_id),
  constraint provider_objects_standing_is_known check (standing in ('named', 'live', 'orphan', 'foreign')),
  constraint provider_objects_orphan_since_matches_standing check ((standing = 'orphan') = (orphan_since is not null))
);
comment on table private.provider_objects is
  'What providers list that carries a marker of the form job:<id>, or that a row names, as of the last reading of the list.';
comment on column private.provider_objects.job_id is 'The job of its marker. Not a foreign key: it may be anybody''s.';
comment on column private.provider_objects.standing is
  'named (a row has it), live (its job may still go on with it), orphan (made here, and nobody has it), foreign (its marker '
  'is of no job of ours: reported, never removed).';
comment on column private.provider_objects.orphan_since is 'When it was first seen as an orphan; the grace counts from here.';
create index provider_objects_last_seen_at_idx on private.provider_objects (provider, last_seen_at);

create table private.provider_scans (
  provider text not null,
  started_at timestamptz not null,
  page_cursor text,
  pages integer not null default 0,
  listed_at timestamptz,
  finished_at timestamptz,
  last_error_code text,
  lease_token uuid,
  lease_expires_at timestamptz,
  constraint provider_scans_pkey primary key (provider),
  constraint provider_scans_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint provider_scans_finished_after_listed check (finished_at is null or listed_at is not null),
  constraint provider_scans_lease_is_whole check ((lease_token is null) = (lease_expires_at is null))
);
comment on table private.provider_scans is 'How far each provider''s list has been read; a reading that broke off is gone on with.';
comment on column private.provider_scans.page_cursor is 'The provider''s own word for the next page.';
comment on column private.provider_scans.listed_at is 'When its last page was read.';
comment on column private.provider_scans.finished_at is 'When the rows that it did not show had been asked for one by one.';

alter table private.provider_objects enable row level security;
alter table private.provider_scans enable row level security;
revoke all on private.provider_objects, private.provider_scans from public, anon, authenticated, service_role;

-- Serve the left-overs of cancelled jobs (those of failed ones have ai_jobs_failed_idx), and an object's call.
create index ai_jobs_cancelled_idx on public.ai_jobs (completed_at) where status = 'cancelled';
create index ai_provider_calls_object_idx on public.ai_provider_calls (provider, provider_object_id)
  where provider_object_id is not null;

create function private.provider_object_standing(p_provider text, p_object_id text, p_job_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when exists (select 1 from public.voices as v where v.provider = p_provider and v.provider_voice_id = p_object_id)
      or exists (select 1 from public.avatars as a where a.provider = p_provider and a.provider_avatar_id = p_object_id)
      then 'named'
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
              -- Parked: only an operator can say what became of the call.
              j.error_code = 'outcome_unknown'
              or exists (
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
  'Who has what a provider holds: named, live, orphan or foreign, as in private.provider_objects.';

create function private.settle_cancelled_call(p_job_id uuid, p_provider text, p_object_type text, p_object_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.status = 'cancelled' for no key update;
  if not found then
    return;
  end if;
  update public.ai_provider_calls as c
  set outcome = case when p_object_id is null then 'absent' else 'adopted' end,
      provider_object_id = p_object_id,
      settled_at = clock_timestamp(),
      discarded_at = clock_timestamp()
  where c.job_id = p_job_id and c.provider = p_provider and c.outcome = 'unknown'
    and c.operation = case p_object_type when 'voice' then 'create_voice' when 'avatar' then 'create_video' else p_object_type end;
  if not found then
    return;
  end if;
  perform private.note_settled_doubt(p_job_id, p_object_id);
end;
$$;
comment on function private.settle_cancelled_call(uuid, text, text, text) is
  'The janitor knows what became of a cancelled job''s call that nobody waited for: what it made (by its id), which goes now, '
  'or null for nothing. Settles the call, so that what was reserved for it is spent or given back, and what the row says '
  'about the money.';

create function private.give_up_provider_object(p_provider text, p_object_type text, p_object_id text, p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- Locked first: a job that is being retried at this moment either goes on with the object, or finds it discarded.
  perform 1
  from public.ai_jobs as j
  -- An array, so that they are looked up by their ids: the table is as long as the project is old.
  where j.id = any (
    array(
      select p_job_id
      union
      select c.job_id
      from public.ai_provider_calls as c
      where c.provider = p_provider and c.provider_object_id = p_object_id
    )
  )
  order by j.id
  for update;
  if private.provider_object_standing(p_provider, p_object_id, p_job_id) in ('named', 'live') then
    return false;
  end if;
  update public.ai_provider_calls as c
  set discarded_at = clock_timestamp()
  where c.provider = p_provider and c.provider_object_id = p_object_id and c.discarded_at is null;
  if p_object_id is not null then
    perform private.settle_cancelled_call(p_job_id, p_provider, p_object_type, p_object_id);
  end if;
  return true;
end;
$$;
comment on function private.give_up_provider_object(text, text, text, uuid) is
  'Whether the object may be removed at its provider. If so, no job goes on with it from now on: the calls that made it are '
  'discarded in the same transaction, and the lost call of a cancelled job is settled by it.';

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
  'Wait after a removal that failed: 30 s, doubled with each, 6 hours at most, ±20 %.';

create function private.job_files(p_user_id uuid, p_job_id uuid)
returns setof text
language sql
stable
security invoker
set search_path = ''
as $$
  select o.bucket_id || '/' || o.name
  from storage.objects as o
  -- By the index over names as text; '0' is the character after the slash.
  where o.name ~>=~ (p_user_id || '/' || p_job_id || '/') and o.name ~<~ (p_user_id || '/' || p_job_id || '0')
    and o.bucket_id in ('outputs', 'pdfs');
$$;
comment on function private.job_files(uuid, uuid) is
  'What lies in the folder of a job, <user id>/<job id>/, in the buckets that jobs write to, as <bucket>/<path>.';

create function private.queue_job_leftovers(p_limit integer default 500)
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

    -- A parked job keeps all it has: an operator may let it go on. When that is settled it ends anew, and comes by again.
    select array_agg(j.id) into v_jobs
    from public.ai_jobs as j
    where j.id = any (v_jobs)
      and (
        j.status = 'cancelled'
        or (
          j.error_code <> 'outcome_unknown'
          and not exists (
            select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
          )
        )
      );

    insert into private.provider_removals (provider, object_type, provider_object_id, marker, job_id, made_at)
    select
      c.provider, c.operation, c.provider_object_id,
      case when c.provider_object_id is null then 'job:' || c.job_id end, c.job_id, c.sent_at
    from public.ai_provider_calls as c
    -- What was spoken or written down takes no place of the plan, and a retry of a failed job reads it again.
    where c.job_id = any (v_jobs) and c.operation in ('create_voice', 'create_video')
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
  'Writes down what jobs left that ended without a result, once their grace is over: the voice or video of a call, and the '
  'files in the job''s folder. Parked jobs keep all. Goes on where it was the last time; returns the number of jobs.';

create function public.begin_janitor_run(p_message_id text, p_sent_at_unix double precision)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_sent_at_unix is null or abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > 300 then
    raise exception 'dispatch % is older or newer than five minutes', p_message_id using errcode = 'AJ040';
  end if;
  insert into private.dispatch_receipts (message_id) values (p_message_id) on conflict do nothing;
  if not found then
    raise exception 'dispatch % was delivered before', p_message_id using errcode = 'AJ041';
  end if;
  return private.queue_job_leftovers();
end;
$$;
comment on function public.begin_janitor_run(text, double precision) is
  'Takes in a call of the janitor whose signature the caller has verified: refuses one that is more than five minutes old or '
  'ahead (AJ040), and one delivered before (AJ041). Queues what ended jobs left and returns how many were looked at. '
  'service_role only; security definer because the lists lie in schema private.';

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
  if private.is_object_named(p_removal) then
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
  -- Put there since by an owner who is still with us: not what was to go.
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
  'Leases a removal whose row the caller has locked; false when its object may not go now: what a row still needs waits a '
  'day, or until it is requested again; what is gone, or was replaced by its owner since, is done.';

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
  'Leases up to p_limit removals that are due and whose object may go now, to be deleted at once. service_role only; '
  'security definer because the list lies in schema private.';

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
  -- Nobody brings a deleted job back, so nobody else can be writing there but workers that have lost it as well.
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
  'For a worker whose lease is lost: when the job was deleted, with its account or alone, queues the files in its folder that '
  'no row names, and leases them to be deleted at once. 0 rows while the job exists: its files are another worker''s, or its '
  'owner''s. service_role only; security definer because the list lies in schema private.';

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
          -- Null for a name of another form, which is nobody's folder and left alone.
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
        and not private.is_object_named(jsonb_populate_record(
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
  'Reads on through our buckets, up to p_limit objects, and queues what is older than the grace and lies in the folder of no '
  'account, or of a job that was deleted and whose file no row names. Returns how many it looked at; fewer than p_limit: the '
  'reading is over, and the next begins after scan_interval_seconds. service_role only; security definer because it reads '
  'accounts and the list lies in schema private.';

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
  'What became of leased removals: done where Storage does not have the object any more, whatever the caller thinks; else '
  'tried again later. Returns how many are done. service_role only; security definer because the list lies in schema private.';

create function public.claim_provider_removals(p_providers text[], p_limit integer, p_lease_seconds integer default 120)
returns table (
  id bigint,
  lease_token uuid,
  provider text,
  object_type text,
  provider_object_id text,
  marker text,
  made_at timestamptz,
  is_lookup_conclusive boolean
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
  v_grace interval := make_interval(secs => (select s.orphan_grace_seconds from private.janitor_settings as s));
  v_claimed integer := 0;
begin
  for v_removal in
    select r.*
    from private.provider_removals as r
    join public.ai_providers as p on p.provider = r.provider
    where r.done_at is null and r.next_attempt_at <= clock_timestamp() and r.provider = any (p_providers)
      and p.paused_at is null
      -- Only a job closes a breaker: where there is none, the janitor tries in its stead.
      and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp() - interval '10 minutes')
    order by r.next_attempt_at
    limit p_limit * 10
    for update of r skip locked
  loop
    exit when v_claimed >= p_limit;
    if not private.give_up_provider_object(
      v_removal.provider, v_removal.object_type, v_removal.provider_object_id, v_removal.job_id
    ) then
      update private.provider_removals as r
      set next_attempt_at = clock_timestamp() + interval '1 hour'
      where r.id = v_removal.id;
      continue;
    end if;
    update private.provider_removals as r
    set attempts = r.attempts + 1,
        lease_token = gen_random_uuid(),
        next_attempt_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
    where r.id = v_removal.id
    returning r.lease_token into lease_token;
    id := v_removal.id;
    provider := v_removal.provider;
    object_type := v_removal.object_type;
    provider_object_id := v_removal.provider_object_id;
    marker := v_removal.marker;
    made_at := v_removal.made_at;
    is_lookup_conclusive := v_removal.requested_at <= clock_timestamp() - v_grace;
    v_claimed := v_claimed + 1;
    return next;
  end loop;
end;
$$;
comment on function public.claim_provider_removals(text[], integer, integer) is
  'Leases up to p_limit removals that are due at these providers, but for those that are paused or down, and that may go '
  'now. What a row names or a job may go on with waits an hour. is_lookup_conclusive: an empty look-up by marker '
  'means that nothing was made. service_role only; security definer because the list lies in schema private.';

create function public.give_up_found_object(p_id bigint, p_lease_token uuid, p_provider_object_id text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
begin
  select * into v_removal
  from private.provider_removals as r
  where r.id = p_id and r.lease_token = p_lease_token and r.done_at is null
  for update;
  if not found then
    return false;
  end if;
  return private.give_up_provider_object(
    v_removal.provider, v_removal.object_type, p_provider_object_id, v_removal.job_id
  );
end;
$$;
comment on function public.give_up_found_object(bigint, uuid, text) is
  'Whether what a look-up by marker has found may be removed: the removal is still leased by the caller, no row names the '
  'object and no job may go on with it. service_role only; security definer because the list lies in schema private.';

create function public.settle_provider_removal(
  p_id bigint,
  p_lease_token uuid,
  p_outcome text,
  p_error_code text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
begin
  update private.provider_removals as r
  set done_at = case when p_outcome in ('removed', 'absent') then clock_timestamp() end,
      outcome = case when p_outcome in ('removed', 'absent') then p_outcome end,
      last_error_code = case when p_outcome = 'failed' then coalesce(p_error_code, 'internal_error') end,
      next_attempt_at = case
        when p_outcome in ('removed', 'absent') then r.next_attempt_at
        else clock_timestamp() + private.removal_pause(r.attempts)
      end,
      lease_token = null
  where r.id = p_id and r.lease_token = p_lease_token and r.done_at is null
  returning r.* into v_removal;
  if not found then
    return false;
  end if;
  if v_removal.done_at is not null then
    delete from private.provider_objects as o
    where o.provider = v_removal.provider and o.object_id = v_removal.provider_object_id;
    if v_removal.provider_object_id is null then
      -- What was found has settled it before.
      perform private.settle_cancelled_call(v_removal.job_id, v_removal.provider, v_removal.object_type, null);
    end if;
  end if;
  return true;
end;
$$;
comment on function public.settle_provider_removal(bigint, uuid, text, text) is
  'What became of a leased removal: removed (or it was gone), absent (by its marker there is nothing), looking (nothing yet: '
  'look again later) or failed (try again later). False: somebody else has it; nothing changed. service_role only; security '
  'definer because the list lies in schema private.';

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
      -- Only a job closes a breaker: where there is none, the janitor tries in its stead.
      and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp() - interval '10 minutes')
  ) then
    return;
  end if;
  insert into private.provider_scans as s (provider, started_at, lease_token, lease_expires_at)
  values (p_provider, clock_timestamp(), gen_random_uuid(), clock_timestamp() + make_interval(secs => p_lease_seconds))
  on conflict (provider) do update
  set started_at = case when s.finished_at is null then s.started_at else excluded.started_at end,
      page_cursor = case when s.finished_at is null then s.page_cursor end,
      pages = case when s.finished_at is null then s.pages else 0 end,
      listed_at = case when s.finished_at is null then s.listed_at end,
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
  'Leases the reading of a provider''s list: a new one when the last is old enough, else one that broke off, from its next '
  'page on. 0 rows: nothing to do, or somebody is at it. service_role only; security definer because the scans lie in '
  'schema private.';

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
  -- Without a marker and without a row it is none of our business.
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

  update public.voices as v set provider_missing_since = null
  where v.provider = p_provider and v.provider_voice_id = any (v_ids) and v.provider_missing_since is not null;
  update public.avatars as a set provider_missing_since = null
  where a.provider = p_provider and a.provider_avatar_id = any (v_ids) and a.provider_missing_since is not null;
  return true;
end;
$$;
comment on function public.record_provider_page(text, uuid, jsonb, text, integer) is
  'Takes in a page of a provider''s list, [{object_id, object_type, job_id?}], and where the next one begins (null: it was '
  'the last). An orphan is noted when it is first seen, and queued for removal when it is seen again after the grace. '
  'False: the lease is lost; nothing changed. service_role only; security definer because the lists lie in schema private.';

create function public.unseen_provider_rows(p_provider text, p_lease_token uuid, p_limit integer)
returns setof text
language sql
stable
security definer
set search_path = ''
as $$
  select u.object_id
  from private.provider_scans as s
  cross join lateral (
    select v.provider_voice_id as object_id
    from public.voices as v
    where v.provider = s.provider and v.provider_missing_since is null and v.created_at < s.started_at - interval '1 hour'
    union all
    select a.provider_avatar_id
    from public.avatars as a
    where a.provider = s.provider and a.provider_missing_since is null and a.created_at < s.started_at - interval '1 hour'
  ) as u
  where s.provider = p_provider and s.lease_token = p_lease_token and s.listed_at is not null
    and not exists (
      select 1
      from private.provider_objects as o
      where o.provider = s.provider and o.object_id = u.object_id and o.last_seen_at >= s.started_at
    )
  limit p_limit;
$$;
comment on function public.unseen_provider_rows(text, uuid, integer) is
  'What rows name that a reading of the provider''s whole list did not show, but for rows younger than an hour, which lists '
  'may lag behind. service_role only; security definer because the scan lies in schema private.';

create function public.note_provider_rows(p_provider text, p_lease_token uuid, p_missing text[], p_present text[])
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
  update public.voices as v set provider_missing_since = clock_timestamp()
  where v.provider = p_provider and v.provider_voice_id = any (p_missing) and v.provider_missing_since is null;
  update public.avatars as a set provider_missing_since = clock_timestamp()
  where a.provider = p_provider and a.provider_avatar_id = any (p_missing) and a.provider_missing_since is null;
  insert into private.provider_objects as k (provider, object_id, object_type, standing)
  select p_provider, p.object_id, 'unlisted', 'named' from unnest(p_present) as p (object_id)
  on conflict (provider, object_id) do update set last_seen_at = clock_timestamp();
  return true;
end;
$$;
comment on function public.note_provider_rows(text, uuid, text[], text[]) is
  'What the provider answered when it was asked for objects one by one: the rows of those that it does not have are marked. '
  'False: the lease is lost; nothing changed. service_role only; security definer because the scan lies in schema private.';

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
      -- A page that the provider does not know any more must not be asked for until the end of time.
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
  'Ends a reading of a provider''s list: what it did not show is not kept in mind. With an error the list is read from its '
  'beginning the next time. False: the lease is lost; nothing changed. service_role only; security definer because the '
  'scans lie in schema private.';

create function public.report_ai_leftovers(p_limit integer default 1000)
returns table (
  kind text,
  state text,
  provider text,
  object_type text,
  object_id text,
  job_id uuid,
  since timestamptz,
  remove_after timestamptz,
  attempts integer,
  last_error_code text
)
language sql
stable
security definer
set search_path = ''
as $$
  select l.*
  from (
    select
      o.standing, case o.standing when 'orphan' then 'waiting' else 'reported' end, o.provider, o.object_type, o.object_id,
      o.job_id, coalesce(o.orphan_since, o.first_seen_at),
      o.orphan_since + make_interval(secs => s.orphan_grace_seconds), null::integer, null::text
    from private.provider_objects as o, private.janitor_settings as s
    where o.standing in ('orphan', 'foreign')
      and not exists (
        select 1
        from private.provider_removals as r
        where r.provider = o.provider and r.provider_object_id = o.object_id and r.done_at is null
      )
    union all
    select
      'removal',
      case
        when r.last_error_code is null then 'waiting'
        when r.attempts >= 5 then 'failing'
        else 'retrying'
      end,
      r.provider, r.object_type, coalesce(r.provider_object_id, r.marker), r.job_id, r.requested_at, r.next_attempt_at,
      r.attempts, r.last_error_code
    from private.provider_removals as r
    where r.done_at is null
    union all
    select
      'file',
      case
        when r.last_error_code is null then 'waiting'
        when r.attempts >= 5 then 'failing'
        else 'retrying'
      end,
      'internal', r.reason, r.object_path, null, r.requested_at, r.next_attempt_at, r.attempts, r.last_error_code
    from private.storage_removals as r
    where r.done_at is null
    union all
    select
      'missing', 'reported', v.provider, 'voice', v.provider_voice_id, v.job_id, v.provider_missing_since, null, null, null
    from public.voices as v
    where v.provider_missing_since is not null
    union all
    select
      'missing', 'reported', a.provider, 'avatar', a.provider_avatar_id, a.job_id, a.provider_missing_since, null, null, null
    from public.avatars as a
    where a.provider_missing_since is not null
  ) as l (
    kind, state, provider, object_type, object_id, job_id, since, remove_after, attempts, last_error_code
  )
  order by l.state = 'failing' desc, l.since
  limit p_limit;
$$;
comment on function public.report_ai_leftovers(integer) is
  'For the operator: what is at providers and in Storage that nobody has, what is being removed, and rows whose provider '
  'object is gone. kind: orphan (removed after remove_after), foreign (a marker of no job of ours: never removed), removal, '
  'file, missing. state failing: five attempts, and the last one failed. service_role only; security definer because the '
  'lists lie in schema private.';

create function private.run_janitor()
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.post_signed('janitor', jsonb_build_object('type', 'JANITOR'));
$$;
comment on function private.run_janitor() is
  'Asks the Edge Function janitor for a run, signed. Returns the pg_net request id, or null when it could not be sent.';

do $$
declare
  v_function regprocedure;
begin
  foreach v_function in array array[
    'public.begin_janitor_run(text, double precision)',
    'public.claim_storage_removals(integer, integer)',
    'public.claim_lost_job_files(uuid, uuid, integer)',
    'public.scan_stored_files(integer)',
    'public.settle_storage_removals(bigint[], uuid, text)',
    'public.claim_provider_removals(text[], integer, integer)',
    'public.give_up_found_object(bigint, uuid, text)',
    'public.settle_provider_removal(bigint, uuid, text, text)',
    'public.begin_provider_scan(text, integer)',
    'public.record_provider_page(text, uuid, jsonb, text, integer)',
    'public.unseen_provider_rows(text, uuid, integer)',
    'public.note_provider_rows(text, uuid, text[], text[])',
    'public.end_provider_scan(text, uuid, text)',
    'public.report_ai_leftovers(integer)'
  ]::regprocedure[] loop
    execute format('revoke execute on function %s from public, anon, authenticated', v_function);
    execute format('grant execute on function %s to service_role', v_function);
  end loop;
end;
$$;

select cron.schedule('run-janitor', '*/15 * * * *', 'select private.run_janitor()');
