/**
 * Applies the project's seed (`[db.seed]` of config.toml) to a new database, as the role `postgres`, and records it as
 * the Supabase CLI does (`supabase_migrations.seed_files`), so that `supabase db push --include-seed` does not repeat
 * it.
 */
import { encodeHex } from "@std/encoding";
import { relative } from "@std/path";
import postgres from "postgres";
import { StackError } from "../console/stack-error.ts";

/** Whether no migration was ever applied to the database at `dbUrl`. */
export async function isNewDatabase(dbUrl: string): Promise<boolean> {
  const sql = postgres(dbUrl, { max: 1 });
  try {
    const [row] = await sql<
      { isNew: boolean }[]
    >`select to_regclass('supabase_migrations.schema_migrations') is null as "isNew"`;
    return row?.isNew ?? true;
  } finally {
    await sql.end();
  }
}

async function readSeed(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function hashOf(text: string): Promise<string> {
  return encodeHex(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
  );
}

/**
 * Runs each file in a transaction, in the given order, and returns their paths relative to `projectDir`. Files that do
 * not exist, or have run before, are skipped, as by the CLI.
 *
 * @throws {StackError} with the file and Postgres's message when one fails. That one is rolled back.
 */
export async function applySeed(
  dbUrl: string,
  projectDir: string,
  files: string[],
): Promise<string[]> {
  const applied: string[] = [];
  const sql = postgres(dbUrl, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(`
      create schema if not exists supabase_migrations;
      create table if not exists supabase_migrations.seed_files (path text not null primary key, hash text not null);
    `);
    for (const file of files) {
      const text = await readSeed(file);
      if (text === undefined) continue;
      const path = relative(projectDir, file);
      const hash = await hashOf(text);
      const [known] = await sql`
        select 1 from supabase_migrations.seed_files where path = ${path}`;
      if (known !== undefined) continue;
      await sql.begin(async (transaction) => {
        await transaction.unsafe(text);
        await transaction`
          insert into supabase_migrations.seed_files (path, hash) values (${path}, ${hash})`;
      }).catch((error: unknown) => {
        if (!(error instanceof postgres.PostgresError)) throw error;
        throw new StackError(
          `${path} failed: ${error.message} (${error.code}). ` +
            "Correct the file and start again, or start with --no-seed.",
          { cause: error },
        );
      });
      applied.push(path);
    }
    return applied;
  } finally {
    await sql.end();
  }
}
