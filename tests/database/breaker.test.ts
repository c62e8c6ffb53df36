/** The breaker of a provider: what opens it, what waits, who probes, and what closes it. */
import { assert, assertEquals } from "@std/assert";
import {
  ERROR_CATALOGUE,
  ERROR_CODES,
  type ErrorCode,
  isProviderFailing,
} from "../../supabase/functions/_shared/failures/catalogue.ts";
import {
  type Bench,
  claimJob,
  insertClaimedJob,
  insertJob,
  insertJobs,
  readJob,
  withQueue,
} from "./_support/factories.ts";
import { type ClaimedJob, queueOver } from "./_support/queue.ts";
import { settleCall } from "./_support/protocol.ts";

interface State {
  state: string;
  failures_in_a_row: number;
  failed_probes: number;
  pause: number | null;
}

async function stateOf({ db }: Bench): Promise<State> {
  const [row] = await db.sql<State[]>`
    select s.state, s.failures_in_a_row, s.failed_probes,
      extract(epoch from s.next_probe_at - p.updated_at)::float8 as pause
    from private.ai_provider_states as s join public.ai_providers as p using (provider)
    where s.provider = 'elevenlabs'`;
  assert(row !== undefined);
  return { ...row, pause: row.pause === null ? null : Math.round(row.pause) };
}

function set(
  { db }: Bench,
  values: Record<string, number | string | null>,
): PromiseLike<unknown> {
  return db
    .sql`update public.ai_providers set ${
    db.sql(values)
  } where provider = 'elevenlabs'`;
}

/** Ends the pause before the next probe. */
async function pass({ db }: Bench): Promise<void> {
  await db.sql`
    update public.ai_providers set breaker_probe_at = clock_timestamp() - interval '1 second'
    where provider = 'elevenlabs' and breaker_opened_at is not null`;
}

/** A paid call with this outcome, as the worker writes it. */
async function answer(
  { db, queue }: Bench,
  job: ClaimedJob,
  outcome: "rejected" | "unknown" | "succeeded",
  code: string | null = null,
  httpStatus = 400,
): Promise<void> {
  const call = await queue.begin(job);
  assert(call?.decision === "send", call?.decision);
  await db.asService((sql) =>
    settleCall(sql, job, call.call_id, outcome, {
      objectId: outcome === "succeeded" ? crypto.randomUUID() : null,
      errorCode: code,
      ...(outcome === "rejected" && httpStatus > 0 ? { httpStatus } : {}),
    })
  );
}

/** Fails a call because of the provider, and requeues the job, as the worker does. */
async function fail(
  bench: Bench,
  job: ClaimedJob,
  code = "provider_rate_limited",
): Promise<void> {
  if (code === "provider_rate_limited") {
    await answer(bench, job, "rejected", code);
    await bench.queue.fail(job, { code });
  } else {
    await answer(bench, job, "unknown", code);
    await bench.queue.snooze(job, 0, "reconciling");
  }
}

async function open(bench: Bench, threshold = 3): Promise<ClaimedJob[]> {
  await set(bench, { breaker_threshold: threshold });
  const jobs: ClaimedJob[] = [];
  for (let n = 0; n < threshold; n++) jobs.push(await insertClaimedJob(bench));
  for (const job of jobs) await fail(bench, job);
  assertEquals((await stateOf(bench)).state, "open");
  return jobs;
}

/** Opens the breaker by failed submissions. Then a render polls as the probe, and the provider responds. */
async function pollWhileOpen(
  bench: Bench,
  { id }: ClaimedJob,
): Promise<void> {
  await open(bench);
  await bench.db
    .sql`update public.ai_jobs set scheduled_at = now() where id = ${id}`;
  await bench.db
    .sql`update public.ai_jobs set scheduled_at = now() + interval '1 hour' where id <> ${id} and status = 'pending'`;
  await pass(bench);
  const poll = await claimJob(bench, id);
  await bench.queue.snooze(poll, 3600, "rendering");
}

