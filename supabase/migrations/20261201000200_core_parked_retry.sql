-- A failed job with a paid call of unknown outcome waits for an operator also when another of its calls has succeeded.
-- Before, its spend was 'incurred' then, and a retry or redrive could pay for the unknown call again. A redrive takes no
-- jobs for which their owner has no room: it tried the same ones at each call. Replaces functions and a view; locks no
-- table.

create or replace function private.apply_owner_request()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.cancel_requested_at is distinct from old.cancel_requested_at then
    if new.cancel_requested_at is null or old.cancel_requested_at is not null then
      -- A repeated request changes nothing; a request cannot be withdrawn.
      new.cancel_requested_at := old.cancel_requested_at;
    elsif old.status not in ('pending', 'processing') then
      raise exception 'the job is %; only a waiting or running job can be cancelled', old.status using errcode = 'AJ071', detail = 'job_id';
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
      raise exception 'the job is %; only a failed job can be retried', old.status using errcode = 'AJ070', detail = 'job_id';
    end if;
    -- Not spend, which is incurred as soon as one call has succeeded: the outcome of another may still be unknown.
    if exists (
      select 1 from public.ai_provider_calls as c where c.job_id = old.id and c.outcome in ('sent', 'unknown')
    ) then
      raise exception 'it is unknown whether this job was paid for; an operator must resolve it before it can be retried' using
        errcode = 'AJ072', detail = 'job_id';
    end if;
    if old.max_attempts >= 100 then
      raise exception 'the job had % attempts, which is the limit; create a new job', old.attempt using errcode = 'AJ070', detail = 'job_id';
    end if;
    new.retry_requested_at := now();
    new.status := 'pending';
    if old.error_code = 'dependency_failed' and new.depends_on_job_id is null then
      raise exception 'the job that this one depends on was deleted; create a new job' using errcode = 'AJ017', detail = 'job_id';
    end if;
    -- If it is retried with its dependency, it is already blocked; if it is retried alone, the dependency must be
    -- checked.
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
  'Row trigger: applies cancel_requested_at and retry_requested_at, the only columns that an owner may change. A '
  'waiting job is cancelled immediately, a running one after its worker''s next heartbeat. A failed job is retried unless '
  'the outcome of one of its paid calls is unknown (AJ072). Security definer because an owner may not read the policy of a '
  'disabled type.';

create or replace function private.ai_jobs_to_redrive(
  p_job_type text,
  p_provider text,
  p_error_code text,
  p_user_id uuid,
  p_failed_since timestamptz
)
returns setof public.ai_jobs
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
begin
  return query
  select f.*
  from public.ai_jobs as f
  where f.status = 'failed' and f.max_attempts < 100
    and not exists (
      select 1 from public.ai_provider_calls as c where c.job_id = f.id and c.outcome in ('sent', 'unknown')
    )
    -- These are retried with the job that they depend on.
    and f.error_code <> 'dependency_failed'
    and (p_job_type is null or f.job_type = p_job_type)
    and (p_provider is null or f.provider = p_provider)
    and (p_error_code is null or f.error_code = p_error_code)
    and (p_user_id is null or f.user_id = p_user_id)
    and (p_failed_since is null or f.completed_at >= p_failed_since);
end;
$$;
comment on function private.ai_jobs_to_redrive(text, text, text, uuid, timestamptz) is
  'Failed jobs that match every filter given and may run again, as in public.redrive_ai_jobs.';

create function private.ai_jobs_with_room(
  p_job_type text,
  p_provider text,
  p_error_code text,
  p_user_id uuid,
  p_failed_since timestamptz
)
returns table (id uuid, user_id uuid, completed_at timestamptz)
language sql
stable
security invoker
set search_path = ''
as $$
  with jobs as materialized (
    select f.id, f.user_id, f.completed_at,
      row_number() over (partition by f.user_id order by f.completed_at, f.id) as place
    from private.ai_jobs_to_redrive(p_job_type, p_provider, p_error_code, p_user_id, p_failed_since) as f
  ),
  owners as (
    select distinct j.user_id from jobs as j
  ),
  rooms as (
    select o.user_id, coalesce(l.max_active_jobs, d.max_active_jobs) - (
      select count(*) from public.ai_jobs as a where a.user_id = o.user_id and a.status in ('pending', 'processing')
    ) as room
    from owners as o
    left join public.ai_limits as l on l.user_id = o.user_id
    left join public.ai_limits as d on d.user_id is null
  )
  select j.id, j.user_id, j.completed_at
  from jobs as j
  join rooms as r using (user_id)
  where j.place <= coalesce(r.room, j.place);
