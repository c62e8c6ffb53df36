/**
 * Fails when an import violates the layers, a source imports a package by URL, a lock file has wrong entries, or a
 * schema file is not listed or uses a later module.
 *
 * usage: deno task check:imports
 */
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import {
  checkImportMap,
  checkImports,
  importedPackages,
} from "./import-rules.ts";
import { checkLocks, DEMO_SOURCES, PEER_SOURCES } from "./lock-rules.ts";
import { findSchemaFaults } from "./schema-files.ts";
import { readSourceTree, report } from "./source-tree.ts";

const importMap = z.object({ imports: z.record(z.string(), z.string()) });
const lockFile = z.object({
  specifiers: z.record(z.string(), z.string()),
  npm: z.record(z.string(), z.object({ integrity: z.string().optional() })),
});

const root = fromFileUrl(new URL("../../", import.meta.url));
const read = (path: string) => Deno.readTextFile(`${root}/${path}`);
const mapText = await read("import_map.json");
const { imports } = importMap.parse(JSON.parse(mapText));
const files = await readSourceTree(root);

Deno.exit(
  await report([
    ...checkImportMap(imports, mapText),
    ...await findSchemaFaults(root),
    ...checkImports(files, imports),
    ...checkLocks({
      small: lockFile.parse(JSON.parse(await read("deno.lock"))),
      full: lockFile.parse(JSON.parse(await read("tests/deno.lock"))),
      used: importedPackages(files, imports, DEMO_SOURCES, PEER_SOURCES),
    }),
  ]),
);
