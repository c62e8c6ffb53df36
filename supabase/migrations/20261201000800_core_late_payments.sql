-- A job that paid late gets the time of its type from its paid call on, and a job that its owner has cancelled does not
-- fail. A refusal that did not come from the provider says
-- nothing to its breaker. Owners may discard upload URLs that they have not used. Replaces functions and a
-- trigger; locks ai_jobs and pending_uploads for an instant.

create or replace function private.finish_instead_of_requeue()
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
    select old.started_at < clock_timestamp() - make_interval(secs => t.max_age_seconds)
      -- What was paid for late, after an outage or a pause, still gets its time: otherwise it would be paid for without a result.
      and not exists (
        select 1
        from public.ai_provider_calls as c
        where c.job_id = new.id and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
          and c.sent_at >= clock_timestamp() - make_interval(secs => t.max_age_seconds)
      )
    into v_is_too_old
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
comment on function private.finish_instead_of_requeue() is
  'Row trigger: a running job that fails is cancelled if its owner has requested that: nobody may run it again. One that is '
  'released, snoozed, retried or rescued ends instead of waiting again if its owner has cancelled it, or if it is older than its type allows, counted from its start and from its last paid call. So no '
  'job is requeued forever. Security definer because '
  'it reads the type''s policy for every role that requeues a job.';

create or replace function private.follow_updated_provider_calls()
returns trigger
language plpgsql
security definer
set search_path = ''
-- Of a transition table the planner knows no size, and it would keep a plan that compares each row with each.
set enable_nestloop = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_month constant date := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
  v_changed record;
  v_call record;
  v_millis bigint;
  v_sum record;
