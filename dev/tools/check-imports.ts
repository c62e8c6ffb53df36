/**
 * Fails when an import goes against the order of the layers, or a source names a package by address.
 *
 * usage: deno task check:imports
 */
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { checkImportMap, checkImports } from "./import-rules.ts";
import { readSourceTree, report } from "./source-tree.ts";

const importMap = z.object({ imports: z.record(z.string(), z.string()) });

const root = fromFileUrl(new URL("../../", import.meta.url));
const mapText = await Deno.readTextFile(
  new URL("../../import_map.json", import.meta.url),
);
const { imports } = importMap.parse(JSON.parse(mapText));

Deno.exit(
  await report([
    ...checkImportMap(imports, mapText),
    ...checkImports(await readSourceTree(root), imports),
  ]),
);
