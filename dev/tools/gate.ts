/**
 * The gate: all checks that a change must pass.
 *
 * usage: deno task ok     checks, then the rings unit and database; stops at the first failure
 *            --keep-going   runs all of them and lists the failures at the end
 *            --checks       without the rings
 *            --files=A,B    format, lint and types of these files alone, for a tree that is known to pass without them
 *        deno task test     all checks and all rings, to the end; the last line is the sum of the tests
 */
import { fromFileUrl } from "@std/path";
import { StackError } from "../stack/console/stack-error.ts";
import { FULL_LOCK } from "./lock-rules.ts";
import { ALL_RINGS, type Ring } from "./rings.ts";
import { clusterValue, runRings, say, sayTally } from "./run-tests.ts";
import { startTestCluster, TEST_CLUSTER_VARIABLE } from "./test-cluster.ts";
import type { Tally } from "./test-output.ts";

/** A program that must end with 0. */
export interface Check {
  name: string;
  /** Arguments of `deno`. */
  args: string[];
}

const root = fromFileUrl(new URL("../../", import.meta.url));

/** Checks of the source only; the cheapest first. */
const TEXT_CHECKS: Check[] = [
  { name: "format: deno fmt --check", args: ["fmt", "--check"] },
  { name: "lint: deno lint", args: ["lint", "--quiet"] },
  { name: "types: deno check", args: ["check", "--quiet"] },
  {
    name: "imports: deno task check:imports",
    args: ["run", "--allow-all", "dev/tools/check-imports.ts"],
  },
  {
    name: "docs: deno task check:docs",
    args: ["run", "--allow-all", "dev/tools/check-docs.ts"],
  },
  {
    name: "words: deno task check:words",
    args: ["run", "--allow-all", "dev/tools/check-words.ts"],
  },
  {
    name: "client: deno task build:client --check",
    args: [
      "run",
      "--allow-all",
      "dev/tools/build-client.ts",
      "--check",
    ],
  },
  {
    name: "OpenAPI: deno task openapi --check",
    args: ["run", "--allow-all", "dev/openapi/main.ts", "--check"],
  },
];

/** Which files the checks of single files can read. */
const READABLE: Readonly<Record<string, RegExp>> = {
  fmt: /\.(tsx?|js|json|md|html|css)$/,
  lint: /\.(tsx?|js)$/,
  check: /\.tsx?$/,
};

/** The checks with those of single files limited to some; the others read the whole tree. */
export function limitedTo(
  files: readonly string[],
  checks: readonly Check[],
): Check[] {
  return checks.map(({ name, args }) => {
    const readable = READABLE[args[0] ?? ""];
    return readable === undefined ? { name, args } : {
      name,
      args: [...args, ...files.filter((file) => readable.test(file))],
    };
  });
}

/** Checks of files that are generated from a database with the migrations. */
const DATABASE_CHECKS: Check[] = [
  {
    name: "generated types: deno task db:types --check",
    args: [
      "run",
      "--allow-all",
      "dev/tools/gen-types.ts",
      "--check",
    ],
  },
  {
    name: "generated data model: deno task db:model --check",
    args: [
      "run",
      "--allow-all",
      "dev/tools/data-model.ts",
      "--check",
    ],
  },
];

const FILES = "--files=";

const QUICK_RINGS: Ring[] = ["unit", "database"];

/** A part of the gate that passes or fails. */
export interface Step {
  name: string;
  /** Resolves with whether it passed. */
  run(): Promise<boolean>;
}

/** Runs steps in order and returns the names of those that failed. Stops at the first failure unless `keepsGoing`. */
export async function runSteps(
  steps: readonly Step[],
  { keepGoing }: { keepGoing: boolean },
): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of steps) {
    if (await run()) continue;
    failed.push(name);
    if (!keepGoing) break;
  }
  return failed;
}

/** Runs all lanes of steps in parallel, each to its end. Resolves with the names of the failed steps. */
export async function runLanes(
  ...lanes: (readonly Step[])[]
): Promise<string[]> {
  const failed = lanes.map((steps) => runSteps(steps, { keepGoing: true }));
  return (await Promise.all(failed)).flat();
}

