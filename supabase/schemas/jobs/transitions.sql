-- Which changes of status are allowed.

create function private.guard_ai_job_transition()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if (old.status, new.status) not in (
    ('pending', 'processing'),
    ('pending', 'cancelled'),
    ('pending', 'failed'),
    ('processing', 'pending'),
    ('processing', 'completed'),
    ('processing', 'failed'),
    ('processing', 'cancelled'),
    ('failed', 'pending')
  ) then
    raise exception 'ai job % cannot change from % to %', old.id, old.status, new.status using errcode = 'AJ050';
  end if;
  return new;
end;
$$;
comment on function private.guard_ai_job_transition() is
  'Row trigger: refuses a change of status that is not a transition of docs/job-lifecycle.md (AJ050). A completed '
  'or cancelled job never changes again; a failed one only goes back to pending.';
