/** `deno task new job-type`: its files pass the gate and their own tests, and the database accepts the type. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { withDependents } from "../../dev/tools/dependents.ts";
import { applyMigrations } from "../../dev/stack/postgres/migrate.ts";
import {
  listSourcePaths,
  readSourceTree,
} from "../../dev/tools/source-tree.ts";
import { withDatabase } from "../_support/database.ts";

const root = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** The tests of the new type: the generated one, and one to which the type is added. */
const TESTS_OF_TYPE = [
  "tests/unit/process-ai-job/sound-effect.test.ts",
  "tests/unit/client/job-types.test.ts",
];

/** Runs deno in a folder; returns its exit code and its output. */
async function deno(cwd: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function copyOfTheTree(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.makeTempDir({ prefix: "new-job-type-" });
  for (const path of await listSourcePaths(root)) {
    await Deno.mkdir(dirname(join(dir, path)), { recursive: true });
    await Deno.copyFile(`${root}/${path}`, join(dir, path));
  }
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

Deno.test("new job-type: its files pass the gate and their tests, and the database accepts such a job", async (t) => {
  await using copy = await copyOfTheTree();
  const { dir } = copy;
  const original = await readSourceTree(dir);

  await t.step(
    "an invalid name and an existing type write nothing",
    async () => {
      for (
        const [name, reason] of [
          ["SoundEffect", "SoundEffect is not a valid job type name"],
          ["transcription", "transcription.ts already exists"],
        ] as const
      ) {
        const { code, text } = await deno(dir, "task", "new", "job-type", name);
        assertEquals(code, 1);
        assertStringIncludes(text, reason);
      }
      assertEquals((await deno(dir, "task", "new", "job")).code, 2);
      assertEquals(await readSourceTree(dir), original);
    },
  );

  await t.step("deno task new job-type sound_effect", async () => {
    const { code, text } = await deno(
      dir,
      "task",
      "new",
      "job-type",
      "sound_effect",
    );
    assertEquals(code, 0, text);
  });

  // Only this file: the gate checks the types of all others in the original tree.
  await t.step("deno task ok --checks", async () => {
    const before = new Map(original.map(({ path, text }) => [path, text]));
    const files = await readSourceTree(dir);
    const changed = files.filter(({ path, text }) => before.get(path) !== text)
      .map(({ path }) => path);
    assert(changed.includes("supabase/functions/_shared/contracts/jobs.ts"));
    const affected = new Set([...changed, ...withDependents(files, changed)]);
    for (const test of TESTS_OF_TYPE) assert(affected.has(test), test);
    const { code, text } = await deno(
      dir,
      "task",
      "ok",
      "--checks",
      "--keep-going",
      `--files=${[...affected].join(",")}`,
    );
    assertEquals(code, 0, text);
  });

  // The previous step has checked their types, because they are among the affected files.
  await t.step("its tests pass", async () => {
    const { code, text } = await deno(
      dir,
      "test",
      "--no-check",
      "--lock=tests/deno.lock",
      "--allow-all",
      ...TESTS_OF_TYPE,
    );
    assertEquals(code, 0, text);
    assertMatch(text, /^running 3 tests from .*\/sound-effect\.test\.ts$/m);
    assertMatch(
      text,
      /^running [1-9]\d* tests? from .*\/job-types\.test\.ts$/m,
    );
  });

  await t.step("the database accepts a job of the type", async () => {
    await withDatabase(async (db) => {
      await applyMigrations(db.url, join(dir, "supabase/migrations"));
      const user = await db.createUser();
      const [job] = await db.asUser(
        user.id,
        (sql) =>
          sql<{ status: string; provider: string }[]>`
          insert into public.ai_jobs (job_type, metadata) values ('sound_effect', '{"text": "A door"}')
          returning status, provider`,
      );
      assert(job !== undefined);
      assertEquals({ ...job }, { status: "pending", provider: "elevenlabs" });
    }, { migrated: false });
  });
});
