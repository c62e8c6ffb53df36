/**
 * The gate: everything that must hold before a change is taken.
 *
 * usage: deno task ok      checks, then the rings unit and database; stops at the first failure
 *        deno task test    all checks and all rings, to the end; the last line is the sum of the tests
 */
import { fromFileUrl } from "@std/path";
import { StackError } from "../stack/stack-error.ts";
import {
  clusterValue,
  type Ring,
  runRings,
  say,
  sayTally,
  type Tally,
} from "./run-tests.ts";
import { startTestCluster, TEST_CLUSTER_VARIABLE } from "./test-cluster.ts";

interface Check {
  name: string;
  /** Arguments of `deno`. */
  args: string[];
}

const root = fromFileUrl(new URL("../../", import.meta.url));

/** Of the text alone; the cheapest first. */
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
    name: "client: deno task build:client --check",
    args: ["run", "--allow-all", "dev/tools/build-client.ts", "--check"],
  },
];

/** Of what is generated from a database with the migrations. */
const DATABASE_CHECKS: Check[] = [
  {
    name: "generated types: deno task db:types --check",
    args: ["run", "--allow-all", "dev/tools/gen-types.ts", "--check"],
  },
  {
    name: "generated schema: deno task db:schema --check",
    args: ["run", "--allow-all", "dev/tools/dump-schema.ts", "--check"],
  },
  {
    name: "generated data model: deno task db:model --check",
    args: ["run", "--allow-all", "dev/tools/data-model.ts", "--check"],
  },
];

const QUICK_RINGS: Ring[] = ["unit", "database"];
const ALL_RINGS: Ring[] = [...QUICK_RINGS, "functions", "e2e"];

/** Runs checks in order and returns the names of those that failed; with `stopAtFirst` none runs after a failure. */
async function runChecks(
  checks: Check[],
  { stopAtFirst }: { stopAtFirst: boolean },
): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, args } of checks) {
    await say(name);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args,
      cwd: root,
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn().status;
    if (code === 0) continue;
    failed.push(name);
    if (stopAtFirst) break;
  }
  return failed;
}

/** Starts the cluster that the rest of the run shares. False, with the reason printed, when that cannot be done. */
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

/** Stops at the first failure. Resolves with the exit code. */
async function runQuick(): Promise<0 | 1> {
  const options = { stopAtFirst: true };
  if ((await runChecks(TEXT_CHECKS, options)).length > 0) return 1;
  await using stack = new AsyncDisposableStack();
  if (!await shareCluster(stack)) return 1;
  if ((await runChecks(DATABASE_CHECKS, options)).length > 0) return 1;
  for (const ring of QUICK_RINGS) {
    const tally = await runRings([ring]);
    if (tally.failed > 0) return 1;
  }
  return 0;
}

/** Runs everything to the end, so that one line out of format hides no failed test. Each failed check counts as one. */
async function runWhole(): Promise<Tally> {
  const options = { stopAtFirst: false };
  const failedChecks = await runChecks(TEXT_CHECKS, options);
  await using stack = new AsyncDisposableStack();
  if (await shareCluster(stack)) {
    failedChecks.push(...await runChecks(DATABASE_CHECKS, options));
  } else failedChecks.push("database: a cluster that the run shares");
  const { passed, failed, failures } = await runRings(ALL_RINGS);
  return {
    passed,
    failed: failed + failedChecks.length,
    failures: [...failedChecks.map((name) => `not ok: ${name}`), ...failures],
  };
}

const started = performance.now();
if (Deno.args.includes("--whole")) {
  const tally = await runWhole();
  await sayTally(tally);
  Deno.exitCode = tally.failed === 0 ? 0 : 1;
} else {
  Deno.exitCode = await runQuick();
  const seconds = Math.round((performance.now() - started) / 1000);
  await say(
    Deno.exitCode === 0 ? `ok, in ${seconds} s` : `not ok, after ${seconds} s`,
  );
}
