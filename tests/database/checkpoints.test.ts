/** The progress that a job with several claims saves, and what happens to an upload that it does not finish. */
import { assert, assertEquals } from "@std/assert";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  expireLease,
  insertClaimedJob,
  readJob,
  withQueue,
} from "./_support/factories.ts";
import type { Lease } from "./_support/queue.ts";

async function save(
  db: TestDatabase,
  { id, lease_token }: Lease,
  data: Record<string, number>,
  uploadId: string | null = null,
): Promise<boolean | undefined> {
  return await db.asService(async (sql) => {
    const [row] = await sql<{ saved: boolean }[]>`
      select public.save_ai_job_checkpoint(${id}, ${lease_token}, ${
      sql.json(data)
    }, ${uploadId}) as saved`;
    return row?.saved;
  });
}

async function read(db: TestDatabase, id: string): Promise<unknown> {
  return await db.asService(async (sql) => {
    const [row] = await sql<{ data: unknown; upload_id: string | null }[]>`
      select data, upload_id from public.ai_job_checkpoints where job_id = ${id}`;
    return row && [row.data, row.upload_id];
  });
}

async function abandoned(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql<{ upload_id: string }[]>`
    select upload_id from private.abandoned_uploads order by upload_id`;
  return rows.map(({ upload_id }) => upload_id);
}

Deno.test("save_ai_job_checkpoint: only the holder of the lease writes, repeatedly", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    assertEquals(await read(db, job.id), undefined);
    assertEquals(await save(db, job, { part: 1 }), true);
    assertEquals(await save(db, job, { part: 2 }), true);
    const other = { id: job.id, lease_token: crypto.randomUUID() };
    assertEquals(await save(db, other, { part: 3 }), false);
    assertEquals(await save(db, { ...job, lease_token: null }, {}), false);
    assertEquals(await read(db, job.id), [{ part: 2 }, null]);
  });
});

Deno.test("ai_job_checkpoints: a job that continues after any kind of wait still has its checkpoint", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    for (
      const wait of [
        (job: Lease) => queue.snooze(job, 0),
        (job: Lease) => queue.release(job),
        (job: Lease) => queue.fail(job),
        async (job: Lease) => {
          await expireLease(db, job.id);
          await queue.rescue();
        },
      ]
    ) {
      const job = await insertClaimedJob(bench);
      await save(db, job, { part: 1 }, "upload-1");
      await wait(job);
      assertEquals((await readJob(db, job.id)).status, "pending");
      assertEquals(await read(db, job.id), [{ part: 1 }, "upload-1"]);
    }
    assertEquals(await abandoned(db), []);
  });
});

/** Each way in which a job ends without the output that it was uploading. */
const ENDS: Record<string, (bench: Bench, job: Lease) => Promise<unknown>> = {
  failed: ({ queue }, job) => queue.fail(job, { isRetryable: false }),
  "cancelled while it runs": async ({ db, queue }, job) => {
    await db
      .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${job.id}`;
    await queue.cancel(job);
  },
  "cancelled while it waits": async ({ db, queue }, job) => {
    await queue.snooze(job, 60);
    await db
      .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${job.id}`;
  },
  deleted: ({ db }, job) =>
    db.sql`delete from public.ai_jobs where id = ${job.id}`,
  "deleted with its account": ({ db }, job) =>
    db.sql`delete from auth.users where id = (select user_id from public.ai_jobs where id = ${job.id})`,
};

Deno.test("ai_job_checkpoints: a job's end deletes its checkpoint and queues its unfinished upload for abort", async (t) => {
  for (const [name, end] of Object.entries(ENDS)) {
    await t.step(name, async () => {
      await withQueue(async (bench) => {
        const job = await insertClaimedJob(bench);
        await save(bench.db, job, { part: 1 }, "upload-1");
        await end(bench, job);
        assertEquals(await read(bench.db, job.id), undefined);
        assertEquals(await abandoned(bench.db), ["upload-1"]);
      });
    });
  }
});

Deno.test("ai_job_checkpoints: the upload of a completed job is its output and is kept", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await save(db, job, { part: 1 }, "upload-1");
    assert(await queue.complete(job));
    assertEquals(await read(db, job.id), undefined);
    assertEquals(await abandoned(db), []);
    await db.sql`delete from public.ai_jobs where id = ${job.id}`;
    assertEquals(await abandoned(db), []);
  });
});

Deno.test("ai_job_checkpoints: a replaced upload is queued for the janitor", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    await save(db, job, { part: 1 }, "upload-1");
    await save(db, job, { part: 2 }, "upload-1");
    assertEquals(await abandoned(db), []);
    await save(db, job, { part: 3 }, "upload-2");
    await save(db, job, { part: 4 });
    assertEquals(await abandoned(db), ["upload-1", "upload-2"]);
  });
});

Deno.test("claim_abandoned_uploads: each is claimed once, deleted when aborted, and offered again otherwise", async () => {
  await withQueue(async ({ db }) => {
    await db
      .sql`insert into private.abandoned_uploads (upload_id) select 'upload-' || n from generate_series(1, 5) as n`;
    const claim = (limit: number) =>
      db.asService((sql) =>
        sql<{ upload_id: string; lease_token: string }[]>`
          select * from public.claim_abandoned_uploads(${limit}) order by upload_id`
      );
    const settle = (ids: string[], token: string, code: string | null) =>
      db.asService(async (sql) => {
        const [row] = await sql<{ ended: number }[]>`
          select public.settle_abandoned_uploads(${ids}, ${token}, ${code}) as ended`;
        return row?.ended;
      });
    const first = await claim(3);
    assertEquals(first.length, 3);
    assertEquals((await claim(10)).length, 2);
    assertEquals((await claim(10)).length, 0);
    const [one, two] = first;
    assert(one && two);
    assertEquals(await settle([one.upload_id], crypto.randomUUID(), null), 0);
    assertEquals(await settle([one.upload_id], one.lease_token, null), 1);
    assertEquals(
      await settle([two.upload_id], two.lease_token, "storage_unavailable"),
      0,
    );
    assertEquals((await abandoned(db)).includes(one.upload_id), false);
    await db.sql`update private.abandoned_uploads set next_attempt_at = now()`;
    assertEquals((await claim(10)).length, 4);
  });
});
