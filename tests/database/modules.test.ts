/** Databases with some of the modules, as `npx edge-ai-jobs init --modules` installs them. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import type postgres from "postgres";
import { applyMigrations } from "../../dev/stack/postgres/migrate.ts";
import { compareCatalogues, readCatalogue } from "../../dev/tools/catalogue.ts";
import { moduleOf } from "../../dev/tools/build-installer.ts";
import { type Module, MODULES } from "../../installer/template.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { completeJob } from "./_support/protocol.ts";

const migrations = fromFileUrl(
  new URL("../../supabase/migrations", import.meta.url),
);

/** Copies the migrations of these modules into `dir`, as the installer does. */
async function copyModules(
  modules: readonly Module[],
  dir: string,
): Promise<void> {
  for await (const { name } of Deno.readDir(migrations)) {
    if (!modules.includes(moduleOf(name))) continue;
    await Deno.copyFile(join(migrations, name), join(dir, name));
  }
}

/** Runs `run` on a database with these modules and no other; `add` installs further ones. */
async function withModules(
  modules: readonly Module[],
  run: (
    db: TestDatabase,
    add: (more: readonly Module[]) => Promise<void>,
  ) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await withDatabase(async (db) => {
      const add = async (more: readonly Module[]) => {
        await copyModules(more, dir);
        await applyMigrations(db.url, dir);
      };
      await add(modules);
      await run(db, add);
    }, { migrated: false });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function tablesOf(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select schemaname || '.' || tablename as name from pg_catalog.pg_tables
    where schemaname in ('public', 'private') order by 1`;
  return rows.map(({ name }) => name);
}

for (const count of [1, 2]) {
  const modules = MODULES.slice(0, count);
  Deno.test(`modules: ${modules.join(",")} apply alone, and no function names a table that is missing`, async () => {
    const all = await withDatabase(({ sql }) => tablesOf(sql));
    await withModules(modules, async (db) => {
      const kept = await tablesOf(db.sql);
      const missing = all.filter((table) => !kept.includes(table));
      assert(missing.includes("public.orders"));
      assertEquals(missing.includes("public.avatars"), count === 1);
      const naming = await db.sql`
        select p.oid::regprocedure::text as name
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('public', 'private')
          and p.prosrc ~ ${`(${missing.join("|").replaceAll(".", "\\.")})\\M`}`;
      assertEquals([...naming], []);
    });
  });
}

Deno.test("modules: with core alone a job completes with its voice, and an account can be deleted", async () => {
  await withModules(["core"], async (db) => {
    const user = await db.createUser();
    const input = await db.putObject({
      bucket: "voice-samples",
      path: `${user.id}/sample.mp3`,
      mimetype: "audio/mpeg",
      size: 1000,
    });
    await db.asUser(user.id, async (sql) => {
      await sql`
        insert into public.ai_jobs (job_type, input_url, metadata)
        values ('voice_clone', ${input}, '{"voice_name": "Me"}')`;
    });
    const jobs = await db.asService((sql) =>
      sql<{ id: string; lease_token: string }[]>`
        select id, lease_token from public.claim_ai_jobs(1)`
    );
    const [job] = jobs;
    assert(job !== undefined);
    await db.asService((sql) =>
      completeJob(sql, job, {
        product: {
          kind: "voice",
          id: crypto.randomUUID(),
          provider_voice_id: "v1",
          name: "Me",
          stability: 0.5,
          similarity_boost: 0.5,
        },
      })
    );
    const [voice] = await db.sql<{ id: string }[]>`
      select id from public.voices where user_id = ${user.id}`;
    assert(voice !== undefined);
    // Speech passes the check of its type; a product of another module does not exist.
    await db.asUser(user.id, async (sql) => {
      await sql`
        insert into public.ai_jobs (job_type, metadata)
        values ('text_to_speech', ${
        sql.json({ text: "Hello", voice_id: voice.id })
      })`;
    });
    await db.sql`delete from auth.users where id = ${user.id}`;
    const removals = await db.sql<{ kind: string }[]>`
      select object_type as kind from private.provider_removals
      union all select reason from private.storage_removals order by 1`;
    assertEquals(removals.map(({ kind }) => kind), ["users", "voice"]);
    const files = await db.asService((sql) =>
      sql`select object_path from public.claim_storage_removals(10)`
    );
    assertEquals(files.length, 1);
  });
});

Deno.test("modules: added one after another they result in the same database as together", async () => {
  const atOnce = await withDatabase(({ sql }) => readCatalogue(sql));
  await withModules(["core"], async (db, add) => {
    await add(["people"]);
    await add(["shop"]);
    assertEquals(compareCatalogues(atOnce, await readCatalogue(db.sql)), []);
  });
});
