/**
 * Replays the traces of the model (dev/model) in the real database: after each step row, journal and timeline must
 * equal the model's. Backdating rows advances the time.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import { Rules } from "../../dev/model/rules.ts";
import { start } from "../../dev/model/explore.ts";
import { isFinal, isOpen, type Job, jobOf } from "../../dev/model/state.ts";
import type { Configuration, Step } from "../../dev/model/system.ts";
import {
  coveringTraces,
  randomTraces,
  type Trace,
} from "../../dev/model/traces.ts";
import { CONFIGURATIONS } from "../../dev/model/configurations.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { beginCall, completeJob, settleCall } from "./_support/protocol.ts";

/** Longer than any test, so that time passes only where a trace advances it. */
const LEASE_SECONDS = 300;
const RECONCILE_SECONDS = 3600;
const BACKOFF_SECONDS = 3600;
const SNOOZE_SECONDS = 3600;

/** The model's state of a job, as the database stores it. */
interface Snapshot {
  status: string;
  attempt: number;
  max_attempts: number;
  is_due: boolean;
  is_lease_expired: boolean;
  is_cancel_requested: boolean;
  call: string;
  is_resolved: boolean;
  is_reconcile_over: boolean;
  spend: string;
  is_parked: boolean;
  has_ended: boolean;
  has_provider_id: boolean;
  billable_calls: number;
  voices: number;
  events: string[];
  numbers: number[];
}

/** The job that a worker of a trace has claimed. */
interface Slot {
  leaseToken: string;
  callId: string | null;
}

/** A replay: real rows for the model's jobs, real tokens for its workers. */
class Walk {
  readonly #db: TestDatabase;
  readonly #service: postgres.Sql;
  readonly #rules: Rules;
  readonly #ids: string[];
  readonly #userId: string;
  readonly #slots = new Map<number, Slot>();
  readonly #events: string[][];
  readonly #billable: number[];

  constructor(
    db: TestDatabase,
    service: postgres.Sql,
    rules: Rules,
    jobs: { ids: string[]; userId: string },
  ) {
    this.#db = db;
    this.#service = service;
    this.#rules = rules;
    this.#ids = jobs.ids;
    this.#userId = jobs.userId;
    this.#events = jobs.ids.map(() => ["created"]);
    this.#billable = jobs.ids.map(() => 0);
  }

  async take(step: Step): Promise<void> {
    if (step.event !== "") {
      this.#events[step.job]?.push(...step.event.split(" "));
    }
    // A repetition is the same call once more.
    if (step.event === "submitted" && !step.rule.startsWith("repeat")) {
      this.#billable[step.job] = (this.#billable[step.job] ?? 0) + 1;
    }
    await this.#perform(step);
    for (let job = 0; job < this.#ids.length; job++) {
      const expected = this.#expected(job, jobOf(step.next, job));
      assertEquals(await this.#snapshot(job), expected);
    }
  }

  /** Fails if the database can claim a job that the model cannot. */
  async tryForbiddenClaims(step: Step): Promise<void> {
    const allowed = new Set<number>();
    this.#rules.steps(step.next, ({ rule, job }) => {
      if (rule === "claim") allowed.add(job);
    });
    // In the model only a worker without a job claims; the database has no such limit.
    if (step.next.workers.every(({ point }) => point !== "idle")) return;
    const forbidden = this.#ids.filter((_, job) => !allowed.has(job));
    if (forbidden.length === 0) return;
    assertEquals(await this.#claim(forbidden), []);
  }