$$;
comment on function private.ai_jobs_with_room(text, text, text, uuid, timestamptz) is
  'The jobs of private.ai_jobs_to_redrive without those for which their owner has no room now (max_active_jobs), of each '
  'owner the oldest first. A redrive that tried those as well would try them again at each call, and never the jobs behind '
  'them.';

create or replace function public.redrive_ai_jobs(
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
  v_ids uuid[];
  v_id uuid;
  v_count integer := 0;
begin
  if p_limit is null or p_limit < 1 then
    raise exception 'p_limit must be 1 or more' using errcode = '22023', detail = 'p_limit';
  end if;
  if p_job_type is not null and not exists (select 1 from public.ai_job_types as t where t.job_type = p_job_type) then
    raise exception 'there is no job type %', p_job_type using errcode = 'AJ075', detail = 'p_job_type';
  end if;
  if p_user_id is not null and not exists (select 1 from auth.users as u where u.id = p_user_id) then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
  end if;
  select array_agg(c.id order by c.user_id, c.id) into v_ids
  from (
    select f.id, f.user_id
    from public.ai_jobs as f
    where f.status = 'failed' and f.id in (
      select r.id from private.ai_jobs_with_room(p_job_type, null, p_error_code, p_user_id, p_failed_since) as r
    )
      -- Null as a time selects no job here, while it is no filter in the function above.
      and f.completed_at >= p_failed_since
    order by f.completed_at, f.id
    limit p_limit
    for update skip locked
  ) as c;
  -- Ordered by user, as every function locks quotas: otherwise two parallel redrives could deadlock.
  foreach v_id in array coalesce(v_ids, '{}') loop
    v_count := v_count + private.retry_failed_ai_job(v_id)::integer;
  end loop;
  return v_count;
end;
$$;
comment on function public.redrive_ai_jobs(text, text, uuid, timestamptz, integer) is
  'Retries failed jobs that match every given filter, oldest first, up to p_limit; returns how many. A job whose owner '
  'has no room for it stays failed. Skips jobs with a paid call of unknown outcome, because each needs a decision '
  '(resolve_unknown_ai_job). Jobs that failed because of their dependency are retried with it. A job type or user that '
  'does not exist is an error (AJ075). For the operator; service_role only; security definer for the retry in schema '
  'private.';

create or replace view private.ai_job_dead_letters
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
where j.status = 'failed' or (
  j.status = 'cancelled'
  and exists (select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown'))
);
comment on view private.ai_job_dead_letters is
  'Failed jobs, and cancelled jobs with a paid call of unknown outcome, with their last cause and all their paid calls. For '
  'the operator.';

create or replace function public.ops_preview_redrive(
  p_operator_id uuid,
  p_job_type text default null,
  p_provider text default null,
  p_error_code text default null,
  p_user_id uuid default null,
  p_failed_since timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    with jobs as materialized (
      select f.id, f.user_id, f.completed_at,
        (
          -- Objects that were never created are paid for again; existing ones are used.
          select sum(s.estimate)
          from (
            select c.operation, max(c.estimated_cost_micros) as estimate
            from public.ai_provider_calls as c
            where c.job_id = f.id
            group by c.operation
            having not coalesce(bool_or(c.outcome in ('succeeded', 'adopted') and c.discarded_at is null), false)
          ) as s
        ) as estimate,
        exists (select 1 from public.ai_provider_calls as c where c.job_id = f.id) as was_called,
        exists (
          select 1 from public.ai_prices as p
          where p.job_type = f.job_type and p.provider = f.provider and p.price_micros > 0
        ) as has_price
      from private.ai_jobs_to_redrive(p_job_type, p_provider, p_error_code, p_user_id, p_failed_since) as f
    )
    select jsonb_build_object(
      'count', count(*),
      'user_count', count(distinct j.user_id),
      'price_micros', coalesce(sum(j.estimate), 0),
      'without_estimate', count(*) filter (where not j.was_called and j.has_price),
      'oldest_failed_at', min(j.completed_at),
      'newest_failed_at', max(j.completed_at),
      'left_out', (
        select jsonb_build_object(
          'spend_unknown', count(*) filter (where f.is_parked),
          'dependency_failed', count(*) filter (where not f.is_parked and f.error_code = 'dependency_failed'),
          'tried_too_often', count(*) filter (
            where not f.is_parked and f.error_code <> 'dependency_failed' and f.max_attempts >= 100
          )
        )
        from (
          select f.error_code, f.max_attempts,
            exists (
              select 1 from public.ai_provider_calls as c where c.job_id = f.id and c.outcome in ('sent', 'unknown')
            ) as is_parked
          from public.ai_jobs as f
          where f.status = 'failed'
            and (p_job_type is null or f.job_type = p_job_type)
            and (p_provider is null or f.provider = p_provider)
            and (p_error_code is null or f.error_code = p_error_code)
            and (p_user_id is null or f.user_id = p_user_id)
            and (p_failed_since is null or f.completed_at >= p_failed_since)
        ) as f
      )
    )
    from jobs as j
  );
end;
$$;
comment on function public.ops_preview_redrive(uuid, text, text, text, uuid, timestamptz) is
  'For the console: how many failed jobs a redrive of this filter would run again, of how many users, what their calls are '
  'estimated to cost, as far as one was sent before (without_estimate: jobs with a price of which nothing is known), and '
  'what would be left out and why. Changes nothing. AJ095 for anyone but an operator. service_role only; security definer '
  'because it reads the jobs of all users.';

create or replace function public.ops_redrive(
  p_operator_id uuid,
  p_expected_count integer,
  p_job_type text default null,
  p_provider text default null,
  p_error_code text default null,
  p_user_id uuid default null,
  p_failed_since timestamptz default null,
  p_limit integer default 2000
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_limit constant integer := least(greatest(p_limit, 1), 5000);
  v_found integer;
  v_ids uuid[];
  v_remaining integer;
  v_id uuid;
  v_retried integer := 0;
begin
  perform private.require_ai_operator(p_operator_id);
  select count(*) into v_found
  from private.ai_jobs_to_redrive(p_job_type, p_provider, p_error_code, p_user_id, p_failed_since) as f;
  if v_found is distinct from p_expected_count then
    raise exception 'the filter matches % jobs now, and not %', v_found, p_expected_count using
      errcode = 'AJ096', detail = 'expected_count';
  end if;
  select coalesce(array_agg(f.id order by f.completed_at, f.id), '{}') into v_ids
  from private.ai_jobs_with_room(p_job_type, p_provider, p_error_code, p_user_id, p_failed_since) as f;
  v_remaining := greatest(cardinality(v_ids) - v_limit, 0);
  -- Ordered by user, as every function locks quotas: otherwise two operators' redrives could deadlock.
  for v_id in
    select j.id from public.ai_jobs as j where j.id = any (v_ids[1:v_limit]) order by j.user_id, j.id
  loop
    -- Skips a job that another caller has just retried or deleted.
    perform 1 from public.ai_jobs as j where j.id = v_id and j.status = 'failed' for update skip locked;
    if found and private.retry_failed_ai_job(v_id) then
      v_retried := v_retried + 1;
    end if;
  end loop;
  perform private.record_operator_action(p_operator_id, 'redrive', jsonb_build_object(
    'job_type', p_job_type, 'provider', p_provider, 'error_code', p_error_code, 'user_id', p_user_id,
    'failed_since', p_failed_since, 'expected_count', p_expected_count, 'retried', v_retried, 'refused', v_found - v_retried - v_remaining
  ));
  return jsonb_build_object(
    'retried', v_retried,
    'refused', v_found - v_retried - v_remaining,
    'remaining', v_remaining
  );
end;
$$;
comment on function public.ops_redrive(uuid, integer, text, text, text, uuid, timestamptz, integer) is
  'For the console: runs the failed jobs of the filter again, oldest first, if there are as many as were expected (AJ096), '
  'p_limit in one call. {retried, refused: their owner has no room, or they are gone, remaining: for the next call}. AJ095 '
  'for anyone but an operator. service_role only; security definer for the retry in schema private.';
