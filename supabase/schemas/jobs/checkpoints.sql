-- The progress that a job with several claims saves for the next claim.

create table public.ai_job_checkpoints (
  job_id uuid not null,
  data jsonb not null,
  upload_id text,
  constraint ai_job_checkpoints_pkey primary key (job_id),
  constraint ai_job_checkpoints_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  constraint ai_job_checkpoints_data_is_object check (jsonb_typeof(data) = 'object'),
  constraint ai_job_checkpoints_upload_id_length check (length(upload_id) between 1 and 1024)
);
comment on table public.ai_job_checkpoints is
  'The progress of a job that takes several claims, in a form that its processor defines. Deleted when the job ends.';
comment on column public.ai_job_checkpoints.upload_id is
  'A resumable upload that the job has started, by the last part of its URL at Storage. The janitor aborts it if it is '
  'not finished.';

alter table public.ai_job_checkpoints enable row level security;
revoke all on public.ai_job_checkpoints from public, anon, authenticated, service_role;
grant select on public.ai_job_checkpoints to service_role;

create table private.abandoned_uploads (
  upload_id text not null,
  requested_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  last_error_code text,
  constraint abandoned_uploads_pkey primary key (upload_id)
);
comment on table private.abandoned_uploads is
  'Resumable uploads that no job will finish. The janitor aborts them and deletes a row when Storage no longer has its '
  'upload.';

create index abandoned_uploads_next_attempt_at_idx on private.abandoned_uploads (next_attempt_at);

alter table private.abandoned_uploads enable row level security;
revoke all on private.abandoned_uploads from public, anon, authenticated, service_role;

create function private.abandon_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- A completed job has finished its upload, which is its output.
  if not exists (select 1 from public.ai_jobs as j where j.id = old.job_id and j.status = 'completed') then
    insert into private.abandoned_uploads (upload_id) values (old.upload_id) on conflict do nothing;
  end if;
  return null;
end;
$$;
comment on function private.abandon_upload() is
  'Row trigger: records an upload that its job will not finish, because the job has ended without a result, was '
  'deleted, or has started another upload. Security definer because no role has rights in schema private.';

create function public.save_ai_job_checkpoint(
  p_job_id uuid,
  p_lease_token uuid,
  p_data jsonb,
  p_upload_id text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- Locked, so that the job cannot end or be claimed by another worker between the check and the write.
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for no key update;
  if not found then
    return false;
  end if;
  insert into public.ai_job_checkpoints as c (job_id, data, upload_id)
  values (p_job_id, p_data, p_upload_id)
  on conflict (job_id) do update
  set data = excluded.data, upload_id = excluded.upload_id;
  return true;
end;
$$;
comment on function public.save_ai_job_checkpoint(uuid, uuid, jsonb, text) is
  'Saves the progress of a claimed job, replacing what was saved before. p_upload_id: the resumable upload that it has '
  'started; the janitor aborts one that was named before and no longer is. False: the lease is lost and nothing '
  'changed. service_role only; security definer because no role may write checkpoints.';
revoke execute on function public.save_ai_job_checkpoint(uuid, uuid, jsonb, text) from public, anon, authenticated;
grant execute on function public.save_ai_job_checkpoint(uuid, uuid, jsonb, text) to service_role;

create trigger ai_job_checkpoints_abandon_deleted
after delete on public.ai_job_checkpoints
for each row when (old.upload_id is not null)
execute function private.abandon_upload();

create trigger ai_job_checkpoints_abandon_replaced
after update of upload_id on public.ai_job_checkpoints
for each row when (old.upload_id is not null and old.upload_id is distinct from new.upload_id)
execute function private.abandon_upload();
