/** One attempt of a job, from its claim to its ending. */
import { readTrace } from "../contracts/traceparent.ts";
import { CACHE_TTL_SECONDS, type ClaimedJob } from "../contracts/jobs.ts";
import { JobFailure } from "../failures/job-failure.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import type { Logger } from "../platform/log.ts";
import type { DependencyLookup } from "./dependency.ts";
import { endingOf, writeEnding } from "./ending.ts";
import type { Heartbeat, Heartbeats } from "./heartbeats.ts";
import type { JobContext, Processor } from "./job-context.ts";
import {
  CancelRequested,
  type Completion,
  LeaseLost,
  ShuttingDown,
  Snooze,
} from "./outcome.ts";
import { RECONCILE_PAUSE_SECONDS } from "./pauses.ts";
import {
  type Journal,
  makePaidCall,
  type PaidCall,
  undoPaidCalls,
} from "./paid-call.ts";
import type { CallSuccess, JobRepository, Report } from "./repository.ts";

/** The results of earlier equal jobs, in a cache outside the database. */
export interface ResultLookup {
  /** The id of a job with this hash; null when none is known. */
  find(inputHash: string): Promise<string | null>;
  remember(inputHash: string, jobId: string, userId: string): Promise<void>;
}

/** A successful call, and what must be written about it. */
interface SettledCall {
  operation: string;
  callId: string;
  settlement: CallSuccess;
}

/** The dependencies of an attempt. */
export interface JobRunDeps {
  platform: Pick<PlatformDeps, "uptimeMs">;
  repository: JobRepository;
  processors: ReadonlyMap<string, Processor>;
  /** `"database"`: the cache in Postgres. A claimed job names the entry, and the completion writes it. */
  results: ResultLookup | "database";
  dependencyOf: DependencyLookup;
  log: Logger;
  /** Uptime in milliseconds by which the attempt must have stopped. */
  deadlineMs: number;
  /** Aborts with a {@link ShuttingDown} when the platform announces the end of the isolate. */
  shutdown: AbortSignal;
  heartbeats: Heartbeats;
  /** Removes the files of a job that was deleted while it ran; resolves with how many. */
  removeLostFiles(job: Pick<ClaimedJob, "id" | "user_id">): Promise<number>;
}

/**
 * An attempt of a claimed job. Its heartbeat starts with the construction; call {@link JobRun.run} once.
 *
 * Guarantees: `run` never throws. While it works, the lease is extended. When the lease is lost it stops, writes
 * nothing more, and removes the files of a job that was deleted. When the owner cancels it stops within a heartbeat,
 * removes what its paid calls created unless the job may have completed, and ends the job as cancelled. When the
 * isolate shuts down it stops, but waits for a paid call in flight. Each step is one log line with `job_id`, `attempt`
 * and the dispatch's `request_id`.
 */
export class JobRun {
  readonly #deps: JobRunDeps;
  readonly #job: ClaimedJob;
  readonly #log: Logger;
  readonly #heartbeat: Heartbeat;
  /** Aborts the processor's work; its reason says why. */
  readonly #stop = new AbortController();
  /** The paid calls of this attempt that succeeded. */
  readonly #paidCalls: { call: PaidCall; providerObjectId: string }[] = [];
  /** A success that is written with the completion; see {@link PaidCall.isLast}. */
  #unsettled: SettledCall | undefined;
  /** From when the completion is sent: without a response, nobody knows whether it was committed. */
  #isCompletionSent = false;
  #isPaying = false;
  #paymentError: unknown;
  /** Set when the attempt should stop as soon as no paid call is in flight. */
  #shutdown: ShuttingDown | undefined;

