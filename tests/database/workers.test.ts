/** Which worker gets which jobs: each claims only its own, and is called only for its own. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import type { TestDatabase } from "../_support/database.ts";
import {
  insertJob,
  makeDue,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import type { ClaimedJob } from "./_support/queue.ts";

const HEAVY = "render-ai-job";

/** A job type of another worker, and two jobs of one user: one of it and one of process-ai-job. */
async function insertJobOfEachWorker(db: TestDatabase) {
  await db.sql`
    insert into public.ai_job_types (job_type, provider, worker, input_buckets, input_mime_types)
    select 'heavy', 'internal', ${HEAVY}, input_buckets, input_mime_types
    from public.ai_job_types where job_type = 'voice_clone'`;
  const { id: userId } = await db.createUser();
  const inputUrl = await uploadSample(db, userId);
  const [usual, heavy] = await db.sql<{ id: string }[]>`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata)
    values (${userId}, 'voice_clone', ${inputUrl}, '{"voice_name": "Grandpa"}'), (${userId}, 'heavy', ${inputUrl}, '{}')
    returning id`;
  assert(usual && heavy);
  return { usual: usual.id, heavy: heavy.id };
}

async function setVault(db: TestDatabase): Promise<void> {
  await db
    .sql`select vault.create_secret('https://project.test', 'project_url')`;
  await db.sql`select vault.create_secret(${`whsec_${
    btoa("0".repeat(32))
  }`}, 'dispatch_secret')`;
}

/** The workers and jobs of all calls since the last use of this function. */
async function calls(db: TestDatabase): Promise<[string, string[]][]> {
  const rows = await db.sql<{ url: string; body: string }[]>`
    with sent as (delete from net.http_request_queue returning id, url, body)
    select url, convert_from(body, 'UTF8') as body from sent order by url`;
  return rows.map(({ url, body }) => [
    url.slice(url.lastIndexOf("/") + 1),
    z.object({ job_ids: z.array(z.string()) }).parse(JSON.parse(body)).job_ids,
  ]);
}

const claimedBy = (db: TestDatabase, worker: string) =>
  db.sql<ClaimedJob[]>`
    select * from public.claim_ai_jobs(p_limit => 10, p_worker => ${worker})`;

Deno.test("claim_ai_jobs: each worker gets the jobs of its types; a claim without a worker is process-ai-job's", async () => {
  await withQueue(async ({ db, queue }) => {
    const { usual, heavy } = await insertJobOfEachWorker(db);
    assertEquals((await queue.claim(10)).map(({ id }) => id), [usual]);
    // Not even by its id.
    assertEquals(await queue.claim(10, [heavy]), []);
    assertEquals([...await claimedBy(db, "nobody")], []);
    assertEquals((await claimedBy(db, HEAVY)).map(({ id }) => id), [heavy]);
  });
});

Deno.test("claim_dispatched_ai_jobs: a dispatch is answered with jobs of the worker that got it", async () => {
  await withQueue(async ({ db }) => {
    const { heavy } = await insertJobOfEachWorker(db);
    const jobs = await db.sql<ClaimedJob[]>`
      select * from public.claim_dispatched_ai_jobs(
        'msg_1', extract(epoch from clock_timestamp()), 10, ${HEAVY}
      )`;
    assertEquals(jobs.map(({ id }) => id), [heavy]);
  });
});

Deno.test("dispatch: an insert calls each worker for its own jobs, once, and so does the sweep", async () => {
  await withQueue(async ({ db }) => {
    await setVault(db);
    const { usual, heavy } = await insertJobOfEachWorker(db);
    const expected: [string, string[]][] = [
      ["process-ai-job", [usual]],
      [HEAVY, [heavy]],
    ];
    assertEquals(await calls(db), expected);
    await db.sql`select private.sweep_ai_jobs()`;
    assertEquals(await calls(db), expected);
  });
});

Deno.test("wake_ai_job_worker: calls a worker only for jobs of its types, also after a snooze without delay", async () => {
  await withQueue(async ({ db, queue }) => {
    await setVault(db);
    const { heavy } = await insertJobOfEachWorker(db);
    await calls(db);
    const wake = async (worker: string) => {
      const [row] = await db.sql<{ woken: boolean }[]>`
        select public.wake_ai_job_worker(${worker}) as woken`;
      return row?.woken;
    };
    const [job] = await claimedBy(db, HEAVY);
    assert(job !== undefined);
    assertEquals([await wake(HEAVY), await calls(db)], [false, []]);
    assert(await queue.snooze(job, 0, "next_part"));
    assertEquals(await wake(HEAVY), true);
    assertEquals(await calls(db), [[HEAVY, [heavy]]]);
    // The call has not changed the job: it can be claimed, and the attempt is the first.
    const [again] = await claimedBy(db, HEAVY);
    assertEquals([again?.id, again?.attempt], [heavy, 1]);
  });
});

Deno.test("dispatch: a dependent job of another worker is dispatched to its own worker", async () => {
  await withQueue(async ({ db, queue }) => {
    await setVault(db);
    const { heavy } = await insertJobOfEachWorker(db);
    const [row] = await db.sql<{ user_id: string }[]>`
      select user_id from public.ai_jobs where id = ${heavy}`;
    assert(row !== undefined);
    const waiting = await insertJob(db, {
      user_id: row.user_id,
      depends_on_job_id: heavy,
    });
    await calls(db);
    await makeDue(db, heavy);
    const [job] = await claimedBy(db, HEAVY);
    assert(job !== undefined && await queue.complete(job));
    assertEquals(await calls(db), [["process-ai-job", [waiting.id]]]);
  });
});
