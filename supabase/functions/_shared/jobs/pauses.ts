/** How long to leave a provider alone between two looks at what it is making. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import { isOutage, isTransient } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import { Snooze } from "./outcome.ts";

/**
 * Stage of a job that waits until trouble of its provider, or ours, is over. The breaker knows the word: to have waited so
 * is no sign that the provider works (`private.note_provider_progress`).
 */
export const RECOVERY_STAGE = "waiting_for_recovery";

/** Bounds of the pause between two looks, in seconds. */
export interface Pauses {
  first: number;
  longest: number;
}

/**
 * Seconds until the next look: half of the time that has gone by since the job began, within the bounds. Both times are
 * the database's.
 */
export function pauseFor(
  job: Pick<ClaimedJob, "started_at" | "updated_at">,
  { first, longest }: Pauses,
): number {
  const seconds = (Date.parse(job.updated_at) - Date.parse(job.started_at)) /
    1000;
  return Math.min(Math.max(seconds / 2, first), longest);
}

/**
 * Makes a call that costs nothing.
 *
 * @throws {Snooze} when the provider is in trouble that passes: it spends no attempt.
 * @throws {JobFailure} for every other failure of the provider. What is no {@link ProviderFailure} is thrown as it is.
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
    const { retryAfterSeconds } = error;
    if (isTransient(error.code)) {
      throw new Snooze(
        retryAfterSeconds ?? pauseFor(job, pauses),
        isOutage(error.code) ? RECOVERY_STAGE : "waiting_for_provider",
        { cause: error },
      );
    }
    throw new JobFailure(error.code, {
      isRetryable: error.isRetryable,
      retryAfterSeconds,
      cause: error,
    });
  }
}
