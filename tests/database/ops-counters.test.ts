/** The stored counters: exact after every transition of a job, and after rollbacks. */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import fc from "../_support/fast-check.ts";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  expireLease,
  insertClaimedJob,
  insertJob,
  insertJobs,
  makeDue,
  withQueue,
} from "./_support/factories.ts";
import { beginCall, completeJob, settleCall } from "./_support/protocol.ts";

/** The totals since the beginning, as `metric` or `metric code`, without durations and zeros. */
async function totals(db: TestDatabase): Promise<Record<string, number>> {
  await fold(db);
  const rows = await db.sql<{ name: string; amount: number }[]>`
    select concat_ws(' ', c.metric, nullif(c.code, '')) as name, sum(c.amount)::integer as amount
    from private.ai_counters as c
    where c.resolution = 0 and c.metric !~ '_millis$|^pickup$|^run$|^call_time$'
    group by 1
    having sum(c.amount) <> 0
    order by 1`;
  return Object.fromEntries(rows.map(({ name, amount }) => [name, amount]));
}

async function fold(db: TestDatabase): Promise<void> {
  await db.sql`select private.fold_ai_counters()`;
}

/** The same counts from the jobs themselves: current ones, and ended ones. */
async function countsOfJobs(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db.sql<{ name: string; amount: number }[]>`
    select case when j.status in ('pending', 'processing') then 'jobs ' || j.status else j.status end as name,
      count(*)::integer as amount
    from public.ai_jobs as j group by 1 order by 1`;
  return Object.fromEntries(rows.map(({ name, amount }) => [name, amount]));
}

Deno.test("counters: a completed job is counted at each step, and no longer as waiting or running", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await insertJob(db);
    assertEquals(await totals(db), { created: 1, "jobs pending": 1 });
    const [job] = await queue.claim(1, [id]);
    assert(job !== undefined);
    assertEquals(await totals(db), {
      claimed: 1,
      created: 1,
      "jobs processing": 1,
    });
    await queue.heartbeat(job, 40, "calling_provider");
    await queue.complete(job);
    assertEquals(await totals(db), { claimed: 1, completed: 1, created: 1 });
  });
});

Deno.test("counters: retries, rescues, snoozes, releases, failures and cancellations are counted separately", async () => {
  await withQueue(async ({ db, queue }) => {
    const retried = await insertClaimedJob({ db, queue });
    await queue.fail(retried, { code: "provider_timeout" });
    await queue.fail(await insertClaimedJob({ db, queue }), {
      code: "provider_rejected_input",
      isRetryable: false,
    });
    const rescued = await insertClaimedJob({ db, queue });
    await expireLease(db, rescued.id);
    await queue.rescue();
    await queue.snooze(await insertClaimedJob({ db, queue }));
    await queue.release(await insertClaimedJob({ db, queue }));
    await db.sql`
      update public.ai_jobs set cancel_requested_at = now() where id = ${retried.id}`;
    assertEquals(await totals(db), {
      cancelled: 1,
      claimed: 5,
      created: 5,
      "failed provider_rejected_input": 1,
      "jobs pending": 3,
      released: 1,
      "rescued lease_expired": 1,
      "retried provider_timeout": 1,
      snoozed: 1,
    });
  });
});

Deno.test("counters: a rolled-back transaction is not counted, a concurrent committed one is", async () => {
  await withQueue(async ({ db, queue }) => {
    const job = await insertClaimedJob({ db, queue });
    await db.sql.begin(async (sql) => {
      await completeJob(sql, job);
      throw new Error("rolled back");
    }).catch(() => {});
    await insertJob(db);
    assertEquals(await totals(db), {
      claimed: 1,
      created: 2,
      "jobs pending": 1,
      "jobs processing": 1,
    });
  });
});

