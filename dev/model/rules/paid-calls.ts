/** The functions of the journal, and the request that they protect. */
import {
  type Call,
  IDLE,
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
import { holdsLease, leaveProcessing } from "./queue.ts";

/** The steps of `begin_provider_calls`. */
export function begin(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const { job } = workerOf(state, worker);
  const row = jobOf(state, job);
  const step = { job, worker };
  const answered = (
    rule: string,
    event: string,
    changes: Partial<Job>,
    to: Point,
  ) => {
    const written = withJob(state, job, {
      isLeaseExpired: false,
      ...changes,
    });
    emit({
      ...step,
      rule: `begin: ${rule}`,
      cause: "engine",
      event,
      next: withPoint(written, worker, to),
    });
    if (!model.may("begin response lost")) return;
    emit({
      ...step,
      rule: `begin: ${rule}, response lost`,
      cause: "fault",
      event,
      next: withPoint(written, worker, "failing"),
    });
  };
  if (!holdsLease(model, state, worker)) {
    emit({
      ...step,
      rule: "begin: lease lost",
      cause: "engine",
      event: "",
      next: withWorker(state, worker, IDLE),
    });
    return;
  }
  if (model.may("begin not delivered")) {
    emit({
      ...step,
      rule: "begin: not delivered",
      cause: "fault",
      event: "",
      next: withPoint(state, worker, "failing"),
    });
  }
  if (isOpen(row.call) && !model.is("begin resends without a query")) {
    const isConclusive = row.isReconcileOver;
    answered(
      isConclusive ? "reconcile, conclusive" : "reconcile",
      "progress",
      row.call === "sent" ? { call: "unknown" } : {},
      isConclusive || model.is("an empty query is always conclusive")
        ? "queryingFinal"
        : "querying",
    );
  } else if (row.call === "succeeded" || row.call === "adopted") {
    answered("done", "progress", {}, "paid");
  } else if (
    row.isCancelRequested && !model.is("begin ignores a cancellation")
  ) {
    emit({
      ...step,
      rule: "begin: cancelled",
      cause: "engine",
      event: "",
      next: withPoint(state, worker, "cancelling"),
    });
  } else if (model.is("the call is journalled after its request")) {
    answered("send", "", {}, "sending");
  } else {
    answered("send", "submitted", {
      call: "sent",
      isResolved: false,
      isReconcileOver: false,
      isCallRecent: model.configuration.ages,
      spend: row.spend === "none" ? "unknown" : row.spend,
    }, "sending");
  }
}

/** The steps of `begin_provider_calls` again, after an empty query: the provider recognizes the call by its idempotency key. */
export function repeat(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const { job } = workerOf(state, worker);
  const row = jobOf(state, job);
  const step = { job, worker };
  if (!holdsLease(model, state, worker)) {
    emit({
      ...step,
      rule: "repeat: lease lost",
      cause: "engine",
      event: "",
      next: withWorker(state, worker, IDLE),
    });
    return;
  }
  const mayRepeat = !row.isReconcileOver &&
    (!row.isCancelRequested ||
      model.is("a repetition ignores a cancellation"));
  const written = withJob(state, job, {
    isLeaseExpired: false,
    ...(mayRepeat ? { call: "sent" as const } : {}),
  });
  const decision = mayRepeat
    ? "repeat"
    : row.isReconcileOver
    ? "reconcile, conclusive"
    : "reconcile";
  const event = mayRepeat ? "submitted" : "progress";
  emit({
    ...step,
    rule: `repeat: ${decision}`,
    cause: "engine",
    event,
    next: withPoint(written, worker, mayRepeat ? "resending" : "snoozing"),
  });
  if (!model.may("begin response lost")) return;
  emit({
    ...step,
    rule: `repeat: ${decision}, response lost`,
    cause: "fault",
    event,
    next: withPoint(written, worker, "failing"),
  });
}

/** The request is sent, unless the worker's own clock says that the lease may have expired. */
export function send(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const { job, isOwner, point } = workerOf(state, worker);
  const isRepeat = point === "resending";
  const maySend =
    model.is("a request may be sent after its lease has expired") ||
    (isOwner && !jobOf(state, job).isLeaseExpired);
  emit({
    rule: maySend ? "send" : "send: lease may have expired",
    cause: "engine",
    job,
    worker,
    event: "",
    next: withPoint(
      state,
      worker,
      maySend
        ? isRepeat ? "awaitingRepeat" : "awaitingResponse"
        : isRepeat
        ? "responseLost"
        : "rejected",
    ),
  });
}

/** The steps of `settle_provider_calls`. */
export function settle(
  model: Model,
  state: State,
  worker: number,
  outcome: Exclude<Call, "none" | "sent">,
  to: Point,
  emit: Emit,
): void {
  const { job } = workerOf(state, worker);
  const row = jobOf(state, job);
  const step = { job, worker };
  if (!holdsLease(model, state, worker)) {
    emit({
      ...step,
      rule: "settle: lease lost",
      cause: "engine",
      event: "",
      next: withWorker(state, worker, IDLE),
    });
    return;
  }
  const isCreated = outcome === "succeeded" || outcome === "adopted";
  const isSpendKept = outcome === "rejected" &&
    model.is("a rejection leaves the spend unknown");
  const written = withJob(state, job, {
    call: outcome,
    isReconcileOver: row.isReconcileOver && outcome === "unknown" &&
      model.is("reconcile_seconds ignore a repetition"),
    isLeaseExpired: false,
    spend: isCreated
      ? "incurred"
      : outcome === "unknown" || isSpendKept
      ? "unknown"
      : "none",
  });
  emit({
    ...step,
    rule: `settle: ${outcome}`,
    cause: "engine",
    event: "settled",
    next: withPoint(written, worker, to),
  });
  if (!model.may("settle response lost")) return;
  emit({
    ...step,
    rule: `settle: ${outcome}, response lost`,
    cause: "fault",
    event: "settled",
    next: withPoint(
      written,
      worker,
      to === "cancelling" || to === "queryingCancelled"
        ? "cancelling"
        : "failing",
    ),
  });
}

/** The steps of `complete_ai_jobs`. */
export function complete(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  const { job } = workerOf(state, worker);
  const step = { job, worker };
  if (!holdsLease(model, state, worker)) {
    emit({
      ...step,
      rule: "complete: lease lost",
      cause: "engine",
      event: "",
      next: withWorker(state, worker, IDLE),
    });
    return;
  }
  const { next, event } = leaveProcessing(model, state, job, {
    status: "completed",
  }, "completed");
  emit({
    ...step,
    rule: "complete",
    cause: "engine",
    event,
    next: withWorker(next, worker, IDLE),
  });
  if (!model.may("complete response lost")) return;
  emit({
    ...step,
    rule: "complete: response lost",
    cause: "fault",
    event,
    next: withPoint(next, worker, "failing"),
  });
}

/** The steps of `complete_ai_jobs` that carries the settlement of the last call: both in one transaction. */
export function completeAndSettle(
  model: Model,
  state: State,
  worker: number,
  outcome: "succeeded" | "adopted",
  emit: Emit,
): void {
  settle(model, state, worker, outcome, "paid", (settled) => {
    if (settled.rule !== `settle: ${outcome}`) return;
    complete(model, settled.next, worker, (completed) =>
      emit({
        ...completed,
        rule: completed.rule.replace(
          "complete",
          `complete: settling ${outcome}`,
        ).replace(": response lost", ", response lost"),
        event: "settled completed",
      }));
  });
}
