/**
 * What the stack reports about a migration that fails or was changed. tests/e2e/stack-lifecycle.test.ts tests its
 * output.
 */
import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import { StackError } from "../../dev/stack/console/stack-error.ts";
import { applyMigrations } from "../../dev/stack/postgres/migrate.ts";
import { withDatabase } from "../_support/database.ts";

const FIRST = "20260101000000_first.sql";
const BROKEN = "20260102000000_broken.sql";
const EMPTY = { migrated: false };

/** Runs a test with a folder of migrations, and deletes it. */
async function withFolder(
  files: Record<string, string>,
  run: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(dir, name), text);
    }
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const CASES: [name: string, text: string, expected: RegExp][] = [
  [
    "a statement that fails",
    "create table public.a (id int);\n\n-- why\ncreate table public.b (\n  id int references public.missing (id)\n);\n",
    /failed at line 4: relation "public\.missing" does not exist \(42P01\)/,
  ],
  [
    "a statement behind text of several bytes per character",
    "-- für 日本語 🎉\nselect 'für 日本語 🎉';\nselect 'é'; select\n  missing;\n",
    /failed at line 4: column "missing" does not exist \(42703\)/,
  ],
  [
    "bad syntax",
    "select 1;\ncreate tabel x;\n",
    /failed at line 2: syntax error at or near "tabel"/,
  ],
  [
    "an error in a function body",
    "select 1;\ndo $$ begin raise exception 'stop here'; end $$;\n",
    /failed at line 2: stop here \(P0001\)/,
  ],
  [
    "a statement that a hosted project refuses",
    "alter table storage.objects add column mine int;\n",
    /failed at line 1: must be owner of table objects \(42501\)/,
  ],
  [
    "a right that postgres does not have",
    "alter system set work_mem = '1GB';\n",
    /failed at line 1: (permission denied|ALTER SYSTEM cannot run)/,
  ],
];

Deno.test("migrations: an error is reported with file, line and the message of Postgres", async (t) => {
  await withDatabase(async (db) => {
    for (const [name, text, expected] of CASES) {
      await t.step(name, async () => {
        await withFolder({ [BROKEN]: text }, async (dir) => {
          const { message } = await assertRejects(
            () => applyMigrations(db.url, dir),
            StackError,
          );
          assertStringIncludes(message, `Migration ${BROKEN} `);
          assertMatch(message, expected);
        });
      });
    }
  }, EMPTY);
});

Deno.test("migrations: a failed one leaves no trace, those before it are kept; once fixed, it is applied", async () => {
  await withDatabase(async (db) => {
    await withFolder({
      [FIRST]: "create table public.first (id int);\n",
      [BROKEN]: "create table public.half (id int);\nselect 1/0;\n",
    }, async (dir) => {
      await assertRejects(() => applyMigrations(db.url, dir), StackError);
      const [found] = await db.sql`
        select to_regclass('public.first') is not null as first, to_regclass('public.half') is not null as half`;
      assertEquals({ ...found }, { first: true, half: false });
      await Deno.writeTextFile(
        join(dir, BROKEN),
        "create table public.half (id int, whole text);\n",
      );
      const { applied } = await applyMigrations(db.url, dir);
      assertEquals(applied, [BROKEN]);
      assertEquals([...await db.sql`select whole from public.half`], []);
    });
  }, EMPTY);
});

Deno.test("migrations: one that was changed after it was applied is reported, and not applied again", async () => {
  await withDatabase(async (db) => {
    const text = "create table public.first (id int default 30);\n";
    await withFolder({ [FIRST]: text }, async (dir) => {
      assertEquals((await applyMigrations(db.url, dir)).applied, [FIRST]);
      assertEquals((await applyMigrations(db.url, dir)).changed, []);
      await Deno.writeTextFile(join(dir, FIRST), text.replace("30", "40"));
      const { applied, changed } = await applyMigrations(db.url, dir);
      assertEquals({ applied, changed }, { applied: [], changed: [FIRST] });
    });
  }, EMPTY);
});
