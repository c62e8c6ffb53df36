/** What a start of the stack does with the seed of a data folder whose first start failed while it seeded. */
import { assertEquals, assertRejects } from "@std/assert";
import { dirname, join } from "@std/path";
import { StackError } from "../../dev/stack/console/stack-error.ts";
import { prepareDatabase } from "../../dev/stack/postgres/prepare.ts";
import { openDataFolder } from "../../dev/stack/process/data-folder.ts";
import { readProject } from "../../dev/stack/project/project.ts";
import { withDatabase } from "../_support/database.ts";

const MIGRATION = `
  create extension if not exists supabase_vault with schema vault;
  create table public.notes (text text not null)`;
const SEED = "truncate public.notes; insert into public.notes values ('seed')";

/** Starts on one database and data folder, with or without the seed; the seed of the project can be replaced. */
async function withProject(
  run: (project: {
    start(seed: boolean): Promise<string[]>;
    write(text: string): Promise<string[]>;
    replaceSeed(text: string): Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const put = async (path: string, text: string) => {
    await Deno.mkdir(dirname(join(dir, path)), { recursive: true });
    await Deno.writeTextFile(join(dir, path), text);
  };
  try {
    await put("supabase/config.toml", "");
    await put("supabase/migrations/20260101000000_notes.sql", MIGRATION);
    const project = await readProject(dir);
    using folder = await openDataFolder(join(dir, "data"));
    await withDatabase(async (db) => {
      const notes = async () => {
        const rows = await db.sql<{ text: string }[]>`
          select text from public.notes order by text`;
        return rows.map(({ text }) => text);
      };
      await run({
        async start(seed) {
          const { isToBeSeeded } = await prepareDatabase(db.url, {
            project,
            folder,
            seed,
            secrets: {},
          });
          if (isToBeSeeded) await folder.noteSeeding(false);
          return await notes();
        },
        async write(text) {
          await db.sql`insert into public.notes values (${text})`;
          return await notes();
        },
        replaceSeed: (text) => put("supabase/seed.sql", text),
      });
    }, { migrated: false });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const BROKEN = "insert into public.missing values (1)";

Deno.test("prepare: a database that was used with --no-seed after a failed seed is never seeded", async () => {
  await withProject(async ({ start, write, replaceSeed }) => {
    await replaceSeed(BROKEN);
    await assertRejects(() => start(true), StackError, "--no-seed");
    await replaceSeed(SEED);
    assertEquals(await start(false), []);
    await write("my work");
    assertEquals(await start(true), ["my work"]);
  });
});

Deno.test("prepare: after a failed seed, the next plain start seeds, once", async () => {
  await withProject(async ({ start, write, replaceSeed }) => {
    await replaceSeed(BROKEN);
    await assertRejects(() => start(true), StackError, "--no-seed");
    await replaceSeed(SEED);
    assertEquals(await start(true), ["seed"]);
    await write("my work");
    assertEquals(await start(true), ["my work", "seed"]);
  });
});
