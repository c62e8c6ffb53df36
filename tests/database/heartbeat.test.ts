/** heartbeat_ai_job: extends the lease, and reports progress when there is some. */
import { assert, assertEquals } from "@std/assert";
import {
  claimJob,
  eventsOf,
  insertClaimedJob,
  insertJob,
  readJob,
  withQueue,
} from "./_support/factories.ts";

Deno.test("heartbeat_ai_job: without progress and stage it extends the lease and changes nothing else", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const before = await readJob(db, job.id);

    const beat = await queue.heartbeat(job);

    const after = await readJob(db, job.id);
    assertEquals(beat?.is_cancel_requested, false);
    assertEquals(beat?.lease_expires_at, after.lease_expires_at);
    assert(after.lease_expires_at !== null && before.lease_expires_at !== null);
    assert(after.lease_expires_at >= before.lease_expires_at);
    const { lease_expires_at: _1, updated_at: _2, ...rest } = after;
    const { lease_expires_at: _3, updated_at: _4, ...restBefore } = before;
    assertEquals(rest, restBefore);
    assertEquals((await eventsOf(db, job.id)).length, 2);
  });
});

Deno.test("heartbeat_ai_job: the lease is extended to lease_seconds from now, by the database's clock", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    for (const seconds of [3, 300]) {
      await db.sql`update public.ai_job_types set lease_seconds = ${seconds}`;
      const [before] = await db.sql<{ at: string }[]>`
        select clock_timestamp()::text as at`;
      await queue.heartbeat(job);
      const [row] = await db.sql<{ isTrue: boolean }[]>`
        select lease_expires_at - make_interval(secs => ${seconds})
            between ${
        before?.at ?? ""
      }::timestamptz and clock_timestamp() as "isTrue"
        from public.ai_jobs where id = ${job.id}`;
      assertEquals(row?.isTrue, true, `lease_seconds = ${seconds}`);
    }
  });
});

Deno.test("heartbeat_ai_job: an expired lease that was not rescued is valid again", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await db
      .sql`update public.ai_jobs set lease_expires_at = now() - interval '1 hour'`;

    assert(await queue.heartbeat(job) !== undefined);

    assertEquals(await queue.rescue(), []);
    assertEquals((await readJob(db, job.id)).status, "processing");
  });
});

Deno.test("heartbeat_ai_job: progress only increases and stays below 100; each report is an event", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const reported = [
      { report: 10, shown: 10 },
      { report: 5, shown: 10 },
      { report: -1, shown: 10 },
      { report: 70, shown: 70 },
      { report: 100, shown: 99 },
      { report: 1000, shown: 99 },
    ];
    for (const { report, shown } of reported) {
      await queue.heartbeat(job, report, `stage_${shown}`);
      const { progress_percentage, stage } = await readJob(db, job.id);
      assertEquals(progress_percentage, shown, `reported ${report}`);
      assertEquals(stage, `stage_${shown}`);
    }
    assertEquals(
      (await eventsOf(db, job.id)).slice(2).map(({ event, data }) => [
        event,
        data.progress,
      ]),
      reported.map(({ shown }) => ["progress", shown]),
    );
  });
});

Deno.test("heartbeat_ai_job: a stage alone is reported and leaves the progress; progress alone leaves the stage", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.heartbeat(job, 30, "fetching_input");

    await queue.heartbeat(job, null, "calling_provider");
    let { progress_percentage, stage } = await readJob(db, job.id);
    assertEquals([progress_percentage, stage], [30, "calling_provider"]);

    await queue.heartbeat(job, 31);
    ({ progress_percentage, stage } = await readJob(db, job.id));
    assertEquals([progress_percentage, stage], [31, "calling_provider"]);
  });
});

Deno.test("heartbeat_ai_job: reports that the owner has requested cancellation", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await db.sql`update public.ai_jobs set cancel_requested_at = now()`;
    assertEquals((await queue.heartbeat(job))?.is_cancel_requested, true);
  });
});

Deno.test("heartbeat_ai_job: a waiting or ended job has no lease to extend", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const waiting = await insertJob(db);
    assertEquals(await queue.heartbeat(waiting), undefined);

    const done = await claimJob(bench, waiting.id);
    await queue.complete(done);
    assertEquals(await queue.heartbeat(done), undefined);
    assertEquals((await readJob(db, done.id)).lease_expires_at, null);
  });
});
