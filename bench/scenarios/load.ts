/** Creates jobs and waits for their ends. */
import type { Contender } from "../contenders/contender.ts";
import { CREATORS, type Environment } from "../environment.ts";
import { wallMs } from "../processes/clock.ts";
import { pause } from "./scenario.ts";

const POLL_MS = 10;
const WARM_UP_JOBS = 20;
/** By each client. A session plans most statements again in each of its first five calls. */
const WARM_UP_CALLS = 10;
const WARM_UP_MS = 15_000;

/** How a number of jobs ended. Times by the wall clock in milliseconds. */
export interface Finish {
  finished: number;
  /** Time of the last finished job; 0 when none is. */
  lastCompletedAt: number;
}

/** Creates `count` jobs like an app, with several clients, or fewer if the time is up. */
export async function createAll(
  contender: Contender,
  count: number,
  limitMs: number,
): Promise<string[]> {
  const ids: string[] = [];
  const deadline = wallMs() + limitMs;
  let begun = 0;
  const create = async () => {
    while (begun < count && wallMs() < deadline) {
      begun += 1;
      ids.push(await contender.create());
    }
  };
  await Promise.all(Array.from({ length: CREATORS }, create));
  return ids;
}

/**
 * Runs some jobs before the measured ones, so that one-time work does not count: compiling, importing a client, and the
 * plans of each database session, which an app's pool keeps for hours. The jobs come in one statement and from each
 * client of {@link createAll}. Resolves with the number of objects at the provider.
 */
export async function warmUp(
  environment: Environment,
  contender: Contender,
): Promise<number> {
  const ids = await contender.insert(WARM_UP_JOBS, "anyone");
  if (!contender.isPolling) {
    const calls = CREATORS * WARM_UP_CALLS;
    ids.push(...await createAll(contender, calls, WARM_UP_MS));
  }
  const { finished } = await waitFinished(
    environment,
    contender,
    ids,
    WARM_UP_MS,
    0,
  );
  if (finished < ids.length) {
    throw new Error(
      `${contender.name}: the first jobs are not done after 15 s`,
    );
  }
  return finished;
}

/**
 * Waits until all jobs are finished or the time is up. First it watches the provider's ledger, so that it does not poll
 * the database meanwhile; `already` is the number of earlier objects.
 */
export async function waitFinished(
  environment: Environment,
  contender: Contender,
  ids: readonly string[],
  limitMs: number,
  already: number,
): Promise<Finish> {
  const deadline = wallMs() + limitMs;
  await environment.account(contender.name).waitCreated(
    already + ids.length,
    limitMs,
  );
  for (;;) {
    const times = await contender.times(ids);
    const ends = [...times.values()].flatMap(({ completedAt }) =>
      completedAt === null ? [] : [completedAt]
    );
    if (ends.length === ids.length || wallMs() >= deadline) {
      return {
        finished: ends.length,
        lastCompletedAt: ends.reduce((last, end) => Math.max(last, end), 0),
      };
    }
    await pause(POLL_MS);
  }
}
