-- On a hosted project `postgres` may write policies and triggers on tables of the platform, and nothing else
-- (the supautils extension sees to it). Here `postgres` inherits the owning roles to be able to write
-- policies, and this guard refuses what hosted refuses, so that a migration that would fail there fails here.

create schema stack authorization supabase_admin;
comment on schema stack is 'Belongs to the embedded stack; does not exist on a hosted project.';

create function stack.guard_platform_objects() returns event_trigger
language plpgsql set search_path = '' as $$
declare
  touched record;
begin
  if (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
    return;
  end if;
  for touched in
    select c.object_identity, c.object_type
    from pg_catalog.pg_event_trigger_ddl_commands() c
    where c.schema_name in ('auth', 'storage', 'realtime')
      and not c.in_extension
      and c.object_type not in ('policy', 'trigger')
  loop
    raise exception 'must be owner of % %', touched.object_type, touched.object_identity
      using errcode = '42501',
        detail = 'The schemas auth, storage and realtime belong to the platform; only policies and triggers may be added.';
  end loop;
end
$$;

create function stack.guard_platform_drops() returns event_trigger
language plpgsql set search_path = '' as $$
declare
  dropped record;
begin
  if (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
    return;
  end if;
  for dropped in
    select d.object_identity, d.object_type
    from pg_catalog.pg_event_trigger_dropped_objects() d
    where d.schema_name in ('auth', 'storage', 'realtime')
      and d.original
      and d.object_type not in ('policy', 'trigger')
  loop
    raise exception 'must be owner of % %', dropped.object_type, dropped.object_identity
      using errcode = '42501';
  end loop;
end
$$;

create event trigger guard_platform_objects on ddl_command_end
  execute function stack.guard_platform_objects();
create event trigger guard_platform_drops on sql_drop
  execute function stack.guard_platform_drops();
