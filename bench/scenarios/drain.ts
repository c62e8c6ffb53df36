/** A backlog that was inserted in one transaction, and a provider without delay: measures only the engine. */
import { withCost } from "../measure/cost.ts";
import { type Part, withCpu } from "../measure/cpu.ts";
import { round } from "../measure/statistics.ts";
import { wallMs } from "../processes/clock.ts";
import { waitFinished, warmUp } from "./load.ts";
import { type Scenario, whileRunning } from "./scenario.ts";

const OPTIONS = { slots: 50, providerMs: 0 };

/** The scenario `drain`. */
export const drain: Scenario = {
  name: "drain",
  async run({ environment, contenders, sizes, report }) {
    for (const contender of contenders) {
      const figures = await whileRunning(contender, OPTIONS, async () => {
        const already = await warmUp(environment, contender);
        const work = async () => {
          const asked = wallMs();
          const ids = await contender.insert(sizes.jobs, "anyone");
          const begun = wallMs();
          const finish = await waitFinished(
            environment,
            contender,
            ids,
            sizes.throughputSeconds * 1000,
            already,
          );
          return { asked, begun, finish };
        };
        const { result: { result, cpu }, cost } = await withCost(
          environment.control,
          contender.database,
          () => withCpu(environment.pids, work),
        );
        const { asked, begun, finish } = result;
        const done = Math.max(1, finish.finished);
        const cpuOf = (part: Part) =>
          cpu === undefined ? null : round(cpu[part] / done);
        const seconds = Math.max(0, finish.lastCompletedAt - begun) / 1000;
        return {
          jobs_per_second: finish.finished === 0
            ? 0
            : round(finish.finished / seconds, 1),
          finished: finish.finished,
          seconds: round(seconds),
          insert_seconds: round((begun - asked) / 1000),
          is_cut_short: finish.finished < sizes.jobs,
          statements_per_job: round(cost.statements / done, 1),
          wal_bytes_per_job: Math.round(cost.walBytes / done),
          cpu_ms_per_job_postgres: cpuOf("postgres"),
          cpu_ms_per_job_worker: cpuOf("worker"),
          cpu_ms_per_job_gateway: cpuOf("gateway"),
        };
      });
      await report(contender, OPTIONS, figures);
    }
  },
};
