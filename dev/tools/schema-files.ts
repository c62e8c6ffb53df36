/**
 * The source of the schema: the files of `supabase/schemas`, in the order of `schema_paths` in `supabase/config.toml`.
 * Each belongs to one module.
 */
import { parse as parseToml } from "@std/toml";
import { join } from "@std/path";
import { z } from "zod";
import type { Finding } from "./source-tree.ts";

/** The modules of the schema. Each uses only itself and earlier ones. */
export const SCHEMA_MODULES = ["core", "people", "shop"] as const;

/** See {@link SCHEMA_MODULES}. */
export type SchemaModule = typeof SCHEMA_MODULES[number];

/** A file of the schema. */
export interface SchemaFile {
  /** From the root of the tree: `supabase/schemas/jobs/claim.sql`. */
  path: string;
  module: SchemaModule;
  text: string;
}

const configSchema = z.object({
  db: z.object({
    migrations: z.object({ schema_paths: z.array(z.string()) }),
  }),
});

/** The module of a schema file, from its folder: `people`, `shop`, or a subject of the core. */
function schemaModuleOf(path: string): SchemaModule {
  const folder = /^supabase\/schemas\/([a-z_]+)\//.exec(path)?.[1];
  return SCHEMA_MODULES.find((module) => module === folder) ?? "core";
}

/**
 * The schema files of the tree at `root`, in the order in which they are built.
 *
 * @throws {Error} when config.toml lists no schema_paths, or a file that does not exist.
 */
export async function readSchemaFiles(root: string): Promise<SchemaFile[]> {
  const { db } = configSchema.parse(
    parseToml(await Deno.readTextFile(join(root, "supabase/config.toml"))),
  );
  return await Promise.all(db.migrations.schema_paths.map(async (listed) => {
    const path = `supabase/${listed.replace(/^\.\//, "")}`;
    return {
      path,
      module: schemaModuleOf(path),
      text: await Deno.readTextFile(join(root, path)),
    };
  }));
}

/** Schema files of `root` that are not listed, and other errors, sorted by file name. */
export async function findSchemaFaults(root: string): Promise<Finding[]> {
  const files = await readSchemaFiles(root);
  const listed = new Set(files.map(({ path }) => path));
  const faults: Finding[] = [];
  const folder = async (path: string): Promise<void> => {
    for await (const entry of Deno.readDir(join(root, path))) {
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory) await folder(child);
      else if (child.endsWith(".sql") && !listed.has(child)) {
        faults.push({
          path: child,
          line: 1,
          rule: "schema-unlisted",
          message:
            "is not in schema_paths of supabase/config.toml. List it after what it needs.",
        });
      }
    }
  };
  await folder("supabase/schemas");
  return [...faults, ...wrongUses(files)].sort((one, other) =>
    one.path < other.path ? -1 : 1
  );
}

const CREATED =
  /^create (?:table|function|view|sequence) ((?:public|private)\.[a-z_]+)/gm;

/** Uses of a later module's names: dependencies have one direction. */
function wrongUses(files: readonly SchemaFile[]): Finding[] {
  const owners = new Map<string, SchemaModule>();
  for (const { module, text } of files) {
    for (const [, name = ""] of text.matchAll(CREATED)) {
      owners.set(name, module);
    }
  }
  const rank = (module: SchemaModule) => SCHEMA_MODULES.indexOf(module);
  return files.flatMap(({ path, module, text }) => {
    const code = text.replace(/--[^\n]*/g, "");
    const used = new Set(code.match(/\b(?:public|private)\.[a-z_]+/g));
    return [...used].flatMap((name) => {
      const owner = owners.get(name);
      return owner !== undefined && rank(owner) > rank(module)
        ? [{
          path,
          line: 1,
          rule: "schema-module",
          message:
            `uses ${name} of the module ${owner}; ${module} must work without it.`,
        }]
        : [];
    });
  });
}
