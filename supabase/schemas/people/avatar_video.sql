-- The job type avatar_video: a talking photo. D-ID renders it unless metadata.provider names heygen.

create table private.ai_recording_limits (
  job_type text not null,
  provider text not null,
  mime_types text[] not null,
  max_bytes bigint not null,
  max_seconds integer not null,
  constraint ai_recording_limits_pkey primary key (job_type, provider),
  constraint ai_recording_limits_job_type_fkey foreign key (job_type) references public.ai_job_types (job_type),
  constraint ai_recording_limits_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_recording_limits_max_bytes_in_range check (max_bytes between 1 and 5368709120),
  constraint ai_recording_limits_max_seconds_in_range check (max_seconds between 1 and 86400)
);
comment on table private.ai_recording_limits is
  'Which recordings each provider accepts as the speech of an avatar video. Equal to the limits in _shared/providers. '
  'A job is checked when it is created, before a speech that it depends on is paid for needlessly.';
comment on column private.ai_recording_limits.mime_types is 'Content types by their canonical names.';

create index ai_recording_limits_provider_idx on private.ai_recording_limits (provider);

alter table private.ai_recording_limits enable row level security;
revoke all on private.ai_recording_limits from public, anon, authenticated, service_role;

insert into public.ai_job_types (
  job_type, provider, other_providers, max_attempts, max_age_seconds, input_name, input_buckets, input_mime_types,
  input_max_bytes, hooks
) values (
  'avatar_video',
  'd-id',
  array['heygen'],
  5,
  -- Long enough for an outage of an hour, a full plan and a slow render; short enough that a render that never ends
  -- does not wait for a day.
  14400,
  'photo',
  array['uploads', 'profile-photos'],
  array['image/jpeg', 'image/png'],
  10000000,
  array['check']
);

-- Per second of video. D-ID sells minutes of a plan and publishes no price per second; this is roughly what its plans
-- cost.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('avatar_video', 'd-id', 'second', 1, 20000), ('avatar_video', 'heygen', 'second', 1, 50000);

insert into private.ai_recording_limits (job_type, provider, mime_types, max_bytes, max_seconds)
values
  ('avatar_video', 'd-id', array['audio/mpeg', 'audio/wav', 'audio/mp4', 'audio/flac'], 6000000, 600),
  ('avatar_video', 'heygen', array['audio/mpeg', 'audio/wav'], 15000000, 600);

create function private.spoken_seconds(p_text text)
returns numeric
language sql
immutable
security invoker
set search_path = ''
as $$
  select greatest(1, ceil(
    (
      length(p_text)
      + 2 * length(regexp_replace(p_text, '[^\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]', '', 'g'))
    ) / 12.0
  ));
$$;
comment on function private.spoken_seconds(text) is
  'How long a text lasts when spoken slowly: 12 characters a second; a Chinese, Japanese or Korean character counts as '
  'three. Equal to spokenSeconds in _shared/media/spoken-seconds.ts.';

create function private.check_expected_speech(p_speech public.ai_jobs, p_limits private.ai_recording_limits)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_speed numeric := 1;
  v_format text := coalesce(p_speech.metadata ->> 'output_format', 'mp3_44100_128');
  v_kilobits numeric := coalesce(substring(p_speech.metadata ->> 'output_format' from '_([0-9]{1,3})$')::numeric, 128);
  v_seconds numeric;
  v_smaller text;
begin
  -- A plain insert may contain anything here; a value that is not a number is ignored.
  if jsonb_typeof(p_speech.metadata #> '{settings,speed}') = 'number' then
    v_speed := greatest((p_speech.metadata #>> '{settings,speed}')::numeric, 0.5);
  end if;
  v_seconds := ceil(private.spoken_seconds(coalesce(p_speech.metadata ->> 'text', '')) / v_speed);
  if v_seconds > p_limits.max_seconds then
    raise exception
      'the recording (the speech that this job depends on) will last about % s; % accepts at most % s. Shorten its text to about % characters',
      v_seconds, p_limits.provider, p_limits.max_seconds,
      floor(length(p_speech.metadata ->> 'text') * p_limits.max_seconds / v_seconds)
      using errcode = 'AJ014', detail = 'depends_on_job_id';
  end if;
  if v_seconds * v_kilobits * 125 > p_limits.max_bytes then
    select f.name into v_smaller
    from (values ('mp3_44100_96', 96), ('mp3_44100_64', 64), ('mp3_44100_32', 32)) as f (name, kilobits)
    where v_seconds * f.kilobits * 125 <= p_limits.max_bytes
    order by f.kilobits desc
    limit 1;
    raise exception
      'the recording (the speech that this job depends on) will have about % bytes as %; % accepts at most % bytes. %',
      v_seconds * v_kilobits * 125, v_format, p_limits.provider, p_limits.max_bytes,
      case when v_smaller is null then 'Shorten its text' else format('Create the speech with output_format %s', v_smaller) end
      using errcode = 'AJ014', detail = 'depends_on_job_id';
  end if;
end;
$$;
comment on function private.check_expected_speech(public.ai_jobs, private.ai_recording_limits) is
  'Raises AJ014 when a speech that does not exist yet is likely to be longer or larger than the provider of the video '
  'accepts, and names an output_format that would fit.';

create function private.check_avatar_video(p_job public.ai_jobs)
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

insert into private.ai_job_products (kind) values ('avatar');

create function private.save_avatar(p_items jsonb, p_job_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  -- The voice, photo or slideshow may have been deleted meanwhile. That is no reason to discard a result that was
  -- paid for.
  insert into public.avatars (
    user_id, job_id, voice_id, photo_id, name, provider, provider_video_id, video_url, duration_seconds
  )
  select
    j.user_id, j.id,
    (select o.id from public.voices as o where o.id = a.voice_id and o.user_id = j.user_id),
    (select o.id from public.media as o where o.storage_path = j.input_url and o.user_id = j.user_id),
    a.name, j.provider, a.provider_video_id, j.output_url, a.duration_seconds
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as a (provider_video_id text, name text, voice_id uuid, duration_seconds numeric)
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'avatar'
  order by j.id;
end;
$$;
comment on function private.save_avatar(jsonb, uuid[]) is
  'Writes the avatars that jobs created (provider_video_id, name, voice_id, duration_seconds). See '
  'private.ai_job_products.';
