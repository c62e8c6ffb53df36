/**
 * The one way to make a paid provider call. What it guarantees: a call is journalled before it is sent, and while
 * its outcome is unknown the provider is asked before anything is sent again.
 */
import { isTransient } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import { CancelRequested, LeaseLost, Snooze } from "./outcome.ts";
import type { JobRepository, Lease } from "./repository.ts";

/** Pause between two looks at the provider's listing while it may lag behind. */
export const RECONCILE_PAUSE_SECONDS = 10;
/** Pause when the provider takes no more of our calls at once and does not say how long. */
export const OWN_LOAD_PAUSE_SECONDS = 10;

/** The part of the queue that a paid call needs. */
type Journal = Pick<JobRepository, "beginProviderCall" | "settleProviderCall">;

/** What a call made, where the provider tells how much it took for it. */
export interface PaidResult {
  providerObjectId: string;
  /** Whole ones, as {@link PaidCall.units}. */
  units: number;
}

/** A paid call of a provider, and the way to find out what became of it. Both throw {@link ProviderFailure}. */
export interface PaidCall {
  /** Names the step; at most one call of a step can be open or have succeeded for a job. */
  operation: string;
  stage: string;
  progressBefore: number;
  progressAfter: number;
  /**
   * How much it asks for, in the unit of its price (`ai_prices.unit`): characters, seconds or creations, whole ones and
   * rather too many than too few. Their price is reserved in the owner's budget before the call is sent.
   */
  units: number;
  /** What the owner should know of `units` when they do not fit into the budget, in a sentence that is safe to show. */
  unitsNote?: string | undefined;
  /** Does beforehand what takes time, so that nothing lies between the journal and the request. */
  prepare?(): Promise<void>;
  /** Sends it, and answers with the provider's id of what was made, and how much it took if the provider tells. */
  send(signal: AbortSignal): Promise<string | PaidResult>;
  /** Looks for what an earlier send of this step may have made, by the job's marker. */
  find(signal: AbortSignal): Promise<string | null>;
  /** Removes what was made, when the owner cancelled meanwhile. Left out where the provider cannot. */
  undo?(providerObjectId: string, signal: AbortSignal): Promise<void>;
}

/**
 * Makes the call, or finds what an earlier attempt made.
 *
 * @param leaseIsValid whether the lease cannot have run out yet, by a clock that goes on while this process stands still.
 *   Asked when the request is about to leave: a process that was stopped after the journal was written wakes up to a
 *   job that may long be somebody else's, and the provider knows nothing of leases.
 * @param signal aborts the call; with a {@link CancelRequested} as its reason, what was made is looked for and undone.
 * @returns the provider's id; it is committed on the job already.
 * @throws {CancelRequested} when the owner cancelled before anything was sent, or while the provider was asked.
 * @throws {LeaseLost} when the job is no longer ours: nothing was sent, or nothing more is written.
 * @throws {Snooze} when the outcome is unknown: a later claim comes back here and asks the provider; and when other
 *   calls of this account have to end first.
 * @throws {JobFailure} when the provider said no, or was asked and made nothing; `budget_exceeded`, and nothing is sent,
 *   when its price does not fit into what is left of the owner's budget; `provider_budget_exceeded`, of the budget of
 *   everybody at the provider.
 */
export async function makePaidCall(
  repository: Journal,
  lease: Lease,
  call: PaidCall,
  signal: AbortSignal,
  leaseIsValid: () => boolean,
): Promise<string> {
  await call.prepare?.();
  const begun = await repository.beginProviderCall(lease, {
    callId: crypto.randomUUID(),
    operation: call.operation,
    stage: call.stage,
    progress: call.progressBefore,
    units: call.units,
  });
  if (begun === null) throw new LeaseLost();
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
      return await reconcile(repository, lease, call, begun, signal);
    case "send":
      return await send(
        repository,
        lease,
        call,
        begun.call_id,
        signal,
        leaseIsValid,
      );
  }
}

function overBudget(note: string | undefined): JobFailure {
  const failure = JobFailure.final("budget_exceeded");
  return note === undefined ? failure : JobFailure.final("budget_exceeded", {
    details: `${failure.message} ${note}`,
  });
}

async function send(
  repository: Journal,
  lease: Lease,
  call: PaidCall,
  callId: string,
  signal: AbortSignal,
  leaseIsValid: () => boolean,
): Promise<string> {
  let made: string | PaidResult;
  try {
    if (signal.aborted || !leaseIsValid()) {
      throw ProviderFailure.rejected("lease_expired", {
        isRetryable: true,
        cause: signal.reason,
      });
    }
    made = await call.send(signal);
  } catch (error) {
    // Whatever is not a clear no counts as a maybe: the money may be spent.
    const failure = error instanceof ProviderFailure
      ? error
      : ProviderFailure.unknown("provider_unavailable", {
        cause: error,
      });
    const isSettled = await repository.settleProviderCall(lease, callId, {
      outcome: failure.certainty,
      errorCode: failure.code,
      httpStatus: failure.httpStatus,
    });
    if (!isSettled) throw new LeaseLost();
    if (
      failure.certainty === "unknown" &&
      signal.reason instanceof CancelRequested
    ) {
      await abandon(repository, lease, call, {
        call_id: callId,
        is_lookup_conclusive: false,
      });
    }
    if (failure.certainty === "unknown") {
      throw new Snooze(
        Math.max(
          RECONCILE_PAUSE_SECONDS,
          failure.retryAfterSeconds ?? 0,
        ),
        "reconciling",
        { cause: failure },
      );
    }
    throw toEnding(failure, "waiting_for_provider");
  }
  const { providerObjectId, units } = typeof made === "string"
    ? { providerObjectId: made, units: undefined }
    : made;
  await settle(
    repository,
    lease,
    callId,
    "succeeded",
    providerObjectId,
    call.progressAfter,
    units,
  );
  return providerObjectId;
}

