/**
 * Runs rings of tests, one process each, and says in the last line how many tests passed and failed in all.
 *
 * usage: run-tests.ts RING…            (unit, database, functions, e2e, browser)
 *        run-tests.ts RING FILE…       some files of one ring, or options of `deno test`: `--filter=TEXT`
 *
 * A ring that fails, cannot be run, or runs no test at all makes the whole fail.
 */
import { fromFileUrl } from "@std/path";
import { StackError } from "../stack/console/stack-error.ts";
import { findChromium } from "./chromium.ts";
import { FULL_LOCK } from "./lock-rules.ts";
import { startTestCluster, TEST_CLUSTER_VARIABLE } from "./test-cluster.ts";

/** The rings, by what must be running for them. */
export const RINGS = {
  /** Nothing. */
  unit: { isParallel: true, needsCluster: false, minutes: 15 },
  /** Postgres; each test takes a copy of the database. */
  database: { isParallel: true, needsCluster: true, minutes: 15 },
  /** The functions, with what they call. Each file starts what it needs, and one stack at a time is enough for 2 cores. */
  functions: { isParallel: false, needsCluster: false, minutes: 30 },
  /** Everything, as a user starts it. */
  e2e: { isParallel: false, needsCluster: false, minutes: 15 },
  /** The same and a Chromium, which dev/tools/chromium.ts finds or fetches. */
  browser: { isParallel: false, needsCluster: false, minutes: 10 },
} as const satisfies Record<
  string,
  {
    isParallel: boolean;
    needsCluster: boolean;
    /** After so long one test waits for something that never comes: the ring is ended and counts as failed. */
    minutes: number;
  }
>;

/** The name of a ring: its folder in `tests/`. */
export type Ring = keyof typeof RINGS;

/** How many tests passed and failed. */
export interface Tally {
  passed: number;
  failed: number;
  /** What was said of each failure, to be repeated at the end of a long run. */
  failures: string[];
  /** What could not be run here, and why. It is no failure, and is printed beside the sum. */
  skipped?: string[];
}

/** Whether a word names a ring. */
export function isRing(name: string): name is Ring {
  return Object.hasOwn(RINGS, name);
}

const root = fromFileUrl(new URL("../../", import.meta.url));
const encoder = new TextEncoder();

