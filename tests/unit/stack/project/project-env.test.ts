import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { findStrayLine } from "../../../../dev/stack/project/env-file.ts";
import { readProjectEnv } from "../../../../dev/stack/project/project-env.ts";
import { StackError } from "../../../../dev/stack/console/stack-error.ts";

/** The variables of the functions of a project with these lines in supabase/functions/.env. */
async function read(text: string): Promise<Record<string, string>> {
  const dir = await Deno.makeTempDir({ prefix: "project-env-" });
  try {
    await Deno.mkdir(join(dir, "supabase", "functions"), { recursive: true });
    await Deno.writeTextFile(join(dir, "supabase", "functions", ".env"), text);
    return await readProjectEnv(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("project env: a variable without a value does not continue on the next line", async () => {
  for (const blanks of ["", " ", "  \t", "\r", " \r", " # none"]) {
    assertEquals(await read(`DID_API_KEY=${blanks}\nHEYGEN_API_KEY=key\n`), {
      HEYGEN_API_KEY: "key",
    });
  }
});

Deno.test("project env: values exclude quotes, export and comments; SUPABASE_ names belong to the platform", async () => {
  assertEquals(
    await read(
      "export DID_API_KEY='a b' # mine\nSUPABASE_URL=http://x\nTEXT=\"two\\nlines\"\n",
    ),
    { DID_API_KEY: "a b", TEXT: "two\nlines" },
  );
});

Deno.test("project env: an invalid line is refused by its number", async () => {
  await assertRejects(
    () => read("# keys\n\nDID_API_KEY=key\nthis is not env\n"),
    StackError,
    "supabase/functions/.env, line 4: must be NAME=value",
  );
});

Deno.test("findStrayLine: undefined for everything that dotenv reads", () => {
  for (
    const text of [
      "",
      "\n \n\t\r\n",
      "\ufeffA=1\n",
      "# a comment\n  # another\r\n",
      "A=1\nexport B=2\nC = 3\nD: 4\nE=\n",
      'A="two\nlines" # and a comment\nB=1\n',
      "A='it''s'\n",
    ]
  ) assertEquals(findStrayLine(text), undefined, JSON.stringify(text));
  assertEquals(findStrayLine("A=1\r\nAB\r\n"), 2);
  assertEquals(findStrayLine('A="two\nlines"\nstray'), 3);
  assertEquals(findStrayLine('A="no end\nstray\n'), 2);
});
