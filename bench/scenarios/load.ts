/** Making jobs and waiting for their ends. */
import type { Contender } from "../contenders/contender.ts";
import { CREATORS, type Environment } from "../environment.ts";
import { wallMs } from "../processes/clock.ts";
import { pause } from "./scenario.ts";

const LOOK_EVERY_MS = 10;
const WARM_UP_JOBS = 20;
const WARM_UP_MS = 15_000;

/** How a number of jobs ended. Times by the wall clock in milliseconds. */
export interface Finish {
  finished: number;
  /** Of the last one that is finished; 0 when none is. */
  lastCompletedAt: number;
}

/** Creates `count` jobs as an app does, by several clients, or as many as there is time for. */
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
 * Some jobs before those that count: what a worker does once in its life (compiling, importing a client, preparing
 * statements) is not part of the figures of a scenario with a fixed pace. Resolves with how many the provider has made.
 */
export async function warmUp(
  environment: Environment,
  contender: Contender,
): Promise<number> {
  const ids = await contender.insert(WARM_UP_JOBS, "anyone");
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
 * Waits until all jobs are finished or the time is up. The provider's ledger is watched first, so that the database is
 * not asked again and again while it works; `already` is what it had made before these jobs.
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
    await pause(LOOK_EVERY_MS);
  }
}
