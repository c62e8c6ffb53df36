/** One line of the import map moves the deployed part of the standard library to JSR (docs/adr/0008-standard-library.md). */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { z } from "zod";
import { checkImportMap } from "../../../dev/tools/import-rules.ts";

const ROOT = new URL("../../../", import.meta.url);
const LINE = ["@std/encoding", "jsr:@std/encoding@1.0.10"] as const;

const importMap = async () =>
  z.object({ imports: z.record(z.string(), z.string()) }).parse(
    JSON.parse(await Deno.readTextFile(new URL("import_map.json", ROOT))),
  ).imports;

/** The files of `@std/encoding` in the npm package, by path. */
async function packageFiles(): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json"],
    cwd: fromFileUrl(ROOT),
  }).output();
  const { npmCache } = z.object({ npmCache: z.string() }).parse(
    JSON.parse(new TextDecoder().decode(stdout)),
  );
  const [, version = ""] =
    /^npm:deno-std@([\d.]+)\//.exec((await importMap())[LINE[0]] ?? "") ?? [];
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for await (const { name: host } of Deno.readDir(npmCache)) {
    const folder = join(npmCache, host, "deno-std", version, "encoding");
    try {
      for await (const { name } of Deno.readDir(folder)) {
        files.set(`/${name}`, await Deno.readFile(join(folder, name)));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return files;
}

/** A JSR registry with one package, by the registry API of JSR: https://jsr.io/docs/api */
function serveRegistry(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>) {
  const requested: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const path = new URL(request.url).pathname;
      requested.push(path);
      if (path === "/@std/encoding/meta.json") {
        return Response.json({
          scope: "std",
          name: "encoding",
          latest: "1.0.10",
          versions: { "1.0.10": {} },
        });
      }
      if (path === "/@std/encoding/1.0.10_meta.json") {
        const manifest = Object.fromEntries(
          await Promise.all(
            [...files].map(async ([name, bytes]) => {
              const digest = await crypto.subtle.digest("SHA-256", bytes);
              const checksum = `sha256-${new Uint8Array(digest).toHex()}`;
              return [name, { size: bytes.length, checksum }] as const;
            }),
          ),
        );
        return Response.json({ manifest, exports: { ".": "./mod.js" } });
      }
      const bytes = files.get(path.replace("/@std/encoding/1.0.10", ""));
      return bytes === undefined
        ? new Response(null, { status: 404 })
        : new Response(bytes, {
          headers: { "content-type": "application/javascript" },
        });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    requested,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("std from JSR: one line of the import map, and the product's imports resolve and work", async () => {
  const files = await packageFiles();
  await using registry = serveRegistry(files);
  const dir = await Deno.makeTempDir({ prefix: "std-jsr-" });
  try {
    const imports = { ...await importMap(), [LINE[0]]: LINE[1] };
    await Deno.writeTextFile(
      join(dir, "import_map.json"),
      JSON.stringify({ imports }),
    );
    await Deno.writeTextFile(
      join(dir, "main.ts"),
      `import { decodeBase64, encodeBase64 } from "@std/encoding";
console.log(import.meta.resolve("@std/encoding"));
console.log(encodeBase64("foobar"), decodeBase64("Zm9vYmFy").length);
`,
    );
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-lock",
        "--no-check",
        "--no-config",
        `--import-map=${join(dir, "import_map.json")}`,
        join(dir, "main.ts"),
      ],
      // A separate cache, so that nothing of JSR comes from an earlier run.
      env: { JSR_URL: registry.url, DENO_DIR: join(dir, "cache") },
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, decoder.decode(stderr));
    assertStringIncludes(decoder.decode(stdout), "Zm9vYmFy 6\n");
    assertStringIncludes(
      decoder.decode(stdout),
      `${registry.url}@std/encoding/1.0.10/mod.js`,
    );
    assertStringIncludes(
      registry.requested.join(" "),
      "/@std/encoding/1.0.10/base64.js",
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("import map: an exact version of @std from JSR is allowed, and nothing else from JSR", () => {
  const refused = (target: string) =>
    checkImportMap({ a: target }, `"a"`).length;
  assertEquals(refused(LINE[1]), 0);
  assertEquals(refused("jsr:@std/toml@1.0.1/parse"), 0);
  assertEquals(refused("jsr:@std/encoding"), 1);
  assertEquals(refused("jsr:@std/encoding@1"), 1);
  assertEquals(refused("jsr:@other/encoding@1.0.10"), 1);
});
