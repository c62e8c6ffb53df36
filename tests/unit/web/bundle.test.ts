import { assert, assertEquals, assertThrows } from "@std/assert";
import { measurePage, PAGE_BUDGETS } from "../../../dev/tools/build-web.ts";
import { bundlePage, minifyCss } from "../../../dev/web/bundle.ts";
import { pruneMembers } from "../../../dev/web/prune.ts";
import { servePage } from "../../../dev/web/serve.ts";
import { ConfigError, readConfig } from "../../../web/shell/config.ts";
import { encodeWav } from "../../../web/demo/wav.ts";

Deno.test("page: scripts and styles stay within their budgets, and name no other origin", async () => {
  const files = await bundlePage();
  for (const extension of [".js", ".css"] as const) {
    const bytes = measurePage(files, extension);
    assert(bytes <= PAGE_BUDGETS[extension], `${extension}: ${bytes} bytes`);
  }
  const decoder = new TextDecoder();
  for (const [path, bytes] of files) {
    if (!/\.(html|css)$/.test(path)) continue;
    assertEquals(decoder.decode(bytes).match(/(https?:)?\/\/[\w.-]+/g), null);
  }
  // Every file that a page refers to exists, relative to its folder.
  for (const [path, bytes] of files) {
    if (!path.endsWith(".html")) continue;
    for (
      const [, to] of decoder.decode(bytes).matchAll(/(?:href|src)="(.*?)"/g)
    ) {
      const { pathname } = new URL(to ?? "", `http://x/${path}`);
      assert(files.has(pathname.slice(1)), `${path} names ${to}`);
    }
  }
});

