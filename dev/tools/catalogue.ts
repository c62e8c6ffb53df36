/**
 * Everything in a database that migrations determine, one line for each fact: schemas, roles' settings, tables,
 * columns, constraints, indexes, functions with their bodies, views, triggers, policies, rights, comments, cron
 * entries, buckets and initial rows. Databases with the same lines count as equal.
 */
import type postgres from "postgres";

/** Schemas that only this project uses. */
const OURS = "('public', 'private')";

/** Schemas of the platform on whose tables we have triggers and policies. */
const SHARED = "('auth', 'storage', 'realtime')";

/** Rights as `grantee: privilege, …`, with defaults made explicit, in a fixed order. */
function rights(acl: string, kind: string, owner: string): string {
  return `(
    select string_agg(r.line, '; ' order by r.line)
    from (
      select
        case a.grantee when 0 then 'public' else a.grantee::regrole::text end || ': '
          || string_agg(
            a.privilege_type || case when a.is_grantable then '*' else '' end, ',' order by a.privilege_type
          ) as line
      from aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) as a
      group by a.grantee
    ) as r
  )`;
}

/** Name of the section, and a query whose rows are its facts as text. */
const SECTIONS: readonly (readonly [string, string])[] = [
  [
    "extension",
    `select format('%s in %s', e.extname, e.extnamespace::regnamespace) from pg_extension as e`,
  ],
  [
    "schema",
    `select format('%s owner %s rights %s', n.nspname, n.nspowner::regrole, ${
      rights("n.nspacl", "n", "n.nspowner")
    }) from pg_namespace as n where n.nspname in ${OURS}`,
  ],
  [
    "default rights",
    `select format('%s in %s for %s: %s', d.defaclrole::regrole, d.defaclnamespace, d.defaclobjtype, ${`(select string_agg(x::text, ' ' order by x::text) from unnest(d.defaclacl) as x)`}) from pg_default_acl as d`,
  ],
  [
    "role setting",
    `select format('%s: %s', r.setrole::regrole, s.setting)
     from pg_db_role_setting as r, unnest(r.setconfig) as s (setting)
     where r.setrole <> 0 and r.setdatabase = 0`,
  ],
  [
    "relation",
    `select format(
       '%s kind %s persistence %s identity %s owner %s rls %s forced %s options %s rights %s', c.oid::regclass, c.relkind,
       c.relpersistence, c.relreplident, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, ${
      rights("c.relacl", "r", "c.relowner")
    })
     from pg_class as c where c.relnamespace::regnamespace::text in ${OURS} and c.relkind in ('r', 'p', 'v', 'm')`,
  ],
  [
    "sequence",
    `select format(
       '%s rights %s as %s start %s by %s from %s to %s cache %s cycle %s', c.oid::regclass, ${
      rights("c.relacl", "s", "c.relowner")
    }, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
     from pg_class as c join pg_sequence as s on s.seqrelid = c.oid
     where c.relnamespace::regnamespace::text in ${OURS}`,
  ],
  [
    "column",
    `select format(
       '%s %s %s %s not null %s default %s identity %s generated %s collation %s storage %s statistics %s rights %s',
       c.oid::regclass,
       -- Position among the existing columns, because a dropped column leaves a gap.
       (select count(*) from pg_attribute as b where b.attrelid = a.attrelid and b.attnum > 0 and b.attnum <= a.attnum
         and not b.attisdropped),
       a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity,
       a.attgenerated, a.attcollation::regcollation, a.attstorage, a.attstattarget,
       (select string_agg(x::text, ' ' order by x::text) from unnest(a.attacl) as x)
     )
     from pg_attribute as a
     join pg_class as c on c.oid = a.attrelid
     left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where c.relnamespace::regnamespace::text in ${OURS} and c.relkind in ('r', 'p', 'v', 'm', 'c')
       and a.attnum > 0 and not a.attisdropped`,
  ],
  [
    "constraint",
    `select format('%s %s valid %s: %s', k.conrelid::regclass, k.conname, k.convalidated, pg_get_constraintdef(k.oid))
     from pg_constraint as k where k.connamespace::regnamespace::text in ${OURS}`,
  ],
  // Cascades run in the order in which the foreign keys were created; see supabase/config.toml.
  [
    "delete order",
    `select format('%s: %s', k.confrelid::regclass, string_agg(k.conname, ', ' order by k.oid))
     from pg_constraint as k
     where k.contype = 'f' and k.confdeltype in ('c', 'n') and k.connamespace::regnamespace::text in ${OURS}
     group by k.confrelid`,
  ],
  [
    "index",
    `select format('%s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
     from pg_index as i join pg_class as c on c.oid = i.indrelid
     where c.relnamespace::regnamespace::text in ${OURS}`,
  ],
  [
    "statistics",
    `select pg_get_statisticsobjdef(s.oid)
     from pg_statistic_ext as s where s.stxnamespace::regnamespace::text in ${OURS}`,
  ],
  [
    "type",
    `select format('%s kind %s: %s', t.oid::regtype, t.typtype, (
       select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid
     ))
     from pg_type as t where t.typnamespace::regnamespace::text in ${OURS} and t.typtype in ('d', 'e', 'r', 'm')`,
  ],
  [
    "function",
    `select format('%s owner %s rights %s: %s', p.oid::regprocedure, p.proowner::regrole, ${
      rights("p.proacl", "f", "p.proowner")
    }, pg_get_functiondef(p.oid))
     from pg_proc as p
     where p.pronamespace::regnamespace::text in ${OURS}
       and not exists (
         select 1 from pg_depend as d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
       )`,
  ],
  [
    "view",
    `select format('%s: %s', c.oid::regclass, pg_get_viewdef(c.oid))
     from pg_class as c where c.relnamespace::regnamespace::text in ${OURS} and c.relkind in ('v', 'm')`,
  ],
  [
    "trigger",
    `select format('%s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
     from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
     where not t.tgisinternal and (
       c.relnamespace::regnamespace::text in ${OURS} or c.relnamespace::regnamespace::text in ${SHARED}
     )`,
  ],
  [
    "policy",
    `select format('%s.%s %s %s %s to %s using %s check %s', p.schemaname, p.tablename, p.policyname, p.permissive, p.cmd,
       p.roles, p.qual, p.with_check)
     from pg_policies as p`,
  ],
  [
    "comment",
    `select format('%s %s: %s', i.type, i.identity, d.description)
     from pg_description as d
     cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) as i
     where i.identity ~ '(^|[ "])(public|private)([."]|$)' or i.identity in ('public', 'private')`,
  ],
  [
    "cron",
    `select format('%s: %s: %s as %s active %s', j.jobname, j.schedule, j.command, j.username, j.active) from cron.job as j`,
  ],
  [
    "bucket",
    `select format('%s public %s limit %s types %s', b.id, b.public, b.file_size_limit, b.allowed_mime_types)
     from storage.buckets as b`,
  ],
  ["publication", `select format('%s', p) from pg_publication_tables as p`],
];

