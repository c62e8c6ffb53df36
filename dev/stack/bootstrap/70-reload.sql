-- As on a hosted project (the pgrst_ddl_watch event triggers): a change of the schema is seen by the REST server
-- without anybody saying `notify pgrst, 'reload schema'`.

create function stack.announce_schema_change() returns event_trigger
language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('pgrst', 'reload schema');
end
$$;

create event trigger announce_schema_change on ddl_command_end
  execute function stack.announce_schema_change();
create event trigger announce_schema_drop on sql_drop
  execute function stack.announce_schema_change();
