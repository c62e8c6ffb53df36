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

/** The worker of an isolate. */
export interface Worker {
  /** How many more jobs may be claimed now; 0 when the isolate is too old or about to end. */
  freeSlots(): number;
  /** Runs these claimed jobs, and what else is due as slots come free. Never rejects. */
  run(jobs: ClaimedJob[], log: Logger): Promise<void>;
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
  let running = 0;

  const freeSlots = () =>
    shutdown.signal.aborted ||
      deps.platform.uptimeMs() >= deps.wallClockMs * CLAIM_UNTIL
      ? 0
      : Math.max(0, deps.concurrency - running);

  async function drain(first: ClaimedJob, log: Logger): Promise<void> {
    let next: ClaimedJob | undefined = first;
    while (next !== undefined) {
      running++;
      try {
        await runJob(
          { ...deps, log, deadlineMs, shutdown: shutdown.signal },
          next,
        );
      } finally {
        running--;
      }
      next = freeSlots() > 0 ? await claimNext(log) : undefined;
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
    freeSlots,
    run: async (jobs, log) => {
      await Promise.all(jobs.map((job) => drain(job, log)));
    },
  };
}
