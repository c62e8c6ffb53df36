-- Completes jobs together with the rows of their results.

create function private.complete_leased_jobs(p_jobs jsonb)
returns uuid[]
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_done uuid[];
  v_kinds text[];
  v_kind text;
begin
  with done as (
    update public.ai_jobs as j
    set status = 'completed',
        progress_percentage = 100,
        stage = null,
        result_data = b.result_data,
        output_url = b.output_url,
        error_code = null,
        error_message = null,
        lease_token = null,
        lease_expires_at = null,
        completed_at = greatest(clock_timestamp(), j.started_at),
        event_seq = j.event_seq + 1,
        last_event = 'completed'
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, lease_token uuid, result_data jsonb, output_url text)
    where j.id = b.job_id and j.lease_token = b.lease_token
    returning j.id
  )
  select coalesce(array_agg(d.id), '{}') into v_done from done as d;

  select array_agg(distinct coalesce(b.product ->> 'kind', ''))
  into v_kinds
  from jsonb_to_recordset(p_jobs) as b (job_id uuid, product jsonb)
  where b.product is not null and b.job_id = any (v_done);
  if v_kinds is null then
    return v_done;
  end if;
  if exists (
    select 1 from unnest(v_kinds) as n (kind)
    where not exists (select 1 from private.ai_job_products as k where k.kind = n.kind)
  ) then
    raise exception 'the product is of no known kind' using errcode = 'AJ080', detail = 'p_jobs.product.kind';
  end if;

  foreach v_kind in array v_kinds loop
    execute format(
      'select private.%I(j, b.product)
      from jsonb_to_recordset($1) as b (job_id uuid, product jsonb)
      join public.ai_jobs as j on j.id = b.job_id
      where b.job_id = any ($2) and b.product ->> ''kind'' = $3',
      'save_' || v_kind
    )
    using p_jobs, v_done, v_kind;
  end loop;
  return v_done;
end;
$$;
comment on function private.complete_leased_jobs(jsonb) is
  'The work of complete_ai_jobs, for accounts and jobs that it has locked; returns the completed jobs. Security '
  'definer because security definer functions call it.';

create function public.complete_ai_jobs(p_jobs jsonb)
returns table (job_id uuid, error jsonb)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_job jsonb;
  v_code text;
  v_message text;
  v_detail text;
  v_constraint text;
begin
  -- A product belongs to the owner's account. Deleting an account locks it and then its jobs, so it is locked first here.
  perform 1
  from auth.users as u
  where u.id = any (array(
    select j.user_id
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, product jsonb)
    join public.ai_jobs as j on j.id = b.job_id
    where b.product is not null
  ))
  order by u.id
  for key share;
  perform private.lock_leased_ai_jobs(p_jobs);
  begin
    return query select d.id, null::jsonb from unnest(private.complete_leased_jobs(p_jobs)) as d (id);
    return;
  exception when data_exception or integrity_constraint_violation or sqlstate 'AJ080' or sqlstate 'AJ081' then
    null;
  end;
  -- An item cannot be written: repeat them one by one, so that it fails alone.
  for v_job in
    select i.item from jsonb_array_elements(p_jobs) as i (item) order by i.item ->> 'job_id'
  loop
    begin
      return query
      select d.id, null::jsonb from unnest(private.complete_leased_jobs(jsonb_build_array(v_job))) as d (id);
    exception when data_exception or integrity_constraint_violation or sqlstate 'AJ080' or sqlstate 'AJ081' then
      get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_constraint = constraint_name;
      return query
      select (v_job ->> 'job_id')::uuid, private.item_error(v_code, v_message, v_detail, v_constraint);
    end;
  end loop;
end;
$$;
comment on function public.complete_ai_jobs(jsonb) is
  'Completes claimed jobs and writes the rows that their results are, in one commit. p_jobs: [{job_id, lease_token, '
  'result_data, output_url?, product?}], one for each job. One row for each job whose lease is held; a job without a row has '
  'lost it, and nothing changed. product has a kind that is registered in private.ai_job_products, whose function '
  'private.save_<kind> writes the row; owner, job, provider and file come from the job. An item that cannot be written has '
  'error {code, message, details?, constraint?} (AJ080, AJ081, or a constraint), and its job stays as it was; the others are '
  'committed. service_role only; security definer because it locks the owners'' accounts, in schema auth, before the jobs.';
revoke execute on function public.complete_ai_jobs(jsonb) from public, anon, authenticated;
grant execute on function public.complete_ai_jobs(jsonb) to service_role;
