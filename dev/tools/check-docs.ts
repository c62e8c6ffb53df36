/**
 * Fails when something exported has no doc comment, a link between pages leads nowhere, or a file names a path of
 * one machine.
 *
 * usage: deno task check:docs
 */
import { fromFileUrl } from "@std/path";
import {
  checkDocComments,
  checkLinks,
  checkMachinePaths,
} from "./doc-rules.ts";
import { listSourcePaths, readSourceTree, report } from "./source-tree.ts";

const root = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");
const files = await readSourceTree(root);

Deno.exit(
  await report([
    ...checkDocComments(files),
    ...checkLinks(files, await listSourcePaths(root)),
    ...checkMachinePaths(files, root),
  ]),
);
