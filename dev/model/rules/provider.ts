/** The provider: what it does with a request or a query, and what the worker learns of it. */
import {
  type Job,
  jobOf,
  type Point,
  type State,
  withJob,
  withPoint,
  workerOf,
} from "../state.ts";
import type { Cause, Emit, Model } from "../system.ts";

/** The provider's handling of a request, and the delivery of its response. */
export function respond(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const { job, point } = workerOf(state, worker);
  const row = jobOf(state, job);
  // A rejected repetition does not prove that the earlier request created nothing.
  const isLost = point === "awaitingRepeat" &&
    !model.is("a rejected repetition counts as a rejection");
  const emitStep = (
    rule: string,
    cause: Cause,
    to: Point,
    changes?: Partial<Job>,
  ) =>
    emit({
      rule: `provider: ${rule}`,
      cause,
      job,
      worker,
      event: "",
      next: withPoint(
        changes === undefined ? state : withJob(state, job, changes),
        worker,
        to,
      ),
    });
  const made = create(model, row);
  emitStep("creates the object", "provider", "succeeded", made);
  if (model.may("response lost")) {
    emitStep(
      "creates the object, response lost",
      "fault",
      "responseLost",
      made,
    );
  }
  if (model.may("rejected")) {
    emitStep("rejects", "fault", isLost ? "responseLost" : "rejected");
  }
  if (model.may("rejected permanently")) {
    emitStep(
      "rejects permanently",
      "fault",
      isLost ? "responseLost" : "rejectedPermanently",
    );
  }
  if (model.may("throttled")) {
    emitStep(
      "throttles",
      "fault",
      isLost ? "responseLost" : "throttled",
    );
  }
  if (model.may("request lost")) {
    emitStep("request lost", "fault", "responseLost");
  }
  if (model.may("response late")) {
    emitStep("responds after the timeout", "fault", "responseLost", {
      abandonedRequests: row.abandonedRequests + 1,
    });
  }
}

/** The provider's objects after a request. With an idempotency key, a repetition creates no further object. */
export function create(model: Model, row: Job): Partial<Job> {
  return model.configuration.hasKey && row.created > 0
    ? {}
    : { created: row.created + 1, isListed: false };
}

/** Queries the provider by the job's marker. */
export function query(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const { job, point } = workerOf(state, worker);
  const row = jobOf(state, job);
  const emitStep = (rule: string, to: Point, cause: Cause = "engine") =>
    emit({
      rule: `query: ${rule}`,
      cause,
      job,
      worker,
      event: "",
      next: withPoint(state, worker, to),
    });
  const isCancelled = point === "queryingCancelled" ||
    point === "queryingFinalCancelled";
  if (row.created > 0 && row.isListed) {
    emitStep("found", isCancelled ? "foundCancelled" : "found");
  } else if (isCancelled) {
    emitStep(
      "nothing found, cancelled",
      point === "queryingFinalCancelled" ? "absentCancelled" : "cancelling",
    );
  } else if (point === "queryingFinal") {
    emitStep("nothing found, conclusive", "absent");
  } else {
    emitStep(
      "nothing found",
      model.configuration.hasKey ? "repeating" : "snoozing",
    );
  }
  if (!isCancelled && model.may("throttled")) {
    emitStep("throttled", "snoozing", "fault");
  }
  if (!model.may("query fails")) return;
  emitStep("fails", isCancelled ? "cancelling" : "failing", "fault");
  if (!isCancelled && model.may("shutdown")) {
    emitStep("interrupted by shutdown", "releasing", "fault");
  }
}
