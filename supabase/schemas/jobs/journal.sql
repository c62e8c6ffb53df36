-- The journal of paid calls: a call is written before it is sent.

create function private.mark_open_calls_unknown(p_job_ids uuid[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  update public.ai_provider_calls as c
  set outcome = 'unknown'
  where c.job_id = any (p_job_ids) and c.outcome = 'sent';
end;
$$;
comment on function private.mark_open_calls_unknown(uuid[]) is
  'Marks the open calls of jobs that have left processing as unknown, because no worker waits for them any more. A '
  'call is sent only while its job is processing; without this, a call whose response was lost could be neither '
  'queried nor resolved. Security definer because security definer functions call it.';

create function private.units_to_reserve(p_job public.ai_jobs, p_operation text, p_units bigint)
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_job.billable_calls = 0 then
    return least(greatest(coalesce(p_units, 1), 1), 1000000000);
  end if;
  return (
    select least(
      greatest(
        coalesce(p_units, 1), 1, max(c.units), max(c.estimated_cost_micros * c.price_units / nullif(c.price_micros, 0))
      ),
      1000000000
    )
    from public.ai_provider_calls as c
    where c.job_id = p_job.id and c.operation = p_operation
  );
end;
$$;
comment on function private.units_to_reserve(public.ai_jobs, text, bigint) is
  'The units to reserve for a call: at least one, and at least as many as an earlier call of the step was estimated at '
  'or used. A call is sent again when its result was discarded, and its caller may no longer know the units.';

create function private.reserve_call_costs(p_calls jsonb)
returns table (job_id uuid, decision text)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_month constant date := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
  v_item record;
  v_reserved_jobs uuid[] := '{}';
  v_reserved_micros bigint[] := '{}';
  v_provider text;
  v_remaining bigint;
begin
  -- All limits are locked before the first provider, so that a wait for one user's row never blocks all other users
  -- at the provider.
  for v_item in
    select j.id, j.user_id, (private.units_to_reserve(j, b.operation, b.units) * p.price_micros + p.per_units - 1) / p.per_units as estimate
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, operation text, units bigint)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    join public.ai_prices as p on p.job_type = j.job_type and p.provider = j.provider
    where p.price_micros > 0 and j.cancel_requested_at is null
      and j.id = any (array(select i.job_id from jsonb_to_recordset(p_calls) as i (job_id uuid)))
      and (
        select c.id from public.ai_provider_calls as c
        where c.job_id = b.job_id and c.operation = b.operation
          and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
        limit 1
      ) is null
    order by j.user_id, j.id
  loop
    insert into public.ai_limits (user_id) values (v_item.user_id) on conflict (user_id) do nothing;
    -- Usage above the estimate reduces the budget immediately; when it is used up, no call with a price fits.
    update public.ai_limits as l
    set reserved_micros = l.reserved_micros + v_item.estimate,
        spent_micros = case when l.budget_month >= v_month then l.spent_micros else 0 end,
        budget_month = greatest(l.budget_month, v_month)
    where l.user_id = v_item.user_id
      and case when l.budget_month >= v_month then l.spent_micros else 0 end + l.reserved_micros + v_item.estimate
        <= coalesce(
          l.budget_micros,
          (select d.budget_micros from public.ai_limits as d where d.user_id is null),
          9223372036854775807
        );
    if found then
      v_reserved_jobs := v_reserved_jobs || v_item.id;
      v_reserved_micros := v_reserved_micros || v_item.estimate;
    else
      return query select v_item.id, 'over_budget';
    end if;
  end loop;

  for v_item in
    select j.id, j.user_id, j.provider, p.budget_micros, r.estimate
    from unnest(v_reserved_jobs, v_reserved_micros) as r (id, estimate)
    join public.ai_jobs as j on j.id = r.id
    join public.ai_providers as p on p.provider = j.provider
    where p.budget_micros is not null
    order by j.provider, j.user_id, j.id
  loop
    if v_item.provider is distinct from v_provider then
      v_provider := v_item.provider;
      -- One transaction at a time from here to the commit, so that each sees the reservations of the previous ones.
      perform pg_advisory_xact_lock(hashtextextended('ai_providers.budget_micros:' || v_provider, 0));
      select v_item.budget_micros
        - (
          select coalesce(sum(s.spent_micros), 0) from public.ai_provider_spend as s
          where s.provider = v_provider and s.month = v_month
        )
        - (
          select coalesce(sum(c.estimated_cost_micros), 0) from public.ai_provider_calls as c
          where c.provider = v_provider and c.outcome in ('sent', 'unknown')
        )
      into v_remaining;
    end if;
    if v_item.estimate <= v_remaining then
      v_remaining := v_remaining - v_item.estimate;
    else
      update public.ai_limits as l
      set reserved_micros = l.reserved_micros - v_item.estimate
      where l.user_id = v_item.user_id;
      return query select v_item.id, 'over_provider_budget';
    end if;
  end loop;
end;
$$;
comment on function private.reserve_call_costs(jsonb) is
  'Reserves the estimated cost of those calls of begin_provider_calls that have a price and would be sent. Returns the '
  'jobs whose call does not fit, and into which budget: over_budget (the owner''s) or over_provider_budget. Locks '
  'limits by user, then budgets by provider. Security definer because security definer functions call it.';

create function private.count_ended_calls(p_job_id uuid, p_operation text)
returns integer
language sql
stable
security invoker
set search_path = ''
as $$
  select count(*)::integer
  from public.ai_provider_calls as c
  where c.job_id = p_job_id and c.operation = p_operation and (c.outcome = 'rejected' or c.discarded_at is not null);
$$;
comment on function private.count_ended_calls(uuid, text) is
  'How many calls of a step were refused, or made something that was discarded. The next request needs another '
  'idempotency key than they had: the provider would repeat their response. An absent call is not counted: a request '
  'under its key creates nothing new if it was made after all.';

create function private.begin_leased_calls(p_calls jsonb, p_job_ids uuid[])
returns table (
  job_id uuid, call_id uuid, decision text, provider_object_id text, is_lookup_conclusive boolean, ended_calls integer
)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_over_budget uuid[] := '{}';
  v_over_provider_budget uuid[] := '{}';
  v_sent uuid[];
  v_repeated uuid[] := '{}';
  v_is_carrying constant boolean := jsonb_path_exists(p_calls, '$[*].report_stage');
  v_setting text;
begin
  if exists (
    select 1
    from jsonb_to_recordset(p_calls) as b (job_id uuid)
    join public.ai_jobs as j on j.id = b.job_id
    join public.ai_prices as p on p.job_type = j.job_type and p.provider = j.provider
    where p.price_micros > 0 and j.id = any (p_job_ids)
  ) then
    select
      coalesce(array_agg(r.job_id) filter (where r.decision = 'over_budget'), '{}'),
      coalesce(array_agg(r.job_id) filter (where r.decision = 'over_provider_budget'), '{}')
    into v_over_budget, v_over_provider_budget
    from private.reserve_call_costs(p_calls) as r;
  end if;

  with sent as (
    insert into public.ai_provider_calls as c (
      id, job_id, user_id, provider, operation, attempt, units, price_micros, price_units, estimated_cost_micros, trace_id
    )
    select
      b.call_id, j.id, j.user_id, j.provider, b.operation, j.attempt, u.units, u.price_micros, u.price_units,
      (u.units * u.price_micros + u.price_units - 1) / u.price_units, substr(j.traceparent, 4, 32)
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, call_id uuid, operation text, units bigint)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    left join public.ai_prices as p on p.job_type = j.job_type and p.provider = j.provider
    cross join lateral (
      select private.units_to_reserve(j, b.operation, b.units) as units,
        coalesce(p.price_micros, 0) as price_micros, coalesce(p.per_units, 1) as price_units
      -- Otherwise the units would be computed for each of the columns that use them.
      offset 0
    ) as u
    -- Nothing is sent for an owner who has cancelled.
    where j.cancel_requested_at is null and j.id <> all (v_over_budget) and j.id <> all (v_over_provider_budget)
      and j.id = any (p_job_ids)
      and (
        select o.id from public.ai_provider_calls as o
        where o.job_id = b.job_id and o.operation = b.operation
          and o.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and o.discarded_at is null
        limit 1
      ) is null
    returning c.job_id
  )
  select coalesce(array_agg(s.job_id), '{}') into v_sent from sent as s;

  if cardinality(v_sent) < jsonb_array_length(p_calls) then
    -- Another call of the step is open, but its sender no longer waits for a response.
    update public.ai_provider_calls as c
    set outcome = 'unknown'
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, call_id uuid, operation text)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    where c.job_id = b.job_id and c.job_id = any (p_job_ids) and j.id = any (p_job_ids) and c.operation = b.operation
      and c.outcome = 'sent' and c.discarded_at is null and c.id <> b.call_id;
    -- Items that write nothing: refused ones, and calls that are repeated because the first response was lost.
    return query
    select
      j.id,
      c.id,
      case
        when c.id is not null then 'send'
        when j.id = any (v_over_budget) then 'over_budget'
        when j.id = any (v_over_provider_budget) then 'over_provider_budget'
        else 'cancelled'
      end,
      null::text,
      false,
      private.count_ended_calls(j.id, b.operation)
    from jsonb_to_recordset(p_calls) as b (job_id uuid, lease_token uuid, call_id uuid, operation text)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    left join lateral (
      select o.id, o.outcome from public.ai_provider_calls as o
      where o.job_id = b.job_id and o.operation = b.operation
        and o.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and o.discarded_at is null
      limit 1
    ) as c on true
    where j.id = any (p_job_ids) and j.id <> all (v_sent) and (c.id is null or (c.id = b.call_id and c.outcome = 'sent'));
    if jsonb_path_exists(p_calls, '$[*].repeat_within_seconds') then
      -- The provider knows the request by its key. The call is in flight again, so that unknown_since counts from the
      -- end of its last sender: an empty lookup must not be conclusive while that request is being processed.
      with repeated as (
        update public.ai_provider_calls as c
        set outcome = 'sent', repeated_at = clock_timestamp()
        from jsonb_to_recordset(p_calls)
            as b (job_id uuid, lease_token uuid, operation text, repeat_within_seconds integer)
          join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
          join public.ai_job_types as t on t.job_type = j.job_type
        where c.job_id = b.job_id and c.job_id = any (p_job_ids) and j.id = any (p_job_ids) and c.operation = b.operation
          and c.outcome = 'unknown' and c.discarded_at is null and j.cancel_requested_at is null
          and c.sent_at > clock_timestamp() - make_interval(secs => b.repeat_within_seconds)
          and c.unknown_since > clock_timestamp() - make_interval(secs => t.reconcile_seconds)
        returning c.job_id
      )
      select coalesce(array_agg(r.job_id), '{}') into v_repeated from repeated as r;
    end if;
  end if;

  if cardinality(v_sent || v_repeated) > 0 and current_setting('synchronous_commit') = 'off' then
    -- The next step sends the call, which cannot be undone, so this commit must survive a crash of Postgres, even in
    -- a project that has disabled this for speed.
    v_setting := set_config('synchronous_commit', 'on', true);
  end if;

  if v_is_carrying then
    v_setting := set_config('private.carried_changes', private.carried_changes(p_calls), true);
  end if;
  return query
  update public.ai_jobs as j
  set progress_percentage = greatest(j.progress_percentage, b.progress),
      stage = case when j.id = any (v_sent || v_repeated) then b.stage when c.outcome = 'unknown' then 'reconciling' else j.stage end,
      billable_calls = j.billable_calls + (j.id = any (v_sent))::integer,
      spend = case when j.id = any (v_sent) and j.spend = 'none' then 'unknown' else j.spend end,
      lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      event_seq = j.event_seq + 1 + (b.report_stage is not null)::integer,
      last_event = case when j.id = any (v_sent || v_repeated) then 'submitted' else 'progress' end
  from jsonb_to_recordset(p_calls)
      as b (job_id uuid, lease_token uuid, call_id uuid, operation text, progress integer, stage text, report_stage text)
    cross join lateral (
      select o.id, o.outcome, o.provider_object_id, o.unknown_since from public.ai_provider_calls as o
      where o.job_id = b.job_id and o.operation = b.operation
        and o.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and o.discarded_at is null
      limit 1
    ) as c,
    public.ai_job_types as t
  where j.id = b.job_id and j.id = any (p_job_ids) and j.lease_token = b.lease_token and t.job_type = j.job_type
    and (j.id = any (v_sent || v_repeated) or c.outcome <> 'sent')
  returning
    j.id,
    c.id,
    case
      when j.id = any (v_sent) then 'send'
      when j.id = any (v_repeated) then 'repeat'
      when c.outcome = 'unknown' then 'reconcile'
      else 'done'
    end,
    c.provider_object_id,
    coalesce(c.unknown_since <= clock_timestamp() - make_interval(secs => t.reconcile_seconds), false),
    -- The first call of a job has none before it.
    case when j.billable_calls > 1 then private.count_ended_calls(j.id, b.operation) else 0 end;

  if v_is_carrying then
    v_setting := set_config('private.carried_changes', '', true);
  end if;
