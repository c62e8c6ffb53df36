-- The queue: claim, then writes that carry the lease token, then one ending. All of it is for service_role alone
-- and decided by the database's clock; docs/job-lifecycle.md draws it.

create function private.ready_due_ai_jobs(p_limit integer)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_due uuid[];
begin
  -- Asked at each claim, with nothing to do for most of them: an update of no rows would still run its triggers.
  if not exists (
    select 1
    from public.ai_jobs as d
    where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.scheduled_at <= (select clock_timestamp())
  ) then
    return;
  end if;
  -- Two at once would not see each other's and give the same turns; the other one is about to do this.
  if not pg_try_advisory_xact_lock(hashtextextended('ready_due_ai_jobs', 0)) then
    return;
  end if;
  select array_agg(d.id) into v_due
  from (
    select d.id
    from public.ai_jobs as d
    -- Not now(): what the same transaction has just put back is due as well.
    where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.scheduled_at <= (select clock_timestamp())
    order by d.scheduled_at
    limit p_limit
  ) as d;
  if cardinality(v_due) = p_limit then
    -- More is due than fits: users share, so that the pile of one holds up no other. From user to user through the index,
    -- since the pile may be long.
    with recursive owners as (
      (
        select d.user_id
        from public.ai_jobs as d
        where d.status = 'pending' and d.queue_key is null and not d.is_blocked
        order by d.user_id
        limit 1
      )
      union all
      select (
        select d.user_id
        from public.ai_jobs as d
        where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.user_id > o.user_id
        order by d.user_id
        limit 1
      )
      from owners as o
      where o.user_id is not null
    ),
    waiting as (
      select o.user_id, count(*) over () as users
      from owners as o
      where exists (
        select 1
        from public.ai_jobs as d
        where d.user_id = o.user_id and d.status = 'pending' and d.queue_key is null and not d.is_blocked
          and d.scheduled_at <= (select clock_timestamp())
      )
    )
    select array_agg(s.id) into v_due
    from (
      select d.id
      from waiting as w
      cross join lateral (
        select d.id, d.scheduled_at
        from public.ai_jobs as d
        where d.user_id = w.user_id and d.status = 'pending' and d.queue_key is null and not d.is_blocked
          and d.scheduled_at <= (select clock_timestamp())
        order by d.scheduled_at
        limit greatest(p_limit / w.users, 1)
      ) as d
      order by d.scheduled_at
      limit p_limit
    ) as s;
  end if;
  update public.ai_jobs as j
  set queue_key = private.next_queue_key(j.user_id, j.job_type, j.provider, j.priority)
  from (
    select d.id
    from public.ai_jobs as d
    where d.id = any (v_due) and d.status = 'pending' and d.queue_key is null and not d.is_blocked
    for update skip locked
  ) as due
  where j.id = due.id;
end;
$$;
comment on function private.ready_due_ai_jobs(integer) is
  'Gives jobs whose time has come their turn: delayed, retried, snoozed, released and rescued ones; p_limit at a time, those '
  'that have been due longest, or, when more are due, as many of each user. One call at a time; a second one does nothing.';

create function private.users_without_room()
returns uuid[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(array_agg(u.user_id), '{}')
    from (
      select r.user_id
      from (
        select j.user_id, count(*) as running from public.ai_jobs as j where j.status = 'processing' group by j.user_id
      ) as r
      left join public.ai_limits as l on l.user_id = r.user_id
      where r.running >= coalesce(
        l.max_concurrent_jobs, (select d.max_concurrent_jobs from public.ai_limits as d where d.user_id is null)
      )
      union
      select l.user_id
      from public.ai_limits as l
      where l.user_id is not null and (l.paused_at is not null or l.max_concurrent_jobs = 0)
    ) as u
  );
end;
$$;
comment on function private.users_without_room() is
  'Users whose jobs may not start now: as many run as may, or they are paused.';

create sequence private.ai_job_claims;
comment on sequence private.ai_job_claims is 'Counts claims, so that every eighth can go to the job that waits longest.';
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
-- Planning takes longer than running it, and by default each new connection plans the first five times anew.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_blocked_users uuid[];
  v_default_cap integer;
  -- One claim in eight begins with the job that waits longest, so that neither priority nor turns can starve one.
  v_is_oldest_first boolean := nextval('private.ai_job_claims') % 8 = 0;
  v_open_providers text[];
  v_job public.ai_jobs;
