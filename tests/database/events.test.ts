/** ai_job_events: the timeline is complete, numbered without a gap, and only triggers write it. */
import { assert, assertEquals } from "@std/assert";
import fc from "../_support/fast-check.ts";
import { withDatabase } from "../_support/database.ts";
import {
  aVoice,
  type Bench,
  eventsOf,
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  insertJobs,
  type JobEvent,
  readJob,
  refusalOf,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import type { ClaimedJob } from "./_support/queue.ts";

/** The members of `data` by event, as docs/job-lifecycle.md lists them: those always present, and all. */
async function documentedMembers(): Promise<
  Map<string, { always: string[]; all: string[] }>
> {
  const page = await Deno.readTextFile(
    new URL("../../docs/job-lifecycle.md", import.meta.url),
  );
  const [, section = ""] = page.split("## Data of the events");
  const members = (cell: string | undefined) =>
    [...(cell ?? "").matchAll(/`(\w+)`/g)].flatMap(([, name]) => name ?? []);
  return new Map(
    section.split("\n## ")[0]?.split("\n").flatMap((line) => {
      const cells = line.split("|");
      const [event] = members(cells[1]);
      if (cells.length !== 5 || event === undefined) return [];
      const always = members(cells[2]);
      return [[event, { always, all: [...always, ...members(cells[3])] }]];
    }),
  );
}
const documented = await documentedMembers();

/** Checks the members of each event against the page. */
function assertDocumented(events: readonly JobEvent[]): void {
  for (const { event, data } of events) {
    const { always = [], all = [] } = documented.get(event) ?? {};
    const names = Object.keys(data);
    const what = `${event}: ${names}`;
    assertEquals(always.filter((name) => !names.includes(name)), [], what);
    assertEquals(names.filter((name) => !all.includes(name)), [], what);
  }
}

/** A walk of one job through the queue: the lease of its owner, and the expected events. */
class Walk {
  private lease: ClaimedJob | undefined;
  private callId: string | undefined;
  readonly expected: string[] = ["created"];

  constructor(private readonly bench: Bench, readonly jobId: string) {}

  private get held(): { id: string; lease_token: string | null } {
    return this.lease ?? { id: this.jobId, lease_token: crypto.randomUUID() };
  }

  private note(event: string | false | null | undefined): void {
    if (event) this.expected.push(event);
  }

  /** The steps by name. Each returns whether it changed the job. */
  readonly steps: Record<string, () => Promise<void>> = {
    claim: async () => {
      const { db, queue } = this.bench;
      await db.sql`
        update public.ai_jobs set scheduled_at = now() where id = ${this.jobId} and status = 'pending'`;
      const [job] = await queue.claim(1, [this.jobId]);
      if (job !== undefined) this.lease = job;
      this.note(job && "claimed");
    },
    beat: async () => {
      await this.bench.queue.heartbeat(this.held);
    },
    report: async () =>
      this.note(
        await this.bench.queue.heartbeat(this.held, 50, "somewhere") &&
          "progress",
      ),
    begin: async () => {
      const begun = await this.bench.queue.begin(this.held);
      if (begun !== undefined) this.callId = begun.call_id;
      this.note(
        begun && (begun.decision === "send" ? "submitted" : "progress"),
      );
    },
    settleUnknown: () => this.settle("unknown"),
    settleRejected: () => this.settle("rejected"),
    settleSucceeded: () => this.settle("succeeded", crypto.randomUUID()),
    retry: async () => {
      const status = await this.bench.queue.fail(this.held);
      this.note(status && (status === "pending" ? "retried" : "failed"));
    },
    failPermanently: async () =>
      this.note(
        await this.bench.queue.fail(this.held, { isRetryable: false }) &&
          "failed",
      ),
    snooze: async () =>
      this.note(await this.bench.queue.snooze(this.held) && "snoozed"),
    release: async () =>
      this.note(await this.bench.queue.release(this.held) && "released"),
    die: async () => {
      const { db, queue } = this.bench;
      await db.sql`
        update public.ai_jobs set lease_expires_at = now() - interval '1 second'
        where id = ${this.jobId} and status = 'processing'`;
      const [rescued] = await queue.rescue();
      this.note(
        rescued && (rescued.status === "pending" ? "rescued" : "failed"),
      );
    },
    complete: async () =>
      this.note(
        await this.bench.queue.completeWithProduct(this.held, aVoice()) &&
          "completed",
      ),
  };

  private async settle(outcome: string, objectId?: string): Promise<void> {
    const isSettled = await this.bench.queue.settle(
      this.held,
      this.callId ?? crypto.randomUUID(),
      outcome,
      objectId ?? null,
    );
    this.note(isSettled && "settled");
  }
}

Deno.test("ai_job_events: on any walk through the queue each change is one event, numbered from 1 without a gap", async () => {
  await withQueue(async (bench) => {
    const { id: userId } = await bench.db.createUser();
    const inputUrl = await uploadSample(bench.db, userId);
    const names = Object.keys(new Walk(bench, crypto.randomUUID()).steps);
    const seen = new Set<string>();
    // Steps that end the job are rarer, so that walks get long.
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.constantFrom(
          ...names.filter((name) =>
            !["complete", "failPermanently"].includes(name)
          ),
        ),
      },
      { weight: 3, arbitrary: fc.constant("claim") },
      { weight: 1, arbitrary: fc.constantFrom("complete", "failPermanently") },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 40 }),
        async (path) => {
          const { id } = await insertJob(bench.db, {
            user_id: userId,
            input_url: inputUrl,
          });
          const walk = new Walk(bench, id);
          for (const name of path) await walk.steps[name]?.();

          const events = await eventsOf(bench.db, id);
          assertEquals(events.map(({ event }) => event), walk.expected);
          assertDocumented(events);
          assertEquals(
            events.map(({ seq }) => seq),
            events.map((_, index) => index + 1),
          );
          const job = await readJob(bench.db, id);
          assertEquals([job.event_seq, job.last_event], [
            events.length,
            events.at(-1)?.event,
          ]);
          for (const { event } of events) seen.add(event);
          if (job.status === "processing") {
            await bench.db.sql`delete from public.ai_jobs where id = ${id}`;
          }
        },
      ),
      { numRuns: 60 },
    );
    assertEquals(
      [...seen].sort(),
      [
        "claimed",
        "completed",
        "created",
        "failed",
        "progress",
        "released",
        "rescued",
        "retried",
        "settled",
        "snoozed",
        "submitted",
      ],
      "the walks reached every event",
    );
  });
});

