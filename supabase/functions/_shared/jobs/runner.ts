/** Runs one claimed job to its end, and turns how it ended into SQL. Nothing else does. */
import type { ClaimedJob, Dependency } from "../contracts/jobs.ts";
import { AppError } from "../failures/app-error.ts";
import { isOutage } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import type { Logger } from "../platform/log.ts";
import type { Heartbeats } from "./heartbeats.ts";
import {
  CancelRequested,
  type Completion,
  LeaseLost,
  ShuttingDown,
  Snooze,
} from "./outcome.ts";
import {
  makePaidCall,
  type PaidCall,
  toEnding,
  undoPaidCalls,
} from "./paid-call.ts";
import { pauseFor, RECOVERY_STAGE } from "./pauses.ts";
import type { JobRepository } from "./repository.ts";

/** What a processor works with. */
export interface JobContext {
  job: ClaimedJob;
  log: Logger;
  /** Aborts when the lease is lost, the isolate ends or its time is up. Goes with every outside call. */
  signal: AbortSignal;
  /** Milliseconds that this isolate can still be counted on. */
  remainingMs(): number;
  /** Reports progress (1 to 99) and stage. Not waited for: several reports may travel as one. */
  progress(percentage: number, stage: string): void;
  /** Result and output of the job that this one depends on, which is completed; null when it names none. */
  dependency(): Promise<Dependency | null>;
  /** See {@link makePaidCall}. Neither a shutdown nor the end of its time aborts it (its answer is worth waiting for), a cancellation does. */
  pay(call: PaidCall): Promise<string>;
  /**
   * Says how much a paid call did take, in the unit of {@link PaidCall.units}, where that is known only after it.
   * @throws {LeaseLost} when the job is no longer ours.
   */
  took(operation: string, units: number): Promise<void>;
}

/** The work of one job type. It returns what to complete the job with, or throws one of outcome.ts. */
export interface Processor {
  jobType: string;
  run(context: JobContext): Promise<Completion>;
}

/** Where the result of an earlier equal job may be found. */
export interface ResultLookup {
  find(inputHash: string): Promise<string | null>;
  remember(inputHash: string, jobId: string, userId: string): Promise<void>;
}

/** What the runner needs around it. */
export interface RunnerDeps {
  platform: Pick<PlatformDeps, "uptimeMs">;
  repository: JobRepository;
  processors: ReadonlyMap<string, Processor>;
  results: ResultLookup;
  log: Logger;
  /** Uptime in milliseconds at which nothing may be running any more. */
  deadlineMs: number;
  /** Aborts when the platform announces the end of the isolate. */
  shutdown: AbortSignal;
  heartbeats: Heartbeats;
  /** Removes what a job that is not ours any more has stored, if the job was deleted; answers how many files. */
  removeLostFiles(job: Pick<ClaimedJob, "id" | "user_id">): Promise<number>;
}

/**
 * Runs a claimed job: result cache, processor, heartbeats, ending.
 *
 * Guarantees: never throws; while it works its lease is extended; when the lease is lost it stops, writes nothing
 * more, and removes the files of a job that was deleted; when the owner cancels it stops within a heartbeat and writes that; each step is one log line with `job_id`, `attempt` and the dispatch's `request_id`.
 */
