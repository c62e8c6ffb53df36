/** The jobs that one isolate has in hand: how many at once, and for how long it may take new ones. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import type { Logger } from "../platform/log.ts";
import { Heartbeats } from "./heartbeats.ts";
import { ShuttingDown } from "./outcome.ts";
import { runJob, type RunnerDeps } from "./runner.ts";

/** The platform retires an isolate at half of its wall clock; nothing new is begun after that. */
const CLAIM_UNTIL = 0.5;
/** The platform announces the end at nine tenths; everything should be over or handed back by then. */
const FINISH_BY = 0.9;

/** What a worker needs; the runner's own needs that differ by isolate or request are the worker's to set. */
export interface WorkerDeps extends
  Omit<
    RunnerDeps,
    "deadlineMs" | "shutdown" | "log" | "heartbeats"
  > {
  concurrency: number;
  /** How long the isolate lives, in milliseconds. */
  wallClockMs: number;
  onShutdown(callback: (reason: string) => void): void;
  /** Keeps the isolate alive for work that goes on after the answer. */
  waitUntil(promise: Promise<unknown>): void;
  /** The log of what belongs to no single request. */
  log: Logger;
}

/** The worker of an isolate. */
export interface Worker {
  /**
   * Claims as many jobs as fit and begins them in the background, and afterwards whatever else is due as slots come
   * free.
   *
   * @param claim claims up to `limit` jobs; `limit` is 0 when the isolate is full, too old or about to end.
   * @returns the jobs that were claimed. Throws what `claim` throws.
   */
  take(
    claim: (limit: number) => Promise<ClaimedJob[]>,
    log: Logger,
  ): Promise<ClaimedJob[]>;
}

/**
 * Makes the worker of this isolate.
 *
 * Guarantees: never more than `concurrency` jobs at once, over all dispatches, however they overlap; nothing is claimed
 * after half of the wall clock or once the end is announced, and then another isolate is asked to go on; on that
 * announcement the jobs in hand are handed back to the queue.
 */
export function createWorker(deps: WorkerDeps): Worker {
  const shutdown = new AbortController();
  deps.onShutdown((reason) => shutdown.abort(new ShuttingDown(reason)));
  const deadlineMs = deps.wallClockMs * FINISH_BY;
  const heartbeats = new Heartbeats(
    deps.platform,
    deps.repository,
    deps.log,
  );
  // Slots taken: jobs that run, and room that a claim under way may fill.
  let taken = 0;
  let isFilling = false;
  // A dispatch found no room, or only as much as it filled: more of what it told of may still wait.
  let isHintMissed = false;

  const isClosing = () =>
    shutdown.signal.aborted ||
    deps.platform.uptimeMs() >= deps.wallClockMs * CLAIM_UNTIL;

  async function take(
    claim: (limit: number) => Promise<ClaimedJob[]>,
    log: Logger,
  ): Promise<ClaimedJob[]> {
    const limit = isClosing() ? 0 : Math.max(0, deps.concurrency - taken);
    taken += limit;
    let jobs: ClaimedJob[] = [];
    try {
      jobs = await claim(limit);
      if (jobs.length === limit) isHintMissed = true;
    } finally {
      taken -= limit - jobs.length;
      for (const job of jobs) deps.waitUntil(work(job, log));
      // Also after a claim that failed: the slots that it held are what the other dispatch lacked. Not by one that is
      // closing: it would ask for another isolate, and where that is itself, be asked again without end.
      if (isHintMissed && taken < deps.concurrency && !isClosing()) {
        deps.waitUntil(fill(log));
      }
    }
    return jobs;
  }

  async function work(job: ClaimedJob, log: Logger): Promise<void> {
    try {
      await runJob(
        { ...deps, log, heartbeats, deadlineMs, shutdown: shutdown.signal },
        job,
      );
    } finally {
      taken--;
    }
    await fill(log);
  }

  /** Takes what is due until there is no room or nothing left; one at a time, so that slots that come free together share a claim. */
  async function fill(log: Logger): Promise<void> {
    if (isFilling) return;
    isFilling = true;
    try {
      while (!isClosing() && taken < deps.concurrency) {
        isHintMissed = false;
        const jobs = await take(
          (limit) => deps.repository.claimDue(limit),
          log,
        );
        // What was missed during this claim may have come too late for it.
        if (jobs.length === 0 && !isHintMissed) return;
      }
      if (isClosing()) await deps.repository.wake();
    } catch (error) {
      // The sweep finds what is due without us.
      log.warn("claim_failed", { error });
    } finally {
      isFilling = false;
    }
  }

  return { take };
}
