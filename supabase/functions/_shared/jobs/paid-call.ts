/**
 * Paid provider calls. A call is journalled before it is sent; while its outcome is unknown, the provider is queried
 * before anything is sent again. A provider that recognizes a repeated request by its key gets it again after an empty
 * query; any other only after a conclusive one.
 */
import { generate as uuidV7 } from "@std/uuid/v7";
import { AppError } from "../failures/app-error.ts";
import { isOutage, isTransient } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import {
  CancelRequested,
  LeaseLost,
  Snooze,
  type SnoozeOptions,
} from "./outcome.ts";
import { RECONCILE_PAUSE_SECONDS, RECOVERY_STAGE } from "./pauses.ts";
import { attemptEndOf, jobFailureOf } from "./provider-outcome.ts";
import type {
  BegunCall,
  CallSettlement,
  JobRepository,
  Lease,
} from "./repository.ts";

/** The functions of the queue that a paid call needs. */
export type Journal = Pick<
  JobRepository,
  "beginProviderCall" | "settleProviderCall"
>;

/** The result of a call: what it created and, if the provider reports it, its usage. */
export interface PaidResult {
  providerObjectId: string;
  /** A whole number, in the unit of {@link PaidCall.units}. */
  units: number;
}

/** When a call of unknown outcome is sent once more. */
export interface Repetition {
  /** Only this long after the first request: far less than the time for which the provider keeps its key. */
  withinSeconds: number;
  /** Until the provider is queried, and the call repeated. */
  pauseSeconds: number;
}

/** A paid call, and how to find the object that an earlier one created. All functions throw {@link ProviderFailure}. */
export interface PaidCall {
  /** Names the step. A job has at most one call of a step that is open or has succeeded. */
  operation: string;
  stage: string;
  progressBefore: number;
  progressAfter: number;
  /**
   * The estimated usage in the unit of its price (`ai_prices.unit`): characters, seconds or creations; a whole number,
   * rounded up when in doubt. Its price is reserved in the owner's budget before the call is sent.
   */
  units: number;
  /** A sentence about `units` for an owner whose budget does not cover them. */
  unitsNote?: string | undefined;
  /**
   * Whether the processor returns its completion immediately after this call, without slow work in between. Its
   * success is then settled by the completion, in one statement; until then the call is open in the journal.
   */
  isLast?: boolean;
  /**
   * Only where `send` gives the provider an idempotency key that is the same until a call of the step has ended: the
   * provider answers a repeated request with its first response, and creates nothing new.
   */
  repeat?: Repetition | undefined;
  /** Prepares the input beforehand, so that the request follows its journal entry without delay. */
  prepare?(): Promise<void>;
  /**
   * Sends the request. Returns the provider's id of the created object, with the usage if the provider reports it.
   *
   * @param endedCalls how many calls of the step were refused, or created an object that was discarded. A provider
   *   would answer a request under their idempotency key with their response, so the next one needs another.
   */
  send(signal: AbortSignal, endedCalls: number): Promise<string | PaidResult>;
  /** Finds the object that an earlier request of this step created, by the job's marker; null if there is none. */
  find(signal: AbortSignal): Promise<string | null>;
  /** Removes the created object for an owner who cancelled. Absent if the provider cannot remove it. */
  undo?(providerObjectId: string, signal: AbortSignal): Promise<void>;
}

/**
 * Sends the call, or finds what an earlier attempt created.
 *
 * @param leaseIsValid whether the lease cannot have expired yet, by a clock that also runs while this process is
 *   suspended. Checked right before the request leaves: a process that was suspended after the journal was written may
 *   resume when another worker owns the job, and the provider does not check leases.
 * @param signal aborts the call. If its reason is a {@link CancelRequested}, the created object is found and removed.
 * @returns the provider's id; it is already committed on the job, unless the completion commits it ({@link
 * PaidCall.isLast}).
 * @throws {CancelRequested} when the owner cancelled before anything was sent, or while the provider was queried.
 * @throws {LeaseLost} when another worker owns the job: nothing was sent, or nothing more is written.
 * @throws {Snooze} when the outcome is unknown, so that a later claim queries the provider; or when other calls of the
 *   account must end first.
 * @throws {JobFailure} when the provider refused, or was queried and had created nothing. `budget_exceeded` and
 *   `provider_budget_exceeded`, and nothing is sent, when the price exceeds what is left of the owner's budget or of
 *   the budget for this provider.
 */
