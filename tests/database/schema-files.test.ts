/** The schema files and the migrations create the same database. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { compareCatalogues, readCatalogue } from "../../dev/tools/catalogue.ts";
import { readSchemaFiles } from "../../dev/tools/schema-files.ts";
import { withDatabase } from "../_support/database.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));

Deno.test("schema files: they build the same database as the migrations", async () => {
  const files = await readSchemaFiles(root);
  const built = await withDatabase(async ({ sql }) => {
    for (const { path, text } of files) {
      try {
        await sql.unsafe(text);
      } catch (cause) {
        throw new Error(`${path} cannot run at its place in schema_paths`, {
          cause,
        });
      }
    }
    return await readCatalogue(sql);
  }, { migrated: false });
  const migrated = await withDatabase(({ sql }) => readCatalogue(sql));
  assert(
    migrated.some((fact) => fact.startsWith("function public.claim_ai_jobs")),
  );
  assertEquals(
    compareCatalogues(built, migrated),
    [],
    "the migrations lack the lines with -, and have those with +: run db:baseline or, after a release, write a migration",
  );
});
