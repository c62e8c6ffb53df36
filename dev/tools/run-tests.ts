/**
 * Runs rings of tests, one process each, and prints the total of passed and failed tests in the last line. The lanes of
 * rings.ts run side by side.
 *
 * usage: run-tests.ts RING…            (unit, database, functions, e2e, browser)
 *        run-tests.ts RING FILE…       some files of one ring, or options of `deno test`: `--filter=TEXT`
 *
 * The run fails when a ring fails, cannot run, or runs no test.
 */
import { fromFileUrl } from "@std/path";
import { StackError } from "../stack/console/stack-error.ts";
import { findChromium } from "./chromium.ts";
import { FULL_LOCK } from "./lock-rules.ts";
import { keepClustersInMemory } from "./memory-folder.ts";
import {
  isRing,
  LANES,
  pathsOf,
  type Ring,
  type RingPlan,
  RINGS,
} from "./rings.ts";
import { startTestCluster, TEST_CLUSTER_VARIABLE } from "./test-cluster.ts";
import {
  judge,
  plainText,
  readErrors,
  readTally,
  slowestFiles,
  type Tally,
} from "./test-output.ts";
import { startTestStacks, TEST_STACKS_VARIABLE } from "./test-stacks.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const encoder = new TextEncoder();

/** The work factor of password hashes of the embedded Auth. Each step less halves it, from 10; 4 is the least. */
const PASSWORD_COST_VARIABLE = "LITE_AUTH_BCRYPT_COST";

/** How many of the slowest files are listed. */
const SLOWEST = 10;

/** Maximum number of characters of a ring's failures that are repeated at the end. */
const FAILURE_LENGTH = 6_000;

/** Options of a test run. */
interface RunOptions {
  /** Narrows the run: files, or other arguments of `deno test`. */
  selection?: readonly string[];
  /** Whether `deno check` has checked the types of all files already. */
  isChecked?: boolean;
  /** Whether other rings print at the same time: each line then begins with the name of its ring. */
  isParallel?: boolean;
}

async function runRing(
  ring: Ring,
  env: Record<string, string>,
  { selection = [], isChecked = false, isParallel = false }: RunOptions,
): Promise<Tally> {
  const { files, minutes } = RINGS[ring];
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        ...FULL_LOCK,
        "--allow-all",
        "--sanitize-ops",
        "--sanitize-resources",
        "--parallel",
        `--junit-path=${report}`,
        ...(isChecked ? ["--no-check"] : []),
        ...selection,
        ...(selection.some((word) => !word.startsWith("-"))
          ? []
          : pathsOf(ring)),
      ],
      cwd: root,
      env: { ...env, DENO_JOBS: String(files) },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const limit = setTimeout(() => process.kill("SIGKILL"), minutes * 60_000);
    const printer = isParallel
      ? new LinePrinter(`${ring.padEnd(RING_WIDTH)} │ `)
      : new LinePrinter("");
    let output = "";
    for await (
      const text of process.stdout.pipeThrough(new TextDecoderStream())
    ) {
      await printer.print(text);
      output += text;
    }
    await printer.end();
    const { code, signal } = await process.status;
    clearTimeout(limit);
    if (signal === "SIGKILL") {
      await say(
        `ring ${ring} was killed: it exceeded its limit of ${minutes} minutes`,
      );
    }
    const ran = readTally(output);
    if (ran === undefined || ran.passed + ran.failed === 0) {
      await say(`ring ${ring} ran no tests, which counts as a failure`);
    }
    const judged = judge(code, output);
    const slowest = slowestFiles(await Deno.readTextFile(report), SLOWEST)
      .map(({ file, seconds }) =>
        `${seconds.toFixed(1).padStart(8)} s  ${file}\n`
      ).join("");
    await say(`the slowest files of ring ${ring}:\n${slowest}`);
    if (judged.failed === 0) return { ...judged, failures: [] };
    const errors = readErrors(output) ??
      `it ended with code ${code}; its last lines:\n${
        plainText(output).trimEnd().split("\n").slice(-20).join("\n")
      }`;
    return { ...judged, failures: [`ring ${ring}\n\n${errors}`] };
  } finally {
    await Deno.remove(report);
  }
}

