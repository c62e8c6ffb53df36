/**
 * What the database of a project gets before anything uses it: migrations, seed data, and the Vault secrets that an
 * operator sets once on a hosted project.
 */
import { putVaultSecrets } from "../extensions/supabase_vault/secrets.ts";
import type { DataFolder } from "../process/data-folder.ts";
import type { Project } from "../project/project.ts";
import { applyMigrations, type MigrationReport } from "./migrate.ts";
import { applySeed, isNewDatabase } from "./seed.ts";

/** What was done to the database now. */
export interface Preparation {
  migrations: MigrationReport;
  /** Whether this database gets seed data now: SQL here, files and people by the stack once it answers. */
  isToBeSeeded: boolean;
  /** Seed files applied now, relative to the project. */
  seeded: string[];
}

/**
 * Applies what is missing and resolves when the database is as the project says. With `seed`, a new database gets the
 * project's seed files, and so does one whose first start was interrupted while it seeded.
 *
 * @throws {StackError} naming the file and the error of Postgres, when a migration or a seed file fails.
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
  if (isToBeSeeded) await folder?.noteSeeding(true);
  const migrations = await applyMigrations(dbUrl, project.migrationsDir);
  const seeded = isToBeSeeded
    ? await applySeed(dbUrl, project.dir, project.seedFiles)
    : [];
  await putVaultSecrets(dbUrl, secrets);
  return { migrations, isToBeSeeded, seeded };
}
