/** What paid calls cost: the estimate before, the budget that it must fit into, and the actual cost after. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import {
  backendOf,
  type Bench,
  expireLease,
  insertClaimedJob,
  readJob,
  untilBlocked,
  withQueue,
} from "./_support/factories.ts";
import type { ClaimedJob, Lease } from "./_support/queue.ts";
import { beginCall, settleCall } from "./_support/protocol.ts";

interface Begun {
  decision: string;
  call_id: string | null;
}

/**
 * A queue on which a unit of a voice clone costs a millionth of a dollar. Afterwards the totals must equal the journal.
 */
async function withPrices(run: (bench: Bench) => Promise<void>) {
  await withQueue(async (bench) => {
    await setPrice(bench, 1, 1);
    await run(bench);
    assertEquals(await imbalances(bench), []);
  });
}

async function setPrice({ db }: Bench, micros: number, perUnits: number) {
  await db.asService((sql) =>
    sql`
      update public.ai_prices set price_micros = ${micros}, per_units = ${perUnits}
      where job_type = 'voice_clone' and provider = 'elevenlabs'`
  );
}

/** The jobs and users whose amounts do not equal those of the journal. */
async function imbalances({ db }: Bench): Promise<unknown[]> {
  return [
    ...await db.sql`
      select l.user_id, l.spent_micros, l.reserved_micros, j.spent, j.reserved
      from public.ai_limits as l
      cross join lateral (
        select
          coalesce(sum(c.cost_micros), 0) as spent,
          coalesce(sum(c.estimated_cost_micros) filter (where c.settled_at is null), 0) as reserved
        from public.ai_provider_calls as c where c.user_id = l.user_id
      ) as j
      where l.user_id is not null and (l.spent_micros, l.reserved_micros) <> (j.spent, j.reserved)`,
    ...await db.sql`
      select j.id, j.cost_micros from public.ai_jobs as j
      where j.cost_micros <> (
        select coalesce(sum(c.cost_micros), 0) from public.ai_provider_calls as c where c.job_id = j.id
      )`,
  ];
}

async function begin(
  { db }: Bench,
  job: Lease,
  units: number,
  operation = "create_voice",
): Promise<Begun> {
  const begun = await db.asService((sql) =>
    beginCall(sql, job, { operation, units })
  );
  assert(begun !== undefined, "the lease is lost");
  return begun;
}

async function settle(
  { db }: Bench,
  job: Lease,
  callId: string | null,
  outcome: string,
  units: number | null = null,
): Promise<void> {
  const id = outcome === "succeeded" || outcome === "adopted"
    ? crypto.randomUUID()
    : null;
  assert(
    await db.asService((sql) =>
      settleCall(sql, job, callId, outcome, { objectId: id, units })
    ),
  );
}

async function budgetOf({ db }: Bench, userId: string) {
  const [row] = await db.sql<{ spent: number; reserved: number }[]>`
    select spent_micros::float8 as spent, reserved_micros::float8 as reserved from public.ai_limits
    where user_id = ${userId}`;
  return { ...row };
}

async function setBudget(
  { db }: Bench,
  userId: string | null,
  micros: number | null,
) {
  await db.asService((sql) =>
    sql`select public.set_ai_budget(${userId}, ${micros})`
  );
}

async function revise(
  { db }: Bench,
  job: Lease,
  units: number,
  operation = "create_voice",
) {
  const [row] = await db.asService((sql) =>
    sql<{ done: boolean }[]>`
      select public.revise_provider_call(${job.id}, ${job.lease_token}, ${operation}, ${units}) as done`
  );
  return row?.done;
}

/** A job that ended with a paid call with an unknown outcome. */
async function park(bench: Bench, units: number): Promise<ClaimedJob> {
  const job = await insertClaimedJob(bench);
  await begin(bench, job, units);
  await bench.queue.fail(job, { isRetryable: false });
  return job;
}