Deno.test("counters: a statement over 500 jobs appends one row to the queue, and all of them are counted", async () => {
  await withQueue(async ({ db, queue }) => {
    await insertJobs(db, 500);
    const [queued] = await db.sql`
      select count(*)::integer as rows, sum(amount)::integer as amount from private.ai_counter_queue`;
    assertEquals({ ...queued }, { rows: 1, amount: 500 });
    for (const job of await queue.claim(20)) await queue.complete(job);
    assertEquals(await totals(db), {
      claimed: 20,
      completed: 20,
      created: 500,
      "jobs pending": 480,
    });
  });
});

Deno.test("counters: waiting and running jobs of deleted accounts are no longer counted", async () => {
  await withQueue(async ({ db, queue }) => {
    const job = await insertClaimedJob({ db, queue });
    await insertJob(db, { user_id: job.user_id });
    await insertJob(db);
    await db.sql`delete from auth.users where id = ${job.user_id}`;
    assertEquals(await totals(db), {
      claimed: 1,
      created: 3,
      "jobs pending": 1,
    });
  });
});

Deno.test("counters: two parallel folds count everything once; the second one does not wait", async () => {
  await withQueue(async ({ db }) => {
    await insertJobs(db, 10);
    const [one, other] = await db.connections(2);
    assert(one !== undefined && other !== undefined);
    await one.begin(async (sql) => {
      await sql`select private.fold_ai_counters()`;
      const [second] =
        await other`select private.fold_ai_counters() as changed`;
      assertEquals(second?.["changed"], 0);
    });
    assertEquals(await totals(db), { created: 10, "jobs pending": 10 });
  });
});

Deno.test("counters: jobs that end during a fold do not wait for it, and the next fold counts them", async () => {
  await withQueue(async ({ db, queue }) => {
    const job = await insertClaimedJob({ db, queue });
    const [folder] = await db.connections(1);
    assert(folder !== undefined);
    await folder.begin(async (sql) => {
      await sql`select private.fold_ai_counters()`;
      await db.sql`set statement_timeout = '5s'`;
      await queue.complete(job);
    });
    assertEquals(await totals(db), { claimed: 1, completed: 1, created: 1 });
  });
});

Deno.test("counters: after a fold is rolled back, the next one counts everything", async () => {
  await withQueue(async ({ db }) => {
    await insertJob(db);
    await db.sql.begin(async (sql) => {
      await sql`select private.fold_ai_counters()`;
      throw new Error("rolled back");
    }).catch(() => {});
    assertEquals(await totals(db), { created: 1, "jobs pending": 1 });
  });
});

type Step =
  | "insert"
  | "claim"
  | "complete"
  | "retry"
  | "fail"
  | "snooze"
  | "rescue"
  | "cancel"
  | "again";
const STEPS: readonly Step[] = [
  "insert",
  "claim",
  "complete",
  "retry",
  "fail",
  "snooze",
  "rescue",
  "cancel",
  "again",
];

async function take({ db, queue }: Bench, step: Step): Promise<void> {
  const [running] = await db.sql<{ id: string; lease_token: string }[]>`
    select id, lease_token from public.ai_jobs where status = 'processing' order by id limit 1`;
  switch (step) {
    case "insert":
      await insertJob(db);
      return;
    case "claim": {
      await queue.claim(1);
      return;
    }
    case "cancel":
      await db.sql`
        update public.ai_jobs set cancel_requested_at = now()
        where id = (select id from public.ai_jobs where status = 'pending' order by id limit 1)`;
      return;
    case "again":
      await db.sql`
        update public.ai_jobs set retry_requested_at = now()
        where id = (select id from public.ai_jobs where status = 'failed' order by id limit 1)`;
      return;
  }
  if (running === undefined) return;
  switch (step) {
    case "complete":
      await queue.complete(running);
      return;
    case "fail":
      await queue.fail(running, { isRetryable: false });
      return;
    case "retry":
      await queue.fail(running);
      await db
        .sql`update public.ai_jobs set scheduled_at = now() where id = ${running.id} and status = 'pending'`;
      return;
    case "snooze":
      await queue.snooze(running, 60);
      await makeDue(db, running.id);
      return;
    case "rescue":
      await expireLease(db, running.id);
      await queue.rescue();
      return;
  }
}

