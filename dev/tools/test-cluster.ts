/**
 * The Postgres of a test run: one embedded cluster with two databases to copy from. A copy takes some tens of
 * milliseconds, so that every test can have a database of its own.
 *
 * As a program it prints the cluster as one line of JSON and lives until its standard input ends: a test file that
 * is run alone owns one in this way. It is a process of its own because Deno's sanitizers would take the cluster's
 * output, read while a test runs, for a leak of that test.
 */
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import { z } from "zod";
import { applyMigrations } from "../stack/migrate.ts";
import {
  createDatabaseFromTemplate,
  type EmbeddedPostgres,
  startPostgres,
} from "../stack/postgres.ts";

/** The variable by which the runner of a ring hands its cluster to the test files; its value is JSON. */
export const TEST_CLUSTER_VARIABLE = "EDGE_AI_JOBS_TEST_CLUSTER";

/** The database with every migration applied. Nothing may stay connected to it. */
export const MIGRATED_TEMPLATE = "template_migrated";

/** The database of a new hosted project: roles, schemas and extensions, no migration. */
export const EMPTY_TEMPLATE = "postgres";

/** How to reach a test cluster: addresses of its database `postgres`, by role. */
export const testClusterSchema = z.object({
  dbUrl: z.url(),
  adminUrl: z.url(),
  authenticatorUrl: z.url(),
});

/** How to reach a test cluster. */
export type TestCluster = z.infer<typeof testClusterSchema>;

const migrationsDir = fromFileUrl(
  new URL("../../supabase/migrations", import.meta.url),
);

/**
 * Starts an ephemeral cluster and makes {@link MIGRATED_TEMPLATE} by the role `postgres`, as on a hosted project.
 * Stop it when done; it does not outlive this process in any case.
 *
 * @throws {StackError} when Postgres does not start or a migration fails; nothing is left running then.
 */
export async function startTestCluster(): Promise<EmbeddedPostgres> {
  const cluster = await startPostgres({ ephemeral: true });
  try {
    const { dbUrl } = await createDatabaseFromTemplate(
      cluster,
      MIGRATED_TEMPLATE,
      EMPTY_TEMPLATE,
    );
    await applyMigrations(dbUrl, migrationsDir);
    await refuseConnections(cluster.adminUrl);
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/** A connection to the template would make every copy fail for as long as it lasts; better that it fails itself. */
async function refuseConnections(adminUrl: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1 });
  try {
    await sql.unsafe(
      `alter database ${MIGRATED_TEMPLATE} with allow_connections false`,
    );
  } finally {
    await sql.end();
  }
}

if (import.meta.main) {
  await using cluster = await startTestCluster();
  const { dbUrl, adminUrl, authenticatorUrl } = cluster;
  const line = JSON.stringify({ dbUrl, adminUrl, authenticatorUrl }) + "\n";
  await Deno.stdout.write(new TextEncoder().encode(line));
  for await (const _ of Deno.stdin.readable);
}
