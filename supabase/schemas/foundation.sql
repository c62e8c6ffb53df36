-- Extensions, the schema private that the API never exposes, and privileges that start closed. Everything else
-- builds on this.

create extension if not exists pgcrypto with schema extensions;

create extension if not exists supabase_vault with schema vault;

create extension if not exists pg_net with schema extensions;

create extension if not exists pg_cron with schema pg_catalog;

-- PostgreSQL lets everybody execute a new function by default. Here each function names its callers.
alter default privileges revoke execute on functions from public;

create schema if not exists private;
comment on schema private is
  'Functions and tables of the service itself. Not exposed by the Data API and not usable by API roles.';
revoke all on schema private from public, anon, authenticated, service_role;

create function private.touch_updated_at()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end;
$$;
comment on function private.touch_updated_at() is
  'Row trigger: sets updated_at to the time of the write. Shared by every table that has the column.';
