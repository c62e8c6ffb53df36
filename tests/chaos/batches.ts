/**
 * Batch points: a worker is struck in a call that carries several jobs, after the database has committed it and before
 * any of them has its answer.
 */
import { CONTINUE } from "./fault-proxy.ts";
import { type Blow, PATIENCE_SECONDS, untilQuiet } from "./points.ts";
import { pause, type Rig, until } from "./rig.ts";
import { type Subject, SUBJECTS } from "./subjects.ts";
import type { ChaosWorker } from "./workers.ts";

/** A call that carries several jobs. */
type BatchCall = keyof typeof PLANS;

/** What happens to a worker that has the answer of a batch before it. */
export interface BatchPoint {
  call: BatchCall;
  blow: Blow;
}

/** What became of the jobs of one worker. */
export interface BatchVisit {
  point: BatchPoint;
  /** Jobs in the call that was struck; 0 when no call had enough. */
  batch: number;
  jobs: {
    id: string;
    status: string;
    errorCode: string | null;
    creations: number;
    steps: number;
  }[];
}

/** Jobs that a struck call must carry. */
export const LEAST_JOBS = 3;

/** Jobs of each worker: enough that one travels alone and the others together. */
const JOBS = 6;

/**
 * The jobs of a worker, in turn, for a batch of each call; and the requests that come right before it, by which one knows
 * that the other jobs are about to make the call too.
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
    types: ["voice_clone", "voice_clone", "text_to_speech"],
    before: /^voices\.add$/,
    isCountedFor: (type: string) => type === "voice_clone",
  },
} as const;

/** After the last of these requests was answered, for the worker to make its next ones. */
const SETTLE_DOWN_MS = 150;

/** A choice that takes little time; and all of them. */
export const FEW_BATCH_POINTS: readonly BatchPoint[] = [
  { call: "begin_provider_calls", blow: "kill" },
  { call: "begin_provider_calls", blow: "cut" },
  { call: "begin_provider_calls", blow: "stall" },
  { call: "settle_provider_calls", blow: "kill" },
  { call: "settle_provider_calls", blow: "cut" },
  { call: "complete_ai_jobs", blow: "kill" },
  { call: "complete_ai_jobs", blow: "cut" },
];
export const ALL_BATCH_POINTS: readonly BatchPoint[] = [
  ...FEW_BATCH_POINTS,
  { call: "settle_provider_calls", blow: "stall" },
  { call: "complete_ai_jobs", blow: "stall" },
];

/** A batch point in words. */
export const nameOfBatchPoint = ({ call, blow }: BatchPoint) =>
  `${blow} at a batch of ${call}`;

function subjectsOf({ call }: BatchPoint): Subject[] {
  const { types } = PLANS[call];
  return Array.from({ length: JOBS }, (_, index) => {
    const name = types[index % types.length];
    const subject = SUBJECTS.find((subject) => subject.name === name);
    if (subject === undefined) throw new Error(`there is no ${name}`);
    return subject;
  });
}

/** One worker on its way to its point. */
class Way {
  readonly ids: string[] = [];
  batch = 0;
  readonly #seen = { before: 0 };
  readonly #awaited: number;

  constructor(readonly worker: ChaosWorker, readonly point: BatchPoint) {
    const { isCountedFor } = PLANS[point.call];
    this.#awaited =
      subjectsOf(point).filter(({ name }) => isCountedFor(name)).length;
  }

  note(call: string): void {
    if (PLANS[this.point.call].before.test(call)) this.#seen.before++;
  }

  /** Holds a call that carries too few jobs until the others are about to make it: they travel together in the next. */
  async gather(): Promise<void> {
    await until(
      () =>
        !this.worker.isAlive ||
        this.worker.jobs.length >= JOBS &&
          this.#seen.before >= this.#awaited,
      PATIENCE_SECONDS,
    );
    await pause(SETTLE_DOWN_MS);
  }
}

/**
 * Visits batch points, all at the same time, each with its own worker and six jobs of three owners and of two types. When
 * all have had their blow, a healer takes over; then stalled workers wake up.
 */
export async function visitBatches(
  rig: Rig,
  points: readonly BatchPoint[],
): Promise<BatchVisit[]> {
  const ways = await Promise.all(
    points.map(async (point) =>
      new Way(await rig.workers.start({ concurrency: JOBS }), point)
    ),
  );
  let isLoaded = false;
  rig.watch = async (worker, { call, phase, answer }) => {
    const way = ways.find((way) => way.worker === worker);
    if (way === undefined || way.batch > 0 || phase !== "answered") {
      return CONTINUE;
    }
    way.note(call);
    if (call !== way.point.call) return CONTINUE;
    // A worker that is struck earlier leaves jobs that the others would claim instead of their own.
    await until(() => isLoaded, PATIENCE_SECONDS * 2);
    const jobs = rowsIn(answer);
    if (jobs < LEAST_JOBS) {
      await way.gather();
      return CONTINUE;
    }
    way.batch = jobs;
    if (way.point.blow === "stall") {
      worker.stop();
      return CONTINUE;
    }
    if (way.point.blow === "kill") await worker.kill();
    return "cut";
  };
  for (const way of ways) {
    rig.deliverTo(way.worker);
    for (const subject of subjectsOf(way.point)) {
      way.ids.push(...await rig.insert(subject));
    }
    await until(() => way.worker.jobs.length >= JOBS, PATIENCE_SECONDS);
  }
  isLoaded = true;
  await until(() => ways.every(({ batch }) => batch > 0), PATIENCE_SECONDS);
  await rig.heal();
  await rig.untilSettled(PATIENCE_SECONDS * 2);
  for (const { worker, point } of ways) {
    if (point.blow === "stall") worker.goOn();
  }
  const workers = ways.map(({ worker }) => worker);
  await untilQuiet(workers);
  await Promise.all(workers.map((worker) => worker.kill()));
  rig.watch = () => CONTINUE;
  const { jobs, creations } = await rig.facts();
  return ways.map(({ point, batch, ids }) => ({
    point,
    batch,
    jobs: ids.map((id) => {
      const job = jobs.find((job) => job.id === id);
      return {
        id,
        status: job?.status ?? "unknown",
        errorCode: job?.error_code ?? null,
        creations: creations.filter(({ marker }) => marker === id).length,
        steps: rig.stepsOf(id),
      };
    }),
  }));
}

function rowsIn(answer: string | undefined): number {
  try {
    const rows: unknown = JSON.parse(answer ?? "");
    return Array.isArray(rows) ? rows.length : 0;
  } catch {
    return 0;
  }
}