Deno.test("ai_job_events: requests, dependencies and carried settlements have the documented members", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const first = await insertClaimedJob(bench);
    const { user_id } = first;
    const second = await insertJob(db, {
      user_id,
      depends_on_job_id: first.id,
    });
    await queue.fail(first, { isRetryable: false });
    await db.sql`
      update public.ai_jobs set retry_requested_at = now() where id = ${first.id}`;
    const [again] = await queue.claim(1, [first.id]);
    assert(again !== undefined);
    const call = await queue.begin(again);
    await db.sql`
      select * from public.complete_ai_jobs(${
      db.sql.json([{
        job_id: again.id,
        lease_token: again.lease_token,
        result_data: {},
        call_id: call?.call_id ?? "",
        outcome: "succeeded",
        provider_object_id: "o-1",
        progress: 80,
      }])
    })`;
    const [running] = await queue.claim(1, [second.id]);
    assert(running !== undefined);
    await db.sql`
      update public.ai_jobs set cancel_requested_at = now() where id = ${second.id}`;
    await queue.cancel(running);
    const events = [
      ...await eventsOf(db, first.id),
      ...await eventsOf(db, second.id),
    ];
    assertDocumented(events);
    const seen = new Set(events.map(({ event }) => event));
    for (
      const name of [
        "retry_requested",
        "settled",
        "completed",
        "unblocked",
        "cancel_requested",
        "cancelled",
      ]
    ) assert(seen.has(name), name);
    const settled = events.find(({ event }) => event === "settled");
    assertEquals(settled?.data["outcome"], undefined);
    assertEquals(documented.size, 15);
  });
});

Deno.test("ai_job_events: an event has the status, progress, stage, cause and next start of that moment", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.heartbeat(job, 30, "calling_provider");
    await queue.fail(job, { code: "provider_timeout", isRetryable: false });
    const [created, claimed, progress, failed] = await eventsOf(db, job.id);
    assertEquals(created?.data, { job_type: "voice_clone" });
    assertEquals(claimed, {
      seq: 2,
      event: "claimed",
      attempt: 1,
      data: { status: "processing", progress: 0, stage: "claimed" },
    });
    assertEquals(progress?.data, {
      status: "processing",
      progress: 30,
      stage: "calling_provider",
    });
    assertEquals(failed?.data, {
      status: "failed",
      progress: 30,
      stage: "calling_provider",
      error_code: "provider_timeout",
    });
  });
});

Deno.test("ai_job_events: a settled event has the outcome of its call, also when another one has succeeded", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const settle = async (step: string, outcome: string, id?: string) => {
      const call = await queue.begin(job, step);
      await queue.settle(job, call?.call_id ?? "", outcome, id ?? null);
      const event = (await eventsOf(db, job.id)).at(-1);
      return [event?.event, event?.data["outcome"]];
    };
    assertEquals(await settle("part:1", "succeeded", "o-1"), [
      "settled",
      "succeeded",
    ]);
    assertEquals(await settle("part:2", "unknown"), ["settled", "unknown"]);
    assertEquals(await settle("part:2", "adopted", "o-2"), [
      "settled",
      "adopted",
    ]);
    assertEquals(await settle("part:3", "rejected"), ["settled", "rejected"]);
    await queue.snooze(job);
    const last = (await eventsOf(db, job.id)).at(-1);
    assertEquals([last?.event, last?.data["outcome"]], ["snoozed", undefined]);
  });
});