export async function runJob(deps: RunnerDeps, job: ClaimedJob): Promise<void> {
  const log = deps.log.with({
    job_id: job.id,
    job_type: job.job_type,
    attempt: job.attempt,
  });
  const stop = new AbortController();
  const heartbeat = deps.heartbeats.watch(job, (reason) => stop.abort(reason));
  const isPaying = { now: false };
  const made: { call: PaidCall; providerObjectId: string }[] = [];
  let failedToPay: unknown;
  // Why the run should stop, once it does not pay: what is paid for is worth waiting for as long as the isolate lives.
  let ending: ShuttingDown | undefined;
  const stopUnlessPaying = () => {
    if (ending !== undefined && !isPaying.now) stop.abort(ending);
  };
  const onShutdown = () => {
    ending ??= deps.shutdown.reason;
    stopUnlessPaying();
  };
  const timeIsUp = setTimeout(
    () => {
      ending ??= new ShuttingDown("time is up");
      stopUnlessPaying();
    },
    Math.max(0, deps.deadlineMs - deps.platform.uptimeMs()),
  );
  deps.shutdown.addEventListener("abort", onShutdown);
  const mayGoOn = () => {
    if (deps.shutdown.aborted) onShutdown();
    stopUnlessPaying();
    stop.signal.throwIfAborted();
  };
  log.info("job_started");
  try {
    mayGoOn();
    if (await reuse(deps, job, log)) return;
    const processor = deps.processors.get(job.job_type);
    if (processor === undefined) {
      throw JobFailure.final("job_type_not_supported");
    }
    const completion = await processor.run({
      job,
      log,
      signal: stop.signal,
      remainingMs: () =>
        Math.max(0, deps.deadlineMs - deps.platform.uptimeMs()),
      progress: (percentage, stage) => {
        mayGoOn();
        heartbeat.report(percentage, stage);
        log.info("job_progress", { progress: percentage, stage });
      },
      dependency: () => deps.repository.dependencyOf(job),
      pay: async (call) => {
        await heartbeat.sent();
        mayGoOn();
        isPaying.now = true;
        let id: string;
        try {
          id = await makePaidCall(
            deps.repository,
            job,
            {
              ...call,
              send: (signal) => {
                log.info("provider_call_sent", { operation: call.operation });
                return call.send(signal);
              },
            },
            stop.signal,
            heartbeat.isOurs,
          );
        } catch (error) {
          failedToPay = error;
          throw error;
        } finally {
          isPaying.now = false;
        }
        made.push({ call, providerObjectId: id });
        log.info("provider_call_settled", {
          operation: call.operation,
          provider_object_id: id,
        });
        // Not after a call that failed: the run ends with what the provider said, not with the end of the isolate.
        stopUnlessPaying();
        return id;
      },
      async took(operation, units) {
        await heartbeat.sent();
        if (!await deps.repository.reviseProviderCall(job, operation, units)) {
          throw new LeaseLost();
        }
      },
    });
    await heartbeat.sent();
    if (!await deps.repository.complete(job, completion)) throw new LeaseLost();
    log.info("job_completed", { progress: 100 });
    if (job.input_hash !== null) {
      await deps.results.remember(job.input_hash, job.id, job.user_id);
    }
  } catch (error) {
    await heartbeat.sent();
    if (stop.signal.reason instanceof CancelRequested) {
      await undoPaidCalls(made);
    }
    const isLost = await end(
      deps.repository,
      job,
      stop.signal.aborted ? stop.signal.reason : error,
      error,
      // What failed in paying is no matter of waiting: an attempt is what bounds how often that is tried.
      error !== failedToPay && (made.length > 0 || job.spend === "incurred"),
      log,
    );
    if (isLost) await removeLostFiles(deps, job, log);
  } finally {
    clearTimeout(timeIsUp);
    deps.shutdown.removeEventListener("abort", onShutdown);
    await heartbeat.stop();
  }
}

/** Best effort: what stays is found by the janitor. */
async function removeLostFiles(
  deps: RunnerDeps,
  job: ClaimedJob,
  log: Logger,
): Promise<void> {
  try {
    const removed = await deps.removeLostFiles(job);
    if (removed > 0) log.info("lost_files_removed", { files: removed });
  } catch (error) {
    log.warn("lost_files_not_removed", { error });
  }
}

/** Seconds between two tries of a job that has paid, while what it needs is away. */
const RECOVERY_PAUSES = { first: 5, longest: 300 };