// deno-lint-ignore no-control-regex -- the escape character is what is looked for
const COLOURS = /\u001b\[[0-9;]*m/g;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed/gm;

const ERRORS = "\n ERRORS \n";

/** Of what failed in one ring, so many characters are repeated at the end. */
const FAILURE_LENGTH = 6_000;

/**
 * The counts in the last summary line of an output of `deno test`, with or without colours; undefined when there is
 * none. Steps are not counted.
 */
export function readTally(
  output: string,
): Pick<Tally, "passed" | "failed"> | undefined {
  const [, passed, failed] =
    [...output.replace(COLOURS, "").matchAll(SUMMARY)].at(-1) ?? [];
  return passed === undefined || failed === undefined
    ? undefined
    : { passed: Number(passed), failed: Number(failed) };
}

/**
 * What `deno test` says in the end of the tests that failed: its section of errors, without colours; undefined when
 * the output has none.
 */
export function readErrors(output: string): string | undefined {
  const plain = output.replace(COLOURS, "");
  const from = plain.lastIndexOf(ERRORS);
  if (from < 0) return undefined;
  const end = plain.lastIndexOf("\n FAILURES \n");
  return plain.slice(from + ERRORS.length, end > from ? end : undefined).trim();
}

/**
 * What a ring counts as: its tally, plus one failure when it ended badly without a failed test, and one failure when
 * it ran no test: a ring that is not there proves nothing.
 */
export function judge(
  code: number,
  output: string,
): Pick<Tally, "passed" | "failed"> {
  const { passed, failed } = readTally(output) ?? { passed: 0, failed: 0 };
  const isBad = code !== 0 && failed === 0;
  const isEmpty = passed + failed === 0;
  return { passed, failed: isBad || isEmpty ? failed + 1 : failed };
}

async function runRing(
  ring: Ring,
  env: Record<string, string>,
  selection: readonly string[],
): Promise<Tally> {
  await say(`ring ${ring}`);
  const begunAt = performance.now();
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      ...FULL_LOCK,
      "--allow-all",
      "--sanitize-ops",
      "--sanitize-resources",
      ...(RINGS[ring].isParallel ? ["--parallel"] : []),
      ...selection,
      ...(selection.some((word) => !word.startsWith("-"))
        ? []
        : [`tests/${ring}/`]),
    ],
    cwd: root,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const { minutes } = RINGS[ring];
  const limit = setTimeout(() => process.kill("SIGKILL"), minutes * 60_000);
  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of process.stdout) {
    await write(Deno.stdout, chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  const { code, signal } = await process.status;
  clearTimeout(limit);
  if (signal === "SIGKILL") {
    await say(`ring ${ring} was ended: it may take ${minutes} minutes`);
  }
  const ran = readTally(output);
  if (ran === undefined || ran.passed + ran.failed === 0) {
    await say(`ring ${ring} ran no test, which counts as a failure`);
  }
  const judged = judge(code, output);
  const seconds = Math.round((performance.now() - begunAt) / 1000);
  await say(
    `ring ${ring}: ${judged.passed} passed, ${judged.failed} failed in ${seconds} s`,
  );
  if (judged.failed === 0) return { ...judged, failures: [] };
  const said = readErrors(output) ??
    `it ended with code ${code}; its last lines:\n${
      output.replace(COLOURS, "").trimEnd().split("\n").slice(-20).join("\n")
    }`;
  return { ...judged, failures: [`ring ${ring}\n\n${said}`] };
}

async function write(to: typeof Deno.stdout, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

/** Prints a heading of a program that runs others. */
export async function say(text: string): Promise<void> {
  await write(Deno.stdout, encoder.encode(`\n▸ ${text}\n`));
}

/**
 * Runs all rings one after another, even after a failure, passes their output through, and returns the
 * sum. `selection` narrows them down: files, or other arguments of `deno test`. A cluster is started for rings that need one, unless the environment names one.
 */
export async function runRings(
  rings: Ring[],
  selection: readonly string[] = [],
): Promise<Tally> {
  await using stack = new AsyncDisposableStack();
  const env: Record<string, string> = {};
  const total: Tally = { passed: 0, failed: 0, failures: [] };
  for (const ring of rings) {
    if (ring === "browser" && await findChromium() === undefined) {
      total.skipped = [
        "SKIPPED: ring browser. There is no Chromium here, and none may be installed. Install one, or name one in CHROMIUM_PATH.",
      ];
      continue;
    }
    const isMissing = RINGS[ring].needsCluster &&
      Deno.env.get(TEST_CLUSTER_VARIABLE) === undefined &&
      env[TEST_CLUSTER_VARIABLE] === undefined;
    if (isMissing) {
      try {
        const cluster = stack.use(await startTestCluster());
        env[TEST_CLUSTER_VARIABLE] = clusterValue(cluster);
      } catch (error) {
        if (!(error instanceof StackError)) throw error;
        const said = `ring ${ring} cannot run: ${error.message}`;
        await say(said);
        total.failed++;
        total.failures.push(said);
        continue;
      }
    }
    const { passed, failed, failures } = await runRing(ring, env, selection);
    total.passed += passed;
    total.failed += failed;
    total.failures.push(...failures);
  }
  return total;
}

/** The value of the variable that hands a cluster to the tests. */
export function clusterValue(
  { dbUrl, adminUrl, authenticatorUrl }: {
    dbUrl: string;
    adminUrl: string;
    authenticatorUrl: string;
  },
): string {
  return JSON.stringify({ dbUrl, adminUrl, authenticatorUrl });
}

/**
 * Prints the end of a test run: once more what failed, so that nobody has to look for it in what a quarter of an hour
 * printed, and the sum, alone on its line, for people and for programs.
 */
export async function sayTally(
  { passed, failed, failures, skipped = [] }: Tally,
): Promise<void> {
  for (const failure of failures) {
    await say(
      failure.length > FAILURE_LENGTH
        ? `${failure.slice(0, FAILURE_LENGTH)}\n… more above`
        : failure,
    );
  }
  for (const text of skipped) await say(text);
  await write(
    Deno.stdout,
    encoder.encode(`\n${passed} passed, ${failed} failed\n`),
  );
}

if (import.meta.main) {
  const rings = Deno.args.filter(isRing);
  const others = Deno.args.filter((name) => !isRing(name));
  const isOneRing = rings.length === 1 || others.length === 0;
  if (rings.length === 0 || !isOneRing) {
    await say(
      `usage: run-tests.ts RING…  (${Object.keys(RINGS).join(", ")})\n` +
        "       run-tests.ts RING FILE…  or options of deno test: --filter=TEXT",
    );
    Deno.exit(2);
  }
  const tally = await runRings(rings, others);
  await sayTally(tally);
  Deno.exit(tally.failed === 0 ? 0 : 1);
}
