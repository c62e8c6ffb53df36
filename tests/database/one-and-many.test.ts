/**
 * The triggers of jobs and paid calls take a short way for statements that change one row. A statement over several rows
 * must leave the same timeline, counts, breaker, costs and consequences as one statement for each.
 */
import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { type Bench, insertJob, withQueue } from "./_support/factories.ts";

const JOBS = 3;

interface Claimed {
  id: string;
  lease_token: string;
}

/** What a statement is done to: all jobs together, or each alone. */
type Split = <T>(items: readonly T[]) => readonly (readonly T[])[];
const together: Split = (items) => [items];
const apart: Split = (items) => items.map((item) => [item]);

/** Calls a function of the queue for the items, as the split says. */
async function call(
  { db }: Bench,
  split: Split,
  name: string,
  items: Record<string, postgres.JSONValue>[],
): Promise<void> {
  for (const part of split(items)) {
    const rows = await db.asService((sql) =>
      sql`select * from ${sql(`public.${name}`)}(${sql.json([...part])})`
    );
    assertEquals(rows.length, part.length, name);
  }
}

/** New jobs of different users, claimed as the split says. */
async function claimed(bench: Bench, split: Split): Promise<Claimed[]> {
  const ids: string[] = [];
  for (let n = 0; n < JOBS; n++) ids.push((await insertJob(bench.db)).id);
  const jobs: Claimed[] = [];
  for (const part of split(ids)) {
    jobs.push(...await bench.queue.claim(part.length, [...part]));
  }
  return jobs;
}

const leased = ({ id, lease_token }: Claimed) => ({ job_id: id, lease_token });

const begun = (job: Claimed) => ({
  ...leased(job),
  call_id: crypto.randomUUID(),
  operation: "create_voice",
  progress: 30,
  stage: "calling_provider",
  units: 2,
});

/** What the triggers have written so far, without ids and times. */
async function written({ db }: Bench) {
  const rows = async (query: PromiseLike<Iterable<postgres.Row>>) => [
    ...await query,
  ];
  return {
    events: await rows(db.sql`
      select e.seq, e.event, e.attempt, e.data - 'scheduled_at' as data, e.data ? 'scheduled_at' as is_scheduled,
        count(*)::integer as jobs
      from public.ai_job_events as e
      group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4::text, 5`),
    counts: await rows(db.sql`
      select q.event, q.job_type, q.provider, q.code, q.from_status, q.to_status, q.slot is not null as is_timed,
        sum(q.micros)::integer as micros, sum(q.amount)::integer as amount
      from private.ai_counter_queue as q
      group by 1, 2, 3, 4, 5, 6, 7 order by 1, 2, 3, 4, 5, 6, 7`),
    calls: await rows(db.sql`
      select c.operation, c.outcome, c.cost_micros::integer as cost, count(*)::integer as calls
      from public.ai_provider_calls as c group by 1, 2, 3 order by 1, 2, 3`),
    limits: await rows(db.sql`
      select l.active_jobs_at_most, l.spent_micros::integer as spent, l.reserved_micros::integer as reserved,
        count(*)::integer as users
      from public.ai_limits as l where l.user_id is not null group by 1, 2, 3 order by 1, 2, 3`),
    spend: await rows(db.sql`
      select s.provider, sum(s.spent_micros)::integer as spent from public.ai_provider_spend as s group by 1`),
    providers: await rows(db.sql`
      select p.provider, p.breaker_failures, p.breaker_poll_failures from public.ai_providers as p order by 1`),
    checkpoints: await rows(
      db.sql`select count(*)::integer as checkpoints from public.ai_job_checkpoints`,
    ),
  };
}

type Written = Awaited<ReturnType<typeof written>>;

/** Runs the steps both ways and compares what was written; returns it. */
async function bothWays(
  steps: (bench: Bench, split: Split) => Promise<void>,
): Promise<Written> {
  const run = (split: Split) =>
    withQueue(async (bench) => {
      await bench.db.sql`update public.ai_prices set price_micros = 7`;
      await steps(bench, split);
      return await written(bench);
    });
  const one = await run(apart);
  assertEquals(await run(together), one);
  return one;
}

