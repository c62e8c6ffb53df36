/** The jobs that one isolate runs: how many at the same time, and until when it claims new ones. */
import { setImmediate } from "node:timers";
import type { ClaimedJob } from "../contracts/jobs.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import type { Logger } from "../platform/log.ts";
import { Heartbeats } from "./heartbeats.ts";
import { JobRun, type JobRunDeps } from "./job-run.ts";
import { ShuttingDown } from "./outcome.ts";

/** The platform retires an isolate at half of its wall clock; nothing is claimed after that. */
const CLAIM_UNTIL = 0.5;
/** The platform announces the end at nine tenths; by then every job must be finished or released. */
const FINISH_BY = 0.9;

/** Between two polls. A longer pause claims more jobs in one call, and makes each wait longer. */
const POLL_PAUSE_MS = 10;
/** How often a full worker that polls pauses before it leaves new jobs to other isolates. */
const MAX_PAUSES = 20;

/** Reasons of the platform for ending an isolate that exceeded a limit. */
const LIMITS = ["cpu", "memory"];

/** What a worker needs. It sets those parts of {@link JobRunDeps} itself that differ by isolate or request. */
export interface WorkerDeps extends
  Omit<
    JobRunDeps,
    "deadlineMs" | "shutdown" | "log" | "heartbeats"
  > {
  platform: Pick<PlatformDeps, "uptimeMs" | "uuid">;
  concurrency: number;
  /**
   * Run one job at a time, and claim again only on another request. For work that uses most of an isolate's
   * processor time.
   * @default false
   */
  isOneJobPerRequest?: boolean;
  /** How long the isolate lives, in milliseconds. */
  wallClockMs: number;
  onShutdown(callback: (reason: string) => void): void;
  /** Keeps the isolate alive for work that continues after the response. */
  waitUntil(promise: Promise<unknown>): void;
  /** For lines that belong to no request. */
  log: Logger;
  /**
   * The pause between two polls.
   * @default a timer of 10 ms
   */
  pause?(): Promise<void>;
}

/** The worker of an isolate. */
export interface Worker {
  /**
   * Claims as many jobs as fit and starts them in the background; later claims more due jobs as slots become free.
   *
   * @param claimJobs claims up to `limit` jobs; `limit` is 0 when the isolate is full, too old or ending. The log then
   *   says which, as `claim_refused`.
   * @returns the claimed jobs. Throws what `claimJobs` throws.
   */
  claim(
    claimJobs: (limit: number) => Promise<ClaimedJob[]>,
    log: Logger,
  ): Promise<ClaimedJob[]>;
}

/**
 * Creates the worker of this isolate.
 *
 * Guarantees: never more than `concurrency` jobs at the same time, over all dispatches. Nothing is claimed after half
 * of the wall clock or once the end is announced; another isolate is then woken, once for the dispatches that still
 * arrive and once for each job that ends. `isOneJobPerRequest` wakes another after each job. While dispatches arrive
 * faster than they are claimed, the worker polls instead, and inserts rely on that. When the end is announced, running
 * jobs are released to the queue; a single one that exceeded the isolate's processor time or memory spends its attempt.
 */
