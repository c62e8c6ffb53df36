import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { withDatabase } from "../_support/database.ts";

Deno.test("withDatabase: two tests do not see each other's rows, and every migration is applied", async () => {
  await Promise.all([1, 2].map(() =>
    withDatabase(async (db) => {
      await db.createUser();
      const [row] = await db.sql<
        { users: number; types: number }[]
      >`select (select count(*)::int from auth.users) as users, (select count(*)::int from public.ai_job_types) as types`;
      assertEquals(row?.users, 1);
      assertEquals((row?.types ?? 0) > 0, true);
    })
  ));
});

Deno.test("withDatabase: a name without a schema fails on every connection", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const read = (sql: postgres.ISql) => async () =>
      await sql`select * from ai_jobs`;
    const [other] = await db.connections(1);
    const attempts = [
      read(db.sql),
      () => db.asUser(id, (sql) => read(sql)()),
      ...(other === undefined ? [] : [read(other)]),
    ];
    assertEquals(attempts.length, 3);
    for (const attempt of attempts) {
      const error = await assertRejects(attempt, postgres.PostgresError);
      assertEquals(error.code, "42P01");
    }
  });
});

Deno.test("asUser: the claims, the role and its timeout are those of the Data API, and end with the transaction", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const who = (sql: postgres.ISql) =>
      sql<
        { role: string; uid: string | null; timeout: string; jit: string }[]
      >`select current_user::text as role, auth.uid() as uid, current_setting('statement_timeout') as timeout,
        current_setting('jit') as jit`;
    assertEquals([...await db.asUser(id, who)], [
      { role: "authenticated", uid: id, timeout: "8s", jit: "off" },
    ]);
    assertEquals([...await db.asAnon(who)], [
      { role: "anon", uid: null, timeout: "3s", jit: "on" },
    ]);
    assertEquals([...await db.asService(who)], [
      { role: "service_role", uid: null, timeout: "30s", jit: "off" },
    ]);
    assertEquals((await who(db.sql))[0]?.role, "postgres");
  });
});

Deno.test("asUser: an error rolls the transaction back and keeps its SQLSTATE", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const error = await assertRejects(
      () =>
        db.asUser(id, async (sql) => {
          await sql`insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
            values (${id}, 'audio', ${`uploads/${id}/a.mp3`}, 'a.mp3', 'audio/mpeg', 1)`;
          await sql`insert into public.voices default values`;
        }),
      postgres.PostgresError,
    );
    assertEquals(error.code, "42501");
    assertEquals((await db.sql`select id from public.media`).length, 0);
  });
});

Deno.test("connections: they are different sessions, with the requested role", async () => {
  await withDatabase(async (db) => {
    const sessions = await db.connections(5, "service_role");
    const rows = await Promise.all(
      sessions.map((sql) =>
        sql<
          { pid: number; role: string }[]
        >`select pg_backend_pid() as pid, current_user::text as role`
      ),
    );
    assertEquals(new Set(rows.map(([row]) => row?.pid)).size, 5);
    assertEquals(
      new Set(rows.map(([row]) => row?.role)),
      new Set(["service_role"]),
    );
  });
});

Deno.test("putObject: the row looks like an upload of its owner", async () => {
  await withDatabase(async (db) => {
    const owner = await db.createUser(), other = await db.createUser();
    const path = await db.putObject({
      bucket: "uploads",
      path: `${owner.id}/a.mp3`,
      mimetype: "audio/mpeg",
      size: 5,
    });
    assertEquals(path, `uploads/${owner.id}/a.mp3`);
    const seen = (sql: postgres.ISql) =>
      sql`select metadata ->> 'size' as size from storage.objects`;
    assertEquals([...await db.asUser(owner.id, seen)], [{ size: "5" }]);
    assertEquals([...await db.asUser(other.id, seen)], []);
  });
});
