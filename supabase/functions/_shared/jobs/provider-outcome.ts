/** How the failure of a provider call ends the attempt that sent it. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import { isOutage, isTransient } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import { Snooze } from "./outcome.ts";
import {
  OWN_LOAD_PAUSE_SECONDS,
  pauseFor,
  type Pauses,
  RECOVERY_STAGE,
} from "./pauses.ts";

/**
 * What to throw when a call failed and nothing was made: a snooze while other calls of the account are in flight, else
 * the provider's failure.
 *
 * @param stage shown while the job is snoozed.
 */
export function attemptEndOf(
  failure: ProviderFailure,
  stage: string,
): Snooze | JobFailure {
  if (!failure.isOwnLoad) return jobFailureOf(failure);
  const seconds = failure.retryAfterSeconds ?? OWN_LOAD_PAUSE_SECONDS;
  return new Snooze(seconds, stage, { failure: jobFailureOf(failure) });
}

/**
 * Makes a call that costs nothing.
 *
 * @throws {Snooze} when the provider is unavailable or overloaded: the attempt is not spent, and the breaker counts it.
 * @throws {JobFailure} for every other {@link ProviderFailure}. Other errors are thrown unchanged.
 */
export async function snoozeOnOutage<T>(
  job: Pick<ClaimedJob, "started_at" | "updated_at">,
  pauses: Pauses,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof ProviderFailure)) throw error;
    if (!isTransient(error.code)) throw jobFailureOf(error);
    throw new Snooze(
      error.retryAfterSeconds ?? pauseFor(job, pauses),
      isOutage(error.code) ? RECOVERY_STAGE : "waiting_for_provider",
      { failure: jobFailureOf(error) },
    );
  }
}

/** The failure of a job whose call failed like this; the call's failure is its cause. */
export function jobFailureOf(failure: ProviderFailure): JobFailure {
  const { code, isRetryable, retryAfterSeconds, details } = failure;
  return new JobFailure(code, {
    isRetryable,
    retryAfterSeconds,
    details,
    cause: failure,
  });
}
