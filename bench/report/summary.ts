/** Several runs of the benchmark as one table: the median of each figure, and how far the runs differ. */
import { round } from "../measure/statistics.ts";
import type { Result } from "./record.ts";

type Figures = Result["figures"];

/** One contender in one scenario, over all runs. */
export interface Summary {
  scenario: string;
  contender: string;
  title: string;
  /**
   * The median of the runs. For a fault (`stuck`, `billed_twice`, ...) and a longest wait it is the worst run. A
   * boolean is true if it is true in every run. Null if any run did not reach the figure.
   */
  figures: Figures;
  /** The minimum and maximum of a figure, if the runs differ. */
  ranges: Record<string, readonly [least: number, greatest: number]>;
}

/** Figures that count faults or are a maximum, so that one bad run must be visible. */
const WORST_OF_RUNS = new Set([
  "stuck",
  "asked_twice",
  "billed_twice",
  "run_twice",
  "slots_max",
  "wait_max_ms",
  "max_ms",
]);

/** The median. Throws without values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) {
    throw new RangeError("there are no values");
  }
  return round((lower + upper) / 2);
}

/** The results of each run, in the order of the runs. */
export function byRun(results: readonly Result[]): Result[][] {
  return [...Map.groupBy(results, ({ run }) => run).values()];
}

/** One summary for each contender and scenario, in the order of the first run. */
export function summarize(results: readonly Result[]): Summary[] {
  const groups = Map.groupBy(
    results,
    ({ scenario, contender }) => `${scenario} ${contender}`,
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { scenario, contender, title } = first;
    const figures: Figures = {};
    const ranges: Summary["ranges"] = {};
    for (const name of Object.keys(first.figures)) {
      const values = group.map((result) => result.figures[name] ?? null);
      const numbers = values.filter((value) => typeof value === "number");
      if (values.every((value) => typeof value === "boolean")) {
        figures[name] = values.every((value) => value === true);
      } else if (numbers.length < values.length) {
        figures[name] = null;
      } else {
        const least = Math.min(...numbers), greatest = Math.max(...numbers);
        figures[name] = WORST_OF_RUNS.has(name) ? greatest : median(numbers);
        if (least < greatest) ranges[name] = [least, greatest];
      }
    }
    return [{ scenario, contender, title, figures, ranges }];
  });
}