Deno.test("ai_job_events: one statement over many jobs writes one event for each", async () => {
  await withQueue(async ({ db, queue }) => {
    const ids = await insertJobs(db, 50);
    await queue.claim(50);
    const rows = await db.sql<{ job_id: string; events: string }[]>`
      select job_id, string_agg(event || ' ' || seq, ', ' order by seq) as events
      from public.ai_job_events group by job_id`;
    assertEquals(rows.length, ids.length);
    for (const { events } of rows) assertEquals(events, "created 1, claimed 2");
  });
});

Deno.test("ai_jobs: an app inserts 5,000 jobs in one statement within its 8 seconds: 5,000 events, one dispatch", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    await db
      .sql`select vault.create_secret('https://project.example', 'project_url')`;
    await db.sql`select vault.create_secret(${`whsec_${
      btoa("x".repeat(32))
    }`}, 'dispatch_secret')`;

    const [inserted] = await db.asUser(userId, async (sql) => [
      await sql`
        insert into public.ai_jobs (job_type, input_url, metadata)
        select 'voice_clone', ${inputUrl}, jsonb_build_object('voice_name', 'Voice ' || n)
        from generate_series(1, 5000) as n`,
    ]);
    assertEquals(inserted?.count, 5000);

    const [row] = await db.sql<
      { events: number; jobs: number; dispatches: number }[]
    >`
      select count(*)::int as events, count(distinct job_id)::int as jobs,
        (select count(*)::int from net.http_request_queue) as dispatches
      from public.ai_job_events where event = 'created' and seq = 1`;
    assertEquals(row, { events: 5000, jobs: 5000, dispatches: 1 });
  });
});

Deno.test("ai_job_events: neither users nor the service write, change or remove an event", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const { id, user_id } = await insertCompletedJob(bench);
    const before = await eventsOf(db, id);
    const statements = {
      insert:
        `insert into public.ai_job_events (job_id, seq, user_id, event, attempt) values ('${id}', 99, '${user_id}', 'completed', 1)`,
      update: "update public.ai_job_events set event = 'failed'",
      delete: "delete from public.ai_job_events",
      truncate: "truncate public.ai_job_events",
    };
    for (const [name, statement] of Object.entries(statements)) {
      await t.step(name, async () => {
        const refusals = [
          await refusalOf(() =>
            db.asUser(user_id, (sql) => sql.unsafe(statement))
          ),
          await refusalOf(() => db.asService((sql) => sql.unsafe(statement))),
        ];
        assertEquals(refusals.map(({ code }) => code), ["42501", "42501"]);
      });
    }
    assertEquals(await eventsOf(db, id), before);
  });
});

Deno.test("ai_jobs: deleting a user deletes only that user's jobs, events, calls, voices, media and cache", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const leaving = await insertCompletedJob(bench);
    const staying = await insertCompletedJob(bench);
    for (const { id, user_id } of [leaving, staying]) {
      await db.sql`
        insert into public.ai_provider_calls (job_id, user_id, provider, operation, attempt)
        values (${id}, ${user_id}, 'elevenlabs', 'create_voice', 1)`;
      await db.sql`
        insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
        values (${user_id}, 'audio', ${`uploads/${user_id}/a.mp3`}, 'a.mp3', 'audio/mpeg', 1)`;
      await db.sql`
        insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
        values ('ai_job:' || encode(sha256(convert_to(${id}, 'UTF8')), 'hex'), ${user_id}, '{}', now() + interval '1 minute')`;
      await insertJob(db, { user_id, cached_from_job_id: id });
    }
    const tables = [
      "ai_jobs",
      "ai_job_events",
      "ai_provider_calls",
      "voices",
      "media",
      "ai_result_cache",
    ];
    const owners = async () => {
      const all: Record<string, string[]> = {};
      for (const table of tables) {
        const rows = await db.sql<
          { user_id: string }[]
        >`select distinct user_id from public.${
          db.sql(table)
        } order by user_id`;
        all[table] = rows.map((row) => row.user_id);
      }
      return all;
    };
    const both = [leaving.user_id, staying.user_id].sort();
    assertEquals(
      await owners(),
      Object.fromEntries(tables.map((table) => [table, both])),
    );

    await db.sql`delete from auth.users where id = ${leaving.user_id}`;

    assertEquals(
      await owners(),
      Object.fromEntries(tables.map((table) => [table, [staying.user_id]])),
    );
    assert((await eventsOf(db, staying.id)).length > 0);
  });
});
