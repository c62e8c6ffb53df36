/**
 * The Postgres of a test run: one embedded cluster with two template databases. A copy takes some tens of milliseconds,
 * so every test can have a separate database.
 *
 * As a program it prints the cluster as one line of JSON and runs until its standard input ends; a test file that runs
 * alone starts one this way. It is a separate process because Deno's sanitizers would report the cluster's output, read
 * during a test, as a leak of that test.
 */
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import { z } from "zod";
import { applyMigrations } from "../stack/postgres/migrate.ts";
import {
  createDatabaseFromTemplate,
  type EmbeddedPostgres,
  startPostgres,
} from "../stack/postgres/postgres.ts";
import { CLUSTERS_VARIABLE } from "../stack/postgres/server-user.ts";
import { isPlaceGiven, memoryFolder } from "./memory-folder.ts";

/** The variable in which the runner passes its cluster to the test files, as JSON. */
export const TEST_CLUSTER_VARIABLE = "EDGE_AI_JOBS_TEST_CLUSTER";

/** The database with every migration applied. No session may stay connected to it. */
export const MIGRATED_TEMPLATE = "template_migrated";

/** The database of a new hosted project: roles, schemas and extensions, no migrations. */
export const EMPTY_TEMPLATE = "postgres";

/** URLs of the cluster's database `postgres`, by role. */
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
 * Starts an ephemeral cluster and creates {@link MIGRATED_TEMPLATE} as the role `postgres`, as on a hosted project.
 * Stop it when done; it never outlives this process.
 *
 * @throws {StackError} when Postgres does not start or a migration fails. Nothing is left running then.
 */
export async function startTestCluster(): Promise<EmbeddedPostgres> {
  const cluster = await inMemoryIfPossible(() =>
    startPostgres({ ephemeral: true })
  );
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

/** Kilobytes: a cluster takes 60 MB, and each copy that exists at the same time 10 MB. */
const CLUSTER_NEEDS = 1_000_000;

/** Runs `start` with its cluster in memory, where there is enough. */
async function inMemoryIfPossible<T>(start: () => Promise<T>): Promise<T> {
  const folder = isPlaceGiven() ? undefined : await memoryFolder(CLUSTER_NEEDS);
  if (folder === undefined) return await start();
  Deno.env.set(CLUSTERS_VARIABLE, folder);
  try {
    return await start();
  } finally {
    Deno.env.delete(CLUSTERS_VARIABLE);
  }
}

/** A session on the template would make every copy fail while it lasts, so the session is refused instead. */
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

/** Drops a database of the cluster and ends all its sessions. `name` must be a plain identifier. */
export async function dropDatabase(
  cluster: TestCluster,
  name: string,
): Promise<void> {
  // Not through the database `postgres`: a session on it would make its copies fail.
  const url = new URL(cluster.adminUrl);
  url.pathname = "/template1";
  const sql = postgres(url.href, { max: 1, fetch_types: false });
  try {
    await sql.unsafe(`drop database ${name} with (force)`);
  } finally {
    await sql.end();
  }
}

/**
 * Runs `run` with the URL (as `postgres`) of a new migrated database, on the cluster of {@link TEST_CLUSTER_VARIABLE}
 * if it is set, otherwise on a new cluster. The database is dropped afterwards.
 */
export async function withMigratedDatabase<T>(
  run: (dbUrl: string) => Promise<T>,
): Promise<T> {
  const given = Deno.env.get(TEST_CLUSTER_VARIABLE);
  if (given === undefined) {
    await using cluster = await startTestCluster();
    return await runOnCopy(cluster, run);
  }
  return await runOnCopy(testClusterSchema.parse(JSON.parse(given)), run);
}

async function runOnCopy<T>(
  cluster: TestCluster,
  run: (dbUrl: string) => Promise<T>,
): Promise<T> {
  const name = `tool_${crypto.randomUUID().slice(0, 8)}`;
  const { dbUrl } = await createDatabaseFromTemplate(
    cluster,
    name,
    MIGRATED_TEMPLATE,
  );
  try {
    return await run(dbUrl);
  } finally {
    await dropDatabase(cluster, name);
  }
}

if (import.meta.main) {
  await using cluster = await startTestCluster();
  const { dbUrl, adminUrl, authenticatorUrl } = cluster;
  const line = JSON.stringify({ dbUrl, adminUrl, authenticatorUrl }) + "\n";
  await Deno.stdout.write(new TextEncoder().encode(line));
  for await (const _ of Deno.stdin.readable);
}