Deno.test("counters: after any sequence of steps the current counts equal those of the table", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...STEPS), { minLength: 5, maxLength: 40 }),
      async (steps) => {
        await withQueue(async (bench) => {
          await bench.db
            .sql`update public.ai_limits set max_jobs_per_day = 100000`;
          for (const step of steps) await take(bench, step);
          const counted = await totals(bench.db);
          const now = await countsOfJobs(bench.db);
          const names = ["jobs pending", "jobs processing"];
          assertEquals(
            names.map((name) => counted[name] ?? 0),
            names.map((name) => now[name] ?? 0),
          );
        });
      },
    ),
    { numRuns: 15 },
  );
});

Deno.test("counters: after a session is killed during any step, the counts equal those of the table", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await insertJobs(db, 6);
    const [first, second] = await queue.claim(2);
    assert(first !== undefined && second !== undefined);
    const admin = postgres(db.adminUrl, { max: 1 });
    try {
      const steps: Record<
        string,
        (sql: postgres.Sql) => Promise<unknown>
      > = {
        insert: (sql) =>
          sql`insert into public.ai_jobs (user_id, job_type, input_url, metadata)
            select user_id, job_type, input_url, '{"voice_name": "n"}' from public.ai_jobs limit 1`,
        claim: (sql) => sql`select public.claim_ai_jobs(2)`,
        complete: (sql) => completeJob(sql, first),
        fail: (sql) =>
          sql`select public.fail_ai_job(${second.id}, ${second.lease_token}, 'provider_timeout', 'no', true)`,
        delete: (sql) =>
          sql`delete from public.ai_jobs where status = 'pending'`,
        fold: (sql) => sql`select private.fold_ai_counters()`,
      };
      for (const [name, step] of Object.entries(steps)) {
        const { promise: closed, resolve } = Promise.withResolvers<void>();
        const victim = postgres(db.adminUrl, {
          max: 1,
          onclose: () => resolve(),
          connection: { search_path: '""' },
        });
        const session = await victim.reserve();
        await session`begin`;
        await step(session);
        const [row] = await session<
          { pid: number }[]
        >`select pg_backend_pid() as pid`;
        const [end] = await admin<{ killed: boolean }[]>`
          select pg_terminate_backend(${row?.pid ?? 0}, 10000) as killed`;
        assertEquals(end?.killed, true, name);
        await closed;
        await victim.end({ timeout: 1 });
        const counted = await totals(db);
        assertEquals(
          ["jobs pending", "jobs processing"].map((one) => counted[one] ?? 0),
          [4, 2],
          name,
        );
        assertEquals(await countsOfJobs(db), {
          "jobs pending": 4,
          "jobs processing": 2,
        });
        assertEquals(counted["created"], 6, name);
      }
      // The twin: the same steps count once they commit.
      await completeJob(db.sql, first);
      assertEquals((await totals(db))["completed"], 1);
    } finally {
      await admin.end();
    }
  });
});

Deno.test("counters: a recount corrects the counts after rows were written without triggers", async () => {
  await withQueue(async ({ db, queue }) => {
    await insertJobs(db, 5);
    await queue.claim(2);
    await db.sql`delete from private.ai_counters`;
    await db.sql`delete from private.ai_counter_queue`;
    assertEquals(await totals(db), {});
    await db.sql`select private.recount_ai_jobs()`;
    assertEquals(await totals(db), {
      "jobs pending": 3,
      "jobs processing": 2,
    });
  });
});

Deno.test("counters: calls are counted by outcome with their cost, and failures of the provider as unavailable", async () => {
  await withQueue(async ({ db, queue }) => {
    await db.sql`
      update public.ai_prices set price_micros = 7 where job_type = 'voice_clone' and provider = 'elevenlabs'`;
    const made = await insertClaimedJob({ db, queue });
    const begun = await queue.begin(made);
    assert(begun !== undefined);
    await queue.settle(made, begun.call_id, "succeeded", "voice-1");
    const refused = await insertClaimedJob({ db, queue });
    const second = await queue.begin(refused);
    assert(second !== undefined);
    await db.asService((sql) =>
      settleCall(sql, refused, second.call_id, "rejected", {
        httpStatus: 503,
        errorCode: "provider_unavailable",
      })
    );
    const counted = await totals(db);
    assertEquals(
      [
        counted["calls succeeded"],
        counted["calls unavailable"],
        counted["spend"],
      ],
      [1, 1, 7],
    );
  });
});

