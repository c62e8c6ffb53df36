/** What `deno test` printed and reported of a ring: counts, failures, and the duration of each file. */

/** How many tests passed and failed. */
export interface Tally {
  passed: number;
  failed: number;
  /** The output of each failure, to be repeated at the end of a long run. */
  failures: string[];
  /** What could not run here, and why. It is not a failure, and is printed with the totals. */
  skipped?: string[];
}

/** The duration of all tests of one file, without what runs before and after them. */
export interface FileTime {
  file: string;
  seconds: number;
}

// deno-lint-ignore no-control-regex -- searches for the escape character
const COLOURS = /\u001b\[[0-9;]*m/g;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed/gm;
const SUITE = /<testsuite name="([^"]*)"[^>]*>(.*?)<\/testsuite>/gs;
const CASE = /<testcase name="[^"]*" classname="[^"]*" time="([\d.]+)"/g;
const ERRORS = "\n ERRORS \n";

/** The output without colour codes. */
export function plainText(output: string): string {
  return output.replace(COLOURS, "");
}

/**
 * The counts in the last summary line of an output of `deno test`, with or without colours; undefined when there is
 * none. Steps are not counted.
 */
export function readTally(
  output: string,
): Pick<Tally, "passed" | "failed"> | undefined {
  const [, passed, failed] = [...plainText(output).matchAll(SUMMARY)].at(-1) ??
    [];
  return passed === undefined || failed === undefined
    ? undefined
    : { passed: Number(passed), failed: Number(failed) };
}

/** The section of errors that `deno test` prints after failed tests, without colours; undefined when there is none. */
export function readErrors(output: string): string | undefined {
  const plain = plainText(output);
  const from = plain.lastIndexOf(ERRORS);
  if (from < 0) return undefined;
  const end = plain.lastIndexOf("\n FAILURES \n");
  return plain.slice(from + ERRORS.length, end > from ? end : undefined).trim();
}

/**
 * The result of a ring: its tally, plus one failure when its process failed without a failed test, and one failure when
 * it ran no test: an empty ring proves nothing.
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

/** The slowest files of a JUnit report by `deno test --junit-path`, the slowest first. Steps count in their test. */
export function slowestFiles(junit: string, count: number): FileTime[] {
  const seconds = new Map<string, number>();
  // Not the `classname` of a test, which is the file that defines it, such as a list of cases that several files share.
  for (const [, file = "", suite = ""] of junit.matchAll(SUITE)) {
    for (const [, time] of suite.matchAll(CASE)) {
      seconds.set(file, (seconds.get(file) ?? 0) + Number(time));
    }
  }
  return [...seconds]
    .map(([file, seconds]) => ({ file: file.replace(/^\.\//, ""), seconds }))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, count);
}
