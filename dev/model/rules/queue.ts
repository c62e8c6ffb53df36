/** The functions of the queue: claim, heartbeat, the ends of an attempt, and the sweep. */
import {
  type Call,
  endWorker,
  IDLE,
  isInCall,
  isOpen,
  type Job,
  jobOf,
  type Point,
  type State,
  withJob,
  withPoint,
  withWorker,
  workerOf,
} from "../state.ts";
import type { Emit, Model } from "../system.ts";

/** The next point of a worker that learns of a cancellation; at other points it finishes its current step. */
const CANCELLED_AT: Partial<Record<Point, Point>> = {
  claimed: "cancelling",
  sending: "rejectedCancelled",
  awaitingResponse: "responseLostCancelled",
  resending: "responseLostCancelled",
  awaitingRepeat: "responseLostCancelled",
  repeating: "queryingCancelled",
  rejected: "rejectedCancelled",
  throttled: "rejectedCancelled",
  responseLost: "responseLostCancelled",
  querying: "queryingCancelled",
  queryingFinal: "queryingFinalCancelled",
  failing: "cancelling",
  failingPermanently: "cancelling",
  snoozing: "cancelling",
};

const END_NAMES: Partial<Record<Point, string>> = {
  failing: "fail",
  failingPermanently: "fail",
  snoozing: "snooze",
  releasing: "release",
  cancelling: "cancel",
};

/** The steps of `claim_ai_jobs`. */
export function claim(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const running = state.jobs.filter(({ status }) => status === "processing");
  const hasRoom = running.length < model.configuration.cap ||
    model.is("claim ignores the cap");
  state.jobs.forEach((row, job) => {
    const isWaiting = row.status === "pending" && row.isDue &&
      row.attempt < row.maxAttempts;
    const isTaken = model.is("claim takes leased jobs") &&
      row.status === "processing" && row.attempt < row.maxAttempts;
    if (!(isWaiting && hasRoom) && !isTaken) return;
    const claimed = withJob(state, job, {
      status: "processing",
      attempt: row.attempt +
        (model.is("claim counts no attempt") ? 0 : 1),
      isDue: false,
      isLeaseExpired: false,
    });
    const step = { job, worker, event: "claimed" };
    emit({
      ...step,
      rule: "claim",
      cause: "engine",
      next: withWorker(claimed, worker, {
        point: "claimed",
        job,
        isOwner: true,
      }),
    });
    if (!model.may("claim response lost")) return;
    emit({
      ...step,
      rule: "claim: response lost",
      cause: "fault",
      next: claimed,
    });
  });
}

/** Whether the database accepts the writes of a worker: its lease token is that of the job. */
export function holdsLease(
  model: Model,
  state: State,
  worker: number,
): boolean {
  return workerOf(state, worker).isOwner ||
    model.is("writes carry no lease token");
}

/** The steps of `heartbeat_ai_jobs`, only where it changes something, and the worker's own lease timer. */
export function heartbeat(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const { point, job } = workerOf(state, worker);
  const row = jobOf(state, job);
  const step = { cause: "engine", job, worker, event: "" } as const;
  if (!holdsLease(model, state, worker)) {
    const continues =
      model.is("a worker without a lease continues its request") &&
      isInCall(point);
    if (continues) return;
    emit({
      ...step,
      rule: "heartbeat: lease lost",
      next: endWorker(state, worker),
    });
    return;
  }
  const renewed = row.isLeaseExpired
    ? withJob(state, job, { isLeaseExpired: false })
    : state;
  const cancelledAt = row.isCancelRequested ? CANCELLED_AT[point] : undefined;
  if (cancelledAt !== undefined) {
    const stopped = withPoint(renewed, worker, cancelledAt);
    emit({
      ...step,
      rule: `heartbeat: cancelled at ${point}`,
      next: isInCall(point)
        ? withJob(stopped, job, {
          abandonedRequests: row.abandonedRequests + 1,
        })
        : stopped,
    });
  } else if (renewed !== state) {
    emit({ ...step, rule: "heartbeat", next: renewed });
  }
}

