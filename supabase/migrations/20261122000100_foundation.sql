-- What every later migration stands on: extensions, a schema that the API never exposes, and privileges that
-- start closed. Safe to run again: every statement is conditional or idempotent.

create extension if not exists pgcrypto with schema extensions;
create extension if not exists supabase_vault with schema vault;
create extension if not exists pg_net with schema extensions;
create extension if not exists pg_cron with schema pg_catalog;

-- PostgreSQL lets everybody execute a new function unless told otherwise. Here each function names its callers.
alter default privileges revoke execute on functions from public;

create schema if not exists private;
comment on schema private is
  'Functions and tables of the service itself. Not exposed by the Data API and not usable by API roles.';
revoke all on schema private from public, anon, authenticated, service_role;

-- Our own work (queue functions called with the secret key) gets 30 s: long enough for a sweep of a large table,
-- short enough that a runaway statement cannot outlive the function that waits for it. DB_STATEMENT_TIMEOUT is
-- the same bound on the caller's side.
alter role service_role set statement_timeout = '30s';

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
