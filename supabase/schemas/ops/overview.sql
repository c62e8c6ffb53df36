-- What the console shows of the whole: numbers, charts, failures, providers, budgets.

create function public.ops_overview(p_operator_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_health jsonb;
begin
  perform private.require_ai_operator(p_operator_id);
  v_health := private.check_ai_health();
  return v_health || (
    select jsonb_build_object(
      'waiting', coalesce(sum((q.entry ->> 'waiting')::bigint), 0),
      'scheduled', coalesce(sum((q.entry ->> 'scheduled')::bigint), 0),
      'running', coalesce(sum((q.entry ->> 'running')::bigint), 0)
    )
    from jsonb_array_elements(v_health -> 'queue') as q (entry)
  ) || (
    select jsonb_build_object(
      'completed_last_hour', coalesce(sum(c.amount) filter (where c.metric = 'completed'), 0),
      'failed_last_hour', coalesce(sum(c.amount) filter (where c.metric = 'failed'), 0),
      'spent_micros_last_hour', coalesce(sum(c.amount) filter (where c.metric = 'spend'), 0)
    )
    from private.ai_counters as c
    where c.resolution = 60 and c.bucket_at > statement_timestamp() - interval '1 hour'
      and c.metric in ('completed', 'failed', 'spend')
  );
end;
$$;
comment on function public.ops_overview(uuid) is
  'For the console: private.check_ai_health with the jobs that wait, are scheduled for later and run, and what ended and was '
  'spent in the last hour. Counted, at most some seconds old. AJ095 for anyone but an operator. service_role only; security definer because it '
  'reads schema private.';
revoke execute on function public.ops_overview(uuid) from public, anon, authenticated;
grant execute on function public.ops_overview(uuid) to service_role;

create function private.ai_chart_range(p_range text)
returns table (resolution integer, buckets integer)
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  case p_range
    when '1h' then return query select 60, 60;
    when '24h' then return query select 900, 96;
    when '7d' then return query select 7200, 84;
    else raise exception 'there is no range %; use 1h, 24h or 7d', p_range using errcode = '22023';
  end case;
end;
$$;
comment on function private.ai_chart_range(text) is 'The resolution in seconds, and the number of buckets, of a chart.';

create function private.ai_charts(p_range text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_resolution integer;
  v_buckets integer;
  v_step interval;
  v_last timestamptz;
  v_first timestamptz;
begin
  select r.resolution, r.buckets into v_resolution, v_buckets from private.ai_chart_range(p_range) as r;
  v_step := make_interval(secs => v_resolution);
  v_last := date_bin(v_step, statement_timestamp(), timestamptz '2000-01-01 00:00:00+00');
  v_first := v_last - (v_buckets - 1) * v_step;
  return (
    with counts as materialized (
      select c.bucket_at, c.metric, c.job_type, c.slot, sum(c.amount) as amount
      from private.ai_counters as c
      where c.resolution = v_resolution and c.bucket_at >= v_first
        and c.metric in ('created', 'completed', 'failed', 'cancelled', 'spend', 'pickup', 'run')
      group by 1, 2, 3, 4
    ),
    totals as (
      select c.bucket_at,
        coalesce(sum(c.amount) filter (where c.metric = 'created'), 0) as created,
        coalesce(sum(c.amount) filter (where c.metric = 'completed'), 0) as completed,
        coalesce(sum(c.amount) filter (where c.metric = 'failed'), 0) as failed,
        coalesce(sum(c.amount) filter (where c.metric = 'cancelled'), 0) as cancelled,
        coalesce(sum(c.amount) filter (where c.metric = 'spend'), 0) as spent_micros
      from counts as c
      where c.metric not in ('pickup', 'run')
      group by 1
    ),
    slots as (
      select c.bucket_at, c.metric, case when c.metric = 'run' then c.job_type end as job_type, c.slot,
        sum(c.amount) as amount
      from counts as c
      where c.metric in ('pickup', 'run')
      group by 1, 2, 3, 4
      having sum(c.amount) > 0
    ),
    durations as (
      select s.bucket_at, s.metric, s.job_type, sum(s.amount) as amount,
        private.slot_quantiles(
          array_agg(s.slot order by s.slot), array_agg(s.amount::bigint order by s.slot), array[0.5, 0.95]
        ) as quantiles
      from slots as s
      group by 1, 2, 3
    ),
    runs as (
      select d.bucket_at,
        jsonb_agg(
          jsonb_build_object(
            'job_type', d.job_type, 'count', d.amount, 'p50_ms', d.quantiles[1], 'p95_ms', d.quantiles[2]
          )
          order by d.job_type
        ) as runs
      from durations as d
      where d.metric = 'run'
      group by 1
    )
    select jsonb_build_object(
      'range', p_range,
      'step_seconds', v_resolution,
      'buckets', jsonb_agg(
        jsonb_build_object(
          'at', b.bucket_at,
          'created', coalesce(t.created, 0),
          'completed', coalesce(t.completed, 0),
          'failed', coalesce(t.failed, 0),
          'cancelled', coalesce(t.cancelled, 0),
          'spent_micros', coalesce(t.spent_micros, 0),
          'pickup', case
            when p.bucket_at is not null
              then jsonb_build_object('count', p.amount, 'p50_ms', p.quantiles[1], 'p95_ms', p.quantiles[2])
          end,
          'run', coalesce(r.runs, '[]')
        )
        order by b.bucket_at
      )
    )
    from generate_series(v_first, v_last, v_step) as b (bucket_at)
    left join totals as t on t.bucket_at = b.bucket_at
    left join durations as p on p.bucket_at = b.bucket_at and p.metric = 'pickup'
    left join runs as r on r.bucket_at = b.bucket_at
  );
end;
$$;
comment on function private.ai_charts(text) is
  'The last hour, day or week (1h, 24h, 7d) as 60, 96 or 84 buckets, the last of them not over yet: {range, step_seconds, '
  'buckets: [{at, created, completed, failed, cancelled, spent_micros, pickup: {count, p50_ms, p95_ms} | null, run: '
  '[{job_type, count, p50_ms, p95_ms}]}]}. From the counters alone.';

create function public.ops_charts(p_operator_id uuid, p_range text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_ai_operator(p_operator_id);
  return private.ai_charts(p_range);
end;
$$;
comment on function public.ops_charts(uuid, text) is
  'For the console: private.ai_charts. AJ095 for anyone but an operator. service_role only; security definer because the '
  'counters are in schema private.';
revoke execute on function public.ops_charts(uuid, text) from public, anon, authenticated;
grant execute on function public.ops_charts(uuid, text) to service_role;

create function public.ops_failures(p_operator_id uuid, p_range text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_resolution integer;
  v_buckets integer;
begin
  perform private.require_ai_operator(p_operator_id);
  select r.resolution, r.buckets into v_resolution, v_buckets from private.ai_chart_range(p_range) as r;
  return (
    with failures as (
      select c.code, c.job_type, c.provider, sum(c.amount) as amount, min(c.bucket_at) as first_at,
        max(c.bucket_at) as last_at
      from private.ai_counters as c
      where c.resolution = v_resolution and c.metric = 'failed'
        and c.bucket_at > statement_timestamp() - v_buckets * make_interval(secs => v_resolution)
      group by 1, 2, 3
    ),
    -- Bounded, so that the cost does not depend on the size of the table: codes that are not among these rows have no sample.
    newest as (
      select j.id, j.error_code, j.error_message, j.job_type, j.provider, j.completed_at
      from public.ai_jobs as j
      where j.status = 'failed'
      order by j.completed_at desc
      limit 1000
    ),
    samples as (
      select distinct on (n.error_code, n.job_type, n.provider)
        n.id, n.error_code, n.error_message, n.job_type, n.provider
      from newest as n
      order by n.error_code, n.job_type, n.provider, n.completed_at desc
    )
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'error_code', f.code,
          'job_type', f.job_type,
          'provider', f.provider,
          'count', f.amount,
          'first_at', f.first_at,
          'last_at', f.last_at,
          'sample_job_id', s.id,
          'sample_message', s.error_message
        )
        order by f.amount desc, f.code, f.job_type, f.provider
      ),
      '[]'
    )
    from failures as f
    left join samples as s on s.error_code = f.code and s.job_type = f.job_type and s.provider = f.provider
  );
end;
$$;
comment on function public.ops_failures(uuid, text) is
  'For the console: how often jobs failed in the range (one that is retried and fails again counts again), by code, job '
  'type and provider, with the buckets in which the first and the last did, and one of the newest thousand failed jobs as a sample. AJ095 for anyone but an operator. '
  'service_role only; security definer because the counters are in schema private.';
revoke execute on function public.ops_failures(uuid, text) from public, anon, authenticated;
grant execute on function public.ops_failures(uuid, text) to service_role;

create function public.ops_providers(p_operator_id uuid)
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
      'checked_at', statement_timestamp(), 'providers', coalesce(jsonb_agg(to_jsonb(p) order by p.provider), '[]')
    )
    from private.ai_provider_standing as p
  );
