/** The jobs that one isolate has in hand: how many at once, and for how long it may take new ones. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import type { Logger } from "../platform/log.ts";
import { ShuttingDown } from "./outcome.ts";
import { runJob, type RunnerDeps } from "./runner.ts";

/** The platform retires an isolate at half of its wall clock; nothing new is begun after that. */
const CLAIM_UNTIL = 0.5;
/** The platform announces the end at nine tenths; everything should be over or handed back by then. */
const FINISH_BY = 0.9;

/** What a worker needs; the runner's deadline and shutdown signal are its own to set. */
export interface WorkerDeps
  extends Omit<RunnerDeps, "deadlineMs" | "shutdown" | "log"> {
  concurrency: number;
  /** How long the isolate lives, in milliseconds. */
  wallClockMs: number;
  onShutdown(callback: (reason: string) => void): void;
}

/** Jobs that a worker has taken. */
export interface Taken {
  jobs: ClaimedJob[];
  /** Resolves when these are over, and what else came due as they ended. Never rejects. */
  finished: Promise<void>;
}

/** The worker of an isolate. */
export interface Worker {
  /**
   * Claims with `claim` and begins what it answers.
   *
   * @param wanted jobs that there may be to claim.
   * @param claim gets the number of jobs that it may claim: `wanted` at most, 0 when no slot is free, the isolate is too
   *   old or about to end. Its slots are kept while it is under way. What it throws is thrown.
   */
  take(
    wanted: number,
    claim: (limit: number) => Promise<ClaimedJob[]>,
    log: Logger,
  ): Promise<Taken>;
}

/**
 * Makes the worker of this isolate.
 *
 * Guarantees: never more than `concurrency` jobs at once, over all dispatches; nothing is claimed after half of the
 * wall clock or once the end is announced; on that announcement the jobs in hand are handed back to the queue.
 */
export function createWorker(deps: WorkerDeps): Worker {
  const shutdown = new AbortController();
  deps.onShutdown((reason) => shutdown.abort(new ShuttingDown(reason)));
  const deadlineMs = deps.wallClockMs * FINISH_BY;
  /** Slots with a job, or with a claim that may bring one. */
  let taken = 0;

  const mayClaim = () =>
    !shutdown.signal.aborted &&
    deps.platform.uptimeMs() < deps.wallClockMs * CLAIM_UNTIL;

  /** Works in one slot, from this job on, until nothing more is due. */
  async function work(first: ClaimedJob, log: Logger): Promise<void> {
    let next: ClaimedJob | undefined = first;
    try {
      while (next !== undefined) {
        await runJob(
          { ...deps, log, deadlineMs, shutdown: shutdown.signal },
          next,
        );
        next = mayClaim() ? await claimNext(log) : undefined;
      }
    } finally {
      taken--;
    }
  }

  async function claimNext(log: Logger): Promise<ClaimedJob | undefined> {
    try {
      const [job] = await deps.repository.claimDue(1);
      return job;
    } catch (error) {
      log.warn("claim_failed", { error });
      return undefined;
    }
  }

  return {
    take: async (wanted, claim, log) => {
      const free = mayClaim() ? deps.concurrency - taken : 0;
      const limit = Math.min(wanted, free);
      taken += limit;
      let jobs: ClaimedJob[] = [];
      try {
        jobs = await claim(limit);
      } finally {
        taken -= limit - jobs.length;
      }
      const works = jobs.map((job) => work(job, log));
      return { jobs, finished: Promise.all(works).then(() => {}) };
    },
  };
}
