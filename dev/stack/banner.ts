/** What the terminal shows once the stack is ready. */
import type { Stack, StackOptions } from "./stack.ts";

const modes = {
  real: "real (your key)",
  simulated: "simulated",
  off: "not used",
} as const;

function providerLine(
  { name, keyVariable, mode }: Stack["providers"][number],
): string {
  const hint = mode === "real"
    ? ""
    : `   set ${keyVariable} to use the real one`;
  return `    ${name.padEnd(12)} ${modes[mode].padEnd(16)}${hint}\n`;
}

/** The text for a stack that became ready after `elapsedMs`. */
export function banner(
  stack: Stack,
  options: StackOptions,
  elapsedMs: number,
): string {
  const { applied, changed, missing } = stack.migrations;
  const warnings = [
    ...changed.map((file) =>
      `  ! ${file} was changed after it was applied; the database still has the old text.\n`
    ),
    ...missing.map((version) =>
      `  ! Migration ${version} is in the database, but its file is not there.\n`
    ),
  ];
  const data = options.ephemeral
    ? "ephemeral, gone when this ends"
    : options.dataDir ?? ".data/stack";
  return `
  The embedded stack is ready (${(elapsedMs / 1000).toFixed(1)} s).

    API URL          ${stack.apiUrl}
    Database URL     ${stack.dbUrl}
    Publishable key  ${stack.publishableKey}
    Secret key       ${stack.secretKey}
    Simulators       ${stack.simulatorUrl || "off"}
    Functions        ${stack.functions.slugs.join(", ") || "none"}
    Data             ${data}${
    applied.length > 0 ? ` (${applied.length} migrations applied)` : ""
  }${
    stack.seeded.length > 0
      ? `\n    Seed data        ${
        stack.seeded.join(", ")
      } (its head says who can sign in)`
      : ""
  }

  AI providers
${stack.providers.map(providerLine).join("")}${warnings.join("")}
  Ctrl-C stops it.
`;
}
