/** SIGKILL for the worker while the provider works on 50 of its jobs, and immediately another worker. */
import type { Contender } from "../contenders/contender.ts";
import { round } from "../measure/statistics.ts";
import { wallMs } from "../processes/clock.ts";
import {
  type Figures,
  pause,
  type Scenario,
  type ScenarioContext,
  whileRunning,
} from "./scenario.ts";

const JOBS = 50;
/** Longer than all 50 need to be inside the call, also on a busy machine. */
const OPTIONS = { slots: JOBS, providerMs: 60_000 };
const IN_FLIGHT_WITHIN_MS = 45_000;
/** After the kill the provider continues for a moment and completes the requests of the dead worker. */
const PROVIDER_CONTINUES_MS = 1_000;
const AFTERWARDS_MS = 200;
const POLL_MS = 100;

async function killOne(
  { environment, sizes }: ScenarioContext,
  contender: Contender,
): Promise<Figures> {
  return await whileRunning(contender, OPTIONS, async () => {
    const provider = environment.account(contender.name);
    const ids = await contender.insert(JOBS, "anyone");
    if (!await provider.waitOpen(JOBS, IN_FLIGHT_WITHIN_MS)) {
      throw new Error(`${contender.name}: not ${JOBS} calls at the same time`);
    }
    const killedAt = await contender.kill();
    const providerIsDone = pause(PROVIDER_CONTINUES_MS).then(() =>
      provider.release(AFTERWARDS_MS)
    );
    await contender.recovered();
    await providerIsDone;

    const deadline = killedAt + sizes.killSeconds * 1000;
    for (;;) {
      const times = [...(await contender.times(ids)).values()];
      const ends = times.flatMap(({ completedAt }) => completedAt ?? []);
      const isDone = ends.length === JOBS;
      if (isDone || wallMs() >= deadline) {
        const { asked_twice, billed_twice } = await provider.ledger();
        return {
          jobs: JOBS,
          stuck: JOBS - ends.length,
          stuck_after_seconds: sizes.killSeconds,
          last_rescue_seconds: ends.length === 0
            ? null
            : round((Math.max(...ends) - killedAt) / 1000),
          run_twice: times.filter(({ attempts }) => attempts > 1).length,
          asked_twice,
          billed_twice,
        };
      }
      await pause(POLL_MS);
    }
  });
}

/** The scenario `kill`. Contenders with separate databases run in parallel, because it does not measure speed. */
export const kill: Scenario = {
  name: "kill",
  async run(context) {
    const byDatabase = Map.groupBy(
      context.contenders,
      ({ database }) => database,
    );
    await Promise.all(
      [...byDatabase.values()].map(async (contenders) => {
        for (const contender of contenders) {
          await context.report(
            contender,
            OPTIONS,
            await killOne(context, contender),
          );
        }
      }),
    );
  },
};