begin
  if p_limit is null or p_limit < 0 then
    raise exception 'p_limit must be 0 or more' using errcode = '22023';
  end if;
  if p_limit = 0 then
    return;
  end if;
  -- A claim that a crash of Postgres undoes has done nothing yet: nothing that is paid for
  -- is sent before begin_provider_call, whose commit is waited for and takes this one along. Nor need the next claim wait.
  perform set_config('synchronous_commit', 'off', true);
  -- Claims take turns: only so are the caps exact. Ends with the transaction, which holds nothing but this.
  perform pg_advisory_xact_lock(hashtextextended('claim_ai_jobs', 0));
  perform private.ready_due_ai_jobs(200);

  select l.max_concurrent_jobs into v_default_cap from public.ai_limits as l where l.user_id is null;
  v_blocked_users := private.users_without_room();
  select array_agg(p.provider) into v_open_providers from public.ai_providers as p where p.breaker_opened_at is not null;

  for v_job in
  with
  -- Counted once, and not for each row that is looked at.
  running as materialized (
    select j.provider, j.user_id, count(*) as jobs from public.ai_jobs as j where j.status = 'processing' group by 1, 2
  ),
  -- Job types of this worker that may run, one lane for each of their providers, with what room that has.
  lanes as materialized (
    select t.job_type, p.provider, t.lease_seconds,
      p.max_concurrent - coalesce((select sum(r.jobs) from running as r where r.provider = p.provider), 0) as room
    from public.ai_job_types as t
    join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
      -- What waits for a provider that its type no longer names goes on with it: it may be paid for.
      -- One row in the order of the index: to an exists the planner may answer by reading all that waits.
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
  -- One only, however many are claimed: the others of a batch go by turns, or a pile would take all of it.
  oldest as materialized (
    select c.*, l.job_type, l.provider, l.room
    from lanes as l
    cross join lateral (
      select j.id, j.user_id, j.priority, j.queue_key, j.scheduled_at
      from public.ai_jobs as j
      where j.job_type = l.job_type and j.provider = l.provider and j.status = 'pending' and j.queue_key is not null
        and j.attempt < j.max_attempts
        -- In coalesce, of which the planner expects half: of the arrays themselves, which it does not know, it expects next
        -- to nothing, and then reads all that waits and sorts it instead of following the index to its first rows.
        and coalesce(j.user_id <> all (v_blocked_users), true)
        and coalesce(j.id = any (p_job_ids), true)
      order by j.scheduled_at, j.id
      limit 1
    ) as c
    where l.room > 0 and v_is_oldest_first
    order by c.scheduled_at, c.id
    limit 1
  ),
  -- The next of each lane; more than asked for, since the caps of users take some away.
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
  -- Turns are counted within a lane; between lanes the first of each comes before the second of any.
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
    from numbered as n
    join public.ai_jobs as j on j.id = n.id
    left join public.ai_limits as l on l.user_id = n.user_id
    where n.of_provider <= n.room
      -- An open breaker lets through one at a time.
      and (
        n.of_provider = 1
        or not exists (
          select 1 from public.ai_providers as p where p.provider = n.provider and p.breaker_opened_at is not null
        )
      )
      and n.of_user <= coalesce(l.max_concurrent_jobs, v_default_cap)
        - coalesce((select sum(r.jobs) from running as r where r.user_id = n.user_id), 0)
      and j.status = 'pending'
    order by n.rank, n.priority, n.position, n.scheduled_at, n.id
    limit p_limit
    for update of j skip locked
  ),
  claimed as (
    update public.ai_jobs as j
    set status = 'processing',
        attempt = j.attempt + 1,
        queue_key = null,
        lease_token = gen_random_uuid(),
        lease_expires_at = clock_timestamp() + make_interval(secs => lanes.lease_seconds),
        -- Never before created_at: after a failover to a machine whose clock is behind, one such row would otherwise
        -- fail its check and with it every claim.
        started_at = coalesce(j.started_at, greatest(clock_timestamp(), j.created_at)),
        stage = 'claimed',
        event_seq = j.event_seq + 1,
        last_event = 'claimed'
    from chosen, lanes
    where j.id = chosen.id and lanes.job_type = j.job_type and lanes.provider = j.provider
    returning j.*
  )
  select c.* from claimed as c
  loop
    if v_job.provider = any (v_open_providers) then
      update public.ai_providers as p
      set breaker_probe_job_id = v_job.id
      where p.provider = v_job.provider and p.breaker_opened_at is not null;
    end if;
    return next v_job;
  end loop;
end;
$$;
comment on function public.claim_ai_jobs(integer, uuid[], text) is
  'Takes up to p_limit due jobs of the types of p_worker for the caller (of p_job_ids, if given): status processing, attempt + 1, a fresh lease '
  'token. Lower priority first, users in turns; one claim in eight begins with the job that waits longest. Never exceeds what a provider or '
  'a user may run at once, never gives a job to two callers, and lets one job at a time try a provider whose breaker is '
  'open. 0 rows: nothing may run. service_role only; security '
  'definer because it reads limits and calls functions of schema private.';

create table private.dispatch_receipts (
  message_id text not null,
  received_at timestamptz not null default clock_timestamp(),
  constraint dispatch_receipts_pkey primary key (message_id),
  constraint dispatch_receipts_message_id_length check (length(message_id) between 1 and 128)
);
comment on table private.dispatch_receipts is
  'Ids of the dispatches of the last minutes, so that a recorded request cannot be played again. The sweep prunes it.';
