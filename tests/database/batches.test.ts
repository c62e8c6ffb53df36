/** Functions for several jobs: each item has its own result, and one that cannot be written fails alone. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import {
  aVoice,
  type Bench,
  eventsOf,
  insertClaimedJob,
  pictureOf,
  readJob,
  withQueue,
} from "./_support/factories.ts";
import { beginCall } from "./_support/protocol.ts";
import type { ClaimedJob, Lease } from "./_support/queue.ts";

interface Row {
  job_id: string;
  decision: string | null;
  is_settled: boolean;
  error: { code: string; constraint?: string } | null;
}

/** Calls one of the functions with these items, and returns its rows by job. */
async function call(
  { db }: Bench,
  name: string,
  items: Record<string, postgres.JSONValue>[],
): Promise<Map<string, Row>> {
  const rows = await db.asService((sql) =>
    sql<Row[]>`select * from ${sql(`public.${name}`)}(${
      sql.json(
        items,
      )
    })`
  );
  return new Map(rows.map((row) => [row.job_id, row]));
}

const leased = ({ id, lease_token }: Lease) => ({ job_id: id, lease_token });

const begun = (lease: Lease, operation = "create_voice") => ({
  ...leased(lease),
  call_id: crypto.randomUUID(),
  operation,
  progress: 30,
  stage: "calling_provider",
  units: 1,
});

async function claimed(bench: Bench, count: number): Promise<ClaimedJob[]> {
  const jobs: ClaimedJob[] = [];
  for (let n = 0; n < count; n++) jobs.push(await insertClaimedJob(bench));
  return jobs;
}

/** A job whose lease another worker has. */
const lost = (job: Lease): Lease => ({
  id: job.id,
  lease_token: crypto.randomUUID(),
});

Deno.test("begin_provider_calls: a lost lease has no row, a bad call an error, and the others are begun", async () => {
  await withQueue(async (bench) => {
    const [first, second, third, fourth] = await claimed(bench, 4);
    assert(first && second && third && fourth);
    const again = await beginCall(bench.db.sql, fourth);
    const rows = await call(bench, "begin_provider_calls", [
      begun(first),
      begun(lost(second)),
      begun(third, "Not a word"),
      begun(fourth),
    ]);
    assertEquals(rows.get(first.id)?.decision, "send");
    assertEquals(rows.has(second.id), false);
    assertEquals(
      rows.get(third.id)?.error?.constraint,
      "ai_provider_calls_operation_is_word",
    );
    assertEquals(rows.get(fourth.id)?.decision, "reconcile");
    const calls = await bench.db.sql<{ job_id: string; outcome: string }[]>`
      select job_id, outcome from public.ai_provider_calls order by sent_at`;
    assertEquals(
      new Map(calls.map(({ job_id, outcome }) => [job_id, outcome])),
      new Map([[fourth.id, "unknown"], [first.id, "sent"]]),
    );
    assertEquals(again?.decision, "send");
    assertEquals((await readJob(bench.db, third.id)).billable_calls, 0);
  });
});

Deno.test("settle_provider_calls: a contradicting, repeated or invalid settlement does not affect the others", async () => {
  await withQueue(async (bench) => {
    const jobs = await claimed(bench, 4);
    const calls: string[] = [];
    for (const job of jobs) {
      calls.push((await beginCall(bench.db.sql, job))?.call_id ?? "");
    }
    const [good, contradicted, repeated, malformed] = jobs;
    assert(good && contradicted && repeated && malformed);
    assert(await bench.queue.settle(contradicted, calls[1] ?? "", "rejected"));
    assert(
      await bench.queue.settle(repeated, calls[2] ?? "", "succeeded", "v-2"),
    );
    const settled = (lease: Lease, index: number, outcome: string) => ({
      ...leased(lease),
      call_id: calls[index] ?? "",
      outcome,
      provider_object_id: `v-${index}`,
      progress: 70,
    });
    const rows = await call(bench, "settle_provider_calls", [
      settled(good, 0, "succeeded"),
      settled(contradicted, 1, "succeeded"),
      settled(repeated, 2, "succeeded"),
      settled(malformed, 3, "perhaps"),
    ]);
    assertEquals(
      jobs.map(({ id }) => rows.get(id)?.is_settled),
      [true, false, true, false],
    );
    assertEquals(
      rows.get(malformed.id)?.error?.constraint,
      "ai_provider_calls_outcome_is_known",
    );
    const outcomes = await bench.db.sql<{ outcome: string }[]>`
      select outcome from public.ai_provider_calls order by sent_at`;
    assertEquals(outcomes.map(({ outcome }) => outcome), [
      "succeeded",
      "rejected",
      "succeeded",
      "sent",
    ]);
  });
});

