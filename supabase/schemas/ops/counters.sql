-- Kept counters: what happened, per minute, quarter of an hour, two hours and ever, by job type and provider. Charts,
-- metrics and alerts read these and never the history.
--
-- Every statement that changes jobs or paid calls appends what it did to a queue, in its own transaction, so that the
-- counts are exact under rollbacks and crashes. One fold at a time moves the queue into the counters: the rows
-- that everyone would update are written by one session only, and no job waits for another one's count.

create table private.ai_counter_queue (
  id bigint generated always as identity,
  counted_at timestamptz not null,
  event text not null,
  job_type text not null,
  provider text not null,
  code text not null default '',
  from_status text,
  to_status text,
  slot smallint,
  millis bigint not null default 0,
  micros bigint not null default 0,
  amount bigint not null,
  constraint ai_counter_queue_pkey primary key (id)
)
-- It is emptied every few seconds: dead rows must not pile up.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
comment on table private.ai_counter_queue is
  'What was done and is not yet in private.ai_counters: one row per statement, kind of change and duration. Appended by '
  'statement triggers, emptied by private.fold_ai_counters.';
comment on column private.ai_counter_queue.counted_at is 'Start of the minute in which it happened.';
comment on column private.ai_counter_queue.event is
  'created, deleted, the last_event of a job whose status changed (taken_back when an operator''s answer was), call (the response to a paid call, or the lack of one), '
  'reconciled (its unknown outcome is known now), or revised (its recorded cost was corrected).';
comment on column private.ai_counter_queue.slot is 'private.duration_slot of the wait or the work that ended with this.';
comment on column private.ai_counter_queue.millis is 'Sum of these durations.';
comment on column private.ai_counter_queue.micros is 'Money spent, in millionths of a US dollar.';
comment on column private.ai_counter_queue.amount is 'How many jobs or calls.';
alter table private.ai_counter_queue enable row level security;
revoke all on private.ai_counter_queue from public, anon, authenticated, service_role;

create table private.ai_counters (
  resolution integer not null,
  bucket_at timestamptz not null,
  metric text not null,
  job_type text not null,
  provider text not null,
  code text not null,
  slot smallint not null,
  amount bigint not null,
  constraint ai_counters_pkey primary key (resolution, metric, bucket_at, job_type, provider, code, slot),
  constraint ai_counters_resolution_is_known check (resolution in (0, 60, 900, 7200))
)
-- The buckets of now are written again every few seconds, in place.
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
comment on table private.ai_counters is
  'Counts by time bucket. Each resolution is complete in itself, so that a chart of any range reads at most 120 buckets.';
comment on column private.ai_counters.resolution is 'Seconds in a bucket: 60, 900 or 7200; 0 counts since the beginning.';
comment on column private.ai_counters.bucket_at is 'Start of the bucket; -infinity with resolution 0.';
comment on column private.ai_counters.metric is
  'Jobs: created, cached (created with the result of an earlier job), claimed, completed, failed, cancelled, retried, rescued, '
  'snoozed, released, retry_requested, taken_back. Their durations by slot: pickup (due until claimed), run (first start until '
  'completed), and the sums pickup_millis, run_millis. Paid calls by response, each once: calls, call_time by slot, '
  'call_millis; reconciled: those with an unknown outcome, by their final outcome; spend '
  'in millionths of a US dollar. jobs, with resolution 0 only: how many are pending and processing now.';
comment on column private.ai_counters.code is
  'The error code of failed, retried and rescued; the outcome of calls and reconciled, or unavailable when the provider was '
  'at fault; the status of jobs.';
comment on column private.ai_counters.slot is 'private.duration_slot for metrics of durations, else 0.';
alter table private.ai_counters enable row level security;
revoke all on private.ai_counters from public, anon, authenticated, service_role;

create function private.duration_slot(p_millis bigint)
returns smallint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return least(greatest(ceil(2 * ln(greatest(p_millis, 1) / 10.0::double precision) / ln(2.0::double precision)), 0), 40);
end;
$$;
comment on function private.duration_slot(bigint) is
  'The slot of a duration on a fixed logarithmic scale, two slots to an octave: slot n holds durations of at most '
  '10 × 2^(n/2) milliseconds and more than slot n-1. 0 holds up to 10 ms, 40 everything over about two hours.';

create function private.slot_quantiles(p_slots smallint[], p_amounts bigint[], p_quantiles double precision[])
returns bigint[]
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_total numeric := (select sum(a.amount) from unnest(p_amounts) as a (amount));
  v_quantile double precision;
  v_below numeric;
  v_rank double precision;
  v_results bigint[] := '{}';
begin
  if coalesce(v_total, 0) = 0 then
    return null;
  end if;
  foreach v_quantile in array p_quantiles loop
    v_rank := v_quantile * v_total;
    v_below := 0;
    for i in 1..cardinality(p_slots) loop
      if v_below + p_amounts[i] >= v_rank or i = cardinality(p_slots) then
        v_results := v_results || round(
          10 * power(2, (p_slots[i] - 1 + (v_rank - v_below) / p_amounts[i]) / 2.0::double precision)
        )::bigint;
        exit;
      end if;
      v_below := v_below + p_amounts[i];
    end loop;
  end loop;
  return v_results;
end;
$$;
comment on function private.slot_quantiles(smallint[], bigint[], double precision[]) is
  'Quantiles in milliseconds of durations that are counted by slot (private.duration_slot), slots ascending and amounts '
  'positive. Interpolated on the logarithmic scale within a slot: never further off than a slot is wide, a factor of 1.41. '
  'Null when nothing was counted.';
