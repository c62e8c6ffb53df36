-- Shared parts of the functions that handle several jobs in one call.
--
-- These functions list their jobs in an array (j.id = any (v_ids)), and look up calls and events one by one. Otherwise a
-- generic plan, made while the tables are small, may join them by reading a whole index, and stays in use after they
-- have grown.

create function private.lock_leased_ai_jobs(p_items jsonb)
returns uuid[]
language plpgsql
volatile
security definer
set search_path = ''
-- The planner expects a hundred items and would read a table of some thousand rows completely.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  -- Two conditions would be one statement, which is started even for a single item.
  if jsonb_array_length(p_items) > 1 then
    if (select count(*) <> count(distinct i.job_id) from jsonb_to_recordset(p_items) as i (job_id uuid)) then
      raise exception 'each job may occur only once in a call' using errcode = '22023';
    end if;
  end if;
  return array(
    select j.id
    from jsonb_to_recordset(p_items) as b (job_id uuid, lease_token uuid)
    join public.ai_jobs as j on j.id = b.job_id and j.lease_token = b.lease_token
    where j.id = any (array(select i.job_id from jsonb_to_recordset(p_items) as i (job_id uuid)))
    order by j.id
    for no key update of j
  );
end;
$$;
comment on function private.lock_leased_ai_jobs(jsonb) is
  'Locks the jobs of [{job_id, lease_token, …}] whose lease is held, ordered by id, as every function that locks '
  'several jobs does, and returns their ids. Refuses two items of one job (22023). The lock is not stronger than that of '
  'an update, so that inserting a job that depends on one of them does not wait. Security definer because security definer '
  'functions call it.';

create function private.item_error(p_sqlstate text, p_message text, p_detail text, p_constraint text)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'code', p_sqlstate, 'message', p_message, 'details', nullif(p_detail, ''), 'constraint', nullif(p_constraint, '')
  ));
$$;
comment on function private.item_error(text, text, text, text) is
  'The error of one item of a call with several: what the call would have raised for it alone.';
