/** Undoes every revoke: grants each privilege that a role does not have. */
import type postgres from "postgres";
import type { Attempt } from "./attempt.ts";
import { identifier, type Mutant } from "./mutant.ts";
import { type ActorName, ACTORS, type People, type Role } from "./people.ts";

type Privilege = "select" | "insert" | "update" | "delete";

interface ColumnGrant {
  table: string;
  column: string;
  role: Role;
  privilege: Privilege;
  /** On the column itself; not by the whole table. */
  isOnColumn: boolean;
  isGranted: boolean;
}

interface TableGrant {
  table: string;
  role: Role;
  privilege: Privilege;
  isGranted: boolean;
}

/** The callers that have a role. */
function callersOf(people: People, role: Role): ActorName[] {
  return ACTORS.filter((name) => people.actors[name].role === role);
}

function isBy(attempt: Attempt, callers: ActorName[]): boolean {
  return callers.includes(attempt.actor);
}

const ROLES = "('anon'), ('authenticated'), ('service_role')";

/** Privileges on tables and columns. `sql` is the superuser's. */
export async function grantMutants(
  sql: postgres.Sql,
  people: People,
): Promise<Mutant[]> {
  const columns = await sql.unsafe<ColumnGrant[]>(`
    select c.relname as table, a.attname as column, r.role, p.privilege,
      has_column_privilege(r.role, c.oid, a.attnum, p.privilege) as "isGranted",
      exists (
        select 1 from aclexplode(a.attacl) as g
        where g.grantee = r.role::regrole and lower(g.privilege_type) = p.privilege
      ) as "isOnColumn"
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    cross join (values ${ROLES}) as r (role)
    cross join (values ('select'), ('insert'), ('update')) as p (privilege)
    where c.relnamespace::regnamespace::text = 'public' and c.relkind in ('r', 'p', 'v', 'm')
    order by c.relname, a.attnum, r.role, p.privilege`);
  const tables = await sql.unsafe<TableGrant[]>(`
    select c.relname as table, r.role, p.privilege,
      has_table_privilege(r.role, c.oid, p.privilege) as "isGranted"
    from pg_class as c
    cross join (values ${ROLES}) as r (role)
    cross join (values ('select'), ('insert'), ('update'), ('delete')) as p (privilege)
    where c.relnamespace::regnamespace::text = 'public' and c.relkind in ('r', 'p', 'v', 'm')
    order by c.relname, r.role, p.privilege`);

  return [
    ...tables.filter(({ isGranted }) => !isGranted).map((
      { table, role, privilege },
    ): Mutant => {
      const on = `public.${identifier(table)}`;
      // Revoking it from the table revokes it from the columns as well.
      const kept = columns.filter((one) =>
        one.table === table && one.role === role &&
        one.privilege === privilege && one.isOnColumn
      ).map(({ column }) => identifier(column));
      const callers = callersOf(people, role);
      return {
        name: `table ${table}: ${privilege} granted to ${role}`,
        subjects: [`table ${table}`],
        operations: [privilege],
        apply: `grant ${privilege} on ${on} to ${role}`,
        revert: [
          `revoke ${privilege} on ${on} from ${role}`,
          ...(kept.length === 0
            ? []
            : [`grant ${privilege} (${kept.join(", ")}) on ${on} to ${role}`]),
        ].join("; "),
        isConcerned: (attempt) =>
          attempt.subjects[0] === `table ${table}` &&
          attempt.operation === privilege && isBy(attempt, callers),
      };
    }),
    ...columns.filter(({ isGranted, role }) =>
      !isGranted && role !== "service_role"
    ).map(({ table, column, role, privilege }): Mutant => {
      const what = `${privilege} (${identifier(column)}) on public.${
        identifier(table)
      }`;
      const callers = callersOf(people, role);
      return {
        name: `column ${table}.${column}: ${privilege} granted to ${role}`,
        subjects: [`table ${table}`],
        operations: [privilege],
        apply: `grant ${what} to ${role}`,
        revert: `revoke ${what} from ${role}`,
        isConcerned: (attempt) =>
          attempt.subjects[0] === `table ${table}` &&
          attempt.operation === privilege && attempt.column === column &&
          isBy(attempt, callers),
      };
    }),
  ];
}

/** Functions that a role may not execute, and those that run with the caller's rights. */
export async function executionMutants(
  sql: postgres.Sql,
  people: People,
): Promise<Mutant[]> {
  const functions = await sql<
    { name: string; signature: string; role: Role; isGranted: boolean }[]
  >`
    select p.proname as name, p.oid::regprocedure::text as signature, r.role,
      has_function_privilege(r.role, p.oid, 'execute') as "isGranted"
    from pg_proc as p cross join (values ('anon'), ('authenticated'), ('service_role')) as r (role)
    where p.pronamespace::regnamespace::text = 'public'
      and not exists (select 1 from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
    order by 2, 3`;
  const invokers = await sql<{ name: string; signature: string }[]>`
    select p.proname as name, p.oid::regprocedure::text as signature
    from pg_proc as p
    where p.pronamespace::regnamespace::text = 'public' and not p.prosecdef
      and (has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'))
      and not exists (select 1 from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
    order by 2`;
  return [
    ...functions.filter(({ isGranted }) => !isGranted).map((
      { name, signature, role },
    ): Mutant => {
      const subject = `function ${name}`;
      const callers = callersOf(people, role);
      return {
        name: `function ${name}: execute granted to ${role}`,
        subjects: [subject],
        apply: `grant execute on function ${signature} to ${role}`,
        revert: `revoke execute on function ${signature} from ${role}`,
        isConcerned: (attempt) =>
          attempt.subjects.includes(subject) && isBy(attempt, callers),
      };
    }),
    ...invokers.map(({ name, signature }): Mutant => ({
      name: `function ${name}: made security definer`,
      subjects: [`function ${name}`],
      apply: `alter function ${signature} security definer`,
      revert: `alter function ${signature} security invoker`,
      isConcerned: ({ subjects }) => subjects.includes(`function ${name}`),
    })),
  ];
}