  #id(job: number): string {
    const id = this.#ids[job];
    assert(id !== undefined);
    return id;
  }

  async #claim(ids: string[]): Promise<{ id: string; lease_token: string }[]> {
    return [
      ...await this.#service<{ id: string; lease_token: string }[]>`
        select id, lease_token from public.claim_ai_jobs(p_limit => 1, p_job_ids => ${ids})`,
    ];
  }

  async #perform(step: Step): Promise<void> {
    const { rule, job, worker } = step;
    const id = this.#id(job);
    const [name = "", ...rest] = rule.split(": ");
    const outcome = rest.join(": ");
    switch (name) {
      case "claim": {
        const [claimed] = await this.#claim([id]);
        assert(claimed !== undefined, "the job could not be claimed");
        assertEquals(claimed.id, id);
        if (outcome === "") {
          this.#slots.set(worker, {
            leaseToken: claimed.lease_token,
            callId: null,
          });
        }
        return;
      }
      case "heartbeat": {
        const rows = await this.#service<{ is_cancel_requested: boolean }[]>`
          select is_cancel_requested from public.heartbeat_ai_jobs(
            jsonb_build_array(jsonb_build_object(
              'job_id', ${id}::text, 'lease_token', ${
          this.#token(worker)
        }::text, 'progress', null, 'stage', null
            ))
          )`;
        assertEquals(
          [...rows],
          outcome === "lease lost" ? [] : [{
            is_cancel_requested: jobOf(step.next, job).isCancelRequested,
          }],
        );
        return;
      }
      case "begin":
        if (outcome !== "not delivered") await this.#begin(id, worker, outcome);
        return;
      case "repeat":
        return await this.#begin(id, worker, outcome, {
          repeatWithinSeconds: 2 * RECONCILE_SECONDS,
        });
      case "settle":
        return await this.#settle(step, outcome);
      case "complete":
        return await this.#complete(step);
      case "fail":
      case "snooze":
      case "release":
      case "cancel":
        return await this.#end(step, name, outcome);
      case "rescue": {
        // Makes the intended job the first in the queue.
        await this.#db.sql`
          update public.ai_jobs set lease_expires_at = clock_timestamp() - interval '1 hour' where id = ${id}`;
        const rows = await this.#service<{ job_id: string; status: string }[]>`
          select job_id, status from public.rescue_stalled_ai_jobs(p_limit => 1)`;
        assertEquals([...rows], [{
          job_id: id,
          status: jobOf(step.next, job).status,
        }]);
        return;
      }
      case "owner":
        return await this.#request(id, outcome);
      case "operator": {
        if (outcome === "takes back the answer") {
          const [taken] = await this.#service<{ answer: boolean }[]>`
            select public.take_back_ai_job_answer(${id}) as answer`;
          assertEquals(taken?.answer, true);
          return;
        }
        const isCreated = outcome === "reports a creation";
        const [row] = await this.#service<{ answer: boolean }[]>`
          select public.resolve_unknown_ai_job(${id}, ${isCreated}, ${
          isCreated ? objectOf(id) : null
        }) as answer`;
        assertEquals(row?.answer, true);
        return;
      }
      case "time":
        return await this.#pass(id, outcome);
      // Rules that only concern a worker or the provider.
      case "send":
      case "provider":
      case "query":
      case "input":
      case "crash":
      case "shutdown":
      case "end":
        return;
      default:
        throw new Error(`the replay does not know the rule ${rule}`);
    }
  }

  #token(worker: number): string {
    return this.#slot(worker).leaseToken;
  }

  #slot(worker: number): Slot {
    const slot = this.#slots.get(worker);
    assert(slot !== undefined, `worker ${worker} has no job`);
    return slot;
  }

  async #begin(
    id: string,
    worker: number,
    outcome: string,
    options: { repeatWithinSeconds?: number } = {},
  ): Promise<void> {
    const row = await beginCall(this.#service, {
      id,
      lease_token: this.#token(worker),
    }, options);
    if (outcome === "lease lost") {
      assertEquals(row, undefined);
      return;
    }
    assert(row !== undefined, "the lease was lost");
    const [decision, ...rest] = outcome.replace(", response lost", "").split(
      ", ",
    );
    assertEquals(row.decision, decision);
    assertEquals(row.is_lookup_conclusive, rest.includes("conclusive"));
    this.#slot(worker).callId = row.call_id;
  }

  async #settle({ job, worker }: Step, outcome: string): Promise<void> {
    const id = this.#id(job);
    const { leaseToken, callId } = this.#slot(worker);
    const isLost = outcome === "lease lost";
    const written = isLost ? "unknown" : outcome.replace(", response lost", "");
    const isCreated = written === "succeeded" || written === "adopted";
    const isSettled = await settleCall(
      this.#service,
      { id, lease_token: leaseToken },
      callId,
      written,
      { objectId: isCreated ? objectOf(id) : null },
    );
    assertEquals(isSettled, !isLost);
  }

  async #complete({ rule, job, worker }: Step): Promise<void> {
    const id = this.#id(job);
    const voice = {
      kind: "voice",
      id: crypto.randomUUID(),
      provider_voice_id: objectOf(id),
      name: "Grandpa",
      stability: 0.5,
      similarity_boost: 0.75,
    };
    const [settled] = /(?<=settling )\w+/.exec(rule) ?? [];
    const { leaseToken, callId } = this.#slot(worker);
    const isCompleted = await completeJob(
      this.#service,
      { id, lease_token: leaseToken },
      {
        result: { voice_id: objectOf(id) },
        product: voice,
        ...(settled === undefined || callId === null ? {} : {
          call: { callId, objectId: objectOf(id), outcome: settled },
        }),
      },
    );
    assertEquals(isCompleted, rule !== "complete: lease lost");
  }

  async #end(step: Step, name: string, outcome: string): Promise<void> {
    const id = this.#id(step.job);
    const token = this.#token(step.worker);
    const sql = this.#service;
    const isPermanent = outcome === "permanent";
    const [row] =
      await (name === "fail"
        ? sql<{ answer: string | boolean | null }[]>`
        select public.fail_ai_job(
          p_job_id => ${id},
          p_lease_token => ${token},
          p_error_code => 'provider_unavailable',
          p_error_message => 'The AI provider did not answer properly.',
          p_is_retryable => ${!isPermanent}
        ) as answer`
        : name === "snooze"
        ? sql<{ answer: string | boolean | null }[]>`
        select public.snooze_ai_job(${id}, ${token}, ${SNOOZE_SECONDS}) as answer`
        : name === "release"
        ? sql<{ answer: string | boolean | null }[]>`
        select public.release_ai_job(${id}, ${token}) as answer`
        : sql<{ answer: string | boolean | null }[]>`
        select public.cancel_ai_job(${id}, ${token}) as answer`);
    if (name === "fail") {
      const { status } = jobOf(step.next, step.job);
      assertEquals(row?.answer, outcome === "lease lost" ? null : status);
    } else {
      const changesNothing = outcome === "lease lost" ||
        outcome === "not requested";
      assertEquals(row?.answer, !changesNothing);
    }
  }

  async #request(id: string, what: string): Promise<void> {
    await this.#db.asUser(this.#userId, async (sql) => {
      const { count } = what === "retries"
        ? await sql`
          update public.ai_jobs set retry_requested_at = now() where id = ${id}`
        : await sql`
          update public.ai_jobs set cancel_requested_at = now() where id = ${id}`;
      assertEquals(count, 1);
    });
  }

  async #pass(id: string, what: string): Promise<void> {
    const { sql } = this.#db;
    if (what === "maximum age exceeded") {
      await sql`
        update public.ai_provider_calls set sent_at = sent_at - interval '100 days' where job_id = ${id}`;
    }
    const { count } = what === "due"
      ? await sql`
        update public.ai_jobs set scheduled_at = clock_timestamp() where id = ${id} and status = 'pending'`
      : what === "lease expires"
      ? await sql`
        update public.ai_jobs set lease_expires_at = clock_timestamp() - interval '1 second'
        where id = ${id} and status = 'processing'`
      : what === "maximum age exceeded"
      ? await sql`
        update public.ai_jobs set
          created_at = created_at - interval '100 days', started_at = started_at - interval '100 days'
        where id = ${id}`
      : await sql`
        update public.ai_provider_calls
        set unknown_since = unknown_since - make_interval(secs => ${RECONCILE_SECONDS})
        where job_id = ${id} and outcome = 'unknown'`;
    assertEquals(count, 1);
  }

  #expected(job: number, row: Job): Snapshot {
    const events = this.#events[job] ?? [];
    return {
      status: row.status,
      attempt: row.attempt,
      max_attempts: row.maxAttempts,
      is_due: row.status === "pending" && row.isDue,
      is_lease_expired: row.isLeaseExpired,
      is_cancel_requested: row.isCancelRequested,
      call: row.call,
      is_resolved: row.isResolved,
      is_reconcile_over: row.isReconcileOver,
      spend: row.spend,
      is_parked: row.status === "failed" && isOpen(row.call),
      has_ended: isFinal(row.status),
      has_provider_id: row.call === "succeeded" || row.call === "adopted",
      billable_calls: this.#billable[job] ?? 0,
      voices: row.status === "completed" ? 1 : 0,
      events,
      numbers: events.map((_, index) => index + 1),
    };
  }

  async #snapshot(job: number): Promise<Snapshot> {
    const id = this.#id(job);
    const [row] = await this.#db.sql<Snapshot[]>`
      select
        j.status, j.attempt, j.max_attempts,
        j.status = 'pending' and j.scheduled_at <= clock_timestamp() as is_due,
        coalesce(j.lease_expires_at <= clock_timestamp(), false) as is_lease_expired,
        j.cancel_requested_at is not null as is_cancel_requested,
        coalesce(c.outcome, 'none') as call,
        coalesce(c.answered_at is not null, false) as is_resolved,
        coalesce(c.unknown_since <= clock_timestamp() - make_interval(secs => ${RECONCILE_SECONDS}), false)
          as is_reconcile_over,
        j.spend,
        j.status = 'failed' and j.error_code = 'outcome_unknown' as is_parked,
        j.completed_at is not null as has_ended,
        j.provider_job_id is not null as has_provider_id,
        j.billable_calls,
        (select count(*)::int from public.voices as v where v.job_id = j.id) as voices,
        (select array_agg(e.event order by e.seq) from public.ai_job_events as e where e.job_id = j.id) as events,
        (select array_agg(e.seq order by e.seq) from public.ai_job_events as e where e.job_id = j.id) as numbers
      from public.ai_jobs as j
      left join lateral (
        select p.outcome, p.unknown_since, p.answered_at
        from public.ai_provider_calls as p where p.job_id = j.id order by p.sent_at desc limit 1
      ) as c on true
      where j.id = ${id}`;
    assert(row !== undefined);
    // A plain object, because postgres.js gives its rows their own class.
    return { ...row };
  }
}

function objectOf(jobId: string): string {
  return `voice-of-${jobId}`;
}

/**
 * Replays all traces of a configuration in its own database; each trace has new jobs of a new user.
 *
 * @param corrupt changes the database before the first step.
 */
async function walkAll(
  configuration: Configuration,
  tracesOf: (rules: Rules) => Trace[],
  corrupt: (sql: postgres.Sql) => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const rules = new Rules(configuration);
  await withDatabase(async (db) => {
    await corrupt(db.sql);
    await db.sql`
      update public.ai_job_types set
        max_attempts = ${configuration.maxAttempts}, lease_seconds = ${LEASE_SECONDS},
        reconcile_seconds = ${RECONCILE_SECONDS},
        backoff_base_seconds = ${BACKOFF_SECONDS}, backoff_max_seconds = ${BACKOFF_SECONDS}
      where job_type = 'voice_clone'`;
    // The model has no breaker.
    await db.sql`
      update public.ai_providers set max_concurrent = ${configuration.cap}, breaker_threshold = null where provider = 'elevenlabs'`;
    const [service] = await db.connections(1, "service_role");
    assert(service !== undefined);
    for (const trace of tracesOf(rules)) {
      await walk(db, service, rules, trace);
    }
  });
}

async function walk(
  db: TestDatabase,
  service: postgres.Sql,
  rules: Rules,
  trace: Trace,
): Promise<void> {
  const { id: userId } = await db.createUser();
  const inputUrl = await db.putObject({
    bucket: "voice-samples",
    path: `${userId}/sample.mp3`,
    mimetype: "audio/mpeg",
    size: 240_000,
  });
  const ids: string[] = [];
  for (const _ of start(rules).jobs) {
    const [job] = await db.sql<{ id: string }[]>`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      values (${userId}, 'voice_clone', ${inputUrl}, '{"voice_name": "Grandpa"}') returning id`;
    assert(job !== undefined);
    ids.push(job.id);
  }
  const steps = new Walk(db, service, rules, { ids, userId });
  const names: string[] = [];
  try {
    for (const step of trace) {
      names.push(`${step.rule} (job ${step.job}, worker ${step.worker})`);
      await steps.take(step);
      await steps.tryForbiddenClaims(step);
    }
  } catch (error) {
    throw new Error(`after\n  ${names.join("\n  ")}`, { cause: error });
  }
  // Frees its slots for the next trace.
  await db.sql`delete from public.ai_jobs where user_id = ${userId}`;
}

for (
  const name of [
    "expiry",
    "allFaults",
    "crashes",
    "crashesAndCancel",
    "idempotencyKey",
  ] as const
) {
  Deno.test(`model: in Postgres, every rule of the configuration '${name}' has the model's result`, async () => {
    await walkAll(CONFIGURATIONS[name], coveringTraces);
  });
}

