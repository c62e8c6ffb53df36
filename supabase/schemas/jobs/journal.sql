-- The journal of paid calls: begin before the request is sent, settle after its answer.

create function private.mark_open_call_unknown()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  update public.ai_provider_calls as c set outcome = 'unknown' where c.job_id = new.id and c.outcome = 'sent';
  return null;
end;
$$;
comment on function private.mark_open_call_unknown() is
  'Row trigger: when a job leaves processing, however it does, nobody waits for its call any more. A call is sent only '
  'while its job is processing; without this one whose answer was lost could be neither asked about nor resolved.';

create function public.begin_provider_call(
  p_job_id uuid,
  p_lease_token uuid,
  p_operation text,
  p_progress integer,
  p_stage text,
  p_units bigint default 1,
  p_call_id uuid default null
)
returns table (call_id uuid, decision text, provider_object_id text, is_lookup_conclusive boolean)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_call public.ai_provider_calls;
  v_decision text := 'send';
  v_type public.ai_job_types;
  v_price_micros bigint;
  v_price_units bigint;
  v_units bigint;
  v_estimate bigint;
  v_month date;
  v_provider_budget bigint;
begin
  -- The job's row first, as everywhere; then the user's, on which all their calls queue up. Not stronger than an update:
  -- whoever adds a job that depends on this one need not wait.
  select j.* into v_job
  from public.ai_jobs as j
  where j.id = p_job_id and j.lease_token = p_lease_token
  for no key update;
  if not found then
    return;
  end if;
  select t.* into v_type from public.ai_job_types as t where t.job_type = v_job.job_type;

  select * into v_call
  from public.ai_provider_calls as c
  where c.job_id = p_job_id
    and c.operation = p_operation
    and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted')
    and c.discarded_at is null;
  if found then
    if v_call.id = p_call_id and v_call.outcome = 'sent' then
      -- Asked again, since the first answer was lost on its way: nothing is sent before one is there.
      return query select v_call.id, 'send', null::text, false;
      return;
    end if;
    v_decision := case when v_call.outcome in ('sent', 'unknown') then 'reconcile' else 'done' end;
  end if;

  -- Nothing is sent for somebody who no longer wants it.
  if v_decision = 'send' and v_job.cancel_requested_at is not null then
    return query select null::uuid, 'cancelled', null::text, false;
    return;
  end if;

  if v_decision = 'send' then
    select p.price_micros, p.per_units into v_price_micros, v_price_units
    from public.ai_prices as p
    where p.job_type = v_job.job_type and p.provider = v_job.provider;
    v_price_micros := coalesce(v_price_micros, 0);
    v_price_units := coalesce(v_price_units, 1);
    -- A call that is sent again, since what it made is gone, needs what it needed before: the caller may not know that any
    -- more. And nothing that has a price is taken to need nothing.
    select least(
      greatest(p_units, 1, max(c.units), max(c.estimated_cost_micros * c.price_units / nullif(c.price_micros, 0))),
      1000000000
    ) into v_units
    from public.ai_provider_calls as c
    where c.job_id = p_job_id and c.operation = p_operation;
    v_estimate := (v_units * v_price_micros + v_price_units - 1) / v_price_units;
  end if;
  -- What is settled above its estimate uses the budget up at once, and then nothing fits that has a price.
  if v_estimate > 0 then
    v_month := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
    insert into public.ai_limits (user_id) values (v_job.user_id) on conflict (user_id) do nothing;
    update public.ai_limits as l
    set reserved_micros = l.reserved_micros + v_estimate,
        spent_micros = case when l.budget_month >= v_month then l.spent_micros else 0 end,
        budget_month = greatest(l.budget_month, v_month)
    where l.user_id = v_job.user_id
      and case when l.budget_month >= v_month then l.spent_micros else 0 end + l.reserved_micros + v_estimate <= coalesce(
        l.budget_micros,
        (select d.budget_micros from public.ai_limits as d where d.user_id is null),
        9223372036854775807
      );
    if not found then
      return query select null::uuid, 'over_budget', null::text, false;
      return;
    end if;

    select p.budget_micros into v_provider_budget from public.ai_providers as p where p.provider = v_job.provider;
    if v_provider_budget is not null then
      -- One at a time from here to the commit, so that each sees what the one before reserved. After the user's row: nobody
      -- waits for one user while all others wait for them.
      perform pg_advisory_xact_lock(hashtextextended('ai_providers.budget_micros:' || v_job.provider, 0));
      if (
        select
          v_estimate
          + (
            select coalesce(sum(s.spent_micros), 0) from public.ai_provider_spend as s
            where s.provider = v_job.provider and s.month = v_month
          )
          + (
            select coalesce(sum(c.estimated_cost_micros), 0) from public.ai_provider_calls as c
            where c.provider = v_job.provider and c.outcome in ('sent', 'unknown')
          )
      ) > v_provider_budget then
        update public.ai_limits as l set reserved_micros = l.reserved_micros - v_estimate where l.user_id = v_job.user_id;
        return query select null::uuid, 'over_provider_budget', null::text, false;
        return;
      end if;
    end if;
  end if;

  update public.ai_jobs as j
  set progress_percentage = greatest(j.progress_percentage, p_progress),
      stage = case v_decision when 'send' then p_stage when 'reconcile' then 'reconciling' else j.stage end,
      billable_calls = j.billable_calls + (v_decision = 'send')::integer,
      spend = case when v_decision = 'send' and j.spend = 'none' then 'unknown' else j.spend end,
      lease_expires_at = clock_timestamp() + make_interval(secs => v_type.lease_seconds),
      event_seq = j.event_seq + 1,
      last_event = case v_decision when 'send' then 'submitted' else 'progress' end
  where j.id = p_job_id;

  if v_decision = 'send' then
    -- What is sent next cannot be taken back, so this must outlive a crash of Postgres, also in a project that has
    -- chosen otherwise for speed.
    if current_setting('synchronous_commit') = 'off' then
      perform set_config('synchronous_commit', 'on', true);
    end if;
    insert into public.ai_provider_calls (
      id, job_id, user_id, provider, operation, attempt, units, price_micros, price_units, estimated_cost_micros, trace_id
    ) values (
      coalesce(p_call_id, gen_random_uuid()), v_job.id, v_job.user_id, v_job.provider, p_operation, v_job.attempt, v_units,
      v_price_micros, v_price_units, v_estimate, substr(v_job.traceparent, 4, 32)
    )
    returning * into v_call;
  elsif v_call.outcome = 'sent' then
    -- Only a begin that is asked twice comes here: whoever sent it is not waiting for an answer.
    update public.ai_provider_calls as c set outcome = 'unknown' where c.id = v_call.id
    returning * into v_call;
  end if;

  return query select
    v_call.id,
    v_decision,
    v_call.provider_object_id,
    coalesce(v_call.unknown_since <= clock_timestamp() - make_interval(secs => v_type.reconcile_seconds), false);
