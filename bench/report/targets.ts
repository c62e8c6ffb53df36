/** What we want of the engine, as ratios within one run, and whether a run shows it. */
import { round } from "../measure/statistics.ts";
import type { Result } from "./record.ts";

/** A target for one of our two ways to run, and how it came out. */
export interface Verdict {
  target: string;
  contender: "embedded" | "direct";
  /** What was measured, for people; undefined when it was not. */
  measured: string | undefined;
  isMet: boolean;
}

type Figures = Result["figures"];

/** A number, or undefined when it was not reached or not measured. */
function number(
  figures: Figures | undefined,
  name: string,
): number | undefined {
  const value = figures?.[name];
  return typeof value === "number" ? value : undefined;
}

function isPeer({ contender }: Result): boolean {
  return contender !== "embedded" && contender !== "direct";
}

/** The verdicts for both ways to run, in the order of the targets. */
export function judge(results: readonly Result[]): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const contender of ["embedded", "direct"] as const) {
    const of = (scenario: string) =>
      results.find((result) =>
        result.scenario === scenario && result.contender === contender
      )?.figures;
    const best = (scenario: string, name: string) =>
      Math.max(
        0,
        ...results.filter((result) =>
          result.scenario === scenario && isPeer(result)
        ).map(({ figures }) => number(figures, name) ?? 0),
      );
    const add = (
      target: string,
      value: number | undefined,
      isMet: (value: number) => boolean,
      tell: (value: number) => string,
    ) =>
      verdicts.push({
        target,
        contender,
        measured: value === undefined ? undefined : tell(value),
        isMet: value !== undefined && isMet(value),
      });

    for (const scenario of ["throughput", "drain"]) {
      const ours = number(of(scenario), "jobs_per_second");
      const peers = best(scenario, "jobs_per_second");
      add(
        `${scenario} at least that of the best peer`,
        ours === undefined || peers === 0 ? undefined : round(ours / peers),
        (ratio) => ratio >= 1,
        (ratio) => `${ratio} of it`,
      );
    }
    add(
      "makespan at most 1.2 of the ideal",
      number(of("makespan"), "ratio"),
      (ratio) => ratio <= 1.2,
      (ratio) => `${ratio}`,
    );
    add(
      "insert to first line within 10 ms (p50)",
      number(of("latency"), "pickup_p50_ms"),
      (ms) => ms <= 10,
      (ms) => `${ms} ms`,
    );
    add(
      "another user's job waits for one slot at most",
      number(of("fair-share"), "slots_max"),
      (slots) => slots <= 1,
      (slots) => `${slots} slots`,
    );
    add(
      "a million finished rows cost at most 10 %",
      number(of("history"), "loss_percent"),
      (loss) => loss <= 10,
      (loss) => `${loss} %`,
    );
    const kill = of("kill");
    const stuck = number(kill, "stuck"), billed = number(kill, "billed_twice");
    add(
      "all rescued within 15 s, none stuck, none billed twice",
      number(kill, "last_rescue_seconds"),
      (seconds) => seconds <= 15 && stuck === 0 && billed === 0,
      (seconds) => `${seconds} s, ${stuck} stuck, ${billed} billed twice`,
    );
  }
  return verdicts;
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
