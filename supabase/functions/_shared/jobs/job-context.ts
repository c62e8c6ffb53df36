/** The input and output of a processor. */
import type { ClaimedJob, Dependency } from "../contracts/jobs.ts";
import type { Logger } from "../platform/log.ts";
import type { Completion, Snooze } from "./outcome.ts";
import type { PaidCall } from "./paid-call.ts";

/** A claimed job, for its processor. */
export interface JobContext {
  job: ClaimedJob;
  log: Logger;
  /** Aborts when the lease is lost, the owner cancels, or the isolate ends. Pass it to every outside call. */
  signal: AbortSignal;
  /** Milliseconds until this isolate must have stopped. */
  remainingMs(): number;
  /** Reports progress (1 to 99) and stage, without waiting: several reports may be sent as one. */
  progress(percentage: number, stage: string): void;
  /** The completed job that this one depends on; null when it names none. */
  dependency(): Promise<Dependency | null>;
  /**
   * Sends a paid call, or returns what an earlier attempt created; see `makePaidCall`. A cancellation aborts it; a
   * shutdown does not: the worker waits for the response.
   *
   * @returns the provider's id of the created object; it is already committed on the job, unless the call is the last.
   */
  pay(call: PaidCall): Promise<string>;
  /**
   * Records what a paid call used, in the unit of {@link PaidCall.units}, where that is known only later.
   *
   * @throws {LeaseLost} when another worker owns the job.
   */
  recordUsage(operation: string, units: number): Promise<void>;
  /**
   * Call it when the provider says that it does not have the object which {@link JobContext.pay} returned. Resolves if
   * the call itself had returned that id; then the processor decides.
   *
   * @throws {JobFailure} `provider_object_missing` (final) if an operator or a lookup had named the object: the job is
   *   parked, and nothing is sent again.
   * @param making for providers that answer 404 while they still create the object: how long that may take after the
   *   request, and the snooze until then.
   * @throws {Snooze} if that was less than a minute ago, or the provider may still be creating the object.
   * @throws {LeaseLost} when another worker owns the job.
   */
  reportMissing(
    operation: string,
    making?: { seconds: number; wait: Snooze },
  ): Promise<void>;
}

/** The work of one job type. */
export interface Processor {
  jobType: string;
  /** Returns the completion of the job, or throws one of the classes in outcome.ts. */
  run(context: JobContext): Promise<Completion>;
}
