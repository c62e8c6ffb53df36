import { assert, assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import {
  type Bench,
  claimJob,
  eventsOf,
  expireLease,
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  readJob,
  setAttempts,
  withQueue,
} from "./_support/factories.ts";
import type { ClaimedJob } from "./_support/queue.ts";
import { settleCall } from "./_support/protocol.ts";

interface Standing {
  status: string;
  spend: string;
  error_code: string | null;
  error_message: string | null;
}

/** Requests a cancellation or retry as the owner, through the only columns that an owner may write. */
async function ask(
  { db }: Bench,
  job: { id: string; user_id: string },
  column: "cancel_requested_at" | "retry_requested_at",
): Promise<Standing | undefined> {
  return await db.asUser(job.user_id, async (sql) => {
    const [row] = await sql<Standing[]>`
      update public.ai_jobs set ${
      sql(column)
    } = '2001-01-01' where id = ${job.id}
      returning status, spend, error_code, error_message`;
    return row;
  });
}

async function failed(bench: Bench) {
  const job = await insertClaimedJob(bench);
  await bench.queue.fail(job, {
    code: "provider_rejected_input",
    isRetryable: false,
  });
  return job;
}

async function lastEvent({ db }: Bench, id: string): Promise<unknown> {
  return (await eventsOf(db, id)).at(-1)?.event;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error
    ? String(error.code)
    : undefined;
}

Deno.test("cancel: a waiting job is cancelled immediately, costs nothing and is never claimed", async () => {
  await withQueue(async (bench) => {
    const job = await insertJob(bench.db);
    assertEquals(await ask(bench, job, "cancel_requested_at"), {
      status: "cancelled",
      spend: "none",
      error_code: "cancelled",
      error_message: "Cancelled before anything was paid.",
    });
    assertEquals(await bench.queue.claim(10), []);
    assertEquals(
      (await eventsOf(bench.db, job.id)).map(({ event }) => event),
      ["created", "cancelled"],
    );
  });
});

Deno.test("cancel: a running job continues until its heartbeat reports it, then cancel_ai_job ends it", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    assertEquals(
      (await bench.queue.heartbeat(job))?.is_cancel_requested,
      false,
    );
    assertEquals(
      (await ask(bench, job, "cancel_requested_at"))?.status,
      "processing",
    );
    assertEquals(await lastEvent(bench, job.id), "cancel_requested");
    assertEquals((await bench.queue.heartbeat(job))?.is_cancel_requested, true);
    assertEquals(await bench.queue.cancel(job), true);
    assertEquals((await readJob(bench.db, job.id)).status, "cancelled");
    assertEquals(await bench.queue.cancel(job), false);
  });
});

Deno.test("cancel: without a request cancel_ai_job changes nothing", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    assertEquals(await bench.queue.cancel(job), false);
    assertEquals((await readJob(bench.db, job.id)).status, "processing");
  });
});

Deno.test("cancel: after the request nothing is sent to the provider", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    await ask(bench, job, "cancel_requested_at");
    const begun = await bench.queue.begin(job, "create_voice");
    assertEquals(begun?.decision, "cancelled");
    assertEquals((await readJob(bench.db, job.id)).billable_calls, 0);
  });
});

Deno.test("cancel: a job whose worker dies after the request is cancelled by the sweep, and does not run again", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    await bench.queue.begin(job, "create_voice");
    await ask(bench, job, "cancel_requested_at");
    await expireLease(bench.db, job.id);
    await bench.db.sql`select public.rescue_stalled_ai_jobs()`;
    const after = await readJob(bench.db, job.id);
    assertEquals(after.status, "cancelled");
    assertEquals(await spendOf(bench, job.id), "unknown");
    assertEquals(await bench.queue.claim(5), []);
  });
});

