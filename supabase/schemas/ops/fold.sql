-- What moves the appended counts into the buckets, and keeps the buckets in order.

create function private.fold_ai_counters(p_limit integer default 50000)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_until bigint;
  v_written integer;
begin
  -- One at a time, so that no session waits for a row of the counters.
  if not pg_try_advisory_xact_lock(hashtextextended('fold_ai_counters', 0)) then
    return 0;
  end if;
  -- A lower number that commits later is taken by the next fold.
  select max(f.id) into v_until
  from (select q.id from private.ai_counter_queue as q order by q.id limit p_limit) as f;
  with taken as (
    delete from private.ai_counter_queue as q where q.id <= v_until returning q.*
  ),
  counted as (
    select t.counted_at, m.metric, t.job_type, t.provider, m.code, m.slot, sum(m.amount) as amount
    from taken as t
    cross join lateral (values
      (case when t.event = 'call' then 'calls' when t.event not in ('deleted', 'revised') then t.event end,
        t.code, 0::smallint, t.amount),
      (case when t.event = 'created' and t.to_status not in ('pending', 'processing') then t.to_status end,
        t.code, 0, t.amount),
      (case when t.event = 'created' and t.to_status = 'completed' then 'cached' end, '', 0, t.amount),
      (case when t.to_status in ('pending', 'processing') then 'jobs' end, t.to_status, 0, t.amount),
      (case when t.from_status in ('pending', 'processing') then 'jobs' end, t.from_status, 0, -t.amount),
      (case
        when t.slot is null then null
        when t.event = 'call' then 'call_time'
        when t.to_status = 'processing' then 'pickup'
        when t.to_status = 'completed' then 'run'
      end, '', t.slot, t.amount),
      (case
        when t.slot is null then null
        when t.event = 'call' then 'call_millis'
        when t.to_status = 'processing' then 'pickup_millis'
        when t.to_status = 'completed' then 'run_millis'
      end, '', 0, t.millis),
      (case when t.micros <> 0 then 'spend' end, '', 0, t.micros)
    ) as m (metric, code, slot, amount)
    where m.metric is not null
    group by 1, 2, 3, 4, 5, 6
  )
  insert into private.ai_counters as c (resolution, bucket_at, metric, job_type, provider, code, slot, amount)
  select r.resolution,
    case
      when r.resolution = 0 then '-infinity'
      else date_bin(make_interval(secs => r.resolution), n.counted_at, timestamptz '2000-01-01 00:00:00+00')
    end,
    n.metric, n.job_type, n.provider, n.code, n.slot, sum(n.amount)
  from counted as n
  cross join (values (0), (60), (900), (7200)) as r (resolution)
  -- How many jobs there are is a count of now, and not of a time.
  where r.resolution = 0 or n.metric <> 'jobs'
  group by 1, 2, 3, 4, 5, 6, 7
  on conflict (resolution, metric, bucket_at, job_type, provider, code, slot)
  do update set amount = c.amount + excluded.amount;
  get diagnostics v_written = row_count;
  perform private.note_schedule_run('fold');
  return v_written;
end;
$$;
comment on function private.fold_ai_counters(integer) is
  'Moves up to p_limit rows of private.ai_counter_queue into private.ai_counters, run by pg_cron every few seconds. Returns '
  'how many counters it changed; 0 when there was nothing to count, or while another fold runs.';

create function private.prune_ai_counters()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from private.ai_counters as c
  where (c.resolution = 60 and c.bucket_at < now() - interval '3 hours')
    or (c.resolution = 900 and c.bucket_at < now() - interval '2 days')
    or (c.resolution = 7200 and c.bucket_at < now() - interval '15 days');
end;
$$;
comment on function private.prune_ai_counters() is
  'Hourly: removes buckets that no chart shows any more: minutes after three hours, quarters of an hour after two days, two '
  'hours after fifteen days. The counts since the beginning stay.';

create function private.recount_ai_jobs()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- No job changes and no fold runs until this is done, which reads every job that waits or runs.
  lock table public.ai_jobs in share row exclusive mode;
  perform pg_advisory_xact_lock(hashtextextended('fold_ai_counters', 0));
  while exists (select 1 from private.ai_counter_queue) loop
    perform private.fold_ai_counters();
  end loop;
  delete from private.ai_counters as c where c.metric = 'jobs';
  insert into private.ai_counters (resolution, bucket_at, metric, job_type, provider, code, slot, amount)
  select 0, '-infinity', 'jobs', j.job_type, j.provider, j.status, 0, count(*)
  from public.ai_jobs as j
  where j.status in ('pending', 'processing')
  group by j.job_type, j.provider, j.status;
end;
$$;
comment on function private.recount_ai_jobs() is
  'Counts the jobs that wait and run again, for a database whose rows came without the triggers, such as a restored one. '
  'Changes of jobs wait for it.';
