/** The command line of `deno task start`. */
import { parseArgs } from "@std/cli/parse-args";
import { resolve } from "@std/path";
import { z } from "zod";
import { StackError } from "./console/stack-error.ts";
import { defaultPort, type StackOptions } from "./options.ts";

/** The text of `--help`. */
export const usage = `Usage: deno task start [options]

  --port N            port of the API (default ${defaultPort}; 0 for any free port)
  --host ADDRESS      also serve the network of this address, for example to a phone; 0.0.0.0 for all networks
  --data DIR          folder for the data (default .data/stack)
  --ephemeral         keep no data; without --port any free port
  --write-env PATH    when ready, set API_URL, DB_URL, PUBLISHABLE_KEY, SECRET_KEY and SIMULATOR_URL in this env file
  --project DIR       the folder with supabase/ (default: this repository)
  --no-seed           do not load the project's seed data into a new data folder (--seed: load it with --ephemeral)
  --no-simulators     no simulated providers
  --no-page           do not serve the page with the demo app and the console
  --boot-on-demand    start each function with its first request, as hosted, not all of them beforehand
  --simulate-upstash  give the functions a simulated Upstash Redis
  --exit-with-parent  stop when a program that started this one ends
  --verbose           print the full output of every part, not only problems
  --help              show this
`;

const path = z.string().min(1, "needs a value").transform((text) =>
  resolve(text)
).optional();

const argumentsSchema = z.object({
  port: z.string()
    .regex(/^\d{1,5}$/, "needs a number from 0 to 65535").transform(Number)
    .refine((port) => port < 65536, "needs a number from 0 to 65535")
    .optional(),
  host: z.ipv4("needs an IPv4 address of this machine, or 0.0.0.0 for all")
    .optional(),
  data: path,
  project: path,
  "write-env": path,
  ephemeral: z.boolean().default(false),
  seed: z.boolean().optional(),
  simulators: z.boolean().default(true),
  page: z.boolean().default(true),
  "boot-on-demand": z.boolean().default(false),
  "simulate-upstash": z.boolean().default(false),
  "exit-with-parent": z.boolean().default(false),
  verbose: z.boolean().default(false),
  help: z.boolean().default(false),
});

/** The parsed arguments. */
export interface Invocation {
  help: boolean;
  exitWithParent: boolean;
  /** An absolute path. */
  envFile: string | undefined;
  /** Whether to serve the page. */
  withPage: boolean;
  options: StackOptions;
}

/** Parses the command line. Throws {@link StackError} with the usage when an argument is invalid. */
export function readArguments(args: string[]): Invocation {
  const unknown: string[] = [];
  const parsed = parseArgs(args, {
    string: ["port", "host", "data", "write-env", "project"],
    boolean: [
      "ephemeral",
      "seed",
      "boot-on-demand",
      "simulate-upstash",
      "exit-with-parent",
      "verbose",
      "help",
      "simulators",
      "page",
    ],
    default: { simulators: true, page: true, seed: undefined },
    negatable: ["simulators", "page", "seed"],
    // Node consumes --env-file itself, wherever it is on the command line, so only --write-env works through npx.
    alias: { "write-env": "env-file" },
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  const refuse = (message: string) => new StackError(`${message}\n\n${usage}`);
  if (unknown.length > 0) throw refuse(`Unknown argument ${unknown[0]}.`);
  const checked = argumentsSchema.safeParse(parsed);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw refuse(`--${issue?.path.join(".")} ${issue?.message}.`);
  }
  const given = checked.data;
  if (given.ephemeral && given.data !== undefined) {
    throw refuse("--ephemeral and --data exclude each other.");
  }
  return {
    help: given.help,
    exitWithParent: given["exit-with-parent"],
    envFile: given["write-env"],
    withPage: given.page,
    options: {
      ephemeral: given.ephemeral,
      // An ephemeral stack is for tests and trials, so it starts empty.
      seed: given.seed ?? !given.ephemeral,
      simulators: given.simulators,
      bootFunctions: given["boot-on-demand"] ? "on-demand" : "at-once",
      upstash: given["simulate-upstash"] ? "simulated" : "none",
      print: given.verbose ? "everything" : "problems",
      ...(given.host === undefined ? {} : { host: given.host }),
      ...(given.port === undefined ? {} : { port: given.port }),
      ...(given.data === undefined ? {} : { dataDir: given.data }),
      ...(given.project === undefined ? {} : { projectDir: given.project }),
    },
  };
}