Deno.test("page: the stand-in has every name that the scripts import from it", async () => {
  const decoder = new TextDecoder();
  const scripts = [...await bundlePage()].filter(([path]) =>
    path.endsWith(".js")
  ).map(([path, bytes]) => ({ path, code: decoder.decode(bytes) }));
  const standIn = scripts.find(({ path }) => path.includes("unused"))?.code ??
    "";
  const exported = [...standIn.matchAll(/export\{(.*?)\}/g)].flatMap((
    [, list],
  ) => list?.split(",").map((name) => name.split(" as ").at(-1)) ?? []);
  const main = scripts.find(({ path }) => path.includes("main"))?.code ?? "";
  const imports = [...main.matchAll(/import([\s\w{},$]+?)from"\.\/unused/g)];
  assert(imports.length > 0);
  for (const [, what = ""] of imports) {
    const names = /\{(.*)\}/.exec(what)?.[1]?.split(",").map((name) =>
      name.split(" as ")[0]
    ) ?? ["default"];
    assertEquals(
      names.filter((name) =>
        !exported.includes(name)
      ),
      [],
    );
  }
  assertEquals(main.match(/from"(?!\.\/unused)/g), null);
});

Deno.test("pruneMembers: what is never constructed or called goes, although its name is used elsewhere", () => {
  const code = (...lines: string[]) => lines.join("\n");
  const classOf = (name: string, ...members: string[]) =>
    code(`var ${name} = class {`, ...members, "};");
  const member = code("  send() {", "    return 1;", "  }");
  const use = "new A(globalThis.WebSocket || B).send();";
  assertEquals(
    pruneMembers(
      code(
        classOf("A", member),
        classOf("B", member),
        classOf("C", member),
        use,
      ),
      new Set(["B", "C.send"]),
    ),
    code(classOf("A", member), classOf("B"), classOf("C"), use),
  );
});

Deno.test("pruneMembers: removes members that are used only by one another, or not at all", () => {
  const code = (...lines: string[]) => lines.join("\n");
  assertEquals(
    pruneMembers(code(
      "var A = class {",
      "  constructor() {",
      "    this.kept = {",
      "      inner: 1",
      "    };",
      "    this.lost = {",
      "      first: this._first.bind(this)",
      "    };",
      "  }",
      "  /** Not a use of first: a comment. */",
      "  async _first(a, b = {}) {",
      "    if (a) {",
      "      return b;",
      "    }",
      "    return this._second();",
      "  }",
      "  *_second() {",
      '    return "/lost/second";',
      "  }",
      "  recursive(options) {",
      "    throw new Error(`use elsewhere({ a }) instead`);",
      "    return this.recursive(options.recursive);",
      "  }",
      "  elsewhere() {",
      "    return 4;",
      "  }",
      "  listed() {",
      '    throw new Error("call alone instead");',
      "  }",
      "  alone() {",
      "    return 3;",
      "  }",
      "  toJSON() {",
      "    return this.kept;",
      "  }",
      "};",
      "function alone2() {",
      '  new A()["listed"]();',
      "}",
    )),
    code(
      "var A = class {",
      "  constructor() {",
      "    this.kept = {",
      "      inner: 1",
      "    };",
      "  }",
      "  listed() {",
      '    throw new Error("call alone instead");',
      "  }",
      "  toJSON() {",
      "    return this.kept;",
      "  }",
      "};",
      "function alone2() {",
      '  new A()["listed"]();',
      "}",
    ),
  );
});

Deno.test("page server: routes, assets, a config per host, and 404 for the rest", async () => {
  const stack: { config?: { url: string; publishableKey: string } } = {};
  await using page = await servePage({ port: 0, config: () => stack.config });
  const get = async (path: string) => {
    const response = await fetch(page.url + path);
    return [response.status, await response.text()] as const;
  };
  assertEquals(await page.ready, undefined);
  assertEquals((await get("/config.json"))[0], 503);
  stack.config = { url: "http://127.0.0.1:1", publishableKey: "k" };
  assertEquals(await get("/config.json"), [
    200,
    '{"url":"http://127.0.0.1:1","publishableKey":"k"}',
  ]);
  const local = await fetch(
    page.url.replace("127.0.0.1", "localhost") + "/config.json",
  )
    .then((response) => response.json(), () => null);
  if (local !== null) assertEquals(local.url, "http://localhost:1");
  const [, home] = await get("/");
  assertEquals((await get("/ops"))[0], 200);
  const script = /src="\.\/(assets\/main-\w+\.js)"/.exec(home)?.[1];
  assertEquals((await get(`/${script}`))[0], 200);
  assertEquals((await get("/../deno.json"))[0], 404);
  assertEquals((await get("/nothing"))[0], 404);
});

Deno.test("page config: a missing, wrong or secret value is named", () => {
  const good = {
    url: "https://a.supabase.co/",
    publishableKey: "sb_publishable_x",
  };
  assertEquals(readConfig(good), {
    url: "https://a.supabase.co",
    publishableKey: "sb_publishable_x",
  });
  const local = {
    demoUser: { email: "a@example.com", password: "p" },
    demoOperator: { email: "o@example.com", password: "p" },
    sqlCommand: "deno task sql",
    note: "Simulated.",
  };
  assertEquals(readConfig({ ...good, ...local }), {
    url: "https://a.supabase.co",
    publishableKey: "sb_publishable_x",
    ...local,
  });
  assertEquals(
    readConfig({ ...good, demoOperator: { email: "o@example.com" } })
      .demoOperator,
    undefined,
  );
  for (
    const [wrong, message] of [
      [null, '"url"'],
      [{ ...good, url: "a.supabase.co" }, '"url"'],
      [{ ...good, publishableKey: "" }, '"publishableKey"'],
      [{ ...good, publishableKey: "sb_secret_x" }, "secret key"],
    ] as const
  ) assertThrows(() => readConfig(wrong), ConfigError, message);
});

Deno.test("minifyCss: removes comments and space without changing the meaning", () => {
  assertEquals(
    minifyCss(
      "/* x */\na > b {\n  margin: 0 1px;\n  width: calc(1px + 2px);\n}\n",
    ),
    "a > b{margin:0 1px;width:calc(1px + 2px)}",
  );
});

Deno.test("encodeWav: a header of 44 bytes and 16-bit samples, clipped", () => {
  const bytes = encodeWav(new Float32Array([0, 1, -2]), 16_000);
  assertEquals(new TextDecoder("latin1").decode(bytes.subarray(0, 4)), "RIFF");
  const view = new DataView(bytes.buffer);
  assertEquals(bytes.length, 50);
  assertEquals(view.getUint32(24, true), 16_000);
  assertEquals([44, 46, 48].map((at) => view.getInt16(at, true)), [
    0,
    32767,
    -32767,
  ]);
});