async function resolve({ db }: Bench, job: ClaimedJob, isMade: boolean) {
  const [row] = await db.asService((sql) =>
    sql<{ done: boolean }[]>`
      select public.resolve_unknown_ai_job(${job.id}, ${isMade}, ${
      isMade ? `voice-${job.id}` : null
    }) as done`
  );
  return row?.done;
}

async function ownBudget({ db }: Bench, userId: string) {
  const rows = await db.asUser(
    userId,
    (sql) =>
      sql<
        {
          budget: number | null;
          spent: number;
          reserved: number;
          remaining: number | null;
        }[]
      >`
        select budget_micros::float8 as budget, spent_micros::float8 as spent, reserved_micros::float8 as reserved,
          remaining_micros::float8 as remaining
        from public.get_ai_budget()`,
  );
  const [row] = rows;
  assert(row !== undefined);
  return { ...row, rows: rows.length };
}

async function callOf({ db }: Bench, job: ClaimedJob) {
  const [row] = await db.sql`
    select outcome, estimated_cost_micros::float8 as estimate, cost_micros::float8 as cost
    from public.ai_provider_calls where job_id = ${job.id}`;
  return { ...row };
}

Deno.test("cost: the estimate is reserved before the call, and the reported cost is charged after it", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    const call = await begin(bench, job, 3_000);
    assertEquals(call.decision, "send");
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 0,
      reserved: 3_000,
    });
    assertEquals(await callOf(bench, job), {
      outcome: "sent",
      estimate: 3_000,
      cost: null,
    });
    await settle(bench, job, call.call_id, "succeeded", 2_500);
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 2_500,
      reserved: 0,
    });
    const [row] = await bench.db.sql<{ cost: number }[]>`
      select cost_micros::float8 as cost from public.ai_jobs where id = ${job.id}`;
    assertEquals(row?.cost, 2_500);
  });
});

Deno.test("cost: without a report of the provider, the estimate is charged", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    const call = await begin(bench, job, 700);
    await settle(bench, job, call.call_id, "succeeded");
    assertEquals(await callOf(bench, job), {
      outcome: "succeeded",
      estimate: 700,
      cost: 700,
    });
  });
});

Deno.test("cost: it is the price of the units, rounded up, as it was when the call was sent", async () => {
  await withPrices(async (bench) => {
    await setPrice(bench, 220_000, 3_600);
    const job = await insertClaimedJob(bench);
    const call = await begin(bench, job, 60);
    assertEquals((await callOf(bench, job)).estimate, 3_667);
    await setPrice(bench, 999_999, 1);
    await settle(bench, job, call.call_id, "succeeded", 61);
    assertEquals((await callOf(bench, job)).cost, 3_728);
    await revise(bench, job, 18);
    assertEquals((await callOf(bench, job)).cost, 1_100);
  });
});

Deno.test("ai_prices: every job type has a price at each paid provider", async () => {
  await withQueue(async ({ db }) => {
    const missing = await db.sql`
      select t.job_type, p.provider
      from public.ai_job_types as t
      join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
      where p.provider <> 'internal' and not exists (
        select 1 from public.ai_prices as k where k.job_type = t.job_type and k.provider = p.provider
      )`;
    assertEquals([...missing], []);
    const [keepsake] = await db.sql<{ provider: string }[]>`
      select provider from public.ai_job_types where job_type = 'pdf_render'`;
    assertEquals(keepsake?.provider, "internal");
  });
});

Deno.test("revise_provider_call: the actual usage replaces the estimate, and the rest is released", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    const call = await begin(bench, job, 3_000);
    assertEquals(await revise(bench, job, 1), true, "it is open");
    assertEquals((await callOf(bench, job)).estimate, 3_000);
    await settle(bench, job, call.call_id, "succeeded");
    for (const units of [4_200, 10, 0]) {
      assertEquals(await revise(bench, job, units), true);
      assertEquals(await budgetOf(bench, job.user_id), {
        spent: units,
        reserved: 0,
      });
    }
    await revise(bench, job, 5, "another");
    assertEquals((await budgetOf(bench, job.user_id)).spent, 0);
  });
});

