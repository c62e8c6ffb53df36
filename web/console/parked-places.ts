/** The list of parked jobs: what an operator may be about to press keeps its place. */
import type { ParkedJob } from "./responses.ts";

/** A shown job. Answered: it does not wait for an answer any more. */
export interface Place {
  job: ParkedJob;
  isAnswered: boolean;
}

/** What is shown, and what follows it. */
export interface Places {
  shown: readonly Place[];
  more: readonly ParkedJob[];
}

const waitsSince = (job: ParkedJob | undefined) =>
  Date.parse(job?.calls[0]?.unknown_since ?? "");

/** Whether a list of at most `limit` calls may have no room for a job that it had before. */
function isBeyond(
  job: ParkedJob,
  jobs: readonly ParkedJob[],
  limit: number,
): boolean {
  const calls = jobs.reduce((sum, one) => sum + one.calls.length, 0);
  return calls >= limit && !(waitsSince(job) < waitsSince(jobs.at(-1)));
}

/**
 * Shows the jobs of a response below those that are shown already, until `open` of them wait for an answer. Those that
 * the response lacks stay where they are, as answered.
 */
export function keepPlaces(
  shown: readonly Place[],
  jobs: readonly ParkedJob[],
  { open, limit }: { open: number; limit: number },
): Places {
  const waiting = new Map(jobs.map((job) => [job.job_id, job]));
  const kept = shown.map(({ job, isAnswered }) => {
    const now = waiting.get(job.job_id);
    waiting.delete(job.job_id);
    return now === undefined
      ? { job, isAnswered: isAnswered || !isBeyond(job, jobs, limit) }
      : { job: now, isAnswered: false };
  });
  const others = [...waiting.values()];
  const room = Math.max(
    0,
    open - kept.filter(({ isAnswered }) => !isAnswered).length,
  );
  return {
    shown: [
      ...kept,
      ...others.slice(0, room).map((job) => ({ job, isAnswered: false })),
    ],
    more: others.slice(room),
  };
}
