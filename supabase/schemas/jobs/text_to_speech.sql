-- The job type text_to_speech: a text is spoken by a voice.

insert into public.ai_job_types (
  job_type, provider, max_attempts, reconcile_seconds, max_age_seconds, is_input_required, input_name, input_buckets,
  input_mime_types, input_max_bytes, stock_voice_ids
) values (
  'text_to_speech', 'elevenlabs', 5,
  -- How late an item may come into the provider's history is not documented.
  180,
  86400,
  false, 'input', '{}', '{}', 1,
  array['21m00Tcm4TlvDq8ikWAM', 'pNInz6obpgDQGcFmaJgB']
);

insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('text_to_speech', 'elevenlabs', 'character', 1000, 100000);
