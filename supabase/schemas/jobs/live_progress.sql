-- Live progress: each new event of the timeline is also broadcast to its owner by Realtime. The table is
-- authoritative and the broadcast only a hint to read it: a client that misses one continues from the last number
-- that it has seen.

create policy "users can receive the events of their own ai jobs"
on realtime.messages for select to authenticated
using (
  extension = 'broadcast'
  and (select realtime.topic()) = 'ai_jobs:' || (select auth.uid())::text
);

create function private.broadcast_ai_job_events()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_owner record;
begin
  -- Realtime creates the partition of the day when a client connects. Without one nobody listens, and each send would
  -- write a warning to the log.
  if to_regclass('realtime.messages_' || to_char(now() at time zone 'UTC', 'YYYY_MM_DD')) is null then
    return null;
  end if;
  for v_owner in
    select i.user_id,
      case
        when count(*) > 100 then jsonb_build_object('more', true)
        else jsonb_build_object('events', jsonb_agg(jsonb_build_object(
          'job_id', i.job_id,
          'seq', i.seq,
          'event', i.event,
          'attempt', i.attempt,
          'data', i.data,
          'created_at', i.created_at
        ) order by i.job_id, i.seq))
      end as payload
    from inserted as i
    group by i.user_id
  loop
    perform realtime.send(v_owner.payload, 'ai_job_events', 'ai_jobs:' || v_owner.user_id, true);
  end loop;
  return null;
exception when others then
  -- The job matters more than the hint.
  raise warning 'ai_job_events are not broadcast: %', sqlerrm;
  return null;
end;
$$;
comment on function private.broadcast_ai_job_events() is
  'Statement trigger: one private broadcast ai_job_events for each owner, on the topic ai_jobs:<user id>, with '
  '{events: [...]} of at most 100 events, else {more: true}. Does nothing while no client is connected to Realtime, '
  'and never fails the statement. Security definer because the roles that change jobs may not write to other users'' '
  'topics.';

create trigger ai_job_events_after_insert_broadcast
after insert on public.ai_job_events referencing new table as inserted
for each statement execute function private.broadcast_ai_job_events();
