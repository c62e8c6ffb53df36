/** The test rig: a stack, users with uploads, workers behind fault proxies, the routing of deliveries, and the audit. */
import { z } from "zod";
import {
  LONG_ANSWER_MS,
  Sessions,
} from "../../dev/stack/extensions/sessions.ts";
import { type Stack, startStack } from "../../dev/stack/stack.ts";
import { putVaultSecrets } from "../../dev/stack/extensions/supabase_vault/secrets.ts";
import { signUp } from "../_support/as-user.ts";
import { simulatorControl } from "../_support/simulator-control.ts";
import {
  audit,
  type Facts,
  type Finding,
  readFacts,
  type Sample,
  sampleSchema,
} from "./audit.ts";
import { type Deliveries, receiveDeliveries } from "./deliveries.ts";
import type { Moment, Verdict } from "./fault-proxy.ts";
import { makeProject, SLUG, type WorkerSlug } from "./project.ts";
import {
  type NewJob,
  type Owner,
  prepareOwner,
  type Subject,
  VOICE_CLONE,
} from "./subjects.ts";
import { type ChaosWorker, Workers } from "./workers.ts";

/** Times of every job type: short, so that a rescue takes seconds. */
const POLICY = {
  lease_seconds: 4,
  reconcile_seconds: 2,
  backoff_base_seconds: 1,
  backoff_max_seconds: 2,
};
/** Long enough for a job on a machine so busy that a worker cannot send a heartbeat for seconds. */
const LEASE_WITHOUT_FAULTS_SECONDS = 300;
const RENDER_MS = 600;
const SAMPLE_EVERY_MS = 100;
const SKIP_WAITS_EVERY_MS = 500;
/** By then Postgres has completed a request of a worker that has ended; longer than DB_STATEMENT_TIMEOUT of the workers. */
const LAST_WRITE_SECONDS = 5;
/** A worker claims nothing in the second half of its life, see ISOLATE_WALL_CLOCK. */
const HEALTHY_WORKER_AGE_MS = 120_000;

/** A running rig. */
export class Rig implements AsyncDisposable {
  readonly stack: Stack;
  readonly deliveries: Deliveries;
  readonly workers: Workers;
  /** As the owner of the tables. Storms do not end these sessions. */
  readonly database: Sessions;
  /** As the superuser. */
  readonly admin: Sessions;
  readonly simulator: ReturnType<typeof simulatorControl>;
  /** The verdict for every moment of every request. */
  watch: (
    worker: ChaosWorker,
    moment: Moment,
  ) => Verdict | Promise<Verdict> = () => "continue";
  #samples: Sample[][] = [];
  #capsSince = new Date(0);
  readonly #users: Owner[] = [];
  /** Jobs that the provider's ledger identifies by another text than their id. */
  readonly #idByMarker = new Map<string, string>();
  readonly #steps = new Map<string, number>();
  readonly #parts: AsyncDisposableStack;
  #jobs = 0;
  #healthyWorker: { worker: ChaosWorker; startedAt: number } | undefined;

  private constructor(
    parts: AsyncDisposableStack,
    stack: Stack,
    deliveries: Deliveries,
  ) {
    this.#parts = parts;
    this.stack = stack;
    this.deliveries = deliveries;
    this.simulator = simulatorControl(stack.simulatorUrl);
    this.workers = new Workers(
      stack,
      (worker, moment) => this.watch(worker, moment),
    );
    this.database = new Sessions(stack.dbUrl, "chaos", {
      max: 3,
      answerMs: LONG_ANSWER_MS,
    });
    this.admin = new Sessions(stack.adminDbUrl, "chaos", {
      answerMs: LONG_ANSWER_MS,
    });
  }