async function insertAndClaim(bench: Bench): Promise<ClaimedJob[]> {
  await insertJob(bench.db);
  return await bench.queue.claim(5);
}

async function lastErrorCode({ db }: Bench): Promise<string | null> {
  const [row] = await db.sql<{ last_error_code: string | null }[]>`
    select last_error_code from private.ai_provider_states where provider = 'elevenlabs'`;
  assert(row !== undefined);
  return row.last_error_code;
}

for (
  const [name, code] of [
    ["429", "provider_rate_limited"],
    ["5xx", "provider_unavailable"],
    ["time-outs", "provider_timeout"],
  ] as const
) {
  Deno.test(`breaker: as many consecutive ${name} as the threshold open it; one fewer does not`, async () => {
    await withQueue(async (bench) => {
      await set(bench, { breaker_threshold: 3 });
      const jobs = [1, 2, 3].map(() => insertClaimedJob(bench));
      const [a, b, c] = await Promise.all(jobs);
      assert(a !== undefined && b !== undefined && c !== undefined);
      await fail(bench, a, code);
      await fail(bench, b, code);
      assertEquals(await stateOf(bench), {
        state: "working",
        failures_in_a_row: 2,
        failed_probes: 0,
        pause: null,
      });
      await fail(bench, c, code);
      assertEquals(await stateOf(bench), {
        state: "open",
        failures_in_a_row: 3,
        failed_probes: 0,
        pause: 5,
      });
      await insertJob(bench.db);
      assertEquals(await bench.queue.claim(10), []);
    });
  });
}

Deno.test("breaker: failures that are not the provider's do not count, and a normal response resets the count", async () => {
  await withQueue(async (bench) => {
    await set(bench, { breaker_threshold: 3 });
    for (const code of ["provider_rejected_input", "provider_unauthorized"]) {
      await answer(bench, await insertClaimedJob(bench), "rejected", code);
    }
    await answer(
      bench,
      await insertClaimedJob(bench),
      "rejected",
      "provider_concurrency_limited",
    );
    await bench.queue.fail(await insertClaimedJob(bench), {
      code: "storage_unavailable",
    });
    assertEquals((await stateOf(bench)).failures_in_a_row, 0);

    await fail(bench, await insertClaimedJob(bench));
    await fail(bench, await insertClaimedJob(bench));
    await answer(bench, await insertClaimedJob(bench), "succeeded");
    assertEquals((await stateOf(bench)).failures_in_a_row, 0);

    await fail(bench, await insertClaimedJob(bench));
    await answer(
      bench,
      await insertClaimedJob(bench),
      "rejected",
      "provider_concurrency_limited",
    );
    assertEquals((await stateOf(bench)).failures_in_a_row, 1);
  });
});

Deno.test("breaker: a refusal because of our own load, or without a response, proves nothing about the provider", async () => {
  await withQueue(async (bench) => {
    await set(bench, { breaker_threshold: 3 });
    const after: Record<string, number> = {};
    for (const code of ERROR_CODES.filter((one) => isOnJobs(one))) {
      for (
        const [of, status] of [["response", 400], ["no response", 0]] as const
      ) {
        await set(bench, { breaker_failures: 1 });
        const job = await insertClaimedJob(bench);
        await answer(bench, job, "rejected", code, status);
        after[`${code}, ${of}`] = (await stateOf(bench)).failures_in_a_row;
      }
    }
    assertEquals(
      after,
      Object.fromEntries(
        Object.keys(after).map((key) => [key, failuresAfter(key)]),
      ),
    );
  });
});

/** Whether a call or a job can end with the code. */
function isOnJobs(code: ErrorCode): boolean {
  return ERROR_CATALOGUE[code].status === null;
}

/** How many failures in a row the breaker has counted when a call is refused after one failure. */
function failuresAfter(key: string): number {
  const [code, of] = key.split(", ");
  const known = ERROR_CODES.find((one) => one === code);
  assert(known !== undefined);
  if (isProviderFailing(known)) return 2;
  // Its worker stopped, or our own Storage failed.
  const provesNothing = of === "no response" ||
    ERROR_CATALOGUE[known].transience === "own_load";
  return provesNothing ? 1 : 0;
}

