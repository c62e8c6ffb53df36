-- A run of the janitor. All of its work is leased in small parts, so that the next run finishes one that was killed.

create function private.queue_job_leftovers(p_limit integer default 500)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_settings private.janitor_settings;
  v_status text;
  v_from timestamptz;
  v_to timestamptz;
  v_until timestamptz;
  v_jobs uuid[];
  v_count integer := 0;
begin
  select * into v_settings from private.janitor_settings for update skip locked;
  if not found then
    return 0;
  end if;
  foreach v_status in array array['cancelled', 'failed'] loop
    v_from := case v_status when 'cancelled' then v_settings.cancelled_done_until else v_settings.failed_done_until end;
    v_to := clock_timestamp() - make_interval(
      secs => case v_status when 'cancelled' then v_settings.orphan_grace_seconds else v_settings.failed_grace_seconds end
    );
    select array_agg(d.id), max(d.completed_at) into v_jobs, v_until
    from (
      (
        select j.id, j.completed_at
        from public.ai_jobs as j
        where v_status = 'cancelled' and j.status = 'cancelled' and j.completed_at > v_from and j.completed_at <= v_to
        order by j.completed_at
        fetch first p_limit rows with ties
      )
      union all
      (
        select j.id, j.completed_at
        from public.ai_jobs as j
        where v_status = 'failed' and j.status = 'failed' and j.completed_at > v_from and j.completed_at <= v_to
        order by j.completed_at
        fetch first p_limit rows with ties
      )
    ) as d;
    continue when v_jobs is null;

    -- A parked job keeps everything: an operator may let it continue. The answer makes it run, or ends it again, and it
    -- is picked up then.
    select array_agg(j.id) into v_jobs
    from public.ai_jobs as j
    where j.id = any (v_jobs)
      and (
        j.status = 'cancelled'
        or not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
      );

    insert into private.provider_removals (provider, object_type, provider_object_id, marker, job_id, made_at)
    select
      c.provider, c.operation, c.provider_object_id,
      case when c.provider_object_id is null then 'job:' || c.job_id end, c.job_id, c.sent_at
    from public.ai_provider_calls as c
    -- Speech and transcripts do not count against a plan's limit, and a retry of a failed job reads them again.
    where c.job_id = any (v_jobs)
      and (
        c.operation = 'create_voice' or c.operation in (select r.operation from private.provider_references as r)
      )
      and c.outcome not in ('rejected', 'absent') and c.discarded_at is null
      and private.provider_object_standing(c.provider, c.provider_object_id, c.job_id) = 'orphan'
    on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;

    insert into private.storage_removals (object_path, user_id, reason)
    select f.object_path, j.user_id, 'job_leftovers'
    from public.ai_jobs as j
    cross join lateral private.job_files(j.user_id, j.id) as f (object_path)
    where j.id = any (v_jobs)
    on conflict (object_path) where done_at is null do nothing;

    v_count := v_count + coalesce(cardinality(v_jobs), 0);
    if v_status = 'cancelled' then
      update private.janitor_settings as s set cancelled_done_until = v_until where s.id = v_settings.id;
    else
      update private.janitor_settings as s set failed_done_until = v_until where s.id = v_settings.id;
    end if;
  end loop;
  return v_count;
end;
$$;
comment on function private.queue_job_leftovers(integer) is
  'Queues for removal what ended jobs without a result left behind, once their grace period is over: the voice or '
  'registered object of a call, and the files in the job''s folder. Parked jobs keep everything. Continues where the last call '
  'stopped; returns the number of jobs.';

