import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { replaceResults } from "../../../bench/report/publish.ts";
import type { Result } from "../../../bench/report/record.ts";
import { renderRun, renderTables } from "../../../bench/report/tables.ts";
import { judge, renderVerdicts } from "../../../bench/report/targets.ts";

function result(
  scenario: string,
  contender: string,
  figures: Result["figures"],
): Result {
  return {
    at: "2026-11-22T20:00:00.000Z",
    run: "2026-11-22T20:00:00.000Z",
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

Deno.test("judge: throughput is compared with the best peer, not with any", () => {
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

Deno.test("judge: what was not reached or not run is not met, and says so", () => {
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

Deno.test("replaceResults: replaces what is between the marks and nothing else", () => {
  const page = (text: string) =>
    `# Page\n\n<!-- engine results: written by deno task bench --publish -->\n\n${text}\n<!-- end of engine results -->\n\n## RLS\n`;
  assertEquals(replaceResults(page("old"), "new"), page("new"));
});

Deno.test("replaceResults: a page without the marks is an error, not a page without results", () => {
  assertThrows(() => replaceResults("# Page\n", "new"), Error, "no place");
});
