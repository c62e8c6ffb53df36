/** The npm package of the client: its files, imports and size. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { z } from "zod";
import {
  buildClient,
  BuildError,
  CORE_BUDGET_BYTES,
  measureEntry,
  removeEarlierBuild,
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

Deno.test("build:client: replaces an earlier build, and no other folder that has files", async () => {
  const dir = await Deno.makeTempDir();
  const make = async (name: string, content: Record<string, string>) => {
    const folder = join(dir, name);
    await Deno.mkdir(folder);
    for (const [path, text] of Object.entries(content)) {
      await Deno.writeTextFile(join(folder, path), text);
    }
    return folder;
  };
  const isThere = (path: string) =>
    Deno.stat(path).then(() => true, () => false);
  const ours = files.get("package.json") ?? "";
  try {
    const kept = [
      await make("photos", { "one.jpg": "" }),
      await make("other-package", { "package.json": "{}", "mod.js": "" }),
      await make("no-json", { "package.json": "{", "mod.js": "" }),
      await make("sources", { "package.json": ours, "mod.ts": "" }),
      join(await make("parent", { "a-file": "" }), "a-file"),
    ];
    for (const folder of kept) {
      const error = await assertRejects(
        () => removeEarlierBuild(folder),
        BuildError,
      );
      assert(error.message.startsWith(`${folder} `), error.message);
      assert(await isThere(folder), folder);
    }
    assert(await isThere(join(dir, "photos", "one.jpg")));

    const built = await make("built", { "package.json": ours, "mod.js": "" });
    await Deno.mkdir(join(built, "template"));
    await removeEarlierBuild(built);
    assertEquals(await isThere(built), false);
    await removeEarlierBuild(built);
    await removeEarlierBuild(await make("empty", {}));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