  /** Starts the stack with `users` owners, each with the uploads that jobs need. */
  static async start(users: number): Promise<Rig> {
    await using parts = new AsyncDisposableStack();
    const project = parts.use(await makeProject());
    const deliveries = receiveDeliveries();
    parts.defer(() => deliveries.close());
    const stack = parts.use(
      await startStack({ projectDir: project.dir, ephemeral: true }),
    );
    await putVaultSecrets(stack.dbUrl, { project_url: deliveries.url });
    const rig = new Rig(parts.move(), stack, deliveries);
    try {
      await rig.#prepare(users);
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
    return rig;
  }

  async #prepare(users: number): Promise<void> {
    await this.database.query(
      `update public.ai_job_types
      set lease_seconds = $1, reconcile_seconds = $2, backoff_base_seconds = $3, backoff_max_seconds = $4`,
      [
        POLICY.lease_seconds,
        POLICY.reconcile_seconds,
        POLICY.backoff_base_seconds,
        POLICY.backoff_max_seconds,
      ],
    );
    await this.database.query(
      "update public.ai_limits set max_active_jobs = 1000, max_jobs_per_day = 100000 where user_id is null",
    );
    // The poll right after the submission finds the render unfinished, every later one finds it done.
    for (const provider of ["d-id", "heygen"] as const) {
      await this.simulator.set({ render_ms: RENDER_MS }, provider);
    }
    for (let index = 0; index < users; index++) {
      this.#users.push(await prepareOwner(await signUp(this.stack)));
    }
    this.#startBackgroundLoops();
  }

  /** Sets the lease of the claims that follow, by default to its initial value. */
  async setLease(seconds = POLICY.lease_seconds): Promise<void> {
    await this.database.query(
      "update public.ai_job_types set lease_seconds = $1",
      [seconds],
    );
  }

  /**
   * Lets no claim that follows expire until {@link setLease} is called, so that a busy machine alone interrupts no job.
   * Jobs of workers to which a fault happens later need {@link expireLeases}.
   */
  async holdLeases(): Promise<void> {
    await this.setLease(LEASE_WITHOUT_FAULTS_SECONDS);
  }

  /**
   * Backdates the leases of all running jobs except those of the given workers, so that the next sweep rescues them. With
   * `idleSeconds`, only of those that no write has changed for so long.
   */
  async expireLeases(
    except: readonly ChaosWorker[],
    idleSeconds = 0,
  ): Promise<void> {
    await this.database.query(
      `update public.ai_jobs set lease_expires_at = clock_timestamp()
       where status = 'processing' and id <> all($1::uuid[])
         and updated_at <= clock_timestamp() - make_interval(secs => $2)`,
      [except.flatMap(({ jobs }) => jobs), idleSeconds],
    );
  }

  /** Sets the caps of each provider and user. Call it only while no job runs. */
  async setCaps(ofProvider: number, ofUser: number): Promise<void> {
    await this.database.query(
      "update public.ai_providers set max_concurrent = $1",
      [ofProvider],
    );
    await this.database.query(
      "update public.ai_limits set max_concurrent_jobs = $1 where user_id is null",
      [ofUser],
    );
    const { rows: [row] } = await this.database.query(
      "select clock_timestamp() as now",
    );
    this.#capsSince = z.date().parse(row?.now);
    this.#samples = [];
  }

  /** Inserts a voice clone as its owner and returns its id. */
  async insertJob(userIndex?: number): Promise<string> {
    const [id] = await this.insert(VOICE_CLONE, userIndex);
    if (id === undefined) throw new Error("no job was inserted");
    return id;
  }