export function createWorker(deps: WorkerDeps): Worker {
  const isOneJobPerRequest = deps.isOneJobPerRequest ?? false;
  const concurrency = isOneJobPerRequest ? 1 : deps.concurrency;
  const pause = deps.pause ??
    (() => new Promise<void>((resolve) => setTimeout(resolve, POLL_PAUSE_MS)));
  const shutdown = new AbortController();
  const deadlineMs = deps.wallClockMs * FINISH_BY;
  const heartbeats = new Heartbeats(
    deps.platform,
    deps.repository,
    deps.log,
  );
  // Running jobs, and room reserved by a claim in flight.
  let slotsUsed = 0;
  let running = 0;
  deps.onShutdown((reason) =>
    shutdown.abort(
      new ShuttingDown(reason, {
        isCausedByJob: running === 1 && slotsUsed === 1 &&
          LIMITS.includes(reason),
      }),
    )
  );
  let isFilling = false;
  // A dispatch found no free slot, or filled all of them: more jobs may be due than it could claim.
  let moreMayBeDue = false;
  let hasWoken = false;
  let claimsInFlight = 0;
  let dispatchesOverlap = false;

  /** Why no more jobs may be claimed. */
  const closing = () =>
    shutdown.signal.aborted
      ? "ending"
      : deps.platform.uptimeMs() >= deps.wallClockMs * CLAIM_UNTIL
      ? "too_old"
      : undefined;
  const isClosing = () => closing() !== undefined;

  async function claim(
    claimJobs: (limit: number) => Promise<ClaimedJob[]>,
    log: Logger,
  ): Promise<ClaimedJob[]> {
    const reason = closing() ??
      (slotsUsed >= concurrency ? "full" : undefined);
    const limit = reason === undefined ? concurrency - slotsUsed : 0;
    slotsUsed += limit;
    if (claimsInFlight > 0 && running < concurrency) dispatchesOverlap = true;
    claimsInFlight++;
    let jobs: ClaimedJob[] = [];
    try {
      jobs = await claimJobs(limit);
      if (jobs.length === limit) moreMayBeDue = true;
      if (reason !== undefined) refuse(reason, log);
    } finally {
      claimsInFlight--;
      slotsUsed -= limit - jobs.length;
      for (const job of jobs) deps.waitUntil(work(job, log));
      // Also after a claim that failed: another dispatch may have lacked the slots that this one held. An isolate that
      // is closing has no use for free slots.
      if (
        moreMayBeDue && slotsUsed < concurrency && !isClosing() &&
        !isOneJobPerRequest
      ) {
        deps.waitUntil(fill(log));
      }
    }
    return jobs;
  }

  /** Logs why a dispatch got no job, and wakes another isolate where this one will not claim again. */
  function refuse(reason: "ending" | "too_old" | "full", log: Logger): void {
    const fields = {
      reason,
      uptime_ms: Math.round(deps.platform.uptimeMs()),
    };
    // The platform sends nothing to a retired isolate: frequent lines here mean that ISOLATE_WALL_CLOCK is too low.
    if (reason === "too_old") log.warn("claim_refused", fields);
    else log.info("claim_refused", fields);
    if (reason !== "full") deps.waitUntil(wakeOnce(log));
  }

  /**
   * At most once in the life of this isolate: if ISOLATE_WALL_CLOCK is too low, the call may reach this same isolate,
   * which would otherwise respond with another call, endlessly. The sweep dispatches what is still due.
   */
  async function wakeOnce(log: Logger): Promise<void> {
    if (hasWoken) return;
    hasWoken = true;
    try {
      // Nothing was due: a later dispatch may find something that is.
      if (!await deps.repository.wake()) hasWoken = false;
    } catch (error) {
      hasWoken = false;
      log.warn("wake_failed", { error });
    }
  }

  async function work(job: ClaimedJob, log: Logger): Promise<void> {
    running++;
    try {
      await new JobRun(
        { ...deps, log, heartbeats, deadlineMs, shutdown: shutdown.signal },
        job,
      ).run();
    } finally {
      running--;
      slotsUsed--;
    }
    await fill(log);
  }

  /**
   * Claims until no slot is free or nothing is due. Only one instance runs, so that slots that become free together
   * share a claim. Polls while dispatches overlap: one claim then replaces those of many dispatches.
   */
  async function fill(log: Logger): Promise<void> {
    if (isFilling) return;
    isFilling = true;
    // Set while inserts rely on the next poll.
    let pollId: string | undefined;
    const hasRoom = () =>
      !isOneJobPerRequest && !isClosing() && slotsUsed < concurrency;
    const claimNext = async (isLast = false) => {
      // Jobs that one response ended free their slots within this turn of the event loop: one claim fills them all.
      await new Promise<void>((resolve) => setImmediate(resolve));
      moreMayBeDue = false;
      const id = pollId;
      const jobs = await claim(
        (limit) =>
          id === undefined
            ? deps.repository.claimDue(limit)
            : deps.repository.poll({ id, isLast }, limit),
        log,
      );
      if (isLast) pollId = undefined;
      // A job that a dispatch missed during this claim may have become due too late for it.
      if (moreMayBeDue) return "more";
      return jobs.length === 0 ? "none" : "some";
    };
    try {
      while (hasRoom()) {
        if (dispatchesOverlap) pollId ??= deps.platform.uuid();
        dispatchesOverlap = false;
        let found = await claimNext();
        if (found === "none" && pollId !== undefined) {
          found = await claimNext(true);
        }
        if (found === "none") break;
        if (pollId === undefined || (found === "more" && hasRoom())) continue;
        // A full worker keeps polling if a slot becomes free soon; otherwise another isolate may be called.
        let pauses = 0;
        do {
          await pause();
          pauses++;
        } while (
          slotsUsed >= concurrency && !isClosing() && pauses < MAX_PAUSES
        );
      }
    } catch (error) {
      // The sweep dispatches what is due.
      log.warn("claim_failed", { error });
    } finally {
      isFilling = false;
    }
    await handOver(pollId, log);
  }

  /** Leaves what this isolate will not claim, and what relied on its polls, to another one. */
  async function handOver(
    pollId: string | undefined,
    log: Logger,
  ): Promise<void> {
    if (pollId === undefined && !isClosing() && !isOneJobPerRequest) return;
    try {
      if (pollId !== undefined) {
        await deps.repository.poll({ id: pollId, isLast: true }, 0);
      }
      await deps.repository.wake();
    } catch (error) {
      // The sweep dispatches what is due.
      log.warn("wake_failed", { error });
    }
  }

  return { claim };
}
