-- Completing a job together with the row that its result is.

create function public.complete_ai_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_result_data jsonb,
  p_output_url text default null,
  p_product jsonb default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
begin
  if p_product is not null then
    -- What is inserted below belongs to the owner's account. Whoever deletes that holds it and wants its jobs, so it is
    -- held before the job.
    perform 1
    from auth.users as u
    where u.id = (select j.user_id from public.ai_jobs as j where j.id = p_job_id)
    for key share;
  end if;
  update public.ai_jobs as j
  set status = 'completed',
      progress_percentage = 100,
      stage = null,
      result_data = p_result_data,
      output_url = p_output_url,
      error_code = null,
      error_message = null,
      lease_token = null,
      lease_expires_at = null,
      completed_at = greatest(clock_timestamp(), j.started_at),
      event_seq = j.event_seq + 1,
      last_event = 'completed'
  where j.id = p_job_id and j.lease_token = p_lease_token
  returning j.* into v_job;
  if not found then
    return false;
  end if;
  if p_product is null then
    return true;
  end if;

  -- What a product was made from may be deleted while it is made: that is no reason to throw away what was paid for.
  case p_product ->> 'kind'
    when 'voice' then
      insert into public.voices (
        user_id, job_id, provider, provider_voice_id, name, description, labels, stability, similarity_boost, sample_url
      )
      select
        v_job.user_id, v_job.id, v_job.provider, v.provider_voice_id, v.name, v.description, coalesce(v.labels, '{}'),
        v.stability, v.similarity_boost, v_job.input_url
      from jsonb_to_record(p_product) as v (
        provider_voice_id text, name text, description text, labels jsonb, stability numeric, similarity_boost numeric
      );
    when 'avatar' then
      insert into public.avatars (
        user_id, job_id, voice_id, photo_id, name, provider, provider_avatar_id, video_url, duration_seconds
      )
      select
        v_job.user_id, v_job.id,
        (select o.id from public.voices as o where o.id = a.voice_id and o.user_id = v_job.user_id),
        (select o.id from public.media as o where o.storage_path = v_job.input_url and o.user_id = v_job.user_id),
        a.name, v_job.provider, a.provider_avatar_id, v_job.output_url, a.duration_seconds
      from jsonb_to_record(p_product) as a (
        provider_avatar_id text, name text, voice_id uuid, duration_seconds numeric
      );
    when 'pdf' then
      insert into public.pdfs (user_id, job_id, slideshow_id, title, pdf_url, page_count, size_bytes)
      select
        v_job.user_id, v_job.id,
        (select o.id from public.slideshows as o where o.id = p.slideshow_id and o.user_id = v_job.user_id),
        p.title, v_job.output_url, p.page_count, p.size_bytes
      from jsonb_to_record(p_product) as p (title text, slideshow_id uuid, page_count integer, size_bytes bigint);
    when 'transcript' then
      update public.calls as c
      set transcript = t.transcript,
          transcript_data = t.transcript_data,
          duration_seconds = coalesce(t.duration_seconds, c.duration_seconds),
          transcript_job_id = v_job.id
      from jsonb_to_record(p_product) as t (
        call_id uuid, transcript text, transcript_data jsonb, duration_seconds numeric
      )
      where c.id = t.call_id and c.user_id = v_job.user_id and t.transcript is not null;
      if not found then
        raise exception 'the transcript is empty, or its call is gone' using errcode = 'AJ081', detail = 'p_product.call_id';
      end if;
    else
      raise exception 'the product is of no known kind' using errcode = 'AJ080', detail = 'p_product.kind';
  end case;
  return true;
end;
$$;
comment on function public.complete_ai_job(uuid, uuid, jsonb, text, jsonb) is
  'Ends a claimed job as completed and writes the row that its result is, in one commit. False: the lease is lost and '
  'nothing changed. p_product, by its kind: voice (provider_voice_id, name, description, labels, stability, '
  'similarity_boost), avatar (provider_avatar_id, name, voice_id, duration_seconds), pdf (title, slideshow_id, page_count, '
  'size_bytes), transcript (call_id, transcript, transcript_data, duration_seconds); owner, job, provider and file come '
  'from the job. A product that cannot be written raises (AJ080, AJ081, or the constraint) and takes the completion back '
  'with it. service_role only; security definer because it holds the owner''s account, in schema auth, before the job.';
revoke execute on function public.complete_ai_job(uuid, uuid, jsonb, text, jsonb) from public, anon, authenticated;
grant execute on function public.complete_ai_job(uuid, uuid, jsonb, text, jsonb) to service_role;