/**
 * Processor time of all children that have ended, their children included, in seconds; undefined where there is no
 * `/proc`. On a busy machine it is more meaningful than wall-clock time.
 */
async function childrenCpuSeconds(): Promise<number | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const stat = await Deno.readTextFile("/proc/self/stat");
  // proc_pid_stat(5): cutime and cstime are fields 16 and 17, in ticks of 10 ms; the name may have blanks.
  const [user = 0, system = 0] = stat.slice(stat.lastIndexOf(")") + 2)
    .split(" ").slice(13, 15).map(Number);
  return (user + system) / 100;
}

const RING_WIDTH = Math.max(...Object.keys(RINGS).map(({ length }) => length));

/**
 * Prints whole lines with a prefix, so that the lines of several programs stay apart. Without one, text passes through.
 */
class LinePrinter {
  readonly #prefix: string;
  #rest = "";

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  async print(text: string): Promise<void> {
    if (this.#prefix === "") return await write(text);
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    await write(lines.map((line) => `${this.#prefix}${line}\n`).join(""));
  }

  /** Prints a last line without a line break. */
  async end(): Promise<void> {
    if (this.#rest !== "") await write(`${this.#prefix}${this.#rest}\n`);
  }
}

let writing = Promise.resolve();

/** Writes to standard output, after everything that was written before. */
function write(text: string): Promise<void> {
  const bytes = encoder.encode(text);
  return writing = writing.then(async () => {
    for (let at = 0; at < bytes.length;) {
      at += await Deno.stdout.write(bytes.subarray(at));
    }
  });
}

/** Prints a heading of a program that runs others. */
export async function say(text: string): Promise<void> {
  await write(`\n▸ ${text}\n`);
}

/** The resources that a ring's files share, and the environment variables that point to them. */
interface Shared extends AsyncDisposable {
  env: Record<string, string>;
}

/**
 * @throws {StackError} when it cannot be started. Nothing is started when the environment already names a running one.
 */
async function startShared({ files, shares }: RingPlan): Promise<Shared> {
  const isGiven = (variable: string) => Deno.env.get(variable) !== undefined;
  if (shares === "cluster" && !isGiven(TEST_CLUSTER_VARIABLE)) {
    const cluster = await startTestCluster();
    return {
      env: { [TEST_CLUSTER_VARIABLE]: clusterValue(cluster) },
      [Symbol.asyncDispose]: () => cluster.stop(),
    };
  }
  if (shares === "stacks" && !isGiven(TEST_STACKS_VARIABLE)) {
    const stacks = await startTestStacks(files);
    return {
      env: { [TEST_STACKS_VARIABLE]: stacks.value },
      [Symbol.asyncDispose]: () => stacks[Symbol.asyncDispose](),
    };
  }
  return { env: {}, [Symbol.asyncDispose]: async () => {} };
}

/** Ends the shared resources before the next ring starts, which needs their memory. */
async function runWithShared(
  ring: Ring,
  options: RunOptions,
): Promise<Tally> {
  try {
    await using shared = await startShared(RINGS[ring]);
    return await runRing(ring, shared.env, options);
  } catch (error) {
    if (!(error instanceof StackError)) throw error;
    const failure = `ring ${ring} cannot run: ${error.message}`;
    await say(failure);
    return { passed: 0, failed: 1, failures: [failure] };
  }
}

/** Runs one ring with its resources, and prints its totals. A ring that cannot run here is skipped. */
async function runOne(ring: Ring, options: RunOptions): Promise<Tally> {
  const needsBrowser = "needs" in RINGS[ring] &&
    RINGS[ring].needs === "chromium";
  if (needsBrowser && await findChromium() === undefined) {
    return {
      passed: 0,
      failed: 0,
      failures: [],
      skipped: [
        `SKIPPED: ring ${ring}. There is no Chromium here, and none may be installed. Install one, or name one in CHROMIUM_PATH.`,
      ],
    };
  }
  await say(`ring ${ring}`);
  const begunAt = performance.now();
  const tally = await runWithShared(ring, options);
  const { passed, failed } = tally;
  const seconds = Math.round((performance.now() - begunAt) / 1000);
  await say(`ring ${ring}: ${passed} passed, ${failed} failed in ${seconds} s`);
  return tally;
}

/** The given rings by their lanes, in the order of rings.ts; a lane without any is left out. */
export function lanesOf(rings: readonly Ring[]): Ring[][] {
  return LANES.map((lane) => lane.filter((ring) => rings.includes(ring)))
    .filter((lane) => lane.length > 0);
}

/** Runs rings, the lanes side by side, to the last even if one fails, with their output passed through. */
export async function runRings(
  rings: readonly Ring[],
  options: RunOptions = {},
): Promise<Tally> {
  const lanes = lanesOf(rings);
  const begunAt = performance.now();
  const cpuBefore = await childrenCpuSeconds();
  await using _ = await keepClustersInMemory();
  Deno.env.set(PASSWORD_COST_VARIABLE, "4");
  const tallies = await Promise.all(lanes.map(async (lane) => {
    const ofLane: Tally[] = [];
    for (const ring of lane) {
      ofLane.push(
        await runOne(ring, { ...options, isParallel: lanes.length > 1 }),
      );
    }
    return ofLane;
  }));
  const cpu = await childrenCpuSeconds();
  const seconds = Math.round((performance.now() - begunAt) / 1000);
  const used = cpu === undefined || cpuBefore === undefined
    ? ""
    : `, processor time: ${Math.round(cpu - cpuBefore)} s`;
  await say(`${rings.join(", ")}: ${seconds} s${used}`);
  return sumOf(tallies.flat());
}

function sumOf(tallies: readonly Tally[]): Tally {
  const skipped = tallies.flatMap(({ skipped = [] }) => skipped);
  return {
    passed: tallies.reduce((sum, { passed }) => sum + passed, 0),
    failed: tallies.reduce((sum, { failed }) => sum + failed, 0),
    failures: tallies.flatMap(({ failures }) => failures),
    ...(skipped.length === 0 ? {} : { skipped }),
  };
}

/** The value of the variable that passes a cluster to the tests. */
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
 * Prints the end of a test run: the failures again, so that they need not be searched for in a long output, and the
 * totals on a separate line, for people and programs.
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
  await write(`\n${passed} passed, ${failed} failed\n`);
}

/**
 * Separates the names of rings from what narrows the run. `--filter TEXT` becomes one word: the text would otherwise be
 * taken for a file, and tests of all rings would run.
 */
export function readArguments(
  args: readonly string[],
): { rings: Ring[]; selection: string[] } {
  const rings: Ring[] = [], selection: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    if (word === "--filter") selection.push(`${word}=${args[++at] ?? ""}`);
    else if (isRing(word)) rings.push(word);
    else selection.push(word);
  }
  return { rings, selection };
}

if (import.meta.main) {
  const { rings, selection } = readArguments(Deno.args);
  const isOneRing = rings.length === 1 || selection.length === 0;
  if (rings.length === 0 || !isOneRing) {
    await say(
      `usage: run-tests.ts RING…  (${Object.keys(RINGS).join(", ")})\n` +
        "       run-tests.ts RING FILE…  or options of deno test: --filter=TEXT",
    );
    Deno.exit(2);
  }
  const tally = await runRings(rings, { selection });
  await sayTally(tally);
  Deno.exit(tally.failed === 0 ? 0 : 1);
}
