/**
 * Applies `supabase/migrations/*.sql` unmodified, as the role `postgres`, and keeps the history of the Supabase CLI
 * (`supabase_migrations.schema_migrations`), so that `supabase migration list` and `supabase db push` agree with it.
 * Statements that a hosted project refuses are refused here: by the rights of the role, and by reserved-roles.ts.
 */
import { join } from "@std/path";
import { hasSqlDetails, parse } from "libpg-query";
import postgres from "postgres";
import { z } from "zod";
import { refusedForRoles } from "./reserved-roles.ts";
import { StackError } from "../console/stack-error.ts";

/** The result of {@link applyMigrations}. */
export interface MigrationReport {
  /** File names applied now, in order. */
  applied: string[];
  /** Files that were applied earlier and have changed since, so the database does not match them. */
  changed: string[];
  /** Versions in the database's history that have no file. */
  missing: string[];
  /** Files ending in `.sql` whose name is not `<digits>_<name>.sql`; the CLI skips them too. */
  skipped: string[];
}

interface Migration {
  version: string;
  name: string;
  file: string;
  text: string;
}

interface Statement {
  text: string;
  /** Offset in the file's text. */
  offset: number;
  /** Why a hosted project refuses it although Postgres would allow it. */
  refusal: string | undefined;
}

const parseResult = z.object({
  stmts: z.array(z.object({
    stmt_location: z.number().int().default(0),
    stmt_len: z.number().int().optional(),
    stmt: z.unknown(),
  })).default([]),
});

const historyRow = z.object({
  version: z.string(),
  statements: z.array(z.string()).nullable(),
});

const fileName = /^(\d+)_(.*)\.sql$/;

async function readMigrations(
  dir: string,
): Promise<{ migrations: Migration[]; skipped: string[] }> {
  const migrations: Migration[] = [], skipped: string[] = [];
  try {
    for await (const entry of Deno.readDir(dir)) {
      if (!entry.isFile || !entry.name.endsWith(".sql")) continue;
      const [, version, name] = fileName.exec(entry.name) ?? [];
      if (version === undefined || name === undefined) {
        skipped.push(entry.name);
        continue;
      }
      const text = await Deno.readTextFile(join(dir, entry.name));
      migrations.push({ version, name, file: entry.name, text });
    }
  } catch (error) {
    // Without a folder there are no migrations.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  migrations.sort((a, b) => a.file < b.file ? -1 : 1);
  return { migrations, skipped };
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** Splits with Postgres's own parser, which understands bodies, comments and quotes. */
async function split({ file, text }: Migration): Promise<Statement[]> {
  let parsed: z.infer<typeof parseResult>;
  try {
    parsed = parseResult.parse(await parse(text));
  } catch (error) {
    if (!(error instanceof Error) || !hasSqlDetails(error)) throw error;
    const line = lineAt(text, error.sqlDetails.cursorPosition);
    throw new StackError(
      `Migration ${file} failed at line ${line}: ${error.sqlDetails.message}`,
    );
  }
  // The parser counts bytes of UTF-8. Decoded from one statement to the next: from the start of the file each time would
  // take as long as starting Postgres.
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let decodedTo = 0, length = 0;
  return parsed.stmts.map(
    ({ stmt_location: start, stmt_len, stmt }) => {
      length += decoder.decode(bytes.subarray(decodedTo, start)).length;
      decodedTo = start;
      const raw = decoder.decode(
        bytes.subarray(
          start,
          stmt_len === undefined ? undefined : start + stmt_len,
        ),
      );
      const lead = skipBlank(raw);
      return {
        text: raw.slice(lead).trimEnd(),
        offset: length + lead,
        refusal: refusedForRoles(stmt),
      };
    },
  );
}

/** Length of leading white space and comments, so that a line number refers to the statement. */
function skipBlank(text: string): number {
  return /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*/.exec(text)?.[0].length ??
    0;
}

async function applyOne(
  sql: postgres.Sql,
  migration: Migration,
): Promise<void> {
  const statements = await split(migration);
  await sql.begin(async (transaction) => {
    for (const statement of statements) {
      if (statement.refusal !== undefined) {
        throw new StackError(
          `Migration ${migration.file} failed at line ${
            lineAt(migration.text, statement.offset)
          }: ${statement.refusal} (42501)`,
        );
      }
      try {
        await transaction.unsafe(statement.text);
      } catch (error) {
        throw failure(migration, statement, error);
      }
    }
    await transaction`
      insert into supabase_migrations.schema_migrations (version, name, statements)
      values (${migration.version}, ${migration.name}, ${
      statements.map((statement) => statement.text)
    })`;
  });
}

function failure(
  { file, text }: Migration,
  statement: Statement,
  error: unknown,
): unknown {
  if (!(error instanceof postgres.PostgresError)) return error;
  // A position is 1-based within the statement; errors inside a function body have none.
  const within = error.position === undefined ? 0 : Number(error.position) - 1;
  const lines = [
    `Migration ${file} failed at line ${
      lineAt(text, statement.offset + within)
    }: ${error.message} (${error.code})`,
  ];
  if (error.detail) lines.push(`  detail: ${error.detail}`);
  if (error.hint) lines.push(`  hint: ${error.hint}`);
  if (error.where) lines.push(`  where: ${error.where.split("\n")[0]}`);
  lines.push(
    `  statement (line ${lineAt(text, statement.offset)}): ${
      statement.text.split("\n")[0]
    }`,
  );
  return new StackError(lines.join("\n"), { cause: error });
}

/** Whether the file contains the recorded statements, in their order. */
function isUnchanged(text: string, recorded: string[]): boolean {
  let from = 0;
  for (const statement of recorded) {
    const at = text.indexOf(statement.trim(), from);
    if (at === -1) return false;
    from = at + statement.trim().length;
  }
  return true;
}

/**
 * Applies every migration of `dir` that is missing in the database's history, in the order of the names, each in a
 * transaction, as the role of `dbUrl` (`postgres`, as on a hosted project). A directory that does not exist has no
 * migrations.
 *
 * @throws {StackError} with the file, the line and Postgres's message when one fails. That one is rolled back; earlier
 *   ones stay.
 */
export async function applyMigrations(
  dbUrl: string,
  dir: string,
): Promise<MigrationReport> {
  const { migrations, skipped } = await readMigrations(dir);
  const sql = postgres(dbUrl, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(`
      create schema if not exists supabase_migrations;
      create table if not exists supabase_migrations.schema_migrations (
        version text not null primary key,
        statements text[],
        name text
      );
    `);
    const history = z.array(historyRow).parse(
      await sql`select version, statements from supabase_migrations.schema_migrations`,
    );
    const recorded = new Map(
      history.map((row) => [row.version, row.statements ?? []]),
    );
    const report: MigrationReport = {
      applied: [],
      changed: [],
      missing: [...recorded.keys()].filter((version) =>
        !migrations.some((migration) => migration.version === version)
      ).sort(),
      skipped,
    };
    for (const migration of migrations) {
      const statements = recorded.get(migration.version);
      if (statements === undefined) {
        await applyOne(sql, migration);
        report.applied.push(migration.file);
      } else if (!isUnchanged(migration.text, statements)) {
        report.changed.push(migration.file);
      }
    }
    return report;
  } finally {
    await sql.end();
  }
}
