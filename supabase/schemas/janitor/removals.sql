-- Objects outside of the database whose row is deleted: files in Storage and objects at providers. SQL cannot delete
-- them, so the transaction that deletes the row records them here for the janitor.

create table private.storage_removals (
  id bigint not null generated always as identity,
  object_path text not null,
  user_id uuid not null,
  reason text not null,
  requested_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  last_error_code text,
  outcome text,
  done_at timestamptz,
  constraint storage_removals_pkey primary key (id),
  constraint storage_removals_outcome_is_known check (outcome in ('removed', 'replaced')),
  constraint storage_removals_done_has_outcome check ((done_at is null) = (outcome is null))
);
comment on table private.storage_removals is
  'Objects in Storage to remove: their row or owner was deleted, or a job without a result left them. The janitor '
  'removes those that claim_storage_removals leases to it.';
comment on column private.storage_removals.object_path is 'As <bucket>/<path>.';
comment on column private.storage_removals.user_id is
  'The owner of the object. Not a foreign key: the account may be deleted.';
comment on column private.storage_removals.reason is
  'The table whose row named it; users when the account was deleted; job_leftovers; or no_account when its folder '
  'belongs to no account.';
comment on column private.storage_removals.attempts is
  'Removals started. Never given up: with five attempts and an error it is reported as failing.';
comment on column private.storage_removals.next_attempt_at is
  'Not before this time. During a removal: when to retry if it never ends.';
comment on column private.storage_removals.lease_token is
  'The run that removes it. A result with another token changes nothing.';
comment on column private.storage_removals.outcome is
  'removed, or replaced: the owner has since stored another object there, which stays.';
comment on column private.storage_removals.done_at is 'When Storage was found not to have the object any more.';

create unique index storage_removals_object_path_key on private.storage_removals (object_path) where done_at is null;
create index storage_removals_next_attempt_at_idx on private.storage_removals (next_attempt_at) where done_at is null;
create index storage_removals_done_at_idx on private.storage_removals (done_at) where done_at is not null;

alter table private.storage_removals enable row level security;
revoke all on private.storage_removals from public, anon, authenticated, service_role;

create table private.provider_removals (
  id bigint not null generated always as identity,
  provider text not null,
  object_type text not null,
  provider_object_id text,
  marker text,
  job_id uuid,
  made_at timestamptz,
  requested_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  last_error_code text,
  outcome text,
  done_at timestamptz,
  constraint provider_removals_pkey primary key (id),
  constraint provider_removals_outcome_is_known check (outcome in ('removed', 'absent')),
  constraint provider_removals_done_has_outcome check ((done_at is null) = (outcome is null)),
  constraint provider_removals_can_be_found check (provider_object_id is not null or marker is not null)
);
comment on table private.provider_removals is
  'Objects at providers that no row names any more, such as a voice that occupies a place of the plan, or a rendered '
  'video.';
comment on column private.provider_removals.object_type is 'voice, a type in provider_references, or the operation of a journalled call.';
comment on column private.provider_removals.provider_object_id is
  'The provider''s id; null if its response never arrived.';
comment on column private.provider_removals.marker is
  'The marker (job:<id>) by which the provider finds the object of a call whose outcome was unknown.';
comment on column private.provider_removals.job_id is
  'The job that made it. Not a foreign key: the job may be deleted, and this row shows that it was ours.';
comment on column private.provider_removals.made_at is
  'When the call was sent: narrows a lookup where the provider has no direct one.';
comment on column private.provider_removals.attempts is
  'Removals started. Never given up: with five attempts and an error it is reported as failing.';
comment on column private.provider_removals.next_attempt_at is
  'Not before this time. During a removal: when to retry if it never ends.';
comment on column private.provider_removals.lease_token is
  'The run that removes it. A result with another token changes nothing.';
comment on column private.provider_removals.outcome is
  'removed (or already gone), or absent: the marker never found anything.';
comment on column private.provider_removals.done_at is 'When the provider was found not to have it any more.';