create index dispatch_receipts_received_at_idx on private.dispatch_receipts (received_at);
alter table private.dispatch_receipts enable row level security;
revoke all on private.dispatch_receipts from public, anon, authenticated, service_role;

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
    raise exception 'dispatch % is older or newer than five minutes', p_message_id using errcode = 'AJ040';
  end if;
  insert into private.dispatch_receipts (message_id) values (p_message_id) on conflict do nothing;
  if not found then
    raise exception 'dispatch % was delivered before', p_message_id using errcode = 'AJ041';
  end if;
  return query select c.* from public.claim_ai_jobs(p_limit, null, p_worker) as c;
end;
$$;
comment on function public.claim_dispatched_ai_jobs(text, double precision, integer, text) is
  'claim_ai_jobs for a dispatch whose signature the caller has verified: also refuses one that is more than five '
  'minutes old or ahead (AJ040) by this clock, not the worker''s, and one delivered before (AJ041). service_role only. '
  'Security definer because the receipts lie in schema private.';

create function public.heartbeat_ai_jobs(p_beats jsonb)
returns table (job_id uuid, is_cancel_requested boolean)
language plpgsql
volatile
security invoker
set search_path = ''
-- The planner expects a hundred beats, and in a table of some thousand rows would rather read them all.
set enable_seqscan = off
as $$
begin
  -- A lease that a crash of Postgres makes shorter is only rescued sooner.
  perform set_config('synchronous_commit', 'off', true);
  return query
  update public.ai_jobs as j
  set lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      -- least() passes over nulls, so a beat without progress would otherwise count as 99.
      progress_percentage = greatest(j.progress_percentage, least(coalesce(b.progress, 0), 99)),
      stage = coalesce(b.stage, j.stage),
      event_seq = j.event_seq + (b.progress is not null or b.stage is not null)::integer,
      last_event = case when b.progress is not null or b.stage is not null then 'progress' else j.last_event end
  from jsonb_to_recordset(p_beats) as b (job_id uuid, lease_token uuid, progress integer, stage text),
    public.ai_job_types as t
  where j.id = b.job_id
    and j.lease_token = b.lease_token
    and t.job_type = j.job_type
  returning j.id, j.cancel_requested_at is not null;
end;
$$;
comment on function public.heartbeat_ai_jobs(jsonb) is
  'For all jobs that a worker has in hand, in one call: extends their leases and, where given, reports progress (never '
  'backwards, never 100) and stage. p_beats: [{job_id, lease_token, progress?, stage?}]. A job that is not returned is '
  'lost: stop. service_role only.';

create function public.complete_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_result_data jsonb,
  p_output_url text default null,
  p_product jsonb default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
begin
  if p_product is not null then
    -- What is inserted below belongs to the owner's account. Whoever deletes that holds it and wants its jobs, so it is
    -- held before the job.
    perform 1
    from auth.users as u
    where u.id = (select j.user_id from public.ai_jobs as j where j.id = p_job_id)
    for key share;
  end if;
  update public.ai_jobs as j
  set status = 'completed',
      progress_percentage = 100,
      stage = null,
      result_data = p_result_data,
      output_url = p_output_url,
      error_code = null,
      error_message = null,
      lease_token = null,
      lease_expires_at = null,
      completed_at = greatest(clock_timestamp(), j.started_at),
      event_seq = j.event_seq + 1,
      last_event = 'completed'
  where j.id = p_job_id and j.lease_token = p_lease_token
  returning j.* into v_job;
  if not found then
    return false;
  end if;
  if p_product is null then
    return true;
  end if;

  -- What a product was made from may be deleted while it is made: that is no reason to throw away what was paid for.
  case p_product ->> 'kind'
    when 'voice' then
      insert into public.voices (
        user_id, job_id, provider, provider_voice_id, name, description, labels, stability, similarity_boost, sample_url
      )
      select
        v_job.user_id, v_job.id, v_job.provider, v.provider_voice_id, v.name, v.description, coalesce(v.labels, '{}'),
        v.stability, v.similarity_boost, v_job.input_url
      from jsonb_to_record(p_product) as v (
        provider_voice_id text, name text, description text, labels jsonb, stability numeric, similarity_boost numeric
      );
    when 'avatar' then
      insert into public.avatars (
        user_id, job_id, voice_id, photo_id, name, provider, provider_avatar_id, video_url, duration_seconds
      )
      select
        v_job.user_id, v_job.id,
        (select o.id from public.voices as o where o.id = a.voice_id and o.user_id = v_job.user_id),
        (select o.id from public.media as o where o.storage_path = v_job.input_url and o.user_id = v_job.user_id),
        a.name, v_job.provider, a.provider_avatar_id, v_job.output_url, a.duration_seconds
      from jsonb_to_record(p_product) as a (
        provider_avatar_id text, name text, voice_id uuid, duration_seconds numeric
      );
    when 'pdf' then
      insert into public.pdfs (user_id, job_id, slideshow_id, title, pdf_url, page_count, size_bytes)
      select
        v_job.user_id, v_job.id,
        (select o.id from public.slideshows as o where o.id = p.slideshow_id and o.user_id = v_job.user_id),
        p.title, v_job.output_url, p.page_count, p.size_bytes
      from jsonb_to_record(p_product) as p (title text, slideshow_id uuid, page_count integer, size_bytes bigint);
    when 'transcript' then
      update public.calls as c
      set transcript = t.transcript,
          transcript_data = t.transcript_data,
          duration_seconds = coalesce(t.duration_seconds, c.duration_seconds),
          transcript_job_id = v_job.id
      from jsonb_to_record(p_product) as t (
        call_id uuid, transcript text, transcript_data jsonb, duration_seconds numeric
      )
      where c.id = t.call_id and c.user_id = v_job.user_id and t.transcript is not null;
      if not found then
        raise exception 'the transcript is empty, or its call is gone' using errcode = 'AJ081', detail = 'p_product.call_id';
      end if;
    else
      raise exception 'the product is of no known kind' using errcode = 'AJ080', detail = 'p_product.kind';
  end case;
  return true;
