/** What the scenarios know of a way to run jobs. */

/** When things happened to a job, by the database's clock, in milliseconds since 1970; null: not yet. */
export interface JobTimes {
  startedAt: number | null;
  completedAt: number | null;
  /** How often its work was begun. */
  attempts: number;
}

/** Whose jobs: spread over ten users, or all of one. */
export type Owner = "anyone" | "first" | "second";

/** How a contender is to run. */
export interface RunOptions {
  /** Jobs at the same time. */
  slots: number;
  /** Milliseconds that the provider takes. */
  providerMs: number;
  /** Keep finished jobs (see {@link Contender.fillHistory}); otherwise begin with empty tables. */
  keepHistory?: boolean;
  /** Use what the library has so that users do not wait for each other. */
  isShared?: boolean;
}

/** One way to run jobs: an engine with its settings, its database, and a worker process. */
export interface Contender {
  /** Key in the results. */
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** The library with its version. */
  readonly library: string;
  /** What was set other than the library's defaults, for the results. */
  settings(options: RunOptions): Record<string, unknown>;
  /** Name of the database; two contenders with the same one must not run at the same time. */
  readonly database: string;
  /** Whether its polling interval alone limits its pace, regardless of jobs and tables. */
  readonly isPolling: boolean;
  /** Prepares tables, provider and limits and starts a worker; resolves when it takes jobs. */
  begin(options: RunOptions): Promise<void>;
  /** Ends the worker. What is unfinished is dropped by the next begin. */
  end(): Promise<void>;
  /** Creates one job as an app does, for any user; resolves with its id when the app has its answer. */
  create(): Promise<string>;
  /** Creates jobs in one transaction, without any HTTP. */
  insert(count: number, owner: Owner): Promise<string[]>;
  /** SIGKILL for the worker, and immediately another one, as a process manager does. Resolves with the time of the kill. */
  kill(): Promise<number>;
  /** Resolves when the worker that followed a kill takes jobs. */
  recovered(): Promise<void>;
  times(ids: readonly string[]): Promise<Map<string, JobTimes>>;
  /** When the first line of the handler ran, wall clock in milliseconds; of the present worker only. */
  firstLines(): Promise<Map<string, number>>;
  /** Jobs of the first user that have been begun. */
  startedOfFirst(): Promise<number>;
  /** Makes sure that there are so many finished jobs, as after months of use, with fresh statistics. */
  fillHistory(rows: number): Promise<void>;
  dispose(): Promise<void>;
}
