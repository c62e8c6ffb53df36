/** The passing of time, in the database and at the provider. */
import {
  isInCall,
  isOpen,
  type Job,
  jobOf,
  type State,
  withJob,
} from "../state.ts";
import type { Cause, Emit, Model } from "../system.ts";
import { create } from "./provider.ts";

/** Steps of passing time, in the database and at the provider. */
export function pass(
  model: Model,
  state: State,
  job: number,
  emit: Emit,
): void {
  const row = jobOf(state, job);
  const emitTime = (rule: string, cause: Cause, changes: Partial<Job>) =>
    emit({
      rule,
      cause,
      job,
      worker: -1,
      event: "",
      next: withJob(state, job, changes),
    });
  if (row.status === "pending" && !row.isDue) {
    emitTime("time: due", "time", { isDue: true });
  }
  if (row.status === "processing" && !row.isLeaseExpired) {
    const isOwned = state.workers.some((worker) =>
      worker.job === job && worker.isOwner
    );
    if (!isOwned || model.may("stall")) {
      emitTime("time: lease expires", isOwned ? "fault" : "time", {
        isLeaseExpired: true,
      });
    }
  }
  const isStarted = row.status === "pending" && row.attempt > 0 ||
    row.status === "processing";
  if (
    model.configuration.ages && isStarted &&
    (!row.isExpired || row.isCallRecent)
  ) {
    emitTime("time: maximum age exceeded", "time", {
      isExpired: true,
      isCallRecent: false,
    });
  }
  if (row.abandonedRequests > 0) {
    emitTime("provider: handles an abandoned request", "provider", {
      abandonedRequests: row.abandonedRequests - 1,
      ...create(model, row),
    });
    emitTime("provider: drops an abandoned request", "provider", {
      abandonedRequests: row.abandonedRequests - 1,
    });
  }
  if (row.created > 0 && !row.isListed) {
    emitTime("provider: lists the object", "provider", { isListed: true });
  }
  if (!row.isReconcileOver && mayReconcileBeOver(model, state, job)) {
    emitTime("time: reconcile_seconds over", "time", {
      isReconcileOver: true,
    });
  }
}

/**
 * The only assumption about the provider: within `reconcile_seconds` after the sender is known to have ended, it has
 * finished with the request and lists what it created.
 */
function mayReconcileBeOver(model: Model, state: State, job: number): boolean {
  const row = jobOf(state, job);
  if (model.is("reconcile_seconds start when the request is sent")) {
    return isOpen(row.call);
  }
  const isRepeated = state.workers.some((worker) =>
    worker.job === job && worker.point === "awaitingRepeat"
  );
  if (isRepeated && model.is("reconcile_seconds ignore a repetition")) {
    return true;
  }
  if (row.call !== "unknown") return false;
  const isInFlight = row.abandonedRequests > 0 ||
    state.workers.some((worker) =>
      worker.job === job && isInCall(worker.point) &&
      (worker.isOwner ||
        !model.is("a worker without a lease continues its request"))
    );
  return !isInFlight && (row.created === 0 || row.isListed);
}
