/** The data model for readers, from the catalogue of a database: tables, rights and references. */
import type postgres from "postgres";

interface Column {
  name: string;
  type: string;
  isKey: boolean;
  isUnique: boolean;
  isReference: boolean;
}

interface Reference {
  /** Columns, without the owner's, which most references include. */
  columns: string[];
  target: string;
  isOptional: boolean;
  isUnique: boolean;
  onDelete: string;
}

interface Policy {
  name: string;
  command: "select" | "insert" | "update" | "delete";
  role: string;
}

interface Grant {
  role: string;
  privilege: string;
  /** Null for the whole table. */
  columns: string[] | null;
}

/** One of our tables with its facts from the catalogue. */
export interface Table {
  /** Prefixed with `private.` if the API does not offer it. */
  name: string;
  comment: string;
  columns: Column[];
  references: Reference[];
  policies: Policy[];
  grants: Grant[];
  /** What happens to its rows when their account is deleted. */
  withAccount: string | null;
}

const ACTION = `case k.confdeltype
  when 'c' then 'on delete cascade' when 'n' then 'on delete set null' when 'd' then 'on delete set default'
  when 'r' then 'on delete restrict' else 'on delete no action' end`;

const TABLES = `
  select
    case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname as name,
    coalesce(obj_description(c.oid, 'pg_class'), '') as comment,
    (
      select jsonb_agg(jsonb_build_object(
        'name', a.attname,
        'type', regexp_replace(
          replace(replace(format_type(a.atttypid, null), 'timestamp with time zone', 'timestamptz'), 'double precision',
            'float8'), '[^a-z0-9_\\[\\]]', '', 'g'),
        'isKey', exists (
          select 1 from pg_constraint as k where k.conrelid = c.oid and k.contype = 'p' and a.attnum = any (k.conkey)),
        'isUnique', exists (
          select 1 from pg_constraint as k where k.conrelid = c.oid and k.contype = 'u' and k.conkey = array[a.attnum]),
        'isReference', exists (
          select 1 from pg_constraint as k where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey))
      ) order by a.attnum)
      from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ) as columns,
    coalesce((
      select jsonb_agg(jsonb_build_object(
        'columns', (
          select jsonb_agg(a.attname order by u.position)
          from unnest(k.conkey) with ordinality as u (attnum, position)
          join pg_attribute as a on a.attrelid = c.oid and a.attnum = u.attnum
          where a.attname <> 'user_id' or cardinality(k.conkey) = 1
        ),
        'target', t.relname,
        'isOptional', exists (
          select 1 from pg_attribute as a where a.attrelid = c.oid and a.attnum = any (k.conkey) and not a.attnotnull
        ),
        'isUnique', exists (
          select 1 from pg_constraint as q
          where q.conrelid = c.oid and q.contype in ('p', 'u') and q.conkey <@ k.conkey and k.conkey <@ q.conkey
        ),
        'onDelete', ${ACTION}
      ) order by k.conname)
      from pg_constraint as k join pg_class as t on t.oid = k.confrelid
      where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> 'auth.users'::regclass
    ), '[]') as references,
    coalesce((
      select jsonb_agg(jsonb_build_object(
        'name', p.polname,
        'command', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end,
        'role', r.oid::regrole::text
      ) order by array_position('{r,a,w,d}'::"char"[], p.polcmd), r.oid::regrole::text, p.polname)
      from pg_policy as p cross join unnest(p.polroles) as r (oid) where p.polrelid = c.oid
    ), '[]') as policies,
    coalesce((
      select jsonb_agg(jsonb_build_object('role', g.role, 'privilege', g.privilege, 'columns', g.columns)
        order by g.role, array_position('{select,insert,update,delete}', g.privilege))
      from (
        select a.grantee::regrole::text as role, lower(a.privilege_type) as privilege, null::jsonb as columns
        from aclexplode(c.relacl) as a where a.grantee <> c.relowner
        union all
        select a.grantee::regrole::text, lower(a.privilege_type), jsonb_agg(t.attname order by t.attnum)
        from pg_attribute as t, aclexplode(t.attacl) as a
        where t.attrelid = c.oid and not t.attisdropped
        group by 1, 2
      ) as g
    ), '[]') as grants,
    (
      select case k.confdeltype when 'c' then 'deleted' when 'n' then 'kept, without the account' else 'the deletion is refused' end
      from pg_constraint as k
      where k.conrelid = c.oid and k.contype = 'f' and k.confrelid = 'auth.users'::regclass
    ) as "withAccount"
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'private') and c.relkind in ('r', 'p')
  order by n.nspname desc, c.relname`;