Deno.test("breaker: calls that their owners cut off do not count", async () => {
  await withQueue(async (bench) => {
    await set(bench, { breaker_threshold: 1 });
    const job = await insertClaimedJob(bench);
    const call = await bench.queue.begin(job);
    await bench.db
      .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${job.id}`;
    await bench.db.asService((sql) =>
      settleCall(sql, job, call?.call_id ?? null, "unknown", {
        errorCode: "provider_unavailable",
      })
    );
    assertEquals((await stateOf(bench)).state, "working");
  });
});

Deno.test("breaker: an attempt that ends while it is open is not spent, and the job waits without backoff", async () => {
  await withQueue(async (bench) => {
    await set(bench, { breaker_threshold: 2 });
    const first = await insertClaimedJob(bench);
    const second = await insertClaimedJob(bench);
    await fail(bench, first);
    await fail(bench, second);
    assertEquals((await readJob(bench.db, first.id)).attempt, 1);
    const job = await readJob(bench.db, second.id);
    assertEquals([job.status, job.attempt, job.error_code], [
      "pending",
      0,
      "provider_rate_limited",
    ]);
    assert(job.scheduled_at <= new Date(Date.now() + 500));
  });
});

Deno.test("breaker: after the pause exactly one job is claimed, however many claims run in parallel", async () => {
  await withQueue(async (bench) => {
    await open(bench);
    await insertJobs(bench.db, 200);
    await pass(bench);
    const workers = await bench.db.connections(12, "service_role");
    const claims = await Promise.all(
      workers.flatMap((sql) => [1, 2, 3].map(() => queueOver(sql).claim(20))),
    );
    const [probe, ...more] = claims.flat();
    assertEquals(more.length, 0);
    assert(probe !== undefined);
    assertEquals(await bench.queue.claim(20), []);

    await answer(bench, probe, "succeeded");
    assertEquals((await stateOf(bench)).state, "working");
    assertEquals((await bench.queue.claim(150)).length, 150, "at full rate");
  });
});

Deno.test("breaker: each failed probe lengthens the pause, up to the maximum", async () => {
  await withQueue(async (bench) => {
    await open(bench);
    await insertJobs(bench.db, 20);
    const pauses: unknown[] = [];
    for (let n = 0; n < 5; n++) {
      await pass(bench);
      const [probe] = await bench.queue.claim(5);
      assert(probe !== undefined);
      await fail(bench, probe);
      pauses.push((await stateOf(bench)).pause);
      assertEquals(await bench.queue.claim(5), []);
    }
    assertEquals(pauses, [10, 20, 30, 30, 30]);
  });
});

Deno.test("breaker: a probe that ends without a response from the provider allows the next one", async () => {
  await withQueue(async (bench) => {
    const { queue, db } = bench;
    await open(bench);
    await insertJobs(db, 10);
    await pass(bench);
    const [released] = await queue.claim(5);
    assert(released !== undefined && await queue.release(released));
    const [lost] = await queue.claim(5);
    assert(lost !== undefined);
    assertEquals(await queue.claim(5), []);
    await db
      .sql`update public.ai_jobs set lease_expires_at = now() - interval '1 second' where id = ${lost.id}`;
    await queue.rescue();
    const [failed] = await queue.claim(5);
    assert(failed !== undefined);
    await queue.fail(failed, {
      code: "input_not_found",
      isRetryable: false,
    });
    assertEquals((await queue.claim(5)).length, 1);
    assertEquals((await stateOf(bench)).state, "probing");
  });
});

Deno.test("breaker: failures of unpaid calls count: preparing a submission, and querying a lost one", async (t) => {
  for (const isQuery of [false, true]) {
    await t.step(isQuery ? "a query" : "a preparation", async () => {
      await withQueue(async (bench) => {
        await set(bench, { breaker_threshold: 3 });
        for (let n = 0; n < 3; n++) {
          const job = await insertClaimedJob(bench);
          if (isQuery) await answer(bench, job, "unknown");
          const code = "provider_unavailable";
          await bench.queue.snooze(job, 60, "waiting_for_recovery", code);
          const { status, error_code, attempt } = await readJob(
            bench.db,
            job.id,
          );
          assertEquals([status, error_code, attempt], ["pending", code, 0]);
        }
        assertEquals((await stateOf(bench)).state, "open");
        assertEquals(await lastErrorCode(bench), "provider_unavailable");
      });
    });
  }
});

Deno.test("breaker: while it is open, a snooze ends by the next probe, so that a recovery is noticed", async () => {
  await withQueue(async (bench) => {
    await set(bench, { breaker_threshold: 1 });
    for (
      const [code, most] of [["provider_unavailable", 5], [null, 600]] as const
    ) {
      const job = await insertClaimedJob(bench);
      assert(await bench.queue.snooze(job, 600, "waiting", code));
      const [row] = await bench.db.sql<{ seconds: number }[]>`
        select extract(epoch from scheduled_at - updated_at)::float8 as seconds
        from public.ai_jobs where id = ${job.id}`;
      assertEquals(Math.round(row?.seconds ?? 0), most);
      await set(bench, {
        breaker_failures: 0,
        breaker_opened_at: null,
        breaker_probe_at: null,
      });
    }
  });
});

Deno.test("breaker: a snooze with a code that is not the provider's fault does not count", async () => {
  await withQueue(async (bench) => {
    await set(bench, { breaker_threshold: 2 });
    await fail(bench, await insertClaimedJob(bench));
    for (
      const code of ["provider_concurrency_limited", "storage_unavailable"]
    ) {
      await bench.queue.snooze(await insertClaimedJob(bench), 60, null, code);
    }
    const render = await insertClaimedJob(bench);
    await bench.db
      .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${render.id}`;
    await bench.queue.snooze(render, 60, null, "provider_unavailable");
    assertEquals((await stateOf(bench)).failures_in_a_row, 1);
  });
});