Deno.test("complete_ai_jobs: a product that cannot be saved affects its own job only; the others complete", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [first, second, third, fourth] = await claimed(bench, 4);
    assert(first && second && third && fourth);
    const { call_id } = await beginCall(db.sql, second) ?? {};
    assert(call_id);
    assert(await bench.queue.settle(second, call_id, "succeeded", "v-second"));
    const before = await readJob(db, second.id);
    const completion = (
      lease: Lease,
      product: Record<string, postgres.JSONValue>,
    ) => ({ ...leased(lease), result_data: {}, product });
    const rows = await call(bench, "complete_ai_jobs", [
      completion(first, aVoice()),
      completion(second, { ...aVoice(), stability: 7 }),
      completion(third, { kind: "song" }),
      completion(lost(fourth), aVoice()),
    ]);
    assertEquals(rows.get(first.id)?.error, null);
    assertEquals(rows.get(second.id)?.error?.code, "23514");
    assertEquals(rows.get(third.id)?.error?.code, "AJ080");
    assertEquals(rows.has(fourth.id), false);
    assertEquals((await readJob(db, first.id)).status, "completed");
    assertEquals(
      await readJob(db, second.id),
      before,
      "its settlement and its lease stay",
    );
    const voices = await db.sql<{ job_id: string }[]>`
      select job_id from public.voices`;
    assertEquals(voices.map(({ job_id }) => job_id), [first.id]);
  });
});

/** A completion that carries the settlement of a call. */
const finished = (
  lease: Lease,
  callId: string,
  rest: Record<string, postgres.JSONValue> = {},
) => ({
  ...leased(lease),
  result_data: {},
  call_id: callId,
  outcome: "succeeded",
  provider_object_id: `v-${callId}`,
  progress: 70,
  ...rest,
});

Deno.test("complete_ai_jobs: it settles the last call in the same commit, with an event for each, in order", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [job] = await claimed(bench, 1);
    assert(job);
    const { call_id } = await beginCall(db.sql, job, {
      report: { progress: 10, stage: "fetching_input" },
    }) ?? {};
    assert(call_id !== undefined);
    const rows = await call(bench, "complete_ai_jobs", [
      finished(job, call_id, {
        report_progress: 90,
        report_stage: "storing_output",
        product: aVoice(),
      }),
    ]);
    assertEquals(rows.get(job.id)?.error, null);
    const row = await readJob(db, job.id);
    assertEquals(
      [row.status, row.provider_job_id, row.event_seq, row.last_event],
      ["completed", `v-${call_id}`, 7, "completed"],
    );
    const events = await eventsOf(db, job.id);
    assertEquals(
      events.map(({ seq, event, data }) => [
        seq,
        event,
        data["progress"],
        data["stage"],
      ]).slice(1),
      [
        [2, "claimed", 0, "claimed"],
        [3, "progress", 10, "fetching_input"],
        [4, "submitted", 30, "calling_provider"],
        [5, "settled", 70, undefined],
        [6, "progress", 90, "storing_output"],
        [7, "completed", 100, undefined],
      ],
    );
    const [settled] = await db.sql<{ outcome: string; spend: string }[]>`
      select c.outcome, j.spend from public.ai_provider_calls as c join public.ai_jobs as j on j.id = c.job_id`;
    assertEquals({ ...settled }, { outcome: "succeeded", spend: "incurred" });
  });
});

Deno.test("complete_ai_jobs: a result that cannot be saved fails alone, and its settlement is kept", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const jobs = await claimed(bench, 5);
    const [good, bad, contradicted, repeated, stolen] = jobs;
    assert(good && bad && contradicted && repeated && stolen);
    const calls = new Map<string, string>();
    for (const job of jobs) {
      calls.set(job.id, (await beginCall(db.sql, job))?.call_id ?? "");
    }
    const callOf = (job: Lease) => calls.get(job.id) ?? "";
    assert(await queue.settle(contradicted, callOf(contradicted), "rejected"));
    assert(
      await queue.settle(
        repeated,
        callOf(repeated),
        "succeeded",
        `v-${callOf(repeated)}`,
      ),
    );
    const rows = await call(bench, "complete_ai_jobs", [
      finished(good, callOf(good)),
      finished(bad, callOf(bad), { product: { kind: "none" } }),
      finished(contradicted, callOf(contradicted)),
      finished(repeated, callOf(repeated)),
      finished(lost(stolen), callOf(stolen)),
    ]);
    assertEquals(rows.get(good.id)?.error, null);
    assertEquals(rows.get(bad.id)?.error?.code, "AJ080");
    assertEquals(rows.has(contradicted.id), false);
    assertEquals(rows.get(repeated.id)?.error, null);
    assertEquals(rows.has(stolen.id), false);
    const found = await db.sql<
      { id: string; status: string; outcome: string; spend: string }[]
    >`
      select j.id, j.status, c.outcome, j.spend
      from public.ai_jobs as j join public.ai_provider_calls as c on c.job_id = j.id`;
    assertEquals(
      jobs.map(({ id }) => {
        const row = found.find((row) => row.id === id);
        return [row?.status, row?.outcome, row?.spend];
      }),
      [
        ["completed", "succeeded", "incurred"],
        ["processing", "succeeded", "incurred"],
        ["processing", "rejected", "none"],
        ["completed", "succeeded", "incurred"],
        ["processing", "sent", "unknown"],
      ],
    );
    for (const { id } of jobs) {
      const events = await eventsOf(db, id);
      assertEquals(
        events.map(({ seq }) => seq),
        events.map((_, index) => index + 1),
      );
    }
    // The write is repeated as after a lost response: nothing changes.
    const before = await pictureOf(db);
    const again = await call(bench, "complete_ai_jobs", [
      finished(good, callOf(good)),
      finished(repeated, callOf(repeated)),
    ]);
    assertEquals([...again], []);
    assertEquals(await pictureOf(db), before);
  });
});

