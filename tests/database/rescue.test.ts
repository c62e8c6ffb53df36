/** rescue_stalled_ai_jobs: jobs whose worker died, above all during a paid call. */
import { assert, assertEquals } from "@std/assert";
import type { TestDatabase } from "../_support/database.ts";
import {
  aVoice,
  type Bench,
  claimJob,
  eventsOf,
  expireLease,
  insertClaimedJob,
  insertJob,
  insertJobs,
  makeDue,
  pictureOf,
  readJob,
  setAttempts,
  withQueue,
} from "./_support/factories.ts";
import { type ClaimedJob, queueOver } from "./_support/queue.ts";

const MAX_ATTEMPTS = 5;

async function insertOnLastAttempt(bench: Bench): Promise<ClaimedJob> {
  const { id } = await insertJob(bench.db);
  await setAttempts(bench.db, id, { attempt: MAX_ATTEMPTS - 1 });
  const job = await claimJob(bench, id);
  assertEquals(job.attempt, job.max_attempts);
  return job;
}

/** Expires the lease, as after the worker's death, and runs the rescue. */
async function die(bench: Bench, jobId: string): Promise<string | undefined> {
  await expireLease(bench.db, jobId);
  const rescued = await bench.queue.rescue();
  assertEquals(rescued.map((row) => row.job_id), [jobId]);
  return rescued[0]?.status;
}

async function callsOf(db: TestDatabase, jobId: string): Promise<string[]> {
  const rows = await db.sql<{ outcome: string }[]>`
    select outcome from public.ai_provider_calls where job_id = ${jobId} order by sent_at`;
  return rows.map((row) => row.outcome);
}

Deno.test("rescue_stalled_ai_jobs: a job whose lease has expired waits again, its attempt spent", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.heartbeat(job, 40, "calling_provider");

    assertEquals(await die(bench, job.id), "pending");

    const waiting = await readJob(db, job.id);
    assertEquals([waiting.status, waiting.attempt], ["pending", 1]);
    assertEquals(waiting.progress_percentage, 0);
    assertEquals([waiting.lease_token, waiting.lease_expires_at], [null, null]);
    assertEquals(waiting.error_code, "lease_expired");
    assertEquals(waiting.error_message, "The worker stopped responding.");
    assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "rescued");
    assertEquals(
      (await claimJob(bench, job.id)).attempt,
      2,
      "after the first attempt it is due immediately",
    );
  });
});

Deno.test("rescue_stalled_ai_jobs: twin: a lease with a second left is not rescued", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const setLease = (offset: string) =>
      db.sql`update public.ai_jobs set lease_expires_at = clock_timestamp() + ${offset}::interval`;
    await setLease("5 seconds");
    const before = await pictureOf(db);
    assertEquals(await queue.rescue(), []);
    assertEquals(await pictureOf(db), before);

    await setLease("-1 millisecond");
    assertEquals(await queue.rescue(), [{ job_id: job.id, status: "pending" }]);
  });
});

Deno.test("rescue_stalled_ai_jobs: from the second attempt on there is a backoff, which doubles", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await db
      .sql`update public.ai_job_types set backoff_base_seconds = 100, backoff_max_seconds = 1000`;
    const { id } = await insertJob(db);
    for (const wait of [0, 100, 200, 400]) {
      await claimJob(bench, id);
      await die(bench, id);
      const [row] = await db.sql<{ seconds: number }[]>`
        select extract(epoch from j.scheduled_at - e.created_at)::float8 as seconds
        from public.ai_jobs as j
        join public.ai_job_events as e on e.job_id = j.id and e.seq = j.event_seq`;
      assert(row !== undefined);
      assert(
        row.seconds > wait * 0.8 - 1 && row.seconds <= wait * 1.2,
        `${row.seconds} s instead of about ${wait}`,
      );
      await makeDue(db, id);
    }
    await claimJob(bench, id);
    assertEquals(await die(bench, id), "failed");
  });
});

Deno.test("rescue_stalled_ai_jobs: the last attempt fails the job with lease_expired", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertOnLastAttempt(bench);
    await queue.heartbeat(job, 40, "fetching_input");

    assertEquals(await die(bench, job.id), "failed");

    const failed = await readJob(db, job.id);
    assertEquals([failed.status, failed.error_code], [
      "failed",
      "lease_expired",
    ]);
    assertEquals(failed.progress_percentage, 40);
    assert(failed.completed_at !== null);
    assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "failed");
    assertEquals(await queue.rescue(), [], "it has ended");
  });
});

Deno.test("rescue_stalled_ai_jobs: an abandoned call is unknown, and the next attempt reconciles", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const sent = await queue.begin(job);
    assertEquals(await callsOf(db, job.id), ["sent"]);

    assertEquals(await die(bench, job.id), "pending");

    assertEquals(await callsOf(db, job.id), ["unknown"]);
    assertEquals((await readJob(db, job.id)).error_code, "lease_expired");
    const begun = await queue.begin(await claimJob(bench, job.id));
    assertEquals([begun?.decision, begun?.call_id], [
      "reconcile",
      sent?.call_id,
    ]);
    assertEquals((await readJob(db, job.id)).billable_calls, 1);
  });
});

