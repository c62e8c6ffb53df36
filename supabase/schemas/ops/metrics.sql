-- What the Edge Functions health and metrics read.

create view private.ai_provider_standing
with (security_invoker = true)
as
select
  p.provider,
  t.state,
  p.paused_at,
  t.failures_in_a_row,
  t.last_error_code,
  p.breaker_threshold,
  t.open_since,
  t.next_probe_at,
  t.failed_probes,
  p.max_concurrent,
  q.running,
  q.waiting,
  q.scheduled,
  coalesce(h.calls, 0)::bigint as calls_last_hour,
  coalesce(h.failed_calls, 0)::bigint as failed_calls_last_hour,
  coalesce(h.spent_micros, 0)::bigint as spent_micros_last_hour,
  coalesce(s.spent_micros, 0)::bigint as spent_micros_last_day,
  p.budget_micros,
  b.spent_micros as spent_micros_this_month,
  b.reserved_micros
from public.ai_providers as p
-- Of its columns only these are computed; its counts of jobs read the jobs.
join private.ai_provider_states as t on t.provider = p.provider
join private.ai_provider_budgets as b on b.provider = p.provider
join private.ai_provider_queues as q on q.provider = p.provider
left join (
  select c.provider,
    sum(c.amount) filter (where c.metric = 'calls') as calls,
    sum(c.amount) filter (where c.metric = 'calls' and c.code = 'unavailable') as failed_calls,
    sum(c.amount) filter (where c.metric = 'spend') as spent_micros
  from private.ai_counters as c
  where c.resolution = 60 and c.metric in ('calls', 'spend') and c.bucket_at > now() - interval '1 hour'
  group by c.provider
) as h on h.provider = p.provider
left join (
  select c.provider, sum(c.amount) as spent_micros
  from private.ai_counters as c
  where c.resolution = 900 and c.metric = 'spend' and c.bucket_at > now() - interval '1 day'
  group by c.provider
) as s on s.provider = p.provider;
comment on view private.ai_provider_standing is
  'Each provider with its breaker, what runs, may run, waits and is scheduled for later, calls and failures of the last '
  'hour, and money; counted, so that it is as quick with a million jobs as with ten. Money in millionths of a US dollar. For the operator.';
revoke all on private.ai_provider_standing from public, anon, authenticated, service_role;

create function public.read_ai_health()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return private.check_ai_health();
end;
$$;
comment on function public.read_ai_health() is
  'private.check_ai_health for the Edge Function health. service_role only; security definer because it reads schemas private, '
  'net, cron and vault.';
revoke execute on function public.read_ai_health() from public, anon, authenticated;
grant execute on function public.read_ai_health() to service_role;

create function public.read_ai_metrics()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'health', private.check_ai_health(),
    'sweep_age_seconds', (
      select extract(epoch from statement_timestamp() - r.last_run_at) from private.ai_schedule_runs as r where r.name = 'sweep'
    ),
    'janitor_age_seconds', (
      select extract(epoch from statement_timestamp() - r.last_run_at) from private.ai_schedule_runs as r where r.name = 'janitor'
    ),
    'counters', (
      select coalesce(
        jsonb_agg(jsonb_build_object(
          'metric', c.metric, 'job_type', c.job_type, 'provider', c.provider, 'code', c.code, 'slot', c.slot,
          'amount', c.amount
        )),
        '[]'
      )
      from private.ai_counters as c
      where c.resolution = 0 and c.bucket_at = '-infinity'
    ),
    'providers', (
      select coalesce(jsonb_agg(to_jsonb(p) order by p.provider), '[]') from private.ai_provider_standing as p
    )
  );
end;
$$;
comment on function public.read_ai_metrics() is
  'What the Edge Function metrics prints: the counts since the beginning, the health and the providers. No user is in it. '
  'service_role only; security definer because it reads schema private.';
revoke execute on function public.read_ai_metrics() from public, anon, authenticated;
grant execute on function public.read_ai_metrics() to service_role;
