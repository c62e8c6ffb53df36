import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { replaceResults } from "../../../bench/report/publish.ts";
import type { Result } from "../../../bench/report/record.ts";
import { renderRun, renderTables } from "../../../bench/report/tables.ts";
import { median, summarize } from "../../../bench/report/summary.ts";
import { judge, renderVerdicts } from "../../../bench/report/targets.ts";

function result(
  scenario: string,
  contender: string,
  figures: Result["figures"],
  run = 1,
): Result {
  return {
    at: "2026-11-22T20:00:00.000Z",
    run: `2026-11-22T20:0${run}:00.000Z`,
    scenario,
    contender,
    title: `the ${contender}`,
    library: contender === "direct" ? "edge-ai-jobs" : "peer 1.2.3",
    settings: {},
    options: {},
    figures,
    is_quick: false,
    commit: "0123456789",
    postgres: "17.10",
    deno: "2.9.6",
    machine: { cores: 2, memory_gb: 24, os: "linux", arch: "x86_64" },
    load: 1.5,
    load_before: 0.2,
  };
}

function verdictOf(results: Result[], target: RegExp) {
  return judge(results).find((verdict) =>
    verdict.contender === "direct" && target.test(verdict.target)
  );
}

Deno.test("judge: throughput is compared with the best peer", () => {
  const results = [
    result("throughput", "direct", { jobs_per_second: 90 }),
    result("throughput", "slow-peer", { jobs_per_second: 30 }),
    result("throughput", "fast-peer", { jobs_per_second: 100 }),
  ];
  assertEquals(verdictOf(results, /^throughput/), {
    target: "throughput at least that of the best peer",
    contender: "direct",
    measured: "0.9 of it",
    isMet: false,
  });
});

Deno.test("judge: a rescue in time does not count when something was billed twice", () => {
  const kill = (billed_twice: number) =>
    verdictOf([
      result("kill", "direct", {
        last_rescue_seconds: 12,
        stuck: 0,
        billed_twice,
      }),
    ], /rescued/)?.isMet;
  assertEquals([kill(0), kill(1)], [true, false]);
});

Deno.test("judge: a ratio is computed within each run, and the median of the runs decides", () => {
  const results = [[90, 100], [300, 200], [110, 100]].flatMap(
    ([ours = 0, peer = 0], run) => [
      result("drain", "direct", { jobs_per_second: ours }, run),
      result("drain", "peer", { jobs_per_second: peer }, run),
    ],
  );
  const verdict = verdictOf(results, /^drain/);
  assertEquals([verdict?.measured, verdict?.isMet], [
    "1.1 of it (0.9 to 1.5)",
    true,
  ]);
});

Deno.test("judge: a double bill in some of three runs misses the target, and is named once", () => {
  for (
    const [bills, runs] of [[[0, 1, 0], "one run"], [
      [1, 1, 0],
      "2 runs",
    ]] as const
  ) {
    const results = bills.map((billed_twice, run) =>
      result("kill", "direct", {
        last_rescue_seconds: 12,
        stuck: 0,
        billed_twice,
      }, run)
    );
    const verdict = verdictOf(results, /rescued/);
    assertEquals([verdict?.measured, verdict?.isMet], [
      `12 s; 0 stuck, 1 billed twice in ${runs}`,
      false,
    ]);
  }
});

Deno.test("judge: a figure that one run did not reach is not met", () => {
  const results = [1.2, null].map((ratio, run) =>
    result("makespan", "direct", { ratio }, run)
  );
  assertEquals(verdictOf(results, /makespan at most 1.25/)?.isMet, false);
});

Deno.test("summarize: the median of each figure with its range, and the worst run of a fault", () => {
  const results = [[10, 0], [30, 2], [20, 0]].map(
    ([jobs_per_second = 0, stuck = 0], run) =>
      result(
        "drain",
        "direct",
        { jobs_per_second, stuck, jobs: 5, is_begun: run > 0 },
        run,
      ),
  );
  assertEquals(summarize(results), [{
    scenario: "drain",
    contender: "direct",
    title: "the direct",
    figures: { jobs_per_second: 20, stuck: 2, jobs: 5, is_begun: false },
    ranges: { jobs_per_second: [10, 30], stuck: [0, 2] },
  }]);
});

Deno.test("median: the middle value, or the mean of the two in the middle", () => {
  assertEquals([median([3, 1, 2]), median([4, 1, 3, 2])], [2, 2.5]);
  assertThrows(() => median([]), RangeError, "no values");
});

Deno.test("renderTables: several runs are one row, with the range of the runs", () => {
  const text = renderTables(
    [2.4, 2.6, 2.5].map((seconds, run) =>
      result(
        "makespan",
        "direct",
        { jobs: 500, seconds, ratio: seconds / 2 },
        run,
      )
    ),
  );
  assertStringIncludes(text, "| the direct | 500 | 2.5 | 1.25 (1.2 to 1.3) |");
});

Deno.test("judge: a target that was not reached or not run is not met, with the reason", () => {
  const results = [result("makespan", "direct", { ratio: null })];
  const verdict = verdictOf(results, /makespan/);
  assertEquals([verdict?.measured, verdict?.isMet], [undefined, false]);
  assertStringIncludes(renderVerdicts(judge(results)), "not measured");
});

Deno.test("renderTables: has a row for each contender of a scenario, and no table without one", () => {
  const text = renderTables([
    result("makespan", "direct", {
      jobs: 500,
      seconds: 2.4,
      ratio: 1.2,
    }),
  ]);
  assertStringIncludes(text, "| the direct | 500 | 2.4 | 1.2 |");
  assertEquals(text.match(/^###/gm)?.length, 1);
});

Deno.test("renderTables: a figure that was not reached is a dash", () => {
  const text = renderTables([
    result("makespan", "pg-boss", { jobs: 500, seconds: 20, ratio: null }),
  ]);
  assertStringIncludes(text, "| the pg-boss | 500 | 20 | – |");
});

Deno.test("renderRun: names versions, machine class and load", () => {
  const text = renderRun([
    result("drain", "direct", {}),
    result("drain", "peer", {}),
  ]);
  for (
    const part of [
      "2 cores",
      "Postgres 17.10",
      "peer 1.2.3",
      "before the run 0.2",
    ]
  ) assertStringIncludes(text, part);
});

Deno.test("renderRun: several runs are labelled as medians", () => {
  const text = renderRun(
    [1, 2, 3].map((run) => result("drain", "peer", {}, run)),
  );
  assertStringIncludes(text, "Medians of 3 runs");
});

Deno.test("replaceResults: replaces only the text between the marks", () => {
  const page = (text: string) =>
    `# Page\n\n<!-- engine results: written by deno task bench --publish -->\n\n${text}\n<!-- end of engine results -->\n\n## RLS\n`;
  assertEquals(replaceResults(page("old"), "new"), page("new"));
});

Deno.test("replaceResults: a page without the marks is an error, not a page without results", () => {
  assertThrows(() => replaceResults("# Page\n", "new"), Error, "no place");
});