end;
$$;
comment on function private.begin_leased_calls(jsonb, uuid[]) is
  'The work of begin_provider_calls, for the jobs p_job_ids, which it has locked. Security definer because security definer '
  'functions call it.';

create function public.begin_provider_calls(p_calls jsonb)
returns table (
  job_id uuid, call_id uuid, decision text, provider_object_id text, is_lookup_conclusive boolean, ended_calls integer,
  error jsonb
)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_call jsonb;
  v_code text;
  v_message text;
  v_detail text;
  v_constraint text;
begin
  begin
    -- Locked in here: to update rows in a subtransaction that the transaction itself has locked takes a multixact.
    return query
    select r.*, null::jsonb from private.begin_leased_calls(p_calls, private.lock_leased_ai_jobs(p_calls)) as r;
    return;
  exception when data_exception or integrity_constraint_violation then
    null;
  end;
  -- What was locked above is not any more.
  perform private.lock_leased_ai_jobs(p_calls);
  -- An item cannot be written: repeat them one by one, so that it fails alone. Ordered by user, as limits are locked.
  for v_call in
    select i.item
    from jsonb_array_elements(p_calls) as i (item)
    join public.ai_jobs as j on j.id = (i.item ->> 'job_id')::uuid and j.lease_token = (i.item ->> 'lease_token')::uuid
    order by j.user_id, j.id
  loop
    begin
      return query
      select r.*, null::jsonb from private.begin_leased_calls(
        jsonb_build_array(v_call), array[(v_call ->> 'job_id')::uuid]
      ) as r;
    exception when data_exception or integrity_constraint_violation then
      get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_constraint = constraint_name;
      return query
      select (v_call ->> 'job_id')::uuid, null::uuid, null::text, null::text, false, 0,
        private.item_error(v_code, v_message, v_detail, v_constraint);
    end;
  end loop;