Deno.test("rescue_stalled_ai_jobs: a last attempt that died in a paid call gets one more claim to reconcile", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertOnLastAttempt(bench);
    await queue.begin(job);

    assertEquals(await die(bench, job.id), "pending");
    const waiting = await readJob(db, job.id);
    assertEquals(waiting.attempt, MAX_ATTEMPTS - 1);
    assertEquals(waiting.error_code, "outcome_unknown");

    const lookUp = await claimJob(bench, job.id);
    assertEquals(
      lookUp.attempt,
      MAX_ATTEMPTS,
      "it is due immediately, without a wait",
    );
    assertEquals((await queue.begin(lookUp))?.decision, "reconcile");

    assertEquals(await die(bench, job.id), "failed");
    const failed = await readJob(db, job.id);
    assertEquals(
      [failed.error_code, failed.error_message],
      [
        "outcome_unknown",
        "It is unknown whether the AI provider did the work; it was not sent again. " +
        "Its call create_voice was interrupted before a response arrived. " +
        "Last: The worker stopped responding.",
      ],
    );
    assertEquals(failed.billable_calls, 1);
    assertEquals(await callsOf(db, job.id), ["unknown"]);
    assertEquals(await queue.claim(10), []);
    assertEquals(
      (await eventsOf(db, job.id)).filter(({ event }) => event === "claimed")
        .length,
      2,
    );
  });
});

Deno.test("rescue_stalled_ai_jobs: a reconciling claim whose worker dies before its query is not repeated", async () => {
  await withQueue(async (bench) => {
    const job = await insertOnLastAttempt(bench);
    await bench.queue.begin(job);
    assertEquals(await die(bench, job.id), "pending");
    await claimJob(bench, job.id);
    assertEquals(await die(bench, job.id), "failed");
    assertEquals(
      (await readJob(bench.db, job.id)).error_code,
      "outcome_unknown",
    );
  });
});

Deno.test("rescue_stalled_ai_jobs: the reconciling claim finds the object, and the job completes", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertOnLastAttempt(bench);
    await queue.begin(job);
    await die(bench, job.id);

    // The provider's listing lags: only a later query finds the object.
    let lookUp = await claimJob(bench, job.id);
    await queue.begin(lookUp);
    assert(await queue.snooze(lookUp, 10, "reconciling"));
    await makeDue(db, job.id);
    lookUp = await claimJob(bench, job.id);
    const begun = await queue.begin(lookUp);
    assert(begun?.decision === "reconcile");
    const voice = aVoice();
    assert(
      await queue.settle(
        lookUp,
        begun.call_id,
        "adopted",
        voice.provider_voice_id,
      ),
    );
    assert(await queue.completeWithProduct(lookUp, voice));
    assertEquals(await callsOf(db, job.id), ["adopted"]);
    assertEquals((await readJob(db, job.id)).billable_calls, 1);
  });
});

Deno.test("rescue_stalled_ai_jobs: a reconciling claim that finds nothing fails the job; nothing is sent again", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertOnLastAttempt(bench);
    await queue.begin(job);
    await die(bench, job.id);
    const lookUp = await claimJob(bench, job.id);
    const begun = await queue.begin(lookUp);
    assert(begun !== undefined);
    assert(await queue.settle(lookUp, begun.call_id, "absent"));
    assertEquals(await queue.fail(lookUp), "failed");
    const failed = await readJob(db, job.id);
    assertEquals([failed.error_code, failed.billable_calls], [
      "provider_unavailable",
      1,
    ]);
  });
});

Deno.test("rescue_stalled_ai_jobs: on the last attempt only an unknown call is reconciled", async (t) => {
  const cases = [
    { outcome: "rejected", code: "lease_expired" },
    { outcome: "absent", code: "lease_expired" },
    { outcome: "unknown", code: "outcome_unknown" },
  ];
  for (const { outcome, code } of cases) {
    await t.step(`${outcome}: ${code}`, () =>
      withQueue(async (bench) => {
        const { db, queue } = bench;
        const job = await insertOnLastAttempt(bench);
        const begun = await queue.begin(job);
        assert(begun !== undefined);
        assert(await queue.settle(job, begun.call_id, outcome));
        assertEquals(await die(bench, job.id), "failed");
        assertEquals((await readJob(db, job.id)).error_code, code);
        assertEquals(await callsOf(db, job.id), [outcome]);
      }));
  }
});

