/** Paths through the model, to replay against the real database. */
import { start } from "./explore.ts";
import { seededRandom } from "./random.ts";
import type { Rules } from "./rules.ts";
import { encode, jobOf, type State } from "./state.ts";
import type { Step } from "./system.ts";

/** A path from the start, step by step. */
export type Trace = readonly Step[];

/** A rule together with the state of the paid call when it was applied. */
function useOf(state: State, { rule, job }: Step): string {
  return `${rule}, ${jobOf(state, job).call}`;
}

/**
 * Short paths that together apply every rule, with each state of the paid call in which it is applicable. The first use
 * is at the end of a shortest path to it.
 */
export function coveringTraces(rules: Rules): Trace[] {
  const known = new Set<string>();
  const reached: { state: State; parent: number; step: Step | undefined }[] =
    [];
  const shortest = new Map<string, Trace>();
  const visit = (state: State, parent: number, step: Step | undefined) => {
    const key = encode(state);
    if (known.has(key)) return;
    known.add(key);
    reached.push({ state, parent, step });
  };
  const pathTo = (id: number): Step[] => {
    const path: Step[] = [];
    for (let at = id; at >= 0;) {
      const place = reached[at];
      if (place?.step === undefined) break;
      path.push(place.step);
      at = place.parent;
    }
    return path.reverse();
  };
  visit(start(rules), -1, undefined);
  for (let id = 0; id < reached.length; id++) {
    const place = reached[id];
    if (place === undefined) break;
    rules.steps(place.state, (step) => {
      const use = useOf(place.state, step);
      if (!shortest.has(use)) shortest.set(use, [...pathTo(id), step]);
      visit(step.next, id, step);
    });
  }
  const covered = new Set<string>();
  const chosen: Trace[] = [];
  // Long paths first, because they apply many rules.
  const candidates = [...shortest].sort(([, a], [, b]) => b.length - a.length);
  for (const [use, trace] of candidates) {
    if (covered.has(use)) continue;
    chosen.push(trace);
    let state = start(rules);
    for (const step of trace) {
      covered.add(useOf(state, step));
      state = step.next;
    }
  }
  return chosen;
}

/**
 * `count` random walks of at most `length` steps, reproducible by the seed. Rarely applied rules are preferred, so that
 * the walks spread.
 */
export function randomTraces(
  rules: Rules,
  options: { seed: number; count: number; length: number },
): Trace[] {
  const random = seededRandom(options.seed);
  const taken = new Map<string, number>();
  return Array.from({ length: options.count }, () => {
    const trace: Step[] = [];
    let state = start(rules);
    while (trace.length < options.length) {
      const steps: Step[] = [];
      rules.steps(state, (step) => steps.push(step));
      const step = choose(steps, taken, random);
      if (step === undefined) break;
      taken.set(step.rule, (taken.get(step.rule) ?? 0) + 1);
      trace.push(step);
      state = step.next;
    }
    return trace;
  });
}

function choose(
  steps: readonly Step[],
  taken: ReadonlyMap<string, number>,
  random: () => number,
): Step | undefined {
  const weights = steps.map(({ rule }) => 1 / (1 + (taken.get(rule) ?? 0)));
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  return steps.find((_, index) => (left -= weights[index] ?? 0) <= 0) ??
    steps.at(-1);
}
