/** fail_ai_job: whether and when a failed attempt is retried, and with which error a job fails finally. */
import { assert, assertEquals } from "@std/assert";
import { ERROR_CATALOGUE } from "../../supabase/functions/_shared/failures/catalogue.ts";
import type { TestDatabase } from "../_support/database.ts";
import { withDatabase } from "../_support/database.ts";
import {
  claimJob,
  eventsOf,
  insertClaimedJob,
  insertJob,
  makeDue,
  pictureOf,
  readJob,
  refusalOf,
  setAttempts,
  withQueue,
} from "./_support/factories.ts";
import { settleCall } from "./_support/protocol.ts";

/** Seconds from the newest event of the job to its next start. */
async function waitOf(db: TestDatabase, jobId: string): Promise<number> {
  const [row] = await db.sql<{ seconds: number }[]>`
    select extract(epoch from j.scheduled_at - e.created_at)::float8 as seconds
    from public.ai_jobs as j
    join public.ai_job_events as e on e.job_id = j.id and e.seq = j.event_seq
    where j.id = ${jobId}`;
  assert(row !== undefined);
  return row.seconds;
}

/** Allows for the short time between the choice of the wait and the event. */
function assertWait(seconds: number, low: number, high: number): void {
  assert(
    seconds > low - 1 && seconds <= high,
    `waits ${seconds} s, expected ${low} to ${high}`,
  );
}

Deno.test("fail_ai_job: a transient error requeues the job with its cause, without lease, result or progress", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.heartbeat(job, 60, "calling_provider");

    assertEquals(
      await queue.fail(job, { code: "provider_rate_limited" }),
      "pending",
    );

    const waiting = await readJob(db, job.id);
    assertEquals([waiting.status, waiting.attempt], ["pending", 1]);
    assertEquals(waiting.progress_percentage, 0);
    assertEquals(waiting.error_code, "provider_rate_limited");
    assertEquals(
      waiting.error_message,
      "The AI provider did not answer properly.",
    );
    assertEquals([waiting.lease_token, waiting.lease_expires_at], [null, null]);
    assertEquals(waiting.completed_at, null);
    assertEquals(
      await queue.claim(1),
      [],
      "it is not due before the end of its wait",
    );
    const last = (await eventsOf(db, job.id)).at(-1);
    assertEquals([last?.event, last?.attempt, last?.data.error_code], [
      "retried",
      1,
      "provider_rate_limited",
    ]);
    assertEquals(
      Date.parse(String(last?.data.scheduled_at)),
      waiting.scheduled_at.getTime(),
    );
  });
});

Deno.test("fail_ai_job: the waits double up to the type's maximum, and the last attempt fails the job", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await db
      .sql`update public.ai_job_types set backoff_base_seconds = 100, backoff_max_seconds = 500, max_attempts = 5`;
    const { id } = await insertJob(db);

    for (const wait of [100, 200, 400, 500]) {
      assertEquals(await queue.fail(await claimJob(bench, id)), "pending");
      assertWait(await waitOf(db, id), wait * 0.8, wait * 1.2);
      await makeDue(db, id);
    }
    assertEquals(await queue.fail(await claimJob(bench, id)), "failed");

    const failed = await readJob(db, id);
    assertEquals([failed.status, failed.attempt], ["failed", 5]);
    assertEquals(failed.error_code, "provider_unavailable");
    assert(failed.completed_at !== null);
    assertEquals((await eventsOf(db, id)).at(-1)?.event, "failed");
    assertEquals(await queue.claim(1, [id]), []);
  });
});

Deno.test("fail_ai_job: an error that another attempt cannot fix ends the job at its first attempt", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.heartbeat(job, 30, "calling_provider");
    assertEquals(
      await queue.fail(job, {
        code: "provider_rejected_input",
        isRetryable: false,
        retryAfterSeconds: 5,
      }),
      "failed",
    );
    const failed = await readJob(db, job.id);
    assertEquals([failed.status, failed.attempt, failed.error_code], [
      "failed",
      1,
      "provider_rejected_input",
    ]);
    assertEquals(failed.progress_percentage, 30, "its progress stays");
    assertEquals(failed.scheduled_at, job.scheduled_at);
  });
});

Deno.test("ai_job_backoff: 2,000 draws lie within 20 % of base × 2^(attempt-1), fill that range, and are capped", async (t) => {
  await withDatabase(async (db) => {
    await db
      .sql`update public.ai_job_types set backoff_base_seconds = 10, backoff_max_seconds = 300`;
    const expected = [[1, 10], [2, 20], [3, 40], [5, 160], [6, 300], [
      100,
      300,
    ]];
    for (const [attempt = 0, seconds = 0] of expected) {
      await t.step(`attempt ${attempt}: about ${seconds} s`, async () => {
        const [row] = await db.sql<{ low: number; high: number }[]>`
          select min(extract(epoch from b.wait))::float8 as low, max(extract(epoch from b.wait))::float8 as high
          from (
            select private.ai_job_backoff('voice_clone', ${attempt}) as wait from generate_series(1, 2000)
          ) as b`;
        assert(row !== undefined);
        assert(
          row.low >= seconds * 0.8 && row.low < seconds * 0.82,
          `${row.low}`,
        );
        assert(
          row.high <= seconds * 1.2 && row.high > seconds * 1.18,
          `${row.high}`,
        );
      });
    }
  });
});

