/** The text that the terminal shows once the stack is ready. */
import { relative } from "@std/path";
import { dataFolderOf, taskCommand } from "./process/data-folder.ts";
import type { StackOptions } from "./options.ts";
import type { SeededPeople } from "./page.ts";
import type { Stack } from "./stack.ts";

const nameWidth = 16;

const modes = {
  real: "real, with your key",
  simulated: "simulated",
  off: "not used",
} as const;

function providerLine(
  { name, keyVariable, mode }: Stack["providers"][number],
): string {
  const hint = mode === "real" ? "" : `set ${keyVariable} to use the real one`;
  return `    ${name.padEnd(nameWidth)} ${modes[mode].padEnd(20)} ${hint}`
    .trimEnd();
}

/** The path relative to the current folder if that is shorter. */
function pathFor(path: string): string {
  const short = relative(Deno.cwd(), path);
  return short === "" || short.startsWith("..") ? path : short;
}

function dataLine(stack: Shown, options: StackOptions): string {
  const { applied } = stack.migrations;
  const where = options.ephemeral
    ? "none is kept"
    : pathFor(dataFolderOf(options));
  return applied.length > 0
    ? `${where} (${applied.length} migration${
      applied.length === 1 ? "" : "s"
    } applied)`
    : where;
}

function warningsOf(stack: Shown): string[] {
  const { changed, missing } = stack.migrations;
  const problem = stack.page?.problem;
  return [
    ...(problem === undefined ? [] : [`The page cannot be served: ${problem}`]),
    ...changed.map((file) =>
      `${file} was changed after it was applied; the database has the old version.`
    ),
    ...missing.map((version) =>
      `Migration ${version} is applied in the database, but its file is missing.`
    ),
    ...stack.namesNotRead.map((name) =>
      `The functions do not read ${name}, which is set in supabase/functions/.env; .env.example lists the names.`
    ),
    ...(stack.networkUrls.length > 0
      ? [
        "Everyone on this network can use the API, sign up, and sign in as the seeded users.",
        ...stack.providers.filter(({ mode, name }) =>
          mode === "real" && name !== "Upstash"
        ).map(({ name }) =>
          `${name} is real: you pay for the jobs of everyone on this network.`
        ),
      ]
      : []),
  ];
}

const listWidth = 72;

/** Wraps a list into lines. */
function wrap(items: string[]): string[] {
  const lines: string[] = [];
  for (const [index, item] of items.entries()) {
    const word = index < items.length - 1 ? `${item},` : item;
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= listWidth) {
      lines.push(word);
    } else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Names with their values, one per line; a name without a value is omitted. */
function row(name: string, values: (string | undefined)[]): string[] {
  return values.filter((value) => value !== undefined).map((value, index) =>
    `    ${(index === 0 ? name : "").padEnd(nameWidth)} ${value}`
  );
}

/** The data of the banner. */
export type Shown =
  & Pick<
    Stack,
    | "apiUrl"
    | "appUrl"
    | "networkUrls"
    | "publishableKey"
    | "secretKey"
    | "dbUrl"
    | "simulatorUrl"
    | "migrations"
    | "seeded"
    | "logFile"
    | "namesNotRead"
    | "providers"
  >
  & {
    functions: Pick<Stack["functions"], "slugs">;
    /** The address of the page, and the reason if it cannot be served. */
    page: {
      url: string;
      networkUrls: string[];
      problem: string | undefined;
      /** Who can sign in, of the seed data. */
      people?: SeededPeople | undefined;
    } | undefined;
  };

/** The banner of a stack that became ready after `elapsedMs`. */
export function banner(
  stack: Shown,
  options: StackOptions & { envFile: string | undefined },
  elapsedMs: number,
): string {
  const { url: pageUrl, people } = stack.page ?? {};
  const urls = new Set([stack.appUrl, ...stack.networkUrls, stack.apiUrl]);
  const seed = stack.seeded.map((path) =>
    `${path}; its first lines say who can sign in`
  );
  const functions = stack.functions.slugs;
  const stop = options.ephemeral
    ? "Ctrl-C stops it."
    : `Ctrl-C stops it, and so does: ${
      taskCommand("stop", dataFolderOf(options))
    }`;
  return [
    "",
    `  The stack is ready (${(elapsedMs / 1000).toFixed(1)} s).`,
    "",
    ...row(
      "Open",
      stack.page ? [stack.page.url, ...stack.page.networkUrls] : [],
    ),
    ...row("Sign in", [
      people && `${people.user.email}, password ${people.user.password}`,
    ]),
    ...row("Console", [
      pageUrl &&
      `${pageUrl}/ops${people ? `, as ${people.operator.email}` : ""}`,
    ]),
    ...row("API URL", [...urls]),
    ...row("Publishable key", [stack.publishableKey]),
    ...row("Secret key", [stack.secretKey]),
    ...row("Database URL", [stack.dbUrl]),
    ...row("Simulators", [stack.simulatorUrl || "off"]),
    ...row("Functions", functions.length > 0 ? wrap(functions) : ["none"]),
    ...row("Data", [dataLine(stack, options)]),
    ...row("Seed data", seed),
    ...row("Log", [stack.logFile && pathFor(stack.logFile)]),
    ...row("Env file", [options.envFile && pathFor(options.envFile)]),
    "",
    "  AI providers",
    ...stack.providers.map(providerLine),
    "",
    ...warningsOf(stack).map((text) => `  ! ${text}`),
    `  ${stop}`,
    "",
  ].join("\n");
}
