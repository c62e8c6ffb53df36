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

create function private.check_voice_room(p_user_id uuid, p_max_voices integer, p_providers text[])
returns void
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_provider record;
begin
  if p_max_voices is not null and private.count_user_voices(p_user_id) > p_max_voices then
    raise exception 'You have reached your limit of % voices. Delete one.', p_max_voices
      using errcode = 'AJ036', detail = 'user_id';
  end if;
  for v_provider in
    select p.provider, p.max_voices
    from public.ai_providers as p
    where p.provider = any (p_providers) and p.max_voices is not null
  loop
    if private.count_provider_voices(v_provider.provider) > v_provider.max_voices then
      raise exception 'The project has reached its limit of voices at the AI provider. Try again later.' using errcode = 'AJ037', detail = 'job_type';
    end if;
  end loop;
end;
$$;
comment on function private.check_voice_room(uuid, integer, text[]) is
  'Called under the lock of the quota for voice clones that wait: raises AJ036 when the user has more than p_max_voices '
  'voices (null: no limit), and AJ037 when all users together have more than one of these providers allows. Security '
  'definer because owners may not read other users'' voices.';
