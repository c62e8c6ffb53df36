-- The turns of waiting jobs: start-time fair queueing over users.

create function private.leave_ai_job_queue()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.queue_key := null;
  return new;
end;
$$;
comment on function private.leave_ai_job_queue() is
  'Row trigger: a job that no longer waits, is postponed, or changes its priority loses its turn; the next claim gives '
  'it a new one when it is due.';

create function private.next_queue_key(p_user_id uuid, p_job_type text, p_provider text, p_priority integer)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
-- Planning it again for each job takes longer than running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_is_first_write constant boolean := pg_current_xact_id_if_assigned() is null;
  v_turn bigint;
begin
  v_turn := coalesce(
    -- Behind the user's own waiting jobs …
    (
      select j.queue_key + 1
      from public.ai_jobs as j
      where j.user_id = p_user_id and j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
        and j.status = 'pending' and j.queue_key is not null
      order by j.queue_key desc
      limit 1
    ),
    -- … or, if there is none, in the turn that is being served.
    (
      select j.queue_key
      from public.ai_jobs as j
      where j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
        and j.status = 'pending' and j.queue_key is not null
      order by j.queue_key
      limit 1
    ),
    0
  );
  -- One reservation for a transaction: all sessions share one table of locks, and a bulk insert would fill it.
  if v_is_first_write then
    for v_try in 1..50 loop
      exit when pg_try_advisory_xact_lock(
        hashtextextended(format('turn:%s:%s:%s:%s:%s', p_user_id, p_job_type, p_provider, p_priority, v_turn), 0)
      );
      v_turn := v_turn + 1;
    end loop;
  end if;
  return v_turn;
end;
$$;
comment on function private.next_queue_key(uuid, text, text, integer) is
  'The turn of a job that becomes due. A user with no waiting job joins the turn that is being served, however long '
  'the backlog of others is (start-time fair queueing); each further job of the user is one turn later. The first write '
  'of a transaction reserves its turn until the transaction ends, so that parallel single inserts get different turns '
  'without waiting for each other; private.separate_turns handles the others, and a job that was committed in between. '
  'Volatile, so that the rows of one statement see each other.';

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
  -- Checked first, because most claims have nothing to do here and an update of no rows would still fire its
  -- triggers.
  if not exists (
    select 1
    from public.ai_jobs as d
    where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.scheduled_at <= (select clock_timestamp())
  ) then
    return;
  end if;
  -- Two concurrent calls would not see each other's turns and assign the same ones; the other call already does this
  -- work.
  if not pg_try_advisory_xact_lock(hashtextextended('ready_due_ai_jobs', 0)) then
    return;
  end if;
  select array_agg(d.id) into v_due
  from (
    select d.id
    from public.ai_jobs as d
    -- Not now(): jobs that the same transaction has just requeued are due as well.
    where d.status = 'pending' and d.queue_key is null and not d.is_blocked and d.scheduled_at <= (select clock_timestamp())
    order by d.scheduled_at
    limit p_limit
  ) as d;
  if cardinality(v_due) = p_limit then
    -- More jobs are due than fit: each user gets a share, so that one backlog holds up no other. From user to user
    -- through the index, because a backlog may be long.
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
  'Gives a turn to delayed, retried, snoozed, released and rescued jobs that are due: up to p_limit, those due longest '
  'first, or, if more are due, an equal share of each user. One call at a time; a concurrent one does nothing.';

create function private.separate_turns(
  p_user_id uuid,
  p_job_type text,
  p_provider text,
  p_priority integer,
  p_job_ids uuid[],
  p_first bigint,
  p_last bigint
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
-- Planning it again for each statement takes longer than running it, and a plan that was made while the table was small
-- stays in use.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_behind bigint;
begin
  -- Includes jobs of another statement that has committed since, which did not see these either.
  perform 1
  from public.ai_jobs as j
  where j.user_id = p_user_id and j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
    and j.status = 'pending' and j.queue_key between p_first and p_last and j.id <> all (p_job_ids)
  -- Without an order, a plan that is made while few jobs wait would read all waiting jobs of the type.
  order by j.queue_key
  limit 1;
  if not found then
    return false;
  end if;
  select j.queue_key into v_behind
  from public.ai_jobs as j
  where j.user_id = p_user_id and j.job_type = p_job_type and j.provider = p_provider and j.priority = p_priority
    and j.status = 'pending' and j.queue_key >= p_first and j.id <> all (p_job_ids)
  order by j.queue_key desc
  limit 1;
  update public.ai_jobs as j
  set queue_key = j.queue_key + v_behind - p_first + 1
  where j.id = any (p_job_ids) and j.queue_key is not null;
  return true;
end;
$$;
comment on function private.separate_turns(uuid, text, text, integer, uuid[], bigint, bigint) is
  'Called under the lock of the quota for the new jobs of a user in one lane, which have the turns p_first to p_last: '
  'parallel inserts of several jobs of one user do not see each other''s jobs and get the same turns '
  '(private.next_queue_key), so the later one moves its jobs behind the others. Each turn then has one job of a user. '
  'Returns whether it moved them. Security definer because owners may not change waiting jobs.';