Deno.test("cancel: however a running job ends after the request, without a result, it is cancelled", async (t) => {
  const ways = {
    retried: (bench: Bench, job: ClaimedJob) => bench.queue.fail(job),
    "failed for good": (bench: Bench, job: ClaimedJob) =>
      bench.queue.fail(job, { isRetryable: false }),
    "rescued from its last attempt": async (bench: Bench, job: ClaimedJob) => {
      await setAttempts(bench.db, job.id, { attempt: 5 });
      await expireLease(bench.db, job.id);
      await bench.queue.rescue();
    },
    snoozed: (bench: Bench, job: ClaimedJob) => bench.queue.snooze(job),
    released: (bench: Bench, job: ClaimedJob) => bench.queue.release(job),
    rescued: async (bench: Bench, job: ClaimedJob) => {
      await expireLease(bench.db, job.id);
      await bench.queue.rescue();
    },
  };
  for (const [way, handBack] of Object.entries(ways)) {
    await t.step(way, () =>
      withQueue(async (bench) => {
        const job = await insertClaimedJob(bench);
        await ask(bench, job, "cancel_requested_at");
        await handBack(bench, job);
        const after = await readJob(bench.db, job.id);
        assertEquals([after.status, after.error_code], [
          "cancelled",
          "cancelled",
        ]);
        assertEquals(
          after.error_message,
          "Cancelled before anything was paid.",
        );
        assertEquals(await lastEvent(bench, job.id), "cancelled");
      }));
  }
});

async function spendOf({ db }: Bench, id: string): Promise<string | undefined> {
  const [row] = await db.sql<
    { spend: string }[]
  >`select spend from public.ai_jobs where id = ${id}`;
  return row?.spend;
}

Deno.test("cancel: an ended job is unchanged (AJ071)", async () => {
  await withQueue(async (bench) => {
    const job = await insertCompletedJob(bench);
    const error = await assertRejects(() =>
      ask(bench, job, "cancel_requested_at")
    );
    assertEquals(codeOf(error), "AJ071");
    assertEquals((await readJob(bench.db, job.id)).status, "completed");
  });
});

Deno.test("spend: none before a paid call, unknown while it is open, then according to its outcome", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    assertEquals(await spendOf(bench, job.id), "none");
    const call = await bench.queue.begin(job, "create_voice");
    assert(call !== undefined);
    assertEquals(await spendOf(bench, job.id), "unknown");
    await bench.queue.settle(job, call.call_id, "rejected");
    assertEquals(await spendOf(bench, job.id), "none");
    const again = await bench.queue.begin(job, "create_voice");
    assert(again !== undefined);
    await bench.queue.settle(job, again.call_id, "succeeded", "voice-1");
    assertEquals(await spendOf(bench, job.id), "incurred");
  });
});

Deno.test("retry: the owner of a failed job gets the attempts of the type once more", async () => {
  await withQueue(async (bench) => {
    const job = await failed(bench);
    assertEquals(
      (await ask(bench, job, "retry_requested_at"))?.status,
      "pending",
    );
    assertEquals(await lastEvent(bench, job.id), "retry_requested");
    const again = await claimJob(bench, job.id);
    assertEquals([again.attempt, again.max_attempts], [2, 6]);
  });
});

Deno.test("retry: only failed jobs, and never while it is unknown whether they were paid for", async () => {
  await withQueue(async (bench) => {
    const running = await insertClaimedJob(bench);
    assertEquals(
      codeOf(
        await assertRejects(() => ask(bench, running, "retry_requested_at")),
      ),
      "AJ070",
    );
    await bench.queue.begin(running, "create_voice");
    await bench.queue.fail(running, {
      code: "provider_unauthorized",
      isRetryable: false,
    });
    assertEquals(
      (await readJob(bench.db, running.id)).error_code,
      "outcome_unknown",
    );
    assertEquals(
      codeOf(
        await assertRejects(() => ask(bench, running, "retry_requested_at")),
      ),
      "AJ072",
    );
  });
});

