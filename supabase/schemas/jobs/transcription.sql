-- The job type transcription: a recording is written down.

insert into public.ai_job_types (
  job_type, provider, max_attempts, reconcile_seconds, max_age_seconds, is_input_required, input_name, input_buckets,
  input_mime_types, input_max_bytes, stock_voice_ids
) values (
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
values ('transcription', 'elevenlabs', 'second', 3600, 220000);
