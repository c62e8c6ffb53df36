-- The key under which a result is cached.

create function public.ai_job_input_hash(
  p_user_id uuid,
  p_job_type text,
  p_input_url text,
  p_metadata jsonb,
  p_input_version text default null
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
-- Planning it again for each job takes four times as long as running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_input_version text := p_input_version;
  v_audio_version text;
begin
  -- The time only where there is no version: Storage's own migrations may update all objects. As a number: as text it would
  -- depend on the caller's time zone.
  if v_input_version is null and p_input_url <> '' then
    select concat_ws(':', coalesce(o.version, concat_ws(':', o.metadata ->> 'eTag', extract(epoch from o.updated_at))), o.id)
    into v_input_version
    from storage.objects as o
    where o.bucket_id = split_part(p_input_url, '/', 1)
      and o.name = substr(p_input_url, strpos(p_input_url, '/') + 1)
      and split_part(o.name, '/', 1) = p_user_id::text;
  end if;
  -- A second object that the parameters name is an input as well.
  if p_metadata ? 'audio_url' then
    select concat_ws(':', coalesce(o.version, concat_ws(':', o.metadata ->> 'eTag', extract(epoch from o.updated_at))), o.id)
    into v_audio_version
    from storage.objects as o
    where o.bucket_id = split_part(p_metadata ->> 'audio_url', '/', 1)
      and o.name = substr(p_metadata ->> 'audio_url', strpos(p_metadata ->> 'audio_url', '/') + 1)
      and split_part(o.name, '/', 1) = p_user_id::text;
  end if;
  -- jsonb's own text form is canonical: keys sorted, doubles removed, spaces fixed.
  return encode(
    sha256(convert_to(
      (jsonb_build_object(
        'user_id', p_user_id,
        'job_type', p_job_type,
        'input_url', nullif(p_input_url, ''),
        'input_version', v_input_version,
        'metadata', p_metadata
      )
      || case when p_metadata ? 'audio_url' then jsonb_build_object('audio_version', v_audio_version) else '{}' end)::text,
      'UTF8'
    )),
    'hex'
  );
end;
$$;
comment on function public.ai_job_input_hash(uuid, text, text, jsonb, text) is
  'SHA-256 (hex) over owner, job type, version of the input object and canonical parameters: the key under which a '
  'result is cached. An empty p_input_url counts as none. p_input_version: that of the input object, if the caller has just '
  'read it as here; otherwise it is looked up. Only objects in the owner''s own folder have a version here: '
  'the intake trigger, which sees every object, stores the hash where its owner reads it. Security invoker: a caller '
  'who cannot see the object gets the hash for no object.';
revoke execute on function public.ai_job_input_hash(uuid, text, text, jsonb, text) from public, anon;
grant execute on function public.ai_job_input_hash(uuid, text, text, jsonb, text) to authenticated, service_role;
