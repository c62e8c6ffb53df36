/** A provider that takes 200 ms, and 50 slots: compares the total time with that of the provider alone. */
import { round } from "../measure/statistics.ts";
import { wallMs } from "../processes/clock.ts";
import { waitFinished, warmUp } from "./load.ts";
import { type Scenario, whileRunning } from "./scenario.ts";

const OPTIONS = { slots: 50, providerMs: 200 };

/** The scenario `makespan`. */
export const makespan: Scenario = {
  name: "makespan",
  async run({ environment, contenders, sizes, report }) {
    const ideal = sizes.makespanJobs / OPTIONS.slots * OPTIONS.providerMs /
      1000;
    for (const contender of contenders) {
      const figures = await whileRunning(contender, OPTIONS, async () => {
        const already = await warmUp(environment, contender);
        const ids = await contender.insert(sizes.makespanJobs, "anyone");
        const begun = wallMs();
        const { finished, lastCompletedAt } = await waitFinished(
          environment,
          contender,
          ids,
          sizes.throughputSeconds * 1000,
          already,
        );
        const seconds = Math.max(0, lastCompletedAt - begun) / 1000;
        const isDone = finished === ids.length;
        return {
          jobs: ids.length,
          finished,
          seconds: round(seconds),
          ideal_seconds: ideal,
          ratio: isDone ? round(seconds / ideal) : null,
        };
      });
      await report(contender, OPTIONS, figures);
    }
  },
};
