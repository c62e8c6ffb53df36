/**
 * Writes the baseline migrations, one for each module, from the files of `supabase/schemas`. Refuses after the first
 * release: databases have run them.
 *
 * usage: deno task db:baseline
 */
import { fromFileUrl, join } from "@std/path";
import { readReleased } from "./released-migrations.ts";
import {
  readSchemaFiles,
  SCHEMA_MODULES,
  type SchemaFile,
  type SchemaModule,
} from "./schema-files.ts";

/** The file name of each module's baseline. */
const BASELINES: Readonly<Record<SchemaModule, string>> = {
  core: "20261122000100_core.sql",
  people: "20261122000200_people.sql",
  shop: "20261122000300_shop.sql",
};

const WHAT: Readonly<Record<SchemaModule, string>> = {
  core:
    "The module core: jobs, providers, costs, Storage, media, voices and the janitor.",
  people:
    "The module people: profiles, calls, avatars, slideshows and keepsakes. Needs core.",
  shop:
    "The module shop: vendors, orders, payments and deliveries. Needs core and people.",
};

/** The text of a module's baseline: its schema files in order. */
function baselineOf(
  module: SchemaModule,
  files: readonly SchemaFile[],
): string {
  const parts = files.filter((file) => file.module === module).map((
    { path, text },
  ) => `-- ${"=".repeat(5)} ${path}\n\n${text.trim()}\n`);
  return [
    `-- ${WHAT[module]}\n` +
    "-- Written by `deno task db:baseline` from supabase/schemas. Not to be edited: change the schema file.\n",
    ...parts,
  ].join("\n");
}

async function say(to: typeof Deno.stdout, text: string): Promise<void> {
  await to.write(new TextEncoder().encode(`${text}\n`));
}

if (import.meta.main) {
  const root = fromFileUrl(new URL("../../", import.meta.url));
  const { version } = await readReleased(root);
  if (version !== null) {
    await say(
      Deno.stderr,
      `Version ${version} was released with these migrations: they never change. Change the schema file, and write a small\n` +
        "migration, supabase/migrations/<timestamp>_<module>_<what>.sql; see CONTRIBUTING.md.",
    );
    Deno.exit(1);
  }
  const files = await readSchemaFiles(root);
  for (const module of SCHEMA_MODULES) {
    const path = join("supabase/migrations", BASELINES[module]);
    await Deno.writeTextFile(join(root, path), baselineOf(module, files));
    await say(Deno.stdout, `Wrote ${path}`);
  }
}