Deno.test("breaker: a provider that lists normally and accepts no submission keeps it open", async () => {
  await withQueue(async (bench) => {
    const { queue, db } = bench;
    await set(bench, { breaker_threshold: 3 });
    const jobs = [];
    for (let n = 0; n < 3; n++) jobs.push(await insertClaimedJob(bench));
    for (const job of jobs) await fail(bench, job, "provider_unavailable");
    assertEquals((await stateOf(bench)).state, "open");

    // The listing is empty, and after its lag that proves that nothing was created.
    await db.sql`
      update public.ai_provider_calls set unknown_since = now() - interval '1 day' where outcome = 'unknown'`;
    await pass(bench);
    const [probe] = await queue.claim(5);
    assert(probe !== undefined);
    const call = await queue.begin(probe);
    assertEquals(call?.decision, "reconcile");
    await db.asService((sql) =>
      settleCall(sql, probe, call?.call_id ?? null, "absent", {
        errorCode: "provider_unavailable",
      })
    );
    await queue.fail(probe, { code: "provider_unavailable" });
    const { state, failures_in_a_row, failed_probes } = await stateOf(bench);
    assertEquals([state, failures_in_a_row, failed_probes], ["probing", 3, 0]);
    assertEquals((await readJob(db, probe.id)).attempt, 0, "not spent");
  });
});

Deno.test("breaker: a probe whose query of a lost call fails lengthens the pause", async () => {
  await withQueue(async (bench) => {
    const { queue } = bench;
    await set(bench, { breaker_threshold: 1 });
    const job = await insertClaimedJob(bench);
    await fail(bench, job, "provider_unavailable");
    for (const pause of [10, 20, 30]) {
      await pass(bench);
      const probe = await claimJob(bench, job.id);
      await queue.snooze(probe, 0, "reconciling", "provider_unavailable");
      assertEquals((await stateOf(bench)).pause, pause);
    }
  });
});