Deno.test("revise_provider_call: an earlier, discarded call of the step keeps its cost", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    const first = await begin(bench, job, 3_000);
    await settle(bench, job, first.call_id, "succeeded");
    await bench.db
      .sql`update public.ai_provider_calls set discarded_at = now() where id = ${first.call_id}`;
    const second = await begin(bench, job, 3_000);
    assertEquals(second.decision, "send");
    await settle(bench, job, second.call_id, "succeeded");
    await revise(bench, job, 37);
    assertEquals((await budgetOf(bench, job.user_id)).spent, 3_037);
  });
});

Deno.test("revise_provider_call: a caller that has lost the lease changes nothing", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    const call = await begin(bench, job, 3_000);
    await settle(bench, job, call.call_id, "succeeded");
    const stale = { id: job.id, lease_token: crypto.randomUUID() };
    assertEquals(await revise(bench, stale, 1), false);
    assertEquals((await budgetOf(bench, job.user_id)).spent, 3_000);
  });
});

Deno.test("cost: a parked call stays reserved until the operator resolves it; then it is charged or released", async () => {
  await withPrices(async (bench) => {
    for (const [isMade, spent] of [[true, 3_000], [false, 0]] as const) {
      const job = await park(bench, 3_000);
      assertEquals(await budgetOf(bench, job.user_id), {
        spent: 0,
        reserved: 3_000,
      });
      assertEquals(await resolve(bench, job, isMade), true);
      assertEquals(await budgetOf(bench, job.user_id), { spent, reserved: 0 });
      assertEquals(await resolve(bench, job, isMade), false);
    }
  });
});

