/**
 * Explores the model of the job engine and prints the result.
 *
 * usage: deno task model                    all configurations, then the mutations
 *        deno task model CONFIGURATION…    some configurations, without the mutations
 *
 * Exits with 1 when a property does not hold, or when a mutation violates no property, and with 2 for an unknown name.
 */
// deno-lint-ignore-file no-console -- a program that prints its result
import { checkConfigurations, checkMutation } from "./check.ts";
import { CONFIGURATIONS } from "./configurations.ts";
import { MUTATIONS } from "./system.ts";

const names = Deno.args.length > 0 ? Deno.args : Object.keys(CONFIGURATIONS);
const unknown = names.find((name) => !Object.hasOwn(CONFIGURATIONS, name));
if (unknown !== undefined) {
  console.error(
    `There is no configuration ${unknown}, only ${
      Object.keys(CONFIGURATIONS).join(", ")
    }.`,
  );
  Deno.exit(2);
}
let isFine = true;
for (const { name, exploration, seconds } of checkConfigurations(names)) {
  const { states, transitions, rules, violation } = exploration;
  console.log(
    `${name}: ${states} states, ${transitions} transitions, ${rules.size} rules, ${
      seconds.toFixed(1)
    } s`,
  );
  if (violation === undefined) continue;
  isFine = false;
  console.log(
    `  VIOLATED: ${violation.property}\n    ${violation.trace.join("\n    ")}`,
  );
}
const mutations = Deno.args.length > 0 ? [] : MUTATIONS;
if (mutations.length > 0) console.log(`\n${mutations.length} mutations:`);
for (const mutation of mutations) {
  const found = checkMutation(mutation);
  if (found === undefined) {
    isFine = false;
    console.log(
      `  NOT DETECTED: ${mutation} (in ${
        Object.keys(CONFIGURATIONS).join(", ")
      })`,
    );
  } else {
    console.log(
      `  ${mutation}\n    detected in ${found.configuration} at step ${found.violation.trace.length}: ${found.violation.property}`,
    );
  }
}
Deno.exitCode = isFine ? 0 : 1;
