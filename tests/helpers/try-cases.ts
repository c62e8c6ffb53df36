/** Runs a property over many made-up cases, says how many there were, and how to see a failed one again. */
// deno-lint-ignore-file no-console -- the count of cases is told to whoever reads the test's output
import fc from "fast-check";
import { z } from "zod";

/**
 * The seed of this process: HOSTILE_SEED, which may be `random`. Without it always the same cases are tried, so that a
 * change is never held up by a case that has nothing to do with it.
 */
export const HOSTILE_SEED = seedOf(Deno.env.get("HOSTILE_SEED") ?? "20261123");

function seedOf(text: string): number {
  return text === "random"
    ? Math.floor(Math.random() * 2 ** 31)
    : z.coerce.number().int().parse(text);
}

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
