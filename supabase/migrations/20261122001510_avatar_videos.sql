-- The job type avatar_video: a photo talks. D-ID makes it unless metadata.provider says heygen.

insert into public.ai_job_types (
  job_type, provider, other_providers, max_attempts, max_age_seconds, input_buckets, input_mime_types, input_max_bytes
) values (
  'avatar_video',
  'd-id',
  array['heygen'],
  5,
  -- An outage of an hour, a full plan and a slow render fit in; a render that is never done does not go on for a day.
  14400,
  array['uploads', 'profile-photos'],
  array['image/jpeg', 'image/png'],
  10000000
);