export async function makePaidCall(
  journal: Journal,
  lease: Lease,
  call: PaidCall,
  signal: AbortSignal,
  leaseIsValid: () => boolean,
): Promise<string> {
  await call.prepare?.();
  const step = new PaidStep(journal, lease, call, signal, leaseIsValid);
  const begun = await step.begin();
  switch (begun.decision) {
    case "cancelled":
      throw new CancelRequested();
    case "over_budget":
      throw overBudget(call.unitsNote);
    case "over_provider_budget":
      throw JobFailure.final("provider_budget_exceeded");
    case "done":
      return begun.provider_object_id;
    case "reconcile":
      return await step.reconcile(begun);
    case "send":
    case "repeat":
      return await step.send(begun);
  }
}

function overBudget(note: string | undefined): JobFailure {
  const failure = JobFailure.final("budget_exceeded");
  return note === undefined ? failure : JobFailure.final("budget_exceeded", {
    details: `${failure.message} ${note}`,
  });
}

/** An earlier call whose outcome is unknown. */
interface OpenCall {
  call_id: string;
  /** Whether enough time has passed that an empty result proves that nothing was made. */
  is_lookup_conclusive: boolean;
}

/** A call whose request is to be sent: for the first time, or again. */
type BegunRequest = Extract<BegunCall, { ended_calls: number }>;

/** A paid call whose row is in the journal. */
class PaidStep {
  readonly #journal: Journal;
  readonly #lease: Lease;
  readonly #call: PaidCall;
  readonly #signal: AbortSignal;
  readonly #leaseIsValid: () => boolean;

  constructor(
    journal: Journal,
    lease: Lease,
    call: PaidCall,
    signal: AbortSignal,
    leaseIsValid: () => boolean,
  ) {
    this.#journal = journal;
    this.#lease = lease;
    this.#call = call;
    this.#signal = signal;
    this.#leaseIsValid = leaseIsValid;
  }

