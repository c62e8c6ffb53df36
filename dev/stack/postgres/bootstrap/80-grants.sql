-- What the platform grants when a migration creates an extension (its event trigger issue_pg_cron_access): the objects of
-- pg_cron belong to the superuser, and `postgres` may schedule, read the jobs, and prune what is noted of their runs.
-- Security definer because supautils creates an extension as the superuser, and plain Postgres as the caller.

create function extensions.grant_pg_cron_access() returns event_trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (
    select 1 from pg_catalog.pg_event_trigger_ddl_commands() as c
    join pg_catalog.pg_extension as e on e.oid = c.objid
    where e.extname = 'pg_cron'
  ) then
    return;
  end if;
  grant usage on schema cron to postgres with grant option;
  grant all on all functions in schema cron to postgres with grant option;
  grant all on all sequences in schema cron to postgres with grant option;
  grant all on all tables in schema cron to postgres with grant option;
  revoke all on cron.job from postgres;
  grant select on cron.job to postgres with grant option;
  revoke trigger on cron.job_run_details from postgres;
end
$$;
comment on function extensions.grant_pg_cron_access() is 'Grants access to pg_cron';

create event trigger issue_pg_cron_access on ddl_command_end
  when tag in ('CREATE EXTENSION')
  execute function extensions.grant_pg_cron_access();