end;
$$;
comment on function public.begin_provider_calls(jsonb) is
  'Journals paid calls before they are sent, and decides for each what to do. p_calls: [{job_id, lease_token, call_id, '
  'operation, progress, stage, units?, repeat_within_seconds?, report_progress?, report_stage?}], one for each job; the '
  'report is one that no heartbeat has sent, and precedes the call in the timeline. One row for each job whose lease is held; a job without a '
  'row has lost it. decision: send; reconcile (an earlier call of this step has an unknown outcome: query the provider '
  'first); repeat (the same, but the provider was queried, the call was first sent less than repeat_within_seconds ago, '
  'and the provider knows it by its key: send it once more, under the same call_id); done (it succeeded: use provider_object_id); cancelled (the owner has cancelled: send nothing); over_budget '
  '(the price of the units, by ai_prices, exceeds the rest of the owner''s budget: send nothing); over_provider_budget '
  '(it exceeds the rest of the provider''s budget for all users, ai_providers.budget_micros: send nothing). '
  'is_lookup_conclusive: the outcome has been unknown for so long that an empty lookup means that nothing was created. '
  'ended_calls: how many calls of this step were refused or discarded, for the idempotency key (private.count_ended_calls). '
  'The cost of what is sent is reserved until it is settled. call_id, generated by the caller, makes it safe to repeat '
  'a call whose response was lost: the same id gets send again. An item that cannot be written has error {code, '
  'message, details?, constraint?} and changes nothing; the others are committed. service_role only; security definer '
  'for its parts in schema private.';
revoke execute on function public.begin_provider_calls(jsonb) from public, anon, authenticated;
grant execute on function public.begin_provider_calls(jsonb) to service_role;
