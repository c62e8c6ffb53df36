import { assertEquals } from "@std/assert";
import {
  checkDocComments,
  checkHeadComments,
  checkLinks,
  checkMachinePaths,
} from "../../../dev/tools/doc-rules.ts";

function undocumented(text: string, path = "dev/a.ts"): string[] {
  return checkDocComments([{ path, text }]).map(({ message }) => message);
}

Deno.test("checkDocComments: finds exported functions, classes, interfaces and arrow functions without one", () => {
  const found = undocumented(`
    import "zod";
    export function one() {}
    export async function two() {}
    export class Three {}
    export interface Four {}
    export const five = () => 5;
  `);
  assertEquals(
    found.map((message) => message.split(" is ")[0]),
    [
      "function one",
      "function two",
      "class Three",
      "interface Four",
      "function five",
    ],
  );
});

Deno.test("checkDocComments: accepts a doc comment, and no other kind of comment", () => {
  assertEquals(
    undocumented(`import "zod";\n/** Says what. */\nexport function one() {}`),
    [],
  );
  assertEquals(
    undocumented(`import "zod";\n// Says what.\nexport function one() {}`)
      .length,
    1,
  );
  assertEquals(
    undocumented(`import "zod";\n/* Says what. */\nexport function one() {}`)
      .length,
    1,
  );
});

Deno.test("checkDocComments: overloads share the comment of the first", () => {
  assertEquals(
    undocumented(
      `import "zod";\n/** One. */\nexport function one(a: string): void;\nexport function one(a: number): void;\nexport function one() {}`,
    ),
    [],
  );
});

Deno.test("checkDocComments: ignores unexported code, constants, tests, endpoints and generated files", () => {
  assertEquals(
    undocumented(
      `import "zod";\nfunction one() {}\nexport const two = 2;\nexport type Three = 3;`,
    ),
    [],
  );
  const text = `import "zod";\nexport function one() {}`;
  for (
    const path of [
      "tests/unit/a.test.ts",
      "supabase/functions/get-ai-job/handler.ts",
      "supabase/functions/_shared/database.types.ts",
      "dev/types/a.d.ts",
    ]
  ) assertEquals(undocumented(text, path), [], path);
});

const pages = [
  { path: "README.md", text: "# Edge AI jobs\n\n## How it works: a picture" },
  { path: "docs/security.md", text: "# Security\n" },
];
const paths = ["README.md", "docs/security.md", "docs/adr/0001-a.md", "a.svg"];

function brokenLinks(text: string, path = "docs/page.md"): string[] {
  return checkLinks([...pages, { path, text }], [...paths, path]).map((
    { line, message },
  ) => `${line} ${message}`);
}

Deno.test("checkLinks: finds broken links and images", () => {
  assertEquals(
    brokenLinks(
      'Text\n[a](gone.md) ![b](../b.svg)\n\n[c]: ./c.md\n<img src="d.png">',
    ),
    [
      "2 gone.md links to a missing file",
      "2 ../b.svg links to a missing file",
      "4 ./c.md links to a missing file",
      "5 d.png links to a missing file",
    ],
  );
});

Deno.test("checkLinks: checks the links of llms.txt, and of no other text file", () => {
  const text = "- [A](gone.md): a page";
  assertEquals(
    ["llms.txt", "notes.txt"].map((path) =>
      checkLinks([{ path, text }], [path]).length
    ),
    [1, 0],
  );
});

Deno.test("checkLinks: finds anchors without a heading, on this page and on others", () => {
  assertEquals(
    brokenLinks("# Top\n[a](#nothing) [b](security.md#nothing)"),
    [
      "2 #nothing links to a missing heading",
      "2 security.md#nothing links to a missing heading",
    ],
  );
});

Deno.test("checkLinks: accepts files, folders, anchors and titles, and ignores other hosts and code", () => {
  assertEquals(
    brokenLinks([
      "# Top",
      "[a](security.md) [b](../README.md#how-it-works-a-picture) [c](#top) [d](adr/) [e](../a.svg 'A')",
      "[f](https://example.com/gone.md) [g](mailto:a@example.com) `[h](gone.md)`",
      "```md",
      "[i](gone.md)",
      "```",
    ].join("\n")),
    [],
  );
});

/** Concatenated, so that this file itself contains no such path. */
const path = (...parts: string[]) => ["", ...parts].join("/");

function machinePaths(text: string): string[] {
  return checkMachinePaths([{ path: "a.md", text }], path("srv", "checkout"))
    .map(({ line, message }) => `${line} ${message.split("…")[0]}`);
}

Deno.test("checkMachinePaths: finds homes, temporary checkouts and this checkout", () => {
  for (
    const text of [
      path("home", "ann", "edge-ai-jobs"),
      path("Users", "ann", "x"),
      path("root", ".cache"),
      path("tmp", "probe", "a.ts"),
      path("srv", "checkout", "deno.json"),
      `file://${path("home", "ann", "x")}`,
      ["C:", "Users", "ann"].join("\\"),
    ]
  ) assertEquals(machinePaths(`one\nsee ${text}`).length, 1, text);
});

Deno.test("checkMachinePaths: ignores URLs, routes, relative paths and the names of system folders", () => {
  for (
    const text of [
      "nothing is written outside /tmp",
      "/usr/local/bin:/usr/bin:/bin and /var/cache/edge-ai-jobs",
      "https://example.com/home/ann/x",
      "/storage/v1/object/sign/uploads",
      "web/home/ann/",
      "`/tmp/edge-ai-jobs-${uid}`",
    ]
  ) assertEquals(machinePaths(text), [], text);
});

Deno.test("checkHeadComments: finds a file that does not begin with a comment, and no test", () => {
  const bare = `import "zod";\n/** One. */\nexport function one() {}`;
  assertEquals(
    checkHeadComments([
      { path: "dev/a.ts", text: bare },
      { path: "supabase/functions/one/index.ts", text: bare },
      { path: "dev/b.ts", text: `/** What it contains. */\n${bare}` },
      { path: "tests/unit/a.test.ts", text: bare },
    ]).map(({ path }) => path),
    ["dev/a.ts", "supabase/functions/one/index.ts"],
  );
});
