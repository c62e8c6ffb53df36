-- When the scheduled work last ran.

create table private.ai_schedule_runs (
  name text not null,
  last_run_at timestamptz not null default now(),
  constraint ai_schedule_runs_pkey primary key (name),
  constraint ai_schedule_runs_name_is_known check (name in ('sweep', 'janitor', 'fold'))
)
with (fillfactor = 50);
comment on table private.ai_schedule_runs is
  'When the sweep, the fold of the counters and the janitor last did their work; not when they were called.';
alter table private.ai_schedule_runs enable row level security;
revoke all on private.ai_schedule_runs from public, anon, authenticated, service_role;
insert into private.ai_schedule_runs (name) values ('sweep'), ('janitor'), ('fold');

create function private.note_schedule_run(p_name text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update private.ai_schedule_runs as r set last_run_at = clock_timestamp() where r.name = p_name;
end;
$$;
comment on function private.note_schedule_run(text) is 'Records that the sweep, the fold or the janitor has just run.';
