/**
 * Crash points: every moment of every request of a run, found by counting the requests of a run in which nothing happens,
 * and then visited one after the other: the worker is killed there, stopped there, or cut off there.
 */
import { hadMishap } from "./choices.ts";
import type { Moment, Phase } from "./fault-proxy.ts";
import { pause, type Rig, until } from "./rig.ts";
import { type Subject, VOICE_CLONE } from "./subjects.ts";
import type { ChaosWorker } from "./workers.ts";

/** What happens to the worker at a point. */
export type Blow =
  /** SIGKILL. */
  | "kill"
  /** SIGSTOP, and SIGCONT once another worker has finished the job. */
  | "stall"
  /** The connection breaks on both sides; the worker lives. */
  | "cut";

/** Where it happens. */
export interface Point {
  call: string;
  nth: number;
  phase: Phase;
  blow: Blow;
}

/** What became of the job that a worker had in hand at a point. */
export interface Visit {
  point: Point;
  /** False: the run never came there. */
  isReached: boolean;
  status: string;
  errorCode: string | null;
  attempts: number;
  creations: number;
  /** How many a whole run has. */
  steps: number;
  spend: string;
}

/** How long an armed worker may take to come to its point. */
export const PATIENCE_SECONDS = 30;
/** How often a run in which nothing goes wrong is tried, on a machine so busy that leases run out by themselves. */
const CALM_TRIES = 5;
/** How often it is checked whether a point can still be reached. */
const MISSED_CHECK_SECONDS = 0.5;

/** A point in words. */
export function nameOfPoint({ call, nth, phase, blow }: Point): string {
  return `${blow} at ${call}${nth === 1 ? "" : ` ${nth}`}, ${phase}`;
}

/**
 * The moments of a run in which nothing goes wrong, each once; with `after`, of the run that repairs what a worker left
 * that was killed there.
 */
export async function findMoments(
  rig: Rig,
  subject: Subject = VOICE_CLONE,
  after?: Point,
): Promise<Moment[]> {
  for (let tries = 1;; tries++) {
    const { moments, isCalm } = await runOnce(rig, subject, after);
    if (isCalm) {
      return moments.filter(({ call, nth }) => isCertain(call, nth));
    }
    if (tries === CALM_TRIES) {
      throw new Error(`${subject.name}: no run without a further fault`);
    }
  }
}

/** The moments of one run, and whether it is certain that every other run has them. */
async function runOnce(
  rig: Rig,
  subject: Subject,
  after: Point | undefined,
): Promise<{ moments: Moment[]; isCalm: boolean }> {
  const moments = new Map<string, Moment>();
  const { slug } = subject;
  const worker = await rig.workers.start({ slug, concurrency: 1 });
  let ids: string[] = [];
  if (after === undefined) {
    rig.deliverTo(worker);
    ids = await rig.insert(subject);
  } else {
    const first = await rig.workers.start({ slug, concurrency: 1 });
    const armed = arm(rig, new Map([[first, after]]));
    rig.deliverTo(first);
    await rig.insert(subject);
    await until(armed.isOver, PATIENCE_SECONDS);
    rig.deliverTo(worker);
  }
  rig.watch = (one, moment) => {
    if (one === worker) {
      moments.set(`${moment.call} ${moment.nth} ${moment.phase}`, moment);
    }
    return "go on";
  };
  await untilSettledOrStuck(rig, worker);
  // It looks for more work once it is done, or has another isolate do so; a heartbeat or a claim more or less is a matter of time.
  await until(
    () =>
      worker.calls.some((call) => /^(claim_ai_jobs|wake_ai_job)/.test(call)),
    5,
  );
  await worker.kill();
  rig.watch = () => "go on";
  const { events } = await rig.facts();
  return {
    moments: [...moments.values()],
    isCalm: ![...moments.values()].some(isExtraLook) &&
      !hadMishap(ids, events),
  };
}

/**
 * Resolves once no job waits or runs.
 *
 * @throws when the worker has called nothing for so long that it never will.
 */