begin
  -- The first row of each: both tables have one row in most statements.
  select a.*, n.provider, n.job_id, n.outcome, n.error_code, n.sent_at, n.settled_at, n.repeated_at, o.outcome as old_outcome,
    coalesce(n.cost_micros, 0) - coalesce(o.cost_micros, 0) as micros
  into v_changed
  from (
    select count(*) as calls, bool_or(u.price_micros > 0) as has_price,
      -- A healthy provider's row is not written.
      bool_or(u.outcome in ('rejected', 'unknown'))
        or exists (
          select 1 from public.ai_providers as p where p.breaker_failures > 0 or p.breaker_opened_at is not null
        ) as concerns_breaker
    from updated as u
  ) as a
  cross join updated as n
  cross join outdated as o;
  if not found then
    return null;
  end if;

  if v_changed.calls = 1 then
    -- The steps are those below, for one row: joining and grouping would take most of their time.
    if v_changed.outcome = v_changed.old_outcome and v_changed.micros = 0 then
      return null;
    end if;
    v_millis := case
      when v_changed.old_outcome = 'sent' and v_changed.repeated_at is null and v_changed.outcome in ('succeeded', 'rejected')
        then greatest(extract(epoch from v_changed.settled_at - v_changed.sent_at) * 1000, 0)::bigint
    end;
    -- A repeated call has had its response, and its outcome is unknown until it is known.
    if v_changed.repeated_at is null or v_changed.old_outcome not in ('sent', 'unknown')
      or v_changed.outcome not in ('sent', 'unknown') then
      insert into private.ai_counter_queue (
        counted_at, event, job_type, provider, code, slot, millis, micros, amount
      )
      values (
        date_trunc('minute', clock_timestamp()),
        case
          when v_changed.outcome = v_changed.old_outcome or v_changed.old_outcome not in ('sent', 'unknown') then 'revised'
          when v_changed.old_outcome = 'sent' and v_changed.repeated_at is null then 'call'
          else 'reconciled'
        end,
        coalesce((select j.job_type from public.ai_jobs as j where j.id = v_changed.job_id), ''),
        v_changed.provider,
        case
          when v_changed.outcome in ('rejected', 'unknown') and private.is_provider_failure(v_changed.error_code) then 'unavailable'
          else v_changed.outcome
        end,
        private.duration_slot(v_millis), coalesce(v_millis, 0), v_changed.micros, 1
      );
    end if;
  else
    insert into private.ai_counter_queue (
      counted_at, event, job_type, provider, code, slot, millis, micros, amount
    )
    select date_trunc('minute', clock_timestamp()), c.event, c.job_type, c.provider, c.code, private.duration_slot(c.millis),
      coalesce(sum(c.millis), 0), sum(c.micros), count(*)
    from (
      select n.provider,
        -- Each call counts once, when its response arrives or is known to be lost.
        case
          when n.outcome = o.outcome or o.outcome not in ('sent', 'unknown') then 'revised'
          when o.outcome = 'sent' and n.repeated_at is null then 'call'
          else 'reconciled'
        end as event,
        -- Looked up one by one: a join would have to read all jobs, since it must not be a nested loop here.
        coalesce((select j.job_type from public.ai_jobs as j where j.id = n.job_id), '') as job_type,
        case
          when n.outcome in ('rejected', 'unknown') and private.is_provider_failure(n.error_code) then 'unavailable'
          else n.outcome
        end as code,
        case
          when o.outcome = 'sent' and n.repeated_at is null and n.outcome in ('succeeded', 'rejected')
            then greatest(extract(epoch from n.settled_at - n.sent_at) * 1000, 0)::bigint
        end as millis,
        coalesce(n.cost_micros, 0) - coalesce(o.cost_micros, 0) as micros
      from updated as n
      join outdated as o on o.id = n.id
      where (n.outcome <> o.outcome or coalesce(n.cost_micros, 0) <> coalesce(o.cost_micros, 0))
        -- A repeated call has had its response, and its outcome is unknown until it is known.
        and not (n.repeated_at is not null and o.outcome in ('sent', 'unknown') and n.outcome in ('sent', 'unknown'))
    ) as c
    group by 2, 3, 4, 5, 6;
  end if;

  if v_changed.concerns_breaker then
    for v_call in
      select c.provider, c.job_id, case when c.is_failure then c.error_code end as error_code
      from (
        select n.provider, n.job_id, n.error_code, f.is_failure, bool_or(f.is_failure) over (partition by n.provider) as has_failure
        from updated as n
        join outdated as o on o.id = n.id
        cross join lateral (
          select n.outcome in ('rejected', 'unknown') and private.is_provider_failure(n.error_code) as is_failure
        ) as f
        -- An operator's answer, or taking it back, says nothing about the provider.
        where n.outcome <> o.outcome and o.settled_at is null and n.answered_at is null
          and case
            -- A call that its owner cancelled says nothing about the provider.
            when f.is_failure then not exists (
              select 1 from public.ai_jobs as j where j.id = n.job_id and j.cancel_requested_at is not null
            )
            -- An absent object only proves that the provider's listing works.
            else n.outcome in ('succeeded', 'adopted')
              -- Without a status nothing came from the provider: the request did not reach it, or we could not read our own
              -- input.
              or (n.outcome = 'rejected' and n.http_status is not null and n.error_code <> 'provider_concurrency_limited')
          end
      ) as c
      join public.ai_providers as p on p.provider = c.provider
      -- A healthy provider's row is not written.
      where c.has_failure or p.breaker_failures > 0 or p.breaker_opened_at is not null
      -- Normal responses come last: a provider that has answered any of these calls is not down.
      order by c.provider, c.is_failure desc, c.job_id
    loop
      perform private.note_provider_answer(v_call.provider, v_call.job_id, false, v_call.error_code);
    end loop;
  end if;
  if not v_changed.has_price then
    return null;
  end if;
  -- Locks are taken by user and then by provider, as everywhere.
  for v_sum in
    select k.user_id, sum(k.reserved)::bigint as reserved, sum(k.spent)::bigint as spent
    from (
      select o.user_id,
        case when n.outcome in ('sent', 'unknown') then n.estimated_cost_micros else 0 end
          - case when o.outcome in ('sent', 'unknown') then o.estimated_cost_micros else 0 end as reserved,
        -- A past month is no longer counted.
        case when date_trunc('month', n.settled_at at time zone 'UTC') = v_month then n.cost_micros else 0 end
          - case when date_trunc('month', o.settled_at at time zone 'UTC') = v_month then o.cost_micros else 0 end as spent
      from updated as n
      join outdated as o on o.id = n.id
      where n.outcome <> o.outcome or n.cost_micros is distinct from o.cost_micros
    ) as k
    where k.reserved <> 0 or k.spent <> 0
    group by k.user_id
    order by k.user_id
  loop
    update public.ai_limits as l
    set reserved_micros = greatest(l.reserved_micros + v_sum.reserved, 0),
        spent_micros = greatest(case when l.budget_month >= v_month then l.spent_micros else 0 end + v_sum.spent, 0),
        budget_month = greatest(l.budget_month, v_month)
    where l.user_id = v_sum.user_id;
  end loop;

  for v_sum in
    select k.provider, k.slot, sum(k.spent)::bigint as spent
    from (
      select o.provider, hashtextextended(o.user_id::text, 0) & 15 as slot,
        case when date_trunc('month', n.settled_at at time zone 'UTC') = v_month then n.cost_micros else 0 end
          - case when date_trunc('month', o.settled_at at time zone 'UTC') = v_month then o.cost_micros else 0 end as spent
      from updated as n
      join outdated as o on o.id = n.id
      where n.outcome <> o.outcome or n.cost_micros is distinct from o.cost_micros
    ) as k
    where k.spent <> 0
    group by k.provider, k.slot
    order by k.provider, k.slot
  loop
    insert into public.ai_provider_spend as s (provider, slot, month, spent_micros)
    values (v_sum.provider, v_sum.slot, v_month, greatest(v_sum.spent, 0))
    on conflict (provider, slot) do update
    set spent_micros = greatest(case when s.month >= v_month then s.spent_micros else 0 end + v_sum.spent, 0),
        month = greatest(s.month, v_month);
  end loop;
  return null;
end;
$$;
comment on function private.follow_updated_provider_calls() is
  'Statement trigger: counts each paid call once, by its response or the lack of one, with the provider''s response time, and '
  'separately the final outcome of calls with an unknown outcome, and the cost; counts the outcomes for the breakers of their '
  'providers; then charges the reservation of a settled call to its owner and provider, or releases it when nothing was '
  'created. One trigger, because each one and each of its statements costs time at every call. Security definer because '
  'every role that settles calls must cause this, and none may write counts, breakers and limits.';

create policy "users can discard their own unused upload URLs"
on public.pending_uploads for delete to authenticated
using (user_id = (select auth.uid()) and stored_at is null);

grant delete on public.pending_uploads to authenticated;

create or replace trigger ai_jobs_finish_instead_of_requeue
before update on public.ai_jobs
for each row
when (
  old.status = 'processing'
  and (new.status = 'pending' or (new.status = 'failed' and new.cancel_requested_at is not null))
)
execute function private.finish_instead_of_requeue();
