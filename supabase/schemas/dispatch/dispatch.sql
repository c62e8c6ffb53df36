-- Dispatch: a hint that makes a job start within milliseconds. It may be lost, late or duplicated; the sweep is the
-- guarantee.

create function private.dispatch_to_worker(p_worker text, p_job_ids uuid[])
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_message_id constant text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  v_request_id bigint;
begin
  -- The shape of a database webhook, with ids only; job_ids names the rest of a bulk insert.
  v_request_id := private.post_signed(
    p_worker,
    jsonb_build_object(
      'type', 'INSERT',
      'table', 'ai_jobs',
      'schema', 'public',
      'record', jsonb_build_object('id', p_job_ids[1]),
      'old_record', null,
      'job_ids', to_jsonb(p_job_ids)
    ),
    v_message_id
  );
  if v_request_id is not null then
    insert into private.expected_claims (id, worker, is_poll) values (v_message_id, p_worker, false);
  end if;
  return v_request_id;
end;
$$;
comment on function private.dispatch_to_worker(text, uuid[]) is
  'Sends one worker a dispatch for these jobs by pg_net, signed with the Vault''s dispatch_secret, and records the '
  'claim that it will cause. Returns the pg_net request id, or null when nothing could be sent. Security definer because it is called by '
  'functions that are.';

create function private.dispatch_ai_jobs(p_job_ids uuid[])
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_worker text;
  v_job_ids uuid[];
  v_request_id bigint;
begin
  for v_worker, v_job_ids in
    select t.worker, array_agg(j.id order by array_position(p_job_ids, j.id))
    from public.ai_jobs as j
    join public.ai_job_types as t on t.job_type = j.job_type
    where j.id = any (p_job_ids)
    group by t.worker
  loop
    v_request_id := coalesce(private.dispatch_to_worker(v_worker, v_job_ids), v_request_id);
  end loop;
  return v_request_id;
end;
$$;
comment on function private.dispatch_ai_jobs(uuid[]) is
  'Sends each worker of these jobs a dispatch by pg_net, signed with the Vault''s dispatch_secret. Returns a pg_net '
  'request id, or null when nothing could be sent. Never raises. Security definer because the '
  'inserting role may not call '
  'private.post_signed.';

create function public.wake_ai_job_worker(p_worker text default 'process-ai-job')
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- A job that was snoozed without delay has no turn yet.
  perform private.ready_due_ai_jobs(200);
  return private.dispatch_ai_jobs((
    select array_agg(due.id)
    from (
      select j.id
      from public.ai_job_types as t
      cross join lateral (
        select w.id
        from public.ai_jobs as w
        where w.job_type = t.job_type and w.status = 'pending' and w.queue_key is not null
        limit 1
      ) as j
      where t.worker = p_worker
      limit 1
    ) as due
  )) is not null;
end;
$$;
comment on function public.wake_ai_job_worker(text) is
  'Dispatches a worker again while jobs of its types wait: called by an isolate that is too old to claim, or that runs '
  'one job per request. False: nothing waits, or it could not be sent. service_role only; security definer '
  'for the dispatch in schema private.';
revoke execute on function public.wake_ai_job_worker(text) from public, anon, authenticated;
grant execute on function public.wake_ai_job_worker(text) to service_role;
