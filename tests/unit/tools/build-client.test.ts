/** The npm package of the client: its files, imports and size. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import {
  buildClient,
  CORE_BUDGET_BYTES,
  measureEntry,
} from "../../../dev/tools/build-client.ts";

const files = await buildClient();

const packageSchema = z.object({
  exports: z.record(
    z.string(),
    z.union([
      z.literal("./package.json"),
      z.object({ types: z.string(), default: z.string() }),
    ]),
  ),
  peerDependencies: z.record(z.string(), z.string()),
  dependencies: z.undefined().optional(),
});

Deno.test("build:client: every export of the package has its code and its types", () => {
  const { exports } = packageSchema.parse(
    JSON.parse(files.get("package.json") ?? ""),
  );
  for (const one of Object.values(exports)) {
    for (const path of typeof one === "string" ? [one] : Object.values(one)) {
      assert(files.has(path.replace("./", "")), path);
    }
  }
});

Deno.test("build:client: files import each other by their names in the package, and only its peers", () => {
  const { peerDependencies } = packageSchema.parse(
    JSON.parse(files.get("package.json") ?? ""),
  );
  for (const [path, text] of files) {
    if (!/\.(js|d\.ts)$/.test(path)) continue;
    for (const [, specifier = ""] of text.matchAll(/\bfrom "([^"]+)"/g)) {
      const isFile = specifier.startsWith("./") &&
        files.has(specifier.slice(2));
      assert(isFile || specifier in peerDependencies, `${path}: ${specifier}`);
    }
    assert(!/\b(Deno|process|Buffer)\./.test(text), path);
  }
});

Deno.test("build:client: only the entry for React imports React, and it is a client module", () => {
  const users = [...files].filter(([path, text]) =>
    path.endsWith(".js") && text.includes('from "react"')
  );
  assertEquals(users.map(([path]) => path), ["react.js"]);
  assert(users[0]?.[1].startsWith('"use client";'));
});

Deno.test("build:client: the core keeps within its budget", async () => {
  const bytes = await measureEntry("mod.ts");
  assert(bytes <= CORE_BUDGET_BYTES, String(bytes));
  assertEquals(CORE_BUDGET_BYTES, 6 * 1024);
});