end;
$$;
comment on function public.complete_ai_job(uuid, uuid, jsonb, text, jsonb) is
  'Ends a claimed job as completed and writes the row that its result is, in one commit. False: the lease is lost and '
  'nothing changed. p_product, by its kind: voice (provider_voice_id, name, description, labels, stability, '
  'similarity_boost), avatar (provider_avatar_id, name, voice_id, duration_seconds), pdf (title, slideshow_id, page_count, '
  'size_bytes), transcript (call_id, transcript, transcript_data, duration_seconds); owner, job, provider and file come '
  'from the job. A product that cannot be written raises (AJ080, AJ081, or the constraint) and takes the completion back '
  'with it. service_role only; security definer because it holds the owner''s account, in schema auth, before the job.';

create function private.ai_job_backoff(p_job_type text, p_attempt integer)
returns interval
language sql
volatile
security invoker
set search_path = ''
as $$
  select make_interval(
    secs => least(t.backoff_base_seconds * power(2, greatest(p_attempt, 1) - 1), t.backoff_max_seconds)
      * (0.8 + 0.4 * random())
  )
  from public.ai_job_types as t
  where t.job_type = p_job_type;
$$;
comment on function private.ai_job_backoff(text, integer) is
  'Wait after a failed attempt: base × 2^(attempt-1) seconds of the job type, capped, ±20 % so that jobs that failed '
  'together do not return together.';

create function private.ending_message(p_job_id uuid, p_error_code text, p_last_cause text)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select concat_ws(
    ' ',
    case p_error_code
      when 'outcome_unknown' then 'It is unknown whether the AI provider did the work; it was not sent again.'
      when 'job_expired' then 'The job was not finished in the time it had.'
    end,
    case when p_error_code = 'outcome_unknown' then (
      select string_agg(
        format(
          'Its call %s %s.',
          c.operation,
          case
            when c.error_code is null then 'was cut off before an answer came'
            else 'ended with ' || c.error_code || coalesce(' (HTTP ' || c.http_status || ')', '')
          end
        ),
        ' ' order by c.sent_at
      )
      from public.ai_provider_calls as c
      where c.job_id = p_job_id and c.outcome in ('sent', 'unknown')
    ) end,
    'Last: ' || p_last_cause
  );
$$;
comment on function private.ending_message(uuid, text, text) is
  'The words of outcome_unknown, with how the calls in question ended, or of job_expired; then what was known last. All of '
  'it is safe to show.';

create function public.fail_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_error_code text,
  p_error_message text,
  p_is_retryable boolean,
  p_retry_after_seconds double precision default null
)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_is_outage boolean;
  v_retry boolean;
  v_is_unknown boolean;
  v_status text;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return null;
  end if;
  v_is_outage := private.note_failed_attempt(v_job, p_error_code) and p_is_retryable;
  v_retry := v_is_outage or (p_is_retryable and v_job.attempt < v_job.max_attempts);
  -- Whoever gives up no longer waits for an answer.
  update public.ai_provider_calls as c set outcome = 'unknown' where c.job_id = p_job_id and c.outcome = 'sent';
  v_is_unknown := not v_retry and exists (
    select 1 from public.ai_provider_calls as c where c.job_id = p_job_id and c.outcome in ('sent', 'unknown')
  );
  update public.ai_jobs as j
  set status = case when v_retry then 'pending' else 'failed' end,
      attempt = j.attempt - v_is_outage::integer,
      progress_percentage = case when v_retry then 0 else j.progress_percentage end,
      error_code = case when v_is_unknown then 'outcome_unknown' else p_error_code end,
      error_message =
        case when v_is_unknown then private.ending_message(j.id, 'outcome_unknown', p_error_message) else p_error_message end,
      scheduled_at = case
        when v_retry then clock_timestamp() + greatest(
          -- While the breaker is open it decides when the job may try again.
          case when v_is_outage then interval '0' else private.ai_job_backoff(j.job_type, j.attempt) end,
          make_interval(secs => least(coalesce(p_retry_after_seconds, 0), 3600))
        )
        else j.scheduled_at
      end,
      lease_token = null,
      lease_expires_at = null,
      completed_at = case when v_retry then null else greatest(clock_timestamp(), j.started_at) end,
      event_seq = j.event_seq + 1,
      last_event = case when v_retry then 'retried' else 'failed' end
  where j.id = p_job_id
  returning j.status into v_status;
  return v_status;
