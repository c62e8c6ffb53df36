/**
 * What the role of the migrations may and may not do on a hosted project. docs/embedded-stack.md names the platform's
 * scripts that decide this.
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import { applyMigrations } from "../../dev/stack/postgres/migrate.ts";
import { StackError } from "../../dev/stack/console/stack-error.ts";
import { findUnfilteredWrites } from "../../dev/tools/unfiltered-writes.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";

const migrations = fromFileUrl(
  new URL("../../supabase/migrations", import.meta.url),
);
const EMPTY = { migrated: false };

class Undo extends Error {}

/** Runs statements and undoes them; the SQLSTATE and message of the error, or undefined. */
async function outcome(
  sql: postgres.Sql,
  statements: string,
): Promise<string | undefined> {
  try {
    await sql.begin(async (transaction) => {
      await transaction.unsafe(statements);
      throw new Undo();
    });
  } catch (error) {
    if (error instanceof Undo) return undefined;
    if (error instanceof postgres.PostgresError) {
      return `${error.code} ${error.message}`;
    }
    throw error;
  }
}

/** Everything in the platform's schemas with its owner and grants. */
async function platformObjects(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql<{ object: string }[]>`
    with platform as (
      select oid, nspname from pg_namespace
      where nspname in ('auth', 'storage', 'realtime', 'vault', 'extensions', 'graphql', 'graphql_public')
    )
    select format('schema %s %s %s', n.nspname, n.nspowner::regrole, n.nspacl) as object
    from pg_namespace as n join platform as p on p.oid = n.oid
    union all
    select format('relation %s.%s %s %s', p.nspname, c.relname, c.relowner::regrole, c.relacl)
    from pg_class as c join platform as p on p.oid = c.relnamespace
    union all
    select format('column %s.%s.%s %s', p.nspname, c.relname, a.attname, a.attacl)
    from pg_attribute as a join pg_class as c on c.oid = a.attrelid join platform as p on p.oid = c.relnamespace
    union all
    select format('function %s.%s %s %s', p.nspname, f.proname, f.proowner::regrole, f.proacl)
    from pg_proc as f join platform as p on p.oid = f.pronamespace
    union all
    select format('type %s.%s %s', p.nspname, t.typname, t.typowner::regrole)
    from pg_type as t join platform as p on p.oid = t.typnamespace
    order by 1`;
  return rows.map(({ object }) => object);
}

/** The roles that `postgres` is a member of. */
async function memberships(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql<{ role: string }[]>`
    select m.roleid::regrole::text as role from pg_auth_members as m
    where m.member = 'postgres'::regrole order by 1`;
  return rows.map(({ role }) => role);
}

const HOSTED_MEMBERSHIPS = [
  "anon",
  "authenticated",
  "authenticator",
  "pg_create_subscription",
  "pg_monitor",
  "pg_read_all_data",
  "pg_signal_backend",
  "service_role",
];

Deno.test("migrations: run as postgres without superuser, and leave the platform's objects unchanged", async () => {
  await withDatabase(async (db) => {
    const before = await platformObjects(db);
    assertEquals(before.filter((object) => / postgres /.test(object)), [
      before.find((object) => object.startsWith("schema extensions ")),
    ]);
    const { applied } = await applyMigrations(db.url, migrations);
    assertEquals(applied.length > 0, true);
    assertEquals(await platformObjects(db), before);

    const authors = await db.sql`
      select distinct c.relowner::regrole::text as owner from pg_class as c
      where c.relnamespace::regnamespace::text in ('public', 'private')`;
    assertEquals(authors.map(({ owner }) => owner), ["postgres"]);
    const [role] = await db
      .sql`select rolsuper from pg_roles where rolname = 'postgres'`;
    assertEquals(role?.["rolsuper"], false);
    assertEquals(await memberships(db), HOSTED_MEMBERSHIPS);
  }, EMPTY);
});

/** The grants on the project's own objects, without those of the owner. */
async function grants(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql<{ object: string }[]>`
    with ours as (select oid from pg_namespace where nspname in ('public', 'private'))
    select format('%s: %s %s', o.name, coalesce(r.rolname, 'public'), a.privilege_type) as object
    from (
      select c.oid::regclass::text as name, c.relacl as acl, c.relowner as owner
      from pg_class as c join ours on ours.oid = c.relnamespace
      union all
      select format('%s.%s', c.oid::regclass, t.attname), t.attacl, c.relowner
      from pg_attribute as t join pg_class as c on c.oid = t.attrelid join ours on ours.oid = c.relnamespace
      union all
      select f.oid::regprocedure::text, coalesce(f.proacl, acldefault('f', f.proowner)), f.proowner
      from pg_proc as f join ours on ours.oid = f.pronamespace
    ) as o
    cross join lateral aclexplode(o.acl) as a
    left join pg_roles as r on r.oid = a.grantee
    where a.grantee <> o.owner
    order by 1`;
  return rows.map(({ object }) => object);
}

