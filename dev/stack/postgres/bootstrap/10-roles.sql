-- The roles of a hosted project, their attributes, memberships and settings. Runs once per cluster, as supabase_admin
-- (the only superuser). docs/embedded-stack.md names the platform's scripts that this follows.

create role postgres nosuperuser createdb createrole replication bypassrls login;
create role anon nologin inherit;
create role authenticated nologin inherit;
create role service_role nologin inherit bypassrls;
create role authenticator login noinherit;
create role dashboard_user nologin createdb createrole replication;
create role pgbouncer login;
create role supabase_auth_admin login noinherit createrole;
create role supabase_etl_admin login replication;
create role supabase_functions_admin login noinherit createrole;
create role supabase_read_only_user login bypassrls;
create role supabase_realtime_admin login noinherit createrole replication;
create role supabase_replication_admin login replication;
create role supabase_storage_admin login noinherit createrole;

grant anon, authenticated, service_role to authenticator, supabase_realtime_admin;
grant authenticator to supabase_storage_admin;
grant pg_read_all_data to supabase_etl_admin, supabase_read_only_user;

-- `admin` is what lets a migration say `alter role authenticated set statement_timeout = …`. There is none for the
-- administrators of Auth, Storage and Realtime: `postgres` is not a member of them and owns nothing of the platform.
grant anon, authenticated, service_role, authenticator, pg_monitor, pg_read_all_data, pg_signal_backend
  to postgres with admin true, inherit true, set true;
grant pg_create_subscription to postgres;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_admin set statement_timeout = 0;
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
alter role supabase_realtime_admin set search_path = realtime;
alter role supabase_storage_admin set search_path = storage;

-- The superuser's settings that supautils lets `postgres` change (supautils.privileged_role_allowed_configs).
grant set on parameter
  log_lock_waits, log_min_duration_statement, log_min_messages, log_parameter_max_length, log_replication_commands,
  log_statement, log_temp_files, session_replication_role, track_io_timing, wal_compression
  to postgres;
grant set on parameter log_min_messages to supabase_realtime_admin;
grant execute on function pg_catalog.pg_reload_conf() to postgres;
