-- Completing a job together with the row that its result is.

create function public.complete_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_result_data jsonb,
  p_output_url text default null,
  p_product jsonb default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
begin
  if p_product is not null then
    -- What is inserted below belongs to the owner's account. Whoever deletes that holds it and wants its jobs, so it is
    -- held before the job.
    perform 1
    from auth.users as u
    where u.id = (select j.user_id from public.ai_jobs as j where j.id = p_job_id)
    for key share;
  end if;
  update public.ai_jobs as j
  set status = 'completed',
      progress_percentage = 100,
      stage = null,
      result_data = p_result_data,
      output_url = p_output_url,
      error_code = null,
      error_message = null,
      lease_token = null,
      lease_expires_at = null,
      completed_at = greatest(clock_timestamp(), j.started_at),
      event_seq = j.event_seq + 1,
      last_event = 'completed'
  where j.id = p_job_id and j.lease_token = p_lease_token
  returning j.* into v_job;
  if not found then
    return false;
  end if;
  if p_product is null then
    return true;
  end if;

  if not exists (select 1 from private.ai_job_products as k where k.kind = p_product ->> 'kind') then
    raise exception 'the product is of no known kind' using errcode = 'AJ080', detail = 'p_product.kind';
  end if;
  execute format('select private.%I($1, $2)', 'save_' || (p_product ->> 'kind')) using v_job, p_product;
  return true;
end;
$$;
comment on function public.complete_ai_job(uuid, uuid, jsonb, text, jsonb) is
  'Completes a claimed job and writes the row that its result is, in one commit. p_product has a kind that is registered in '
  'private.ai_job_products, whose function private.save_<kind> writes the row; owner, job, provider and file come from the '
  'job. A product that cannot be written raises (AJ080, AJ081, or the constraint) and undoes the completion. False: the lease '
  'is lost and nothing changed. service_role only; security definer because it locks the owner''s account, in schema auth, '
  'before the job.';
revoke execute on function public.complete_ai_job(uuid, uuid, jsonb, text, jsonb) from public, anon, authenticated;
grant execute on function public.complete_ai_job(uuid, uuid, jsonb, text, jsonb) to service_role;
