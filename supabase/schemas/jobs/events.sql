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
  -- One item is passed on without its large values. To take it apart would start a statement.
  if jsonb_array_length(p_items) = 1 then
    return (p_items #- '{0,result_data}' #- '{0,product}')::text;
  end if;
  return (
    select coalesce(jsonb_agg(to_jsonb(i)), '[]')::text
    from jsonb_to_recordset(p_items) as i (job_id uuid, progress integer, report_progress integer, report_stage text)
  );
end;
$$;
comment on function private.carried_changes(jsonb) is
  'What the items of a write carry besides its own change: a settlement (progress) and a report (report_progress, '
  'report_stage). The write sets it as private.carried_changes for its update of ai_jobs.';
