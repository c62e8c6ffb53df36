-- Dispatch and sweep. The trigger's call is a hint that makes a job start within milliseconds; it may be lost, late or
-- doubled. The sweep is the guarantee: whatever is due and not being worked on is dispatched again.

create function private.post_signed(p_function text, p_body jsonb)
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_url text;
  v_secret text;
  v_message_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  v_timestamp text := floor(extract(epoch from clock_timestamp()))::bigint::text;
  v_signature text;
begin
  select s.decrypted_secret into v_url from vault.decrypted_secrets as s where s.name = 'project_url';
  select s.decrypted_secret into v_secret from vault.decrypted_secrets as s where s.name = 'dispatch_secret';
  -- A secret of another form (the receiver checks the same) would sign with some other key, and every call be refused.
  if v_url is null
    or coalesce(v_secret !~ '^whsec_([A-Za-z0-9+/]{4}){8,}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$', true)
  then
    raise log 'nothing is dispatched to %: the Vault has no project_url, or no dispatch_secret of the form whsec_<base64>', p_function;
    return null;
  end if;

  -- Standard Webhooks: HMAC-SHA256 over id.timestamp.body with the decoded secret, in base64.
  v_signature := 'v1,' || encode(
    extensions.hmac(
      convert_to(v_message_id || '.' || v_timestamp || '.' || p_body::text, 'UTF8'),
      decode(substr(v_secret, length('whsec_') + 1), 'base64'),
      'sha256'
    ),
    'base64'
  );
  return net.http_post(
    url := rtrim(v_url, '/') || '/functions/v1/' || p_function,
    body := p_body,
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'webhook-id', v_message_id,
      'webhook-timestamp', v_timestamp,
      'webhook-signature', v_signature
    ),
    timeout_milliseconds := 5000
  );
exception when others then
  -- A dispatch must not undo the insert that caused it: the schedule delivers later. The message of an error here
  -- could quote the secret, so only its code is written.
  raise warning '% could not be dispatched to (%); the schedule will', p_function, sqlstate;
  return null;
end;
$$;
comment on function private.post_signed(text, jsonb) is
  'Calls one of our Edge Functions by pg_net, signed with the Vault''s dispatch_secret. Returns the pg_net request id, or '
  'null when it could not be sent. Never raises. Security definer because the causing role may read neither the Vault nor '
  'schema net.';

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
    -- The shape of a database webhook, with ids only; job_ids names the rest of a bulk insert.
    v_request_id := coalesce(
      private.post_signed(v_worker, jsonb_build_object(
        'type', 'INSERT',
        'table', 'ai_jobs',
        'schema', 'public',
        'record', jsonb_build_object('id', v_job_ids[1]),
        'old_record', null,
        'job_ids', to_jsonb(v_job_ids)
      )),
      v_request_id
    );
  end loop;
  return v_request_id;
end;
$$;
comment on function private.dispatch_ai_jobs(uuid[]) is
  'Asks the worker of these jobs, or each of their workers, by pg_net and signed with the Vault''s dispatch_secret, to work on '
  'them. Returns a pg_net request id, or null when nothing could be sent. Never raises. Security definer because the inserting role may not call '
  'private.post_signed.';

create function private.dispatch_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.dispatch_ai_jobs((
    select array_agg(due.id)
    from (
      select i.id, i.priority
      from inserted as i
      where i.status = 'pending' and not i.is_blocked and i.scheduled_at <= now()
      union
      -- An insert holds the job that it depends on, and a claim that came in between has passed over it.
      select d.id, d.priority
      from public.ai_jobs as d
      -- An array, so that they are looked up: of a transition table Postgres knows no size and might join it row by row.
      where d.id = any (array(select distinct i.depends_on_job_id from inserted as i where i.is_blocked))
        and d.status = 'pending' and not d.is_blocked and d.scheduled_at <= now()
      order by priority, id
      limit 50
    ) as due
  ));
  return null;
