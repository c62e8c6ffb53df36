import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { readProjectEnv } from "../../../dev/stack/project-env.ts";

/** What a project with these lines in supabase/functions/.env gives its functions. */
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

Deno.test("project env: a variable without a value takes nothing of the next line, whatever blanks are behind it", async () => {
  for (const blanks of ["", " ", "  \t", "\r", " \r", " # none"]) {
    assertEquals(await read(`DID_API_KEY=${blanks}\nHEYGEN_API_KEY=key\n`), {
      HEYGEN_API_KEY: "key",
    });
  }
});

Deno.test("project env: quotes, export and comments are no part of a value, and SUPABASE_ belongs to the platform", async () => {
  assertEquals(
    await read(
      "export DID_API_KEY='a b' # mine\nSUPABASE_URL=http://x\nTEXT=\"two\\nlines\"\n",
    ),
    { DID_API_KEY: "a b", TEXT: "two\nlines" },
  );
});