Deno.test("fail_ai_job: a longer wait from the provider is used, up to an hour; a shorter or invalid one is not", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await db.sql`
      update public.ai_job_types set backoff_base_seconds = 10, backoff_max_seconds = 10, max_attempts = 25`;
    const { id } = await insertJob(db);
    const cases = [
      { retryAfterSeconds: 120, low: 120, high: 120 },
      { retryAfterSeconds: 12.5, low: 12.5, high: 12.5 },
      { retryAfterSeconds: 3600, low: 3600, high: 3600 },
      { retryAfterSeconds: 3601, low: 3600, high: 3600 },
      { retryAfterSeconds: 1e12, low: 3600, high: 3600 },
      { retryAfterSeconds: "Infinity", low: 3600, high: 3600 },
      { retryAfterSeconds: 1, low: 8, high: 12 },
      { retryAfterSeconds: 0, low: 8, high: 12 },
      { retryAfterSeconds: -5, low: 8, high: 12 },
      { retryAfterSeconds: null, low: 8, high: 12 },
    ];
    for (const { retryAfterSeconds, low, high } of cases) {
      await t.step(`Retry-After ${retryAfterSeconds}`, async () => {
        const job = await claimJob(bench, id);
        assertEquals(await queue.fail(job, { retryAfterSeconds }), "pending");
        assertWait(await waitOf(db, id), low, high);
        await makeDue(db, id);
      });
    }
  });
});

/** How a call with an unknown outcome ended, as `error_message` says it. */
const CUT_OFF =
  "Its call create_voice was interrupted before a response arrived.";
const ENDED =
  "Its call create_voice ended with provider_unavailable (HTTP 502).";

Deno.test("fail_ai_job: a job that fails while a paid call may have happened fails with outcome_unknown", async (t) => {
  const cases = [
    { call: "sent", settle: null, code: "outcome_unknown" },
    { call: "unknown", settle: "unknown", code: "outcome_unknown" },
    { call: "rejected", settle: "rejected", code: "provider_unavailable" },
    { call: "absent", settle: "absent", code: "provider_unavailable" },
    { call: "succeeded", settle: "succeeded", code: "provider_unavailable" },
  ];
  for (const { call, settle, code } of cases) {
    for (const isRetryable of [true, false]) {
      await t.step(
        `last attempt, call ${call}, ${
          isRetryable ? "" : "not "
        }retryable: ${code}`,
        () =>
          withQueue(async (bench) => {
            const { db, queue } = bench;
            const { id } = await insertJob(db);
            await setAttempts(db, id, { attempt: 4 });
            const job = await claimJob(bench, id);
            const begun = await queue.begin(job);
            assert(begun !== undefined);
            if (settle !== null) {
              const objectId = settle === "succeeded" ? "voice-1" : null;
              await db.asService((sql) =>
                settleCall(sql, job, begun.call_id, settle, {
                  objectId,
                  httpStatus: 502,
                  errorCode: "provider_unavailable",
                })
              );
            }
            assertEquals(await queue.fail(job, { isRetryable }), "failed");
            const failed = await readJob(db, id);
            assertEquals(failed.error_code, code);
            const cause = "The AI provider did not answer properly.";
            assertEquals(
              failed.error_message,
              code === "outcome_unknown"
                ? `${ERROR_CATALOGUE.outcome_unknown.message} ${
                  settle === null ? CUT_OFF : ENDED
                } Last: ${cause}`
                : cause,
            );
          }),
      );
    }
  }
  await t.step(
    "with attempts left the job is retried, with its own cause",
    () =>
      withQueue(async (bench) => {
        const { db, queue } = bench;
        const job = await insertClaimedJob(bench);
        await queue.begin(job);
        assertEquals(await queue.fail(job), "pending");
        assertEquals(
          (await readJob(db, job.id)).error_code,
          "provider_unavailable",
        );
      }),
  );
});

