/**
 * Resets the data of a stack that test files use one after another: saved once, when the stack is new, and restored
 * before each file. Meanwhile functions must be halted, and deliveries paused.
 */
import type postgres from "postgres";

/** The schema of the saved rows, with one table for each of the project's tables that had any. */
const KEPT = "test_support";

/** Every table whose rows a test can change, with the columns that an insert may name. */
const TABLES = `
  select n.nspname as schema, c.relname as name,
    string_agg(format('%I', a.attname), ', ' order by a.attnum) as columns
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  where c.relkind in ('r', 'p') and not c.relispartition
    and n.nspname not in ('pg_catalog', 'information_schema', 'supabase_migrations', '${KEPT}')
    and n.nspname not like 'pg_%'
  group by 1, 2`;

/** The parts of the schema that a test could change, each with its definition. Realtime adds partitions itself. */
const CATALOGUE = `
  select format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid)) as part
    from pg_constraint where connamespace <> 'realtime'::regnamespace
  union all select format('function %s: %s', oid::regprocedure, md5(prosrc)) from pg_proc
    where pronamespace <> 'pg_catalog'::regnamespace
  union all select format('policy %s on %s: %s %s', polname, polrelid::regclass,
    pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) from pg_policy
  union all select format('trigger on %s: %s %s', tgrelid::regclass, tgenabled, pg_get_triggerdef(oid))
    from pg_trigger where not tgisinternal
  union all select format('publication of %s', prrelid::regclass) from pg_publication_rel`;

interface Table {
  schema: string;
  name: string;
  columns: string;
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** Restores the data that a stack had when this was created. */
export class DataReset {
  readonly #sql: postgres.Sql;
  readonly #tables: Table[];
  readonly #statements: string;
  readonly #catalogue: Set<string>;

  private constructor(
    sql: postgres.Sql,
    tables: Table[],
    statements: string,
    catalogue: Set<string>,
  ) {
    this.#sql = sql;
    this.#tables = tables;
    this.#statements = statements;
    this.#catalogue = catalogue;
  }

  /** Saves the current data. `sql` is a connection as the superuser, and stays open. */
  static async remember(sql: postgres.Sql): Promise<DataReset> {
    await sql.unsafe(`create schema if not exists ${KEPT}`);
    const tables: Table[] = await sql.unsafe<Table[]>(TABLES);
    const statements: string[] = [
      "set local session_replication_role = replica",
      "select extensions.pg_stat_statements_reset()",
    ];
    for (const { schema, name } of tables) {
      statements.push(`delete from ${quote(schema)}.${quote(name)}`);
    }
    for (const { schema, name, columns } of tables) {
      const from = `${quote(schema)}.${quote(name)}`;
      const kept = `${KEPT}.${quote(`${schema}.${name}`)}`;
      const { count } = await sql.unsafe(
        `create table ${kept} as select ${columns} from ${from}`,
      );
      if (count === 0) await sql.unsafe(`drop table ${kept}`);
      else {
        statements.push(
          `insert into ${from} (${columns}) overriding system value select ${columns} from ${kept}`,
        );
      }
    }
    // In a new stack the sweep has just run; with the saved times the stack would be unhealthy after a minute.
    statements.push("update private.ai_schedule_runs set last_run_at = now()");
    const sequences = await sql<{ name: string; value: string | null }[]>`
      select format('%I.%I', schemaname, sequencename) as name, last_value as value from pg_sequences
      where schemaname not like 'pg_%'`;
    for (const { name, value } of sequences) {
      statements.push(
        value === null
          ? `alter sequence ${name} restart`
          : `select setval('${name.replaceAll("'", "''")}', ${value})`,
      );
    }
    return new DataReset(
      sql,
      tables,
      statements.join(";\n"),
      await catalogueOf(sql),
    );
  }

  /**
   * Replaces all rows with the saved ones, once no statement of a client is running.
   *
   * @throws when the schema has changed: the last file's change would affect the next.
   */
  async run(): Promise<void> {
    const changed = [
      ...this.#catalogue.symmetricDifference(await catalogueOf(this.#sql)),
    ];
    if (changed.length > 0) {
      throw new Error(
        `a test file has changed the schema of the stack that it shares and has not restored it: ${
          changed.join(", ")
        }`,
      );
    }
    await this.#untilIdle();
    await this.#sql.begin((sql) => sql.unsafe(this.#statements));
  }

  /** The tables that are restored, for tests of this class. */
  get tables(): string[] {
    return this.#tables.map(({ schema, name }) => `${schema}.${name}`);
  }

  /** A statement of a killed function may still be running in the database. */
  async #untilIdle(): Promise<void> {
    for (;;) {
      const [busy] = await this.#sql`
        select 1 from pg_stat_activity
        where backend_type = 'client backend' and state <> 'idle' and pid <> pg_backend_pid() limit 1`;
      if (busy === undefined) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function catalogueOf(sql: postgres.Sql): Promise<Set<string>> {
  const rows = await sql.unsafe<{ part: string }[]>(CATALOGUE);
  return new Set(rows.map(({ part }) => part));
}