async function reuse(
  deps: RunnerDeps,
  job: ClaimedJob,
  log: Logger,
): Promise<boolean> {
  if (job.input_hash === null) return false;
  const source = await deps.results.find(job.input_hash);
  if (source === null || source === job.id) return false;
  const isReused = await deps.repository.reuseResult(job, source);
  log.info(isReused ? "job_completed" : "cached_result_unusable", {
    cached_from_job_id: source,
  });
  return isReused;
}

/** What an attempt failed with that threw `error`, or was stopped by a {@link ShuttingDown} that it caused. */
function failureOf(error: unknown, reason: unknown): JobFailure {
  if (error instanceof JobFailure && !error.isRetryable) return error;
  if (reason instanceof ShuttingDown) {
    return JobFailure.retryable("worker_limit_exceeded", {
      cause: reason,
    });
  }
  if (error instanceof JobFailure) return error;
  const isAway = error instanceof AppError &&
    error.code === "service_unavailable";
  return JobFailure.retryable(isAway ? error.code : "internal_error", {
    cause: error,
  });
}

/**
 * Writes how a run ended. `reason` is why it was stopped, or `thrown` itself when nothing stopped it: an aborted
 * provider call throws an error of its own that must not be taken for the provider's fault. A run that has paid
 * (`hasPaid`) does not spend its attempts on trouble that passes: it waits, as long as its type's max_age_seconds allow.
 * Answers whether the lease is lost, so that nothing was written.
 */
async function end(
  repository: JobRepository,
  job: ClaimedJob,
  reason: unknown,
  thrown: unknown,
  hasPaid: boolean,
  log: Logger,
): Promise<boolean> {
  // Of a call that costs nothing: those that are paid for are dealt with where they are made.
  const error = thrown instanceof ProviderFailure
    ? toEnding(thrown, "waiting_for_provider")
    : thrown;
  try {
    if (reason instanceof LeaseLost || error instanceof LeaseLost) {
      log.warn("lease_lost");
      return true;
    } else if (
      reason instanceof CancelRequested || error instanceof CancelRequested
    ) {
      const isCancelled = await repository.cancel(job);
      log.info(isCancelled ? "job_cancelled" : "lease_lost");
      return !isCancelled;
    } else if (error instanceof Snooze) {
      const isSnoozed = await repository.snooze(
        job,
        error.seconds,
        error.stage,
      );
      log.info(isSnoozed ? "job_snoozed" : "lease_lost", {
        seconds: error.seconds,
        stage: error.stage,
        ...(error.cause === undefined ? {} : { error: error.cause }),
      });
      return !isSnoozed;
    } else if (
      reason instanceof ShuttingDown &&
      !(error instanceof JobFailure && !error.isRetryable) &&
      // What is paid for is not given up: the age of the job bounds it.
      (hasPaid || !reason.isCausedByJob)
    ) {
      const isReleased = await repository.release(job);
      log.info(isReleased ? "job_released" : "lease_lost", { error: reason });
      return !isReleased;
    } else {
      const failure = failureOf(error, reason);
      if (hasPaid && failure.isRetryable && isOutage(failure.code)) {
        const seconds = failure.retryAfterSeconds ??
          pauseFor(job, RECOVERY_PAUSES);
        const isSnoozed = await repository.snooze(job, seconds, RECOVERY_STAGE);
        log.warn(isSnoozed ? "job_waits_for_recovery" : "lease_lost", {
          seconds,
          error: failure,
        });
        return !isSnoozed;
      }
      const status = await repository.fail(job, {
        code: failure.code,
        message: failure.message,
        isRetryable: failure.isRetryable,
        retryAfterSeconds: failure.retryAfterSeconds,
      });
      const event = status === null
        ? "lease_lost"
        : status === "pending"
        ? "job_will_retry"
        : status === "cancelled"
        ? "job_cancelled"
        : "job_failed";
      log.warn(event, { error_code: failure.code, error: failure });
      return status === null;
    }
  } catch (writeError) {
    // The database did not take it. The lease runs out and the sweep takes the job back.
    log.error("job_end_not_written", { error: writeError, after: error });
    return false;
  }
}
