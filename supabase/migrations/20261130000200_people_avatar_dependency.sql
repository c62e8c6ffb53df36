-- An avatar video that speaks the output of another job is refused unless that job is a speech. Before, the film of another
-- avatar video was accepted as its recording, and paid for. A voice of public.voices, which the provider does not have, is
-- refused, too. Replaces a function; locks no table.

create or replace function private.check_avatar_video(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_voice constant text := p_job.metadata ->> 'voice_id';
  v_limits private.ai_recording_limits;
  v_speech public.ai_jobs;
begin
  if exists (
    select 1 from public.voices as v where v.id = case when v_voice ~ v_uuid then v_voice::uuid end and v.user_id = p_job.user_id
  ) then
    raise exception 'metadata.voice_id must be a voice of the provider; to use one of your voices, depend on a text_to_speech job'
      using errcode = 'AJ020', detail = 'metadata.voice_id';
  end if;
  if not p_job.metadata ? 'audio_url' and (p_job.depends_on_job_id is null or p_job.metadata ? 'text') then
    return;
  end if;
  select * into v_limits from private.ai_recording_limits as l
  where l.job_type = p_job.job_type and l.provider = p_job.provider;
  if p_job.metadata ? 'audio_url' then
    perform private.check_ai_job_object(
      p_job.user_id, coalesce(p_job.metadata ->> 'audio_url', ''), 'the recording (metadata.audio_url)', 'metadata.audio_url',
      p_job.provider, array['uploads', 'recordings', 'voice-samples', 'outputs'], v_limits.mime_types, v_limits.max_bytes
    );
    return;
  end if;
  select * into v_speech from public.ai_jobs as j
  where j.id = p_job.depends_on_job_id and j.user_id = p_job.user_id;
  if not found then
    -- Refused with the other dependencies.
    return;
  end if;
  if v_speech.job_type <> 'text_to_speech' then
    raise exception 'depends_on_job_id must name a text_to_speech job unless metadata has text or audio_url'
      using errcode = 'AJ020', detail = 'depends_on_job_id';
  end if;
  if v_speech.status <> 'completed' then
    perform private.check_expected_speech(v_speech, v_limits);
    return;
  end if;
  perform private.check_ai_job_object(
    p_job.user_id, coalesce(v_speech.output_url, ''), 'the recording (the speech that this job depends on)', 'depends_on_job_id',
    p_job.provider, array['outputs'], v_limits.mime_types, v_limits.max_bytes
  );
  if jsonb_typeof(v_speech.result_data -> 'duration_seconds') = 'number'
    and (v_speech.result_data ->> 'duration_seconds')::numeric > v_limits.max_seconds then
    raise exception 'the recording (the speech that this job depends on) lasts % s; % accepts at most % s',
      v_speech.result_data ->> 'duration_seconds', p_job.provider, v_limits.max_seconds
      using errcode = 'AJ014', detail = 'depends_on_job_id';
  end if;
end;
$$;
comment on function private.check_avatar_video(public.ai_jobs) is
  'Checks the recording of an avatar video: it is in the owner''s folder (AJ015) of a bucket for recordings (AJ011), '
  'exists (AJ012), and has a type (AJ013) and size (AJ014) that the job''s provider accepts. A speech that the job '
  'depends on is checked in the same way or, until it exists, estimated from its text. Raises AJ020 if that job is no '
  'speech, and if the voice is one of public.voices, which the provider does not have. Called by private.admit_ai_job '
  'after it has checked the owner and chosen the provider.';
