/** The interface of a contender, which is a way to run jobs, for the scenarios. */

/** The times of a job by the database's clock, in milliseconds since 1970; null: not yet. */
export interface JobTimes {
  startedAt: number | null;
  completedAt: number | null;
  /** How often its work was started. */
  attempts: number;
}

/** Whose jobs: spread over ten users, or all of one. */
export type Owner = "anyone" | "first" | "second";

/** Settings of a run. */
export interface RunOptions {
  /** Jobs at the same time. */
  slots: number;
  /** Duration of a provider's call in milliseconds. */
  providerMs: number;
  /** Keep finished jobs (see {@link Contender.fillHistory}); otherwise start with empty tables. */
  keepHistory?: boolean;
  /** Use the library's features for fairness between users. */
  isShared?: boolean;
}

/** One way to run jobs: an engine with its settings, its database, and a worker process. */
export interface Contender {
  /** Key in the results. */
  readonly name: string;
  /** The name in tables. */
  readonly title: string;
  /** The library with its version. */
  readonly library: string;
  /** Settings that differ from the library's defaults, for the results. */
  settings(options: RunOptions): Record<string, unknown>;
  /** Name of the database; two contenders with the same one must not run at the same time. */
  readonly database: string;
  /** Whether only its polling interval limits its throughput, regardless of jobs and tables. */
  readonly isPolling: boolean;
  /** Prepares tables, provider and limits and starts a worker; resolves when it accepts jobs. */
  begin(options: RunOptions): Promise<void>;
  /** Ends the worker. The next start drops unfinished jobs. */
  end(): Promise<void>;
  /** Creates one job as an app does, for any user; resolves with its id when the app has the response. */
  create(): Promise<string>;
  /** Creates jobs in one transaction, without any HTTP. */
  insert(count: number, owner: Owner): Promise<string[]>;
  /** SIGKILL for the worker, and immediately another one, as a process manager does. Resolves with the time of the kill. */
  kill(): Promise<number>;
  /** Resolves when the worker that replaced a killed one accepts jobs. */
  recovered(): Promise<void>;
  times(ids: readonly string[]): Promise<Map<string, JobTimes>>;
  /** When the first line of the handler ran, by the wall clock in milliseconds; only of the current worker. */
  firstLines(): Promise<Map<string, number>>;
  /** How many jobs of the first user started between two times of the database's clock, in milliseconds since 1970. */
  startedOfFirst(after: number, before: number): Promise<number>;
  /** Fills the tables up to `count` finished jobs, as after months of use, with fresh statistics. */
  fillHistory(rows: number): Promise<void>;
  dispose(): Promise<void>;
}
