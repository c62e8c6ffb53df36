/** The model of the job engine: every property holds in every state of every world, and every broken rule is detected. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { checkBreak } from "../../../dev/model/check.ts";
import { explore, start } from "../../../dev/model/explore.ts";
import { seededRandom } from "../../../dev/model/random.ts";
import { type Break, BREAKS, Rules } from "../../../dev/model/rules.ts";
import { encode } from "../../../dev/model/state.ts";
import { coveringTraces, randomTraces } from "../../../dev/model/traces.ts";
import { WORLDS } from "../../../dev/model/worlds.ts";

const ONE_CREATION = /nothing was made|one creation/;

/** The property that must detect each broken rule. */
const NOTICED_BY: Record<Break, RegExp> = {
  "writes carry no lease token": /old lease token/,
  "claim takes leased jobs": /one live owner/,
  "claim ignores the cap": /caps/,
  "claim counts no attempt": /attempts never exceed/,
  "begin sends without a query": ONE_CREATION,
  "begin ignores a cancellation": /whose owner has cancelled/,
  "the call is journalled after the request": ONE_CREATION,
  "an empty query is always conclusive": ONE_CREATION,
  "the time to reconcile starts at the sending": ONE_CREATION,
  "a request may be sent after its lease": /another owner/,
  "a sender that is cut off continues": ONE_CREATION,
  "a lost response counts as a refusal": ONE_CREATION,
  "a refused repetition counts as a refusal": ONE_CREATION,
  "the time to reconcile ignores a repetition": ONE_CREATION,
  "a repetition ignores a cancellation": /whose owner has cancelled/,
  "a refusal leaves the spend unknown": /spend is unknown/,
  "an ending leaves its call as sent": /unknown outcome/,
  "snooze spends the attempt": /attempt left/,
  "rescue leaves the last attempt waiting": /attempt left/,
  "rescue takes a valid lease": /nothing goes wrong/,
  "cancelling a waiting job leaves it waiting": /does not wait/,
  "requeueing forgets a cancellation": /does not wait/,
  "a job is never too old to wait again": /forever/,
  "retry forgets the journal": ONE_CREATION,
  "cancelling a running job writes no event": /one event/,
  "nothing sweeps": /every job can end/,
};

const page = await Deno.readTextFile(
  new URL("../../../docs/job-lifecycle.md", import.meta.url),
);

/** The numbers of states and steps of a world in docs/job-lifecycle.md. */
function documentedSizes(world: string): number[] | undefined {
  const row = page.split("\n").find((line) =>
    line.startsWith(`| \`${world}\``)
  );
  return row?.split("|").map((cell) => cell.trim()).slice(4, 6).map(Number);
}

for (const [name, world] of Object.entries(WORLDS)) {
  Deno.test(`model: in the world '${name}' every property holds in every reachable state`, () => {
    const { states, transitions, violation } = explore(
      new Rules(world),
    );
    assertEquals(violation, undefined);
    assert(
      states > 50 && transitions > states,
      `${states} states, ${transitions} transitions`,
    );
    assertEquals(documentedSizes(name), [states, transitions], "as documented");
  });
}

Deno.test("model: every broken rule is detected by the property that it breaks", () => {
  assert(
    page.replaceAll(/\s+/g, " ").includes(`breaks ${BREAKS.length} rules`),
    "docs/job-lifecycle.md has their number",
  );
  for (const broken of BREAKS) {
    const found = checkBreak(broken);
    assert(found !== undefined, `${broken}: no property noticed`);
    assert(
      NOTICED_BY[broken].test(found.violation.property),
      `${broken}: noticed by '${found.violation.property}'`,
    );
    assert(found.violation.trace.length > 0);
  }
});

Deno.test("model: states that differ only in the names of jobs and workers count as one", () => {
  const { pair } = WORLDS;
  const rules = new Rules(pair);
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
  for (const world of [WORLDS.calm, WORLDS.old]) {
    const rules = new Rules(world);
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
    randomTraces(new Rules(WORLDS.trouble), { seed, count: 3, length: 20 })
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
