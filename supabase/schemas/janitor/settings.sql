-- Settings of the janitor, and how far its scans have come.

create table private.janitor_settings (
  id integer not null default 1,
  orphan_grace_seconds integer not null default 86400,
  failed_grace_seconds integer not null default 604800,
  scan_interval_seconds integer not null default 21600,
  operator_action_days integer default 730,
  ended_job_days integer,
  cancelled_done_until timestamptz not null default '-infinity',
  failed_done_until timestamptz not null default '-infinity',
  file_scan_bucket text,
  file_scan_name text,
  file_scan_done_at timestamptz not null default '-infinity',
  constraint janitor_settings_pkey primary key (id),
  constraint janitor_settings_is_one_row check (id = 1),
  constraint janitor_settings_are_not_negative check (
    orphan_grace_seconds >= 0 and failed_grace_seconds >= 0 and scan_interval_seconds >= 0
  ),
  constraint janitor_settings_days_are_positive check (operator_action_days >= 1 and ended_job_days >= 1),
  constraint janitor_settings_file_scan_is_whole check ((file_scan_bucket is null) = (file_scan_name is null))
);
comment on table private.janitor_settings is
  'One row: how long the janitor waits before it removes what no row names, and how far its scan of ended jobs has '
  'come.';
comment on column private.janitor_settings.orphan_grace_seconds is
  'How long these are kept before they are removed: objects at a provider with our marker that no row names, leftovers '
  'of a cancelled job, and files without an account or job. Also how long an outcome must be unknown before an empty '
  'lookup by marker counts.';
comment on column private.janitor_settings.failed_grace_seconds is
  'How long leftovers of a failed job are kept: a retry uses them instead of paying again.';
comment on column private.janitor_settings.scan_interval_seconds is
  'Time between two scans of a provider''s complete list, and of all objects in our buckets.';
comment on column private.janitor_settings.operator_action_days is
  'How many days private.operator_actions keeps an action; null keeps all.';
comment on column private.janitor_settings.ended_job_days is
  'How many days an ended job is kept, with its timeline, journal and files that no other row refers to; null keeps all.';
comment on column private.janitor_settings.cancelled_done_until is
  'Leftovers of jobs cancelled before this time are queued.';
comment on column private.janitor_settings.failed_done_until is
  'Leftovers of jobs that failed before this time are queued.';
comment on column private.janitor_settings.file_scan_bucket is
  'The bucket that is being scanned for files without an account or job; null between two scans.';
comment on column private.janitor_settings.file_scan_name is 'The last object that was scanned in it.';
comment on column private.janitor_settings.file_scan_done_at is 'When the last scan of our buckets ended.';

alter table private.janitor_settings enable row level security;
revoke all on private.janitor_settings from public, anon, authenticated, service_role;

insert into private.janitor_settings default values;