Deno.test("breaker: answered polls do not reset the count of failed submissions, open or closed", async () => {
  await withQueue(async (bench) => {
    const { queue } = bench;
    await set(bench, { breaker_threshold: 3 });
    const render = await insertClaimedJob(bench);
    await answer(bench, render, "succeeded");
    await fail(bench, await insertClaimedJob(bench));
    await queue.snooze(render, 0, "rendering");
    assertEquals((await stateOf(bench)).failures_in_a_row, 1);

    await pollWhileOpen(bench, render);
    assertEquals((await stateOf(bench)).state, "probing");
    const [next] = await insertAndClaim(bench);
    assert(next !== undefined, "the poll allowed the next probe");
    await answer(bench, next, "succeeded");
    assertEquals((await stateOf(bench)).state, "working");
  });
});

Deno.test("breaker: failed polls open it although submissions succeed, and an answered poll closes it", async () => {
  await withQueue(async (bench) => {
    const { queue } = bench;
    await set(bench, { breaker_threshold: 3 });
    const renders: ClaimedJob[] = [];
    for (let n = 0; n < 3; n++) {
      const render = await insertClaimedJob(bench);
      renders.push(render);
      await answer(bench, render, "succeeded");
      await queue.snooze(render, 0, "rendering", "provider_unavailable");
    }
    assertEquals((await stateOf(bench)).state, "open");
    await pass(bench);
    const [poll] = await queue.claim(5);
    assert(poll !== undefined);
    await queue.snooze(poll, 10, "rendering");
    assertEquals((await stateOf(bench)).state, "working");
  });
});

Deno.test("breaker: a submission that succeeds closes it even if polls opened it", async () => {
  await withQueue(async (bench) => {
    const { queue, db } = bench;
    await set(bench, { breaker_threshold: 1 });
    const render = await insertClaimedJob(bench);
    await answer(bench, render, "succeeded");
    await queue.snooze(render, 3600, "rendering", "provider_unavailable");
    assertEquals((await stateOf(bench)).state, "open");
    await pass(bench);
    await insertJob(db);
    const [probe] = await queue.claim(5);
    assert(probe !== undefined);
    await answer(bench, probe, "succeeded");
    assertEquals(await stateOf(bench), {
      state: "working",
      failures_in_a_row: 0,
      failed_probes: 0,
      pause: null,
    });
  });
});

Deno.test("breaker: a completion closes it if only polls had failed", async () => {
  await withQueue(async (bench) => {
    const { queue } = bench;
    await set(bench, { breaker_threshold: 1 });
    const render = await insertClaimedJob(bench);
    await answer(bench, render, "succeeded");
    await queue.snooze(render, 0, "rendering", "provider_timeout");
    await pass(bench);
    const poll = await claimJob(bench, render.id);
    assert(await queue.complete(poll));
    assertEquals((await stateOf(bench)).state, "working");
  });
});

Deno.test("breaker: jobs that were running when it opened neither close it nor lengthen the pause", async () => {
  await withQueue(async (bench) => {
    const { queue } = bench;
    const late = await insertClaimedJob(bench);
    const good = await insertClaimedJob(bench);
    await open(bench);
    await fail(bench, late);
    await answer(bench, good, "succeeded");
    assert(await queue.complete(good));
    assertEquals(await stateOf(bench), {
      state: "open",
      failures_in_a_row: 3,
      failed_probes: 0,
      pause: 5,
    });
    assertEquals((await readJob(bench.db, late.id)).attempt, 0);
  });
});

