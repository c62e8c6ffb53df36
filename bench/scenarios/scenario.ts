/** The input and the results of a scenario. */
import type { Contender, RunOptions } from "../contenders/contender.ts";
import type { Environment } from "../environment.ts";

/** The size of each scenario. */
export interface Sizes {
  /** Number of jobs, one at a time, and the time limit in seconds. */
  latencyJobs: number;
  latencySeconds: number;
  /** Jobs of the throughput scenarios, and the time limit in seconds. */
  jobs: number;
  throughputSeconds: number;
  /** Jobs of the makespan. */
  makespanJobs: number;
  /** Seconds after a kill until a job counts as stuck. */
  killSeconds: number;
  /** Waiting jobs of the busy user, and single jobs of the other one. */
  backlogJobs: number;
  singleJobs: number;
  /** Seconds to wait for one of those single jobs. */
  singleSeconds: number;
  /** Finished rows, and jobs measured with and without them. */
  historyRows: number;
  historyJobs: number;
}

/** The figures of one contender in one scenario; null is "not reached" or "does not apply". */
export type Figures = Record<string, number | boolean | null>;

/** The context of a scenario. */
export interface ScenarioContext {
  environment: Environment;
  contenders: readonly Contender[];
  sizes: Sizes;
  report(
    contender: Contender,
    options: RunOptions,
    figures: Figures,
  ): Promise<void>;
}

/** A measurement, done for each contender in turn. */
export interface Scenario {
  readonly name: string;
  run(context: ScenarioContext): Promise<void>;
}

/** Runs a contender's worker while `work` runs, and stops it even if `work` fails. */
export async function whileRunning<T>(
  contender: Contender,
  options: RunOptions,
  work: () => Promise<T>,
): Promise<T> {
  await contender.begin(options);
  try {
    return await work();
  } finally {
    await contender.end();
  }
}

/** Resolves after `ms` milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
