/**
 * Explores the model of the job engine and prints the result.
 *
 * usage: deno task model
 *
 * Exits with 1 when a property does not hold, or a broken rule is not noticed.
 */
// deno-lint-ignore-file no-console -- printing is what this program is for
import { BREAKS } from "./rules.ts";
import { checkBreak, checkWorlds } from "./check.ts";
import { WORLDS } from "./worlds.ts";

let isFine = true;
for (const { name, exploration, seconds } of checkWorlds()) {
  const { states, transitions, rules, violation } = exploration;
  console.log(
    `${name}: ${states} states, ${transitions} transitions, ${rules.size} rules, ${
      seconds.toFixed(1)
    } s`,
  );
  if (violation === undefined) continue;
  isFine = false;
  console.log(
    `  NOT TRUE: ${violation.property}\n    ${violation.trace.join("\n    ")}`,
  );
}
console.log(`\n${BREAKS.length} broken rules:`);
for (const broken of BREAKS) {
  const found = checkBreak(broken);
  if (found === undefined) {
    isFine = false;
    console.log(
      `  NOT NOTICED: ${broken} (in ${Object.keys(WORLDS).join(", ")})`,
    );
  } else {
    console.log(
      `  ${broken}\n    noticed in ${found.world} after ${found.violation.trace.length} steps: ${found.violation.property}`,
    );
  }
}
Deno.exitCode = isFine ? 0 : 1;