create function public.begin_janitor_run(p_message_id text, p_sent_at_unix double precision)
returns table (jobs_deleted integer, jobs_checked integer)
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_sent_at_unix is null or abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > 300 then
    raise exception 'the timestamp of dispatch % is more than five minutes off', p_message_id using errcode = 'AJ040';
  end if;
  insert into private.dispatch_receipts (message_id) values (p_message_id) on conflict do nothing;
  if not found then
    raise exception 'dispatch % was already delivered', p_message_id using errcode = 'AJ041';
  end if;
  perform private.note_schedule_run('janitor');
  perform private.prune_operator_actions();
  jobs_deleted := private.prune_ended_ai_jobs();
  jobs_checked := private.queue_job_leftovers();
  return next;
end;
$$;
comment on function public.begin_janitor_run(text, double precision) is
  'Accepts a call of the janitor whose signature the caller has verified: rejects one more than five minutes old or '
  'ahead (AJ040) and a replay (AJ041). Removes old actions of operators and deletes old jobs, queues what '
  'cancelled and failed jobs left, and returns how many jobs it deleted and checked, in one row. service_role only; security definer because the tables are in schema private.';
revoke execute on function public.begin_janitor_run(text, double precision) from public, anon, authenticated;
grant execute on function public.begin_janitor_run(text, double precision) to service_role;

create function public.report_ai_leftovers(p_limit integer default 1000)
returns table (
  kind text,
  state text,
  provider text,
  object_type text,
  object_id text,
  job_id uuid,
  since timestamptz,
  remove_after timestamptz,
  attempts integer,
  last_error_code text
)
language sql
stable
security definer
set search_path = ''
as $$
  select l.*
  from (
    select
      o.standing, case o.standing when 'orphan' then 'waiting' else 'reported' end, o.provider, o.object_type, o.object_id,
      o.job_id, coalesce(o.orphan_since, o.first_seen_at),
      o.orphan_since + make_interval(secs => s.orphan_grace_seconds), null::integer, null::text
    from private.provider_objects as o, private.janitor_settings as s
    where o.standing in ('orphan', 'foreign')
      and not exists (
        select 1
        from private.provider_removals as r
        where r.provider = o.provider and r.provider_object_id = o.object_id and r.done_at is null
      )
    union all
    select
      'removal',
      case
        when r.last_error_code is null then 'waiting'
        when r.attempts >= 5 then 'failing'
        else 'retrying'
      end,
      r.provider, r.object_type, coalesce(r.provider_object_id, r.marker), r.job_id, r.requested_at, r.next_attempt_at,
      r.attempts, r.last_error_code
    from private.provider_removals as r
    where r.done_at is null
    union all
    select
      'file',
      case
        when r.last_error_code is null then 'waiting'
        when r.attempts >= 5 then 'failing'
        else 'retrying'
      end,
      'internal', r.reason, r.object_path, null, r.requested_at, r.next_attempt_at, r.attempts, r.last_error_code
    from private.storage_removals as r
    where r.done_at is null
    union all
    select
      'missing', 'reported', n.provider, n.object_type, n.object_id, n.job_id, n.provider_missing_since, null, null, null
    from private.provider_rows() as n
    where n.provider_missing_since is not null
  ) as l (
    kind, state, provider, object_type, object_id, job_id, since, remove_after, attempts, last_error_code
  )
  order by l.state = 'failing' desc, l.since
  limit p_limit;
$$;
comment on function public.report_ai_leftovers(integer) is
  'For the operator: objects at providers and in Storage that no row names, pending removals, and rows whose provider '
  'object is missing. kind: orphan (removed after remove_after), foreign (the marker of no job of ours: never '
  'removed), removal, file, missing. state failing: five attempts, and the last one failed. service_role only; '
  'security definer because the tables are in schema private.';
revoke execute on function public.report_ai_leftovers(integer) from public, anon, authenticated;
grant execute on function public.report_ai_leftovers(integer) to service_role;

create function private.run_janitor()
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.post_signed('janitor', jsonb_build_object('type', 'JANITOR'));
$$;
comment on function private.run_janitor() is
  'Sends a signed request to the Edge Function janitor. Returns the pg_net request id, or null if it could not be '
  'sent.';