end;
$$;
comment on function public.fail_ai_job(uuid, uuid, text, text, boolean, double precision) is
  'Ends an attempt: back to pending after backoff (at least p_retry_after_seconds, at most an hour of it) while attempts '
  'are left and the error is retryable, else failed; failed with a paid call of unknown outcome is outcome_unknown, and '
  'the message keeps the cause given here. A retryable failure of a provider whose breaker is open spends no attempt. '
  'Returns the new status, which is cancelled when the owner asked for that meanwhile; null when the lease is lost. '
  'service_role only; security definer for the backoff in private.';

create function public.snooze_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_delay_seconds double precision,
  p_stage text default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'pending',
      attempt = j.attempt - 1,
      stage = coalesce(p_stage, j.stage),
      scheduled_at = clock_timestamp() + make_interval(secs => least(greatest(p_delay_seconds, 0), 3600)),
      lease_token = null,
      lease_expires_at = null,
      event_seq = j.event_seq + 1,
      last_event = 'snoozed'
  where j.id = p_job_id and j.lease_token = p_lease_token;
  return found;
end;
$$;
comment on function public.snooze_ai_job(uuid, uuid, double precision, text) is
  'Puts a claimed job back for later without spending the attempt: the provider is still at work, or its listing may '
  'lag. False: the lease is lost. service_role only.';