Deno.test("ai_jobs: a job that is too old to wait again fails, and keeps its last cause", async (t) => {
  const cause = "The AI provider did not answer properly.";
  const expired = ERROR_CATALOGUE.job_expired.message;
  const unknown = ERROR_CATALOGUE.outcome_unknown.message;
  for (
    const { way, isOpen, code, message } of [
      {
        way: "retried",
        isOpen: false,
        code: "job_expired",
        message: `${expired} Last: ${cause}`,
      },
      {
        way: "retried",
        isOpen: true,
        code: "outcome_unknown",
        message: `${unknown} ${CUT_OFF} Last: ${cause}`,
      },
      { way: "snoozed", isOpen: false, code: "job_expired", message: expired },
      {
        way: "snoozed",
        isOpen: true,
        code: "outcome_unknown",
        message: `${unknown} ${CUT_OFF}`,
      },
      {
        way: "released",
        isOpen: false,
        code: "job_expired",
        message: expired,
      },
      {
        way: "rescued",
        isOpen: false,
        code: "job_expired",
        message: `${expired} Last: ${ERROR_CATALOGUE.lease_expired.message}`,
      },
      {
        way: "rescued",
        isOpen: true,
        code: "outcome_unknown",
        message:
          `${unknown} ${CUT_OFF} Last: ${ERROR_CATALOGUE.lease_expired.message}`,
      },
    ]
  ) {
    await t.step(
      `${way}${isOpen ? ", a call of unknown outcome" : ""}: ${code}`,
      () =>
        withQueue(async (bench) => {
          const { db, queue } = bench;
          const job = await insertClaimedJob(bench);
          if (isOpen) {
            const begun = await queue.begin(job);
            assert(begun !== undefined);
            await queue.settle(job, begun.call_id, "unknown");
            await db.sql`
              update public.ai_provider_calls set sent_at = sent_at - interval '2 days' where id = ${begun.call_id}`;
          }
          await db.sql`
          update public.ai_jobs as j
          set created_at = j.created_at - interval '2 days',
            started_at = clock_timestamp() - make_interval(secs => t.max_age_seconds + 1)
          from public.ai_job_types as t where t.job_type = j.job_type and j.id = ${job.id}`;
          if (way === "retried") await queue.fail(job);
          if (way === "snoozed") await queue.snooze(job);
          if (way === "released") await queue.release(job);
          if (way === "rescued") {
            await db
              .sql`update public.ai_jobs set lease_expires_at = now() where id = ${job.id}`;
            await queue.rescue();
          }
          const ended = await readJob(db, job.id);
          assertEquals([ended.status, ended.error_code, ended.error_message], [
            "failed",
            code,
            message,
          ]);
          assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "failed");
        }),
    );
  }
});

Deno.test("ai_jobs: the age of a job that paid late counts from its paid call, not from a refused one", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    for (const outcome of ["succeeded", "rejected"] as const) {
      const job = await insertClaimedJob(bench);
      await db.sql`
        update public.ai_jobs as j
        set created_at = j.created_at - interval '2 days',
          started_at = clock_timestamp() - make_interval(secs => t.max_age_seconds + 1)
        from public.ai_job_types as t where t.job_type = j.job_type and j.id = ${job.id}`;
      const begun = await queue.begin(job);
      assert(begun !== undefined);
      await queue.settle(
        job,
        begun.call_id,
        outcome,
        outcome === "succeeded" ? "voice-1" : undefined,
      );
      await queue.snooze(job);
      const { status, error_code } = await readJob(db, job.id);
      assertEquals(
        [status, error_code],
        outcome === "succeeded" ? ["pending", null] : ["failed", "job_expired"],
      );
    }
  });
});

Deno.test("fail_ai_job: without a cause no job fails, and a missing isRetryable means false", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const fail = (code: string | null) =>
      db.asService(async (sql) => {
        const [row] = await sql<{ answer: string | null }[]>`
          select public.fail_ai_job(${job.id}, ${job.lease_token}, ${code}, null, null) as answer`;
        return row?.answer;
      });
    const before = await pictureOf(db);
    const refusal = await refusalOf(() => fail(null));
    assertEquals(refusal.constraint, "ai_jobs_failed_has_error_code");
    assertEquals(await pictureOf(db), before);
    assertEquals(await fail("internal_error"), "failed");
  });
});

Deno.test("ai_jobs: a job scheduled for a month ahead is retried, snoozed, released and rescued like any other", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const ways = {
      retried: async (id: string) =>
        await queue.fail(await claimJob(bench, id)) === "pending",
      snoozed: async (id: string) =>
        await queue.snooze(await claimJob(bench, id)),
      released: async (id: string) =>
        await queue.release(await claimJob(bench, id)),
      rescued: async (id: string) => {
        await claimJob(bench, id);
        await db
          .sql`update public.ai_jobs set lease_expires_at = now() where id = ${id}`;
        return (await queue.rescue()).length === 1;
      },
    };
    for (const [event, run] of Object.entries(ways)) {
      await t.step(event, async () => {
        const { id } = await insertJob(db);
        await db.sql`
          update public.ai_jobs
          set created_at = now() - interval '31 days', scheduled_at = now()
          where id = ${id}`;
        assert(await run(id));
        const job = await readJob(db, id);
        assertEquals([job.status, job.last_event], ["pending", event]);
      });
    }
  });
});