Deno.test("one and many: claims, reports, calls and completions leave the same", async () => {
  const left = await bothWays(async (bench, split) => {
    const jobs = await claimed(bench, split);
    await call(
      bench,
      split,
      "heartbeat_ai_jobs",
      jobs.map((job) => ({ ...leased(job), progress: 20, stage: "reading" })),
    );
    await call(bench, split, "heartbeat_ai_jobs", jobs.map(leased));
    const refused = jobs.map((job) => ({
      ...begun(job),
      report_progress: 25,
      report_stage: "fetching_input",
    }));
    await call(bench, split, "begin_provider_calls", refused);
    await call(
      bench,
      split,
      "settle_provider_calls",
      refused.map(({ job_id, lease_token, call_id }) => ({
        job_id,
        lease_token,
        call_id,
        outcome: "rejected",
        error_code: "provider_unavailable",
        progress: 40,
      })),
    );
    const accepted = jobs.map(begun);
    await call(bench, split, "begin_provider_calls", accepted);
    await call(
      bench,
      split,
      "complete_ai_jobs",
      accepted.map(({ job_id, lease_token, call_id }) => ({
        job_id,
        lease_token,
        call_id,
        outcome: "succeeded",
        provider_object_id: `voice-of-${call_id}`,
        progress: 70,
        report_progress: 90,
        report_stage: "storing_output",
        result_data: {},
      })),
    );
  });
  assertEquals(left.events.map(({ event, jobs }) => [event, jobs]), [
    ["created", JOBS],
    ["claimed", JOBS],
    ["progress", JOBS],
    ["progress", JOBS],
    ["submitted", JOBS],
    ["settled", JOBS],
    ["submitted", JOBS],
    ["settled", JOBS],
    ["progress", JOBS],
    ["completed", JOBS],
  ]);
  assertEquals(left.spend, [{ provider: "elevenlabs", spent: 14 * JOBS }]);
});

Deno.test("one and many: a failure and a retry have the same effects on dependents, calls and checkpoints", async () => {
  const left = await bothWays(async (bench, split) => {
    const { db } = bench;
    for (const isSent of [true, false]) {
      const jobs = await claimed(bench, split);
      for (const { id, lease_token } of jobs) {
        await db
          .sql`select public.save_ai_job_checkpoint(${id}, ${lease_token}, '{}')`;
        await db.sql`
          insert into public.ai_jobs (user_id, job_type, metadata, depends_on_job_id)
          select j.user_id, 'text_to_speech', '{"text": "Hello", "model": "eleven_v3"}', j.id
          from public.ai_jobs as j where j.id = ${id}`;
      }
      if (isSent) {
        await call(bench, split, "begin_provider_calls", jobs.map(begun));
      }
      for (const part of split(jobs.map(({ id }) => id))) {
        await db.sql`
          update public.ai_jobs as j
          set status = 'failed', error_code = 'internal_error', completed_at = clock_timestamp(), lease_token = null,
            lease_expires_at = null, event_seq = j.event_seq + 1, last_event = 'failed'
          where j.id = any (${[...part]})`;
      }
      if (isSent) continue;
      for (const part of split(jobs.map(({ id }) => id))) {
        await db.sql`
          update public.ai_jobs as j set retry_requested_at = now() where j.id = any (${[
          ...part,
        ]})`;
      }
    }
  });
  assertEquals(left.checkpoints, [{ checkpoints: 0 }]);
  assertEquals(left.calls, [{
    operation: "create_voice",
    outcome: "unknown",
    cost: null,
    calls: JOBS,
  }]);
  const of = (name: string) =>
    left.events.filter(({ event }) => event === name)
      .reduce((sum, { jobs }) => sum + jobs, 0);
  // Each of both rounds: the jobs and their dependents.
  assertEquals(of("failed"), 4 * JOBS);
  assertEquals(of("retry_requested"), 2 * JOBS);
});
