-- Completes jobs together with the rows of their results.

create function private.complete_leased_jobs(p_jobs jsonb, p_job_ids uuid[])
returns uuid[]
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_settled uuid[] := '{}';
  v_is_carrying boolean;
  v_done uuid[];
  v_kind text;
  v_is_known boolean;
  v_setting text;
begin
  if jsonb_path_exists(p_jobs, '$[*].call_id') then
    v_settled := private.write_call_outcomes(p_jobs, p_job_ids);
  end if;

  v_is_carrying := cardinality(v_settled) > 0 or jsonb_path_exists(p_jobs, '$[*].report_stage');
  if v_is_carrying then
    v_setting := set_config('private.carried_changes', private.carried_changes(p_jobs), true);
  end if;
  with done as (
    update public.ai_jobs as j
    set status = 'completed',
        progress_percentage = 100,
        stage = null,
        result_data = b.result_data,
        output_url = b.output_url,
        provider_job_id = coalesce(b.provider_object_id, j.provider_job_id),
        spend = coalesce(k.spend, j.spend),
        cost_micros = coalesce(k.cost_micros, j.cost_micros),
        error_code = null,
        error_message = null,
        lease_token = null,
        lease_expires_at = null,
        completed_at = greatest(clock_timestamp(), j.started_at),
        event_seq = j.event_seq + 1 + (k.spend is not null)::integer + (b.report_stage is not null)::integer,
        last_event = 'completed'
    from jsonb_to_recordset(p_jobs) as b (
        job_id uuid, lease_token uuid, result_data jsonb, output_url text, call_id uuid, outcome text,
        provider_object_id text, report_stage text
      )
      left join lateral (
        select
          case
            when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
            when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
            else 'none'
          end as spend,
          coalesce(sum(c.cost_micros), 0) as cost_micros
        from public.ai_provider_calls as c
        where c.job_id = b.job_id
      ) as k on b.job_id = any (v_settled)
    where j.id = b.job_id and j.id = any (p_job_ids) and j.lease_token = b.lease_token
      and (
        b.call_id is null
        -- Settled by this write, or identically before.
        or exists (
          select 1 from public.ai_provider_calls as c
          where c.id = b.call_id and c.job_id = b.job_id and c.outcome = b.outcome
            and c.provider_object_id is not distinct from b.provider_object_id
        )
      )
    returning j.id
  )
  select coalesce(array_agg(d.id), '{}') into v_done from done as d;

  if v_is_carrying then
    v_setting := set_config('private.carried_changes', '', true);
  end if;

  for v_kind, v_is_known in
    select distinct b.product ->> 'kind', k.kind is not null
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, product jsonb)
    left join private.ai_job_products as k on k.kind = b.product ->> 'kind'
    where b.product is not null and b.job_id = any (v_done)
    order by 1
  loop
    if not v_is_known then
      raise exception 'product.kind must be a kind in private.ai_job_products' using errcode = 'AJ080', detail = 'p_jobs.product.kind';
    end if;
    execute format('select private.%I($1, $2)', 'save_' || v_kind) using p_jobs, v_done;
  end loop;

  if jsonb_path_exists(p_jobs, '$[*].cache_seconds') then
    insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
    -- Two equal jobs of one call have one entry.
    select distinct on (j.input_hash)
      'ai_job:' || j.input_hash, j.user_id, jsonb_build_object('job_id', j.id), now() + make_interval(secs => b.cache_seconds)
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, cache_seconds integer)
    join public.ai_jobs as j on j.id = b.job_id
    where b.cache_seconds > 0 and j.id = any (v_done) and j.input_hash is not null
    order by j.input_hash, j.id
    on conflict (cache_key) do update
    set value = excluded.value, expires_at = excluded.expires_at, user_id = excluded.user_id;
  end if;
  return v_done;
end;
$$;
comment on function private.complete_leased_jobs(jsonb, uuid[]) is
  'The work of complete_ai_jobs, for the jobs p_job_ids, which it has locked like their accounts; returns the completed '
  'jobs. Security definer because security definer functions call it.';