Deno.test("breaker: jobs of other providers are claimed as usual, and null disables it", async () => {
  await withQueue(async (bench) => {
    await open(bench);
    await bench.db.sql`
      insert into public.ai_job_types (job_type, provider, is_input_required) values ('render', 'internal', false)`;
    const [user] = await bench.db.sql<
      { id: string }[]
    >`select id from auth.users limit 1`;
    await bench.db.sql`insert into public.ai_jobs (user_id, job_type) values (${
      user?.id ?? null
    }, 'render')`;
    assertEquals(
      (await bench.queue.claim(5)).map((job) => job.job_type),
      ["render"],
    );
    await set(bench, {
      breaker_threshold: null,
      breaker_failures: 0,
      breaker_opened_at: null,
      breaker_probe_at: null,
      breaker_probes: 0,
      breaker_probe_job_id: null,
    });
    for (let n = 0; n < 30; n++) {
      await fail(bench, await insertClaimedJob(bench));
    }
    assertEquals((await stateOf(bench)).state, "working");
  });
});

Deno.test("breaker: an hour's outage loses none of 40 jobs, and all are claimed within a minute of its end", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await set(bench, { breaker_threshold: 10 });
    await insertJobs(db, 40);
    const back = (minutes: number) =>
      db.sql`
        update public.ai_jobs set created_at = created_at - make_interval(mins => ${minutes}::int),
          started_at = started_at - make_interval(mins => ${minutes}::int),
          scheduled_at = scheduled_at - make_interval(mins => ${minutes}::int) where status = 'pending'`;

    // The hour passes in steps of half a minute: every claimable job is claimed, and fails.
    let sent = 0;
    for (let step = 0; step < 120; step++) {
      for (const job of await queue.claim(50)) {
        await fail(bench, job);
        sent++;
      }
      await pass(bench);
    }
    await back(60);
    assert(sent >= 130 && sent <= 200, `${sent} calls`);
    const [during] = await db.sql<{ pending: number; most: number }[]>`
      select count(*) filter (where status = 'pending')::int as pending, max(attempt) as most from public.ai_jobs`;
    assertEquals(during?.pending, 40);
    assert((during?.most ?? 9) <= 2, `${during?.most} attempts spent`);

    // At most the longest pause is left.
    const [row] = await db.sql<{ seconds: number }[]>`
      select breaker_max_pause_seconds as seconds from public.ai_providers where provider = 'elevenlabs'`;
    assert((row?.seconds ?? 60) <= 30);
    const [probe, ...others] = await queue.claim(50);
    assert(probe !== undefined);
    assertEquals(others.length, 0);
    await answer(bench, probe, "succeeded");
    assert(await queue.complete(probe));
    assertEquals((await queue.claim(50)).length, 39);
  });
});

Deno.test("breaker: a storm of 429 from 8 workers loses no job, sends nothing twice and uses few attempts", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await set(bench, { breaker_threshold: 5 });
    await insertJobs(db, 60);
    const workers = await db.connections(8, "service_role");
    await Promise.all(workers.map(async (sql) => {
      const queue = queueOver(sql);
      for (let turn = 0; turn < 40; turn++) {
        for (const job of await queue.claim(3)) await fail({ db, queue }, job);
        if (turn % 5 === 0) await pass(bench);
      }
    }));
    const [row] = await db.sql<
      { waiting: number; attempts: number; calls: number; open: number }[]
    >`
      select count(*) filter (where status = 'pending')::int as waiting, sum(attempt)::int as attempts,
        sum(billable_calls)::int as calls,
        (select count(*)::int from public.ai_provider_calls where outcome <> 'rejected') as open
      from public.ai_jobs`;
    assertEquals([row?.waiting, row?.open], [60, 0]);
    assert((row?.attempts ?? 99) <= 5 + 8, `${row?.attempts} attempts`);
    assert((row?.calls ?? 0) > 20, `${row?.calls} calls`);
  });
});

Deno.test("is_provider_failure: counts exactly the codes that the error catalogue calls a failing provider", async () => {
  await withQueue(async ({ db }) => {
    const rows = await db.sql<{ code: string }[]>`
      select code from unnest(${[...ERROR_CODES]}::text[]) as code
      where private.is_provider_failure(code)`;
    assertEquals(
      rows.map(({ code }) => code).sort(),
      ERROR_CODES.filter(isProviderFailing).sort(),
    );
  });
});