Deno.test("cost: an open call of a cancelled job is resolved too, and the job stays cancelled", async () => {
  await withPrices(async (bench) => {
    const { db, queue } = bench;
    for (const [isMade, spent] of [[true, 3_000], [false, 0]] as const) {
      const job = await insertClaimedJob(bench);
      await begin(bench, job, 3_000);
      await db
        .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${job.id}`;
      assertEquals(await resolve(bench, job, isMade), false, "it still runs");
      assert(await queue.cancel(job));
      assertEquals((await budgetOf(bench, job.user_id)).reserved, 3_000);
      assertEquals(await resolve(bench, job, isMade), true);
      assertEquals(await budgetOf(bench, job.user_id), { spent, reserved: 0 });
      const [row] = await db.sql`
        select status, spend, error_message from public.ai_jobs where id = ${job.id}`;
      assertEquals({ ...row }, {
        status: "cancelled",
        spend: isMade ? "incurred" : "none",
        error_message: isMade
          ? "Cancelled after the AI provider had done paid work."
          : "Cancelled before anything was paid.",
      });
    }
  });
});

Deno.test("cost: the charges of earlier steps stay when the last one has created nothing", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    const call = await begin(bench, job, 500, "speak:1");
    await settle(bench, job, call.call_id, "succeeded");
    await begin(bench, job, 3_000, "speak:2");
    await bench.queue.fail(job, { isRetryable: false });
    assertEquals(await resolve(bench, job, false), true);
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 500,
      reserved: 0,
    });
    const [row] = await bench.db
      .sql`select spend from public.ai_jobs where id = ${job.id}`;
    assertEquals(row?.spend, "incurred");
  });
});

for (const outcome of ["rejected", "absent"]) {
  Deno.test(`cost: the reservation of a call with the outcome ${outcome} is released in full`, async () => {
    await withPrices(async (bench) => {
      const job = await insertClaimedJob(bench);
      const call = await begin(bench, job, 3_000);
      if (outcome === "absent") {
        await settle(bench, job, call.call_id, "unknown");
        assertEquals((await budgetOf(bench, job.user_id)).reserved, 3_000);
      }
      await settle(bench, job, call.call_id, outcome);
      assertEquals(await budgetOf(bench, job.user_id), {
        spent: 0,
        reserved: 0,
      });
      assertEquals((await callOf(bench, job)).cost, 0);
    });
  });
}

Deno.test("cost: a call of unknown outcome stays reserved until it is adopted or the operator decides", async () => {
  await withPrices(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await begin(bench, job, 3_000);
    await expireLease(db, job.id);
    await queue.rescue();
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 0,
      reserved: 3_000,
    });
    const [again] = await queue.claim(1);
    assert(again !== undefined);
    assertEquals((await begin(bench, again, 3_000)).decision, "reconcile");
    assertEquals((await budgetOf(bench, job.user_id)).reserved, 3_000);
    await queue.fail(again, { isRetryable: false });
    assertEquals(await resolve(bench, job, true), true);
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 3_000,
      reserved: 0,
    });
  });
});

Deno.test("budget: a call over budget is not sent, journalled or charged; the job may fail as budget_exceeded", async () => {
  await withPrices(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await setBudget(bench, job.user_id, 2_999);
    assertEquals((await begin(bench, job, 3_000)).decision, "over_budget");
    assertEquals(await budgetOf(bench, job.user_id), { spent: 0, reserved: 0 });
    assertEquals(
      (await db.sql`select 1 from public.ai_provider_calls`).length,
      0,
    );
    await queue.fail(job, { code: "budget_exceeded", isRetryable: false });
    const [row] = await db.sql`
      select status, error_code, spend, billable_calls from public.ai_jobs where id = ${job.id}`;
    assertEquals({ ...row }, {
      status: "failed",
      error_code: "budget_exceeded",
      spend: "none",
      billable_calls: 0,
    });
    await setBudget(bench, job.user_id, 3_000);
    await db
      .sql`update public.ai_jobs set retry_requested_at = now() where id = ${job.id}`;
    const [again] = await queue.claim(1);
    assert(again !== undefined);
    assertEquals((await begin(bench, again, 3_000)).decision, "send");
  });
});

Deno.test("budget: it is per calendar month, and the default row applies to users without their own", async () => {
  await withPrices(async (bench) => {
    const { db } = bench;
    await setBudget(bench, null, 1_000);
    const first = await insertClaimedJob(bench);
    const call = await begin(bench, first, 1_000);
    await settle(bench, first, call.call_id, "succeeded");
    const second = await insertClaimedJob(bench, { user_id: first.user_id });
    assertEquals((await begin(bench, second, 1)).decision, "over_budget");
    await db.sql`
      update public.ai_limits set budget_month = budget_month - interval '1 month' where user_id = ${first.user_id}`;
    await db.sql`
      update public.ai_provider_calls
      set sent_at = sent_at - interval '1 month', settled_at = settled_at - interval '1 month'`;
    assertEquals((await ownBudget(bench, first.user_id)).spent, 0);
    assertEquals((await begin(bench, second, 1_000)).decision, "send");
    assertEquals(await budgetOf(bench, first.user_id), {
      spent: 0,
      reserved: 1_000,
    });
    const months = await db.sql<{ cost: number }[]>`
      select cost_micros::float8 as cost from private.ai_user_costs order by month`;
    assertEquals(months.map(({ cost }) => cost), [1_000, 0]);
    // A correction for the previous month does not affect this month.
    await revise(bench, first, 5);
    assertEquals((await budgetOf(bench, first.user_id)).spent, 0);
    await db.sql`delete from public.ai_jobs where id = ${first.id}`;
  });
});

Deno.test("set_ai_budget: a user's own overrides the default, null restores that, and none means no limit", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    const { user_id: userId } = job;
    const decide = async () => {
      const { decision } = await begin(bench, job, 3_000);
      await bench.db.sql`delete from public.ai_provider_calls`;
      return decision;
    };
    assertEquals((await ownBudget(bench, userId)).budget, null);
    assertEquals(await decide(), "send");
    await setBudget(bench, null, 2_999);
    assertEquals((await ownBudget(bench, userId)).budget, 2_999);
    assertEquals(await decide(), "over_budget");
    await setBudget(bench, userId, 3_000);
    assertEquals((await ownBudget(bench, userId)).budget, 3_000);
    assertEquals(await decide(), "send");
    await setBudget(bench, userId, null);
    assertEquals(await decide(), "over_budget");
    await setBudget(bench, null, null);
    assertEquals(await decide(), "send");
    await assertRejects(() => setBudget(bench, userId, -1));
    const unknown: postgres.PostgresError = await assertRejects(() =>
      setBudget(bench, crypto.randomUUID(), 1)
    );
    assertEquals([unknown.code, unknown.detail], ["AJ075", "p_user_id"]);
  });
});

Deno.test("get_ai_budget: an owner sees only their own budget: what is spent, reserved and left", async () => {
  await withPrices(async (bench) => {
    const mine = await insertClaimedJob(bench);
    const other = await insertClaimedJob(bench);
    await setBudget(bench, mine.user_id, 5_000);
    await setBudget(bench, other.user_id, 70);
    const call = await begin(bench, mine, 3_000);
    await settle(bench, mine, call.call_id, "succeeded", 3_500);
    await begin(bench, mine, 1_200, "another");
    assertEquals(await ownBudget(bench, mine.user_id), {
      budget: 5_000,
      spent: 3_500,
      reserved: 1_200,
      remaining: 300,
      rows: 1,
    });
    await revise(bench, mine, 9_000);
    assertEquals((await ownBudget(bench, mine.user_id)).remaining, 0);
  });
});

Deno.test("get_ai_budget: without a budget the remaining amount is null, not zero", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    await begin(bench, job, 1_200);
    const { budget, reserved, remaining } = await ownBudget(bench, job.user_id);
    assertEquals({ budget, reserved, remaining }, {
      budget: null,
      reserved: 1_200,
      remaining: null,
    });
    await setBudget(bench, job.user_id, 1_200);
    assertEquals((await ownBudget(bench, job.user_id)).remaining, 0);
  });
});

Deno.test("budget: a call without a price needs no budget, and a lost lease reserves nothing", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    await setBudget(bench, job.user_id, 0);
    await setPrice(bench, 0, 1);
    assertEquals((await begin(bench, job, 5)).decision, "send");
    const begun = await bench.db.asService((sql) =>
      beginCall(sql, { id: job.id, lease_token: crypto.randomUUID() }, {
        operation: "another",
        units: 1000,
      })
    );
    assertEquals(begun, undefined);
    assertEquals((await budgetOf(bench, job.user_id)).reserved, 0);
  });
});

Deno.test("budget: a call with an estimate of nothing needs one unit, and is refused without budget", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    await setBudget(bench, job.user_id, 0);
    assertEquals((await begin(bench, job, 0)).decision, "over_budget");
    await setBudget(bench, job.user_id, 1);
    assertEquals((await begin(bench, job, 0)).decision, "send");
    assertEquals(await budgetOf(bench, job.user_id), { spent: 0, reserved: 1 });
  });
});

Deno.test("budget: a repeated step needs at least its earlier estimate and usage, at any new estimate", async () => {
  await withPrices(async (bench) => {
    for (
      const [used, revised, expected] of [
        [3_000, 4_200, 4_200],
        // HeyGen refunds a video that it could not render.
        [3_000, 0, 3_000],
      ] as const
    ) {
      const job = await insertClaimedJob(bench);
      const first = await begin(bench, job, 3_000);
      await settle(bench, job, first.call_id, "succeeded", used);
      await revise(bench, job, revised);
      await bench.db
        .sql`update public.ai_provider_calls set discarded_at = now() where id = ${first.call_id}`;
      await setPrice(bench, 2, 1);
      assertEquals((await begin(bench, job, 1)).decision, "send");
      assertEquals(
        (await budgetOf(bench, job.user_id)).reserved,
        expected * 2,
      );
      await setPrice(bench, 1, 1);
    }
  });
});

Deno.test("budget: a settlement above its estimate blocks the next call at every estimate", async () => {
  await withPrices(async (bench) => {
    const job = await insertClaimedJob(bench);
    await setBudget(bench, job.user_id, 1_000);
    const call = await begin(bench, job, 100);
    const next = await insertClaimedJob(bench, { user_id: job.user_id });
    await settle(bench, job, call.call_id, "succeeded", 4_400);
    for (const units of [0, 1, 900]) {
      assertEquals((await begin(bench, next, units)).decision, "over_budget");
    }
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 4_400,
      reserved: 0,
    });
  });
});

for (const late of ["settle_provider_calls", "revise_provider_call"]) {
  Deno.test(`budget: a call that begins while ${late} reports more usage of another call waits for it and is refused`, async () => {
    await withPrices(async (bench) => {
      const { db } = bench;
      const job = await insertClaimedJob(bench);
      const next = await insertClaimedJob(bench, { user_id: job.user_id });
      await setBudget(bench, job.user_id, 1_000);
      const call = await begin(bench, job, 100);
      if (late === "revise_provider_call") {
        await settle(bench, job, call.call_id, "succeeded");
      }
      const [first, second] = await db.connections(2, "service_role");
      assert(first !== undefined && second !== undefined);
      const pid = await backendOf(second);
      let begun: Promise<Begun | undefined> | undefined;
      await first.begin(async (sql) => {
        if (late === "settle_provider_calls") {
          await settleCall(sql, job, call.call_id, "succeeded", {
            objectId: "made",
            units: 4400,
          });
        } else {
          await sql`
            select public.revise_provider_call(${job.id}, ${job.lease_token}, 'create_voice', 4400)`;
        }
        begun = beginCall(second, next);
        await untilBlocked(db, pid);
      });
      assertEquals((await begun)?.decision, "over_budget");
      assertEquals(await budgetOf(bench, job.user_id), {
        spent: 4_400,
        reserved: 0,
      });
    });
  });
}

Deno.test("budget: 1,000 parallel calls never exceed it by one", async () => {
  await withPrices(async (bench) => {
    const { db, queue } = bench;
    const first = await insertClaimedJob(bench);
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select ${first.user_id}, 'voice_clone', ${first.input_url}, jsonb_build_object('voice_name', 'Voice ' || n)
      from generate_series(1, 999) as n`;
    const jobs = [first, ...await queue.claim(999)];
    assertEquals(jobs.length, 1_000);
    await setBudget(bench, first.user_id, 137 * 70 + 69);
    const workers = await db.connections(20, "service_role");
    const decisions = await Promise.all(jobs.map(async (job, n) => {
      const sql = workers[n % workers.length];
      assert(sql !== undefined);
      return (await beginCall(sql, job, { units: 70 }))?.decision;
    }));
    assertEquals(decisions.filter((each) => each === "send").length, 137);
    assertEquals(
      decisions.filter((each) => each === "over_budget").length,
      863,
    );
    assertEquals(await budgetOf(bench, first.user_id), {
      spent: 0,
      reserved: 137 * 70,
    });
    const [row] = await db.sql<{ sum: number }[]>`
      select sum(estimated_cost_micros)::float8 as sum from public.ai_provider_calls`;
    assertEquals(row?.sum, 137 * 70);
  });
});

Deno.test("budget: parallel begin, settle, release and resolve never exceed it, and the books balance", async () => {
  await withPrices(async (bench) => {
    const { db, queue } = bench;
    const first = await insertClaimedJob(bench);
    const { user_id: userId } = first;
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select ${userId}, 'voice_clone', ${first.input_url}, jsonb_build_object('voice_name', 'Voice ' || n)
      from generate_series(1, 399) as n`;
    const jobs = [first, ...await queue.claim(399)];
    assertEquals(jobs.length, 400);
    // Not a multiple of a call's price, so that something is left at the end.
    const budget = 5_001;
    await setBudget(bench, userId, budget);
    // The constraint checks every committed row: a statement that would exceed the budget fails.
    await db.sql.unsafe(
      `alter table public.ai_limits add constraint never_exceeded check (spent_micros + reserved_micros <= ${budget} or user_id is null)`,
    );
    const workers = await db.connections(12, "service_role");
    const ways = ["succeeded", "rejected", "absent", "parked"];
    const counts = { send: 0, over_budget: 0 };
    const run = async (sql: postgres.Sql, job: ClaimedJob, n: number) => {
      const call = await beginCall(sql, job, { units: 70 });
      assert(call?.decision === "send" || call?.decision === "over_budget");
      counts[call.decision]++;
      if (call.decision === "over_budget") return;
      const way = ways[n % ways.length] ?? "";
      if (way === "parked") {
        await sql`select public.fail_ai_job(${job.id}, ${job.lease_token}, 'provider_timeout', 'lost', false)`;
        await sql`select public.resolve_unknown_ai_job(${job.id}, ${
          n % 8 === 3
        }, ${n % 8 === 3 ? `voice-${job.id}` : null})`;
        return;
      }
      await settleCall(sql, job, call.call_id, way, {
        objectId: way === "succeeded" ? job.id : null,
        units: 65,
      });
    };
    const waiting = jobs.entries();
    await Promise.all(workers.map(async (sql) => {
      for (const [n, job] of waiting) await run(sql, job, n);
    }));
    assert(counts.over_budget > 0, "the budget was never used up");
    assert(counts.send > 71, "no released amount was used again");
    const { spent, reserved } = await budgetOf(bench, userId);
    assertEquals(reserved, 0);
    assert(spent !== undefined && spent > 0);
    // The rest of the budget can be used to the last unit.
    const last = await insertClaimedJob(bench, { user_id: userId });
    const left = budget - spent;
    assertEquals((await begin(bench, last, left + 1)).decision, "over_budget");
    assertEquals((await begin(bench, last, left)).decision, "send");
  });
});

Deno.test("cost: deleting a job releases its open reservation and keeps its charges", async () => {
  await withQueue(async (bench) => {
    await setPrice(bench, 1, 1);
    const spent = await insertClaimedJob(bench);
    const open = await insertClaimedJob(bench, { user_id: spent.user_id });
    const call = await begin(bench, spent, 500);
    await settle(bench, spent, call.call_id, "succeeded");
    await begin(bench, open, 3_000);
    await bench.db.sql`delete from public.ai_jobs`;
    assertEquals(await budgetOf(bench, spent.user_id), {
      spent: 500,
      reserved: 0,
    });
  });
});

Deno.test("get_ai_costs: an owner gets their own only; operator views have all, by job, user and provider", async () => {
  await withPrices(async (bench) => {
    const { db } = bench;
    const mine = await insertClaimedJob(bench);
    const other = await insertClaimedJob(bench);
    const call = await begin(bench, mine, 500);
    await settle(bench, mine, call.call_id, "succeeded", 400);
    await begin(bench, mine, 70, "another_step");
    await begin(bench, other, 3_000);
    const own = await db.asUser(
      mine.user_id,
      (sql) =>
        sql`select provider, paid_calls::int, cost_micros::float8 as cost, reserved_micros::float8 as reserved
        from public.get_ai_costs()`,
    );
    assertEquals([...own], [
      { provider: "elevenlabs", paid_calls: 2, cost: 400, reserved: 70 },
    ]);
    const foreign = await db.asUser(
      mine.user_id,
      (sql) => sql`select * from public.get_ai_costs(${other.user_id})`,
    );
    assertEquals(foreign.length, 0);

    const jobs = await db.sql`
      select cost_micros::float8 as cost, reserved_micros::float8 as reserved from private.ai_job_costs
      order by cost_micros desc`;
    assertEquals([...jobs], [
      { cost: 400, reserved: 70 },
      { cost: 0, reserved: 3_000 },
    ]);
    const users = await db
      .sql`select cost_micros::float8 as cost from private.ai_user_costs order by 1 desc`;
    assertEquals([...users], [{ cost: 400 }, { cost: 0 }]);
    const [all] = await db.sql`
      select sum(cost_micros)::float8 as cost, sum(reserved_micros)::float8 as reserved, sum(made)::int as made,
        sum(open)::int as open from private.ai_provider_costs where provider = 'elevenlabs'`;
    assertEquals({ ...all }, { cost: 400, reserved: 3_070, made: 1, open: 2 });
    assertEquals((await readJob(db, mine.id)).billable_calls, 2);
  });
});