create function public.complete_ai_jobs(p_jobs jsonb)
returns table (job_id uuid, error jsonb)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_job jsonb;
  v_job_ids uuid[];
  v_code text;
  v_message text;
  v_detail text;
  v_constraint text;
begin
  -- Products and cache entries refer to the owner's account. Deleting an account locks it and then its jobs, so it is
  -- locked first here.
  perform 1
  from auth.users as u
  where u.id = any (array(
    select j.user_id
    from jsonb_to_recordset(p_jobs) as b (job_id uuid, product jsonb, cache_seconds integer)
    join public.ai_jobs as j on j.id = b.job_id
    where (b.product is not null or b.cache_seconds > 0)
      and j.id = any (array(select i.job_id from jsonb_to_recordset(p_jobs) as i (job_id uuid)))
  ))
  order by u.id
  for key share;
  begin
    -- Locked in here, as in begin_provider_calls.
    return query
    select d.id, null::jsonb
    from unnest(private.complete_leased_jobs(p_jobs, private.lock_leased_ai_jobs(p_jobs))) as d (id);
    return;
  exception when data_exception or integrity_constraint_violation or sqlstate 'AJ080' or sqlstate 'AJ081' then
    null;
  end;
  -- What was locked above is not any more.
  perform private.lock_leased_ai_jobs(p_jobs);
  -- An item cannot be written: repeat them one by one, so that it fails alone. By user, since settlements lock limits.
  for v_job in
    select i.item
    from jsonb_array_elements(p_jobs) as i (item)
    join public.ai_jobs as j on j.id = (i.item ->> 'job_id')::uuid and j.lease_token = (i.item ->> 'lease_token')::uuid
    order by j.user_id, j.id
  loop
    v_job_ids := array[(v_job ->> 'job_id')::uuid];
    begin
      -- In its own block, so that the settlement is kept even if the result cannot be saved.
      if v_job ? 'call_id' then
        perform private.settle_leased_calls(jsonb_build_array(v_job), v_job_ids);
      end if;
      begin
        return query
        select d.id, null::jsonb from unnest(private.complete_leased_jobs(jsonb_build_array(v_job), v_job_ids)) as d (id);
      exception when data_exception or integrity_constraint_violation or sqlstate 'AJ080' or sqlstate 'AJ081' then
        get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
          v_constraint = constraint_name;
        return query
        select (v_job ->> 'job_id')::uuid, private.item_error(v_code, v_message, v_detail, v_constraint);
      end;
    exception when data_exception or integrity_constraint_violation then
      -- The settlement failed, so nothing of the item is written.
      get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_constraint = constraint_name;
      return query
      select (v_job ->> 'job_id')::uuid, private.item_error(v_code, v_message, v_detail, v_constraint);
    end;
  end loop;
end;
$$;
comment on function public.complete_ai_jobs(jsonb) is
  'Completes claimed jobs and writes the rows of their results, in one commit. p_jobs: [{job_id, lease_token, '
  'result_data, output_url?, product?, call_id?, outcome?, provider_object_id?, units?, report_progress?, report_stage?, '
  'cache_seconds?}], one for each job. With call_id, it also settles that call, as settle_provider_calls does. report_progress '
  'and report_stage: a report that no heartbeat has sent yet. cache_seconds: how long the result cache keeps the job. One '
  'row for each job whose lease is held; a job without a row has lost it, or its call was settled differently, and nothing '
  'changed. product has a kind that is registered in private.ai_job_products, whose function private.save_<kind> writes the '
  'rows; owner, job, provider and file come from the job. An item that cannot be written has error {code, message, details?, '
  'constraint?} (AJ080, AJ081, or a constraint), and its job stays as it was, but its call is settled; the others are '
  'committed. service_role only; security definer because it locks the owners'' accounts, in schema auth, before the jobs.';
revoke execute on function public.complete_ai_jobs(jsonb) from public, anon, authenticated;
grant execute on function public.complete_ai_jobs(jsonb) to service_role;