end;
$$;
comment on function public.ops_providers(uuid) is
  'For the console: private.ai_provider_standing, and when that was. AJ095 for anyone but an operator. service_role only; security definer '
  'because the view is in schema private.';
revoke execute on function public.ops_providers(uuid) from public, anon, authenticated;
grant execute on function public.ops_providers(uuid) to service_role;

create function public.ops_budgets(
  p_operator_id uuid,
  p_limit integer default 50,
  p_after_spent_micros bigint default null,
  p_after_user_id uuid default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_month date := date_trunc('month', statement_timestamp() at time zone 'UTC')::date;
begin
  perform private.require_ai_operator(p_operator_id);
  return jsonb_build_object(
    'month', v_month,
    'default_budget_micros', (select d.budget_micros from public.ai_limits as d where d.user_id is null),
    'providers', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'provider', b.provider, 'budget_micros', b.budget_micros, 'spent_micros', b.spent_micros,
            'reserved_micros', b.reserved_micros, 'remaining_micros', b.remaining_micros
          )
          order by b.provider
        ),
        '[]'
      )
      from private.ai_provider_budgets as b
    ),
    'users', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'user_id', s.user_id, 'email', u.email, 'budget_micros', s.budget_micros, 'spent_micros', s.spent_micros,
            'reserved_micros', s.reserved_micros, 'is_paused', s.paused_at is not null
          )
          order by s.spent_micros desc, s.user_id
        ),
        '[]'
      )
      from (
        select m.*
        from (
          select l.user_id, l.budget_micros, l.reserved_micros, l.paused_at,
            case when l.budget_month >= v_month then l.spent_micros else 0 end as spent_micros
          from public.ai_limits as l
          where l.user_id is not null
        ) as m
        where p_after_spent_micros is null
          or m.spent_micros < p_after_spent_micros
          or (m.spent_micros = p_after_spent_micros and m.user_id > p_after_user_id)
        order by m.spent_micros desc, m.user_id
        limit least(greatest(p_limit, 1), 101)
      ) as s
      left join auth.users as u on u.id = s.user_id
    )
  );
end;
$$;
comment on function public.ops_budgets(uuid, integer, bigint, uuid) is
  'For the console: budgets, spend and reservations of this month (UTC) by provider, and by user, those who spent most '
  'first; the next page begins after the last one''s spent_micros and user_id. In millionths of a US dollar. AJ095 for '
  'anyone but an operator. service_role only; security definer because it reads schemas private and auth.';
revoke execute on function public.ops_budgets(uuid, integer, bigint, uuid) from public, anon, authenticated;
grant execute on function public.ops_budgets(uuid, integer, bigint, uuid) to service_role;
