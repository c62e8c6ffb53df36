/**
 * Fails when an export has no doc comment, a link between pages is broken, or a file contains a path of one machine.
 *
 * usage: deno task check:docs
 */
import { fromFileUrl } from "@std/path";
import {
  checkDocComments,
  checkHeadComments,
  checkLinks,
  checkMachinePaths,
} from "./doc-rules.ts";
import { listSourcePaths, readSourceTree, report } from "./source-tree.ts";

const root = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");
const files = await readSourceTree(root);

Deno.exit(
  await report([
    ...checkDocComments(files),
    ...checkHeadComments(files),
    ...checkLinks(files, await listSourcePaths(root)),
    ...checkMachinePaths(files, root),
  ]),
);
