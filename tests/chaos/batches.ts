/**
 * Batch points: a fault in a call that carries several jobs, after the database has committed it and before the worker has
 * the response.
 */
import { CONTINUE } from "./fault-proxy.ts";
import { type JobEnd, jobEnds } from "./job-ends.ts";
import { type Fault, POINT_TIMEOUT_SECONDS, untilIdle } from "./points.ts";
import { pause, type Rig, until } from "./rig.ts";
import { type Subject, SUBJECTS } from "./subjects.ts";
import type { ChaosWorker } from "./workers.ts";

/** A call that carries several jobs. */
type BatchCall = keyof typeof PLANS;

/** A fault, and the batched call whose response it hits. */
export interface BatchPoint {
  call: BatchCall;
  fault: Fault;
}

/** How the jobs of one worker ended. */
export interface BatchVisit {
  point: BatchPoint;
  /** Jobs in the call with the fault; 0 when no call had enough. */
  batch: number;
  jobs: JobEnd[];
}

/** Jobs that a call must carry to get its fault. */
export const MIN_JOBS = 3;

/** Jobs of each worker: the first call may carry one of them alone, the next the others. */
const JOBS = 6;

/**
 * For each call: the types of the worker's jobs, repeated; and the request that each job makes right before the call. Once
 * `before` was seen for every job that `isCountedFor` accepts, all of them are about to make the call.
 */
const PLANS = {
  begin_provider_calls: {
    types: ["voice_clone", "text_to_speech"],
    before: /^storage\.download$/,
    isCountedFor: (type: string) => type === "voice_clone",
  },
  settle_provider_calls: {
    types: ["text_to_speech", "avatar_video at d-id"],
    before: /^(speech|talks\.create)$/,
    isCountedFor: () => true,
  },
  complete_ai_jobs: {
    // With five clones there are three left when the first call carries two. A speech reaches the call much later.
    types: [...Array<string>(5).fill("voice_clone"), "text_to_speech"],
    before: /^voices\.add$/,
    isCountedFor: (type: string) => type === "voice_clone",
  },
} as const;

/** Time for the worker to make its next calls after the last of these requests was answered. A busy machine needs more. */
export const IDLE_MS = 150;

/** For a bounded run. */
export const FEW_BATCH_POINTS: readonly BatchPoint[] = [
  { call: "begin_provider_calls", fault: "kill" },
  { call: "begin_provider_calls", fault: "cut" },
  { call: "begin_provider_calls", fault: "stall" },
  { call: "settle_provider_calls", fault: "kill" },
  { call: "settle_provider_calls", fault: "cut" },
  { call: "complete_ai_jobs", fault: "kill" },
  { call: "complete_ai_jobs", fault: "cut" },
];
/** Every call with every fault. */
export const ALL_BATCH_POINTS: readonly BatchPoint[] = [
  ...FEW_BATCH_POINTS,
  { call: "settle_provider_calls", fault: "stall" },
  { call: "complete_ai_jobs", fault: "stall" },
];

/** The point as text for tables and problems. */
export const nameOfBatchPoint = ({ call, fault }: BatchPoint) =>
  `${fault} at a batch of ${call}`;

function subjectsOf({ call }: BatchPoint): Subject[] {
  const { types } = PLANS[call];
  return Array.from({ length: JOBS }, (_, index) => {
    const name = types[index % types.length];
    const subject = SUBJECTS.find((subject) => subject.name === name);
    if (subject === undefined) throw new Error(`there is no ${name}`);
    return subject;
  });
}

/** One worker and the progress of its jobs towards the point. */
class Run {
  readonly ids: string[] = [];
  batch = 0;
  readonly #seen = { before: 0 };
  readonly #awaited: number;

  constructor(
    readonly worker: ChaosWorker,
    readonly point: BatchPoint,
    readonly idleMs: number,
  ) {
    const { isCountedFor } = PLANS[point.call];
    this.#awaited =
      subjectsOf(point).filter(({ name }) => isCountedFor(name)).length;
  }

  note(call: string): void {
    if (PLANS[this.point.call].before.test(call)) this.#seen.before++;
  }

  /** Waits, while a call with too few jobs is held, until the other jobs are about to make it: the next carries them all. */
  async gather(): Promise<void> {
    await until(
      () =>
        !this.worker.isAlive ||
        this.worker.jobs.length >= JOBS &&
          this.#seen.before >= this.#awaited,
      POINT_TIMEOUT_SECONDS,
    );
    await pause(this.idleMs);
  }
}

/**
 * Visits batch points at the same time, each with a worker and six jobs of three owners and two types. After all faults a
 * healthy worker finishes the jobs, and stalled workers resume.
 *
 * @param idleMs how long a call with too few jobs is held after the other jobs were seen right before it.
 */
export async function visitBatches(
  rig: Rig,
  points: readonly BatchPoint[],
  idleMs: number,
): Promise<BatchVisit[]> {
  const runs = await Promise.all(
    points.map(async (point) =>
      new Run(await rig.workers.start({ concurrency: JOBS }), point, idleMs)
    ),
  );
  let isLoaded = false;
  rig.watch = async (worker, { call, phase, answer }) => {
    const run = runs.find((run) => run.worker === worker);
    if (run === undefined || run.batch > 0 || phase !== "answered") {
      return CONTINUE;
    }
    run.note(call);
    if (call !== run.point.call) return CONTINUE;
    // An earlier fault would leave jobs that the other workers claim instead of their own.
    await until(() => isLoaded, POINT_TIMEOUT_SECONDS * 2);
    const jobs = rowsIn(answer);
    if (jobs < MIN_JOBS) {
      await run.gather();
      return CONTINUE;
    }
    run.batch = jobs;
    if (run.point.fault === "stall") {
      worker.suspend();
      return CONTINUE;
    }
    if (run.point.fault === "kill") await worker.kill();
    return "cut";
  };
  await rig.holdLeases();
  for (const run of runs) {
    rig.deliverTo(run.worker);
    for (const subject of subjectsOf(run.point)) {
      run.ids.push(...await rig.insert(subject));
    }
    await until(() => run.worker.jobs.length >= JOBS, POINT_TIMEOUT_SECONDS);
  }
  isLoaded = true;
  await until(
    () => runs.every(({ batch }) => batch > 0),
    POINT_TIMEOUT_SECONDS,
  );
  await rig.expireLeases(
    runs.filter(({ worker, batch, point }) =>
      worker.isAlive && (batch === 0 || point.fault === "cut")
    ).map(({ worker }) => worker),
  );
  await rig.heal();
  await rig.untilHealed(POINT_TIMEOUT_SECONDS * 2);
  await rig.setLease();
  for (const { worker, point } of runs) {
    if (point.fault === "stall") worker.resume();
  }
  const workers = runs.map(({ worker }) => worker);
  await untilIdle(workers);
  await Promise.all(workers.map((worker) => worker.kill()));
  rig.watch = () => CONTINUE;
  return await Promise.all(runs.map(async ({ point, batch, ids }) => ({
    point,
    batch,
    jobs: await jobEnds(rig, ids),
  })));
}

function rowsIn(answer: string | undefined): number {
  try {
    const rows: unknown = JSON.parse(answer ?? "");
    return Array.isArray(rows) ? rows.length : 0;
  } catch {
    return 0;
  }
}
