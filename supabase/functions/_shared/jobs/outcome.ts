/** How an attempt can end. Processors return or throw one of these; `JobRun` writes it. */
import type { JobFailure } from "../failures/job-failure.ts";
import type { Product } from "./products.ts";

/** The result of a completed job, and the row that it creates or fills in the same commit. */
export interface Completion {
  resultData: Record<
    string,
    string | number | boolean | null | number[]
  >;
  /** The output file, as `<bucket>/<path>` of this project's Storage. */
  outputUrl?: string;
  product?: Product;
}

/** Details of a {@link Snooze}. */
export interface SnoozeOptions {
  /**
   * A failed call that the journal does not have. The job shows its code while it waits, and the provider's breaker
   * counts it.
   */
  failure?: JobFailure | undefined;
  /** For the log only; the failure when it is not set. */
  cause?: unknown;
}

/** Run the job again in `seconds`, without using up the attempt. */
export class Snooze extends Error {
  override readonly name = "Snooze";
  readonly failure: JobFailure | undefined;
  constructor(
    readonly seconds: number,
    readonly stage: string,
    { failure, cause = failure }: SnoozeOptions = {},
  ) {
    super(
      `snoozed for ${seconds} s: ${stage}`,
      cause === undefined ? {} : { cause },
    );
    this.failure = failure;
  }
}

/** Another worker owns the job, or it has ended: stop, and write nothing. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
  constructor() {
    super("the lease is lost");
  }
}

/** The owner cancelled the job: stop, undo what can be undone, and record what it cost. */
export class CancelRequested extends Error {
  override readonly name = "CancelRequested";
  constructor() {
    super("the owner cancelled the job");
  }
}

/** The isolate is about to end: release the job. */
export class ShuttingDown extends Error {
  override readonly name = "ShuttingDown";
  /** The isolate exceeded its processor time or memory while this was its only job. */
  readonly isCausedByJob: boolean;

  constructor(reason: string, options: { isCausedByJob?: boolean } = {}) {
    super(`the isolate is shutting down: ${reason}`);
    this.isCausedByJob = options.isCausedByJob ?? false;
  }
}
