/** What the API offers, read from the catalogue of the running database and from `supabase/config.toml`. */
import { fromFileUrl } from "@std/path";
import type postgres from "postgres";
import { readProject } from "../../../dev/stack/project/project.ts";

/** A column of a relation. */
export interface Column {
  name: string;
  /** Whether the database computes it, so that no caller can write it. */
  isGenerated: boolean;
}

/** A reference of one relation to another. Columns are in the order of the constraint. */
export interface ForeignKey {
  name: string;
  columns: string[];
  /** Including its schema, such as `public.media` or `auth.users`. */
  target: string;
  targetColumns: string[];
  /** What happens to a row when the row it references is deleted. */
  onDelete: "refuse" | "cascade" | "set null";
}

/** A unique constraint or index that an upsert can name, the primary key included. */
export interface UniqueKey {
  name: string;
  columns: string[];
}

/** A check constraint. */
export interface Check {
  name: string;
  /** Whether it compares a text with the owner's id: a path with a folder. */
  isOfFolder: boolean;
}

/** A table or a view of the API's schema. */
export interface Relation {
  name: string;
  kind: "table" | "view";
  columns: Column[];
  /** Empty for a view. */
  primaryKey: string[];
  uniqueKeys: UniqueKey[];
  foreignKeys: ForeignKey[];
  checks: Check[];
}

/** A function of the API's schema. */
export interface ApiFunction {
  name: string;
  /** Such as `get_ai_result_cache(text)`. */
  signature: string;
  parameters: string[];
  isDefiner: boolean;
}

/** Everything that a request can name. */
export interface Catalogue {
  relations: Relation[];
  functions: ApiFunction[];
  buckets: { id: string; isPublic: boolean }[];
  /** Edge Functions of config.toml. */
  endpoints: string[];
  /** Schemas of the database that the API must not offer. */
  hiddenSchemas: string[];
}

const relationsQuery = `
  select
    c.relname as name,
    case when c.relkind in ('v', 'm') then 'view' else 'table' end as kind,
    (
      select jsonb_agg(
        jsonb_build_object('name', a.attname, 'isGenerated', a.attgenerated <> '') order by a.attnum
      )
      from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ) as columns,
    coalesce((
      select jsonb_agg(a.attname order by k.position)
      from pg_index as i
      cross join unnest(i.indkey::smallint[]) with ordinality as k (attnum, position)
      join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
      where i.indrelid = c.oid and i.indisprimary
    ), '[]') as "primaryKey",
    coalesce((
      select jsonb_agg(
        jsonb_build_object('name', (select x.relname from pg_class as x where x.oid = i.indexrelid), 'columns', (
          select jsonb_agg(a.attname order by k.position)
          from unnest(i.indkey::smallint[]) with ordinality as k (attnum, position)
          join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
        )) order by i.indexrelid::regclass::text
      )
      from pg_index as i
      where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indpred is null and i.indexprs is null
    ), '[]') as "uniqueKeys",
    coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'name', k.conname,
          'columns', (
            select jsonb_agg(a.attname order by n.position)
            from unnest(k.conkey) with ordinality as n (attnum, position)
            join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = n.attnum
          ),
          'onDelete', case k.confdeltype when 'c' then 'cascade' when 'n' then 'set null' else 'refuse' end,
          'target', t.relnamespace::regnamespace || '.' || t.relname,
          'targetColumns', (
            select jsonb_agg(a.attname order by n.position)
            from unnest(k.confkey) with ordinality as n (attnum, position)
            join pg_attribute as a on a.attrelid = k.confrelid and a.attnum = n.attnum
          )
        ) order by k.conname
      )
      from pg_constraint as k join pg_class as t on t.oid = k.confrelid
      where k.conrelid = c.oid and k.contype = 'f'
    ), '[]') as "foreignKeys",
    coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'name', k.conname,
          'isOfFolder', pg_get_constraintdef(k.oid) ~ 'user_id\\)?::text'
        ) order by k.conname
      )
      from pg_constraint as k where k.conrelid = c.oid and k.contype = 'c'
    ), '[]') as checks
  from pg_class as c
  where c.relnamespace::regnamespace::text = 'public' and c.relkind in ('r', 'p', 'v', 'm', 'f')
  order by c.relname`;

const functionsQuery = `
  select
    p.proname as name,
    p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as signature,
    coalesce((
      select array_agg(a.name order by a.position)
      from unnest(p.proargnames) with ordinality as a (name, position)
      where coalesce((p.proargmodes)[a.position], 'i') in ('i', 'b', 'v')
    ), '{}') as parameters,
    p.prosecdef as "isDefiner"
  from pg_proc as p
  where p.pronamespace::regnamespace::text = 'public'
    and not exists (select 1 from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
  order by p.proname`;

const projectDir = fromFileUrl(new URL("../../../", import.meta.url));

/** Reads the catalogue. `sql` must be allowed to see everything. */
export async function readCatalogue(sql: postgres.ISql): Promise<Catalogue> {
  const [relations, functions, buckets, schemas, project] = await Promise.all([
    sql.unsafe<Relation[]>(relationsQuery),
    sql.unsafe<ApiFunction[]>(functionsQuery),
    sql<{ id: string; isPublic: boolean }[]>`
      select b.id, b.public as "isPublic" from storage.buckets as b order by b.id`,
    sql<{ name: string }[]>`
      select n.nspname as name from pg_namespace as n
      where n.nspname !~ '^pg_(toast|temp)' and n.nspname <> 'public' order by n.nspname`,
    readProject(projectDir),
  ]);
  return {
    relations: [...relations],
    functions: [...functions],
    buckets: [...buckets],
    endpoints: project.functions.map(({ slug }) => slug).sort(),
    hiddenSchemas: schemas.map(({ name }) => name),
  };
}

/** The relation of that name. Throws when there is none. */
export function relationNamed(catalogue: Catalogue, name: string): Relation {
  const found = catalogue.relations.find((relation) => relation.name === name);
  if (found === undefined) throw new Error(`there is no relation ${name}`);
  return found;
}
