/**
 * Poll points: a fault in a poll of a busy worker, while inserts rely on it and send no dispatch. No job may be lost with
 * the worker.
 */
import { CONTINUE, type Phase, type Verdict } from "./fault-proxy.ts";
import { type JobEnd, jobEnds } from "./job-ends.ts";
import { type Fault, POINT_TIMEOUT_SECONDS, untilIdle } from "./points.ts";
import { pause, type Rig, until } from "./rig.ts";

/** A fault, and the moment of a poll at which it is injected. */
export interface PollPoint {
  /** Jobs rely on the first poll, which finds nothing. The second is the last one and claims them. */
  nth: 1 | 2;
  phase: Extract<Phase, "headers" | "answered">;
  fault: Fault;
}

/** How the jobs of a point ended. */
export interface PollVisit {
  point: PollPoint;
  isReached: boolean;
  /** Deliveries while the jobs were inserted that rely on the poll. */
  deliveries: number;
  jobs: JobEnd[];
}

const FAULTS = ["kill", "cut", "stall"] as const;

/** For a bounded run. */
export const FEW_POLL_POINTS: readonly PollPoint[] = FAULTS.map((fault) => ({
  nth: 1,
  phase: "answered",
  fault,
}));
/** Both polls with every fault, before and after they are committed. */
export const ALL_POLL_POINTS: readonly PollPoint[] = [
  ...FEW_POLL_POINTS,
  ...FAULTS.flatMap((fault): PollPoint[] => [
    { nth: 2, phase: "headers", fault },
    { nth: 2, phase: "answered", fault },
  ]),
];

/** The point as text for tables and problems. */
export const nameOfPollPoint = ({ nth, phase, fault }: PollPoint) =>
  `${fault} at poll_ai_jobs ${nth}, ${phase}`;

/** Jobs whose dispatches overlap, so that the worker polls. */
const FIRST_JOBS = 2;
/** Jobs that are inserted while it polls. */
const LATER_JOBS = 3;

/** Has a worker poll, inserts jobs that rely on it, and injects the fault. A healthy worker then finishes the jobs. */
export async function visitPoll(
  rig: Rig,
  point: PollPoint,
): Promise<PollVisit> {
  const worker = await rig.workers.start({
    concurrency: FIRST_JOBS + LATER_JOBS,
  });
  let claims = 0;
  let answeredClaims = 0;
  let isPolling = false;
  let areInserted = false;
  let isReached = false;
  rig.watch = async (one, { call, nth, phase }): Promise<Verdict> => {
    if (one !== worker) return CONTINUE;
    if (call === "claim_dispatched_ai_jobs" && phase === "headers") {
      claims++;
      await until(() => claims > 1, POINT_TIMEOUT_SECONDS);
    }
    if (call === "claim_dispatched_ai_jobs" && phase === "answered") {
      answeredClaims++;
    }
    if (call !== "poll_ai_jobs" || isReached) return CONTINUE;
    if (nth === 1 && phase === "answered") {
      isPolling = true;
      await until(() => areInserted, POINT_TIMEOUT_SECONDS);
    }
    if (nth !== point.nth || phase !== point.phase) return CONTINUE;
    isReached = true;
    if (point.fault === "stall") {
      worker.suspend();
      return CONTINUE;
    }
    if (point.fault === "kill") await worker.kill();
    return "cut";
  };
  await rig.holdLeases();
  const ids = await overlappingDispatches(rig, () => rig.deliverTo(worker));
  await until(() => isPolling, POINT_TIMEOUT_SECONDS);
  // While the claim of a dispatch runs, inserts send dispatches: that claim may no longer find their jobs.
  await until(() => answeredClaims === claims, POINT_TIMEOUT_SECONDS);
  await rig.stack.cron.pause();
  let deliveries = 0;
  rig.deliveries.route = () => {
    deliveries++;
    return "lost";
  };
  // However long the inserts take, they rely on the poll.
  await rig.database.query(
    "update private.expected_claims set expected_at = 'infinity' where is_poll",
  );
  for (let n = 0; n < LATER_JOBS; n++) ids.push(await rig.insertJob());
  const sent = deliveries;
  await rig.database.query(
    "update private.expected_claims set expected_at = clock_timestamp() where is_poll",
  );
  // Their leases are longer than those of a project, so a worker must not be suspended while it runs them.
  await untilCompleted(rig, ids.slice(0, FIRST_JOBS));
  await rig.setLease();
  areInserted = true;
  await until(() => isReached, POINT_TIMEOUT_SECONDS);
  rig.stack.cron.resume();
  await rig.expireLeases([]);
  await rig.heal();
  await rig.untilHealed(POINT_TIMEOUT_SECONDS * 2);
  if (point.fault === "stall") worker.resume();
  await untilIdle([worker]);
  await worker.kill();
  rig.watch = () => CONTINUE;
  return {
    point,
    isReached,
    deliveries: sent,
    jobs: await jobEnds(rig, ids),
  };
}

async function untilCompleted(
  rig: Rig,
  ids: readonly string[],
): Promise<void> {
  const deadline = performance.now() + POINT_TIMEOUT_SECONDS * 1000;
  for (;;) {
    const { jobs } = await rig.facts();
    const left = jobs.filter(({ id, status }) =>
      ids.includes(id) && status !== "completed"
    );
    if (left.length === 0 || performance.now() > deadline) return;
    await pause(50);
  }
}

/** Inserts jobs and has pg_net send two dispatches of them at the same time. */
async function overlappingDispatches(
  rig: Rig,
  deliver: () => void,
): Promise<string[]> {
  await rig.stack.net.pause();
  const ids: string[] = [];
  for (let n = 0; n < FIRST_JOBS; n++) ids.push(await rig.insertJob());
  await rig.database.query("truncate private.expected_claims");
  await rig.admin.query("truncate net.http_request_queue");
  await rig.database.query(
    "select private.dispatch_ai_jobs(array[id]) from unnest($1::uuid[]) as id",
    [ids],
  );
  deliver();
  rig.stack.net.resume();
  return ids;
}
