-- The job type transcription: it transcribes a recording, for a call of the owner if metadata.call_id names one.

insert into public.ai_job_types (
  job_type, provider, max_attempts, reconcile_seconds, max_age_seconds, is_input_required, input_name, input_buckets,
  input_mime_types, input_max_bytes, hooks
) values (
  'transcription', 'elevenlabs', 5, 60,
  -- Long enough for an outage of an hour and a long queue; short enough that a transcript that never arrives does not
  -- keep its job for a day.
  14400,
  true,
  'recording',
  array['recordings', 'uploads', 'voice-samples', 'outputs'],
  array[
    'audio/mpeg', 'audio/wav', 'audio/mp4', 'audio/aac', 'audio/ogg', 'audio/webm', 'audio/flac', 'audio/aiff',
    'audio/3gpp', 'video/mp4', 'video/webm', 'video/quicktime', 'video/3gpp'
  ],
  -- The limit of the bucket. Recordings that take too long for one request are transcribed asynchronously.
  524288000,
  array['check', 'can_reuse']
);

insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('transcription', 'elevenlabs', 'second', 3600, 220000);

create function private.check_transcription(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_call text := p_job.metadata ->> 'call_id';
begin
  if p_job.metadata ? 'call_id' and not exists (
    select 1 from public.calls as c
    where c.id = case when v_call ~ v_uuid then v_call::uuid end and c.user_id = p_job.user_id
  ) then
    raise exception 'metadata.call_id must name one of your calls' using errcode = 'AJ019', detail = 'metadata.call_id';
  end if;
end;
$$;
comment on function private.check_transcription(public.ai_jobs) is
  'Raises AJ019 if metadata.call_id does not name a call of the job''s owner; the error is the same for another '
  'user''s call and for none. Called by private.admit_ai_job, which runs with its owner''s rights, so this function '
  'checks the owner.';

create function private.can_reuse_transcription(p_job public.ai_jobs)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- A call that has since been transcribed again needs this transcript written again.
  select p_job.metadata ->> 'call_id' is null
    or exists (select 1 from public.calls as c where c.user_id = p_job.user_id and c.transcript_job_id = p_job.id);
$$;
comment on function private.can_reuse_transcription(public.ai_jobs) is
  'Whether the call of a completed transcription, if it has one, still has the transcript of this job.';

insert into private.ai_job_products (kind) values ('transcript');

create function private.save_transcript(p_items jsonb, p_job_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_saved integer;
begin
  update public.calls as c
  set transcript = t.transcript,
      transcript_data = t.transcript_data,
      duration_seconds = coalesce(t.duration_seconds, c.duration_seconds),
      transcript_job_id = j.id
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as t (call_id uuid, transcript text, transcript_data jsonb, duration_seconds numeric)
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'transcript'
    and c.id = t.call_id and c.user_id = j.user_id and t.transcript is not null;
  get diagnostics v_saved = row_count;
  -- Two transcripts of one call are fewer rows too, and are then saved one by one. A call that was deleted meanwhile is no
  -- reason to discard a transcript that was paid for.
  if v_saved < (
    select count(*)
    from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
    join public.calls as c on c.id = (i.product ->> 'call_id')::uuid
    where i.job_id = any (p_job_ids) and i.product ->> 'kind' = 'transcript'
  ) then
    raise exception 'the transcript is empty, or its call is another user''s' using errcode = 'AJ081', detail = 'p_product.call_id';
  end if;
end;
$$;
comment on function private.save_transcript(jsonb, uuid[]) is
  'Writes transcripts to their calls (call_id, transcript, transcript_data, duration_seconds). Raises AJ081 when a '
  'transcript is empty or its call is another user''s. A call that was deleted meanwhile gets none. See private.ai_job_products.';
