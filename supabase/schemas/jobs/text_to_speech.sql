-- The job type text_to_speech: a text is spoken by a voice.

insert into public.ai_job_types (
  job_type, provider, max_attempts, reconcile_seconds, max_age_seconds, is_input_required, input_name, input_buckets,
  input_mime_types, input_max_bytes, stock_voice_ids, hooks
) values (
  'text_to_speech', 'elevenlabs', 5,
  -- The provider does not document how late an item may appear in its history.
  180,
  86400,
  false, 'input', '{}', '{}', 1,
  array['21m00Tcm4TlvDq8ikWAM', 'pNInz6obpgDQGcFmaJgB'],
  array['check']
);

insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('text_to_speech', 'elevenlabs', 'character', 1000, 100000);

create function private.check_text_to_speech(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_voice text := p_job.metadata ->> 'voice_id';
  v_dependency text;
begin
  if v_voice is null then
    if p_job.depends_on_job_id is null then
      raise exception 'metadata.voice_id is required unless the job depends on a voice clone'
        using errcode = 'AJ020', detail = 'metadata.voice_id';
    end if;
    select j.job_type into v_dependency from public.ai_jobs as j
    where j.id = p_job.depends_on_job_id and j.user_id = p_job.user_id;
    if v_dependency <> 'voice_clone' then
      raise exception 'depends_on_job_id must name a voice clone unless metadata.voice_id names a voice'
        using errcode = 'AJ020', detail = 'depends_on_job_id';
    end if;
    -- A job that does not exist is refused with the other dependencies.
    return;
  end if;
  if exists (
    select 1 from public.ai_job_types as t where t.job_type = p_job.job_type and v_voice = any (t.stock_voice_ids)
  ) then
    return;
  end if;
  if not exists (
    select 1 from public.voices as v
    where v.id = case when v_voice ~ v_uuid then v_voice::uuid end
      and v.user_id = p_job.user_id
      and v.provider = p_job.provider
  ) then
    raise exception 'metadata.voice_id must name a stock voice or one of your voices'
      using errcode = 'AJ018', detail = 'metadata.voice_id';
  end if;
end;
$$;
comment on function private.check_text_to_speech(public.ai_jobs) is
  'Raises AJ018 unless metadata.voice_id names a stock voice or a voice of the job''s owner; the error is the same for '
  'another user''s voice and for none. A job that depends on a voice clone may leave the voice out; AJ020 if it depends on '
  'none or on another type. Called by private.admit_ai_job, which runs with its owner''s rights, so this function checks '
  'the owner.';
