/**
 * Explores the model of the job engine and prints the result.
 *
 * usage: deno task model
 *
 * Exits with 1 when a property does not hold, or when a mutation violates no property.
 */
// deno-lint-ignore-file no-console -- a program that prints its result
import { MUTATIONS } from "./rules.ts";
import { checkConfigurations, checkMutation } from "./check.ts";
import { CONFIGURATIONS } from "./configurations.ts";

let isFine = true;
for (const { name, exploration, seconds } of checkConfigurations()) {
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
console.log(`\n${MUTATIONS.length} mutations:`);
for (const mutation of MUTATIONS) {
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
      `  ${mutation}\n    detected in ${found.configuration} after ${found.violation.trace.length} steps: ${found.violation.property}`,
    );
  }
}
Deno.exitCode = isFine ? 0 : 1;
