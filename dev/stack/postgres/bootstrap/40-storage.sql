-- Schema `storage`: what the Storage service of a hosted project owns, with its helper functions (supabase/storage,
-- migrations/tenant up to 0063). Row level security is on and there is no policy: nothing is reachable until a
-- migration says so.

set role supabase_storage_admin;

create table storage.buckets (
  id text primary key,
  name text not null constraint bname unique,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  owner_id text,
  type text not null default 'STANDARD',
  versioning_status text not null default 'DISABLED'
    constraint buckets_versioning_status_check check (versioning_status = 'DISABLED')
);

create table storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text constraint "objects_bucketId_fkey" references storage.buckets (id),
  name text,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  version text,
  owner_id text,
  user_metadata jsonb
);
create unique index bucketid_objname on storage.objects (bucket_id, name);
create index name_prefix_search on storage.objects (name text_pattern_ops);

create table storage.migrations (
  id integer primary key,
  name varchar(100) not null unique,
  hash varchar(40) not null,
  executed_at timestamp without time zone default current_timestamp
);

alter table storage.migrations enable row level security;
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;

create function storage.foldername(name text) returns text[]
language plpgsql immutable as $$
declare
  parts text[] := string_to_array(name, '/');
begin
  return parts[1:array_length(parts, 1) - 1];
end
$$;
comment on function storage.foldername(text) is 'Folders of an object name, without its last segment.';

create function storage.filename(name text) returns text
language plpgsql immutable as $$
declare
  parts text[] := string_to_array(name, '/');
begin
  return parts[array_length(parts, 1)];
end
$$;
comment on function storage.filename(text) is 'Last segment of an object name.';

create function storage.extension(name text) returns text
language plpgsql immutable as $$
begin
  return reverse(split_part(reverse(storage.filename(name)), '.', 1));
end
$$;
comment on function storage.extension(text) is 'What follows the last dot of the file name.';

create function storage.operation() returns text language plpgsql stable as $$
begin
  return current_setting('storage.operation', true);
end
$$;
comment on function storage.operation() is
  'The current Storage operation, e.g. storage.object.upload.';

create function storage.allow_only_operation(expected_operation text) returns boolean
language sql stable as $$
  select coalesce(
    nullif(regexp_replace(expected_operation, '^storage\.', ''), '')
      = regexp_replace(storage.operation(), '^storage\.', ''),
    false
  )
$$;
comment on function storage.allow_only_operation(text) is
  'Whether the current Storage operation is the named one; the prefix "storage." is optional.';

create function storage.allow_any_operation(expected_operations text[]) returns boolean
language sql stable as $$
  select exists (
    select 1
    from unnest(expected_operations) as expected
    where storage.allow_only_operation(expected)
  )
$$;
comment on function storage.allow_any_operation(text[]) is
  'Whether the current Storage operation is one of the named ones.';

create function storage.update_updated_at_column() returns trigger
language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end
$$;
-- The embedded Storage records the time of every download, hosted Storage does not. It must not count as a change,
-- because updated_at identifies the version of a job's input.
create trigger update_objects_updated_at
  before update of bucket_id, name, owner, owner_id, metadata, user_metadata, version on storage.objects
  for each row execute function storage.update_updated_at_column();

-- Hosted since 2025: rows go away through the Storage API, which also removes the bytes.
create function storage.protect_delete() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
    raise exception 'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
      using errcode = '42501', hint = 'This prevents accidental data loss from orphaned objects.';
  end if;
  return null;
end
$$;
create trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();
create trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();

grant all on storage.buckets, storage.objects to anon, authenticated, service_role;
grant all on storage.buckets, storage.objects to postgres with grant option;

reset role;