async function reconcile(
  repository: Journal,
  lease: Lease,
  call: PaidCall,
  begun: { call_id: string; is_lookup_conclusive: boolean },
  signal: AbortSignal,
): Promise<string> {
  let found: string | null;
  try {
    found = await call.find(signal);
  } catch (error) {
    if (signal.reason instanceof CancelRequested) {
      await abandon(repository, lease, call, begun);
      throw signal.reason;
    }
    if (!(error instanceof ProviderFailure)) throw error;
    throw isTransient(error.code)
      ? new Snooze(
        Math.max(
          RECONCILE_PAUSE_SECONDS,
          error.retryAfterSeconds ?? 0,
        ),
        "reconciling",
        { cause: error },
      )
      : toEnding(error, "reconciling");
  }
  if (found !== null) {
    await settle(
      repository,
      lease,
      begun.call_id,
      "adopted",
      found,
      call.progressAfter,
    );
    return found;
  }
  if (!begun.is_lookup_conclusive) {
    throw new Snooze(RECONCILE_PAUSE_SECONDS, "reconciling");
  }
  const isSettled = await repository.settleProviderCall(lease, begun.call_id, {
    outcome: "absent",
    errorCode: "provider_unavailable",
  });
  if (!isSettled) throw new LeaseLost();
  // The lost call has cost this attempt. The next one may send again: nothing stands open any more.
  throw JobFailure.retryable("provider_unavailable");
}

/** Seconds to spend on removing what a cancelled call may have made. */
const ABANDON_SECONDS = 10;

/**
 * The owner cancelled while the call was under way, or while the provider was asked about it: what it may have made is
 * looked for once and removed. Best effort; what cannot be found now leaves the call unknown, and the row says so, unless
 * the look-up counts as proof that nothing was made.
 */
async function abandon(
  repository: Journal,
  lease: Lease,
  call: PaidCall,
  begun: { call_id: string; is_lookup_conclusive: boolean },
): Promise<void> {
  const signal = AbortSignal.timeout(ABANDON_SECONDS * 1000);
  let found: string | null;
  try {
    found = await call.find(signal);
  } catch {
    // The provider does not answer; nothing more can be done for somebody who has left.
    return;
  }
  if (found !== null) {
    // What cannot be removed is on record all the same.
    await undoPaidCalls([{ call, providerObjectId: found }], signal);
    await settle(repository, lease, begun.call_id, "adopted", found, 0);
  } else if (begun.is_lookup_conclusive) {
    const isSettled = await repository.settleProviderCall(
      lease,
      begun.call_id,
      { outcome: "absent", errorCode: "cancelled" },
    );
    if (!isSettled) throw new LeaseLost();
  }
}

/**
 * Removes what paid calls of this run have made, for an owner who cancelled before the job was over; where the provider
 * can. Never throws, and is over within {@link ABANDON_SECONDS}: what stays there is on record in the journal.
 */
export async function undoPaidCalls(
  made: readonly { call: PaidCall; providerObjectId: string }[],
  signal: AbortSignal = AbortSignal.timeout(ABANDON_SECONDS * 1000),
): Promise<void> {
  await Promise.allSettled(
    made.map(async ({ call, providerObjectId }) => {
      await call.undo?.(providerObjectId, signal);
    }),
  );
}

async function settle(
  repository: Journal,
  lease: Lease,
  callId: string,
  outcome: "succeeded" | "adopted",
  providerObjectId: string,
  progress: number,
  units?: number,
): Promise<void> {
  if (
    !await repository.settleProviderCall(lease, callId, {
      outcome,
      providerObjectId,
      progress,
      ...(units === undefined ? {} : { units }),
    })
  ) {
    throw new LeaseLost();
  }
}

/** How a call that the provider has refused, a look-up that failed, or one that costs nothing, ends the run. */
export function toEnding(
  failure: ProviderFailure,
  stage: string,
): Snooze | JobFailure {
  const { isOwnLoad, retryAfterSeconds, details } = failure;
  return isOwnLoad
    ? new Snooze(retryAfterSeconds ?? OWN_LOAD_PAUSE_SECONDS, stage, {
      cause: failure,
    })
    : new JobFailure(failure.code, {
      isRetryable: failure.isRetryable,
      retryAfterSeconds,
      details,
      cause: failure,
    });
}
