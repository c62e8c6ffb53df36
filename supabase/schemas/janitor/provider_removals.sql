-- The removal of voices and videos at providers. It removes only what was created here, and nothing that a row names
-- or that a job may still continue with.

create function private.settle_cancelled_call(p_job_id uuid, p_provider text, p_object_type text, p_object_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.status = 'cancelled' for no key update;
  if not found then
    return;
  end if;
  update public.ai_provider_calls as c
  set outcome = case when p_object_id is null then 'absent' else 'adopted' end,
      provider_object_id = p_object_id,
      settled_at = clock_timestamp(),
      discarded_at = clock_timestamp()
  where c.job_id = p_job_id and c.provider = p_provider and c.outcome = 'unknown'
    and c.operation = case
      when p_object_type = 'voice' then 'create_voice'
      else coalesce(
        (select r.operation from private.provider_references as r where r.object_type = p_object_type), p_object_type
      )
    end;
  if not found then
    return;
  end if;
  perform private.record_call_change(p_job_id);
end;
$$;
comment on function private.settle_cancelled_call(uuid, text, text, text) is
  'Settles the open call of a cancelled job once the janitor knows its outcome: the object that it made (by id), which '
  'is removed now, or null for nothing. Also settles its reservation and what the job says about the cost.';

create function private.discard_provider_object(p_provider text, p_object_type text, p_object_id text, p_job_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- Lock first: a job that is retried at this moment either continues with the object or finds it discarded.
  perform 1
  from public.ai_jobs as j
  -- An array, so that the index over ids is used: the table keeps growing.
  where j.id = any (
    array(
      select p_job_id
      union
      select c.job_id
      from public.ai_provider_calls as c
      where c.provider = p_provider and c.provider_object_id = p_object_id
    )
  )
  order by j.id
  for update;
  if private.provider_object_standing(p_provider, p_object_id, p_job_id) in ('named', 'live') then
    return false;
  end if;
  update public.ai_provider_calls as c
  set discarded_at = clock_timestamp()
  where c.provider = p_provider and c.provider_object_id = p_object_id and c.discarded_at is null;
  if p_object_id is not null then
    perform private.settle_cancelled_call(p_job_id, p_provider, p_object_type, p_object_id);
  end if;
  return true;
end;
$$;
comment on function private.discard_provider_object(text, text, text, uuid) is
  'Whether the object may be removed at its provider. If so, the calls that made it are discarded in the same '
  'transaction, so that no job continues with it, and the open call of a cancelled job is settled.';

create function public.claim_provider_removals(p_providers text[], p_limit integer, p_lease_seconds integer default 120)
returns table (
  id bigint,
  lease_token uuid,
  provider text,
  object_type text,
  provider_object_id text,
  marker text,
  made_at timestamptz,
  is_lookup_conclusive boolean
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
  v_grace interval := make_interval(secs => (select s.orphan_grace_seconds from private.janitor_settings as s));
  v_claimed integer := 0;
begin
  for v_removal in
    select r.*
    from private.provider_removals as r
    join public.ai_providers as p on p.provider = r.provider
    where r.done_at is null and r.next_attempt_at <= clock_timestamp() and r.provider = any (p_providers)
      and p.paused_at is null
      -- Normally only a job closes a breaker. If no job has tried, the janitor sends a request instead.
      and (p.breaker_opened_at is null or p.breaker_probe_at <= clock_timestamp() - interval '10 minutes')
    order by r.next_attempt_at
    limit p_limit * 10
    for update of r skip locked
  loop
    exit when v_claimed >= p_limit;
    if not private.discard_provider_object(
      v_removal.provider, v_removal.object_type, v_removal.provider_object_id, v_removal.job_id
    ) then
      update private.provider_removals as r
      set next_attempt_at = clock_timestamp() + interval '1 hour'
      where r.id = v_removal.id;
      continue;
    end if;
    update private.provider_removals as r
    set attempts = r.attempts + 1,
        lease_token = gen_random_uuid(),
        next_attempt_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
    where r.id = v_removal.id
    returning r.lease_token into lease_token;
    id := v_removal.id;
    provider := v_removal.provider;
    object_type := v_removal.object_type;
    provider_object_id := v_removal.provider_object_id;
    marker := v_removal.marker;
    made_at := v_removal.made_at;
    is_lookup_conclusive := v_removal.requested_at <= clock_timestamp() - v_grace;
    v_claimed := v_claimed + 1;
    return next;
  end loop;
end;
$$;
comment on function public.claim_provider_removals(text[], integer, integer) is
  'Leases up to p_limit due removals at these providers, except paused or unavailable ones. An object that a row '
  'names, or that a job may continue with, waits an hour. is_lookup_conclusive: an empty lookup by marker means that '
  'nothing was made. service_role only; security definer because the table is in schema private.';
revoke execute on function public.claim_provider_removals(text[], integer, integer) from public, anon, authenticated;
grant execute on function public.claim_provider_removals(text[], integer, integer) to service_role;

create function public.discard_found_object(p_id bigint, p_lease_token uuid, p_provider_object_id text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
begin
  select * into v_removal
  from private.provider_removals as r
  where r.id = p_id and r.lease_token = p_lease_token and r.done_at is null
  for update;
  if not found then
    return false;
  end if;
  return private.discard_provider_object(
    v_removal.provider, v_removal.object_type, p_provider_object_id, v_removal.job_id
  );
end;
$$;
comment on function public.discard_found_object(bigint, uuid, text) is
  'Whether the object found by a lookup by marker may be removed: the caller still holds the lease, no row names the '
  'object and no job may continue with it. service_role only; security definer because the table is in schema private.';
revoke execute on function public.discard_found_object(bigint, uuid, text) from public, anon, authenticated;
grant execute on function public.discard_found_object(bigint, uuid, text) to service_role;

create function public.settle_provider_removal(
  p_id bigint,
  p_lease_token uuid,
  p_outcome text,
  p_error_code text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removal private.provider_removals;
begin
  update private.provider_removals as r
  set done_at = case when p_outcome in ('removed', 'absent') then clock_timestamp() end,
      outcome = case when p_outcome in ('removed', 'absent') then p_outcome end,
      last_error_code = case when p_outcome = 'failed' then coalesce(p_error_code, 'internal_error') end,
      next_attempt_at = case
        when p_outcome in ('removed', 'absent') then r.next_attempt_at
        else clock_timestamp() + private.removal_pause(r.attempts)
      end,
      lease_token = null
  where r.id = p_id and r.lease_token = p_lease_token and r.done_at is null
  returning r.* into v_removal;
  if not found then
    return false;
  end if;
  if v_removal.done_at is not null then
    delete from private.provider_objects as o
    where o.provider = v_removal.provider and o.object_id = v_removal.provider_object_id;
    if v_removal.provider_object_id is null then
      -- If an object was found, the call is already settled.
      perform private.settle_cancelled_call(v_removal.job_id, v_removal.provider, v_removal.object_type, null);
    end if;
  end if;
  return true;
end;
$$;
comment on function public.settle_provider_removal(bigint, uuid, text, text) is
  'Settles a leased removal: removed (or already gone), absent (the marker finds nothing), looking (not found yet: '
  'look up again later) or failed (retry later). False: another run holds the lease and nothing changed. service_role '
  'only; security definer because the table is in schema private.';
revoke execute on function public.settle_provider_removal(bigint, uuid, text, text) from public, anon, authenticated;
grant execute on function public.settle_provider_removal(bigint, uuid, text, text) to service_role;
