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

/** Reasons of the platform for ending an isolate that used more than it may. */
const LIMITS = ["cpu", "memory"];

/** What a worker needs; the runner's own needs that differ by isolate or request are the worker's to set. */
export interface WorkerDeps extends
  Omit<
    RunnerDeps,
    "deadlineMs" | "shutdown" | "log" | "heartbeats"
  > {
  concurrency: number;
  /**
   * Work on one job at a time, and claim again only in answer to another request. For work that uses up most of the
   * processor time that an isolate has.
   * @default false
   */
  isOneJobPerRequest?: boolean;
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
   * @param claim claims up to `limit` jobs; `limit` is 0 when the isolate is full, too old or about to end. Then the log
   *   says which, as `claim_refused`.
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
 * after half of the wall clock or once the end is announced, and then another isolate is asked to go on, once for the
 * dispatches that still come and once for each job that ends, as after each job with `isOneJobPerRequest`; on that
 * announcement the jobs in hand are handed back to the queue, and a single one that has used up the isolate's processor
 * time or memory spends its attempt.
 */
export function createWorker(deps: WorkerDeps): Worker {
  const isOneJobPerRequest = deps.isOneJobPerRequest ?? false;
  const concurrency = isOneJobPerRequest ? 1 : deps.concurrency;
  const shutdown = new AbortController();
  const deadlineMs = deps.wallClockMs * FINISH_BY;
  const heartbeats = new Heartbeats(
    deps.platform,
    deps.repository,
    deps.log,
  );
  // Slots taken: jobs that run, and room that a claim under way may fill.
  let taken = 0;
  let running = 0;
  deps.onShutdown((reason) =>
    shutdown.abort(
      new ShuttingDown(reason, {
        isCausedByJob: running === 1 && taken === 1 &&
          LIMITS.includes(reason),
      }),
    )
  );
  let isFilling = false;
  // A dispatch found no room, or only as much as it filled: more of what it told of may still wait.
  let isHintMissed = false;
  let hasWoken = false;

  /** Why nothing may be claimed any more. */
  const closing = () =>
    shutdown.signal.aborted
      ? "ending"
      : deps.platform.uptimeMs() >= deps.wallClockMs * CLAIM_UNTIL
      ? "too_old"
      : undefined;
  const isClosing = () => closing() !== undefined;

  async function take(
    claim: (limit: number) => Promise<ClaimedJob[]>,
    log: Logger,
  ): Promise<ClaimedJob[]> {
    const reason = closing() ??
      (taken >= concurrency ? "full" : undefined);
    const limit = reason === undefined ? concurrency - taken : 0;
    taken += limit;
    let jobs: ClaimedJob[] = [];
    try {
      jobs = await claim(limit);
      if (jobs.length === limit) isHintMissed = true;
      if (reason !== undefined) refuse(reason, log);
    } finally {
      taken -= limit - jobs.length;
      for (const job of jobs) deps.waitUntil(work(job, log));
      // Also after a claim that failed: the slots that it held are what the other dispatch lacked. Not by one that is
      // closing: it has nothing to fill them with.
      if (
        isHintMissed && taken < concurrency && !isClosing() &&
        !isOneJobPerRequest
      ) {
        deps.waitUntil(fill(log));
      }
    }
    return jobs;
  }

  /** Says why a dispatch gets nothing here, and has another isolate asked where this one will not come back to it. */
  function refuse(reason: "ending" | "too_old" | "full", log: Logger): void {
    const fields = {
      reason,
      uptime_ms: Math.round(deps.platform.uptimeMs()),
    };
    // The platform gives a retired isolate nothing: one that is asked often at this age lives longer than it was told.
    if (reason === "too_old") log.warn("claim_refused", fields);
    else log.info("claim_refused", fields);
    if (reason !== "full") deps.waitUntil(wakeOnce(log));
  }

  /**
   * Once in the life of this isolate: where it lives longer than ISOLATE_WALL_CLOCK says, the call may come to itself, and
   * would be answered by another without end. The sweep dispatches what is then still due.
   */
  async function wakeOnce(log: Logger): Promise<void> {
    if (hasWoken) return;
    hasWoken = true;
    try {
      // Nothing was waiting: the next dispatch may find something that is.
      if (!await deps.repository.wake()) hasWoken = false;
    } catch (error) {
      hasWoken = false;
      log.warn("wake_failed", { error });
    }
  }

  async function work(job: ClaimedJob, log: Logger): Promise<void> {
    running++;
    try {
      await runJob(
        { ...deps, log, heartbeats, deadlineMs, shutdown: shutdown.signal },
        job,
      );
    } finally {
      running--;
      taken--;
    }
    await fill(log);
  }

  /** Takes what is due until there is no room or nothing left; one at a time, so that slots that come free together share a claim. */
  async function fill(log: Logger): Promise<void> {
    if (isFilling) return;
    isFilling = true;
    try {
      while (!isClosing() && taken < concurrency && !isOneJobPerRequest) {
        isHintMissed = false;
        const jobs = await take(
          (limit) => deps.repository.claimDue(limit),
          log,
        );
        // What was missed during this claim may have come too late for it.
        if (jobs.length === 0 && !isHintMissed) return;
      }
      if (isClosing() || isOneJobPerRequest) await deps.repository.wake();
    } catch (error) {
      // The sweep finds what is due without us.
      log.warn("claim_failed", { error });
    } finally {
      isFilling = false;
    }
  }

  return { take };
}