Deno.test("migrations: the platform's default grants on new objects of public give no role extra rights", async () => {
  const expected = await withDatabase(grants);
  await withDatabase(async (db) => {
    for (const kind of ["tables", "functions", "sequences"]) {
      await db.sql.unsafe(
        `alter default privileges in schema public grant all on ${kind} to anon, authenticated, service_role`,
      );
    }
    await applyMigrations(db.url, migrations);
    assertEquals(await grants(db), expected);
  }, EMPTY);
});

const TRIGGER_FUNCTION = `
  create function private.probe() returns trigger language plpgsql set search_path = '' as $$ begin return null; end $$;`;

/** Statements that a hosted project refuses to `postgres`, with a part of the message besides 42501. */
const REFUSED: readonly (readonly [statements: string, message: string])[] = [
  ["alter table storage.objects add column mine integer", "must be owner"],
  [
    "alter table storage.objects disable row level security",
    "must be owner",
  ],
  ["alter table storage.objects disable trigger all", "must be owner"],
  ["alter table storage.objects owner to postgres", "must be owner"],
  ["alter table auth.users add constraint mine check (true)", "must be owner"],
  ["alter table realtime.messages rename to mine", "must be owner"],
  ["drop table storage.objects cascade", "must be owner"],
  ["drop function storage.foldername(text) cascade", "must be owner"],
  [
    "create or replace function auth.uid() returns uuid language sql as 'select null::uuid'",
    "permission denied for schema auth",
  ],
  ["create index on storage.objects (owner_id)", "must be owner"],
  ["create index on auth.users (created_at)", "must be owner"],
  [
    "create statistics public.mine on bucket_id, name from storage.objects",
    "must be owner",
  ],
  [
    "create rule mine as on delete to storage.objects do instead nothing",
    "must be owner",
  ],
  [
    "create table storage.mine (id integer)",
    "permission denied for schema storage",
  ],
  ["create table auth.mine (id integer)", "permission denied for schema auth"],
  [
    "create table realtime.mine partition of realtime.messages for values from ('2001-01-01') to ('2001-01-02')",
    "permission denied for schema realtime",
  ],
  [
    "create function storage.mine() returns integer language sql as 'select 1'",
    "permission denied for schema storage",
  ],
  [
    "create function auth.mine() returns integer language sql as 'select 1'",
    "permission denied for schema auth",
  ],
  [
    "create function realtime.mine() returns integer language sql as 'select 1'",
    "permission denied for schema realtime",
  ],
  ["alter schema storage rename to mine", "must be owner"],
  [
    "create policy mine on storage.migrations for select to anon using (true)",
    "must be owner of relation migrations",
  ],
  [
    "create policy mine on auth.schema_migrations for select to anon using (true)",
    "must be owner of relation schema_migrations",
  ],
  ["delete from storage.migrations", "permission denied for table migrations"],
  ["comment on table storage.objects is 'mine'", "must be owner"],
  ["comment on column auth.users.email is 'mine'", "must be owner"],
  ["comment on function storage.foldername(text) is 'mine'", "must be owner"],
  ["comment on schema storage is 'mine'", "must be owner"],
  [
    `${TRIGGER_FUNCTION} create trigger mine after insert on storage.objects for each row execute function private.probe();
     comment on trigger mine on storage.objects is 'mine'`,
    "must be owner of relation objects",
  ],
  [
    `${TRIGGER_FUNCTION} create trigger mine after insert on storage.objects for each row execute function private.probe();
     alter trigger mine on storage.objects rename to yours`,
    "must be owner",
  ],
  [
    `${TRIGGER_FUNCTION} create trigger mine after insert on realtime.messages for each row execute function private.probe()`,
    "permission denied for table messages",
  ],
  [
    `${TRIGGER_FUNCTION} create trigger mine after insert on cron.job_run_details for each row execute function private.probe()`,
    "permission denied for table job_run_details",
  ],
  ["delete from storage.objects where false", "Direct deletion"],
  ["delete from storage.buckets where false", "Direct deletion"],
  ["delete from realtime.messages where false", "permission denied"],
  [
    "update cron.job set active = false where false",
    "permission denied for table job",
  ],
  ["insert into vault.secrets (secret) values ('mine')", "permission denied"],
  ["alter role supabase_admin nosuperuser", "permission denied"],
  ["alter role supabase_auth_admin login", "permission denied"],
  ["alter role postgres superuser", "permission denied"],
  ["create role mine superuser", "permission denied"],
  ["drop role supabase_storage_admin", "permission denied"],
  ["grant supabase_storage_admin to postgres", "permission denied"],
  ["grant pg_read_server_files to postgres", "permission denied"],
  ["set role supabase_storage_admin", "permission denied"],
  ["set session authorization supabase_admin", "permission denied"],
  ["set local lc_messages = 'C'", "permission denied to set parameter"],
  ["set local allow_system_table_mods = on", "permission denied"],
  ["alter role postgres set zero_damaged_pages = on", "permission denied"],
  ["alter system set work_mem = '1GB'", "cannot run inside"],
  [
    "update pg_catalog.pg_class set relowner = 10 where false",
    "permission denied",
  ],
  ["copy (select 1) to program 'true'", "permission denied to COPY"],
  ["copy (select 1) to '/tmp/mine'", "permission denied to COPY"],
  ["select pg_read_file('postgresql.conf')", "permission denied"],
  ["create extension plperlu", "permission denied"],
  [
    "create function public.mine() returns integer language c as 'mine', 'mine'",
    "permission denied for language c",
  ],
];