function stepsOf(checks: readonly Check[]): Step[] {
  return checks.map(({ name, args: [command = "", ...rest] }) => ({
    name,
    async run() {
      await say(name);
      const { code } = await new Deno.Command(Deno.execPath(), {
        // Their imports include those of tools and tests.
        args: [
          command,
          ...(command === "run" || command === "check" ? FULL_LOCK : []),
          ...rest,
        ],
        cwd: root,
        stdin: "null",
        stdout: "inherit",
        stderr: "inherit",
      }).spawn().status;
      return code === 0;
    },
  }));
}

const SHARED_CLUSTER = "database: a cluster that the run shares";

/** Starts the cluster for the rest of the run. Returns false, with the reason printed, when that fails. */
async function shareCluster(stack: AsyncDisposableStack): Promise<boolean> {
  try {
    const cluster = stack.use(await startTestCluster());
    Deno.env.set(TEST_CLUSTER_VARIABLE, clusterValue(cluster));
    return true;
  } catch (error) {
    if (!(error instanceof StackError)) throw error;
    await say(`database: ${error.message}`);
    return false;
  }
}

/** Resolves with the names of the failed parts. */
async function runQuick(
  options: {
    keepGoing: boolean;
    rings: readonly Ring[];
    files: readonly string[] | undefined;
  },
): Promise<string[]> {
  const checks = options.files === undefined
    ? TEXT_CHECKS
    : limitedTo(options.files, TEXT_CHECKS);
  const failed = await runSteps(stepsOf(checks), options);
  if (failed.length > 0 && !options.keepGoing) return failed;
  await using stack = new AsyncDisposableStack();
  if (!await shareCluster(stack)) return [...failed, SHARED_CLUSTER];
  const rings = options.rings.map((ring): Step => ({
    name: `ring ${ring}`,
    run: async () => (await runRings([ring], { isChecked: true })).failed === 0,
  }));
  return [
    ...failed,
    ...await runSteps([...stepsOf(DATABASE_CHECKS), ...rings], options),
  ];
}

/**
 * Runs everything to the end, so that a formatting error hides no failed test. Each failed check counts as one failure.
 */
async function runWhole(): Promise<Tally> {
  const isOfTypes = ({ args: [command] }: Check) => command === "check";
  // Type-checking takes as long as all others together, so it is a separate lane. The rings begin meanwhile.
  const textChecks = runLanes(
    stepsOf(TEXT_CHECKS.filter(isOfTypes)),
    stepsOf(TEXT_CHECKS.filter((check) => !isOfTypes(check))),
  );
  const failedChecks: string[] = [];
  await using stack = new AsyncDisposableStack();
  if (await shareCluster(stack)) {
    failedChecks.push(...await runLanes(stepsOf(DATABASE_CHECKS)));
  } else failedChecks.push(SHARED_CLUSTER);
  const { passed, failed, failures, skipped } = await runRings(ALL_RINGS, {
    isChecked: true,
  });
  failedChecks.push(...await textChecks);
  return {
    ...(skipped === undefined ? {} : { skipped }),
    passed,
    failed: failed + failedChecks.length,
    failures: [...failedChecks.map((name) => `not ok: ${name}`), ...failures],
  };
}

/** Runs the gate according to the arguments and resolves with the exit code. */
async function main(args: string[]): Promise<number> {
  const known = ["--whole", "--keep-going", "--checks"];
  const files = args.filter((argument) => argument.startsWith(FILES))
    .flatMap((argument) => argument.slice(FILES.length).split(","));
  if (
    args.some((argument) =>
      !known.includes(argument) && !argument.startsWith(FILES)
    )
  ) {
    await say(
      "usage: deno task ok [--keep-going] [--checks] [--files=FILE,…], or deno task test",
    );
    return 2;
  }
  if (args.includes("--whole")) {
    const tally = await runWhole();
    await sayTally(tally);
    return tally.failed === 0 ? 0 : 1;
  }
  const started = performance.now();
  const failed = await runQuick({
    keepGoing: args.includes("--keep-going"),
    rings: args.includes("--checks") ? [] : QUICK_RINGS,
    files: files.length === 0 ? undefined : files,
  });
  for (const name of failed) await say(`not ok: ${name}`);
  const seconds = Math.round((performance.now() - started) / 1000);
  await say(
    failed.length === 0 ? `ok, in ${seconds} s` : `not ok, after ${seconds} s`,
  );
  return failed.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
