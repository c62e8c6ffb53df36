-- As on a hosted project (its event triggers pgrst_ddl_watch and pgrst_drop_watch): a change of the schema is seen by the
-- REST server without anyone saying `notify pgrst, 'reload schema'`. A grant is no such change.

create function stack.announce_schema_change() returns event_trigger
language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('pgrst', 'reload schema');
end
$$;

create event trigger announce_schema_change on ddl_command_end
  when tag in (
    'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE',
    'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE VIEW', 'ALTER VIEW', 'CREATE MATERIALIZED VIEW',
    'ALTER MATERIALIZED VIEW', 'CREATE FUNCTION', 'ALTER FUNCTION', 'CREATE TRIGGER', 'CREATE TYPE', 'ALTER TYPE',
    'CREATE RULE', 'COMMENT'
  )
  execute function stack.announce_schema_change();
create event trigger announce_schema_drop on sql_drop
  execute function stack.announce_schema_change();