  /** Journals the call, and decides what to do. */
  async begin(repeatWithinSeconds?: number): Promise<BegunCall> {
    const begun = await this.#journal.beginProviderCall(this.#lease, {
      // Sorted by time, like the ids that private.uuid_v7() generates in the database.
      callId: uuidV7(),
      operation: this.#call.operation,
      stage: this.#call.stage,
      progress: this.#call.progressBefore,
      units: this.#call.units,
      ...(repeatWithinSeconds === undefined ? {} : { repeatWithinSeconds }),
    });
    if (begun === null) throw new LeaseLost();
    return begun;
  }

  /** Sends the request and settles the call for every possible response. */
  async send(
    { decision, call_id, ended_calls }: BegunRequest,
  ): Promise<string> {
    let result: string | PaidResult;
    try {
      if (this.#signal.aborted || !this.#leaseIsValid()) {
        throw ProviderFailure.rejected("lease_expired", {
          isRetryable: true,
          cause: this.#signal.reason,
        });
      }
      result = await this.#call.send(this.#signal, ended_calls);
    } catch (error) {
      // Only a definite refusal proves that no money was spent.
      const failure = error instanceof ProviderFailure
        ? error
        : ProviderFailure.unknown("provider_unavailable", { cause: error });
      return await this.#settleFailure(
        call_id,
        failure,
        // An earlier request of a repeated call may have created the object, which a refusal of this one does not deny.
        decision === "repeat" ? "unknown" : failure.certainty,
      );
    }
    const { providerObjectId, units } = typeof result === "string"
      ? { providerObjectId: result, units: undefined }
      : result;
    await this.#settle(call_id, {
      outcome: "succeeded",
      providerObjectId,
      progress: this.#call.progressAfter,
      units,
    });
    return providerObjectId;
  }

  async #settleFailure(
    callId: string,
    failure: ProviderFailure,
    outcome: ProviderFailure["certainty"],
  ): Promise<never> {
    await this.#settle(callId, {
      outcome,
      errorCode: failure.code,
      httpStatus: failure.httpStatus,
    });
    if (outcome === "rejected") {
      throw attemptEndOf(failure, "waiting_for_provider");
    }
    if (this.#signal.reason instanceof CancelRequested) {
      await this.#abandon({ call_id: callId, is_lookup_conclusive: false });
    }
    // The breaker has counted the settlement.
    const options = { cause: failure };
    const { repeat } = this.#call;
    throw repeat === undefined
      ? snoozeToReconcile(options, failure)
      : new Snooze(
        Math.max(repeat.pauseSeconds, failure.retryAfterSeconds ?? 0),
        isOutage(failure.code) ? RECOVERY_STAGE : "reconciling",
        options,
      );
  }

  /** After an empty query that is not conclusive. */
  async #repeat(): Promise<string> {
    const { repeat } = this.#call;
    if (repeat !== undefined) {
      const begun = await this.begin(repeat.withinSeconds);
      if (begun.decision === "repeat") {
        return await this.send(begun);
      }
    }
    throw new Snooze(RECONCILE_PAUSE_SECONDS, "reconciling");
  }

  /** Queries the provider about an earlier call, and settles that. */
  async reconcile(open: OpenCall): Promise<string> {
    let found: string | null;
    try {
      found = await this.#call.find(this.#signal);
    } catch (error) {
      if (this.#signal.reason instanceof CancelRequested) {
        await this.#abandon(open);
        throw this.#signal.reason;
      }
      if (!(error instanceof ProviderFailure)) throw error;
      throw isTransient(error.code)
        ? snoozeToReconcile({ failure: jobFailureOf(error) }, error)
        : attemptEndOf(error, "reconciling");
    }
    if (found !== null) return await this.#adopt(open, found);
    if (!open.is_lookup_conclusive) return await this.#repeat();
    await this.#settle(open.call_id, {
      outcome: "absent",
      errorCode: "provider_unavailable",
    });
    // The lost call costs this attempt. No call is open any more, so the next attempt may send.
    throw JobFailure.retryable("provider_unavailable");
  }

  async #adopt(open: OpenCall, providerObjectId: string): Promise<string> {
    try {
      await this.#settle(open.call_id, {
        outcome: "adopted",
        providerObjectId,
        progress: this.#call.progressAfter,
      });
      return providerObjectId;
    } catch (error) {
      const isTaken = error instanceof AppError &&
        error.code === "provider_object_mismatch";
      if (!isTaken) throw error;
      // An equal call of another job adopted it in the meantime. The next query leaves it out.
      throw new Snooze(RECONCILE_PAUSE_SECONDS, "reconciling", {
        cause: error,
      });
    }
  }

  /**
   * For an owner who cancelled while the outcome was unknown: queries the provider once and removes what it made. Best
   * effort. If nothing is found, the call stays unknown, and the job's `spend` says so, unless the query is conclusive.
   */
  async #abandon(open: OpenCall): Promise<void> {
    const signal = AbortSignal.timeout(UNDO_SECONDS * 1000);
    let found: string | null;
    try {
      found = await this.#call.find(signal);
    } catch {
      // The provider cannot be queried. A cancelled job does not wait for it.
      return;
    }
    if (found !== null) {
      // What cannot be removed stays recorded in the journal.
      await undoPaidCalls(
        [{ call: this.#call, providerObjectId: found }],
        signal,
      );
      await this.#settle(open.call_id, {
        outcome: "adopted",
        providerObjectId: found,
        progress: 0,
      });
    } else if (open.is_lookup_conclusive) {
      await this.#settle(open.call_id, {
        outcome: "absent",
        errorCode: "cancelled",
      });
    }
  }

  async #settle(callId: string, settlement: CallSettlement): Promise<void> {
    const isSettled = await this.#journal.settleProviderCall(
      this.#lease,
      callId,
      settlement,
    );
    if (!isSettled) throw new LeaseLost();
  }
}

function snoozeToReconcile(
  options: SnoozeOptions,
  { retryAfterSeconds }: ProviderFailure,
): Snooze {
  return new Snooze(
    Math.max(RECONCILE_PAUSE_SECONDS, retryAfterSeconds ?? 0),
    "reconciling",
    options,
  );
}

/** Maximum seconds that a cancelled job spends on removing what it created. */
const UNDO_SECONDS = 10;

/**
 * Removes what paid calls created, where the provider supports it, for an owner who cancelled before the job completed.
 * Never throws, and stops after {@link UNDO_SECONDS}: what remains is recorded in the journal.
 */
export async function undoPaidCalls(
  calls: readonly { call: PaidCall; providerObjectId: string }[],
  signal: AbortSignal = AbortSignal.timeout(UNDO_SECONDS * 1000),
): Promise<void> {
  await Promise.allSettled(
    calls.map(async ({ call, providerObjectId }) => {
      await call.undo?.(providerObjectId, signal);
    }),
  );
}
