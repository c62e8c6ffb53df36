/** What all users together may spend at a provider in a month. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import {
  type Bench,
  insertClaimedJob,
  insertJobs,
  withQueue,
} from "./_support/factories.ts";
import type { ClaimedJob, Lease } from "./_support/queue.ts";
import { beginCall, settleCall } from "./_support/protocol.ts";

interface Begun {
  decision: string;
  call_id: string | null;
}

/** A queue on which a unit of a voice clone costs a millionth of a dollar. */
async function withBudget(
  micros: number | null,
  run: (bench: Bench) => Promise<void>,
) {
  await withQueue(async (bench) => {
    await bench.db.asService((sql) =>
      sql`
        update public.ai_prices set price_micros = 1, per_units = 1
        where job_type = 'voice_clone' and provider = 'elevenlabs'`
    );
    await setBudget(bench, micros);
    await run(bench);
  });
}

async function setBudget({ db }: Bench, micros: number | null) {
  await db.asService((sql) =>
    sql`update public.ai_providers set budget_micros = ${micros} where provider = 'elevenlabs'`
  );
}

async function begin(
  sql: postgres.ISql,
  job: Lease,
  units: number,
): Promise<Begun> {
  const begun = await beginCall(sql, job, { units });
  assert(begun !== undefined, "the lease is lost");
  return begun;
}

async function settle(
  sql: postgres.ISql,
  job: Lease,
  callId: string | null,
  outcome: string,
  units: number,
): Promise<void> {
  const objectId = outcome === "succeeded" ? job.id : null;
  assert(await settleCall(sql, job, callId, outcome, { objectId, units }));
}

/** What is spent and reserved of the budget. */
async function budgetOf({ db }: Bench) {
  const [row] = await db.sql<
    { spent: number; reserved: number; left: number | null }[]
  >`
    select spent_micros::float8 as spent, reserved_micros::float8 as reserved, remaining_micros::float8 as left
    from private.ai_provider_budgets where provider = 'elevenlabs'`;
  return { ...row };
}

/** What is spent and reserved of all users' own budgets. */
async function ofUsers({ db }: Bench) {
  const [row] = await db.sql<{ spent: number; reserved: number }[]>`
    select sum(spent_micros)::float8 as spent, sum(reserved_micros)::float8 as reserved
    from public.ai_limits where user_id is not null`;
  return { ...row };
}

/** Claimed jobs of many users. */
async function crowd(
  { db, queue }: Bench,
  users: number,
  each: number,
): Promise<ClaimedJob[]> {
  for (let user = 0; user < users; user++) await insertJobs(db, each);
  const jobs = await queue.claim(users * each);
  assertEquals(jobs.length, users * each);
  return jobs;
}

Deno.test("provider budget: 400 parallel calls of 40 users never exceed it; each provider has its own", async () => {
  await withBudget(137 * 70 + 69, async (bench) => {
    const jobs = await crowd(bench, 40, 10);
    const workers = await bench.db.connections(20, "service_role");
    const decisions = await Promise.all(jobs.map(async (job, n) => {
      const sql = workers[n % workers.length];
      assert(sql !== undefined);
      return (await begin(sql, job, 70)).decision;
    }));
    assertEquals(decisions.filter((each) => each === "send").length, 137);
    assertEquals(
      decisions.filter((each) => each === "over_provider_budget").length,
      263,
    );
    assertEquals(await budgetOf(bench), {
      spent: 0,
      reserved: 137 * 70,
      left: 69,
    });
    // A refused call is not reserved in any user's own budget.
    assertEquals(await ofUsers(bench), { spent: 0, reserved: 137 * 70 });
    const [journal] = await bench.db.sql<{ calls: number }[]>`
      select count(*)::int as calls from public.ai_provider_calls`;
    assertEquals(journal?.calls, 137);

    const job = await insertClaimedJob(bench);
    await bench.db
      .sql`update public.ai_jobs set provider = 'd-id' where id = ${job.id}`;
    assertEquals((await begin(bench.db.sql, job, 70)).decision, "send");
  });
});

