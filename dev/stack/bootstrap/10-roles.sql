-- The roles of a hosted project. Runs once per cluster, as supabase_admin (the only superuser).
-- Source of the attributes: supabase/postgres init scripts (initial schema, demote-postgres) and the
-- documented timeouts; what `postgres` may not do on a hosted project, it may not do here.

create role postgres nosuperuser createdb createrole replication bypassrls login;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_auth_admin login noinherit createrole;
create role supabase_storage_admin login noinherit createrole;
create role supabase_realtime_admin nologin noinherit;
create role dashboard_user nologin createdb createrole replication;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to supabase_storage_admin;

-- `admin` is what lets a migration say `alter role authenticated set statement_timeout = …`.
grant anon, authenticated, service_role, authenticator
  to postgres with admin true, inherit true, set true;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

-- Hosted projects let `postgres` write policies and triggers on tables that it does not own. Plain Postgres ties that to
-- ownership, so `postgres` inherits the owners, and 60-guards.sql takes back everything else.
grant supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin
  to postgres with inherit true, set false;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_admin set statement_timeout = 0;
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_storage_admin set search_path = storage;