/** Differences in rows that do not matter: random and time values. */
const DRAWN = [
  "created_at",
  "updated_at",
  "budget_month",
  "counted_on",
  "last_run_at",
];

/**
 * The facts of a database, sorted. `sql` must be a session that may read everything, with an empty search_path.
 *
 * @throws {postgres.PostgresError} when the catalogue cannot be read.
 */
export async function readCatalogue(
  sql: postgres.ISql,
): Promise<string[]> {
  const facts: string[] = [];
  for (const [section, query] of SECTIONS) {
    for (const row of await sql.unsafe(query).values()) {
      facts.push(`${section} ${String(row[0])}`);
    }
  }
  // The rows of a new database: settings, job types, prices, limits.
  const tables = await sql<{ name: string }[]>`
    select c.oid::regclass::text as name
    from pg_class as c
    where c.relnamespace::regnamespace::text in ('public', 'private') and c.relkind = 'r'`;
  for (const { name } of tables) {
    const rows = await sql.unsafe(
      `select (to_jsonb(t) - $1::text[]
         - case when pg_typeof(to_jsonb(t) -> 'id') is not null and jsonb_typeof(to_jsonb(t) -> 'id') = 'string'
           then 'id' else '' end)::text
       from ${name} as t`,
      [DRAWN],
    ).values();
    for (const row of rows) facts.push(`row ${name} ${String(row[0])}`);
  }
  return facts.sort();
}

/** The difference of two sets of facts: `+` is missing in the first, `-` in the second. Empty when they are equal. */
export function compareCatalogues(
  one: readonly string[],
  other: readonly string[],
): string[] {
  return [
    ...one.filter((fact) => !other.includes(fact)).map((fact) => `- ${fact}`),
    ...other.filter((fact) => !one.includes(fact)).map((fact) => `+ ${fact}`),
  ];
}
