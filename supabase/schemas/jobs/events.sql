-- The timeline of a job. Written by statement triggers, so that no path that changes a job can forget it, and one
-- statement over 5,000 jobs costs one insert here. A write that carries more than one change adds the events of the others.

create table public.ai_job_events (
  job_id uuid not null,
  seq integer not null,
  user_id uuid not null,
  event text not null,
  attempt integer not null,
  data jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  constraint ai_job_events_pkey primary key (job_id, seq),
  constraint ai_job_events_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  constraint ai_job_events_event_is_known check (event in (
    'created', 'claimed', 'progress', 'submitted', 'settled', 'snoozed', 'retried', 'released', 'rescued', 'unblocked',
    'cancel_requested', 'retry_requested', 'completed', 'failed', 'cancelled'
  ))
);
comment on table public.ai_job_events is
  'Append-only timeline, numbered per job from 1 without a gap, for debugging and for clients that resume.';
comment on column public.ai_job_events.seq is 'Equals ai_jobs.event_seq at the write that caused the event.';
comment on column public.ai_job_events.user_id is
  'The job''s owner, copied by the triggers so that the policy needs no join. No foreign key: the row is deleted with '
  'its job, and a check at each event would lock the user''s row.';
comment on column public.ai_job_events.event is
  'What happened; docs/job-lifecycle.md lists which function writes which event.';

alter table public.ai_job_events enable row level security;

create policy "users can read the events of their own ai jobs"
on public.ai_job_events for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_job_events from public, anon, authenticated, service_role;
grant select on public.ai_job_events to authenticated;
grant select on public.ai_job_events to service_role;

create function private.carried_changes(p_items jsonb)
returns text
-- plpgsql rather than sql, which Postgres would plan again for each call.
language plpgsql
immutable
security invoker
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(i)), '[]')::text
    from jsonb_to_recordset(p_items) as i (job_id uuid, progress integer, report_progress integer, report_stage text)
  );
end;
$$;
comment on function private.carried_changes(jsonb) is
  'What the items of a write carry besides its own change: a settlement (progress) and a report (report_progress, '
  'report_stage). The write sets it as private.carried_changes for its update of ai_jobs.';

create function private.record_updated_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_carried constant jsonb := nullif(current_setting('private.carried_changes', true), '')::jsonb;
begin
  -- Most writes carry nothing; starting the statement below would take most of their time here.
  if v_carried is null then
    insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
    select n.id, n.event_seq, n.user_id, n.last_event, n.attempt,
      -- Inline rather than a function, which Postgres would not inline, and this runs at each step of each job.
      jsonb_strip_nulls(jsonb_build_object(
        'status', n.status,
        'progress', n.progress_percentage,
        'stage', n.stage,
        -- While it runs, the row still has the code that it waited with.
        'error_code', case when n.status <> 'processing' then n.error_code end,
        -- Of the call that was settled last.
        'outcome', case when n.last_event = 'settled' then (
          select c.outcome from public.ai_provider_calls as c where c.job_id = n.id
          order by coalesce(c.settled_at, c.unknown_since) desc nulls last limit 1
        ) end,
        'scheduled_at', case when n.status = 'pending' then n.scheduled_at end
      ))
    from updated as n
    join outdated as o on o.id = n.id
    where n.event_seq <> o.event_seq;
    return null;
  end if;
  -- One insert, so that the events reach a listener in their order.
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select n.id, n.event_seq, n.user_id, n.last_event, n.attempt,
    jsonb_strip_nulls(jsonb_build_object(
      'status', n.status,
      'progress', n.progress_percentage,
      'stage', n.stage,
      'error_code', case when n.status <> 'processing' then n.error_code end,
      'scheduled_at', case when n.status = 'pending' then n.scheduled_at end
    ))
  from updated as n
  join outdated as o on o.id = n.id
  where n.event_seq <> o.event_seq
  union all
  select n.id, e.seq, n.user_id, e.event, n.attempt,
    -- Progress never decreases, so that of the row and of the previous event counts too.
    jsonb_strip_nulls(jsonb_build_object('status', o.status, 'progress', e.progress, 'stage', e.stage))
  from jsonb_to_recordset(v_carried) as c (job_id uuid, progress integer, report_progress integer, report_stage text)
  join updated as n on n.id = c.job_id
  join outdated as o on o.id = n.id
  cross join lateral (
    select n.event_seq - o.event_seq - 1 - (c.report_stage is not null)::integer > 0 as has_settlement
  ) as k
  cross join lateral (
    select o.event_seq + 1 as seq, 'settled' as event, greatest(o.progress_percentage, c.progress) as progress, null as stage
    where k.has_settlement
    union all
    select n.event_seq - 1, 'progress',
      greatest(o.progress_percentage, case when k.has_settlement then c.progress end, least(c.report_progress, 99)),
      c.report_stage
    where c.report_stage is not null
  ) as e
  where n.event_seq > o.event_seq + 1
  order by 1, 2;
  return null;
end;
$$;
comment on function private.record_updated_ai_jobs() is
  'Statement trigger: writes one event for each job whose event_seq the statement changed, and the events of what the '
  'statement carried (private.carried_changes), which raised event_seq too. Security definer because no role may insert into '
  'ai_job_events.';
