/** ai_result_cache: the cache in Postgres. Each entry is visible only to its owner, until it expires. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  type Bench,
  insertClaimedJob,
  insertJob,
  readJob,
  refusalOf,
  withQueue,
} from "./_support/factories.ts";
import { completeJob } from "./_support/protocol.ts";
import type { ClaimedJob } from "./_support/queue.ts";

const key = `ai_job:${"a".repeat(64)}`;
const otherKey = `ai_job:${"b".repeat(64)}`;

function put(
  db: TestDatabase,
  userId: string,
  value: postgres.JSONValue,
  options: { key?: string; ttlSeconds?: number } = {},
) {
  return db.asService((sql) =>
    sql`
      insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
      values (
        ${options.key ?? key}, ${userId}, ${sql.json(value)},
        now() + make_interval(secs => ${options.ttlSeconds ?? 60})
      )`
  );
}

async function get(sql: postgres.ISql, cacheKey = key): Promise<unknown> {
  const [row] = await sql<{ value: unknown }[]>`
    select public.get_ai_result_cache(p_cache_key => ${cacheKey}) as value`;
  return row?.value;
}

Deno.test("get_ai_result_cache: only the owner and the service see an entry", async () => {
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

/** Two equal jobs that both run, because neither was completed when the other was created. */
async function equalJobs(bench: Bench): Promise<[ClaimedJob, ClaimedJob]> {
  const first = await insertJob(bench.db);
  const second = await insertJob(bench.db, {
    user_id: first.user_id,
    input_url: first.input_url,
  });
  const jobs = await bench.queue.claim(2);
  const [one, other] = [first, second].map(({ id }) =>
    jobs.find((job) => job.id === id)
  );
  assert(one !== undefined && other !== undefined);
  assertEquals(one.input_hash, other.input_hash);
  return [one, other];
}

const entries = (db: TestDatabase) =>
  db.sql<
    { cache_key: string; user_id: string; job_id: string; secs: number }[]
  >`
    select cache_key, user_id, value ->> 'job_id' as job_id,
      round(extract(epoch from expires_at - now()))::integer as secs
    from public.ai_result_cache`;

Deno.test("complete_ai_jobs: it writes the entry that was requested; the newest of equal jobs counts", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [first, second] = await equalJobs(bench);
    assert(await completeJob(db.sql, first));
    assertEquals([...await entries(db)], []);
    assert(await completeJob(db.sql, second, { cacheSeconds: 600 }));
    const [entry, ...others] = await entries(db);
    assertEquals(others, []);
    assertEquals(
      [entry?.cache_key, entry?.user_id, entry?.job_id],
      [`ai_job:${second.input_hash}`, second.user_id, second.id],
    );
    assert(Math.abs((entry?.secs ?? 0) - 600) < 60);

    const third = await insertClaimedJob(bench, {
      user_id: first.user_id,
      input_url: first.input_url,
    });
    assert(await completeJob(db.sql, third, { cacheSeconds: 60 }));
    assertEquals((await entries(db)).map(({ job_id }) => job_id), [third.id]);
  });
});

Deno.test("complete_ai_jobs: equal jobs in one call share an entry, and a job that fails alone gets none", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [first, second] = await equalJobs(bench);
    const bad = await insertClaimedJob(bench);
    const item = ({ id, lease_token }: ClaimedJob) => ({
      job_id: id,
      lease_token,
      result_data: {},
      cache_seconds: 60,
    });
    const rows = await db.asService((sql) =>
      sql<{ error: unknown }[]>`select error from public.complete_ai_jobs(${
        sql.json([item(first), item(second)])
      })`
    );
    assertEquals(rows.map(({ error }) => error), [null, null]);
    assertEquals((await entries(db)).length, 1);
    await refusalOf(() =>
      completeJob(db.sql, bad, { product: { kind: "none" }, cacheSeconds: 60 })
    );
    assertEquals((await entries(db)).length, 1);
  });
});

Deno.test("claim_ai_jobs: a claimed job names the entry for its input, and no row of ai_jobs changes by that", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const [first, second] = await equalJobs(bench);
    assertEquals(
      [first.cached_from_job_id, second.cached_from_job_id],
      [null, null],
    );
    assert(await completeJob(db.sql, first, { cacheSeconds: 60 }));
    const again = async () => {
      assert(await queue.release(second));
      const [job] = await queue.claim(1, [second.id]);
      assert(job !== undefined);
      second.lease_token = job.lease_token;
      return job.cached_from_job_id;
    };
    assertEquals(await again(), first.id);
    assertEquals((await readJob(db, second.id)).cached_from_job_id, null);

    for (const value of [{}, { job_id: "1" }, { job_id: second.id }, "x", []]) {
      await db.sql`update public.ai_result_cache set value = ${
        db.sql.json(value)
      }`;
      assertEquals(await again(), null, JSON.stringify(value));
    }
    await db.sql`
      update public.ai_result_cache
      set value = jsonb_build_object('job_id', ${first.id}::text), expires_at = now() - interval '1 second'`;
    assertEquals(await again(), null);
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
            sql`
        insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
        values (${key}, ${id}, '{}', now())`,
        )
      ),
      refusalOf(() =>
        db.asUser(id, (sql) => sql`delete from public.ai_result_cache`)
      ),
    ]);
    assertEquals(refusals.map(({ code }) => code), ["42501", "42501"]);

    for (const bad of ["ai_job:x", key.toUpperCase(), "a".repeat(64)]) {
      const { constraint } = await refusalOf(() =>
        put(db, id, {}, { key: bad })
      );
      assertEquals(constraint, "ai_result_cache_key_is_hash");
    }
    await put(db, id, {});
  });
});

Deno.test("prune_ai_job_leftovers: expired entries and cron runs of the previous day are deleted, others stay", async () => {
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
        (1, current_user, 'interrupted', now() - interval '25 hours', null),
        (1, current_user, 'new', now() - interval '23 hours', now() - interval '23 hours'),
        (1, current_user, 'running', now(), null)`;

    await db.sql`select private.prune_ai_job_leftovers()`;

    const left = await db.sql<
      { value: unknown }[]
    >`select value from public.ai_result_cache`;
    assertEquals(left.map((row) => row.value), [{ job_id: "good" }]);
    const runs = await db.sql<
      { status: string }[]
    >`select status from cron.job_run_details`;
    assertEquals(runs.map((run) => run.status), ["new", "running"]);
  });
});
