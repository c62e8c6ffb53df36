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

-- Of the video. D-ID sells minutes of a plan and names no price for a second: this is about what its plans come to.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('avatar_video', 'd-id', 'second', 1, 20000), ('avatar_video', 'heygen', 'second', 1, 50000);

create function private.check_avatar_audio()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_url text := new.metadata ->> 'audio_url';
  v_bucket text := split_part(v_url, '/', 1);
  v_name text := substr(v_url, strpos(v_url, '/') + 1);
  v_mime_type text;
begin
  if v_bucket <> all (array['uploads', 'recordings', 'voice-samples', 'outputs'])
    or v_name ~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)' then
    raise exception 'metadata.audio_url must name a recording in your own folder' using
      errcode = 'AJ011', detail = 'metadata.audio_url';
  end if;
  -- Before any look: the answer about another folder must not depend on what is in it.
  if split_part(v_name, '/', 1) is distinct from new.user_id::text then
    raise exception 'metadata.audio_url lies outside your own folder' using
      errcode = 'AJ015', detail = 'metadata.audio_url';
  end if;
  select lower(o.metadata ->> 'mimetype') into v_mime_type
  from storage.objects as o
  where o.bucket_id = v_bucket and o.name = v_name;
  if not found then
    raise exception 'metadata.audio_url names no object' using errcode = 'AJ012', detail = 'metadata.audio_url';
  end if;
  if v_mime_type is null or v_mime_type not like 'audio/%' then
    raise exception 'metadata.audio_url has the content type %, which is no sound', coalesce(v_mime_type, 'unknown')
      using errcode = 'AJ013', detail = 'metadata.audio_url';
  end if;
  return new;
end;
$$;
comment on function private.check_avatar_audio() is
  'Row trigger: the recording that an avatar video shall speak lies in the owner''s folder (AJ015) of a bucket for it '
  '(AJ011), exists (AJ012) and was uploaded as sound (AJ013). After ai_jobs_admit, which has made sure of the owner. '
  'Security definer because it is asked for jobs that the service inserts as well.';

create trigger ai_jobs_check_avatar_audio
before insert on public.ai_jobs
for each row when (new.job_type = 'avatar_video' and new.metadata ? 'audio_url')
execute function private.check_avatar_audio();
