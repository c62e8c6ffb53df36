/** The journal of paid calls in memory: at most one open or successful call of a step, as in the SQL functions. */
import type {
  BegunCall,
  CallSettlement,
} from "../../supabase/functions/_shared/jobs/repository.ts";

/** A row of `ai_provider_calls`. */
export interface FakeCall {
  readonly id: string;
  readonly jobId: string;
  readonly operation: string;
  /** The attempt that sent it. */
  readonly attempt: number;
  /** Milliseconds of the fake's clock. */
  readonly sentAt: number;
  /** When the outcome became unknown, by the same clock. */
  unknownSince: number | null;
  outcome: "sent" | CallSettlement["outcome"];
  providerObjectId: string | null;
  errorCode: string | null;
  httpStatus: number | null;
}

const isOpen = (call: FakeCall) =>
  call.outcome === "sent" || call.outcome === "unknown";
const hasSucceeded = (call: FakeCall) =>
  call.outcome === "succeeded" || call.outcome === "adopted";

/** The journal. */
export class FakeJournal {
  readonly calls: FakeCall[] = [];

  constructor(readonly reconcileMs: number) {}

  /** The job's call whose outcome is not known yet. */
  open(jobId: string): FakeCall | undefined {
    return this.calls.find((call) => call.jobId === jobId && isOpen(call));
  }

  /** Whether a call of the job has created something. */
  isPaid(jobId: string): boolean {
    return this.calls.some((call) =>
      call.jobId === jobId && hasSucceeded(call)
    );
  }

  /** Whether a call of this step is open or has succeeded, so that no other may be sent. */
  has(jobId: string, operation: string): boolean {
    return this.#find(jobId, operation) !== undefined;
  }

  /** The sender no longer waits for the response, so the outcome becomes unknown. */
  lose(call: FakeCall, now: number): void {
    call.outcome = "unknown";
    call.unknownSince ??= now;
  }

  #find(jobId: string, operation: string): FakeCall | undefined {
    return this.calls.find((call) =>
      call.jobId === jobId && call.operation === operation &&
      (isOpen(call) || hasSucceeded(call))
    );
  }

  #countEnded({ jobId, operation }: Pick<FakeCall, "jobId" | "operation">) {
    return this.calls.filter((call) =>
      call.jobId === jobId && call.operation === operation &&
      call.outcome === "rejected"
    ).length;
  }

  /** `begin_provider_calls`, without its changes of the job. */
  begin(
    wanted: Pick<FakeCall, "id" | "jobId" | "operation" | "attempt" | "sentAt">,
    repeatWithinSeconds?: number,
  ): BegunCall {
    const earlier = this.#find(wanted.jobId, wanted.operation);
    if (earlier === undefined) {
      this.calls.push({
        ...wanted,
        outcome: "sent",
        unknownSince: null,
        providerObjectId: null,
        errorCode: null,
        httpStatus: null,
      });
      return {
        decision: "send",
        call_id: wanted.id,
        ended_calls: this.#countEnded(wanted),
      };
    }
    if (earlier.providerObjectId !== null) {
      return {
        decision: "done",
        call_id: earlier.id,
        provider_object_id: earlier.providerObjectId,
      };
    }
    this.lose(earlier, wanted.sentAt);
    const isConclusive = (earlier.unknownSince ?? Infinity) <=
      wanted.sentAt - this.reconcileMs;
    if (
      !isConclusive && repeatWithinSeconds !== undefined &&
      earlier.sentAt > wanted.sentAt - repeatWithinSeconds * 1000
    ) {
      earlier.outcome = "sent";
      earlier.unknownSince = null;
      return {
        decision: "repeat",
        call_id: earlier.id,
        ended_calls: this.#countEnded(wanted),
      };
    }
    return {
      decision: "reconcile",
      call_id: earlier.id,
      is_lookup_conclusive: isConclusive,
    };
  }

  /** The spend of the job's row. */
  spendOf(jobId: string): "none" | "unknown" | "incurred" {
    const calls = this.calls.filter((call) => call.jobId === jobId);
    if (calls.some(hasSucceeded)) return "incurred";
    return calls.some(isOpen) ? "unknown" : "none";
  }

  /** `settle_provider_calls`: false when the call is already settled. */
  settle(
    jobId: string,
    callId: string,
    settlement: CallSettlement,
    now: number,
  ): boolean {
    const call = this.open(jobId);
    if (call === undefined || call.id !== callId) return false;
    if (settlement.outcome === "unknown") this.lose(call, now);
    call.outcome = settlement.outcome;
    if ("providerObjectId" in settlement) {
      call.providerObjectId = settlement.providerObjectId;
    } else {
      call.errorCode = settlement.errorCode;
      call.httpStatus = settlement.httpStatus ?? null;
    }
    return true;
  }
}
