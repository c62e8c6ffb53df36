-- Our objects in the providers' lists, and how far each list has been read.

create table private.provider_objects (
  provider text not null,
  object_id text not null,
  object_type text not null,
  job_id uuid,
  standing text not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  orphan_since timestamptz,
  constraint provider_objects_pkey primary key (provider, object_id),
  constraint provider_objects_standing_is_known check (standing in ('named', 'live', 'orphan', 'foreign')),
  constraint provider_objects_orphan_since_matches_standing check ((standing = 'orphan') = (orphan_since is not null))
);
comment on table private.provider_objects is
  'Objects that the last scan of a provider''s list showed and that carry a marker of the form job:<id>, or that a row '
  'names.';
comment on column private.provider_objects.job_id is
  'The job of its marker. Not a foreign key: it may be a job of another installation.';
comment on column private.provider_objects.standing is
  'named (a row names it), live (its job may continue with it), orphan (created here, and no row names it), foreign '
  '(its marker belongs to no job of ours: reported, never removed).';
comment on column private.provider_objects.orphan_since is
  'When it was first seen as an orphan; the grace period starts here.';

create index provider_objects_last_seen_at_idx on private.provider_objects (provider, last_seen_at);

alter table private.provider_objects enable row level security;
revoke all on private.provider_objects from public, anon, authenticated, service_role;

create table private.provider_scans (
  provider text not null,
  started_at timestamptz not null,
  page_cursor text,
  pages integer not null default 0,
  listed_at timestamptz,
  finished_at timestamptz,
  last_error_code text,
  lease_token uuid,
  lease_expires_at timestamptz,
  constraint provider_scans_pkey primary key (provider),
  constraint provider_scans_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint provider_scans_finished_after_listed check (finished_at is null or listed_at is not null),
  constraint provider_scans_lease_is_whole check ((lease_token is null) = (lease_expires_at is null))
);
comment on table private.provider_scans is
  'How far the scan of each provider''s list has come. An interrupted scan is continued.';
comment on column private.provider_scans.page_cursor is 'The provider''s cursor of the next page.';
comment on column private.provider_scans.listed_at is 'When its last page was read.';
comment on column private.provider_scans.finished_at is
  'When the rows that the list did not show had been checked one by one.';

alter table private.provider_scans enable row level security;
revoke all on private.provider_scans from public, anon, authenticated, service_role;

create function private.provider_object_standing(p_provider text, p_object_id text, p_job_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when p_object_id is not null and exists (select 1 from private.provider_rows(p_provider, p_object_id)) then 'named'
    when exists (
      select 1
      from public.ai_jobs as j
      where j.id in (
          select p_job_id
          union all
          select c.job_id
          from public.ai_provider_calls as c
          where c.provider = p_provider and c.provider_object_id = p_object_id
        )
        and (
          j.status in ('pending', 'processing')
          or (
            j.status = 'failed'
            and (
              -- Parked: only an operator can find out the outcome of the call.
              exists (
                select 1 from public.ai_provider_calls as o where o.job_id = j.id and o.outcome in ('sent', 'unknown')
              )
              or j.completed_at > clock_timestamp() - make_interval(
                secs => (select s.failed_grace_seconds from private.janitor_settings as s)
              )
            )
          )
        )
    ) then 'live'
    when exists (select 1 from public.ai_jobs as j where j.id = p_job_id)
      or exists (select 1 from private.former_ai_jobs as f where f.job_id = p_job_id)
      or exists (
        select 1 from public.ai_provider_calls as c where c.provider = p_provider and c.provider_object_id = p_object_id
      )
      or exists (
        select 1
        from private.provider_removals as r
        where r.provider = p_provider and r.provider_object_id = p_object_id
      ) then 'orphan'
    else 'foreign'
  end;
$$;
comment on function private.provider_object_standing(text, text, uuid) is
  'The standing of an object at a provider: named, live, orphan or foreign, as in private.provider_objects.';
