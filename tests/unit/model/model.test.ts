/** The model of the job engine: every property holds in every state of every configuration; every mutation is detected. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { checkMutation } from "../../../dev/model/check.ts";
import { explore, start } from "../../../dev/model/explore.ts";
import { seededRandom } from "../../../dev/model/random.ts";
import { Rules } from "../../../dev/model/rules.ts";
import { type Mutation, MUTATIONS } from "../../../dev/model/system.ts";
import { encode } from "../../../dev/model/state.ts";
import { coveringTraces, randomTraces } from "../../../dev/model/traces.ts";
import { CONFIGURATIONS } from "../../../dev/model/configurations.ts";

const ONE_CREATION = /created nothing|one creation/;

/** The property that must detect each mutation. */
const DETECTED_BY: Record<Mutation, RegExp> = {
  "writes carry no lease token": /old lease token/,
  "claim takes leased jobs": /one live owner/,
  "claim ignores the cap": /caps/,
  "claim counts no attempt": /attempts never exceed/,
  "begin resends without a query": ONE_CREATION,
  "begin ignores a cancellation": /whose owner has cancelled/,
  "the call is journalled after its request": ONE_CREATION,
  "an empty query is always conclusive": ONE_CREATION,
  "reconcile_seconds start when the request is sent": ONE_CREATION,
  "a request may be sent after its lease has expired": /another owner/,
  "a worker without a lease continues its request": ONE_CREATION,
  "a lost response counts as a rejection": ONE_CREATION,
  "a rejected repetition counts as a rejection": ONE_CREATION,
  "reconcile_seconds ignore a repetition": ONE_CREATION,
  "a repetition ignores a cancellation": /whose owner has cancelled/,
  "a rejection leaves the spend unknown": /spend is unknown/,
  "the end of a run leaves its call as sent": /unknown outcome/,
  "snooze uses up the attempt": /attempt left/,
  "rescue leaves the last attempt waiting": /attempt left/,
  "rescue takes a valid lease": /first attempt/,
  "cancelling a waiting job leaves it waiting": /does not wait/,
  "requeueing ignores a cancellation": /does not wait/,
  "failing ignores a cancellation": /does not fail/,
  "requeueing ignores the maximum age": /forever/,
  "retry ignores the journal": ONE_CREATION,
  "cancelling a running job writes no event": /one event/,
  "there is no sweep": /every job can end/,
};

const page = await Deno.readTextFile(
  new URL("../../../docs/job-lifecycle.md", import.meta.url),
);

/** The numbers of states and steps of a configuration in docs/job-lifecycle.md. */
function documentedSizes(configuration: string): number[] | undefined {
  const row = page.split("\n").find((line) =>
    line.startsWith(`| \`${configuration}\``)
  );
  return row?.split("|").map((cell) => cell.trim()).slice(4, 6).map(Number);
}

for (const [name, configuration] of Object.entries(CONFIGURATIONS)) {
  Deno.test(`model: in the configuration '${name}' every property holds in every reachable state`, () => {
    const { states, transitions, violation } = explore(
      new Rules(configuration),
    );
    assertEquals(violation, undefined);
    assert(
      states > 50 && transitions > states,
      `${states} states, ${transitions} transitions`,
    );
    assertEquals(documentedSizes(name), [states, transitions], "as documented");
  });
}

Deno.test("model: every mutation of a rule is detected by the property that it violates", () => {
  assert(
    page.replaceAll(/\s+/g, " ").includes(
      `makes ${MUTATIONS.length} mutations`,
    ),
    "docs/job-lifecycle.md has their number",
  );
  for (const broken of MUTATIONS) {
    const found = checkMutation(broken);
    assert(found !== undefined, `${broken}: no property noticed`);
    assert(
      DETECTED_BY[broken].test(found.violation.property),
      `${broken}: noticed by '${found.violation.property}'`,
    );
    assert(found.violation.trace.length > 0);
  }
});

Deno.test("model: states that differ only in the names of jobs and workers count as one", () => {
  const { crashes } = CONFIGURATIONS;
  const rules = new Rules(crashes);
  const first = start(rules);
  const codes = new Set<string>();
  let steps = 0;
  rules.steps(first, ({ rule, next }) => {
    if (rule !== "claim") return;
    steps++;
    codes.add(encode(next));
  });
  assertEquals([steps, codes.size], [4, 1], "2 workers × 2 jobs");
  assertNotEquals(encode(first), [...codes][0]);
});

Deno.test("coveringTraces: every rule that can apply is on a trace, and each trace is a path", () => {
  for (
    const configuration of [CONFIGURATIONS.noFaults, CONFIGURATIONS.expiry]
  ) {
    const rules = new Rules(configuration);
    const traces = coveringTraces(rules);
    const covered = new Set(traces.flat().map(({ rule }) => rule));
    assertEquals(
      [...covered].sort(),
      [...explore(rules).rules.keys()].sort(),
    );
    for (const trace of traces) {
      let state = start(rules);
      for (const step of trace) {
        const possible: string[] = [];
        rules.steps(state, ({ next }) => possible.push(encode(next)));
        assert(possible.includes(encode(step.next)), step.rule);
        state = step.next;
      }
    }
  }
});

Deno.test("randomTraces: the same seed gives the same walks, and another seed different ones", () => {
  const walk = (seed: number) =>
    randomTraces(new Rules(CONFIGURATIONS.allFaults), {
      seed,
      count: 3,
      length: 20,
    })
      .map((trace) => trace.map(({ rule }) => rule));
  assertEquals(walk(7), walk(7));
  assertNotEquals(walk(7), walk(8));
});

Deno.test("seededRandom: the same seed gives the same numbers, all in [0, 1)", () => {
  const numbers = (seed: number) => {
    const random = seededRandom(seed);
    return Array.from({ length: 1000 }, () => random());
  };
  assertEquals(numbers(1), numbers(1));
  assertNotEquals(numbers(1), numbers(2));
  assert(numbers(1).every((number) => number >= 0 && number < 1));
  const mean = numbers(1).reduce((sum, number) => sum + number, 0) / 1000;
  assert(Math.abs(mean - 0.5) < 0.05, `${mean}`);
});