async function untilSettledOrStuck(
  rig: Rig,
  worker: ChaosWorker,
): Promise<void> {
  for (let before = -1; before !== worker.calls.length;) {
    before = worker.calls.length;
    if (await rig.untilSettled(PATIENCE_SECONDS) === 0) return;
  }
  throw new Error("a run without a further fault does not end");
}

/** Whether every run comes to the call, and not only one that takes longer. */
function isCertain(call: string, nth: number): boolean {
  // A run that takes half a second has a heartbeat.
  if (/^heartbeat/.test(call)) return false;
  return !/^claim/.test(call) || nth === 1;
}

/** A look at a render that came too early: how many there are is a matter of time. */
function isExtraLook({ call, nth }: Moment): boolean {
  return call === "snooze_ai_job" && nth > 1;
}

/** Lets every worker have its blow when it comes to its point. */
function arm(rig: Rig, points: ReadonlyMap<ChaosWorker, Point>) {
  /** With the job that each had in hand then, if it had any. */
  const reached = new Map<ChaosWorker, string | undefined>();
  rig.watch = async (worker, moment) => {
    const point = points.get(worker);
    if (point === undefined || reached.has(worker)) return "go on";
    if (
      moment.call !== point.call || moment.nth !== point.nth ||
      moment.phase !== point.phase
    ) return "go on";
    reached.set(worker, worker.jobs.at(-1));
    if (point.blow === "stall") {
      worker.stop();
      return "go on";
    }
    if (point.blow === "kill") await worker.kill();
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

/** Starts so many workers of a subject for one job at a time. */
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
 * Visits points, all at the same time: each has its own worker with one job. When all have had their fault, a healer
 * takes over; then stalled workers wake up. Resolves when no job is left and nobody calls anything any more.
 *
 * @param visitors as many as points, fresh.
 * @param after a blow that other workers have before, each with one of the jobs, so that the visitors repair.
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
    await until(armed.isOver, PATIENCE_SECONDS);
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
  await rig.heal(subject.slug);
  await rig.untilSettled(PATIENCE_SECONDS * 2);
  for (const [worker, { blow }] of places) if (blow === "stall") worker.goOn();
  await untilQuiet(visitors);
  await Promise.all(visitors.map((worker) => worker.kill()));
  rig.watch = () => "go on";
  return await tell(rig, places, reached, ids);
}

/**
 * Resolves once every visitor has come to its point, or cannot any more: the jobs that it was given have ended, and it
 * gets no other. At the latest after the patience for one point.
 */
async function untilReachedOrMissed(
  rig: Rig,
  visitors: readonly ChaosWorker[],
  reached: ReadonlyMap<ChaosWorker, unknown>,
  { hasSeveralClaims }: Subject,
): Promise<void> {
  const onTheirWay = () => visitors.filter((worker) => !reached.has(worker));
  const deadline = performance.now() + PATIENCE_SECONDS * 1000;
  while (onTheirWay().length > 0 && performance.now() < deadline) {
    await until(() => onTheirWay().length === 0, MISSED_CHECK_SECONDS);
    const left = onTheirWay();
    if (hasSeveralClaims || left.some(({ jobs }) => jobs.length === 0)) {
      continue;
    }
    const ids = left.flatMap(({ jobs }) => jobs);
    if (await areOver(rig, ids)) return;
  }
}

/** Whether jobs have ended. Postgres may be unavailable for a moment, which says nothing of them. */
async function areOver(rig: Rig, ids: readonly string[]): Promise<boolean> {
  try {
    const [row] = await rig.sql<{ left: number }[]>`
      select count(*)::int as left from public.ai_jobs
      where id = any(${ids}) and status in ('pending', 'processing')`;
    return row?.left === 0;
  } catch {
    return false;
  }
}

/** Nobody has called anything for a second: what a worker does after its awakening it does at once. */
export async function untilQuiet(
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

async function tell(
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
  // A worker without a known job lost its claim or the response. Its job is one that no worker knows of, or a second one.
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
