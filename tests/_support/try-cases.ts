/** Runs a property over many generated cases, and prints their number and how to repeat a failed one. */
// deno-lint-ignore-file no-console -- the count of cases belongs in the test's output
import fc, { PROPERTY_SEED } from "./fast-check.ts";

/**
 * Checks a property with `numRuns` cases of an arbitrary, and prints `<subject>: <n> cases`.
 *
 * @throws with the smallest case that fails and `PROPERTY_SEED=…`, with which a run generates the same cases again.
 */
export async function tryCases<T>(
  subject: string,
  cases: fc.Arbitrary<T>,
  numRuns: number,
  check: (one: T) => Promise<void> | void,
): Promise<void> {
  let tried = 0;
  const result = await fc.check(
    fc.asyncProperty(cases, async (one) => {
      tried++;
      await check(one);
    }),
    { numRuns, endOnFailure: false },
  );
  if (result.failed) {
    throw new Error(
      `${subject}: PROPERTY_SEED=${PROPERTY_SEED} makes it fail again\n${await fc
        .asyncDefaultReportMessage(result)}`,
      { cause: result.errorInstance },
    );
  }
  reportCases(subject, tried);
}

/** Prints the number of cases. */
export function reportCases(subject: string, count: number): void {
  console.log(`${subject}: ${count} cases, seed ${PROPERTY_SEED}`);
}
