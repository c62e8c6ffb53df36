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

create function private.record_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select i.id, 1, i.user_id, 'created', i.attempt, jsonb_build_object('job_type', i.job_type)
  from inserted as i;

  -- A job that is answered from the cache is completed on insert and has both events. An insert of no rows
  -- would still run its triggers.
  if not exists (select 1 from inserted as i where i.event_seq > 1) then
    return null;
  end if;
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select i.id, i.event_seq, i.user_id, i.last_event, i.attempt,
    jsonb_strip_nulls(jsonb_build_object(
      'status', i.status,
      'progress', i.progress_percentage,
      'stage', i.stage,
      'error_code', i.error_code,
      'scheduled_at', case when i.status = 'pending' then i.scheduled_at end
    ))
  from inserted as i
  where i.event_seq > 1;
  return null;
end;
$$;
comment on function private.record_inserted_ai_jobs() is
  'Statement trigger: writes the created event of each new job. Security definer because owners insert jobs but may '
  'not write events.';

create function private.record_updated_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select n.id, n.event_seq, n.user_id, n.last_event, n.attempt,
    -- Inline rather than a function, which Postgres would not inline, and this runs at each step of each job.
    jsonb_strip_nulls(jsonb_build_object(
      'status', n.status,
      'progress', n.progress_percentage,
      'stage', n.stage,
      'error_code', n.error_code,
      'scheduled_at', case when n.status = 'pending' then n.scheduled_at end
    ))
  from updated as n
  join outdated as o on o.id = n.id
  where n.event_seq <> o.event_seq;
  return null;
end;
$$;
comment on function private.record_updated_ai_jobs() is
  'Statement trigger: writes one event for each job whose event_seq the statement changed. Security definer because no '
  'role may insert into ai_job_events.';

create function private.record_carried_events(p_items jsonb)
returns void
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
begin
  insert into public.ai_job_events (job_id, seq, user_id, event, attempt, data)
  select j.id, e.seq, j.user_id, e.event, j.attempt,
    jsonb_strip_nulls(jsonb_build_object(
      'status', 'processing',
      -- Never backwards: what the event before it says counts too.
      'progress', greatest(e.progress, (
        select (l.data ->> 'progress')::integer
        from public.ai_job_events as l
        where l.job_id = j.id and l.seq < e.seq
        order by l.seq desc
        limit 1
      )),
      'stage', e.stage
    ))
  from jsonb_to_recordset(p_items) as b (job_id uuid, progress integer, report_progress integer, report_stage text)
  join public.ai_jobs as j on j.id = b.job_id
  cross join lateral (
    select 'settled', j.event_seq - 1 - (b.report_stage is not null)::integer, b.progress, null
    union all
    select 'progress', j.event_seq - 1, least(b.report_progress, 99), b.report_stage where b.report_stage is not null
  ) as e (event, seq, progress, stage)
  where j.id = any (array(select i.job_id from jsonb_to_recordset(p_items) as i (job_id uuid)))
    -- An item that changed nothing, or carried less, has left no gap.
    and (select k.seq from public.ai_job_events as k where k.job_id = j.id and k.seq = e.seq) is null;
end;
$$;
comment on function private.record_carried_events(jsonb) is
  'A write may carry a settlement and a report (report_progress, report_stage) besides its own change. It raises event_seq '
  'for each, and the trigger writes the last event only; this writes the others into the gap. Security definer because it is '
  'called by functions that are.';
