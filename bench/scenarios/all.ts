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

/** What is published: under ten minutes on two cores. */
export const FULL: Sizes = {
  latencyJobs: 100,
  latencySeconds: 20,
  jobs: 2_000,
  throughputSeconds: 30,
  makespanJobs: 500,
  killSeconds: 60,
  backlogJobs: 10_000,
  singleJobs: 10,
  singleSeconds: 5,
  historyRows: 1_000_000,
  historyJobs: 1_000,
};

/** Enough to see whether something is broken: under two minutes. */
export const QUICK: Sizes = {
  latencyJobs: 15,
  latencySeconds: 4,
  jobs: 400,
  throughputSeconds: 6,
  makespanJobs: 100,
  killSeconds: 20,
  backlogJobs: 1_000,
  singleJobs: 3,
  singleSeconds: 2,
  historyRows: 20_000,
  historyJobs: 150,
};