Deno.test("resolve_unknown_ai_job: a parked job continues with the created object, or sends a new call", async () => {
  await withQueue(async (bench) => {
    for (const wasMade of [true, false]) {
      const job = await insertClaimedJob(bench);
      await bench.queue.begin(job, "create_voice");
      await bench.queue.fail(job, {
        code: "provider_unauthorized",
        isRetryable: false,
      });
      const [row] = await bench.db.sql<{ done: boolean }[]>`
        select public.resolve_unknown_ai_job(${job.id}, ${wasMade}, ${
        wasMade ? `voice-${job.id}` : null
      }) as done`;
      assertEquals(row?.done, true);
      assertEquals(await lastEvent(bench, job.id), "retry_requested");
      const again = await claimJob(bench, job.id);
      const begun = await bench.queue.begin(again, "create_voice");
      assertEquals(begun?.decision, wasMade ? "done" : "send");
    }
  });
});

Deno.test("redrive_ai_jobs: retries the jobs that match, and no parked ones", async () => {
  await withQueue(async (bench) => {
    const wanted = await failed(bench);
    const other = await insertClaimedJob(bench);
    await bench.queue.fail(other, {
      code: "provider_quota_exceeded",
      isRetryable: false,
    });
    const parked = await insertClaimedJob(bench);
    await bench.queue.begin(parked, "create_voice");
    await bench.queue.fail(parked, {
      code: "provider_rejected_input",
      isRetryable: false,
    });
    // A null time, of a script whose variable is empty, selects nothing; it does not mean all.
    const [none] = await bench.db.sql<{ n: number }[]>`
      select public.redrive_ai_jobs(p_failed_since => null) as n`;
    assertEquals(none?.n, 0);
    const [row] = await bench.db.sql<{ n: number }[]>`
      select public.redrive_ai_jobs(p_error_code => 'provider_rejected_input') as n`;
    assertEquals(row?.n, 1);
    assertEquals((await readJob(bench.db, wanted.id)).status, "pending");
    assertEquals(await lastEvent(bench, wanted.id), "retry_requested");
    assertEquals((await readJob(bench.db, other.id)).status, "failed");
    assertEquals((await readJob(bench.db, parked.id)).status, "failed");
  });
});

Deno.test("redrive_ai_jobs, resolve_unknown_ai_job: an owner without room blocks no others; answers are saved", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const full = await failed(bench);
    const parked = await insertClaimedJob(bench, { user_id: full.user_id });
    await bench.queue.begin(parked, "create_voice");
    await bench.queue.fail(parked, { isRetryable: false });
    const other = await failed(bench);
    await db.sql`
      update public.ai_limits set max_active_jobs = 0, active_jobs_at_most = 1 where user_id = ${full.user_id}`;
    const [row] = await db.asService((sql) =>
      sql<{ n: number }[]>`
        select public.redrive_ai_jobs(p_error_code => 'provider_rejected_input') as n`
    );
    assertEquals(row?.n, 1);
    assertEquals((await readJob(db, other.id)).status, "pending");
    assertEquals((await readJob(db, full.id)).status, "failed");

    const [resolved] = await db.asService((sql) =>
      sql<{ done: boolean }[]>`
        select public.resolve_unknown_ai_job(${parked.id}, false) as done`
    );
    assertEquals(resolved?.done, true);
    const [job] = await db.sql<Pick<Standing, "status" | "spend">[]>`
      select status, spend from public.ai_jobs where id = ${parked.id}`;
    assertEquals({ ...job }, { status: "failed", spend: "none" });
  });
});

Deno.test("pause_ai_jobs: jobs of a paused type, provider or user keep their place and continue when resumed", async () => {
  await withQueue(async (bench) => {
    const job = await insertJob(bench.db);
    const pauses: [string, string][] = [
      ["p_job_type", "voice_clone"],
      ["p_provider", "elevenlabs"],
      ["p_user_id", job.user_id],
    ];
    for (const [name, value] of pauses) {
      const pause = (isPaused: boolean) =>
        bench.db.sql.unsafe(
          `select public.pause_ai_jobs(${name} => $1, p_is_paused => $2)`,
          [value, isPaused],
        );
      await pause(true);
      assertEquals(await bench.queue.claim(1), [], name);
      await pause(false);
      const [taken] = await bench.queue.claim(1);
      assertEquals(taken?.id, job.id, name);
      if (taken !== undefined) await bench.queue.release(taken);
    }
    const error: postgres.PostgresError = await assertRejects(() =>
      bench.db.sql`select public.pause_ai_jobs()`
    );
    assertEquals(error.code, "AJ074");
  });
});

