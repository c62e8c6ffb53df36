import { assertEquals } from "@std/assert";
import { withDependents } from "../../../dev/tools/dependents.ts";

const files = Object.entries({
  "a/contract.ts": "export const one = 1;",
  "a/uses.ts": 'import { one } from "./contract.ts";',
  "b/reexports.ts": 'export * from "../a/uses.ts";',
  "b/page.tsx": 'const uses = await import(\n  "./reexports.ts"\n);',
  "b/types.ts": 'type One = typeof import("../a/contract.ts").one;',
  "b/other.ts": 'import { assert } from "@std/assert"; import "./alone.ts";',
  "b/alone.ts": "export {};",
  "docs/page.md": 'import { one } from "../a/contract.ts";',
}).map(([path, text]) => ({ path, text }));

Deno.test("withDependents: a changed file and everything that imports it, directly or not", () => {
  assertEquals(withDependents(files, ["a/contract.ts"]), [
    "a/contract.ts",
    "a/uses.ts",
    "b/page.tsx",
    "b/reexports.ts",
    "b/types.ts",
  ]);
});

Deno.test("withDependents: a new file has none, and other types of files are left out", () => {
  assertEquals(withDependents(files, ["b/other.ts", "docs/page.md"]), [
    "b/other.ts",
  ]);
  assertEquals(withDependents(files, []), []);
});
