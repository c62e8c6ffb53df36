-- The outcome of paid calls.

create function private.write_call_outcomes(p_items jsonb, p_job_ids uuid[])
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
  v_settled uuid[];
begin
  if jsonb_path_exists(p_items, '$[*] ? (@.outcome == "adopted")') then
    -- Equal speeches have no marker of their job: two lookups may find the same one.
    perform pg_advisory_xact_lock(hashtextextended('provider_object:' || k.provider || ':' || k.object_id, 0))
    from (
      select distinct c.provider, b.provider_object_id as object_id
      from jsonb_to_recordset(p_items) as b (job_id uuid, call_id uuid, outcome text, provider_object_id text)
      join public.ai_provider_calls as c on c.id = b.call_id and c.job_id = b.job_id
      where b.outcome = 'adopted' and b.provider_object_id is not null
      order by 1, 2
    ) as k;
    if exists (
      select 1
      from jsonb_to_recordset(p_items) as b (job_id uuid, call_id uuid, outcome text, provider_object_id text)
      join public.ai_provider_calls as c on c.id = b.call_id and c.job_id = b.job_id
      where b.outcome = 'adopted' and (
        exists (
          select 1 from public.ai_provider_calls as o
          where o.provider = c.provider and o.provider_object_id = b.provider_object_id
            and (o.job_id <> c.job_id or o.operation <> c.operation)
        ) or exists (
          select 1
          from jsonb_to_recordset(p_items) as i (job_id uuid, call_id uuid, outcome text, provider_object_id text)
          join public.ai_provider_calls as o on o.id = i.call_id and o.job_id = i.job_id
          where i.outcome = 'adopted' and o.provider = c.provider and i.provider_object_id = b.provider_object_id
            and o.id <> c.id
        )
      )
    ) then
      raise exception 'another call has created this object' using errcode = 'AJ098', detail = 'provider_object_id';
    end if;
  end if;
  with settled as (
    update public.ai_provider_calls as c
    set outcome = b.outcome,
        provider_object_id = b.provider_object_id,
        http_status = b.http_status,
        error_code = b.error_code,
        units = coalesce(b.units, c.units),
        settled_at = case when b.outcome = 'unknown' then null else clock_timestamp() end
    from jsonb_to_recordset(p_items) as b (
        job_id uuid, lease_token uuid, call_id uuid, outcome text, provider_object_id text, http_status integer,
        error_code text, units bigint
      )
      join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    where c.id = b.call_id and c.job_id = b.job_id and c.job_id = any (p_job_ids) and j.id = any (p_job_ids)
      and (c.outcome = 'sent' or (c.outcome = 'unknown' and b.outcome is distinct from 'unknown'))
    returning c.job_id
  )
  select coalesce(array_agg(s.job_id), '{}') into v_settled from settled as s;
  return v_settled;
end;
$$;
comment on function private.write_call_outcomes(jsonb, uuid[]) is
  'Writes the outcome of open calls into the journal, for the jobs p_job_ids, which the caller has locked, and returns those '
  'whose call was open. Raises AJ098 for a call that adopts what another step or job has recorded or adopts too. Security '
  'definer because security definer functions call it.';

create function private.settle_leased_calls(p_calls jsonb, p_job_ids uuid[])
returns table (job_id uuid, is_settled boolean)
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
  v_settled uuid[] := private.write_call_outcomes(p_calls, p_job_ids);
begin
  if cardinality(v_settled) > 0 then
    update public.ai_jobs as j
    set progress_percentage = greatest(j.progress_percentage, b.progress),
        provider_job_id = coalesce(b.provider_object_id, j.provider_job_id),
        spend = k.spend,
        cost_micros = k.cost_micros,
        lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
        event_seq = j.event_seq + 1,
        last_event = 'settled'
    from jsonb_to_recordset(p_calls) as b (job_id uuid, provider_object_id text, progress integer)
      cross join lateral (
        select
          case
            when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
            when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
            else 'none'
          end as spend,
          coalesce(sum(c.cost_micros), 0) as cost_micros
        from public.ai_provider_calls as c
        where c.job_id = b.job_id
      ) as k,
      public.ai_job_types as t
    where b.job_id = any (v_settled) and j.id = any (v_settled) and j.id = b.job_id and t.job_type = j.job_type;
  end if;

  if cardinality(v_settled) = jsonb_array_length(p_calls) then
    return query select s.id, true from unnest(v_settled) as s (id);
    return;
  end if;
  return query
  select
    j.id,
    j.id = any (v_settled) or exists (
      -- Already settled in the same way; the response was lost.
      select 1 from public.ai_provider_calls as c
      where c.id = b.call_id and c.job_id = b.job_id and c.outcome = b.outcome
        and c.provider_object_id is not distinct from b.provider_object_id
    )
  from jsonb_to_recordset(p_calls)
    as b (job_id uuid, lease_token uuid, call_id uuid, outcome text, provider_object_id text)
  join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
  where j.id = any (p_job_ids);
end;
$$;
comment on function private.settle_leased_calls(jsonb, uuid[]) is
  'The work of settle_provider_calls, for the jobs p_job_ids, which it has locked. Security definer because security definer '
  'functions call it.';

create function public.settle_provider_calls(p_calls jsonb)
returns table (job_id uuid, is_settled boolean, error jsonb)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_call jsonb;
  v_code text;
  v_message text;
  v_detail text;
  v_constraint text;
begin
  begin
    -- Only the holder of the lease settles, and no other worker can take the job over in between. Locked in here, as in
    -- begin_provider_calls.
    return query
    select r.*, null::jsonb from private.settle_leased_calls(p_calls, private.lock_leased_ai_jobs(p_calls)) as r;
    return;
  exception when data_exception or integrity_constraint_violation or sqlstate 'AJ098' then
    null;
  end;
  -- What was locked above is not any more.
  perform private.lock_leased_ai_jobs(p_calls);
  -- An item cannot be written: repeat them one by one, so that it fails alone. Ordered by user, as limits are locked.
  for v_call in
    select i.item
    from jsonb_array_elements(p_calls) as i (item)
    join public.ai_jobs as j on j.id = (i.item ->> 'job_id')::uuid and j.lease_token = (i.item ->> 'lease_token')::uuid
    order by j.user_id, j.id
  loop
    begin
      return query
      select r.*, null::jsonb from private.settle_leased_calls(
        jsonb_build_array(v_call), array[(v_call ->> 'job_id')::uuid]
      ) as r;
    exception when data_exception or integrity_constraint_violation or sqlstate 'AJ098' then
      get stacked diagnostics v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_constraint = constraint_name;
      return query
      select (v_call ->> 'job_id')::uuid, false, private.item_error(v_code, v_message, v_detail, v_constraint);
    end;
  end loop;
end;
$$;
comment on function public.settle_provider_calls(jsonb) is
  'Writes the outcome and cost of journalled calls, and the provider''s ids of what they created onto their jobs, in '
  'one commit. p_calls: [{job_id, lease_token, call_id, outcome, provider_object_id?, http_status?, error_code?, '
  'progress?, units?}], one for each job; without units the estimate counts. One row for each job whose lease is held; '
  'a job without a row has lost it. is_settled is true, and nothing changes, for a repeated settlement; false, and '
  'nothing changes, for a call that was settled differently. An item that cannot be written has error {code, message, '
  'details?, constraint?} and changes nothing; the others are committed. service_role only; security definer for its '
  'parts in schema private.';
revoke execute on function public.settle_provider_calls(jsonb) from public, anon, authenticated;
grant execute on function public.settle_provider_calls(jsonb) to service_role;
