-- Claiming: which jobs a worker gets, under the limits of users and providers.

create function private.users_without_room()
returns uuid[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return array(
    select j.user_id
    from public.ai_jobs as j
    where j.status = 'processing'
    group by j.user_id
    having count(*) >= coalesce(
      (select l.max_concurrent_jobs from public.ai_limits as l where l.user_id = j.user_id),
      (select d.max_concurrent_jobs from public.ai_limits as d where d.user_id is null)
    )
    union all
    select l.user_id
    from public.ai_limits as l
    where l.user_id is not null and (l.paused_at is not null or l.max_concurrent_jobs = 0)
  );
end;
$$;
comment on function private.users_without_room() is
  'Users whose jobs may not start now, because they are at their cap or paused.';

create sequence private.ai_job_claims;
comment on sequence private.ai_job_claims is
  'Counts claims, so that every eighth begins with the job that has waited longest.';
revoke all on sequence private.ai_job_claims from public, anon, authenticated, service_role;

create function public.claim_ai_jobs(
  p_limit integer,
  p_job_ids uuid[] default null,
  p_worker text default 'process-ai-job'
)
returns setof public.ai_jobs
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '5s'
-- Planning takes longer than running it, and by default each new connection plans the first five calls again.
set plan_cache_mode = force_generic_plan
-- A plan made while the table is small stays in use after it has grown.
set enable_seqscan = off
-- The cost of a plan that needs one all the same is so high that Postgres would compile it, for a hundred times as long as
-- it runs.
set jit = off
as $$
declare
  v_blocked_users uuid[];
  v_default_cap integer;
  -- One claim in eight begins with the job that waits longest, so that neither priority nor turns can starve one.
  v_is_oldest_first boolean := nextval('private.ai_job_claims') % 8 = 0;
  v_open_providers text[];
  v_is_waiting boolean;
  v_setting text;
  v_ids uuid[];
  v_claimed record;
  v_job public.ai_jobs;
begin
  if p_limit is null or p_limit < 0 then
    raise exception 'p_limit must be 0 or more' using errcode = '22023';
  end if;
  if p_limit = 0 then
    return;
  end if;
  -- Losing a claim in a crash of Postgres is harmless: nothing paid is sent before begin_provider_calls, whose commit
  -- waits for the disk and includes this one. The next claim need not wait either.
  v_setting := set_config('synchronous_commit', 'off', true);
  -- One claim at a time, so that the caps are exact. Released at the end of the transaction, which holds no other
  -- lock.
  perform pg_advisory_xact_lock(hashtextextended('claim_ai_jobs', 0));
  perform private.ready_due_ai_jobs(200);

  -- Many claims find nothing; the statements below would take most of their time.
  select
    exists (
      select 1
      from public.ai_job_types as t
      cross join lateral (
        select 1 from public.ai_jobs as j where j.job_type = t.job_type and j.status = 'pending' and j.queue_key is not null limit 1
      ) as j
      where t.worker = p_worker
    ),
    l.max_concurrent_jobs,
    array(select p.provider from public.ai_providers as p where p.breaker_opened_at is not null)
  into v_is_waiting, v_default_cap, v_open_providers
  from public.ai_limits as l
  where l.user_id is null;
  if not v_is_waiting then
    return;
  end if;
  v_blocked_users := private.users_without_room();

  with
  -- Counted once, not for each row that is read.
  running as materialized (
    select j.provider, j.user_id, count(*) as jobs from public.ai_jobs as j where j.status = 'processing' group by 1, 2
  ),
  -- Job types of this worker that may run, with one lane for each of their providers and the room that it has.
  lanes as materialized (
    select t.job_type, p.provider,
      p.max_concurrent - coalesce((select sum(r.jobs) from running as r where r.provider = p.provider), 0) as room
    from public.ai_job_types as t
    join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
      -- Jobs that wait for a provider that their type no longer names stay with it, because they may be paid for. One
      -- row in the order of the index: for an exists the planner may choose to read all waiting jobs.
      or (
        select true
        from public.ai_jobs as j
        where j.job_type = t.job_type and j.provider = p.provider and j.status = 'pending' and j.queue_key is not null
        order by j.priority
        limit 1
      )
    where t.worker = p_worker and t.is_enabled and t.paused_at is null and p.paused_at is null
      and (
        p.breaker_opened_at is null
        or (
          p.breaker_probe_at <= clock_timestamp()
          and not exists (select 1 from public.ai_jobs as j where j.id = p.breaker_probe_job_id and j.status = 'processing')
        )
      )
  ),
  -- Only one, however many are claimed: the others of a batch follow the turns; otherwise one user's backlog would
  -- fill the batch.
  oldest as materialized (
    select c.*, l.job_type, l.provider, l.room
    from lanes as l
    cross join lateral (
      select j.id, j.user_id, j.priority, j.queue_key, j.scheduled_at
      from public.ai_jobs as j
      where j.job_type = l.job_type and j.provider = l.provider and j.status = 'pending' and j.queue_key is not null
        and j.attempt < j.max_attempts
        -- With coalesce the planner expects half of the rows. For the arrays, which it does not know, it expects
        -- almost none, and would read and sort all waiting jobs instead of following the index to its first rows.
        and coalesce(j.user_id <> all (v_blocked_users), true)
        and coalesce(j.id = any (p_job_ids), true)
      order by j.scheduled_at, j.id
      limit 1
    ) as c
    where l.room > 0 and v_is_oldest_first
    order by c.scheduled_at, c.id
    limit 1
  ),
  -- The next jobs of each lane; more than requested, because the caps of users exclude some.
  candidates as (
    select 0 as rank, o.* from oldest as o
    union all
    select 1, c.*, l.job_type, l.provider, l.room
    from lanes as l
    cross join lateral (
      select j.id, j.user_id, j.priority, j.queue_key, j.scheduled_at
      from public.ai_jobs as j
      where j.job_type = l.job_type and j.provider = l.provider and j.status = 'pending' and j.queue_key is not null
        and j.attempt < j.max_attempts
        and coalesce(j.user_id <> all (v_blocked_users), true)
        and coalesce(j.id = any (p_job_ids), true)
        and j.id is distinct from (select o.id from oldest as o)
      order by j.priority, j.queue_key, j.scheduled_at, j.id
      limit p_limit * 4
    ) as c
    where l.room > 0
  ),
  -- Turns are counted within a lane; the first job of each lane comes before the second of any.
  in_lane as (
    select c.*,
      row_number() over (partition by c.job_type, c.provider order by c.rank, c.priority, c.queue_key, c.scheduled_at, c.id) as position
    from candidates as c
  ),
  numbered as (
    select c.*,
      row_number() over (partition by c.user_id order by c.rank, c.priority, c.position, c.scheduled_at, c.id) as of_user,
      row_number() over (partition by c.provider order by c.rank, c.priority, c.position, c.scheduled_at, c.id) as of_provider
    from in_lane as c
  ),
  chosen as (
    select j.id
    -- Sorted here, so that only the rows that are taken are looked up and locked.
    from (
      select c.id
      from numbered as c
      left join public.ai_limits as l on l.user_id = c.user_id
      where c.of_provider <= c.room
        -- An open breaker lets one job through at a time.
        and (c.of_provider = 1 or c.provider <> all (v_open_providers))
        and c.of_user <= coalesce(l.max_concurrent_jobs, v_default_cap)
          - coalesce((select sum(r.jobs) from running as r where r.user_id = c.user_id), 0)
      order by c.rank, c.priority, c.position, c.scheduled_at, c.id
    ) as n
    -- One by one through the primary key: as a join, each of them would be compared with all.
    cross join lateral (
      select p.id
      from public.ai_jobs as p
      -- With coalesce no index of waiting jobs applies, which would be read from one end to the other.
      where p.id = n.id and coalesce(p.status = 'pending', true)
      limit 1
      for update skip locked
    ) as j
    limit p_limit
  )
  select array_agg(c.id) into v_ids from chosen as c;
  if v_ids is null then
    return;
  end if;

  for v_claimed in
  with claimed as (
    update public.ai_jobs as j
    set status = 'processing',
        attempt = j.attempt + 1,
        queue_key = null,
        lease_token = gen_random_uuid(),
        lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
        -- Never before created_at: after a failover to a machine whose clock is behind, one such row would otherwise
        -- fail its check and with it every claim.
        started_at = coalesce(j.started_at, greatest(clock_timestamp(), j.created_at)),
        stage = 'claimed',
        event_seq = j.event_seq + 1,
        last_event = 'claimed'
    from public.ai_job_types as t
    where j.id = any (v_ids) and t.job_type = j.job_type
    returning j.*
  )
  select c as job,
    -- The cache entry is not trusted: reuse_ai_job_result checks that the job exists and is equal.
    (
      select (r.value ->> 'job_id')::uuid
      from public.ai_result_cache as r
      where r.cache_key = 'ai_job:' || c.input_hash and r.expires_at > now()
        and r.value ->> 'job_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' and r.value ->> 'job_id' <> c.id::text
    ) as cached_from_job_id
  from claimed as c
  loop
    v_job := v_claimed.job;
    if v_job.provider = any (v_open_providers) then
      update public.ai_providers as p
      set breaker_probe_job_id = v_job.id
      where p.provider = v_job.provider and p.breaker_opened_at is not null;
    end if;
    -- Only in the response.
    v_job.cached_from_job_id := v_claimed.cached_from_job_id;
    return next v_job;
  end loop;
end;
$$;
comment on function public.claim_ai_jobs(integer, uuid[], text) is
  'Claims up to p_limit due jobs of p_worker''s types (of p_job_ids, if given): status processing, attempt + 1, a new '
  'lease token. Lower priority first, users in turns; one claim in eight begins with the job that has waited longest. '
  'Never exceeds the caps of providers and users, never gives a job to two callers, and lets through one job at a time '
  'as a probe of a provider whose breaker is open. cached_from_job_id, in the answer only: the job that the result cache '
  'has for this input; see reuse_ai_job_result. 0 rows: nothing may run. service_role only; security definer '
  'because it reads limits and calls functions of schema private.';
revoke execute on function public.claim_ai_jobs(integer, uuid[], text) from public, anon, authenticated;
grant execute on function public.claim_ai_jobs(integer, uuid[], text) to service_role;

create function public.claim_dispatched_ai_jobs(
  p_message_id text,
  p_sent_at_unix double precision,
  p_limit integer,
  p_worker text default 'process-ai-job'
)
returns setof public.ai_jobs
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_sent_at_unix is null or abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > 300 then
    raise exception 'the timestamp of dispatch % is more than five minutes off', p_message_id using errcode = 'AJ040';
  end if;
  insert into private.dispatch_receipts (message_id) values (p_message_id) on conflict do nothing;
  if not found then
    raise exception 'dispatch % was already delivered', p_message_id using errcode = 'AJ041';
  end if;
  delete from private.expected_claims as e where e.id = p_message_id;
  if found and not private.is_polled(p_worker) then
    perform private.wait_for_relying_inserts(p_worker);
  end if;
  return query select c.* from public.claim_ai_jobs(p_limit, null, p_worker) as c;
end;
$$;
comment on function public.claim_dispatched_ai_jobs(text, double precision, integer, text) is
  'claim_ai_jobs for a dispatch whose signature the caller has verified: also refuses one that is more than five '
  'minutes old or ahead by this clock, not the worker''s (AJ040), and one that was already delivered (AJ041). '
  'service_role only. Security definer because the receipts are in schema private.';
revoke execute on function public.claim_dispatched_ai_jobs(text, double precision, integer, text) from public, anon, authenticated;
grant execute on function public.claim_dispatched_ai_jobs(text, double precision, integer, text) to service_role;

create function public.poll_ai_jobs(
  p_poll_id uuid,
  p_limit integer,
  p_is_last boolean default false,
  p_worker text default 'process-ai-job'
)
returns setof public.ai_jobs
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_is_last then
    delete from private.expected_claims as e where e.id = p_poll_id::text;
    if found then
      perform private.wait_for_relying_inserts(p_worker);
    end if;
  else
    insert into private.expected_claims as e (id, worker, is_poll)
    values (p_poll_id::text, p_worker, true)
    -- Not at each poll: inserts rely on it for half a second.
    on conflict (id) do update set expected_at = excluded.expected_at
    where e.expected_at < clock_timestamp() - interval '100 milliseconds';
  end if;
  return query select c.* from public.claim_ai_jobs(p_limit, null, p_worker) as c;
end;
$$;
comment on function public.poll_ai_jobs(uuid, integer, boolean, text) is
  'claim_ai_jobs for a worker that claims again within a quarter of a second for as long as jobs keep arriving: inserts rely '
  'on that and send it no dispatch. p_is_last ends this: it waits for the inserts that relied on it, 50 ms at most, and '
  'claims their jobs. If p_limit is less than what is due then, the caller must call wake_ai_job_worker. A worker that dies '
  'in between is relied on for half a second; the sweep dispatches those jobs. service_role only; security definer '
  'because the table of expected claims is in schema private.';
revoke execute on function public.poll_ai_jobs(uuid, integer, boolean, text) from public, anon, authenticated;
grant execute on function public.poll_ai_jobs(uuid, integer, boolean, text) to service_role;
