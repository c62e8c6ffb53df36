-- Creates a job in one call of the Data API, for create-ai-job.

create function public.create_ai_job(
  p_job_type text,
  p_metadata jsonb,
  p_input_url text default null,
  p_idempotency_key text default null,
  p_depends_on_job_id uuid default null,
  -- As the column's default, which a value in the insert replaces.
  p_traceparent text default
    '00-' || replace(gen_random_uuid()::text, '-', '') || '-' || left(replace(gen_random_uuid()::text, '-', ''), 16) || '-01',
  p_is_cache_searched boolean default false,
  p_cached_from_job_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_source_id uuid := p_cached_from_job_id;
  v_hash text;
  v_job record;
begin
  -- The input of a dependent job does not exist yet; the claim searches the cache later.
  if p_is_cache_searched and p_depends_on_job_id is null then
    v_hash := public.ai_job_input_hash(v_user_id, p_job_type, p_input_url, p_metadata);
    begin
      v_source_id := (public.get_ai_result_cache('ai_job:' || v_hash) ->> 'job_id')::uuid;
    exception when others then
      -- The cache saves a call of the provider; without it the job is created anyway.
      raise warning 'the result cache was not read: %', sqlerrm;
    end;
  end if;
  insert into public.ai_jobs as j (
    user_id, job_type, input_url, metadata, idempotency_key, depends_on_job_id, traceparent, cached_from_job_id
  )
  values (
    v_user_id, p_job_type, p_input_url, p_metadata, p_idempotency_key, p_depends_on_job_id, p_traceparent, v_source_id
  )
  returning j.id, j.job_type, j.status, j.input_url, j.metadata, j.result_data, j.cached_from_job_id into v_job;
  return to_jsonb(v_job);
end;
$$;
comment on function public.create_ai_job(text, jsonb, text, text, uuid, text, boolean, uuid) is
  'Inserts a job of the caller and returns its id, job_type, status, input_url, metadata, result_data and '
  'cached_from_job_id. With p_is_cache_searched it first searches ai_result_cache for an earlier equal job; otherwise '
  'p_cached_from_job_id may name one. Raises what the insert raises. Security invoker: the insert and the search have '
  'the rights of the caller, under Row Level Security.';
revoke execute on function public.create_ai_job(text, jsonb, text, text, uuid, text, boolean, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.create_ai_job(text, jsonb, text, text, uuid, text, boolean, uuid) to authenticated;