end;
$$;
comment on function private.dispatch_inserted_ai_jobs() is
  'Statement trigger: one signed call per insert and worker, whatever the number of rows, for what is due of them and of the jobs that '
  'they wait for. Security definer because the inserting role may not call private.dispatch_ai_jobs.';

create trigger ai_jobs_dispatch
after insert on public.ai_jobs referencing new table as inserted
for each statement execute function private.dispatch_inserted_ai_jobs();

create function public.wake_ai_job_worker(p_worker text default 'process-ai-job')
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- What was snoozed for no time at all has no turn yet.
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
  'Asks a worker for a request more while jobs of its types are waiting: called by an isolate that is too old to claim, or '
  'that works on one job a request. False: nothing waits, or it could not be sent. service_role only; security definer for the dispatch in schema private.';
revoke execute on function public.wake_ai_job_worker(text) from public, anon, authenticated;
grant execute on function public.wake_ai_job_worker(text) to service_role;

create function private.sweep_ai_jobs()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_rescued integer := 0;
  v_rescue_error text;
  v_chunk uuid[];
  v_dispatched integer := 0;
  v_blocked_users uuid[];
begin
  -- In a block of its own: a row that cannot be rescued must not keep the others from being dispatched.
  begin
    select count(*) into v_rescued from public.rescue_stalled_ai_jobs();
  exception when others then
    v_rescue_error := sqlstate || ': ' || sqlerrm;
    raise warning 'stalled ai jobs could not be rescued (%)', v_rescue_error;
  end;

  -- After the rescue: what was taken back from the dead is room.
  v_blocked_users := private.users_without_room();
  perform private.ready_due_ai_jobs(1000);
  for v_chunk in
    select array_agg(due.id order by due.position)
    from (
      select j.id, row_number() over () as position
      from public.ai_job_types as t
      cross join public.ai_providers as p
      cross join lateral (
        select w.id
        from public.ai_jobs as w
        where w.job_type = t.job_type and w.provider = p.provider and w.status = 'pending' and w.queue_key is not null
          and w.attempt < w.max_attempts
          -- Nobody could claim them, and each call costs. In coalesce for the planner's sake, as in claim_ai_jobs.
          and coalesce(w.user_id <> all (v_blocked_users), true)
        order by w.scheduled_at
        limit 200
      ) as j
      where t.is_enabled and t.paused_at is null and p.paused_at is null
        and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp())
        and p.max_concurrent > (
          select count(*) from public.ai_jobs as r where r.status = 'processing' and r.provider = p.provider
        )
      limit 200
    ) as due
    group by (due.position - 1) / 20
    order by min(due.position)
  loop
    v_dispatched := v_dispatched + cardinality(v_chunk);
    perform private.dispatch_ai_jobs(v_chunk);
  end loop;

  delete from private.dispatch_receipts as r where r.received_at < clock_timestamp() - interval '15 minutes';
  return jsonb_strip_nulls(jsonb_build_object(
    'rescued', v_rescued, 'dispatched', v_dispatched, 'rescue_error', v_rescue_error
  ));
end;
$$;
comment on function private.sweep_ai_jobs() is
  'The delivery guarantee, run by pg_cron every few seconds: takes back expired leases, dispatches what is due (up to '
  '200 jobs in calls of 20), forgets old receipts. Returns the counts.';

create function private.prune_ai_job_leftovers()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from public.ai_result_cache as c where c.expires_at < now();
  delete from private.storage_removals as r where r.done_at < now() - interval '30 days';
  delete from public.pending_uploads as u where u.stored_at is null and u.expires_at < now();
  delete from cron.job_run_details as d where d.end_time < now() - interval '1 day';
end;
$$;
comment on function private.prune_ai_job_leftovers() is
  'Hourly: removes cache entries that have ended, what is written down about files that were removed a month ago (their '
  'names are those of people who may have left), upload URLs that have ended, and pg_cron''s own history, which grows for ever otherwise.';

select cron.schedule('sweep-ai-jobs', '2 seconds', 'select private.sweep_ai_jobs()');
select cron.schedule('prune-ai-job-leftovers', '17 * * * *', 'select private.prune_ai_job_leftovers()');
