/** How long a job waits before it calls its provider again, and the stages that it shows meanwhile. */
import type { ClaimedJob } from "../contracts/jobs.ts";

/** Between two queries of a provider's listing, which may lag behind. */
export const RECONCILE_PAUSE_SECONDS = 10;
/** When the account has as many concurrent calls as it may, and the provider does not say how long to wait. */
export const OWN_LOAD_PAUSE_SECONDS = 10;

/** Stage of a job that waits for the end of an outage. */
export const RECOVERY_STAGE = "waiting_for_recovery";

/** Bounds of the pause between two polls, in seconds. */
export interface Pauses {
  first: number;
  longest: number;
}

/** Seconds until the next poll: half of the time since the job started, within the bounds, by the database's clock. */
export function pauseFor(
  job: Pick<ClaimedJob, "started_at" | "updated_at">,
  { first, longest }: Pauses,
): number {
  const seconds = (Date.parse(job.updated_at) - Date.parse(job.started_at)) /
    1000;
  return Math.min(Math.max(seconds / 2, first), longest);
}
