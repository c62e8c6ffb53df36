-- Limits of cloned voices per user and per project: a clone costs nothing, but the plans of providers allow few.
-- Exact under parallel inserts: inserts of one user wait for the user's row in ai_limits; clones of one provider wait
-- for its advisory lock, which is taken only if the provider has a limit.

create function private.count_user_voices(p_user_id uuid)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select
    (select count(*) from public.voices as v where v.user_id = p_user_id and v.provider_missing_since is null)
    + (
      select count(*) from public.ai_jobs as j
      where j.user_id = p_user_id and j.job_type = 'voice_clone' and j.status in ('pending', 'processing')
    )
    + (
      select count(*)
      from public.ai_provider_calls as c
      join public.ai_jobs as j on j.id = c.job_id
      where c.user_id = p_user_id and c.operation = 'create_voice'
        and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
        and j.status in ('failed', 'cancelled')
    );
$$;
comment on function private.count_user_voices(uuid) is
  'A user''s voices: those at a provider, those that unfinished jobs will create, and those that ended jobs have '
  'created, or may have created, without a row. A deleted voice no longer counts.';

create function private.count_provider_voices(p_provider text)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select
    (select count(*) from public.voices as v where v.provider = p_provider and v.provider_missing_since is null)
    + (
      select count(*) from public.ai_jobs as j
      where j.provider = p_provider and j.job_type = 'voice_clone' and j.status in ('pending', 'processing')
    )
    + (
      select count(*)
      from public.ai_provider_calls as c
      join public.ai_jobs as j on j.id = c.job_id
      where c.provider = p_provider and c.operation = 'create_voice'
        and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted') and c.discarded_at is null
        and j.status in ('failed', 'cancelled')
        and not exists (select 1 from private.provider_removals as r where r.job_id = c.job_id and r.done_at is null)
    )
    + (
      select count(*) from private.provider_removals as r
      where r.provider = p_provider and r.object_type in ('voice', 'create_voice') and r.done_at is null
    );
$$;
comment on function private.count_provider_voices(text) is
  'Voices that count against a provider''s limit: existing ones, those that unfinished jobs will create, those that '
  'ended jobs have created without a row, and those that the janitor has yet to remove.';

create function private.lock_voice_places()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select 1 from public.ai_providers as p where p.provider = new.provider and p.max_voices is not null) then
    perform pg_advisory_xact_lock(hashtextextended('ai_providers.max_voices:' || new.provider, 0));
  end if;
  return new;
end;
$$;
comment on function private.lock_voice_places() is
  'Row trigger: serializes the voice clones of a provider with a limit. It locks before the rows of users are locked, '
  'so that no two transactions lock in opposite order. Security definer because owners may not read the limits of '
  'providers.';

create function private.check_voice_room(p_user_id uuid, p_provider text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_limit integer;
begin
  select coalesce(l.max_voices, d.max_voices) into v_limit
  from public.ai_limits as d
  left join public.ai_limits as l on l.user_id = p_user_id
  where d.user_id is null;
  if v_limit is not null and private.count_user_voices(p_user_id) > v_limit then
    raise exception 'You have reached your limit of % voices. Delete one.', v_limit
      using errcode = 'AJ036', detail = 'user_id';
  end if;
  select p.max_voices into v_limit from public.ai_providers as p where p.provider = p_provider;
  if v_limit is not null and private.count_provider_voices(p_provider) > v_limit then
    raise exception 'All places for voices at the AI provider are taken. Try again later.' using errcode = 'AJ037', detail = 'job_type';
  end if;
end;
$$;
comment on function private.check_voice_room(uuid, text) is
  'Raises AJ036 when the user, and AJ037 when all users together, have more voices than allowed. Security definer '
  'because owners may not read other users'' voices.';

create function private.take_inserted_voice_places()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user record;
begin
  for v_user in
    select i.user_id, i.provider
    from inserted as i
    where i.job_type = 'voice_clone' and i.status in ('pending', 'processing')
    group by i.user_id, i.provider
  loop
    perform private.check_voice_room(v_user.user_id, v_user.provider);
  end loop;
  return null;
end;
$$;
comment on function private.take_inserted_voice_places() is
  'Statement trigger: refuses new voice clones for which there is no room. Security definer because it calls a '
  'security definer function.';

