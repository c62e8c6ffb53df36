/** All scenarios, in the order in which they run. */
import { drain } from "./drain.ts";
import { fairShare } from "./fair-share.ts";
import { history } from "./history.ts";
import { kill } from "./kill.ts";
import { latency } from "./latency.ts";
import { makespan } from "./makespan.ts";
import type { Scenario, Sizes } from "./scenario.ts";
import { throughput } from "./throughput.ts";

/** Every scenario; the one that fills the tables comes last. */
export const SCENARIOS: readonly Scenario[] = [
  latency,
  throughput,
  drain,
  makespan,
  fairShare,
  kill,
  history,
];

/** The published sizes: under ten minutes on two cores. */
export const FULL: Sizes = {
  latencyJobs: 100,
  latencySeconds: 15,
  jobs: 2_000,
  throughputSeconds: 20,
  makespanJobs: 500,
  killSeconds: 60,
  backlogJobs: 10_000,
  singleJobs: 10,
  singleSeconds: 5,
  historyRows: 1_000_000,
  historyJobs: 2_000,
};

/** Sizes to see whether something is broken: under two minutes. */
export const QUICK: Sizes = {
  latencyJobs: 10,
  latencySeconds: 2,
  jobs: 100,
  throughputSeconds: 4,
  makespanJobs: 100,
  killSeconds: 15,
  backlogJobs: 500,
  singleJobs: 2,
  singleSeconds: 1,
  historyRows: 5_000,
  historyJobs: 50,
};
