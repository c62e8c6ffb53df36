/**
 * `deno task start`: the embedded stack on the terminal, until Ctrl-C.
 *
 * Exit codes: 0 after a stop by SIGINT or SIGTERM, 1 when the stack could not start or broke down, 130 when a
 * second Ctrl-C cut the stop short.
 */
import { parseArgs } from "@std/cli/parse-args";
import { dirname, join, resolve } from "@std/path";
import { z } from "zod";
import { banner } from "./banner.ts";
import {
  defaultPort,
  type Stack,
  StackError,
  type StackOptions,
  startStack,
} from "./stack.ts";

const usage = `Usage: deno task start [options]

  --port N            port of the API (default ${defaultPort}; 0 for any free one)
  --data DIR          folder that keeps the data (default .data/stack)
  --ephemeral         keep nothing; without --port any free port
  --env-file PATH     write API_URL, DB_URL, PUBLISHABLE_KEY, SECRET_KEY, SIMULATOR_URL there once ready
  --project DIR       the folder with supabase/ (default: this repository)
  --no-seed           leave a new data folder without the project's seed data (--seed: give it to --ephemeral too)
  --no-simulators     no simulated providers
  --simulate-upstash  give the functions a simulated Upstash Redis
  --exit-with-parent  stop when the process that started this one ends
  --quiet             do not print what the functions say
  --help              show this
`;

const encoder = new TextEncoder();

function say(text: string): void {
  Deno.stdout.writeSync(encoder.encode(text));
}

function complain(text: string): void {
  Deno.stderr.writeSync(encoder.encode(text));
}

const argumentsSchema = z.object({
  port: z.string().regex(/^\d{1,5}$/).transform(Number).refine((port) =>
    port < 65536
  ).optional(),
  data: z.string().min(1).optional(),
  project: z.string().min(1).optional(),
  "env-file": z.string().min(1).optional(),
  ephemeral: z.boolean().default(false),
  seed: z.boolean().optional(),
  simulators: z.boolean().default(true),
  "simulate-upstash": z.boolean().default(false),
  "exit-with-parent": z.boolean().default(false),
  quiet: z.boolean().default(false),
  help: z.boolean().default(false),
});

interface Invocation {
  help: boolean;
  exitWithParent: boolean;
  envFile: string | undefined;
  options: StackOptions;
}

function readArguments(args: string[]): Invocation {
  const unknown: string[] = [];
  const parsed = parseArgs(args, {
    string: ["port", "data", "env-file", "project"],
    boolean: [
      "ephemeral",
      "seed",
      "simulate-upstash",
      "exit-with-parent",
      "quiet",
      "help",
      "simulators",
    ],
    default: { simulators: true, seed: undefined },
    negatable: ["simulators", "seed"],
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (unknown.length > 0) {
    throw new StackError(`Unknown argument ${unknown[0]}.\n\n${usage}`);
  }
  const checked = argumentsSchema.safeParse(parsed);
  if (!checked.success) {
    const name = checked.error.issues[0]?.path.join(".") ?? "";
    throw new StackError(`--${name} has no usable value.\n\n${usage}`);
  }
  const given = checked.data;
  if (given.ephemeral && given.data !== undefined) {
    throw new StackError(
      `--ephemeral and --data exclude each other.\n\n${usage}`,
    );
  }
  return {
    help: given.help,
    exitWithParent: given["exit-with-parent"],
    envFile: given["env-file"] && resolve(given["env-file"]),
    options: {
      ephemeral: given.ephemeral,
      // What is thrown away at the end is made for a test or a trial, and starts empty.
      seed: given.seed ?? !given.ephemeral,
      simulators: given.simulators,
      upstash: given["simulate-upstash"] ? "simulated" : "none",
      quiet: given.quiet,
      ...(given.port === undefined ? {} : { port: given.port }),
      ...(given.data === undefined ? {} : { dataDir: given.data }),
      ...(given.project === undefined ? {} : { projectDir: given.project }),
    },
  };
}

/** Whoever waits for the file must not find the one of an earlier run. */
async function removeEnvFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function writeEnvFile(path: string, stack: Stack): Promise<void> {
  const values = {
    API_URL: stack.apiUrl,
    DB_URL: stack.dbUrl,
    PUBLISHABLE_KEY: stack.publishableKey,
    SECRET_KEY: stack.secretKey,
    SIMULATOR_URL: stack.simulatorUrl,
  };
  const text = Object.entries(values).map(([name, value]) =>
    `${name}=${value}\n`
  ).join("");
  const draft = join(dirname(path), `.${crypto.randomUUID()}.draft`);
  try {
    await Deno.writeTextFile(draft, text, { mode: 0o600 });
    await Deno.rename(draft, path);
  } catch (cause) {
    await Deno.remove(draft).catch(() => {});
    throw new StackError(`${path} cannot be written: ${cause}`, { cause });
  }
}

/**
 * One Ctrl-C may arrive twice, from the terminal and from `deno task` passing it on. A second one of a person
 * comes later than this.
 */
const sameSignalMs = 700;

/** Resolves at the first SIGINT or SIGTERM; a later one ends the process at once, and the children follow it. */
function stopRequest(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let first: number | undefined;
  const onSignal = () => {
    first ??= performance.now();
    if (performance.now() - first > sameSignalMs) Deno.exit(130);
    resolve();
  };
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  Deno.addSignalListener("SIGHUP", onSignal);
  return promise;
}

/** Resolves when the process that started this one is gone; `deno task` cannot tell when it is killed. */
function endOfParent(): Promise<void> {
  const parent = Deno.ppid;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    if (Deno.ppid === parent) return;
    clearInterval(timer);
    resolve();
  }, 300);
  Deno.unrefTimer(timer);
  return promise;
}

async function run(args: string[]): Promise<number> {
  const started = performance.now();
  let stopRequested = stopRequest();
  let isStopRequested = false;
  try {
    const { help, exitWithParent, envFile, options } = readArguments(args);
    if (exitWithParent) {
      stopRequested = Promise.race([stopRequested, endOfParent()]);
    }
    stopRequested.then(() => isStopRequested = true);
    if (help) {
      say(usage);
      return 0;
    }
    if (envFile !== undefined) await removeEnvFile(envFile);
    await using stack = await startStack(options);
    if (!isStopRequested) {
      if (envFile !== undefined) await writeEnvFile(envFile, stack);
      say(banner(stack, options, performance.now() - started));
      await Promise.race([stopRequested, stack.crashed]);
    }
    say("\nStopping …\n");
    return 0;
  } catch (error) {
    complain(
      error instanceof StackError
        ? `${error.message.trimEnd()}\n`
        : `The stack failed in a way that it should not: ${
          error instanceof Error ? error.stack : error
        }\n`,
    );
    return 1;
  }
}

if (import.meta.main) Deno.exit(await run(Deno.args));