Deno.test("counters: a call of unknown outcome is one error; its later outcome is counted separately", async () => {
  await withQueue(async ({ db, queue }) => {
    await db.sql`
      update public.ai_prices set price_micros = 7 where job_type = 'voice_clone' and provider = 'elevenlabs'`;
    const rate = async () => {
      const counted = await totals(db);
      const [row] = await db.sql<{ calls: number; failed: number }[]>`
        select calls_last_hour::integer as calls, failed_calls_last_hour::integer as failed
        from private.ai_provider_standing where provider = 'elevenlabs'`;
      return [
        row?.calls,
        row?.failed,
        counted["reconciled adopted"] ?? 0,
        counted["reconciled absent"] ?? 0,
        counted["spend"] ?? 0,
      ];
    };
    const lose = async () => {
      const job = await insertClaimedJob({ db, queue });
      const call = await queue.begin(job);
      assert(call !== undefined);
      await db.asService((sql) =>
        settleCall(sql, job, call.call_id, "unknown", {
          httpStatus: 503,
          errorCode: "provider_unavailable",
        })
      );
      return { job, callId: call.call_id };
    };
    const found = await lose(), absent = await lose(), parked = await lose();
    assertEquals(await rate(), [3, 3, 0, 0, 0]);
    // Sent again by its key, and lost again.
    const repeated = await db.asService((sql) =>
      beginCall(sql, found.job, { repeatWithinSeconds: 600 })
    );
    assertEquals(repeated?.decision, "repeat");
    await queue.settle(found.job, found.callId, "unknown");
    assertEquals(await rate(), [3, 3, 0, 0, 0]);
    await queue.settle(found.job, found.callId, "adopted", "voice-1");
    await queue.settle(absent.job, absent.callId, "absent");
    assertEquals(await rate(), [3, 3, 1, 1, 7]);
    // An operator answers, takes the answer back and answers again: still one call and one error.
    await queue.fail(parked.job, { isRetryable: false });
    const { id } = parked.job;
    await db.sql`select public.resolve_unknown_ai_job(${id}, true, 'voice-2')`;
    assertEquals(await rate(), [3, 3, 2, 1, 14]);
    await db.sql`select public.take_back_ai_job_answer(${id})`;
    assertEquals(await rate(), [3, 3, 2, 1, 7]);
    const counted = await totals(db);
    assertEquals(
      [counted["failed outcome_unknown"], counted["jobs pending"] ?? 0],
      [1, 0],
      "it has failed once",
    );
    await db.sql`select public.resolve_unknown_ai_job(${id}, false)`;
    assertEquals((await rate()).slice(0, 2), [3, 3]);
  });
});

Deno.test("slots: a duration is between the upper limits of the previous slot and its slot", async () => {
  await withQueue(async ({ db }) => {
    const rows = await db.sql<{ millis: string; slot: number }[]>`
      select m.millis::text as millis, private.duration_slot(m.millis) as slot
      from unnest(array[0, 1, 10, 11, 14, 15, 20, 21, 1000, 60000, 3600000, 9999999999]::bigint[]) as m (millis)`;
    for (const { millis, slot } of rows) {
      const end = 10 * 2 ** (slot / 2), below = 10 * 2 ** ((slot - 1) / 2);
      assert(
        slot === 40 || Number(millis) <= end + 1e-6,
        `${millis} in ${slot}`,
      );
      assert(
        slot === 0 || Number(millis) > below - 1e-6,
        `${millis} in ${slot}`,
      );
    }
  });
});

