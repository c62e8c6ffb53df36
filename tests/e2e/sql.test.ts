/** `deno task sql`, as docs/operations.md has it: `deno task sql "select * from private.ai_health"`. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { makeProject, startChild } from "../_support/stack-fixture.ts";

const repository = fromFileUrl(new URL("../../", import.meta.url));

async function runSql(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "sql", ...args],
    cwd: repository,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

Deno.test("sql: it connects to the running stack as postgres, and reports SQL errors and a missing stack", async () => {
  await using folder = await makeProject();
  const data = join(folder.dir, "data");
  const nobody = await runSql("--data", data, "select 1");
  assertEquals(nobody.code, 1);
  assertStringIncludes(nobody.stderr, "No stack is running on");

  await using _stack = await startChild(repository, ["--data", data]);
  const table = await runSql(
    "--data",
    data,
    "select current_user, 1 + 1 as two",
  );
  assertEquals([table.code, table.stdout], [
    0,
    "current_user  two\n------------  ---\npostgres      2\n(1 row)\n",
  ]);
  const json = await runSql(
    "--data",
    data,
    "--json",
    "select * from private.ai_health",
  );
  assertEquals(json.code, 0, json.stderr);
  assertEquals(JSON.parse(json.stdout).stuck, "0");
  const refused = await runSql("--data", data, "select * from no_such_table");
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertStringIncludes(
    refused.stderr,
    'relation "no_such_table" does not exist',
  );
});
