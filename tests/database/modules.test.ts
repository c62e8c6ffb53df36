/** The migrations without the module that a project may leave out, as `npx edge-ai-jobs init --modules` installs them. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import type postgres from "postgres";
import { applyMigrations } from "../../dev/stack/postgres/migrate.ts";
import { moduleOf } from "../../dev/tools/build-installer.ts";
import { withDatabase } from "../_support/database.ts";

const migrations = fromFileUrl(
  new URL("../../supabase/migrations", import.meta.url),
);

async function tablesOf(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ tablename: string }[]>`
    select tablename from pg_catalog.pg_tables where schemaname = 'public' order by tablename`;
  return rows.map(({ tablename }) => tablename);
}

Deno.test("modules: without the shop the other migrations apply, name none of its tables, and an account can be deleted", async () => {
  const all = await withDatabase(({ sql }) => tablesOf(sql));
  const dir = await Deno.makeTempDir();
  try {
    for await (const { name } of Deno.readDir(migrations)) {
      if (moduleOf(name) === "shop") continue;
      await Deno.copyFile(join(migrations, name), join(dir, name));
    }
    await withDatabase(async (db) => {
      await applyMigrations(db.url, dir);
      const kept = await tablesOf(db.sql);
      const shop = all.filter((table) => !kept.includes(table));
      assertEquals(shop, [
        "deliveries",
        "order_items",
        "orders",
        "payments",
        "vendor_members",
        "vendor_products",
        "vendors",
      ]);
      const naming = await db.sql`
        select p.oid::regprocedure::text as name
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('public', 'private') and p.prosrc ~ ${`public\\.(${
        shop.join("|")
      })\\M`}`;
      assertEquals([...naming], []);
      const user = await db.createUser();
      await db
        .sql`insert into public.pdfs (user_id, title, pdf_url, page_count, size_bytes)
        values (${user.id}, 'Summers', ${`pdfs/${user.id}/a.pdf`}, 2, 1000)`;
      await db.sql`delete from auth.users where id = ${user.id}`;
      const [left] = await db.sql<{ pdfs: string }[]>`
        select count(*)::text as pdfs from public.pdfs`;
      assert(left?.pdfs === "0");
    }, { migrated: false });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