create function public.release_ai_job(p_job_id uuid, p_lease_token uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'pending',
      attempt = j.attempt - 1,
      scheduled_at = clock_timestamp(),
      lease_token = null,
      lease_expires_at = null,
      event_seq = j.event_seq + 1,
      last_event = 'released'
  where j.id = p_job_id and j.lease_token = p_lease_token;
  return found;
end;
$$;
comment on function public.release_ai_job(uuid, uuid) is
  'Hands a claimed job back at once, attempt included: the runner is being shut down. False: the lease is lost. '
  'service_role only.';

create function public.cancel_ai_job(p_job_id uuid, p_lease_token uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set status = 'cancelled',
      stage = null,
      error_code = 'cancelled',
      error_message = private.cancellation_message(j.spend),
      lease_token = null,
      lease_expires_at = null,
      completed_at = greatest(clock_timestamp(), j.started_at),
      event_seq = j.event_seq + 1,
      last_event = 'cancelled'
  where j.id = p_job_id and j.lease_token = p_lease_token and j.cancel_requested_at is not null;
  return found;
end;
$$;
comment on function public.cancel_ai_job(uuid, uuid) is
  'Ends a claimed job whose owner asked for it to be cancelled; spend on the row says what it cost. False: the lease is '
  'lost or nobody asked; nothing changed. service_role only; security definer for the message in schema private.';

create function private.cancellation_message(p_spend text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select case p_spend
    when 'none' then 'Cancelled before anything was paid.'
    when 'incurred' then 'Cancelled after the AI provider had done paid work.'
    else 'Cancelled while the AI provider was at work; it may have been paid.'
  end;
$$;
comment on function private.cancellation_message(text) is 'What the owner of a cancelled job is told about the money.';

create function private.apply_owner_request()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.cancel_requested_at is distinct from old.cancel_requested_at then
    if new.cancel_requested_at is null or old.cancel_requested_at is not null then
      -- Asking twice changes nothing; a request cannot be taken back.
      new.cancel_requested_at := old.cancel_requested_at;
    elsif old.status not in ('pending', 'processing') then
      raise exception 'a job that is % cannot be cancelled', old.status using errcode = 'AJ071', detail = 'job_id';
    else
      new.cancel_requested_at := now();
      new.event_seq := old.event_seq + 1;
      new.last_event := 'cancel_requested';
      if old.status = 'pending' then
        new.status := 'cancelled';
        new.queue_key := null;
        new.is_blocked := false;
        new.stage := null;
        new.error_code := 'cancelled';
        new.error_message := private.cancellation_message(old.spend);
        new.completed_at := greatest(clock_timestamp(), old.started_at, old.created_at);
        new.last_event := 'cancelled';
      end if;
    end if;
  end if;

  if new.retry_requested_at is distinct from old.retry_requested_at then
    if old.status <> 'failed' then
      raise exception 'a job that is % cannot be retried', old.status using errcode = 'AJ070', detail = 'job_id';
    end if;
    if old.spend = 'unknown' then
      raise exception 'it is unknown whether this job was paid for; the operator has to decide' using
        errcode = 'AJ072', detail = 'job_id';
    end if;
    if old.max_attempts >= 100 then
      raise exception 'this job was tried % times', old.attempt using errcode = 'AJ070', detail = 'job_id';
    end if;
    new.retry_requested_at := now();
    new.status := 'pending';
    if old.error_code = 'dependency_failed' and new.depends_on_job_id is null then
      raise exception 'the job that this one depends on is gone' using errcode = 'AJ017', detail = 'job_id';
    end if;
    -- Together with what it depends on it is only told to wait; by itself it has to ask.
    if not new.is_blocked then
      new.is_blocked := private.is_dependency_unfinished(new.user_id, new.depends_on_job_id);
    end if;
    new.started_at := null;
    new.max_attempts := least(100, old.attempt + (
      select t.max_attempts from public.ai_job_types as t where t.job_type = old.job_type
    ));
    new.progress_percentage := 0;
    new.stage := case when new.is_blocked then 'waiting_for_dependency' end;
    new.scheduled_at := now();
    new.completed_at := null;
    new.cancel_requested_at := null;
    new.event_seq := old.event_seq + 1;
    new.last_event := 'retry_requested';
  end if;
  return new;
end;
$$;
comment on function private.apply_owner_request() is
  'Row trigger: turns an owner''s cancel_requested_at and retry_requested_at, the only columns they may change, into what '
  'they mean. A waiting job is cancelled at once; a running one when its runner''s heartbeat learns of it; a failed one '
  'may be retried unless it is unknown whether it was paid for (AJ072). Security definer because an owner may not read the '
  'policy of a type that is switched off.';

create trigger ai_jobs_apply_owner_request
before update of cancel_requested_at, retry_requested_at on public.ai_jobs
for each row execute function private.apply_owner_request();

create function private.end_instead_of_waiting()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_is_too_old boolean;
begin
  if new.cancel_requested_at is not null then
    new.status := 'cancelled';
    new.error_code := 'cancelled';
    new.error_message := private.cancellation_message(new.spend);
    new.last_event := 'cancelled';
  else
    select old.started_at < clock_timestamp() - make_interval(secs => t.max_age_seconds) into v_is_too_old
    from public.ai_job_types as t
    where t.job_type = new.job_type;
    if not v_is_too_old then
      return new;
    end if;
    new.status := 'failed';
    new.error_code := case
      when exists (
        select 1 from public.ai_provider_calls as c where c.job_id = new.id and c.outcome in ('sent', 'unknown')
      ) then 'outcome_unknown'
      else 'job_expired'
    end;
    new.error_message := private.ending_message(new.id, new.error_code, new.error_message);
    new.last_event := 'failed';
  end if;
  new.stage := null;
  new.completed_at := greatest(clock_timestamp(), new.started_at);
  return new;
end;
$$;
comment on function private.end_instead_of_waiting() is
  'Row trigger: a running job that is handed back, snoozed, retried or rescued ends instead of waiting when its owner has '
  'cancelled it, or when it is older than its type allows: no job goes round for ever. Security definer because it reads '
  'the policy of the type for whoever hands back.';

create trigger ai_jobs_end_instead_of_waiting
before update on public.ai_jobs
for each row
when (old.status = 'processing' and new.status = 'pending')
execute function private.end_instead_of_waiting();

create policy "users can ask to cancel or retry their own ai jobs"
on public.ai_jobs for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));
grant update (cancel_requested_at, retry_requested_at) on public.ai_jobs to authenticated;

create function private.try_ai_job_again(p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j set retry_requested_at = clock_timestamp() where j.id = p_job_id;
  return true;
exception
  when sqlstate 'AJ034' or sqlstate 'AJ036' or sqlstate 'AJ037' or sqlstate 'AJ070' or sqlstate 'AJ017' then
    return false;
end;
$$;
comment on function private.try_ai_job_again(uuid) is
  'Retries a failed job for the operator. False, and it stays failed, when its owner has as many waiting as they may, there is no room for another voice, it was '
  'tried too often, or what it depends on is gone: that is no reason to leave others undone.';

create function public.redrive_ai_jobs(
  p_job_type text default null,
  p_error_code text default null,
  p_user_id uuid default null,
  p_failed_since timestamptz default '-infinity',
  p_limit integer default 1000
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_id uuid;
  v_count integer := 0;
begin
  if p_job_type is not null and not exists (select 1 from public.ai_job_types as t where t.job_type = p_job_type) then
    raise exception 'there is no job type %', p_job_type using errcode = 'AJ075', detail = 'p_job_type';
  end if;
  if p_user_id is not null and not exists (select 1 from auth.users as u where u.id = p_user_id) then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
  end if;
  for v_id in
    select f.id
    from public.ai_jobs as f
    where f.status = 'failed' and f.spend <> 'unknown' and f.max_attempts < 100
      -- These come back with the job that they depend on.
      and f.error_code <> 'dependency_failed'
      and (p_job_type is null or f.job_type = p_job_type)
      and (p_error_code is null or f.error_code = p_error_code)
      and (p_user_id is null or f.user_id = p_user_id)
      and f.completed_at >= p_failed_since
    order by f.completed_at
    limit p_limit
    for update skip locked
  loop
    v_count := v_count + private.try_ai_job_again(v_id)::integer;
  end loop;
  return v_count;
end;
$$;
comment on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) is
  'Runs failed jobs again, those that match every filter given, oldest first, up to p_limit; returns how many. One whose '
  'owner has no room for it stays failed. Jobs whose '
  'spend is unknown are left out: each needs a decision (resolve_unknown_ai_job). Jobs that failed because of another come '
  'back with that one. A job type or user that does not exist is an error (AJ075). For the operator; service_role only; '
  'security definer for the retry in schema private.';

create function private.note_settled_doubt(p_job_id uuid, p_provider_object_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.ai_jobs as j
  set spend = k.spend,
      error_message = case when j.status = 'cancelled' then private.cancellation_message(k.spend) else j.error_message end,
      provider_job_id = coalesce(p_provider_object_id, j.provider_job_id),
      cost_micros = k.cost_micros
  from (
    select
      case
        when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
        when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
        else 'none'
      end as spend,
      coalesce(sum(c.cost_micros), 0) as cost_micros
    from public.ai_provider_calls as c
    where c.job_id = p_job_id
  ) as k
  where j.id = p_job_id;
end;
$$;
comment on function private.note_settled_doubt(uuid, text) is
  'Writes onto an ended job what its journal says about the money, after a call of unknown outcome was settled, by an '
  'operator or the janitor, and what that call made, by the provider''s id, if anything.';

create function public.resolve_unknown_ai_job(p_job_id uuid, p_was_made boolean, p_provider_object_id text default null)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_status text;
begin
  if p_was_made is null or p_was_made <> (p_provider_object_id is not null) then
    raise exception 'say what was made by its provider''s id, or that nothing was' using
      errcode = 'AJ073', detail = 'p_provider_object_id';
  end if;
  -- The job's row first, as everywhere.
  select j.status into v_status
  from public.ai_jobs as j
  where j.id = p_job_id and j.status in ('failed', 'cancelled')
  for no key update;
  update public.ai_provider_calls as c
  set outcome = case when p_was_made then 'adopted' else 'absent' end,
      provider_object_id = p_provider_object_id,
      settled_at = clock_timestamp()
  where v_status is not null and c.job_id = p_job_id and c.outcome = 'unknown';
  if not found then
    return false;
  end if;
  perform private.note_settled_doubt(p_job_id, p_provider_object_id);
  if v_status = 'failed' then
    perform private.try_ai_job_again(p_job_id);
  end if;
  return true;
end;
$$;
comment on function public.resolve_unknown_ai_job(uuid, boolean, text) is
  'The operator has looked at the provider: what a parked job''s paid call made (by the provider''s id), or that it made '
  'nothing, and so what it cost. A failed job then runs again, with that object or with a new call, unless its owner has as '
  'many waiting as they may: then it is left to them to retry it. A cancelled one stays cancelled. False: no call of the job '
  'waits for this. service_role only; security definer for the retry in schema private.';

create function public.pause_ai_jobs(
  p_job_type text default null,
  p_provider text default null,
  p_user_id uuid default null,
  p_is_paused boolean default true
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_paused_at timestamptz := case when p_is_paused then clock_timestamp() end;
  v_changed integer;
  v_count integer := 0;
begin
  if num_nonnulls(p_job_type, p_provider, p_user_id) = 0 then
    raise exception 'name a job type, a provider or a user' using errcode = 'AJ074', detail = 'p_job_type';
  end if;
  update public.ai_job_types as t set paused_at = v_paused_at where t.job_type = p_job_type;
  get diagnostics v_changed = row_count;
  if p_job_type is not null and v_changed = 0 then
    raise exception 'there is no job type %', p_job_type using errcode = 'AJ075', detail = 'p_job_type';
  end if;
  v_count := v_count + v_changed;
  update public.ai_providers as p set paused_at = v_paused_at where p.provider = p_provider;
  get diagnostics v_changed = row_count;
  if p_provider is not null and v_changed = 0 then
    raise exception 'there is no provider %', p_provider using errcode = 'AJ075', detail = 'p_provider';
  end if;
  v_count := v_count + v_changed;
  if p_user_id is not null then
    insert into public.ai_limits (user_id, paused_at) values (p_user_id, v_paused_at)
    on conflict (user_id) do update set paused_at = excluded.paused_at;
    v_count := v_count + 1;
  end if;
  return v_count;
exception
  when foreign_key_violation then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
end;
$$;
comment on function public.pause_ai_jobs(text, text, uuid, boolean) is
  'Pauses the jobs of a type, of a provider and of a user, those that are named, or resumes them with p_is_paused => false. '
  'What runs goes on; what waits keeps its place; new jobs are accepted. Returns how many were paused or resumed. A name that '
  'does not exist is an error (AJ075), and nothing changes. service_role only.';

create view private.ai_job_dead_letters
with (security_invoker = true)
as
select
  j.id, j.user_id, j.job_type, j.provider, j.error_code, j.error_message, j.attempt, j.spend, j.billable_calls,
  j.provider_job_id, j.created_at, j.completed_at as failed_at,
  (
    select jsonb_agg(
      jsonb_build_object(
        'operation', c.operation, 'attempt', c.attempt, 'outcome', c.outcome, 'error_code', c.error_code,
        'http_status', c.http_status, 'provider_object_id', c.provider_object_id, 'sent_at', c.sent_at
      )
      order by c.sent_at
    )
    from public.ai_provider_calls as c
    where c.job_id = j.id
  ) as provider_calls
from public.ai_jobs as j
where j.status = 'failed' or (j.status = 'cancelled' and j.spend = 'unknown');
comment on view private.ai_job_dead_letters is
  'Jobs that failed for good, and cancelled ones of which it is unknown whether they were paid for, with their last cause '
  'and what was asked of the provider. For the operator.';
revoke all on private.ai_job_dead_letters from public, anon, authenticated, service_role;
create index ai_jobs_failed_idx on public.ai_jobs (completed_at) where status = 'failed';

create function public.rescue_stalled_ai_jobs(p_limit integer default 500)
returns table (job_id uuid, status text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  return query
  with stalled as (
    select j.id
    from public.ai_jobs as j
    where j.status = 'processing' and j.lease_expires_at <= clock_timestamp()
    order by j.lease_expires_at
    limit p_limit
    for update of j skip locked
  ),
  -- A call whose sender died has an unknown outcome from now on.
  marked as (
    update public.ai_provider_calls as c
    set outcome = 'unknown'
    from stalled as s
    where c.job_id = s.id and c.outcome = 'sent'
    returning c.job_id
  ),
  decided as (
    select s.id, k.has_open_call, m.job_id is not null as has_lost_call, m.job_id is not null or k.is_paid as gets_another
    from stalled as s
    left join marked as m on m.job_id = s.id
    -- Job by job through the index: the journal is as long as the project is old.
    cross join lateral (
      select
        coalesce(bool_or(c.outcome in ('sent', 'unknown')), false) as has_open_call,
        coalesce(bool_or(c.outcome in ('succeeded', 'adopted')), false) as is_paid
      from public.ai_provider_calls as c
      where c.job_id = s.id
    ) as k
  )
  update public.ai_jobs as j
  set
    -- A last attempt that died inside a paid call gets one more claim, to ask the provider what became of it; it cannot
    -- repeat, since by then the call is no longer 'sent'. One that died with what was paid for in hand is tried until
    -- its age ends it.
    attempt = j.attempt - (j.attempt >= j.max_attempts and d.gets_another)::integer,
    status = case when j.attempt < j.max_attempts or d.gets_another then 'pending' else 'failed' end,
    progress_percentage =
      case when j.attempt < j.max_attempts or d.gets_another then 0 else j.progress_percentage end,
    scheduled_at = case
      when j.attempt <= 1 or d.has_lost_call then clock_timestamp()
      else clock_timestamp() + private.ai_job_backoff(j.job_type, j.attempt - 1)
    end,
    error_code = case when d.has_open_call and j.attempt >= j.max_attempts then 'outcome_unknown' else 'lease_expired' end,
    error_message = case
      when d.has_open_call and j.attempt >= j.max_attempts
        then private.ending_message(j.id, 'outcome_unknown', 'The work stopped without an answer.')
      else 'The work stopped without an answer.'
    end,
    completed_at = case when j.attempt < j.max_attempts or d.gets_another then null else greatest(clock_timestamp(), j.started_at) end,
    lease_token = null,
    lease_expires_at = null,
    event_seq = j.event_seq + 1,
    last_event = case when j.attempt < j.max_attempts or d.gets_another then 'rescued' else 'failed' end
  from decided as d
  where j.id = d.id
  returning j.id, j.status;
end;
$$;
comment on function public.rescue_stalled_ai_jobs(integer) is
  'Takes back jobs whose lease has run out: to pending (the attempt stays spent; at once after the first, with backoff '
  'later), or to failed with lease_expired or outcome_unknown when attempts are used up. Called by the sweep. '
  'service_role only; security definer for the backoff in private.';

do $$
declare
  v_function regprocedure;
begin
  foreach v_function in array array[
    'public.claim_ai_jobs(integer, uuid[], text)',
    'public.claim_dispatched_ai_jobs(text, double precision, integer, text)',
    'public.heartbeat_ai_jobs(jsonb)',
    'public.complete_ai_job(uuid, uuid, jsonb, text, jsonb)',
    'public.fail_ai_job(uuid, uuid, text, text, boolean, double precision)',
    'public.snooze_ai_job(uuid, uuid, double precision, text)',
    'public.release_ai_job(uuid, uuid)',
    'public.cancel_ai_job(uuid, uuid)',
    'public.redrive_ai_jobs(text, text, uuid, timestamptz, integer)',
    'public.resolve_unknown_ai_job(uuid, boolean, text)',
    'public.pause_ai_jobs(text, text, uuid, boolean)',
    'public.rescue_stalled_ai_jobs(integer)'
  ]::regprocedure[] loop
    execute format('revoke execute on function %s from public, anon, authenticated', v_function);
    execute format('grant execute on function %s to service_role', v_function);
  end loop;
end;
$$;