  constructor(deps: JobRunDeps, job: ClaimedJob) {
    this.#deps = deps;
    this.#job = job;
    this.#log = deps.log.with({
      job_id: job.id,
      job_type: job.job_type,
      attempt: job.attempt,
      trace_id: readTrace(job.traceparent)?.traceId,
    });
    this.#heartbeat = deps.heartbeats.watch(
      job,
      (reason) => this.#stop.abort(reason),
    );
  }

  /** Runs the attempt: result cache, processor, completion or another ending. */
  async run(): Promise<void> {
    const { shutdown } = this.#deps;
    const onShutdown = () => this.#shutDown(shutdown.reason);
    const timer = setTimeout(
      () => this.#shutDown(new ShuttingDown("time is up")),
      this.#remainingMs(),
    );
    shutdown.addEventListener("abort", onShutdown);
    if (shutdown.aborted) onShutdown();
    this.#log.info("job_started");
    try {
      this.#throwIfStopping();
      if (await this.#reuseResult()) return;
      await this.#complete(await this.#processor().run(this.#context()));
    } catch (error) {
      await this.#end(error);
    } finally {
      clearTimeout(timer);
      shutdown.removeEventListener("abort", onShutdown);
      await this.#heartbeat.stop();
    }
  }

  #shutDown(reason: ShuttingDown): void {
    this.#shutdown ??= reason;
    this.#stopUnlessPaying();
  }

  #stopUnlessPaying(): void {
    if (this.#shutdown !== undefined && !this.#isPaying) {
      this.#stop.abort(this.#shutdown);
    }
  }

  #throwIfStopping(): void {
    this.#stopUnlessPaying();
    this.#stop.signal.throwIfAborted();
  }

  #remainingMs(): number {
    const { deadlineMs, platform } = this.#deps;
    return Math.max(0, deadlineMs - platform.uptimeMs());
  }

  #processor(): Processor {
    const processor = this.#deps.processors.get(this.#job.job_type);
    if (processor === undefined) {
      throw JobFailure.final("job_type_not_supported");
    }
    return processor;
  }

  #context(): JobContext {
    return {
      job: this.#job,
      log: this.#log,
      signal: this.#stop.signal,
      remainingMs: () => this.#remainingMs(),
      progress: (percentage, stage) => this.#report(percentage, stage),
      dependency: () => this.#deps.dependencyOf(this.#job),
      pay: (call) => this.#pay(call),
      recordUsage: (operation, units) => this.#recordUsage(operation, units),
      reportMissing: (operation, making) =>
        this.#reportMissing(operation, making),
    };
  }

  async #reuseResult(): Promise<boolean> {
    const { results, repository } = this.#deps;
    if (this.#job.input_hash === null) return false;
    const source = results === "database"
      ? this.#job.cached_from_job_id
      : await results.find(this.#job.input_hash);
    if (source === null || source === this.#job.id) return false;
    const isReused = await repository.reuseResult(this.#job, source);
    this.#log.info(isReused ? "job_completed" : "cached_result_unusable", {
      cached_from_job_id: source,
    });
    return isReused;
  }

  #report(percentage: number, stage: string): void {
    this.#throwIfStopping();
    this.#heartbeat.report(percentage, stage);
    this.#log.info("job_progress", { progress: percentage, stage });
  }

  async #pay(call: PaidCall): Promise<string> {
    await this.#settleRest();
    const report = await this.#heartbeat.takeReport();
    this.#throwIfStopping();
    this.#isPaying = true;
    let providerObjectId: string;
    try {
      providerObjectId = await makePaidCall(
        this.#journalOf(call, report),
        this.#job,
        {
          ...call,
          send: (signal, endedCalls) => {
            this.#log.info("provider_call_sent", { operation: call.operation });
            return call.send(signal, endedCalls);
          },
        },
        this.#stop.signal,
        this.#heartbeat.leaseIsValid,
      );
    } catch (error) {
      this.#paymentError = error;
      throw error;
    } finally {
      this.#isPaying = false;
    }
    this.#paidCalls.push({ call, providerObjectId });
    if (this.#unsettled === undefined) {
      this.#logSettled(call.operation, providerObjectId);
    }
    // Only after a success: an attempt whose call failed ends with that failure and not with the shutdown.
    this.#stopUnlessPaying();
    return providerObjectId;
  }

  /** The journal for a call: its first begin carries the report, and a last call's success waits for the completion. */
  #journalOf(call: PaidCall, report: Report | undefined): Journal {
    const { repository } = this.#deps;
    let unsent = report;
    return {
      beginProviderCall: (lease, intent) => {
        const carried = unsent;
        unsent = undefined;
        return repository.beginProviderCall(lease, intent, carried);
      },
      settleProviderCall: (lease, callId, settlement) => {
        if (!call.isLast || !("providerObjectId" in settlement)) {
          return repository.settleProviderCall(lease, callId, settlement);
        }
        this.#unsettled = { operation: call.operation, callId, settlement };
        return Promise.resolve(true);
      },
    };
  }

  #logSettled(operation: string, providerObjectId: string): void {
    this.#log.info("provider_call_settled", {
      operation,
      provider_object_id: providerObjectId,
    });
  }

  /** Writes a success that was deferred to a completion which will not follow. */
  async #settleRest(): Promise<void> {
    const rest = this.#unsettled;
    if (rest === undefined) return;
    const { repository } = this.#deps;
    if (
      !await repository.settleProviderCall(
        this.#job,
        rest.callId,
        rest.settlement,
      )
    ) {
      throw new LeaseLost();
    }
    this.#unsettled = undefined;
    this.#logSettled(rest.operation, rest.settlement.providerObjectId);
  }

  async #recordUsage(operation: string, units: number): Promise<void> {
    await this.#settleRest();
    await this.#heartbeat.flushed();
    const { repository } = this.#deps;
    if (!await repository.reviseProviderCall(this.#job, operation, units)) {
      throw new LeaseLost();
    }
  }

  async #reportMissing(
    operation: string,
    making?: { seconds: number; wait: Snooze },
  ): Promise<void> {
    await this.#heartbeat.flushed();
    const decision = await this.#deps.repository.doubtProviderCall(
      this.#job,
      operation,
      making?.seconds,
    );
    switch (decision) {
      case "doubted":
        throw JobFailure.final("provider_object_missing");
      case "too_early":
        throw making?.wait ??
          new Snooze(RECONCILE_PAUSE_SECONDS, "reconciling");
      case null:
        throw new LeaseLost();
    }
  }

  async #complete(completion: Completion): Promise<void> {
    const { repository, results } = this.#deps;
    const { id, user_id, input_hash } = this.#job;
    const report = await this.#heartbeat.takeReport();
    const call = this.#unsettled;
    this.#isCompletionSent = true;
    const isCompleted = await repository.complete(this.#job, completion, {
      ...(report === undefined ? {} : { report }),
      ...(call === undefined ? {} : { call }),
      ...(results === "database" && input_hash !== null
        ? { cacheSeconds: CACHE_TTL_SECONDS }
        : {}),
    });
    if (!isCompleted) throw new LeaseLost();
    this.#unsettled = undefined;
    if (call !== undefined) {
      this.#logSettled(call.operation, call.settlement.providerObjectId);
    }
    this.#log.info("job_completed", { progress: 100 });
    if (results !== "database" && input_hash !== null) {
      await results.remember(input_hash, id, user_id);
    }
  }

  async #end(thrown: unknown): Promise<void> {
    // Only a refusal of the result proves that a completion which was sent is not committed.
    let mayBeCompleted = thrown instanceof LeaseLost ||
      (this.#isCompletionSent && !(thrown instanceof JobFailure));
    try {
      await this.#settleRest();
    } catch (error) {
      if (error instanceof LeaseLost) mayBeCompleted = true;
      // The journal keeps the call open, so the next attempt finds what it made.
      this.#log.warn("provider_call_not_settled", { error });
    }
    await this.#heartbeat.flushed();
    const stopReason: unknown = this.#stop.signal.reason;
    // The result of a completed job stays. If the job was cancelled after all, the janitor removes what nobody uses.
    if (stopReason instanceof CancelRequested && !mayBeCompleted) {
      await undoPaidCalls(this.#paidCalls);
    }
    // A failed paid call uses up the attempt even if earlier calls succeeded: attempts bound how often it is sent.
    const hasPaid = thrown !== this.#paymentError &&
      (this.#paidCalls.length > 0 || this.#job.spend === "incurred");
    const ending = endingOf(this.#job, { thrown, stopReason, hasPaid });
    const { repository } = this.#deps;
    if (await writeEnding(repository, this.#job, ending, this.#log)) {
      await this.#removeLostFiles();
    }
  }

  /** Best effort: the janitor removes the rest. */
  async #removeLostFiles(): Promise<void> {
    try {
      const files = await this.#deps.removeLostFiles(this.#job);
      if (files > 0) this.#log.info("lost_files_removed", { files });
    } catch (error) {
      this.#log.warn("lost_files_not_removed", { error });
    }
  }
}