Deno.test("rescue_stalled_ai_jobs: a last attempt that died with a paid result is retried up to its max age", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    let job = await insertOnLastAttempt(bench);
    const begun = await queue.begin(job);
    assert(begun !== undefined);
    await queue.settle(job, begun.call_id, "succeeded", "voice-1");
    for (let death = 0; death < 3; death++) {
      assertEquals(await die(bench, job.id), "pending");
      assertEquals((await readJob(db, job.id)).attempt, MAX_ATTEMPTS - 1);
      await makeDue(db, job.id);
      job = await claimJob(bench, job.id);
      assertEquals((await queue.begin(job))?.decision, "done");
    }
    await db.sql`
      update public.ai_jobs set
        created_at = created_at - interval '100 days', started_at = started_at - interval '100 days'
      where id = ${job.id}`;
    await db.sql`
      update public.ai_provider_calls set sent_at = sent_at - interval '100 days' where job_id = ${job.id}`;
    assertEquals(await die(bench, job.id), "failed");
    const failed = await readJob(db, job.id);
    assertEquals([failed.error_code, failed.billable_calls], [
      "job_expired",
      1,
    ]);
    const [row] = await db.sql<{ spend: string }[]>`
      select spend from public.ai_jobs where id = ${job.id}`;
    assertEquals(row?.spend, "incurred");
  });
});

Deno.test("rescue_stalled_ai_jobs: two open calls of one job are both unknown, and the job is rescued once", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertOnLastAttempt(bench);
    await queue.begin(job, "create_voice");
    await queue.begin(job, "render_preview");
    const { event_seq } = await readJob(db, job.id);

    assertEquals(await die(bench, job.id), "pending");

    assertEquals(await callsOf(db, job.id), ["unknown", "unknown"]);
    const waiting = await readJob(db, job.id);
    assertEquals([waiting.attempt, waiting.event_seq], [
      MAX_ATTEMPTS - 1,
      event_seq + 1,
    ]);
  });
});

Deno.test("rescue_stalled_ai_jobs: jobs in every other state are unchanged, also next to stalled ones", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const stalled = await insertClaimedJob(bench);
    const onLastAttempt = await insertOnLastAttempt(bench);
    const inLastCall = await insertOnLastAttempt(bench);
    await queue.begin(inLastCall);
    for (const { id } of [stalled, onLastAttempt, inLastCall]) {
      await expireLease(db, id);
    }
    const alive = await insertClaimedJob(bench);
    await queue.begin(alive);
    const waiting = await insertJob(db);
    const completed = await insertClaimedJob(bench);
    await queue.complete(completed);
    const untouched = async () =>
      (await pictureOf(db)).filter((line) =>
        [alive, waiting, completed].some(({ id }) => line.includes(id))
      );
    const before = await untouched();

    const rescued = await queue.rescue();

    const byId = (a: { job_id: string }, b: { job_id: string }) =>
      a.job_id < b.job_id ? -1 : 1;
    assertEquals(
      rescued.sort(byId),
      [
        { job_id: stalled.id, status: "pending" },
        { job_id: onLastAttempt.id, status: "failed" },
        { job_id: inLastCall.id, status: "pending" },
      ].sort(byId),
    );
    assertEquals(await untouched(), before);
  });
});

Deno.test("rescue_stalled_ai_jobs: rescues the longest expired first, up to the limit", async () => {
  await withQueue(async ({ db, queue }) => {
    const ids = await insertJobs(db, 3);
    await queue.claim(3);
    // Neither the order of the rows nor an index may produce the right order by chance.
    await db.sql`drop index public.ai_jobs_running_idx`;
    for (const index of [2, 0, 1]) {
      await db.sql`
        update public.ai_jobs set lease_expires_at = now() - make_interval(mins => ${
        10 - index
      }) where id = ${ids[index] ?? null}`;
    }
    const order: string[] = [];
    for (let turn = 0; turn < 3; turn++) {
      order.push(...(await queue.rescue(1)).map((row) => row.job_id));
    }
    assertEquals(order, ids);
  });
});

Deno.test("rescue_stalled_ai_jobs: 10 parallel sweeps rescue 100 jobs, each once", async () => {
  await withQueue(async ({ db, queue }) => {
    const ids = await insertJobs(db, 100);
    await queue.claim(100);
    await db
      .sql`update public.ai_jobs set lease_expires_at = now() - interval '1 second'`;
    const sessions = await db.connections(10, "service_role");

    const rescued = await Promise.all(sessions.map(async (sql) => {
      const mine: string[] = [];
      for (;;) {
        const rows = await queueOver(sql).rescue(7);
        if (rows.length === 0) return mine;
        mine.push(...rows.map((row) => row.job_id));
      }
    }));

    const all = rescued.flat();
    assertEquals(new Set(all).size, all.length, "a job was rescued twice");
    assertEquals([...all].sort(), [...ids].sort(), "a job was left");
    const [row] = await db.sql<{ events: number; attempts: number }[]>`
      select
        (select count(*)::int from public.ai_job_events where event = 'rescued') as events,
        (select sum(attempt)::int from public.ai_jobs where status = 'pending') as attempts`;
    assertEquals(row, { events: 100, attempts: 100 });
  });
});
