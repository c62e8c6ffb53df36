-- The heartbeat of a worker for all the jobs that it holds.

create function public.heartbeat_ai_jobs(p_beats jsonb)
returns table (job_id uuid, is_cancel_requested boolean)
language plpgsql
volatile
security definer
set search_path = ''
-- The planner expects a hundred beats and would read a table of some thousand rows completely.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  -- If a crash of Postgres shortens a lease, the job is only rescued sooner.
  v_setting constant text := set_config('synchronous_commit', 'off', true);
  v_job_ids constant uuid[] := private.lock_leased_ai_jobs(p_beats);
begin
  return query
  update public.ai_jobs as j
  set lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      -- least() ignores nulls, so a beat without progress would count as 99.
      progress_percentage = greatest(j.progress_percentage, least(coalesce(b.progress, 0), 99)),
      stage = coalesce(b.stage, j.stage),
      event_seq = j.event_seq + (b.progress is not null or b.stage is not null)::integer,
      last_event = case when b.progress is not null or b.stage is not null then 'progress' else j.last_event end
  from jsonb_to_recordset(p_beats) as b (job_id uuid, lease_token uuid, progress integer, stage text),
    public.ai_job_types as t
  where j.id = b.job_id
    and j.id = any (v_job_ids)
    and j.lease_token = b.lease_token
    and t.job_type = j.job_type
  returning j.id, j.cancel_requested_at is not null;
end;
$$;
comment on function public.heartbeat_ai_jobs(jsonb) is
  'For all jobs that a worker holds, in one call: extends their leases and, where given, reports progress (never '
  'backwards, never 100) and stage. p_beats: [{job_id, lease_token, progress?, stage?}]. The worker has lost every job '
  'that is not returned and must stop it. service_role only; security definer for the lock in schema private.';
revoke execute on function public.heartbeat_ai_jobs(jsonb) from public, anon, authenticated;
grant execute on function public.heartbeat_ai_jobs(jsonb) to service_role;
