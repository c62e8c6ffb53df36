/** What paid calls cost: the estimate before, the budget it has to fit into, and the truth after. */
import { assert, assertEquals } from "@std/assert";
import {
  type Bench,
  insertClaimedJob,
  readJob,
  withQueue,
} from "./factories.ts";
import type { ClaimedJob, Lease } from "./queue.ts";

interface Begun {
  decision: string;
  call_id: string | null;
}

async function begin(
  { db }: Bench,
  job: Lease,
  estimate: number | null,
  operation = "create_voice",
): Promise<Begun> {
  const [row] = await db.asService((sql) =>
    sql<Begun[]>`
      select decision, call_id from public.begin_provider_call(
        ${job.id}, ${job.lease_token}, ${operation}, 30, 'calling_provider', ${estimate}::bigint)`
  );
  assert(row !== undefined, "the lease is lost");
  return row;
}

async function settle(
  { db }: Bench,
  job: Lease,
  callId: string | null,
  outcome: string,
  cost: number | null = null,
): Promise<void> {
  const id = outcome === "succeeded" || outcome === "adopted"
    ? crypto.randomUUID()
    : null;
  const [row] = await db.asService((sql) =>
    sql<{ is_settled: boolean }[]>`
      select public.settle_provider_call(${callId}, ${job.id}, ${job.lease_token}, ${outcome},
        p_provider_object_id => ${id}, p_cost_micros => ${cost}::bigint) as is_settled`
  );
  assert(row?.is_settled);
}

async function budgetOf({ db }: Bench, userId: string) {
  const [row] = await db.sql<{ spent: number; reserved: number }[]>`
    select spent_micros::float8 as spent, reserved_micros::float8 as reserved from public.ai_limits
    where user_id = ${userId}`;
  return { ...row };
}

async function setBudget({ db }: Bench, userId: string, micros: number) {
  await db.sql`
    insert into public.ai_limits (user_id, budget_micros) values (${userId}, ${micros})
    on conflict (user_id) do update set budget_micros = excluded.budget_micros`;
}

async function callOf({ db }: Bench, job: ClaimedJob) {
  const [row] = await db.sql`
    select outcome, estimated_cost_micros::float8 as estimate, cost_micros::float8 as cost
    from public.ai_provider_calls where job_id = ${job.id}`;
  return { ...row };
}

Deno.test("cost: the estimate is reserved before the call, and what the provider says it cost is spent after it", async () => {
  await withQueue(async (bench) => {
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

Deno.test("cost: what a provider does not tell is spent as estimated; the job type's estimate counts when none is given", async () => {
  await withQueue(async (bench) => {
    await bench.db
      .sql`update public.ai_job_types set estimated_cost_micros = 700 where job_type = 'voice_clone'`;
    const job = await insertClaimedJob(bench);
    const call = await begin(bench, job, null);
    await settle(bench, job, call.call_id, "succeeded");
    assertEquals(await callOf(bench, job), {
      outcome: "succeeded",
      estimate: 700,
      cost: 700,
    });
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 700,
      reserved: 0,
    });
  });
});

for (const outcome of ["rejected", "absent"]) {
  Deno.test(`cost: a call that was ${outcome} is given back in full`, async () => {
    await withQueue(async (bench) => {
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

Deno.test("cost: while it is unknown what became of a call its cost stays reserved, whoever lost it, until it is adopted or the operator decides", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await begin(bench, job, 3_000);
    await db
      .sql`update public.ai_jobs set lease_expires_at = now() - interval '1 second'`;
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
    await db.asService((sql) =>
      sql`select public.resolve_unknown_ai_job(${job.id}, true, 'voice-1')`
    );
    assertEquals(await budgetOf(bench, job.user_id), {
      spent: 3_000,
      reserved: 0,
    });
  });
});

Deno.test("budget: what does not fit is not sent: nothing is journalled, counted or spent, and the job can fail with budget_exceeded", async () => {
  await withQueue(async (bench) => {
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

Deno.test("budget: it is of a calendar month, and the default row's counts for whoever has none", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await db
      .sql`update public.ai_limits set budget_micros = 1000 where user_id is null`;
    const first = await insertClaimedJob(bench);
    const call = await begin(bench, first, 1_000);
    await settle(bench, first, call.call_id, "succeeded");
    const second = await insertClaimedJob(bench, { user_id: first.user_id });
    assertEquals((await begin(bench, second, 1)).decision, "over_budget");
    await db.sql`
      update public.ai_limits set budget_month = budget_month - interval '1 month' where user_id = ${first.user_id}`;
    assertEquals((await begin(bench, second, 1_000)).decision, "send");
    assertEquals(await budgetOf(bench, first.user_id), {
      spent: 0,
      reserved: 1_000,
    });
  });
});

Deno.test("budget: a call that costs nothing by estimate needs none, and a lost lease reserves nothing", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    await setBudget(bench, job.user_id, 0);
    assertEquals((await begin(bench, job, 0)).decision, "send");
    const { length } = await bench.db.asService((sql) =>
      sql`select * from public.begin_provider_call(
        ${job.id}, ${crypto.randomUUID()}, 'another', 30, 'calling_provider', 1000)`
    );
    assertEquals(length, 0);
    assertEquals((await budgetOf(bench, job.user_id)).reserved, 0);
  });
});

Deno.test("budget: 1,000 parallel calls never exceed it by one", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const first = await insertClaimedJob(bench);
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select ${first.user_id}, 'voice_clone', ${first.input_url}, jsonb_build_object('name', 'Voice ' || n)
      from generate_series(1, 999) as n`;
    const jobs = [first, ...await queue.claim(999)];
    assertEquals(jobs.length, 1_000);
    await setBudget(bench, first.user_id, 137 * 70 + 69);
    const workers = await db.connections(20, "service_role");
    const decisions = await Promise.all(jobs.map(async (job, n) => {
      const sql = workers[n % workers.length];
      assert(sql !== undefined);
      const [row] = await sql<Begun[]>`
        select decision, call_id from public.begin_provider_call(
          ${job.id}, ${job.lease_token}, 'create_voice', 30, 'calling_provider', 70)`;
      return row?.decision;
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

Deno.test("cost: a job that is deleted gives back what was open, and keeps what was spent", async () => {
  await withQueue(async (bench) => {
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

Deno.test("get_ai_costs: an owner gets their own and nobody else's; the operator's views have all, per job, user and provider", async () => {
  await withQueue(async (bench) => {
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