/** The steps of `fail_ai_job`, `snooze_ai_job`, `release_ai_job` and `cancel_ai_job`. */
export function end(
  model: Model,
  state: State,
  worker: number,
  point: Point,
  emit: Emit,
): void {
  const { job } = workerOf(state, worker);
  const row = jobOf(state, job);
  const name = END_NAMES[point] ?? point;
  const emitStep = (rule: string, next: State, event = "") =>
    emit({
      rule: `${name}${rule}`,
      cause: "engine",
      job,
      worker,
      event,
      next: withWorker(next, worker, IDLE),
    });
  if (!holdsLease(model, state, worker)) {
    emitStep(": lease lost", state);
    return;
  }
  const attemptReturned = row.attempt -
    (model.is("snooze uses up the attempt") ? 0 : 1);
  switch (point) {
    case "failing": {
      if (row.attempt >= row.maxAttempts) {
        const { next, event } = leaveProcessing(model, state, job, {
          status: "failed",
        }, "failed");
        emitStep(": attempts used up", next, event);
        return;
      }
      const { next, event, how } = leaveProcessing(model, state, job, {
        status: "pending",
        isDue: false,
      }, "retried");
      emitStep(`: ${how}`, next, event);
      return;
    }
    case "failingPermanently": {
      const { next, event } = leaveProcessing(model, state, job, {
        status: "failed",
      }, "failed");
      emitStep(": permanent", next, event);
      return;
    }
    case "snoozing": {
      const { next, event, how } = leaveProcessing(model, state, job, {
        status: "pending",
        attempt: attemptReturned,
        isDue: false,
      }, "snoozed");
      emitStep(`: ${how}`, next, event);
      return;
    }
    case "releasing": {
      const { next, event, how } = leaveProcessing(model, state, job, {
        status: "pending",
        attempt: row.attempt - 1,
        isDue: true,
      }, "released");
      emitStep(`: ${how}`, next, event);
      return;
    }
    default: {
      if (!row.isCancelRequested) {
        emitStep(": not requested", state);
        return;
      }
      const { next, event } = leaveProcessing(model, state, job, {
        status: "cancelled",
      }, "cancelled");
      emitStep("", next, event);
    }
  }
}

/**
 * Consequences of leaving `processing`: the lease ends, a call without a response gets an unknown outcome, a cancelled or
 * expired job ends instead of waiting, and a cancelled one does not fail.
 */
export function leaveProcessing(
  model: Model,
  state: State,
  job: number,
  changes: Partial<Job>,
  event: string,
): { next: State; event: string; how: string } {
  const row = jobOf(state, job);
  const isUnsettled = row.call === "sent" &&
    !model.is("the end of a run leaves its call as sent");
  const isCancelled = row.isCancelRequested &&
    (changes.status === "pending" &&
        !model.is("requeueing ignores a cancellation") ||
      changes.status === "failed" &&
        !model.is("failing ignores a cancellation"));
  // What was paid for late, after an outage or a pause, still gets its time.
  const isTooOld = changes.status === "pending" && row.isExpired &&
    !(row.isCallRecent && mayHaveMade(row.call)) && !isCancelled &&
    !model.is("requeueing ignores the maximum age");
  const next = withJob(state, job, {
    isLeaseExpired: false,
    ...changes,
    ...(isUnsettled ? { call: "unknown" as const } : {}),
    ...(isCancelled ? { status: "cancelled" as const, isDue: false } : {}),
    ...(isTooOld ? { status: "failed" as const, isDue: false } : {}),
  });
  return {
    next: {
      ...next,
      workers: next.workers.map((worker) =>
        worker.job === job && worker.isOwner
          ? { ...worker, isOwner: false }
          : worker
      ),
    },
    event: isCancelled ? "cancelled" : isTooOld ? "failed" : event,
    how: isCancelled ? "cancelled" : isTooOld ? "too old" : event,
  };
}

/** Whether the call has, or may have, created something. */
function mayHaveMade(call: Call): boolean {
  return isOpen(call) || call === "succeeded" || call === "adopted";
}

/** The steps of `rescue_stalled_ai_jobs`. */
export function sweep(
  model: Model,
  state: State,
  job: number,
  emit: Emit,
): void {
  const row = jobOf(state, job);
  const isStalled = row.status === "processing" &&
    (row.isLeaseExpired || model.is("rescue takes a valid lease"));
  if (!isStalled || model.is("there is no sweep")) return;
  const isLast = row.attempt >= row.maxAttempts;
  const diedInCall = row.call === "sent";
  const isPaid = row.call === "succeeded" || row.call === "adopted";
  const getsExtraAttempt = isLast && (diedInCall || isPaid);
  const waits = !isLast || getsExtraAttempt ||
    model.is("rescue leaves the last attempt waiting");
  const { next, event, how } = leaveProcessing(
    model,
    state,
    job,
    waits
      ? {
        status: "pending",
        attempt: row.attempt - (getsExtraAttempt ? 1 : 0),
        isDue: row.attempt <= 1 || diedInCall,
      }
      : { status: "failed" },
    waits ? "rescued" : "failed",
  );
  emit({
    rule: `rescue: ${
      event === "failed" && isOpen(row.call)
        ? `parked, ${how}`
        : how !== "rescued"
        ? how
        : !getsExtraAttempt
        ? "rescued"
        : diedInCall
        ? "extra attempt, to query"
        : "extra attempt, to finish"
    }`,
    cause: "engine",
    job,
    worker: -1,
    event,
    next,
  });
}
