/** ai_result_cache: the cache in Postgres, each entry its owner's alone and good until its end. */
import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { refusalOf } from "./_support/factories.ts";

const key = `ai_job:${"a".repeat(64)}`;
const otherKey = `ai_job:${"b".repeat(64)}`;

function put(
  db: TestDatabase,
  userId: string,
  value: postgres.JSONValue,
  options: { key?: string; ttlSeconds?: number } = {},
) {
  return db.asService((sql) =>
    sql`select public.put_ai_result_cache(
      p_cache_key => ${options.key ?? key},
      p_user_id => ${userId},
      p_value => ${sql.json(value)},
      p_ttl_seconds => ${options.ttlSeconds ?? 60}
    )`
  );
}

async function get(sql: postgres.ISql, cacheKey = key): Promise<unknown> {
  const [row] = await sql<{ value: unknown }[]>`
    select public.get_ai_result_cache(p_cache_key => ${cacheKey}) as value`;
  return row?.value;
}

Deno.test("get_ai_result_cache: an entry is its owner's and the service's; nobody else sees it", async () => {
  await withDatabase(async (db) => {
    const [owner, other] = [await db.createUser(), await db.createUser()];
    await put(db, owner.id, { job_id: "1" });
    assertEquals(await db.asUser(owner.id, (sql) => get(sql)), { job_id: "1" });
    assertEquals(await db.asService((sql) => get(sql)), { job_id: "1" });
    assertEquals(await db.asUser(other.id, (sql) => get(sql)), null);
    assertEquals(await db.asUser(owner.id, (sql) => get(sql, otherKey)), null);
    const { code } = await refusalOf(() => db.asAnon((sql) => get(sql)));
    assertEquals(code, "42501");
  });
});

Deno.test("get_ai_result_cache: an entry ends ttl_seconds after it was put, by the database's clock", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    await put(db, id, { job_id: "1" }, { ttlSeconds: 60 });
    const [lifetime] = await db.sql<{ seconds: number }[]>`
      select extract(epoch from expires_at - created_at)::float8 as seconds from public.ai_result_cache`;
    assertEquals(lifetime?.seconds, 60);

    const move = (offset: string) =>
      db
        .sql`update public.ai_result_cache set expires_at = now() + ${offset}::interval`;
    await move("1 minute");
    assertEquals(await db.asService((sql) => get(sql)), { job_id: "1" });
    await move("-1 microsecond");
    assertEquals(await db.asService((sql) => get(sql)), null);
    assertEquals(await db.asUser(id, (sql) => get(sql)), null);
  });
});

Deno.test("put_ai_result_cache: the newest entry counts, for its owner, from its own time", async () => {
  await withDatabase(async (db) => {
    const [first, second] = [await db.createUser(), await db.createUser()];
    await put(db, first.id, { job_id: "1" }, { ttlSeconds: 1 });
    await put(db, second.id, { job_id: "2" }, { ttlSeconds: 600 });
    assertEquals(await db.asUser(first.id, (sql) => get(sql)), null);
    assertEquals(await db.asUser(second.id, (sql) => get(sql)), {
      job_id: "2",
    });
    const rows = await db.sql<{ isLong: boolean }[]>`
      select expires_at > now() + interval '5 minutes' as "isLong" from public.ai_result_cache`;
    assertEquals([...rows], [{ isLong: true }]);
  });
});

Deno.test("ai_result_cache: users read their own entries and write none; keys are hashes", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const refusals = await Promise.all([
      refusalOf(() =>
        db.asUser(
          id,
          (sql) =>
            sql`select public.put_ai_result_cache(${key}, ${id}, '{}', 60)`,
        )
      ),
      refusalOf(() =>
        db.asUser(
          id,
          (sql) =>
            sql`
        insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
        values (${key}, ${id}, '{}', now())`,
        )
      ),
      refusalOf(() =>
        db.asUser(id, (sql) => sql`delete from public.ai_result_cache`)
      ),
    ]);
    assertEquals(refusals.map(({ code }) => code), ["42501", "42501", "42501"]);

    for (const bad of ["ai_job:x", key.toUpperCase(), "a".repeat(64)]) {
      const { constraint } = await refusalOf(() =>
        put(db, id, {}, { key: bad })
      );
      assertEquals(constraint, "ai_result_cache_key_is_hash");
    }
    await put(db, id, {});
  });
});

Deno.test("prune_ai_job_leftovers: entries that have ended and cron runs of the day before go, the others stay", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    await put(db, id, { job_id: "ended" });
    await put(db, id, { job_id: "good" }, { key: otherKey });
    await db
      .sql`update public.ai_result_cache set expires_at = now() - interval '1 second' where cache_key = ${key}`;
    await db.sql`
      insert into cron.job_run_details (jobid, username, status, start_time, end_time)
      values
        (1, current_user, 'old', now() - interval '25 hours', now() - interval '25 hours'),
        (1, current_user, 'new', now() - interval '23 hours', now() - interval '23 hours')`;

    await db.sql`select private.prune_ai_job_leftovers()`;

    const left = await db.sql<
      { value: unknown }[]
    >`select value from public.ai_result_cache`;
    assertEquals(left.map((row) => row.value), [{ job_id: "good" }]);
    const runs = await db.sql<
      { status: string }[]
    >`select status from cron.job_run_details`;
    assertEquals(runs.map((run) => run.status), ["new"]);
  });
});
