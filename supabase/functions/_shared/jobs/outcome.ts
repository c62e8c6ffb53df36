/** How a run can end. Processors return or throw one of these; only the runner turns it into SQL. */
import type { Product } from "./products.ts";

/** The work is done: what to write on the job, and the row it creates or fills in the same commit. */
export interface Completion {
  resultData: Record<
    string,
    string | number | boolean | null | number[]
  >;
  /** The file that was made, as `<bucket>/<path>` of our own Storage. */
  outputUrl?: string;
  product?: Product;
}

/** Not now, and not a failure: come back after `seconds` without spending the attempt. `cause` is for the log. */
export class Snooze extends Error {
  override readonly name = "Snooze";
  constructor(
    readonly seconds: number,
    readonly stage: string,
    options: ErrorOptions = {},
  ) {
    super(`snoozed for ${seconds} s: ${stage}`, options);
  }
}

/** Somebody else owns the job now, or it is over: stop, and write nothing. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
  constructor() {
    super("the lease is lost");
  }
}

/** The owner no longer wants the job: stop, undo what can be undone, and say honestly what it cost. */
export class CancelRequested extends Error {
  override readonly name = "CancelRequested";
  constructor() {
    super("the owner asked for the job to be cancelled");
  }
}

/** The isolate is about to end: hand the job back. */
export class ShuttingDown extends Error {
  override readonly name = "ShuttingDown";
  /** It ends because it used too much processor time or memory, while it had only this job in hand. */
  readonly isCausedByJob: boolean;

  constructor(reason: string, options: { isCausedByJob?: boolean } = {}) {
    super(`the isolate is shutting down: ${reason}`);
    this.isCausedByJob = options.isCausedByJob ?? false;
  }
}
