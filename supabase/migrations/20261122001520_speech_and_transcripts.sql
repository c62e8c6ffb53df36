-- Speech and transcripts: their policy, and what their parameters may refer to. Runs once; locks ai_job_types for a
-- moment.

alter table public.ai_job_types
add column stock_voice_ids text[] not null default '{}',
add constraint ai_job_types_stock_voice_ids_are_complete check (array_position(stock_voice_ids, null) is null);
comment on column public.ai_job_types.stock_voice_ids is
  'The provider''s voices that every user may speak with, by the provider''s ids. Whatever is not listed here must be a '
  'voice of the owner''s own: all users share one account at the provider.';

insert into public.ai_job_types (
  job_type, provider, max_attempts, reconcile_seconds, max_age_seconds, is_input_required, input_name, input_buckets,
  input_mime_types, input_max_bytes, stock_voice_ids
) values
  (
    'text_to_speech', 'elevenlabs', 5,
    -- How late an item may come into the provider's history is not documented.
    180,
    86400,
    false, 'input', '{}', '{}', 1,
    array['21m00Tcm4TlvDq8ikWAM', 'pNInz6obpgDQGcFmaJgB']
  ),
  (
    'transcription', 'elevenlabs', 5, 60,
    -- An outage of an hour and a long queue fit in; a transcript that never comes does not keep its job for a day.
    14400,
    true,
    'recording',
    array['recordings', 'uploads', 'voice-samples', 'outputs'],
    array[
      'audio/mpeg', 'audio/wav', 'audio/mp4', 'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/aiff',
      'audio/3gpp', 'video/mp4', 'video/webm', 'video/quicktime', 'video/3gpp'
    ],
    -- What the bucket takes. What is too long to be waited for is fetched and written down by the provider on its own.
    524288000,
    '{}'
  );

insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values
  ('text_to_speech', 'elevenlabs', 'character', 1000, 100000),
  ('transcription', 'elevenlabs', 'second', 3600, 220000);

create function private.check_ai_job_references(
  p_user_id uuid,
  p_type public.ai_job_types,
  p_metadata jsonb,
  p_depends_on_job_id uuid
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_voice text := p_metadata ->> 'voice_id';
  v_call text := p_metadata ->> 'call_id';
begin
  if p_type.job_type = 'text_to_speech' then
    if v_voice is null and exists (
      select 1 from public.ai_jobs as j
      where j.id = p_depends_on_job_id and j.user_id = p_user_id and j.job_type = 'voice_clone'
    ) then
      return;
    end if;
    if v_voice is null then
      raise exception 'metadata.voice_id is required, or a voice clone that this job depends on' using errcode = 'AJ020', detail = 'metadata.voice_id';
    end if;
    if v_voice <> all (p_type.stock_voice_ids) and not exists (
      select 1 from public.voices as v
      where v.id = case when v_voice ~ v_uuid then v_voice::uuid end
        and v.user_id = p_user_id
        and v.provider = p_type.provider
    ) then
      raise exception 'metadata.voice_id names no voice of yours and no stock voice'
        using errcode = 'AJ018', detail = 'metadata.voice_id';
    end if;
  elsif p_type.job_type = 'transcription' and p_metadata ? 'call_id' then
    if not exists (
      select 1 from public.calls as c
      where c.id = case when v_call ~ v_uuid then v_call::uuid end and c.user_id = p_user_id
    ) then
      raise exception 'metadata.call_id names no call of yours' using errcode = 'AJ019', detail = 'metadata.call_id';
    end if;
  end if;
end;
$$;
comment on function private.check_ai_job_references(uuid, public.ai_job_types, jsonb, uuid) is
  'Raises AJ018 or AJ019 unless the voice or call that the parameters name is the owner''s (or a stock voice); the answer '
  'for another''s is the one for none. Speech that depends on a voice clone may leave the voice out: it is the one that '
  'is made. Called by the intake trigger, which runs as its owner, so that the owner is '
  'checked here.';
