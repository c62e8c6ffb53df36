/** The targets for the engine, as ratios within one run, and whether the runs meet them. */
import { round } from "../measure/statistics.ts";
import type { Result } from "./record.ts";
import { byRun, median } from "./summary.ts";

/** A target for one of our two contenders, and its result. */
export interface Verdict {
  target: string;
  contender: "embedded" | "direct";
  /** The measured value as text; undefined when a run did not measure or reach it. */
  measured: string | undefined;
  isMet: boolean;
}

/** The figures of one run. */
interface Run {
  ours(scenario: string, figure: string): number | undefined;
  /** The best peer's value of a figure; undefined without a peer that reached it. */
  best(
    scenario: string,
    figure: string,
    better: (...values: number[]) => number,
  ): number | undefined;
}

interface Target {
  title: string;
  value(run: Run): number | undefined;
  /** Judges the median of the runs. */
  isMet(value: number): boolean;
  describe(value: number): string;
  /** A fault in any single run, which misses the target regardless of the median. */
  fault?(run: Run): string | undefined;
}

function ratio(
  dividend: number | undefined,
  divisor: number | undefined,
): number | undefined {
  return dividend === undefined || divisor === undefined || divisor === 0
    ? undefined
    : round(dividend / divisor);
}

function rateOf(scenario: string): Target {
  return {
    title: `${scenario} at least that of the best peer`,
    value: (run) =>
      ratio(
        run.ours(scenario, "jobs_per_second"),
        run.best(scenario, "jobs_per_second", Math.max),
      ),
    isMet: (value) => value >= 1,
    describe: (value) => `${value} of it`,
  };
}

function millisecondsOf(title: string, figure: string, most: number): Target {
  return {
    title,
    value: (run) => run.ours("latency", figure),
    isMet: (value) => value <= most,
    describe: (value) => `${value} ms`,
  };
}

const TARGETS: readonly Target[] = [
  rateOf("throughput"),
  rateOf("drain"),
  {
    title: "makespan at most 1.25 of the ideal",
    value: (run) => run.ours("makespan", "ratio"),
    isMet: (value) => value <= 1.25,
    describe: (value) => `${value}`,
  },
  {
    title: "makespan at most that of the best peer",
    value: (run) =>
      ratio(
        run.ours("makespan", "ratio"),
        run.best("makespan", "ratio", Math.min),
      ),
    isMet: (value) => value <= 1,
    describe: (value) => `${value} of it`,
  },
  millisecondsOf(
    "insert to first line within 8 ms (p50)",
    "pickup_p50_ms",
    8,
  ),
  millisecondsOf(
    "create to completed within 14 ms (p50)",
    "create_to_completed_p50_ms",
    14,
  ),
  {
    title: "another user's job waits for one slot at most",
    value: (run) => run.ours("fair-share", "slots_max"),
    isMet: (value) => value <= 1,
    describe: (value) => `${value} slots`,
    fault: (run) => {
      const slots = run.ours("fair-share", "slots_max");
      return slots !== undefined && slots > 1 ? `${slots} slots` : undefined;
    },
  },
  {
    title: "a million finished rows cost at most 5 %",
    value: (run) => run.ours("history", "loss_percent"),
    isMet: (value) => value <= 5,
    describe: (value) => `${value} %`,
  },
  {
    title: "all rescued within 15 s, none stuck, none billed twice",
    value: (run) => run.ours("kill", "last_rescue_seconds"),
    isMet: (value) => value <= 15,
    describe: (value) => `${value} s`,
    fault: (run) => {
      const stuck = run.ours("kill", "stuck");
      const billed = run.ours("kill", "billed_twice");
      return stuck || billed
        ? `${stuck} stuck, ${billed} billed twice`
        : undefined;
    },
  },
];

function runOf(
  results: readonly Result[],
  contender: Verdict["contender"],
): Run {
  const numberIn = (result: Result | undefined, figure: string) => {
    const value = result?.figures[figure];
    return typeof value === "number" ? value : undefined;
  };
  return {
    ours: (scenario, figure) =>
      numberIn(
        results.find((result) =>
          result.scenario === scenario && result.contender === contender
        ),
        figure,
      ),
    best(scenario, figure, better) {
      const values = results
        .filter((result) =>
          result.scenario === scenario && result.contender !== "embedded" &&
          result.contender !== "direct"
        )
        .flatMap((result) => numberIn(result, figure) ?? []);
      return values.length === 0 ? undefined : better(...values);
    },
  };
}

/**
 * The verdicts for both contenders, in the order of the targets. The ratio is computed within each run, then the
 * median.
 */
export function judge(results: readonly Result[]): Verdict[] {
  const runs = byRun(results);
  return (["embedded", "direct"] as const).flatMap((contender) =>
    TARGETS.map((target) => {
      const figures = runs.map((run) => runOf(run, contender));
      const reached = figures.flatMap((run) => target.value(run) ?? []);
      const faults = figures.flatMap((run) => target.fault?.(run) ?? []);
      if (reached.length < runs.length || runs.length === 0) {
        return {
          target: target.title,
          contender,
          measured: faults[0],
          isMet: false,
        };
      }
      const value = median(reached);
      const least = Math.min(...reached), greatest = Math.max(...reached);
      const range = least < greatest ? ` (${least} to ${greatest})` : "";
      return {
        target: target.title,
        contender,
        measured: [`${target.describe(value)}${range}`, ...counted(faults)]
          .join("; "),
        isMet: target.isMet(value) && faults.length === 0,
      };
    })
  );
}

/** Each fault once, with the number of runs that had it. */
function counted(faults: readonly string[]): string[] {
  return [...Map.groupBy(faults, (fault) => fault)].map(([fault, { length }]) =>
    `${fault} in ${length === 1 ? "one run" : `${length} runs`}`
  );
}

/** The verdicts as a table in Markdown. */
export function renderVerdicts(verdicts: readonly Verdict[]): string {
  const ofBoth = Map.groupBy(verdicts, ({ target }) => target);
  const cell = (verdict: Verdict | undefined) =>
    verdict?.measured === undefined
      ? "not measured"
      : `${verdict.isMet ? "met" : "**missed**"}: ${verdict.measured}`;
  const rows = [...ofBoth].map(([target, both]) =>
    `| ${target} | ${
      cell(both.find(({ contender }) => contender === "embedded"))
    } | ${cell(both.find(({ contender }) => contender === "direct"))} |`
  );
  return `### Targets\n\n| target | embedded REST | direct connection |\n| --- | --- | --- |\n${
    rows.join("\n")
  }\n`;
}
