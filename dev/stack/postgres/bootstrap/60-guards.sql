-- On a hosted project `postgres` may write policies on tables of the platform and drop triggers from them although it
-- owns none of them: the extension supautils runs these statements as the superuser, for the tables in its settings
-- `supautils.policy_grants` and `supautils.drop_trigger_grants`. Here `postgres` becomes a member of the owners while such
-- a statement runs and loses the membership when it ends. A statement that turns out to have touched anything else is
-- refused. Everything else that `postgres` may do with these tables, triggers above all, follows from plain grants.

create schema stack authorization supabase_admin;
comment on schema stack is 'Belongs to the embedded stack; does not exist on a hosted project.';

create function stack.is_granted_table(schema_name text, table_name text) returns boolean
language sql immutable set search_path = '' as $$
  select (schema_name || '.' || table_name) = any (array[
    'auth.audit_log_entries', 'auth.flow_state', 'auth.identities', 'auth.instances', 'auth.mfa_amr_claims',
    'auth.mfa_challenges', 'auth.mfa_factors', 'auth.oauth_clients', 'auth.one_time_tokens', 'auth.refresh_tokens',
    'auth.saml_providers', 'auth.saml_relay_states', 'auth.sessions', 'auth.sso_domains', 'auth.sso_providers',
    'auth.users', 'realtime.messages', 'realtime.subscription', 'storage.buckets', 'storage.buckets_analytics',
    'storage.objects', 'storage.prefixes', 'storage.s3_multipart_uploads', 'storage.s3_multipart_uploads_parts'
  ])
$$;
comment on function stack.is_granted_table(text, text) is
  'Whether `postgres` may write policies on a table and drop triggers from it without owning it. Both settings of supautils list the same tables.';

-- With the rights of the caller, because the next one, which has the superuser's, no longer knows who that is.
create function stack.note_caller() returns event_trigger
language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.set_config('stack.caller', current_user, true);
end
$$;

create function stack.lend_ownership() returns event_trigger
language plpgsql security definer set search_path = '' as $$
begin
  if pg_catalog.current_setting('stack.caller') = 'postgres' then
    grant supabase_auth_admin, supabase_realtime_admin, supabase_storage_admin
      to postgres with admin false, inherit true, set false;
  end if;
end
$$;

create function stack.take_back_ownership() returns event_trigger
language plpgsql security definer set search_path = '' as $$
declare
  touched record;
begin
  if pg_catalog.current_setting('stack.caller') <> 'postgres' then
    return;
  end if;
  revoke supabase_auth_admin, supabase_realtime_admin, supabase_storage_admin from postgres;
  for touched in
    select o.type, o.object_names as names, c.object_identity
    from pg_catalog.pg_event_trigger_ddl_commands() as c,
      pg_catalog.pg_identify_object_as_address(c.classid, c.objid, c.objsubid) as o
    where o.object_names[1] in ('auth', 'storage', 'realtime')
  loop
    if touched.type <> 'policy' or not stack.is_granted_table(touched.names[1], touched.names[2]) then
      raise exception 'must be owner of % %',
        case when touched.type in ('function', 'type') then touched.type else 'relation' end, touched.names[2]
        using errcode = '42501', detail = touched.object_identity;
    end if;
  end loop;
end
$$;

create function stack.guard_drops() returns event_trigger
language plpgsql security definer set search_path = '' as $$
declare
  dropped record;
begin
  if pg_catalog.current_setting('stack.caller') <> 'postgres' then
    return;
  end if;
  for dropped in
    select d.address_names as names, d.object_identity
    from pg_catalog.pg_event_trigger_dropped_objects() as d
    where d.original and d.address_names[1] in ('auth', 'storage', 'realtime')
  loop
    if not stack.is_granted_table(dropped.names[1], dropped.names[2]) then
      raise exception 'must be owner of relation %', dropped.names[2]
        using errcode = '42501', detail = dropped.object_identity;
    end if;
  end loop;
end
$$;

-- Event triggers of one event fire in the order of their names.
create event trigger lend_1_note_caller on ddl_command_start
  when tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'DROP TRIGGER', 'COMMENT')
  execute function stack.note_caller();
create event trigger lend_2_ownership on ddl_command_start
  when tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'DROP TRIGGER', 'COMMENT')
  execute function stack.lend_ownership();
create event trigger lend_3_guard_drops on sql_drop
  when tag in ('DROP POLICY', 'DROP TRIGGER')
  execute function stack.guard_drops();
create event trigger lend_4_take_back on ddl_command_end
  when tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'DROP TRIGGER', 'COMMENT')
  execute function stack.take_back_ownership();