create unique index provider_removals_object_key on private.provider_removals (
  provider, coalesce(provider_object_id, marker)
) where done_at is null;
create index provider_removals_id_idx on private.provider_removals (id) where done_at is null;
create index provider_removals_next_attempt_at_idx on private.provider_removals (next_attempt_at) where done_at is null;
create index provider_removals_job_id_idx on private.provider_removals (job_id) where job_id is not null;
create index provider_removals_object_id_idx on private.provider_removals (provider, provider_object_id);

alter table private.provider_removals enable row level security;
revoke all on private.provider_removals from public, anon, authenticated, service_role;

create table private.former_ai_jobs (
  job_id uuid not null,
  deleted_at timestamptz not null default now(),
  constraint former_ai_jobs_pkey primary key (job_id)
);
comment on table private.former_ai_jobs is
  'Deleted jobs that had a paid call: an object with the marker of one of them was made here, and not by another '
  'installation that shares the account.';

alter table private.former_ai_jobs enable row level security;
revoke all on private.former_ai_jobs from public, anon, authenticated, service_role;

create function private.record_storage_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_column text := tg_argv[0];
  v_path text := to_jsonb(old) ->> v_column;
begin
  if v_path is not null and (tg_op = 'DELETE' or v_path is distinct from to_jsonb(new) ->> v_column) then
    insert into private.storage_removals as r (object_path, user_id, reason)
    values (v_path, old.user_id, tg_table_name)
    -- Requested again: the reason to keep it may no longer apply, and the object to remove is the current one. A job that
    -- ends or is deleted removes less than the owner, who deletes what it made.
    on conflict (object_path) where done_at is null do update
    set requested_at = excluded.requested_at, next_attempt_at = excluded.next_attempt_at,
        reason = case when r.reason in ('ai_jobs', 'job_leftovers') then excluded.reason else r.reason end;
  end if;
  return null;
end;
$$;
comment on function private.record_storage_removal() is
  'Row trigger: queues the removal of the object that the column (first argument) of a deleted or changed row named. '
  'Security definer because no role has rights in schema private.';

create function private.record_provider_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_column text := tg_argv[1];
begin
  if old.provider <> 'internal' then
    insert into private.provider_removals (provider, object_type, provider_object_id, job_id)
    values (old.provider, tg_argv[0], to_jsonb(old) ->> v_column, old.job_id)
    on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;
  end if;
  return null;
end;
$$;
comment on function private.record_provider_removal() is
  'Row trigger: queues the removal of what a provider made for the deleted row. Arguments: the object type, and the '
  'column with its id. Security definer because no role has rights in schema private.';

create function private.record_provider_call_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.former_ai_jobs (job_id) values (old.job_id) on conflict do nothing;
  -- A call that was refused or created nothing leaves nothing; an object with its own row is removed with that row.
  if old.provider = 'internal' or old.outcome in ('rejected', 'absent')
    or (
      old.provider_object_id is not null
      and exists (select 1 from private.provider_rows(old.provider, old.provider_object_id))
    ) then
    return null;
  end if;
  insert into private.provider_removals (
    provider, object_type, provider_object_id, marker, job_id, made_at, next_attempt_at
  )
  values (
    old.provider, old.operation, old.provider_object_id,
    case when old.provider_object_id is null then 'job:' || old.job_id end,
    old.job_id, old.sent_at,
    -- A call in flight would be queried too early. For a deleted account it is queried immediately, and again until the
    -- grace period is over.
    case
      when old.provider_object_id is null and exists (select 1 from auth.users as u where u.id = old.user_id)
      then now() + make_interval(secs => (select s.orphan_grace_seconds from private.janitor_settings as s))
      else now()
    end
  )
  on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;
  return null;
end;
$$;
comment on function private.record_provider_call_removal() is
  'Row trigger on the journal of paid calls: a job that is deleted between the call and its result leaves an object at '
  'the provider that no other row names. Security definer because no role has rights in schema private.';