/** Reads all tables of the schemas public and private, by name. `sql` must have an empty search_path. */
export async function readTables(sql: postgres.Sql): Promise<Table[]> {
  return [...await sql.unsafe<Table[]>(TABLES)];
}

/** A chapter of the data model. A table in no chapter, or an unknown name, is an error. */
export interface Chapter {
  title: string;
  tables: string[];
}

/** @throws {Error} with a table that is in no chapter or in several, or with an unknown name. */
export function checkChapters(chapters: Chapter[], tables: Table[]): void {
  const listed = chapters.flatMap((chapter) => chapter.tables);
  const names = tables.map(({ name }) => name);
  for (const name of names) {
    const times = listed.filter((one) => one === name).length;
    if (times !== 1) {
      throw new Error(
        `table ${name} is in ${times} chapters of the data model; it must be in one`,
      );
    }
  }
  for (const name of listed) {
    if (!names.includes(name)) throw new Error(`${name} is not a table`);
  }
}

function drawColumn({ name, type, isKey, isUnique, isReference }: Column) {
  const marks = [
    ...(isKey ? ["PK"] : []),
    ...(isReference ? ["FK"] : []),
    ...(isUnique ? ["UK"] : []),
  ].join(", ");
  return `    ${type} ${name}${marks === "" ? "" : ` ${marks}`}`;
}

/**
 * A mermaid `erDiagram` of tables with all their columns and references; referenced tables outside the list have no
 * columns. The account, to which most rows belong, is left out.
 */
export function drawDiagram(tables: Table[]): string {
  const id = (name: string) => name.replace("private.", "");
  return [
    "erDiagram",
    ...tables.flatMap(({ name, references }) =>
      references.map((reference) => {
        const parent = reference.isOptional ? "|o" : "||";
        const child = reference.isUnique ? "o|" : "o{";
        return `  ${reference.target} ${parent}--${child} ${id(name)} : "${
          reference.columns.join(", ")
        }"`;
      })
    ),
    ...tables.flatMap(({ name, columns }) => [
      `  ${id(name)} {`,
      ...columns.map(drawColumn),
      "  }",
    ]),
  ].join("\n");
}

const ROLES: Record<string, string> = {
  authenticated: "Signed in",
  anon: "Not signed in",
};

function code(names: string[]): string {
  return names.map((name) => `\`${name}\``).join(", ");
}

/** Whether the privilege covers the whole table, some columns, or nothing. */
function granted(table: Table, role: string, privilege: string) {
  const found = table.grants.filter((grant) =>
    grant.role === role && grant.privilege === privilege
  );
  return found.find(({ columns }) => columns === null) ?? found[0];
}

function rightsOf(table: Table, role: string): string[] {
  return table.policies.filter((policy) => policy.role === role).flatMap(
    ({ name, command }) => {
      const grant = granted(table, role, command);
      if (grant === undefined) return [];
      return [
        grant.columns === null ? name : `${name} (${code(grant.columns)})`,
      ];
    },
  );
}

/**
 * A table in Markdown: its purpose, the rights of each role with the names of the policies and the granted columns, and
 * what happens when the account is deleted.
 */
export function describeTable(table: Table): string {
  const service = table.grants.filter(({ role }) => role === "service_role")
    .map(({ privilege }) => privilege);
  const lines = [
    ...Object.entries(ROLES).flatMap(([role, title]) => {
      const rights = rightsOf(table, role);
      return rights.length === 0
        ? []
        : [`- ${title}:`, ...rights.map((right) => `  - ${right}`)];
    }),
    service.length > 0
      ? `- Secret key: ${service.join(", ")}`
      : "- No access through the API; only functions of the database",
    ...(table.withAccount === null
      ? []
      : [`- When the account is deleted: ${table.withAccount}`]),
    ...table.references.map(({ columns, target, onDelete }) =>
      `- ${code(columns)} → \`${target}\`, ${onDelete}`
    ),
  ];
  return [`### ${table.name}`, table.comment, lines.join("\n")].join("\n\n");
}
