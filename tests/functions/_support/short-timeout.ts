/** Provider calls that end by timeout, in files whose other calls have the product's long one. */
import type { TestStack } from "../../_support/stack.ts";

/** Time limit of a provider's calls in {@link whileTimeoutsAreShort}, in seconds. */
const SHORT_SECONDS = 5;

/**
 * Runs `work`, in which a call to a provider must time out, with a short time limit. All functions are restarted
 * before and afterwards: with a short limit, a call of another test, or a later one of this, could time out as well on
 * a busy machine.
 */
export async function whileTimeoutsAreShort<T>(
  stack: TestStack,
  work: () => Promise<T>,
): Promise<T> {
  await stack.restart({ AI_API_TIMEOUT: String(SHORT_SECONDS) });
  try {
    return await work();
  } finally {
    await stack.restart({});
  }
}
