-- The money journal: every paid call is written down before it is sent and settled after it. What it buys: after
-- a crash, the next attempt knows that a call may have happened and asks the provider instead of sending again.

create table public.ai_provider_calls (
  id uuid not null default gen_random_uuid(),
  job_id uuid not null,
  user_id uuid not null,
  provider text not null,
  operation text not null,
  attempt integer not null,
  outcome text not null default 'sent',
  provider_object_id text,
  http_status integer,
  error_code text,
  units bigint not null default 1,
  price_micros bigint not null default 0,
  price_units bigint not null default 1,
  estimated_cost_micros bigint not null default 0,
  cost_micros bigint,
  sent_at timestamptz not null default clock_timestamp(),
  unknown_since timestamptz,
  settled_at timestamptz,
  discarded_at timestamptz,
  constraint ai_provider_calls_pkey primary key (id),
  constraint ai_provider_calls_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  constraint ai_provider_calls_operation_is_word check (operation ~ '^[a-z][a-z0-9_]{1,62}(:[1-9][0-9]{0,3})?$'),
  constraint ai_provider_calls_outcome_is_known
    check (outcome in ('sent', 'unknown', 'succeeded', 'adopted', 'rejected', 'absent')),
  constraint ai_provider_calls_success_has_object
    check (outcome not in ('succeeded', 'adopted') or provider_object_id is not null),
  constraint ai_provider_calls_unknown_since_matches_outcome check ((outcome = 'unknown') = (unknown_since is not null)),
  constraint ai_provider_calls_units_in_range check (units between 0 and 1000000000),
  constraint ai_provider_calls_price_in_range check (price_micros between 0 and 1000000000 and price_units between 1 and 1000000000),
  constraint ai_provider_calls_cost_is_not_negative check (estimated_cost_micros >= 0 and cost_micros >= 0),
  constraint ai_provider_calls_cost_matches_outcome check (
    case
      when outcome in ('sent', 'unknown') then cost_micros is null
      when outcome in ('succeeded', 'adopted', 'rejected', 'absent') then cost_micros is not null
      else true
    end
  ),
  constraint ai_provider_calls_settled_matches_outcome check ((outcome in ('sent', 'unknown')) = (settled_at is null))
);

comment on table public.ai_provider_calls is
  'One row per paid provider call, committed before the call is sent. The marker by which the provider finds what the '
  'call made is job:<job_id>.';
comment on column public.ai_provider_calls.user_id is
  'The job''s owner. No foreign key of its own: it goes with the job, and a check at each call would wait for an account that '
  'is being deleted, which waits for the job.';
comment on column public.ai_provider_calls.operation is 'The step of the job, for example create_voice; text_to_speech:2 is the second of several equal ones.';
comment on column public.ai_provider_calls.outcome is
  'sent (in flight, or its sender died), unknown (no usable answer), succeeded, adopted (found at the provider '
  'afterwards), rejected (a definite no, nothing charged), absent (the provider was asked: nothing was made).';
comment on column public.ai_provider_calls.units is
  'How much was asked for, in the unit of its price (ai_prices): as estimated while the call is open, afterwards as the '
  'provider told, where it tells.';
comment on column public.ai_provider_calls.price_micros is
  'The price as it was when the call was sent, in millionths of a US dollar for price_units units. A later change of '
  'ai_prices does not touch it.';
comment on column public.ai_provider_calls.estimated_cost_micros is
  'What it was taken to cost as it was sent, in millionths of a US dollar; reserved in ai_limits until it is settled.';
comment on column public.ai_provider_calls.cost_micros is
  'What it did cost: the price of its units, rounded up; 0 when nothing was made. Null while that is open.';
comment on column public.ai_provider_calls.unknown_since is
  'When it became unknown, which is when its sender was known to have gone or given up. reconcile_seconds count from here '
  'and not from sent_at: a call may be with the provider for minutes.';

comment on column public.ai_provider_calls.discarded_at is
  'Since when the janitor removes what the call made: a retry of the job does not go on with it, and sends a new call.';

create function private.date_unknown_outcome()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or new.outcome is distinct from old.outcome then
    new.unknown_since := case when new.outcome = 'unknown' then clock_timestamp() end;
  end if;
  new.cost_micros := case
    when new.outcome in ('succeeded', 'adopted')
      then (new.units * new.price_micros + new.price_units - 1) / new.price_units
    when new.outcome in ('rejected', 'absent') then 0
  end;
  return new;
end;
$$;
comment on function private.date_unknown_outcome() is
  'Row trigger: keeps the cost, whoever writes the outcome or the units, and unknown_since.';

create trigger ai_provider_calls_date_unknown_outcome
before insert or update of outcome, units on public.ai_provider_calls
for each row execute function private.date_unknown_outcome();

create function private.doubt_unfinished_call()
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
comment on function private.doubt_unfinished_call() is
  'Row trigger: when a job leaves processing, however it does, nobody waits for its call any more. A call is sent only '
  'while its job is processing; without this one whose answer was lost could be neither asked about nor resolved.';

create trigger ai_jobs_doubt_unfinished_call
after update of status on public.ai_jobs
for each row when (old.status = 'processing' and new.status <> 'processing')
execute function private.doubt_unfinished_call();

-- At most one paid call of a step may be open or have succeeded: the database itself refuses a second one.
create unique index ai_provider_calls_one_per_step_key on public.ai_provider_calls (job_id, operation)
  where outcome in ('sent', 'unknown', 'succeeded', 'adopted') and discarded_at is null;
create index ai_provider_calls_job_id_sent_at_idx on public.ai_provider_calls (job_id, sent_at);
-- Serves the budget of a provider.
create index ai_provider_calls_open_idx on public.ai_provider_calls (provider) include (estimated_cost_micros)
  where outcome in ('sent', 'unknown');
create index ai_provider_calls_user_id_idx on public.ai_provider_calls (user_id);

alter table public.ai_provider_calls enable row level security;

create policy "users can read the provider calls of their own ai jobs"
on public.ai_provider_calls for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_provider_calls from public, anon, authenticated, service_role;
grant select on public.ai_provider_calls to authenticated;
grant select, insert, update on public.ai_provider_calls to service_role;

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
      id, job_id, user_id, provider, operation, attempt, units, price_micros, price_units, estimated_cost_micros
    ) values (
      coalesce(p_call_id, gen_random_uuid()), v_job.id, v_job.user_id, v_job.provider, p_operation, v_job.attempt, v_units,
      v_price_micros, v_price_units, v_estimate
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

revoke execute on function public.begin_provider_call(uuid, uuid, text, integer, text, bigint, uuid) from public, anon, authenticated;
grant execute on function public.begin_provider_call(uuid, uuid, text, integer, text, bigint, uuid) to service_role;
revoke execute on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer, bigint)
  from public, anon, authenticated;
grant execute on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer, bigint) to service_role;
