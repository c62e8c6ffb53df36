/**
 * Writes `docs/schema.sql` from a database with the migrations of the tree.
 *
 * usage: deno task db:schema [--check]
 */
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import { writeOrCheck } from "./generated-file.ts";
import { listSchema } from "./schema-listing.ts";
import { withMigratedDatabase } from "./test-cluster.ts";

const target = fromFileUrl(new URL("../../docs/schema.sql", import.meta.url));

const content = await withMigratedDatabase(async (dbUrl) => {
  const sql = postgres(dbUrl, { max: 1, connection: { search_path: '""' } });
  try {
    return await listSchema(sql);
  } finally {
    await sql.end();
  }
});
Deno.exit(
  await writeOrCheck({ path: target, content, task: "db:schema" }, Deno.args),
);
