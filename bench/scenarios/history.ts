/** The throughput with a million finished rows, compared with the same without them, one right after the other. */
import { round } from "../measure/statistics.ts";
import type { Scenario } from "./scenario.ts";
import { measureThroughput } from "./throughput.ts";

const OPTIONS = { slots: 50, providerMs: 0 };

/** The scenario `history`. */
export const history: Scenario = {
  name: "history",
  async run({ environment, contenders, sizes, report }) {
    const measure = (
      contender: (typeof contenders)[number],
      keepHistory: boolean,
    ) =>
      measureThroughput(
        environment,
        contender,
        { ...OPTIONS, keepHistory },
        sizes.historyJobs,
        sizes.throughputSeconds * 1000,
      );
    // Default settings that poll for each job would show nothing here.
    const measured = contenders.filter(({ isPolling }) => !isPolling);
    // Two contenders share a database, so all measure with empty tables first.
    const without = new Map<string, number>();
    for (const contender of measured) {
      const { jobs_per_second } = await measure(contender, false);
      without.set(contender.name, Number(jobs_per_second));
    }
    for (const contender of measured) {
      await contender.fillHistory(sizes.historyRows);
      const filled = await measure(contender, true);
      const before = without.get(contender.name) ?? 0;
      await report(contender, { ...OPTIONS, keepHistory: true }, {
        rows: sizes.historyRows,
        jobs_per_second_empty: before,
        jobs_per_second: filled["jobs_per_second"] ?? null,
        loss_percent: round(
          (1 - Number(filled["jobs_per_second"]) / before) * 100,
          1,
        ),
        is_cut_short: filled["is_cut_short"] ?? null,
      });
    }
  },
};
