import { assertEquals, assertThrows } from "@std/assert";
import {
  checkTestNames,
  checkWords,
  parseWordList,
  proseOf,
  type WordList,
} from "../../../dev/tools/word-rules.ts";

const LIST: WordList = {
  banned: [
    { words: "frobs?", instead: "turn" },
    { words: "spin round", instead: "rotate" },
    { words: "wares", instead: "goods", except: "(^|/)shop/" },
  ],
  allowed: [],
  notYetDone: [],
};

/** The findings in one file, as `line message`. */
function found(path: string, text: string, list: Partial<WordList> = {}) {
  return checkWords([{ path, text }], { ...LIST, ...list })
    .map(({ line, message }) => `${line} ${message}`);
}

Deno.test("checkWords: finds a word in comments and strings of TypeScript, and not in code", () => {
  assertEquals(
    found(
      "dev/a.ts",
      [
        'import { x } from "./frob.ts";',
        "/** Frobs it. */",
        "export const frob = x; // a frob",
        'const b = "frob", c = `a ${frob} frob ${frob} end`;',
        "const d = /frob/;",
      ].join("\n"),
    ).toSorted(),
    [
      '2 "Frobs": write turn',
      '3 "frob": write turn',
      '4 "frob": write turn',
      '4 "frob": write turn',
    ],
  );
});

Deno.test("checkWords: finds a phrase across two lines of a comment, and no part of a longer word", () => {
  assertEquals(
    found("dev/a.ts", "/**\n * They spin\n * round. Frobnicate.\n */\n"),
    ['2 "spin round": write rotate'],
  );
});

Deno.test("checkWords: reads comments, strings and policy names of SQL, in function bodies as well", () => {
  assertEquals(
    found(
      "supabase/a.sql",
      "-- frob\nselect frob, 'it''s a frob';\ncreate policy \"Owners frob\" on a;\ncreate function f() as $$\n  -- frob\n  select frob;\n$$;",
    ).map((line) => line.split(" ")[0]),
    ["1", "2", "3", "5"],
  );
});

Deno.test("checkWords: reads Markdown without code and link targets, and the comments of settings", () => {
  assertEquals(
    found("docs/a.md", "`frob` [it](frob.md)\n\n```sh\nfrob\n```\n\nA frob.\n"),
    ['7 "frob": write turn'],
  );
  assertEquals(found(".env.example", "# A frob\nFROB=frob\n"), [
    '1 "frob": write turn',
  ]);
  assertEquals(proseOf({ path: "docs/a.svg", text: "frob" }), null);
});

Deno.test("checkWords: ignores folders not yet done, paths of an exception and allowed lines", () => {
  assertEquals(found("dev/a.ts", "// frob", { notYetDone: ["dev/"] }), []);
  assertEquals(found("dev/shop/a.ts", "// wares"), []);
  assertEquals(found("dev/a.ts", "// wares").length, 1);
  const allowed = [{ path: "dev/a.ts", text: "a good frob" }];
  assertEquals(found("dev/a.ts", "// a good frob", { allowed }), []);
  assertEquals(found("dev/a.ts", "// a frob\n// a good frob", { allowed }), [
    '1 "frob": write turn',
  ]);
});

Deno.test("checkWords: an allowed use that no longer exists is a finding", () => {
  assertEquals(
    found("dev/a.ts", "// fine", {
      allowed: [{ path: "dev/a.ts", text: "a good frob" }],
    }),
    ["1 allowed: nothing in dev/a.ts needs this entry; remove it"],
  );
});

Deno.test("checkTestNames: finds names of tests and steps that are too long", () => {
  const long = "n".repeat(101);
  const text = [
    `Deno.test("${"n".repeat(100)}", () => {});`,
    `Deno.test("${long}", () => {});`,
    `Deno.test(\`${long}\${a}\`, async (t) => {`,
    `  await t.step("${long}", () => {});`,
    `});`,
  ].join("\n");
  const lines = (path: string, list = LIST) =>
    checkTestNames([{ path, text }], list).map(({ line }) => line);
  assertEquals(lines("tests/a.test.ts"), [2, 3, 4]);
  assertEquals(lines("tests/a.ts"), []);
  assertEquals(
    lines("tests/a.test.ts", { ...LIST, notYetDone: ["tests/"] }),
    [],
  );
});

Deno.test("parseWordList: refuses an unknown member", () => {
  assertThrows(() => parseWordList(JSON.stringify({ ...LIST, extra: 1 })));
  assertEquals(parseWordList(JSON.stringify(LIST)), LIST);
});
