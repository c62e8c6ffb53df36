/** snooze_ai_job and release_ai_job: they requeue a claimed job without spending its attempt. */
import { assert, assertEquals } from "@std/assert";
import {
  claimJob,
  eventsOf,
  insertClaimedJob,
  insertJob,
  makeDue,
  readJob,
  refusalOf,
  setAttempts,
  withQueue,
} from "./_support/factories.ts";

Deno.test("snooze_ai_job: the job returns after the delay, with its attempt, progress and stage", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.heartbeat(job, 70, "rendering");

    assertEquals(await queue.snooze(job, 10), true);

    const waiting = await readJob(db, job.id);
    assertEquals([waiting.status, waiting.attempt], ["pending", 0]);
    assertEquals([waiting.progress_percentage, waiting.stage], [
      70,
      "rendering",
    ]);
    assertEquals([waiting.lease_token, waiting.lease_expires_at], [null, null]);
    assertEquals([waiting.error_code, waiting.completed_at], [null, null]);
    assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "snoozed");
    assertEquals(await queue.claim(1), [], "not before the delay has passed");
    await makeDue(db, job.id);
    assertEquals((await claimJob(bench, job.id)).attempt, 1);
  });
});

Deno.test("snooze_ai_job: the delay is limited to between 0 and an hour, and a stage can be set", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const { id } = await insertJob(db);
    const cases = [
      { delay: 90, seconds: 90 },
      { delay: 0.5, seconds: 0.5 },
      { delay: 3600, seconds: 3600 },
      { delay: 3601, seconds: 3600 },
      { delay: "Infinity", seconds: 3600 },
      { delay: "NaN", seconds: 3600 },
      { delay: 0, seconds: 0 },
      { delay: -60, seconds: 0 },
      { delay: null, seconds: 0 },
    ];
    for (const { delay, seconds } of cases) {
      await t.step(`${delay} seconds`, async () => {
        const job = await claimJob(bench, id);
        assert(await queue.snooze(job, delay, `after_${seconds}`));
        const [row] = await db.sql<{ isTrue: boolean; stage: string }[]>`
          select j.stage, e.created_at - (j.scheduled_at - make_interval(secs => ${seconds}))
              between interval '0 seconds' and interval '1 second' as "isTrue"
          from public.ai_jobs as j
          join public.ai_job_events as e on e.job_id = j.id and e.seq = j.event_seq
          where j.id = ${id}`;
        assertEquals(row, { isTrue: true, stage: `after_${seconds}` });
        await makeDue(db, id);
      });
    }
  });
});

Deno.test("snooze_ai_job and release_ai_job: however often, no attempt is spent and none is gained", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const { id } = await insertJob(db);
    for (const spent of [0, 4]) {
      await setAttempts(db, id, { attempt: spent });
      for (let turn = 0; turn < 5; turn++) {
        const job = await claimJob(bench, id);
        assertEquals(job.attempt, spent + 1);
        assert(
          turn % 2 === 0 ? await queue.release(job) : await queue.snooze(job),
        );
        assertEquals((await readJob(db, id)).attempt, spent);
        await makeDue(db, id);
      }
    }
    const refusal = await refusalOf(() => setAttempts(db, id, { attempt: -1 }));
    assertEquals(refusal.constraint, "ai_jobs_attempt_within_max");
  });
});

Deno.test("release_ai_job: the job can be claimed immediately, and keeps its attempt", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.heartbeat(job, 10, "fetching_input");

    assertEquals(await queue.release(job), true);

    const waiting = await readJob(db, job.id);
    assertEquals([waiting.status, waiting.attempt, waiting.error_code], [
      "pending",
      0,
      null,
    ]);
    assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "released");
    const next = await claimJob(bench, job.id);
    assertEquals(next.attempt, 1);
    assert(await queue.complete(next));
  });
});
