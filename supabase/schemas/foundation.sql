-- Extensions, the schema private, which the API never exposes, and default privileges that grant nothing. Everything else
-- builds on this.

create extension if not exists pgcrypto with schema extensions;

create extension if not exists supabase_vault with schema vault;

create extension if not exists pg_net with schema extensions;

create extension if not exists pg_cron with schema pg_catalog;

-- PostgreSQL lets everyone execute a new function by default. Here each function names its callers.
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

create function private.uuid_v7()
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return encode(
    -- A random UUID has the version 4 (0100): the bits 52 and 53, counted from the least of each byte, make it 7 (0111).
    set_bit(
      set_bit(
        overlay(
          uuid_send(gen_random_uuid())
          placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6
        ),
        52, 1
      ),
      53, 1
    ),
    'hex'
  )::uuid;
end;
$$;
comment on function private.uuid_v7() is
  'A UUID of version 7 (RFC 9562): 48 bits of the time in milliseconds, then 74 random bits. The default of ids, because '
  'new entries of an index are then neighbours: with random ids, each of them changes another page of a large index.';
-- Defaults run with the rights of the role that inserts. Without usage of the schema, a role cannot call it by name.
grant execute on function private.uuid_v7() to authenticated, service_role;
