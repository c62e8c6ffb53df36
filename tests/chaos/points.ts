/**
 * Crash points: every moment of every request of a run. They are recorded in a run without faults; then each is visited by
 * a worker that is killed, suspended or disconnected there.
 */
import { wasInterrupted } from "./choices.ts";
import type { Moment, Phase } from "./fault-proxy.ts";
import { pause, type Rig, until } from "./rig.ts";
import { type Subject, VOICE_CLONE } from "./subjects.ts";
import type { ChaosWorker } from "./workers.ts";

/** What happens to the worker at a point. */
export type Fault =
  /** SIGKILL. */
  | "kill"
  /** SIGSTOP, and SIGCONT once another worker has finished the job. */
  | "stall"
  /** The connection breaks on both sides; the worker lives. */
  | "cut";

/** A fault, and the moment at which it is injected. */
export interface Point {
  call: string;
  nth: number;
  phase: Phase;
  fault: Fault;
}

/** How the job ended that a worker was running at a point. */
export interface Visit {
  point: Point;
  isReached: boolean;
  status: string;
  errorCode: string | null;
  attempts: number;
  creations: number;
  /** Billable creations of a complete run. */
  steps: number;
  spend: string;
}

/** Reached only when a run fails. */
export const POINT_TIMEOUT_SECONDS = 90;
/** A point that its worker has not reached by then counts as missed, and is visited again. */
const MISSED_AFTER_SECONDS = 30;
/** Tries to record a run without faults. On a busy machine a lease may expire. */
const RECORDING_TRIES = 5;
/** Interval at which to check whether a point can still be reached. */
const MISSED_CHECK_SECONDS = 0.5;

/** The point as text for tables and problems. */
export function nameOfPoint({ call, nth, phase, fault }: Point): string {
  return `${fault} at ${call}${nth === 1 ? "" : ` ${nth}`}, ${phase}`;
}

/**
 * The moments of a run without faults, each once. With `after`, the moments of the run that recovers a job whose worker
 * had that fault.
 *
 * @throws when every try was disturbed, for example by an expired lease.
 */
export async function findMoments(
  rig: Rig,
  subject: Subject = VOICE_CLONE,
  after?: Point,
): Promise<Moment[]> {
  for (let tries = 1;; tries++) {
    const { moments, isUndisturbed } = await runOnce(rig, subject, after);
    if (isUndisturbed) {
      return moments.filter(({ call, nth }) => isInEveryRun(call, nth));
    }
    if (tries === RECORDING_TRIES) {
      throw new Error(
        `${subject.name}: each of ${RECORDING_TRIES} recorded runs was disturbed`,
      );
    }
  }
}

/** Records one run. `isUndisturbed`: every other run has the same moments. */
async function runOnce(
  rig: Rig,
  subject: Subject,
  after: Point | undefined,
): Promise<{ moments: Moment[]; isUndisturbed: boolean }> {
  const moments = new Map<string, Moment>();
  const { slug } = subject;
  const worker = await rig.workers.start({ slug, concurrency: 1 });
  let ids: string[] = [];
  if (after === undefined) {
    await rig.holdLeases();
    rig.deliverTo(worker);
    ids = await rig.insert(subject);
  } else {
    const first = await rig.workers.start({ slug, concurrency: 1 });
    const armed = arm(rig, new Map([[first, after]]));
    rig.deliverTo(first);
    await rig.insert(subject);
    if (await until(armed.isOver, POINT_TIMEOUT_SECONDS)) {
      await rig.holdLeases();
    }
    rig.deliverTo(worker);
  }
  rig.watch = (one, moment) => {
    if (one === worker) {
      moments.set(`${moment.call} ${moment.nth} ${moment.phase}`, moment);
    }
    return "continue";
  };
  await untilSettledOrStuck(rig, worker);
  // The worker then claims again, or wakes another isolate.
  await until(
    () =>
      worker.calls.some((call) =>
        /^(claim_ai_jobs|poll_ai_jobs|wake_ai_job)/.test(call)
      ),
    5,
  );
  await worker.kill();
  await rig.setLease();
  rig.watch = () => "continue";
  const { events } = await rig.facts();
  return {
    moments: [...moments.values()],
    isUndisturbed: ![...moments.values()].some(isExtraPoll) &&
      !wasInterrupted(ids, events),
  };
}

