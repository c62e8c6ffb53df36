/** `deno task sql`, as in docs/operations.md: `deno task sql "select * from private.ai_health"`. */
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

Deno.test("sql: it connects to the running stack as postgres, and prints rows, changes, notices and errors", async () => {
  await using folder = await makeProject();
  const data = join(folder.dir, "data");
  const withoutStack = await runSql("--data", data, "select 1");
  assertEquals(withoutStack.code, 1);
  assertStringIncludes(withoutStack.stderr, "No stack is running on");

  await using _stack = await startChild(repository, [
    "--data",
    data,
    "--boot-on-demand",
  ]);
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
  const changed = await runSql(
    "--data",
    data,
    "create temp table t (n int); insert into t values (1), (2), (3); update t set n = n + 1; " +
      "do $$ begin raise notice 'half way'; end $$; select n from t where n > 3; delete from t where n > 9",
  );
  assertEquals(changed, {
    code: 0,
    stdout:
      "CREATE TABLE\nINSERT 0 3\nUPDATE 3\nDO\nn\n-\n4\n(1 row)\nDELETE 0\n",
    stderr:
      "NOTICE:  half way\nCONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE\n",
  });
  const refused = await runSql("--data", data, "select * from no_such_table");
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertStringIncludes(
    refused.stderr,
    'ERROR:  relation "no_such_table" does not exist\nLINE 1: select * from no_such_table\n',
  );
});