  /**
   * Inserts the jobs of one visit as their owner, through the Data API, and returns their ids. An insert whose response was
   * lost is repeated under its idempotency key, which creates no second job.
   */
  async insert(subject: Subject, userIndex = this.#jobs): Promise<string[]> {
    const owner = this.#users[userIndex % this.#users.length];
    if (owner === undefined) throw new Error("there are no users");
    const number = ++this.#jobs;
    const ids: string[] = [];
    for (const { row, marker, steps } of subject.jobs(owner, number)) {
      const before = ids.at(-1);
      const id = await this.#insertRow(owner, {
        ...row,
        idempotency_key: `visit-${number}-${ids.length}`,
        ...(before === undefined ? {} : { depends_on_job_id: before }),
      });
      ids.push(id);
      this.#steps.set(id, steps);
      if (marker !== undefined) this.#idByMarker.set(marker, id);
    }
    return ids;
  }

  /** Billable creations of a complete run of the job. */
  stepsOf(jobId: string): number {
    return this.#steps.get(jobId) ?? 1;
  }

  async #insertRow(
    owner: Owner,
    row: NewJob["row"] & {
      idempotency_key: string;
      depends_on_job_id?: string;
    },
  ): Promise<string> {
    for (let tries = 0;; tries++) {
      const { data, error } = await owner.user.client.from("ai_jobs").insert(
        row,
      ).select("id").abortSignal(AbortSignal.timeout(5000)).single();
      if (error === null) return data.id;
      // The earlier insert was committed; the hint is its id.
      if (error.code === "AJ032") return error.hint;
      if (tries === 40) throw error;
      await pause(250);
    }
  }

  /** Cancels a job as its owner does. Does nothing if the job has ended. */
  async cancelJob(id: string): Promise<void> {
    for (const { user } of this.#users) {
      await user.client.from("ai_jobs").update({
        cancel_requested_at: new Date().toISOString(),
      }).eq("id", id).abortSignal(AbortSignal.timeout(5000));
    }
  }

  /** Routes every delivery to these workers in turn, without those that have ended. */
  deliverTo(...workers: ChaosWorker[]): void {
    let turn = 0;
    this.deliveries.route = (delivery) => {
      const alive = workers.filter(({ isAlive, slug }) =>
        isAlive && slug === delivery.slug
      );
      const next = alive[turn++ % Math.max(1, alive.length)];
      return next === undefined ? "lost" : { origins: [next.origin] };
    };
  }

  /** Routes every delivery for a function to a worker without faults that is young enough to claim. */
  async heal(slug: WorkerSlug = SLUG): Promise<void> {
    const known = this.#healthyWorker;
    const isFit = known !== undefined && known.worker.isAlive &&
      known.worker.slug === slug &&
      performance.now() - known.startedAt < HEALTHY_WORKER_AGE_MS;
    if (!isFit) {
      const worker = await this.workers.start({ slug, concurrency: 10 });
      this.#healthyWorker = { worker, startedAt: performance.now() };
    }
    const { worker } = this.#healthyWorker ?? {};
    if (worker !== undefined) this.deliverTo(worker);
    // The sweep rescues the jobs of the old one.
    if (!isFit) await known?.worker.kill();
  }

  /** Samples the running jobs ten times a second; and makes waiting jobs due, to save time. */
  #startBackgroundLoops(): void {
    let isOver = false;
    const every = async (ms: number, work: () => Promise<unknown>) => {
      while (!isOver) {
        try {
          await work();
        } catch {
          // Postgres is restarting after an injected crash.
        }
        await pause(ms);
      }
    };
    const running = [
      every(SAMPLE_EVERY_MS, async () => {
        const { rows } = await this.database.query(
          `select provider, user_id, count(*)::int as running
          from public.ai_jobs where status = 'processing' group by provider, user_id`,
        );
        this.#samples.push(z.array(sampleSchema).parse(rows));
      }),
      every(SKIP_WAITS_EVERY_MS, async () => {
        await this.database.query(
          `update public.ai_jobs set scheduled_at = clock_timestamp()
          where status = 'pending' and scheduled_at > clock_timestamp()`,
        );
      }),
    ];
    this.#parts.defer(async () => {
      isOver = true;
      await Promise.all(running);
    });
  }

  /**
   * Resolves once no job waits or runs, or after `seconds`.
   *
   * @returns how many still do.
   */
  async untilSettled(seconds: number): Promise<number> {
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      const left = await this.#unsettled();
      if (left === 0 || performance.now() > deadline) return left;
      await pause(SAMPLE_EVERY_MS);
    }
  }

  /**
   * The same while a healthy worker runs the jobs, perhaps under leases of {@link holdLeases}. A worker that has ended may
   * keep such a lease, because Postgres completes its last request afterwards: those leases expire. So does, after
   * `seconds`, that of a claim whose response was lost; the jobs then wait once more, for a worker that is young enough to
   * claim.
   */
  async untilHealed(seconds: number): Promise<number> {
    const deadline = performance.now() + seconds * 1000;
    while (performance.now() < deadline) {
      if (await this.untilSettled(LAST_WRITE_SECONDS) === 0) return 0;
      try {
        await this.expireLeases(this.workers.running, LAST_WRITE_SECONDS);
      } catch {
        // Postgres is restarting after an injected crash.
      }
    }
    await this.setLease();
    await this.expireLeases([]);
    await this.heal(this.#healthyWorker?.worker.slug);
    return await this.untilSettled(seconds);
  }

  /** The rows, timelines and calls of waiting and running jobs, with caps, schedules and sessions, as JSON for the output. */
  async describeUnfinished(): Promise<string> {
    const { rows: [row] } = await this.database.query(`
      select jsonb_build_object(
        'now', clock_timestamp(),
        'jobs', (
          select jsonb_agg(to_jsonb(j) || jsonb_build_object(
            'events', (
              select jsonb_agg(jsonb_build_array(e.seq, e.event, e.created_at) order by e.seq)
              from public.ai_job_events as e where e.job_id = j.id
            ),
            'calls', (
              select jsonb_agg(to_jsonb(c)) from public.ai_provider_calls as c where c.job_id = j.id
            )
          ))
          from public.ai_jobs as j where j.status in ('pending', 'processing')
        ),
        'providers', (select jsonb_agg(to_jsonb(s)) from private.ai_provider_states as s),
        'limits', (select jsonb_agg(to_jsonb(l)) from public.ai_limits as l),
        'sweeps', (select jsonb_agg(to_jsonb(r)) from private.ai_schedule_runs as r),
        'queued dispatches', (select count(*) from net.http_request_queue),
        'cron', (
          select jsonb_agg(to_jsonb(d)) from (
            select * from cron.job_run_details order by start_time desc limit 5
          ) as d
        ),
        'activity', (
          select jsonb_agg(jsonb_build_array(a.application_name, a.state, a.wait_event, a.xact_start, left(a.query, 120)))
          from pg_stat_activity as a where a.backend_type = 'client backend'
        )
      ) as found`);
    return JSON.stringify(row?.found, null, 1);
  }

  async #unsettled(): Promise<number> {
    try {
      const { rows } = await this.database.query(
        "select id from public.ai_jobs where status in ('pending', 'processing')",
      );
      return rows.length;
    } catch {
      return Infinity;
    }
  }

  /** The current facts about all jobs since the start. */
  async facts(): Promise<Facts> {
    return await readFacts(this.database, {
      creations: (await this.simulator.creations()).map((creation) => ({
        ...creation,
        marker: this.#idByMarker.get(creation.marker ?? "") ?? creation.marker,
        // Each part of a speech is a separate step, identified by its text.
        operation: `${creation.operation} ${creation.request.text ?? ""}`
          .trim(),
      })),
      capsSince: this.#capsSince,
      samples: this.#samples,
    });
  }

  /** Audits all jobs since the start. */
  async audit(): Promise<{ facts: Facts; findings: Finding[] }> {
    const facts = await this.facts();
    return { facts, findings: audit(facts) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.workers[Symbol.asyncDispose]();
    await this.#parts.disposeAsync();
    await Promise.all([
      this.database[Symbol.asyncDispose](),
      this.admin[Symbol.asyncDispose](),
    ]);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Resolves with true once `isTrue` returns true, or with false after `seconds`. */
export async function until(
  isTrue: () => boolean,
  seconds: number,
): Promise<boolean> {
  const deadline = performance.now() + seconds * 1000;
  while (!isTrue()) {
    if (performance.now() > deadline) return false;
    await pause(20);
  }
  return true;
}