Deno.test("complete_ai_jobs: a settlement that is invalid fails alone, and writes nothing", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [good, bad] = await claimed(bench, 2);
    assert(good && bad);
    const [first, second] = [
      await beginCall(db.sql, good),
      await beginCall(db.sql, bad),
    ];
    const rows = await call(bench, "complete_ai_jobs", [
      finished(good, first?.call_id ?? ""),
      finished(bad, second?.call_id ?? "", { outcome: "perhaps" }),
    ]);
    assertEquals(rows.get(good.id)?.error, null);
    assertEquals(
      rows.get(bad.id)?.error?.constraint,
      "ai_provider_calls_outcome_is_known",
    );
    const row = await readJob(db, bad.id);
    assertEquals([row.status, row.last_event], ["processing", "submitted"]);
  });
});

Deno.test("begin_provider_calls: a report in the same call is one event before it and never lowers progress", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [job] = await claimed(bench, 1);
    assert(job);
    assert(await bench.queue.heartbeat(job, 40, "early"));
    const item = {
      ...begun(job),
      report_progress: 10,
      report_stage: "fetching_input",
    };
    for (const _ of ["first", "its answer was lost"]) {
      const rows = await call(bench, "begin_provider_calls", [item]);
      assertEquals(rows.get(job.id)?.decision, "send");
    }
    assertEquals(
      (await eventsOf(db, job.id)).slice(2).map(({ event, data }) => [
        event,
        data["progress"],
        data["stage"],
      ]),
      [
        ["progress", 40, "early"],
        ["progress", 40, "fetching_input"],
        ["submitted", 40, "calling_provider"],
      ],
    );
  });
});

Deno.test("batches: two items of one job are refused, and nothing is written", async () => {
  await withQueue(async (bench) => {
    const [job] = await claimed(bench, 1);
    assert(job);
    const before = await pictureOf(bench.db);
    await assertRejects(
      () =>
        call(bench, "begin_provider_calls", [
          begun(job, "step_one"),
          begun(job, "step_two"),
        ]),
      Error,
      "only once in a call",
    );
    assertEquals(await pictureOf(bench.db), before);
  });
});

Deno.test("begin_provider_calls: calls of one batch share the remaining user and provider budgets", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await db.sql`
      insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
      values ('voice_clone', 'elevenlabs', 'creation', 1, 10)
      on conflict (job_type, provider) do update set price_micros = 10`;
    const first = await insertClaimedJob(bench);
    const own = [first];
    for (let n = 0; n < 3; n++) {
      own.push(await insertClaimedJob(bench, { user_id: first.user_id }));
    }
    const others = await claimed(bench, 4);
    await db.sql`select public.set_ai_budget(${first.user_id}, 25)`;
    await db.sql`
      update public.ai_providers set budget_micros = 45 where provider = 'elevenlabs'`;
    const rows = await call(
      bench,
      "begin_provider_calls",
      [...own, ...others].map((job) => begun(job)),
    );
    const decisions = (jobs: ClaimedJob[]) =>
      jobs.map(({ id }) => rows.get(id)?.decision).sort();
    const all = decisions([...own, ...others]);
    assertEquals(all.filter((each) => each === "send").length, 4);
    assertEquals(
      decisions(own).filter((each) => each === "over_budget").length,
      2,
    );
    assertEquals(
      all.filter((each) => each === "over_provider_budget").length,
      2,
    );
    const [sums] = await db.sql<{ reserved: number; open: number }[]>`
      select
        (select sum(reserved_micros)::int from public.ai_limits where user_id is not null) as reserved,
        (select sum(estimated_cost_micros)::int from public.ai_provider_calls) as open`;
    assertEquals({ ...sums }, { reserved: 40, open: 40 });
  });
});
