/** Runs one claimed job to its end, and turns how it ended into SQL. Nothing else does. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import { AppError } from "../errors.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import type { Logger } from "../platform/log.ts";
import {
  type Completion,
  JobFailure,
  LeaseLost,
  ShuttingDown,
  Snooze,
} from "./outcome.ts";
import { makePaidCall, type PaidCall } from "./paid-call.ts";
import type { JobRepository } from "./repository.ts";

/** What a processor works with. */
export interface JobContext {
  job: ClaimedJob;
  log: Logger;
  /** Aborts when the lease is lost, the isolate ends or its time is up. Goes with every outside call. */
  signal: AbortSignal;
  /** Milliseconds that this isolate can still be counted on. */
  remainingMs(): number;
  /** Reports progress (1 to 99) and stage, and extends the lease. */
  progress(percentage: number, stage: string): Promise<void>;
  /** See {@link makePaidCall}. A shutdown does not abort it: its answer is worth waiting for. */
  pay(call: PaidCall): Promise<string>;
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
}

/**
 * Runs a claimed job: result cache, processor, heartbeats, ending.
 *
 * Guarantees: never throws; while it works the lease is extended every third of its length; when the lease is lost it
 * stops and writes nothing more; each step is one log line with `job_id`, `attempt` and the dispatch's `request_id`.
 */
export async function runJob(deps: RunnerDeps, job: ClaimedJob): Promise<void> {
  const log = deps.log.with({
    job_id: job.id,
    job_type: job.job_type,
    attempt: job.attempt,
  });
  const stop = new AbortController();
  const heartbeat = startHeartbeat(deps.repository, job, stop, log);
  const isPaying = { now: false };
  const onShutdown = () => {
    if (!isPaying.now) stop.abort(deps.shutdown.reason);
  };
  const timeIsUp = setTimeout(
    () => stop.abort(new ShuttingDown("time is up")),
    Math.max(0, deps.deadlineMs - deps.platform.uptimeMs()),
  );
  deps.shutdown.addEventListener("abort", onShutdown);
  const mayGoOn = () => {
    if (deps.shutdown.aborted) onShutdown();
    stop.signal.throwIfAborted();
  };
  log.info("job_started");
  try {
    mayGoOn();
    if (await reuse(deps, job, log)) return;
    const processor = deps.processors.get(job.job_type);
    if (processor === undefined) {
      throw new JobFailure("job_type_not_supported", { isRetryable: false });
    }
    const completion = await processor.run({
      job,
      log,
      signal: stop.signal,
      remainingMs: () =>
        Math.max(0, deps.deadlineMs - deps.platform.uptimeMs()),
      progress: async (percentage, stage) => {
        mayGoOn();
        if (await deps.repository.heartbeat(job, percentage, stage) === null) {
          throw new LeaseLost();
        }
        log.info("job_progress", { progress: percentage, stage });
      },
      pay: async (call) => {
        mayGoOn();
        isPaying.now = true;
        let id: string;
        try {
          id = await makePaidCall(deps.repository, job, call);
        } finally {
          isPaying.now = false;
        }
        log.info("provider_call_settled", {
          operation: call.operation,
          provider_object_id: id,
        });
        // Not after a call that failed: the run ends with what the provider said, not with the shutdown.
        if (deps.shutdown.aborted) onShutdown();
        return id;
      },
    });
    if (!await deps.repository.complete(job, completion)) throw new LeaseLost();
    log.info("job_completed", { progress: 100 });
    if (job.input_hash !== null) {
      await deps.results.remember(job.input_hash, job.id, job.user_id);
    }
  } catch (error) {
    await end(
      deps.repository,
      job,
      stop.signal.aborted ? stop.signal.reason : error,
      error,
      log,
    );
  } finally {
    clearTimeout(timeIsUp);
    deps.shutdown.removeEventListener("abort", onShutdown);
    heartbeat.stop();
  }
}

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

/**
 * Writes how a run ended. `reason` is why it was stopped, or `error` itself when nothing stopped it: an aborted
 * provider call throws an error of its own that must not be taken for the provider's fault.
 */
async function end(
  repository: JobRepository,
  job: ClaimedJob,
  reason: unknown,
  error: unknown,
  log: Logger,
): Promise<void> {
  try {
    if (reason instanceof LeaseLost || error instanceof LeaseLost) {
      log.warn("lease_lost");
    } else if (error instanceof Snooze) {
      await repository.snooze(job, error.seconds, error.stage);
      log.info("job_snoozed", { seconds: error.seconds, stage: error.stage });
    } else if (
      reason instanceof ShuttingDown &&
      !(error instanceof JobFailure && !error.isRetryable)
    ) {
      await repository.release(job);
      log.info("job_released", { error: reason });
    } else {
      const failure = error instanceof JobFailure ? error : new JobFailure(
        error instanceof AppError && error.code === "service_unavailable"
          ? error.code
          : "internal_error",
        { isRetryable: true, cause: error },
      );
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
        : "job_failed";
      log.warn(event, { error_code: failure.code, error: failure });
    }
  } catch (writeError) {
    // The database did not take it. The lease runs out and the sweep takes the job back.
    log.error("job_end_not_written", { error: writeError, after: error });
  }
}

function startHeartbeat(
  repository: JobRepository,
  job: ClaimedJob,
  stop: AbortController,
  log: Logger,
): { stop(): void } {
  // Both times are the database's, so this is the lease's length whatever the worker's clock shows.
  const leaseMs = Date.parse(job.lease_expires_at) - Date.parse(job.updated_at);
  let isBusy = false;
  const timer = setInterval(async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      if (await repository.heartbeat(job) === null) stop.abort(new LeaseLost());
    } catch (error) {
      log.warn("heartbeat_failed", { error });
    } finally {
      isBusy = false;
    }
  }, Math.max(500, leaseMs / 3));
  return { stop: () => clearInterval(timer) };
}
