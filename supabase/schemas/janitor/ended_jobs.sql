-- The deletion of ended jobs: those of an account before it is deleted, and old ones by the janitor.

create function private.first_uuid_v7_at(p_time timestamptz)
returns uuid
language sql
immutable
security invoker
set search_path = ''
as $$
  select (
    overlay(lpad(to_hex(greatest(extract(epoch from p_time) * 1000, 0)::bigint), 12, '0') placing '-' from 9 for 0)
      || '-7000-8000-000000000000'
  )::uuid;
$$;
comment on function private.first_uuid_v7_at(timestamptz) is
  'The least UUID of version 7 with this time, which must be finite: ids that private.uuid_v7 made before are less.';

create function public.delete_ended_ai_jobs(
  p_user_id uuid default null,
  p_ended_before timestamptz default null,
  p_limit integer default 1000
)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_ids uuid[];
begin
  if p_user_id is null and p_ended_before is null then
    raise exception 'give p_user_id, p_ended_before or both' using errcode = '22023';
  end if;
  if not isfinite(p_ended_before) or p_ended_before > clock_timestamp() then
    raise exception 'p_ended_before must be a time in the past' using errcode = '22023', detail = 'p_ended_before';
  end if;
  if p_limit is null or p_limit not between 1 and 10000 then
    raise exception 'p_limit must be between 1 and 10000' using errcode = '22023', detail = 'p_limit';
  end if;
  if p_user_id is not null and not exists (select 1 from auth.users as u where u.id = p_user_id) then
    raise exception 'there is no user %', p_user_id using errcode = 'AJ075', detail = 'p_user_id';
  end if;

  if p_user_id is not null then
    select array_agg(d.id) into v_ids
    from (
      select j.id
      from public.ai_jobs as j
      where j.user_id = p_user_id and j.status in ('completed', 'failed', 'cancelled')
        and j.completed_at < coalesce(p_ended_before, 'infinity')
        and not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
        and not exists (
          select 1 from public.ai_jobs as d where d.depends_on_job_id = j.id and d.status in ('pending', 'processing', 'failed')
        )
      order by j.created_at, j.id
      limit p_limit
      for update skip locked
    ) as d;
  else
    select array_agg(d.id) into v_ids
    from (
      select j.id
      from public.ai_jobs as j
      -- In the order of the primary key, which is that of creation: younger jobs are not read.
      where j.id < private.first_uuid_v7_at(p_ended_before) and j.status in ('completed', 'failed', 'cancelled')
        and j.completed_at < p_ended_before
        and not exists (
          select 1 from public.ai_provider_calls as c where c.job_id = j.id and c.outcome in ('sent', 'unknown')
        )
        and not exists (
          select 1 from public.ai_jobs as d where d.depends_on_job_id = j.id and d.status in ('pending', 'processing', 'failed')
        )
      order by j.id
      limit p_limit
      for update skip locked
    ) as d;
  end if;
  if v_ids is null then
    return 0;
  end if;
  delete from public.ai_jobs as j where j.id = any (v_ids);
  return cardinality(v_ids);
end;
$$;
comment on function public.delete_ended_ai_jobs(uuid, timestamptz, integer) is
  'Deletes up to p_limit ended jobs, the oldest first, and returns how many: those of a user (AJ075 if there is none), those '
  'that ended before a time, or both. Their timelines and journals are deleted with them, and the janitor removes the files '
  'and provider objects that no other row refers to. A job with a paid call of unknown outcome stays, and so does one that a '
  'job depends on which waits, runs, or has failed and may be retried. For the operator; security definer because it reads accounts.';
revoke execute on function public.delete_ended_ai_jobs(uuid, timestamptz, integer) from public, anon, authenticated;
grant execute on function public.delete_ended_ai_jobs(uuid, timestamptz, integer) to service_role;

create function private.prune_ended_ai_jobs(p_limit integer default 2000)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_days constant integer := (select s.ended_job_days from private.janitor_settings as s);
begin
  if v_days is null then
    return 0;
  end if;
  return public.delete_ended_ai_jobs(p_ended_before => now() - make_interval(days => v_days), p_limit => p_limit);
end;
$$;
comment on function private.prune_ended_ai_jobs(integer) is
  'Deletes up to p_limit jobs that ended longer ago than private.janitor_settings.ended_job_days, and returns how many. Null '
  'there deletes none. Runs with the janitor.';