end;
$$;
comment on function public.begin_provider_call(uuid, uuid, text, integer, text, bigint, uuid) is
  'Journals a paid call before it is sent, and says what to do: send; reconcile (an earlier call of this step has an '
  'unknown outcome: ask the provider first); done (it succeeded: use provider_object_id). is_lookup_conclusive: the '
  'outcome has been unknown for so long that an empty look-up means nothing was made; cancelled: the owner asked for that, send '
  'nothing; over_budget: the price of p_units (ai_prices; without a row it costs nothing), of at least one, and of no fewer '
  'than an earlier call of this step was taken to need or did, does not fit into what is left of the owner''s budget, send '
  'nothing; over_provider_budget: it does not fit into what all users together have left at the provider '
  '(ai_providers.budget_micros), send nothing. What is sent is reserved until it is settled. 0 rows: the lease is lost. '
  'p_call_id, drawn by the caller, makes it safe to ask again when the answer was lost: the same id gets send again. '
  'service_role only.';
revoke execute on function public.begin_provider_call(uuid, uuid, text, integer, text, bigint, uuid) from public, anon, authenticated;
grant execute on function public.begin_provider_call(uuid, uuid, text, integer, text, bigint, uuid) to service_role;

create function public.settle_provider_call(
  p_call_id uuid,
  p_job_id uuid,
  p_lease_token uuid,
  p_outcome text,
  p_provider_object_id text default null,
  p_http_status integer default null,
  p_error_code text default null,
  p_progress integer default 0,
  p_units bigint default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- The job's row is locked first: whoever holds the lease settles, and nobody takes it over in between.
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for no key update;
  if not found then
    return false;
  end if;
  update public.ai_provider_calls as c
  set outcome = p_outcome,
      provider_object_id = p_provider_object_id,
      http_status = p_http_status,
      error_code = p_error_code,
      units = coalesce(p_units, c.units),
      settled_at = case when p_outcome = 'unknown' then null else clock_timestamp() end
  where c.id = p_call_id and c.job_id = p_job_id
    and (c.outcome = 'sent' or (c.outcome = 'unknown' and p_outcome is distinct from 'unknown'));
  if not found then
    -- Told the same again, by whoever did not hear the answer to the first time.
    return exists (
      select 1 from public.ai_provider_calls as c
      where c.id = p_call_id and c.job_id = p_job_id and c.outcome = p_outcome
        and c.provider_object_id is not distinct from p_provider_object_id
    );
  end if;
  update public.ai_jobs as j
  set progress_percentage = greatest(j.progress_percentage, p_progress),
      provider_job_id = coalesce(p_provider_object_id, j.provider_job_id),
      spend = (
        select case
          when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
          when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
          else 'none'
        end
        from public.ai_provider_calls as c
        where c.job_id = p_job_id
      ),
      cost_micros = (
        select coalesce(sum(c.cost_micros), 0) from public.ai_provider_calls as c where c.job_id = p_job_id
      ),
      lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      event_seq = j.event_seq + 1,
      last_event = 'settled'
  from public.ai_job_types as t
  where j.id = p_job_id and t.job_type = j.job_type;
  return true;
end;
$$;
comment on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer, bigint) is
  'Writes what became of a journalled call, what it cost (p_units, or as many as estimated when the provider does not '
  'tell), and the provider''s id of what it made onto the job, in one commit. '
  'True and no change when it is told the same again. False: the lease is lost, or the call was settled otherwise; nothing '
  'changed. service_role only.';
revoke execute on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer, bigint)
  from public, anon, authenticated;
grant execute on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer, bigint) to service_role;
