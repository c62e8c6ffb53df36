-- What the console shows of jobs: search, one job, its payload, and the parked jobs.

create function public.ops_search_jobs(
  p_operator_id uuid,
  p_job_id uuid default null,
  p_user_id uuid default null,
  p_user_email text default null,
  p_job_type text default null,
  p_provider text default null,
  p_status text default null,
  p_error_code text default null,
  p_limit integer default 50,
  p_before_created_at timestamptz default null,
  p_before_id uuid default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
-- The plan depends on which filters are given.
set plan_cache_mode = force_custom_plan
as $$
declare
  v_user_id uuid := p_user_id;
  -- A code alone means the jobs that failed with it: among all jobs, few rows have one, and no index knows which.
  v_status text := coalesce(p_status, case when p_error_code is not null then 'failed' end);
begin
  perform private.require_ai_operator(p_operator_id);
  if p_user_email is not null then
    select u.id into v_user_id
    from auth.users as u
    where u.email = lower(p_user_email) and (p_user_id is null or u.id = p_user_id)
    limit 1;
    if v_user_id is null then
      return '[]';
    end if;
  end if;
  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'job_id', f.id,
          'user_id', f.user_id,
          'job_type', f.job_type,
          'provider', f.provider,
          'status', f.status,
          'stage', f.stage,
          'progress_percentage', f.progress_percentage,
          'attempt', f.attempt,
          'max_attempts', f.max_attempts,
          'error_code', f.error_code,
          'spend', f.spend,
          'cost_micros', f.cost_micros,
          'created_at', f.created_at,
          'started_at', f.started_at,
          'completed_at', f.completed_at,
          'scheduled_at', f.scheduled_at,
          'is_cancel_requested', f.cancel_requested_at is not null
        )
        order by f.created_at desc, f.id desc
      ),
      '[]'
    )
    from (
      select l.*
      from public.ai_job_types as t
      -- Type by type, each through its own index, newest first.
      cross join lateral (
        select j.*
        from public.ai_jobs as j
        where j.job_type = t.job_type
          and (p_job_id is null or j.id = p_job_id)
          and (v_user_id is null or j.user_id = v_user_id)
          and (p_provider is null or j.provider = p_provider)
          and (v_status is null or j.status = v_status)
          and (p_error_code is null or j.error_code = p_error_code)
          and (p_before_created_at is null or (j.created_at, j.id) < (p_before_created_at, p_before_id))
        order by j.created_at desc, j.id desc
        limit least(greatest(p_limit, 1), 101)
      ) as l
      where p_job_type is null or t.job_type = p_job_type
      order by l.created_at desc, l.id desc
      limit least(greatest(p_limit, 1), 101)
    ) as f
  );
end;
$$;
comment on function public.ops_search_jobs(uuid, uuid, uuid, text, text, text, text, text, integer, timestamptz, uuid) is
  'For the console: jobs that match every filter given, newest first, without parameters and results; with a code and no '
  'status those that failed. The next page begins before the last one''s created_at and job_id. AJ095 for anyone but an '
  'operator. service_role only; security definer because it reads the jobs of all users and schema auth.';
revoke execute on function public.ops_search_jobs(uuid, uuid, uuid, text, text, text, text, text, integer, timestamptz, uuid) from public, anon, authenticated;
grant execute on function public.ops_search_jobs(uuid, uuid, uuid, text, text, text, text, text, integer, timestamptz, uuid) to service_role;

create function public.ops_job(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    select jsonb_build_object(
      'job', to_jsonb(j) - array[
        'metadata', 'input_url', 'output_url', 'result_data', 'idempotency_key', 'lease_token', 'input_hash', 'queue_key',
        'error_message', 'event_seq', 'last_event'
      ] || jsonb_build_object(
        'user_email', (select u.email from auth.users as u where u.id = j.user_id),
        'marker', 'job:' || j.id,
        'is_parked', j.status in ('failed', 'cancelled') and exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome = 'unknown'
        ),
        'is_answer_revocable', j.status in ('pending', 'failed', 'cancelled')
          and private.last_operator_answer(j.id) is not null
      ),
      'costs', (
        select jsonb_build_object(
          'cost_micros', coalesce(sum(c.cost_micros), 0),
          'reserved_micros', coalesce(
            sum(c.estimated_cost_micros) filter (where c.outcome in ('sent', 'unknown')), 0
          ),
          'paid_calls', count(*) filter (where c.outcome not in ('rejected', 'absent'))
        )
        from public.ai_provider_calls as c
        where c.job_id = j.id
      ),
      'timeline', (
        select coalesce(
          jsonb_agg(
            jsonb_build_object(
              'seq', e.seq, 'event', e.event, 'attempt', e.attempt, 'data', e.data, 'created_at', e.created_at
            )
            order by e.seq
          ),
          '[]'
        )
        from (
          select e.* from public.ai_job_events as e where e.job_id = j.id order by e.seq desc limit 500
        ) as e
      ),
      'journal', (
        select coalesce(
          jsonb_agg(to_jsonb(c) - array['job_id', 'user_id', 'price_micros', 'price_units'] order by c.sent_at),
          '[]'
        )
        from (
          select c.* from public.ai_provider_calls as c where c.job_id = j.id order by c.sent_at desc limit 200
        ) as c
      )
    )
    from public.ai_jobs as j
    where j.id = p_job_id
  );
end;
$$;
comment on function public.ops_job(uuid, uuid) is
  'For the console: one job with its costs, the last 500 events of its timeline and the last 200 calls of its journal, '
  'without parameters, input and result. Null: there is no such job. AJ095 for anyone but an operator. service_role '
  'only; security definer because it reads the jobs of all users and schema auth.';
revoke execute on function public.ops_job(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_job(uuid, uuid) to service_role;

create function public.ops_job_payload(p_operator_id uuid, p_job_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_payload jsonb;
begin
  perform private.require_ai_operator(p_operator_id);
  select jsonb_build_object(
    'job_id', j.id, 'input_url', j.input_url, 'metadata', j.metadata, 'output_url', j.output_url,
    'result_data', j.result_data, 'error_message', j.error_message
  ) into v_payload
  from public.ai_jobs as j
  where j.id = p_job_id;
  if v_payload is not null then
    perform private.record_operator_action(p_operator_id, 'read_payload', jsonb_build_object('job_id', p_job_id));
  end if;
  return v_payload;
end;
$$;
comment on function public.ops_job_payload(uuid, uuid) is
  'For the console: parameters, input and result of a job. The access is recorded, with the operator and the time. '
  'Null: there is no such job. AJ095 for anyone but an operator. service_role only; security definer because it reads the '
  'jobs of all users and writes schema private.';
revoke execute on function public.ops_job_payload(uuid, uuid) from public, anon, authenticated;
grant execute on function public.ops_job_payload(uuid, uuid) to service_role;

create function public.ops_parked(p_operator_id uuid, p_limit integer default 100)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return (
    select coalesce(jsonb_agg(to_jsonb(k) order by k.unknown_since, k.call_id), '[]')
    from (
      select k.* from private.ai_parked_jobs as k order by k.unknown_since, k.call_id limit least(greatest(p_limit, 1), 1000)
    ) as k
  );
end;
$$;
comment on function public.ops_parked(uuid, integer) is
  'For the console: the rows of private.ai_parked_jobs that have waited longest, p_limit of them, 1000 at most. AJ095 for '
  'anyone but an operator. service_role only; security definer because the view is in schema private.';
revoke execute on function public.ops_parked(uuid, integer) from public, anon, authenticated;
grant execute on function public.ops_parked(uuid, integer) to service_role;
