/**
 * Prepares the database of a project: migrations, seed data, and the Vault secrets that an operator sets once on a
 * hosted project.
 */
import { putVaultSecrets } from "../extensions/supabase_vault/secrets.ts";
import type { DataFolder } from "../process/data-folder.ts";
import type { Project } from "../project/project.ts";
import { applyMigrations, type MigrationReport } from "./migrate.ts";
import { applySeed, isNewDatabase } from "./seed.ts";

/** The result of {@link prepareDatabase}. */
export interface Preparation {
  migrations: MigrationReport;
  /** Whether this database is seeded now: SQL here, files and users by the stack once it answers. */
  isToBeSeeded: boolean;
  /** Seed files applied now, relative to the project. */
  seeded: string[];
}

/**
 * Applies missing migrations, and seeds a new database if `seed` is set; also one whose first start was interrupted
 * while it seeded. Without `seed`, an interrupted seeding counts as finished: the database may be in use by the next
 * start, and a seed may delete rows.
 *
 * @throws {StackError} with the file and the error of Postgres, when a migration or a seed file fails.
 */
export async function prepareDatabase(
  dbUrl: string,
  { project, folder, seed, secrets }: {
    project: Project;
    folder: DataFolder | undefined;
    seed: boolean;
    secrets: Record<string, string>;
  },
): Promise<Preparation> {
  const isToBeSeeded = seed &&
    (await isNewDatabase(dbUrl) || await folder?.isSeeding() === true);
  await folder?.noteSeeding(isToBeSeeded);
  const migrations = await applyMigrations(dbUrl, project.migrationsDir);
  // Before the seed data, as the Supabase CLI does: they say that this is a local stack.
  await putVaultSecrets(dbUrl, secrets);
  const seeded = isToBeSeeded
    ? await applySeed(dbUrl, project.dir, project.seedFiles)
    : [];
  return { migrations, isToBeSeeded, seeded };
}