Deno.test("model: random walks with one job lead to the same rows, journal and timeline in Postgres", async () => {
  await walkAll(
    CONFIGURATIONS.allFaults,
    (rules) => randomTraces(rules, { seed: 20261122, count: 40, length: 40 }),
  );
});

Deno.test("model: random walks with two jobs and two workers lead to the same in Postgres, caps included", async () => {
  await walkAll(
    CONFIGURATIONS.crashes,
    (rules) => randomTraces(rules, { seed: 20261122, count: 20, length: 40 }),
  );
});

/** Rewrites a function of the database; fails when it does not have that text. */
function rewrite(name: string, from: string, to: string) {
  return async (sql: postgres.Sql) => {
    const [row] = await sql<{ definition: string }[]>`
      select pg_get_functiondef(${name}::regproc) as definition`;
    const definition = row?.definition ?? "";
    assert(definition.includes(from), `${name} has no ${from}`);
    await sql.unsafe(definition.replaceAll(from, to));
  };
}

const CORRUPTIONS: Record<string, (sql: postgres.Sql) => Promise<unknown>> = {
  "snooze takes any token": rewrite(
    "public.snooze_ai_job",
    "and j.lease_token = p_lease_token",
    "",
  ),
  "rescue returns no attempt": rewrite(
    "public.rescue_stalled_ai_jobs",
    "attempt = j.attempt - ",
    "attempt = j.attempt - 0 * ",
  ),
  "an empty query counts immediately": rewrite(
    "private.begin_leased_calls",
    "secs => t.reconcile_seconds",
    "secs => 0",
  ),
  "a release is forgotten in the timeline": rewrite(
    "public.release_ai_job",
    "event_seq = j.event_seq + 1,",
    "",
  ),
  "a call is left as sent": rewrite(
    "private.mark_open_calls_unknown",
    "set outcome = 'unknown'",
    "set outcome = 'sent'",
  ),
  "a cancelled job waits": (sql) =>
    sql`alter table public.ai_jobs disable trigger ai_jobs_finish_instead_of_requeue`,
};

for (const [what, corrupt] of Object.entries(CORRUPTIONS)) {
  Deno.test(`model: twin: the replay notices a database in which ${what}`, async () => {
    await assertRejects(
      () => walkAll(CONFIGURATIONS.expiry, coveringTraces, corrupt),
      Error,
      "after\n",
    );
  });
}
