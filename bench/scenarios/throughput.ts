/** Many jobs, created one by one by sixteen clients while the worker runs: first create to last completion. */
import type { Contender, RunOptions } from "../contenders/contender.ts";
import type { Environment } from "../environment.ts";
import { withCost } from "../measure/cost.ts";
import { type Part, withCpu } from "../measure/cpu.ts";
import { round } from "../measure/statistics.ts";
import { wallMs } from "../processes/clock.ts";
import { createAll, waitFinished, warmUp } from "./load.ts";
import { type Figures, type Scenario, whileRunning } from "./scenario.ts";

const OPTIONS = { slots: 50, providerMs: 0 };

/** One run of {@link throughput}; figures per job refer to the created jobs. */
export async function measureThroughput(
  environment: Environment,
  contender: Contender,
  options: RunOptions,
  jobs: number,
  limitMs: number,
): Promise<Figures> {
  return await whileRunning(contender, options, async () => {
    const already = await warmUp(environment, contender);
    const { result: { result, cpu }, cost } = await withCost(
      environment.control,
      contender.database,
      () =>
        withCpu(environment.pids, async () => {
          const begun = wallMs();
          const ids = await createAll(contender, jobs, limitMs);
          const created = wallMs();
          const finish = await waitFinished(
            environment,
            contender,
            ids,
            Math.max(0, limitMs - (created - begun)),
            already,
          );
          return { begun, created, ids, finish };
        }),
    );
    const cpuOf = (part: Part) =>
      cpu === undefined ? null : round(cpu[part] / ids.length);
    const { begun, created, ids, finish } = result;
    const seconds = Math.max(0, finish.lastCompletedAt - begun) / 1000;
    return {
      jobs_per_second: finish.finished === 0
        ? 0
        : round(finish.finished / seconds, 1),
      finished: finish.finished,
      created: ids.length,
      seconds: round(seconds),
      create_seconds: round((created - begun) / 1000),
      is_cut_short: finish.finished < jobs,
      statements_per_job: round(cost.statements / ids.length, 1),
      wal_bytes_per_job: Math.round(cost.walBytes / ids.length),
      cpu_ms_per_job_postgres: cpuOf("postgres"),
      cpu_ms_per_job_worker: cpuOf("worker"),
      cpu_ms_per_job_gateway: cpuOf("gateway"),
      cpu_ms_per_job_driver: cpuOf("driver"),
    };
  });
}

/** The scenario `throughput`. */
export const throughput: Scenario = {
  name: "throughput",
  async run({ environment, contenders, sizes, report }) {
    for (const contender of contenders) {
      await report(
        contender,
        OPTIONS,
        await measureThroughput(
          environment,
          contender,
          OPTIONS,
          sizes.jobs,
          sizes.throughputSeconds * 1000,
        ),
      );
    }
  },
};
