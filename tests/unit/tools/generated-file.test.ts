import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import {
  compareTexts,
  writeOrCheck,
} from "../../../dev/tools/generated-file.ts";

Deno.test("compareTexts: equal texts are current", () => {
  assertEquals(compareTexts("a\nb\n", "a\nb\n"), { isCurrent: true });
});

Deno.test("compareTexts: shows the different lines, and the number of the first", () => {
  assertEquals(compareTexts("a\nb\nc\nd", "a\nB\nc2\nd"), {
    isCurrent: false,
    difference: "from line 2:\n- b\n- c\n+ B\n+ c2",
  });
  assertEquals(compareTexts("a\nb", "a\nx\nb"), {
    isCurrent: false,
    difference: "from line 2:\n+ x",
  });
  assertEquals(compareTexts("a\na", "a\na\na"), {
    isCurrent: false,
    difference: "from line 3:\n+ a",
  });
});

Deno.test("compareTexts: a long difference is shortened, with the number of omitted lines", () => {
  const comparison = compareTexts("", "line\n".repeat(40));
  assertStringIncludes(
    comparison.isCurrent ? "" : comparison.difference,
    "+ … 28 more lines",
  );
});

Deno.test("writeOrCheck: writes, and with --check fails exactly when the file differs or is missing", async () => {
  const dir = await Deno.makeTempDir();
  const said: string[] = [];
  const run = (content: string, args: string[]) =>
    writeOrCheck(
      { path: join(dir, "a.sql"), content, task: "db:model" },
      args,
      (text) => said.push(text),
    );
  try {
    assertEquals(await run("one\n", ["--check"]), 1);
    assertEquals(await run("one\n", []), 0);
    assertEquals(await Deno.readTextFile(join(dir, "a.sql")), "one\n");
    assertEquals(await run("one\n", ["--check"]), 0);
    said.length = 0;
    assertEquals(await run("two\n", ["--check"]), 1);
    assertStringIncludes(
      said.join(""),
      "Run: deno task db:model\nfrom line 1:\n- one\n+ two",
    );
    assertEquals(await Deno.readTextFile(join(dir, "a.sql")), "one\n");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
