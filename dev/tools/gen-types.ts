/**
 * Writes `supabase/functions/_shared/database.types.ts` from a database with the migrations of the tree, with the
 * Supabase CLI, corrected where it lacks information, and formatted so that a schema change is a small diff.
 *
 * usage: deno task db:types [--check]
 */
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import { formatText } from "./deno-fmt.ts";
import { writeOrCheck } from "./generated-file.ts";
import { runSupabaseCli } from "./supabase-cli.ts";
import { withMigratedDatabase } from "./test-cluster.ts";
import { columnsFilledByTriggers, correctTypes } from "./type-corrections.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const target = fromFileUrl(
  new URL(
    "../../supabase/functions/_shared/database.types.ts",
    import.meta.url,
  ),
);

const HEAD =
  "// Written by `deno task db:types` from supabase/migrations. Not to be edited.\n";

/**
 * The TypeScript types of schema `public` of the database at `dbUrl`, formatted by `deno fmt`, with a header line. The
 * same schema gives the same text. Columns that a trigger fills are optional on insert.
 *
 * @throws {Error} with the CLI's message when it fails.
 */
async function generateTypes(dbUrl: string): Promise<string> {
  const { code, stdout, stderr } = await runSupabaseCli(
    ["gen", "types", "typescript", `--remote=${dbUrl}`, "--schema=public"],
    { cwd: root },
  );
  if (code !== 0) throw new Error(`supabase gen types failed: ${stderr}`);
  const sql = postgres(dbUrl, { max: 1 });
  try {
    const columns = await columnsFilledByTriggers(sql);
    return HEAD + await formatText(correctTypes(stdout, columns), "ts");
  } finally {
    await sql.end();
  }
}

if (import.meta.main) {
  const content = await withMigratedDatabase(generateTypes);
  Deno.exit(
    await writeOrCheck(
      { path: target, content, task: "db:types" },
      Deno.args,
    ),
  );
}
