/** Runs a property over many made-up cases, says how many there were, and how to see a failed one again. */
// deno-lint-ignore-file no-console -- the count of cases is told to whoever reads the test's output
import fc from "fast-check";

/** The seed of this process: HOSTILE_SEED, or a new one. */
export const HOSTILE_SEED = Number(
  Deno.env.get("HOSTILE_SEED") ?? Math.floor(Math.random() * 2 ** 31),
);

/**
 * Checks that many cases of an arbitrary and prints `<subject>: <n> cases`.
 *
 * @throws with the smallest case that fails and `HOSTILE_SEED=…`, by which a run makes the same cases again.
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
    { numRuns, seed: HOSTILE_SEED, endOnFailure: false },
  );
  if (result.failed) {
    throw new Error(
      `${subject}: HOSTILE_SEED=${HOSTILE_SEED} makes it fail again\n${await fc
        .asyncDefaultReportMessage(result)}`,
      { cause: result.errorInstance },
    );
  }
  tellCases(subject, tried);
}

/** Prints how many cases there were. */
export function tellCases(subject: string, count: number): void {
  console.log(`${subject}: ${count} cases, seed ${HOSTILE_SEED}`);
}
