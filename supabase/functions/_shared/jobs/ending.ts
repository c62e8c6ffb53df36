/** How an attempt that did not complete its job ends, and the only place that writes such an ending. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import { AppError } from "../failures/app-error.ts";
import { isOutage } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import type { Logger } from "../platform/log.ts";
import { CancelRequested, LeaseLost, ShuttingDown, Snooze } from "./outcome.ts";
import { pauseFor, RECOVERY_STAGE } from "./pauses.ts";
import { attemptEndOf } from "./provider-outcome.ts";
import type { JobRepository } from "./repository.ts";

/** The ending of an attempt. */
export type Ending =
  | { kind: "lease_lost" }
  | { kind: "cancelled" }
  | { kind: "snoozed"; snooze: Snooze }
  | { kind: "released"; reason: ShuttingDown }
  | { kind: "waiting_for_recovery"; seconds: number; failure: JobFailure }
  | { kind: "failed"; failure: JobFailure };

/** The facts that decide how an attempt ends. */
export interface AttemptEnd {
  /** What the attempt threw. */
  thrown: unknown;
  /** Why the attempt was stopped; undefined when it stopped by itself. */
  stopReason: unknown;
  /** Whether the job has paid for something, and the error does not come from a paid call. */
  hasPaid: boolean;
}

/** Seconds between two attempts of a job that has paid, during an outage. */
const RECOVERY_PAUSES = { first: 5, longest: 300 };

/**
 * Decides how an attempt ends.
 *
 * The reason for stopping takes precedence over the thrown error: an aborted provider call throws an error that is not
 * the provider's fault. A job that has paid uses up no attempts during an outage: it waits, at most until its type's
 * `max_age_seconds`.
 */
export function endingOf(
  job: Pick<ClaimedJob, "started_at" | "updated_at">,
  { thrown, stopReason, hasPaid }: AttemptEnd,
): Ending {
  // A call without cost has failed. Paid calls convert their failures themselves.
  const error = thrown instanceof ProviderFailure
    ? attemptEndOf(thrown, "waiting_for_provider")
    : thrown;
  if (stopReason instanceof LeaseLost || error instanceof LeaseLost) {
    return { kind: "lease_lost" };
  }
  if (
    stopReason instanceof CancelRequested || error instanceof CancelRequested
  ) {
    return { kind: "cancelled" };
  }
  if (error instanceof Snooze) return { kind: "snoozed", snooze: error };
  const isFinal = error instanceof JobFailure && !error.isRetryable;
  if (
    stopReason instanceof ShuttingDown && !isFinal &&
    // A job that has paid does not fail because it exceeded the isolate's limits: its maximum age bounds it.
    (hasPaid || !stopReason.isCausedByJob)
  ) {
    return { kind: "released", reason: stopReason };
  }
  const failure = failureOf(error, stopReason);
  if (hasPaid && failure.isRetryable && isOutage(failure.code)) {
    const seconds = failure.retryAfterSeconds ?? pauseFor(job, RECOVERY_PAUSES);
    return { kind: "waiting_for_recovery", seconds, failure };
  }
  return { kind: "failed", failure };
}

/** The failure of an attempt that threw `error`, or that was stopped by a {@link ShuttingDown} which it caused. */
function failureOf(error: unknown, stopReason: unknown): JobFailure {
  if (error instanceof JobFailure && !error.isRetryable) return error;
  if (stopReason instanceof ShuttingDown) {
    return JobFailure.retryable("worker_limit_exceeded", { cause: stopReason });
  }
  if (error instanceof JobFailure) return error;
  const isUnavailable = error instanceof AppError &&
    error.code === "service_unavailable";
  return JobFailure.retryable(isUnavailable ? error.code : "internal_error", {
    cause: error,
  });
}

/**
 * Writes an ending and logs it. Never throws: when the database cannot store it, the lease expires and the sweep
 * rescues the job.
 *
 * @returns whether the lease is lost, so that nothing was written.
 */
export async function writeEnding(
  repository: JobRepository,
  job: ClaimedJob,
  ending: Ending,
  log: Logger,
): Promise<boolean> {
  try {
    const isWritten = await write(repository, job, ending, log);
    if (!isWritten) {
      log.warn(
        "lease_lost",
        ending.kind === "lease_lost" ? {} : { error: causeOf(ending) },
      );
    }
    return !isWritten;
  } catch (error) {
    log.error("job_end_not_written", { error, after: causeOf(ending) });
    return false;
  }
}

async function write(
  repository: JobRepository,
  job: ClaimedJob,
  ending: Ending,
  log: Logger,
): Promise<boolean> {
  switch (ending.kind) {
    case "lease_lost":
      return false;
    case "cancelled": {
      if (!await repository.cancel(job)) return false;
      log.info("job_cancelled");
      return true;
    }
    case "snoozed": {
      const { seconds, stage, failure, cause } = ending.snooze;
      if (!await repository.snooze(job, seconds, stage, failure)) return false;
      const error = cause === undefined ? {} : { error: cause };
      log.info("job_snoozed", { seconds, stage, ...error });
      return true;
    }
    case "released": {
      if (!await repository.release(job)) return false;
      log.info("job_released", { error: ending.reason });
      return true;
    }
    case "waiting_for_recovery": {
      const { seconds, failure } = ending;
      if (!await repository.snooze(job, seconds, RECOVERY_STAGE, failure)) {
        return false;
      }
      log.warn("job_waits_for_recovery", { seconds, error: failure });
      return true;
    }
    case "failed": {
      const { failure } = ending;
      const status = await repository.fail(job, {
        code: failure.code,
        message: failure.message,
        isRetryable: failure.isRetryable,
        retryAfterSeconds: failure.retryAfterSeconds,
      });
      if (status === null) return false;
      log.warn(FAILED_EVENTS[status], {
        error_code: failure.code,
        error: failure,
      });
      return true;
    }
  }
}

const FAILED_EVENTS = {
  pending: "job_will_retry",
  failed: "job_failed",
  cancelled: "job_cancelled",
} as const;

/** The cause of an ending, for the log. */
function causeOf(ending: Ending): unknown {
  switch (ending.kind) {
    case "snoozed":
      return ending.snooze;
    case "released":
      return ending.reason;
    case "waiting_for_recovery":
    case "failed":
      return ending.failure;
    default:
      return ending.kind;
  }
}