Deno.test("slots: the error of a quantile is never larger than the width of a slot", async () => {
  await withQueue(async ({ db }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 20, max: 5_000_000 }), {
          minLength: 1,
          maxLength: 200,
        }),
        fc.constantFrom(0.5, 0.95),
        async (durations, quantile) => {
          const [row] = await db.sql<{ estimate: string[] }[]>`
            with slots as (
              select private.duration_slot(d.millis) as slot, count(*) as amount
              from unnest(${durations}::bigint[]) as d (millis) group by 1
            )
            select private.slot_quantiles(
              array_agg(s.slot order by s.slot), array_agg(s.amount order by s.slot), array[${quantile}::float8]
            ) as estimate
            from slots as s`;
          const sorted = durations.toSorted((a, b) => a - b);
          const exact = sorted[Math.ceil(quantile * sorted.length) - 1] ??
            Number.NaN;
          const ratio = Number(row?.estimate[0]) / exact;
          assert(ratio < 1.5 && ratio > 0.66, `${ratio} of ${exact}`);
        },
      ),
      { numRuns: 100 },
    );
  });
});

Deno.test("charts: 60, 96 and 84 buckets without a gap, and the last one has what happened now", async () => {
  await withQueue(async ({ db, queue }) => {
    await queue.complete(await insertClaimedJob({ db, queue }));
    await fold(db);
    for (
      const [range, count, step] of [
        ["1h", 60, 60],
        ["24h", 96, 900],
        ["7d", 84, 7200],
      ] as const
    ) {
      const [row] = await db.sql<
        {
          chart: {
            step_seconds: number;
            buckets: {
              at: string;
              created: number;
              completed: number;
              pickup: { count: number } | null;
              run: { job_type: string; count: number }[];
            }[];
          };
        }[]
      >`select private.ai_charts(${range}) as chart`;
      const { step_seconds, buckets } = row?.chart ?? { buckets: [] };
      assertEquals([buckets.length, step_seconds], [count, step]);
      assert(count <= 120);
      buckets.slice(1).forEach(({ at }, index) =>
        assertEquals(
          Date.parse(at) - Date.parse(buckets[index]?.at ?? ""),
          step * 1000,
        )
      );
      // The minute may have changed while the job ran.
      const recent = buckets.slice(-2);
      assertEquals(
        [
          recent.reduce((sum, one) => sum + one.created, 0),
          recent.reduce((sum, one) => sum + one.completed, 0),
          recent.reduce((sum, one) => sum + (one.pickup?.count ?? 0), 0),
          recent.flatMap((one) => one.run).reduce(
            (sum, one) => sum + one.count,
            0,
          ),
        ],
        [1, 1, 1, 1],
      );
    }
  });
});

Deno.test("charts: they read no jobs, and are the same after the jobs are deleted", async () => {
  await withQueue(async ({ db, queue }) => {
    await queue.complete(await insertClaimedJob({ db, queue }));
    await fold(db);
    const chart = async () =>
      (await db.sql`
        select sum((b ->> 'completed')::integer)::integer as completed
        from jsonb_array_elements(private.ai_charts('7d') -> 'buckets') as b`)[
        0
      ]
        ?.["completed"];
    assertEquals(await chart(), 1);
    await db.sql`delete from auth.users`;
    await fold(db);
    assertEquals(await chart(), 1);
  });
});

Deno.test("counters: buckets that no chart shows any more are pruned, and the totals stay", async () => {
  await withQueue(async ({ db }) => {
    await insertJob(db);
    await fold(db);
    await db.sql`
      update private.ai_counters set bucket_at = bucket_at - interval '16 days' where resolution > 0`;
    await db.sql`select private.prune_ai_counters()`;
    const rows = await db.sql`
      select distinct resolution from private.ai_counters order by 1`;
    assertEquals(rows.map((row) => row["resolution"]), [0]);
    await insertJob(db);
    await fold(db);
    await db.sql`select private.prune_ai_counters()`;
    const [kept] = await db.sql`
      select count(distinct resolution)::integer as resolutions from private.ai_counters`;
    assertEquals(kept?.["resolutions"], 4);
  });
});