/**
 * Resolves once no job waits or runs.
 *
 * @throws when jobs are left and the worker has made no call for POINT_TIMEOUT_SECONDS.
 */
async function untilSettledOrStuck(
  rig: Rig,
  worker: ChaosWorker,
): Promise<void> {
  for (let before = -1; before !== worker.calls.length;) {
    before = worker.calls.length;
    if (await rig.untilSettled(POINT_TIMEOUT_SECONDS) === 0) return;
  }
  throw new Error("a run without faults does not end");
}

/** Whether every run makes the call, however long it takes. */
function isInEveryRun(call: string, nth: number): boolean {
  // Only a run of half a second has a heartbeat.
  if (/^heartbeat/.test(call)) return false;
  // Only a worker that two dispatches reach at the same time polls.
  if (call === "poll_ai_jobs") return false;
  return !/^claim/.test(call) || nth === 1;
}

/** Whether the call polls a render once more than needed. The number of such polls depends on timing. */
function isExtraPoll({ call, nth }: Moment): boolean {
  return call === "snooze_ai_job" && nth > 1;
}

/** Injects each worker's fault when it reaches its point. */
function arm(rig: Rig, points: ReadonlyMap<ChaosWorker, Point>) {
  /** Each worker with the job that it was running, if any. */
  const reached = new Map<ChaosWorker, string | undefined>();
  rig.watch = async (worker, moment) => {
    const point = points.get(worker);
    if (point === undefined || reached.has(worker)) return "continue";
    if (
      moment.call !== point.call || moment.nth !== point.nth ||
      moment.phase !== point.phase
    ) return "continue";
    reached.set(worker, worker.jobs.at(-1));
    if (point.fault === "stall") {
      worker.suspend();
      return "continue";
    }
    if (point.fault === "kill") await worker.kill();
    return "cut";
  };
  return { reached, isOver: () => reached.size === points.size };
}

/**
 * Sends deliveries to workers that have neither a job nor their fault yet. When all have a job, it sends them to workers
 * without their fault, if jobs may be delivered more than once.
 */
function deliverToFree(
  rig: Rig,
  subject: Subject,
  workers: readonly ChaosWorker[],
  reached: ReadonlyMap<ChaosWorker, unknown>,
): void {
  let turn = 0;
  rig.deliveries.route = (delivery) => {
    const left = workers.filter((worker) =>
      worker.isAlive && worker.slug === delivery.slug && !reached.has(worker)
    );
    const fresh = left.filter((worker) => worker.jobs.length === 0);
    const free = fresh.length === 0 && subject.hasSeveralClaims ? left : fresh;
    const next = free[turn++ % Math.max(1, free.length)];
    return next === undefined ? "lost" : { origins: [next.origin] };
  };
}

/** Starts `count` workers for a subject, each for one job at a time. */
export function startVisitors(
  rig: Rig,
  count: number,
  { slug }: Subject,
): Promise<ChaosWorker[]> {
  return Promise.all(
    Array.from(
      { length: count },
      () => rig.workers.start({ slug, concurrency: 1 }),
    ),
  );
}

/**
 * Visits points at the same time, each with a worker and a job. After all faults a healthy worker finishes the jobs, and
 * stalled workers resume. Resolves when no job is left and no worker makes calls.
 *
 * @param visitors new workers, one for each point.
 * @param after a fault of earlier workers, one for each job, so that the visitors recover these jobs.
 */
