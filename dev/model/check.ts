/** The checks of the model: all properties hold in every configuration, and every mutation violates one. */
import { type Exploration, explore, type Violation } from "./explore.ts";
import { CONFIGURATIONS } from "./configurations.ts";
import { Rules } from "./rules.ts";
import type { Mutation } from "./system.ts";

/** The exploration of one configuration. */
export interface ExploredConfiguration {
  name: string;
  exploration: Exploration;
  seconds: number;
}

/** Explores the configurations of these names, or all, in order. */
export function* checkConfigurations(
  names: readonly string[] = Object.keys(CONFIGURATIONS),
): Generator<ExploredConfiguration> {
  for (const [name, configuration] of Object.entries(CONFIGURATIONS)) {
    if (!names.includes(name)) continue;
    const began = performance.now();
    const exploration = explore(new Rules(configuration));
    yield {
      name,
      exploration,
      seconds: (performance.now() - began) / 1000,
    };
  }
}

/** The first configuration in which a mutation violates a property, and the violation; undefined when there is none. */
export function checkMutation(
  mutation: Mutation,
): { configuration: string; violation: Violation } | undefined {
  for (const [name, configuration] of Object.entries(CONFIGURATIONS)) {
    const { violation } = explore(new Rules(configuration, mutation));
    if (violation !== undefined) return { configuration: name, violation };
  }
  return undefined;
}
