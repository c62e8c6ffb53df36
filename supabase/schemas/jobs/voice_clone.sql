-- The job type voice_clone: creates a voice from a recording.

insert into public.ai_job_types (
  job_type, provider, max_attempts, input_name, input_buckets, input_mime_types, input_max_bytes
) values (
  'voice_clone',
  'elevenlabs',
  5,
  'recording',
  array['voice-samples', 'uploads'],
  array[
    'audio/mpeg', 'audio/wav', 'audio/mp4', 'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/aiff', 'audio/3gpp'
  ],
  10485760
);

-- An instant clone is included in the plan; it occupies a voice slot.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('voice_clone', 'elevenlabs', 'creation', 1, 0);

insert into private.ai_job_products (kind) values ('voice');

create function private.save_voice(p_items jsonb, p_job_ids uuid[])
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
  insert into public.voices (
    id, user_id, job_id, provider, provider_voice_id, name, description, labels, stability, similarity_boost, sample_url
  )
  select
    v.id, j.user_id, j.id, j.provider, v.provider_voice_id, v.name, v.description, coalesce(v.labels, '{}'), v.stability,
    v.similarity_boost, j.input_url
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as v (
    id uuid, provider_voice_id text, name text, description text, labels jsonb, stability numeric, similarity_boost numeric
  )
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'voice'
  order by j.id;
end;
$$;
comment on function private.save_voice(jsonb, uuid[]) is
  'Writes the voices that voice clones created (id, provider_voice_id, name, description, labels, stability, '
  'similarity_boost). See private.ai_job_products.';
