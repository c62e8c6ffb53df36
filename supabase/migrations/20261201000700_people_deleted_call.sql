-- A transcription completes when its call was deleted meanwhile. Replaces a function; locks no table.

create or replace function private.save_transcript(p_items jsonb, p_job_ids uuid[])
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
