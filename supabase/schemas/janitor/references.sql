-- Which rows name objects in Storage or at providers. The tables of the core are known; a module or an app registers
-- its tables here, so that nothing that they name is removed.

create table private.storage_references (
  table_name text not null,
  column_name text not null,
  constraint storage_references_pkey primary key (table_name, column_name)
);
comment on table private.storage_references is
  'Columns of other modules that name an object as <bucket>/<path>. The table has a column user_id. The janitor removes '
  'nothing that such a row names. Delete a row here before you drop its table.';
comment on column private.storage_references.table_name is 'With its schema.';

alter table private.storage_references enable row level security;
revoke all on private.storage_references from public, anon, authenticated, service_role;

create table private.provider_references (
  table_name text not null,
  object_type text not null,
  column_name text not null,
  operation text not null,
  constraint provider_references_pkey primary key (table_name),
  constraint provider_references_object_type_key unique (object_type)
);
comment on table private.provider_references is
  'Tables of other modules whose rows name objects at a provider. They have the columns provider, job_id, created_at '
  'and provider_missing_since. Delete a row here before you drop its table.';
comment on column private.provider_references.object_type is 'The type of the objects, for reports: model.';
comment on column private.provider_references.operation is
  'The paid call that creates such an object. The janitor removes what such a call left behind without a row.';

alter table private.provider_references enable row level security;
revoke all on private.provider_references from public, anon, authenticated, service_role;

create function private.referenced_objects(p_user_id uuid)
returns setof text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_reference private.storage_references;
begin
  for v_reference in select r.* from private.storage_references as r loop
    return query execute format(
      'select t.%1$I from %2$s as t where t.user_id = $1 and t.%1$I is not null',
      v_reference.column_name, v_reference.table_name::regclass
    ) using p_user_id;
  end loop;
end;
$$;
comment on function private.referenced_objects(uuid) is
  'The objects in Storage that a user''s rows in the registered tables name, as <bucket>/<path>.';

create function private.is_object_in_registered_row(p_user_id uuid, p_object_path text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_reference private.storage_references;
  v_is_named boolean;
begin
  for v_reference in select r.* from private.storage_references as r loop
    execute format(
      'select exists (select 1 from %s as t where t.user_id = $1 and t.%I = $2)',
      v_reference.table_name::regclass, v_reference.column_name
    ) into v_is_named using p_user_id, p_object_path;
    if v_is_named then
      return true;
    end if;
  end loop;
  return false;
end;
$$;
comment on function private.is_object_in_registered_row(uuid, text) is
  'Whether a row of that user in a registered table names the object.';

create function private.provider_rows(p_provider text default null, p_object_id text default null)
returns table (
  object_type text,
  provider text,
  object_id text,
  job_id uuid,
  created_at timestamptz,
  provider_missing_since timestamptz
)
language plpgsql
stable
security invoker
set search_path = ''
-- With a custom plan, a null argument removes its condition, and the other conditions use their indexes.
set plan_cache_mode = force_custom_plan
as $$
declare
  v_reference private.provider_references;
begin
  return query
  select 'voice', v.provider, v.provider_voice_id, v.job_id, v.created_at, v.provider_missing_since
  from public.voices as v
  where (p_provider is null or v.provider = p_provider) and (p_object_id is null or v.provider_voice_id = p_object_id);
  for v_reference in select r.* from private.provider_references as r loop
    return query execute format(
      'select $1, t.provider, t.%1$I, t.job_id, t.created_at, t.provider_missing_since
       from %2$s as t
       where ($2 is null or t.provider = $2) and ($3 is null or t.%1$I = $3)',
      v_reference.column_name, v_reference.table_name::regclass
    ) using v_reference.object_type, p_provider, p_object_id;
  end loop;
end;
$$;
comment on function private.provider_rows(text, text) is
  'The rows that name objects at a provider: voices and rows of the registered tables, of all providers and objects or '
  'of those given.';

create function private.set_provider_missing(p_provider text, p_object_ids text[], p_missing_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_reference private.provider_references;
begin
  update public.voices as v set provider_missing_since = p_missing_since
  where v.provider = p_provider and v.provider_voice_id = any (p_object_ids)
    and (v.provider_missing_since is null) <> (p_missing_since is null);
  for v_reference in select r.* from private.provider_references as r loop
    execute format(
      'update %2$s as t set provider_missing_since = $3
       where t.provider = $1 and t.%1$I = any ($2) and (t.provider_missing_since is null) <> ($3 is null)',
      v_reference.column_name, v_reference.table_name::regclass
    ) using p_provider, p_object_ids, p_missing_since;
  end loop;
end;
$$;
comment on function private.set_provider_missing(text, text[], timestamptz) is
  'Marks the rows of these objects as missing at their provider since then or, with null, as present again. An '
  'existing mark keeps its time.';
