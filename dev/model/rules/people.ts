/** The actions of owners and operators. */
import {
  hasRequestInFlight,
  type Job,
  jobOf,
  type State,
  withJob,
} from "../state.ts";
import type { Emit, Model } from "../system.ts";

/** The actions of owners and operators. */
export function request(
  model: Model,
  state: State,
  job: number,
  emit: Emit,
): void {
  const row = jobOf(state, job);
  const emitRequest = (rule: string, event: string, changes: Partial<Job>) =>
    emit({
      rule,
      cause: "request",
      job,
      worker: -1,
      event,
      next: withJob(state, job, changes),
    });
  if (!row.isCancelRequested && job < model.configuration.cancellable) {
    if (row.status === "pending") {
      emitRequest("owner: cancels a waiting job", "cancelled", {
        isCancelRequested: true,
        ...(model.is("cancelling a waiting job leaves it waiting")
          ? {}
          : { status: "cancelled", isDue: false }),
      });
    } else if (row.status === "processing") {
      emitRequest(
        "owner: cancels a running job",
        model.is("cancelling a running job writes no event")
          ? ""
          : "cancel_requested",
        { isCancelRequested: true },
      );
    }
  }
  if (
    row.isResolved && (row.status === "pending" || row.status === "failed")
  ) {
    emitRequest("operator: takes back the answer", "failed", {
      status: "failed",
      isDue: false,
      call: "unknown",
      isResolved: false,
      isReconcileOver: false,
      spend: "unknown",
    });
  }
  if (row.status !== "failed" || row.retries >= model.configuration.retries) {
    return;
  }
  const again = {
    status: "pending",
    isDue: true,
    isCancelRequested: false,
    isExpired: false,
    maxAttempts: row.attempt + model.configuration.maxAttempts,
    retries: row.retries + 1,
  } as const;
  if (row.spend !== "unknown") {
    emitRequest("owner: retries", "retry_requested", {
      ...again,
      ...(model.is("retry ignores the journal")
        ? { call: "none", spend: "none" }
        : {}),
    });
  } else if (
    row.abandonedRequests === 0 && !hasRequestInFlight(state, job) &&
    row.call === "unknown"
  ) {
    // The operator checks once the provider has finished, and reports what happened.
    const isCreated = row.created > 0;
    emitRequest(
      isCreated
        ? "operator: reports a creation"
        : "operator: reports no creation",
      "retry_requested",
      {
        ...again,
        call: isCreated ? "adopted" : "absent",
        isResolved: true,
        spend: isCreated ? "incurred" : "none",
        isReconcileOver: false,
      },
    );
  }
}