Deno.test("postgres: what hosted refuses is refused here", async (t) => {
  await withDatabase(async (db) => {
    for (const [statements, message] of REFUSED) {
      await t.step(statements.split("\n").at(-1)?.trim() ?? "", async () => {
        assertStringIncludes(
          await outcome(db.sql, statements) ?? "allowed",
          message,
        );
      });
    }
    // The membership that a refused statement had for its duration is gone.
    assertEquals(await memberships(db), HOSTED_MEMBERSHIPS);
  });
});

Deno.test("migrations: one that changes a reserved role is refused, with its line, and leaves no trace", async () => {
  await withDatabase(async (db) => {
    const folder = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(
        `${folder}/20260101000000_roles.sql`,
        "create table public.mine (id integer);\n\nalter role anon\n  bypassrls;\n",
      );
      const error = await assertRejects(
        () => applyMigrations(db.url, folder),
        StackError,
      );
      assertEquals(
        error.message,
        'Migration 20260101000000_roles.sql failed at line 3: "anon" is a reserved role, only superusers can modify it (42501)',
      );
      const [found] = await db
        .sql`select to_regclass('public.mine') as made, r.rolbypassrls as bypasses from pg_roles as r where r.rolname = 'anon'`;
      assertEquals({ ...found }, { made: null, bypasses: false });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }, EMPTY);
});

/** Statements that a hosted project allows although `postgres` does not own the table or is not a superuser. */
const ALLOWED = [
  `create policy mine on storage.objects for select to anon using (true);
   comment on policy mine on storage.objects is 'mine';
   alter policy mine on storage.objects using (false);
   drop policy mine on storage.objects`,
  "create policy mine on storage.buckets for select to anon using (true)",
  "create policy mine on realtime.messages for select to anon using (true)",
  "create policy mine on auth.users for select to anon using (true)",
  "do $$ begin create policy mine on storage.objects for select to anon using (true); end $$",
  `${TRIGGER_FUNCTION}
   create trigger mine after insert on storage.objects for each row execute function private.probe();
   create or replace trigger mine after update on storage.objects for each row execute function private.probe();
   drop trigger mine on storage.objects`,
  `${TRIGGER_FUNCTION}
   create trigger mine after insert on auth.users for each row execute function private.probe();
   drop trigger mine on auth.users`,
  "create table public.mine (id uuid primary key references auth.users (id) on delete cascade)",
  "create view public.mine as select id from auth.users; grant select on auth.users to authenticated",
  "grant usage on schema storage to dashboard_user; grant select on storage.objects to dashboard_user",
  "insert into storage.buckets (id, name) values ('mine', 'mine')",
  "set local storage.allow_delete_query = 'true'; delete from storage.objects where false",
  "set local session_replication_role = replica",
  "alter role authenticated set statement_timeout = '9s'",
  "alter publication supabase_realtime add table public.media",
  "create extension citext with schema extensions; drop extension citext",
  "select cron.schedule('mine', '0 0 * * *', 'select 1'); select from cron.job; delete from cron.job_run_details where false",
];

Deno.test("postgres: what hosted allows on the platform's objects is allowed here", async (t) => {
  await withDatabase(async (db) => {
    for (const statements of ALLOWED) {
      await t.step(statements.split("\n").at(-1)?.trim() ?? "", async () => {
        assertEquals(await outcome(db.sql, statements), undefined);
      });
    }
    await db
      .sql`create policy mine on storage.objects for select to anon using (true)`;
    assertEquals(await memberships(db), HOSTED_MEMBERSHIPS);
  });
});

Deno.test("policies: only postgres writes them on tables of the platform", async () => {
  await withDatabase(async (db) => {
    const create =
      "create policy mine on storage.objects for select to anon using (true)";
    for (const role of ["service_role", "authenticated"]) {
      assertStringIncludes(
        await outcome(db.sql, `set local role ${role}; ${create}`) ?? "allowed",
        "42501 must be owner of table objects",
      );
    }
    // A setting with the name of the stand-in's changes nothing.
    assertStringIncludes(
      await outcome(
        db.sql,
        `set local role service_role; set local stack.caller = 'postgres'; ${create}`,
      ) ?? "allowed",
      "42501 must be owner of table objects",
    );
  });
});

Deno.test("functions: each update and delete has a condition, since the API of a hosted project refuses others", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql<{ name: string; body: string }[]>`
      select p.oid::regprocedure::text as name, p.prosrc as body from pg_proc as p
      where p.pronamespace::regnamespace::text in ('public', 'private')`;
    assertEquals(
      rows.flatMap(({ name, body }) =>
        findUnfilteredWrites(body).map(({ text }) => `${name}: ${text}`)
      ),
      [],
    );
  });
});
