/** The database's cost of some work: statements from clients, and bytes of its write-ahead log (WAL). */
import type postgres from "postgres";
import { z } from "zod";

/** Sums over all jobs of the measured work. */
export interface Cost {
  /** Statements from clients, including `begin` and `commit`, but not those inside functions. */
  statements: number;
  walBytes: number;
}

/**
 * The stand-ins of pg_net and pg_cron are clients of the database; the real ones are parts of it. Neither their
 * statements nor those of a new connection are round trips of a job.
 */
const NOT_A_CLIENT = [
  "net\\.(http_request_queue|_http_response)",
  "cron\\.(job|job_run_details)",
  "select private\\.sweep_ai_jobs\\(\\)",
  "pg_catalog\\.pg_type",
].join("|");

const lsnSchema = z.tuple([z.object({ lsn: z.string() })]);
const sumSchema = z.tuple([
  z.object({ statements: z.coerce.number(), wal: z.coerce.number() }),
]);

/**
 * Runs `work` and measures its cost in `database`. `control` is a superuser whose own statements are not counted. The
 * WAL is that of the whole server, so nothing else may use it meanwhile.
 */
export async function withCost<T>(
  control: postgres.Sql,
  database: string,
  work: () => Promise<T>,
): Promise<{ result: T; cost: Cost }> {
  await control`select extensions.pg_stat_statements_reset()`;
  const [{ lsn }] = lsnSchema.parse([
    ...await control`select pg_current_wal_insert_lsn()::text as lsn`,
  ]);
  const result = await work();
  const [{ statements, wal }] = sumSchema.parse([
    ...await control`
      select
        coalesce(sum(s.calls), 0) as statements,
        pg_current_wal_insert_lsn() - ${lsn}::pg_lsn as wal
      from extensions.pg_stat_statements as s
      join pg_database as d on d.oid = s.dbid
      join pg_roles as r on r.oid = s.userid
      where d.datname = ${database} and r.rolname <> current_user and s.toplevel
        and s.query !~ ${NOT_A_CLIENT}`,
  ]);
  return { result, cost: { statements, walBytes: wal } };
}
