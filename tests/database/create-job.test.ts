/** create_ai_job: inserts a job and searches the result cache in one call, with the caller's rights. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  type Bench,
  insertCompletedJob,
  insertJob,
  readJob,
  refusalOf,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import type { Job } from "./_support/queue.ts";

const created = z.strictObject({
  id: z.uuid(),
  job_type: z.literal("voice_clone"),
  status: z.string(),
  input_url: z.string(),
  metadata: z.record(z.string(), z.unknown()),
  result_data: z.record(z.string(), z.unknown()).nullable(),
  cached_from_job_id: z.uuid().nullable(),
});

/** Calls the function as a user, by default with the parameters of `insertJob`. */
function create(
  db: TestDatabase,
  userId: string,
  job: {
    inputUrl: string;
    metadata?: Record<string, string>;
    searches?: boolean;
    from?: string;
    key?: string;
  },
) {
  return db.asUser(userId, async (sql) => {
    const [row] = await sql<{ job: unknown }[]>`
      select public.create_ai_job(
        p_job_type => 'voice_clone',
        p_metadata => ${sql.json(job.metadata ?? { voice_name: "Grandpa" })},
        p_input_url => ${job.inputUrl},
        p_idempotency_key => ${job.key ?? null},
        p_is_cache_searched => ${job.searches ?? true},
        p_cached_from_job_id => ${job.from ?? null}
      ) as job`;
    return created.parse(row?.job);
  });
}

/** A completed voice clone with its entry in the cache. */
async function insertRememberedJob(bench: Bench): Promise<Job> {
  const job = await insertCompletedJob(bench);
  await bench.db.sql`
    insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
    values (
      ${`ai_job:${job.input_hash}`}, ${job.user_id}, ${
    bench.db.sql.json({ job_id: job.id })
  }, now() + interval '1 hour'
    )`;
  return job;
}

Deno.test("create_ai_job: it inserts a job of the caller and returns it", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const job = await create(db, userId, { inputUrl, key: "a-key-of-mine" });
    assertEquals(
      [job.status, job.input_url, job.result_data, job.cached_from_job_id],
      ["pending", inputUrl, null, null],
    );
    const stored = await readJob(db, job.id);
    assertEquals(
      [stored.user_id, stored.idempotency_key],
      [userId, "a-key-of-mine"],
    );
  });
});

Deno.test("create_ai_job: an equal job is completed from the cache, if it is searched or names the earlier job", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const first = await insertRememberedJob(bench);
    assert(first.input_url !== null);
    const job = {
      inputUrl: first.input_url,
      metadata: z.record(z.string(), z.string()).parse(first.metadata),
    };
    const found = await create(db, first.user_id, job);
    assertEquals(
      [found.status, found.cached_from_job_id],
      ["completed", first.id],
    );
    assertEquals(found.result_data, first.result_data);
    const named = await create(db, first.user_id, {
      ...job,
      searches: false,
      from: first.id,
    });
    assertEquals(named.cached_from_job_id, first.id);
    const neither = await create(db, first.user_id, {
      ...job,
      searches: false,
    });
    assertEquals(
      [neither.status, neither.cached_from_job_id],
      ["pending", null],
    );
  });
});

Deno.test("create_ai_job: an entry that names no job, and a cache that cannot be read, are misses", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const first = await insertRememberedJob(bench);
    assert(first.input_url !== null);
    const job = {
      inputUrl: first.input_url,
      metadata: z.record(z.string(), z.string()).parse(first.metadata),
    };
    for (const value of [{}, { job_id: 7 }, "x", []]) {
      await db.sql`update public.ai_result_cache set value = ${
        db.sql.json(value)
      }`;
      assertEquals((await create(db, first.user_id, job)).status, "pending");
    }
    await db.sql`revoke select on public.ai_result_cache from authenticated`;
    assertEquals((await create(db, first.user_id, job)).status, "pending");
  });
});

Deno.test("create_ai_job: it raises what the insert raises, and only users may call it", async () => {
  await withDatabase(async (db) => {
    const first = await insertJob(db, { idempotency_key: "the-first-key" });
    const { id: otherId } = await db.createUser();
    assert(first.input_url !== null);
    const inputUrl = first.input_url;
    const metadata = z.record(z.string(), z.string()).parse(first.metadata);
    const foreign = await refusalOf(() => create(db, otherId, { inputUrl }));
    assertEquals(
      [foreign.code, foreign.detail],
      ["AJ015", "input_url"],
    );
    const { code, detail } = await refusalOf(() =>
      create(db, first.user_id, { inputUrl, metadata, key: "the-first-key" })
    );
    assertEquals([code, detail], ["AJ032", "idempotency_key"]);
    for (const as of [db.asAnon, db.asService]) {
      const refused = await refusalOf(() =>
        as((sql) => sql`select public.create_ai_job('voice_clone', '{}')`)
      );
      assertEquals(refused.code, "42501");
    }
  });
});
