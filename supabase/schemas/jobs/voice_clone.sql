-- The job type voice_clone: a recording becomes a voice.

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

-- An instant clone is part of the plan; what it takes is a place for a voice.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('voice_clone', 'elevenlabs', 'creation', 1, 0);