export async function visitPoints(
  rig: Rig,
  points: readonly Point[],
  visitors: readonly ChaosWorker[],
  subject: Subject = VOICE_CLONE,
  after?: Point,
): Promise<Visit[]> {
  const ids: string[] = [];
  const insert = async () => {
    const [first] = await rig.insert(subject);
    if (first !== undefined) ids.push(first);
  };
  if (after !== undefined) {
    const first = await startVisitors(rig, points.length, subject);
    const armed = arm(rig, new Map(first.map((worker) => [worker, after])));
    deliverToFree(rig, subject, first, armed.reached);
    for (const _ of points) await insert();
    await until(armed.isOver, POINT_TIMEOUT_SECONDS);
    await Promise.all(first.map((worker) => worker.kill()));
  }
  const places = new Map<ChaosWorker, Point>();
  points.forEach((point, index) => {
    const worker = visitors[index];
    if (worker === undefined) throw new Error("there are too few visitors");
    places.set(worker, point);
  });
  const { reached } = arm(rig, places);
  deliverToFree(rig, subject, visitors, reached);
  if (after === undefined) {
    for (const _ of points) await insert();
  }
  await untilReachedOrMissed(rig, visitors, reached, subject);
  if (reached.size === places.size) await rig.holdLeases();
  await rig.heal(subject.slug);
  await rig.untilHealed(POINT_TIMEOUT_SECONDS * 2);
  await rig.setLease();
  for (const [worker, { fault }] of places) {
    if (fault === "stall") worker.resume();
  }
  await untilIdle(visitors);
  await Promise.all(visitors.map((worker) => worker.kill()));
  rig.watch = () => "continue";
  return await visitsOf(rig, places, reached, ids);
}

/**
 * Resolves once every visitor has reached its point or cannot reach it any more, because its jobs have ended and it gets
 * no other; at the latest after MISSED_AFTER_SECONDS.
 */
async function untilReachedOrMissed(
  rig: Rig,
  visitors: readonly ChaosWorker[],
  reached: ReadonlyMap<ChaosWorker, unknown>,
  { hasSeveralClaims }: Subject,
): Promise<void> {
  const notReached = () => visitors.filter((worker) => !reached.has(worker));
  const deadline = performance.now() + MISSED_AFTER_SECONDS * 1000;
  while (notReached().length > 0 && performance.now() < deadline) {
    await until(() => notReached().length === 0, MISSED_CHECK_SECONDS);
    const left = notReached();
    if (hasSeveralClaims || left.some(({ jobs }) => jobs.length === 0)) {
      continue;
    }
    const ids = left.flatMap(({ jobs }) => jobs);
    if (await haveEnded(rig, ids)) return;
  }
}

/** Whether jobs have ended; false while Postgres is unavailable. */
async function haveEnded(rig: Rig, ids: readonly string[]): Promise<boolean> {
  try {
    const { rows } = await rig.database.query(
      "select id from public.ai_jobs where id = any($1) and status in ('pending', 'processing')",
      [ids],
    );
    return rows.length === 0;
  } catch {
    return false;
  }
}

/** Resolves once no worker has made a call for a second. A resumed worker makes its calls without a delay. */
export async function untilIdle(
  workers: readonly ChaosWorker[],
): Promise<void> {
  const calls = () =>
    workers.reduce(
      (sum, worker) => sum + (worker.isAlive ? worker.calls.length : 0),
      0,
    );
  for (let before = -1; before !== calls();) {
    before = calls();
    await pause(1000);
  }
}

async function visitsOf(
  rig: Rig,
  places: ReadonlyMap<ChaosWorker, Point>,
  reached: ReadonlyMap<ChaosWorker, string | undefined>,
  ids: readonly string[],
): Promise<Visit[]> {
  const { jobs, creations } = await rig.facts();
  const known = new Map(
    [...places.keys()].map((worker) => [
      worker,
      reached.get(worker) ?? worker.jobs[0],
    ]),
  );
  // A worker without a known job lost its claim or the response. Its job is one that no worker is known to have, or a
  // second one.
  const reportedJobs = new Set([...places.keys()].flatMap(({ jobs }) => jobs));
  const counted = new Set(known.values());
  const left = ids.filter((id) => !counted.has(id)).sort((one, other) =>
    Number(reportedJobs.has(other)) - Number(reportedJobs.has(one))
  );
  return [...places].map(([worker, point]) => {
    const id = known.get(worker) ?? left.pop();
    const job = jobs.find((job) => job.id === id);
    return {
      point,
      isReached: reached.has(worker),
      status: job?.status ?? "unknown",
      errorCode: job?.error_code ?? null,
      attempts: job?.attempt ?? 0,
      creations: creations.filter(({ marker }) => marker === id).length,
      steps: rig.stepsOf(id ?? ""),
      spend: job?.spend ?? "unknown",
    };
  });
}
