/**
 * The one way to make a paid provider call. What it guarantees: a call is journalled before it is sent, and while
 * its outcome is unknown the provider is asked before anything is sent again.
 */
import type { ErrorCode } from "../errors.ts";
import { CancelRequested, JobFailure, LeaseLost, Snooze } from "./outcome.ts";
import type { JobRepository, Lease } from "./repository.ts";

/** Pause between two looks at the provider's listing while it may lag behind. */
export const RECONCILE_PAUSE_SECONDS = 10;

/** The part of the queue that a paid call needs. */
type Journal = Pick<JobRepository, "beginProviderCall" | "settleProviderCall">;

/**
 * What a provider's failure tells about the money.
 *
 * `rejected`: a definite no, nothing was made. `unknown`: no usable answer; it may have been made.
 */
export class ProviderFailure extends Error {
  override readonly name = "ProviderFailure";
  constructor(
    readonly code: ErrorCode,
    readonly certainty: "rejected" | "unknown",
    readonly isRetryable: boolean,
    readonly options: {
      httpStatus?: number;
      retryAfterSeconds?: number;
      cause?: unknown;
    } = {},
  ) {
    super(code, { cause: options.cause });
  }
}

/** A paid call of a provider, and the way to find out what became of it. Both throw {@link ProviderFailure}. */
export interface PaidCall {
  /** Names the step; at most one call of a step can be open or have succeeded for a job. */
  operation: string;
  stage: string;
  progressBefore: number;
  progressAfter: number;
  /** Does beforehand what takes time, so that nothing lies between the journal and the request. */
  prepare?(): Promise<void>;
  /** Sends it, and answers with the provider's id of what was made. */
  send(signal: AbortSignal): Promise<string>;
  /** Looks for what an earlier send of this step may have made, by the job's marker. */
  find(signal: AbortSignal): Promise<string | null>;
  /** Removes what was made, when the owner cancelled meanwhile. Left out where the provider cannot. */
  undo?(providerObjectId: string, signal: AbortSignal): Promise<void>;
}

/**
 * Makes the call, or finds what an earlier attempt made.
 *
 * @param isOurs whether the lease cannot have run out yet, by a clock that goes on while this process stands still.
 *   Asked when the request is about to leave: a process that was stopped after the journal was written wakes up to a
 *   job that may long be somebody else's, and the provider knows nothing of leases.
 * @param signal aborts the call; with a {@link CancelRequested} as its reason, what was made is looked for and undone.
 * @returns the provider's id; it is committed on the job already.
 * @throws {CancelRequested} when the owner cancelled before anything was sent.
 * @throws {LeaseLost} when the job is no longer ours: nothing was sent, or nothing more is written.
 * @throws {Snooze} when the outcome is unknown: a later claim comes back here and asks the provider.
 * @throws {JobFailure} when the provider said no, or was asked and made nothing.
 */
export async function makePaidCall(
  repository: Journal,
  lease: Lease,
  call: PaidCall,
  signal: AbortSignal,
  isOurs: () => boolean,
): Promise<string> {
  await call.prepare?.();
  const begun = await repository.beginProviderCall(
    lease,
    call.operation,
    call.progressBefore,
    call.stage,
  );
  if (begun === null) throw new LeaseLost();
  switch (begun.decision) {
    case "cancelled":
      throw new CancelRequested();
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
        isOurs,
      );
  }
}

async function send(
  repository: Journal,
  lease: Lease,
  call: PaidCall,
  callId: string,
  signal: AbortSignal,
  isOurs: () => boolean,
): Promise<string> {
  let providerObjectId: string;
  try {
    if (signal.aborted || !isOurs()) {
      throw new ProviderFailure("lease_expired", "rejected", true, {
        cause: signal.reason,
      });
    }
    providerObjectId = await call.send(signal);
  } catch (error) {
    // Whatever is not a clear no counts as a maybe: the money may be spent.
    const failure = error instanceof ProviderFailure
      ? error
      : new ProviderFailure("provider_unavailable", "unknown", true, {
        cause: error,
      });
    const isSettled = await repository.settleProviderCall(lease, callId, {
      outcome: failure.certainty,
      errorCode: failure.code,
      httpStatus: failure.options.httpStatus,
    });
    if (!isSettled) throw new LeaseLost();
    if (
      failure.certainty === "unknown" &&
      signal.reason instanceof CancelRequested
    ) {
      await abandon(repository, lease, call, callId);
    }
    if (failure.certainty === "unknown") {
      throw new Snooze(RECONCILE_PAUSE_SECONDS, "reconciling");
    }
    throw toJobFailure(failure);
  }
  await settle(
    repository,
    lease,
    callId,
    "succeeded",
    providerObjectId,
    call.progressAfter,
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
    throw error instanceof ProviderFailure ? toJobFailure(error) : error;
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
  throw new JobFailure("provider_unavailable", { isRetryable: true });
}

/** Seconds to spend on removing what a cancelled call may have made. */
const ABANDON_SECONDS = 10;

/**
 * The owner cancelled while the call was under way: what it may have made is looked for once and removed. Best effort;
 * what cannot be found now leaves the call unknown, and the row says so.
 */
async function abandon(
  repository: Journal,
  lease: Lease,
  call: PaidCall,
  callId: string,
): Promise<void> {
  const signal = AbortSignal.timeout(ABANDON_SECONDS * 1000);
  let found: string | null = null;
  try {
    found = await call.find(signal);
    if (found !== null) await call.undo?.(found, signal);
  } catch {
    // The provider does not answer; nothing more can be done for somebody who has left.
  }
  if (found !== null) {
    await settle(repository, lease, callId, "adopted", found, 0);
  }
}

async function settle(
  repository: Journal,
  lease: Lease,
  callId: string,
  outcome: "succeeded" | "adopted",
  providerObjectId: string,
  progress: number,
): Promise<void> {
  if (
    !await repository.settleProviderCall(lease, callId, {
      outcome,
      providerObjectId,
      progress,
    })
  ) {
    throw new LeaseLost();
  }
}

/** How an attempt ends with a provider's failure, of a paid call or of any other. */
export function toJobFailure(failure: ProviderFailure): JobFailure {
  return new JobFailure(failure.code, {
    isRetryable: failure.isRetryable,
    retryAfterSeconds: failure.options.retryAfterSeconds,
    cause: failure,
  });
}
