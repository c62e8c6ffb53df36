/**
 * Fails when prose uses a word that `words.json` bans, or a test has a long name. The list also has the replacements,
 * the allowed uses, and the folders that are not checked yet.
 *
 * usage: deno task check:words [PATH…]   a PATH, such as docs/, is checked even where it is listed as not yet done
 */
import { fromFileUrl } from "@std/path";
import { readSourceTree, report } from "./source-tree.ts";
import { checkTestNames, checkWords, parseWordList } from "./word-rules.ts";

const root = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");
const files = await readSourceTree(root);
const list = parseWordList(
  await Deno.readTextFile(new URL("words.json", import.meta.url)),
);
const wanted = Deno.args;
const findings = wanted.length === 0
  ? [...checkWords(files, list), ...checkTestNames(files, list)]
  : [
    ...checkWords(files, { ...list, notYetDone: [] }),
    ...checkTestNames(files, { ...list, notYetDone: [] }),
  ].filter(({ path }) => wanted.some((place) => path.startsWith(place)));

Deno.exit(await report(findings));
