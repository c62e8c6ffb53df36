-- Checks whether a new job can use an earlier result, and completes a claimed job with it.

create function private.is_ai_job_result_reusable(p_source public.ai_jobs, p_user_id uuid, p_input_hash text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_is_kept boolean;
begin
  if exists (
    select 1 from public.ai_job_types as t where t.job_type = p_source.job_type and 'can_reuse' = any (t.hooks)
  ) then
    execute format('select private.%I($1)', 'can_reuse_' || p_source.job_type) into v_is_kept using p_source;
    if v_is_kept is not true then
      return false;
    end if;
  end if;
  return (
    select coalesce(
      p_source.user_id = p_user_id
      and p_source.input_hash = p_input_hash
      and p_source.status = 'completed'
      and p_source.completed_at > now() - make_interval(secs => t.cache_ttl_seconds)
      and (
        p_source.job_type <> 'voice_clone'
        or exists (
          select 1 from public.voices as v
          where v.user_id = p_user_id and v.id::text = p_source.result_data ->> 'voice_id'
            and v.provider_missing_since is null
        )
      )
      and (
        p_source.output_url is null
        or exists (
          select 1 from storage.objects as o
          where o.bucket_id = split_part(p_source.output_url, '/', 1)
            and o.name = substr(p_source.output_url, strpos(p_source.output_url, '/') + 1)
        )
      )
      and not exists (
        select 1 from private.storage_removals as r
        where r.object_path = p_source.output_url and r.done_at is null
          -- What its owner has deleted is removed as soon as nothing reads it any more.
          and not (r.reason in ('ai_jobs', 'job_leftovers') and private.is_object_referenced(r))
      ),
      false
    )
    from public.ai_job_types as t
    where t.job_type = p_source.job_type
  );
end;
$$;
comment on function private.is_ai_job_result_reusable(public.ai_jobs, uuid, text) is
  'True if the source job is completed, belongs to this owner, has exactly this input, is not older than the type '
  'allows, and its product still exists and will not be removed. This decides, not the cache: a wrong cache entry only costs time.';

create function public.reuse_ai_job_result(p_job_id uuid, p_lease_token uuid, p_source_job_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_source public.ai_jobs;
begin
  select * into v_job from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return false;
  end if;
  -- Otherwise an object that this job has paid for, or may have, would be left at the provider.
  if exists (
    select 1 from public.ai_provider_calls as c
    where c.job_id = p_job_id and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted')
  ) then
    return false;
  end if;
  select * into v_source from public.ai_jobs as j where j.id = p_source_job_id and j.id <> p_job_id;
  if not coalesce(private.is_ai_job_result_reusable(v_source, v_job.user_id, v_job.input_hash), false) then
    return false;
  end if;
  update public.ai_jobs as j
  set status = 'completed',
      progress_percentage = 100,
      stage = null,
      result_data = v_source.result_data,
      output_url = v_source.output_url,
      cached_from_job_id = v_source.id,
      completed_at = greatest(clock_timestamp(), j.started_at),
      lease_token = null,
      lease_expires_at = null,
      error_code = null,
      error_message = null,
      event_seq = j.event_seq + 1,
      last_event = 'completed'
  where j.id = p_job_id;
  return true;
end;
$$;
comment on function public.reuse_ai_job_result(uuid, uuid, uuid) is
  'Completes a claimed job with the result of an earlier equal job of the same owner. False, and nothing changed, if '
  'the lease is lost or the jobs are not equal. service_role only. Security definer because it shares its check, in '
  'schema private, with the intake trigger.';
revoke execute on function public.reuse_ai_job_result(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.reuse_ai_job_result(uuid, uuid, uuid) to service_role;
