-- What appends to the counters: statement triggers with transition tables, so that a batch costs as much as one job.

create function private.count_updated_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
-- Of a transition table the planner knows no size, and it would keep a plan that compares each row with each.
set enable_nestloop = off
as $$
begin
  -- The steps of a running job end here: a job comes into processing by a claim alone, which says so.
  if not exists (select 1 from updated as n where n.status <> 'processing' or n.last_event = 'claimed') then
    return null;
  end if;
  insert into private.ai_counter_queue (
    counted_at, event, job_type, provider, code, from_status, to_status, slot, millis, amount
  )
  select date_trunc('minute', clock_timestamp()), c.last_event, c.job_type, c.provider, c.code, c.from_status, c.to_status,
    private.duration_slot(c.millis), coalesce(sum(c.millis), 0), count(*)
  from (
    select
      case
        -- It has failed once, and an operator's answer that is taken back is no other failure.
        when o.status = 'pending' and n.status = 'failed' and n.error_code = 'outcome_unknown' then 'taken_back'
        else n.last_event
      end as last_event,
      n.job_type, n.provider, o.status as from_status, n.status as to_status,
      case when n.status = 'failed' or n.last_event in ('retried', 'rescued') then coalesce(n.error_code, '') else '' end
        as code,
      case
        -- One that waited for another job was due before it could run.
        when n.status = 'processing' and (n.attempt > 1 or n.depends_on_job_id is null)
          then greatest(extract(epoch from clock_timestamp() - o.scheduled_at) * 1000, 0)::bigint
        when n.status = 'completed'
          then greatest(extract(epoch from n.completed_at - coalesce(n.started_at, n.completed_at)) * 1000, 0)::bigint
      end as millis
    from updated as n
    join outdated as o on o.id = n.id
    where n.status <> o.status
  ) as c
  group by 2, 3, 4, 5, 6, 7, 8;
  return null;
end;
$$;
comment on function private.count_updated_ai_jobs() is
  'Statement trigger: counts the jobs whose status the statement changed, with how long they waited to be claimed or ran. '
  'Security definer because the roles that change jobs may not write counts.';

create function private.count_deleted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.ai_counter_queue (counted_at, event, job_type, provider, from_status, amount)
  select date_trunc('minute', clock_timestamp()), 'deleted', d.job_type, d.provider, d.status, count(*)
  from deleted as d
  where d.status in ('pending', 'processing')
  group by 3, 4, 5;
  return null;
end;
$$;
comment on function private.count_deleted_ai_jobs() is
  'Statement trigger: jobs that are deleted while they wait or run no longer count as such. Security definer because the '
  'roles that delete accounts may not write counts.';

create function private.count_updated_provider_calls()
returns trigger
language plpgsql
security definer
set search_path = ''
set enable_nestloop = off
as $$
begin
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
  return null;
end;
$$;
comment on function private.count_updated_provider_calls() is
  'Statement trigger: counts each paid call once, by its response or the lack of one, with the provider''s response time; '
  'and separately the final outcome of calls with an unknown outcome, and the cost. Security definer because the roles that '
  'settle calls may not write counts.';

create trigger ai_provider_calls_after_update_count
after update on public.ai_provider_calls referencing old table as outdated new table as updated
for each statement execute function private.count_updated_provider_calls();
