/** The questions to the model: do all properties hold in every world, and is every broken rule noticed? */
import { type Exploration, explore, type Violation } from "./explore.ts";
import { type Break, Rules } from "./rules.ts";
import { WORLDS } from "./worlds.ts";

/** One world, explored. */
export interface ExploredWorld {
  name: string;
  exploration: Exploration;
  seconds: number;
}

/** Explores the worlds in order. */
export function* checkWorlds(): Generator<ExploredWorld> {
  for (const [name, world] of Object.entries(WORLDS)) {
    const began = performance.now();
    const exploration = explore(new Rules(world));
    yield {
      name,
      exploration,
      seconds: (performance.now() - began) / 1000,
    };
  }
}

/** The first world in which the broken rule is noticed, and the property that notices it; undefined when none does. */
export function checkBreak(
  broken: Break,
): { world: string; violation: Violation } | undefined {
  for (const [name, world] of Object.entries(WORLDS)) {
    const { violation } = explore(new Rules(world, broken));
    if (violation !== undefined) return { world: name, violation };
  }
  return undefined;
}