Deno.test("provider budget: parallel begins and ends never exceed it, and released amounts are used again", async () => {
  const budget = 5_000;
  await withBudget(budget, async (bench) => {
    const jobs = await crowd(bench, 40, 10);
    const workers = await bench.db.connections(20, "service_role");
    const decided = { send: 0, over_provider_budget: 0 };
    const waiting = jobs.entries();
    await Promise.all(workers.map(async (sql) => {
      for (const [n, job] of waiting) {
        const { decision, call_id } = await begin(sql, job, 70);
        assert(decision === "send" || decision === "over_provider_budget");
        decided[decision]++;
        if (decision !== "send") continue;
        const { spent = 0, reserved = 0 } = await budgetOf(bench);
        assert(spent + reserved <= budget, `${spent} + ${reserved}`);
        await settle(sql, job, call_id, n % 2 ? "succeeded" : "absent", 65);
      }
    }));
    const { spent = 0, reserved, left } = await budgetOf(bench);
    assertEquals([reserved, left], [0, budget - spent]);
    assertEquals(await ofUsers(bench), { spent, reserved: 0 });
    const [journal] = await bench.db.sql<{ spent: number }[]>`
      select sum(cost_micros)::float8 as spent from public.ai_provider_calls`;
    assertEquals(journal?.spent, spent);
    assert(decided.over_provider_budget > 0, "it was never used up");
    assert(decided.send > budget / 70, "nothing was released");
  });
});

Deno.test("provider budget: after job and account are deleted, charges stay and reservations are released", async () => {
  await withBudget(1_000, async (bench) => {
    const { db } = bench;
    const paid = await insertClaimedJob(bench);
    const { call_id } = await begin(db.sql, paid, 600);
    await settle(db.sql, paid, call_id, "succeeded", 700);
    const open = await insertClaimedJob(bench);
    await begin(db.sql, open, 300);
    assertEquals(await budgetOf(bench), { spent: 700, reserved: 300, left: 0 });
    await db
      .sql`delete from public.ai_jobs where id in (${paid.id}, ${open.id})`;
    await db.sql`delete from auth.users where id = ${paid.user_id}`;
    assertEquals(await budgetOf(bench), { spent: 700, reserved: 0, left: 300 });
    const next = await insertClaimedJob(bench);
    assertEquals(
      (await begin(db.sql, next, 301)).decision,
      "over_provider_budget",
    );
    assertEquals((await begin(db.sql, next, 300)).decision, "send");
  });
});

Deno.test("provider budget: it is per calendar month, includes earlier spending, and null is no limit", async () => {
  await withBudget(null, async (bench) => {
    const { db } = bench;
    const first = await insertClaimedJob(bench);
    const { call_id } = await begin(db.sql, first, 900);
    await settle(db.sql, first, call_id, "succeeded", 900);
    await setBudget(bench, 1_000);
    const second = await insertClaimedJob(bench);
    assertEquals(
      (await begin(db.sql, second, 101)).decision,
      "over_provider_budget",
    );
    await db
      .sql`update public.ai_provider_spend set month = month - interval '1 month'`;
    assertEquals(await budgetOf(bench), { spent: 0, reserved: 0, left: 1_000 });
    const later = await begin(db.sql, second, 1_000);
    assertEquals(later.decision, "send");
    await settle(db.sql, second, later.call_id, "succeeded", 1_000);
    assertEquals((await budgetOf(bench)).spent, 1_000);
    const third = await insertClaimedJob(bench);
    await setBudget(bench, null);
    assertEquals((await begin(db.sql, third, 5_000)).decision, "send");
    assertEquals((await budgetOf(bench)).left, null);
  });
});

Deno.test("provider budget: a free call needs none, and a user's own budget is checked first", async () => {
  await withBudget(0, async (bench) => {
    const { db } = bench;
    const setPrice = (micros: number) =>
      db.sql`update public.ai_prices set price_micros = ${micros} where job_type = 'voice_clone'`;
    await setPrice(0);
    const job = await insertClaimedJob(bench);
    assertEquals((await begin(db.sql, job, 9)).decision, "send");
    await setPrice(1);
    const other = await insertClaimedJob(bench);
    await db.sql`select public.set_ai_budget(${other.user_id}, 1)`;
    assertEquals((await begin(db.sql, other, 2)).decision, "over_budget");
    assertEquals(
      (await begin(db.sql, other, 1)).decision,
      "over_provider_budget",
    );
  });
});
