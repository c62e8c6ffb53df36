-- Settings of the janitor, and how far its scans have come.

create table private.janitor_settings (
  id integer not null default 1,
  orphan_grace_seconds integer not null default 86400,
  failed_grace_seconds integer not null default 604800,
  scan_interval_seconds integer not null default 21600,
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
  constraint janitor_settings_file_scan_is_whole check ((file_scan_bucket is null) = (file_scan_name is null))
);
comment on table private.janitor_settings is
  'One row: how long the janitor waits before it removes what nobody names, and how far it has looked at ended jobs.';
comment on column private.janitor_settings.orphan_grace_seconds is
  'What a provider holds with our marker and no row names, what a cancelled job left, and a file without account or job is '
  'removed after so long. An empty look-up by marker counts after so long, too.';
comment on column private.janitor_settings.failed_grace_seconds is
  'What a failed job left is kept for so long: a retry continues with it instead of paying again.';
comment on column private.janitor_settings.scan_interval_seconds is
  'Wait between two readings of everything that a provider lists, and of everything in our buckets.';
comment on column private.janitor_settings.cancelled_done_until is
  'Left-overs of jobs that were cancelled until then are queued.';
comment on column private.janitor_settings.failed_done_until is 'Left-overs of jobs that failed until then are queued.';
comment on column private.janitor_settings.file_scan_bucket is
  'The bucket that is being read for files without account or job; null between two readings.';
comment on column private.janitor_settings.file_scan_name is 'The last object of it that was looked at.';
comment on column private.janitor_settings.file_scan_done_at is 'When the last reading of our buckets ended.';

alter table private.janitor_settings enable row level security;
revoke all on private.janitor_settings from public, anon, authenticated, service_role;

insert into private.janitor_settings default values;