Deno.test("set_ai_budget, redrive_ai_jobs: a number out of range is an error that names it", async (t) => {
  await withQueue(async ({ db }) => {
    for (
      const [call, argument] of [
        ["set_ai_budget(null, -1)", "p_budget_micros"],
        ["redrive_ai_jobs(p_limit => 0)", "p_limit"],
        ["redrive_ai_jobs(p_limit => null)", "p_limit"],
      ] as const
    ) {
      await t.step(call, async () => {
        const error: postgres.PostgresError = await assertRejects(() =>
          db.asService((sql) => sql.unsafe(`select public.${call}`))
        );
        assertEquals([error.code, error.detail], ["22023", argument]);
      });
    }
  });
});

Deno.test("pause_ai_jobs, redrive_ai_jobs: an unknown name is an error that names it, and nothing changes", async (t) => {
  await withQueue(async ({ db }) => {
    const nobody = crypto.randomUUID();
    for (
      const [call, argument, message] of [
        [
          "pause_ai_jobs(p_job_type => 'voice_cloning')",
          "p_job_type",
          "there is no job type voice_cloning",
        ],
        [
          "pause_ai_jobs(p_job_type => 'voice_clone', p_provider => '11labs')",
          "p_provider",
          "there is no provider 11labs",
        ],
        [
          `pause_ai_jobs(p_provider => 'heygen', p_user_id => '${nobody}')`,
          "p_user_id",
          `there is no user ${nobody}`,
        ],
        [
          "redrive_ai_jobs(p_job_type => 'voice_cloning')",
          "p_job_type",
          "there is no job type voice_cloning",
        ],
        [
          `redrive_ai_jobs(p_user_id => '${nobody}')`,
          "p_user_id",
          `there is no user ${nobody}`,
        ],
      ] as const
    ) {
      await t.step(call, async () => {
        const error: postgres.PostgresError = await assertRejects(() =>
          db.asService((sql) => sql.unsafe(`select public.${call}`))
        );
        assertEquals([error.code, error.detail, error.message], [
          "AJ075",
          argument,
          message,
        ]);
      });
    }
    assertEquals(
      [
        ...await db.sql`
        select 'type' from public.ai_job_types where paused_at is not null
        union all select 'provider' from public.ai_providers where paused_at is not null
        union all select 'user' from public.ai_limits where paused_at is not null`,
      ],
      [],
    );
  });
});

Deno.test("ai_job_dead_letters: a failed job with its last cause and provider calls, for the operator only", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    const call = await bench.queue.begin(job, "create_voice");
    assert(call !== undefined);
    await bench.db.asService((sql) =>
      settleCall(sql, job, call.call_id, "rejected", {
        httpStatus: 401,
        errorCode: "provider_quota_exceeded",
      })
    );
    await bench.queue.fail(job, {
      code: "provider_quota_exceeded",
      isRetryable: false,
    });
    const read = (sql: postgres.ISql) =>
      sql<
        {
          id: string;
          error_code: string;
          provider_calls: {
            outcome: string;
            error_code: string;
            http_status: number;
          }[];
        }[]
      >`
      select id, error_code, provider_calls from private.ai_job_dead_letters`;
    const [letter] = await read(bench.db.sql);
    assertEquals([letter?.id, letter?.error_code], [
      job.id,
      "provider_quota_exceeded",
    ]);
    assertEquals(
      letter?.provider_calls.map(({ outcome, error_code, http_status }) => [
        outcome,
        error_code,
        http_status,
      ]),
      [["rejected", "provider_quota_exceeded", 401]],
    );
    await assertRejects(() => bench.db.asUser(job.user_id, read));
    await assertRejects(() => bench.db.asService(read));
  });
});
