/**
 * One user has thousands of jobs waiting, another one comes with a single job: how many of the first user's jobs are
 * begun before it. In slots: 1 means that every slot was given to the first user once more.
 */
import type { Contender } from "../contenders/contender.ts";
import { distribution, round } from "../measure/statistics.ts";
import { wallMs } from "../processes/clock.ts";
import {
  type Figures,
  pause,
  type Scenario,
  type ScenarioContext,
  whileRunning,
} from "./scenario.ts";

const OPTIONS = { slots: 5, providerMs: 50, isShared: true };
/** The backlog is being worked on when the other user comes. */
const RUNNING_JOBS = 20;
const RUNNING_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 3;

async function single(
  contender: Contender,
  limitMs: number,
): Promise<{ waitMs: number | null; ahead: number }> {
  const before = await contender.startedOfFirst();
  const at = wallMs();
  const [id] = await contender.insert(1, "second");
  if (id === undefined) throw new Error("no job was inserted");
  const deadline = at + limitMs;
  while (wallMs() < deadline) {
    const startedAt = (await contender.times([id])).get(id)?.startedAt ?? null;
    if (startedAt !== null) {
      const ahead = await contender.startedOfFirst() - before;
      return { waitMs: Math.max(0, startedAt - at), ahead };
    }
    await pause(LOOK_EVERY_MS);
  }
  return { waitMs: null, ahead: await contender.startedOfFirst() - before };
}

async function share(
  { environment, sizes }: ScenarioContext,
  contender: Contender,
): Promise<Figures> {
  return await whileRunning(contender, OPTIONS, async () => {
    const asked = wallMs();
    await contender.insert(sizes.backlogJobs, "first");
    const insertSeconds = (wallMs() - asked) / 1000;
    const isRunning = await environment.account(contender.name).waitCreated(
      RUNNING_JOBS,
      RUNNING_WITHIN_MS,
    );
    if (!isRunning) {
      throw new Error(`${contender.name}: the backlog is not worked on`);
    }
    const waits: number[] = [];
    const aheads: number[] = [];
    for (let n = 0; n < sizes.singleJobs; n++) {
      const { waitMs, ahead } = await single(
        contender,
        sizes.singleSeconds * 1000,
      );
      if (waitMs === null) {
        return {
          backlog: sizes.backlogJobs,
          insert_seconds: round(insertSeconds),
          single_jobs: n + 1,
          started: false,
          waited_at_least_seconds: sizes.singleSeconds,
          // First in, first out: all that was there before.
          slots_by_order: round(sizes.backlogJobs / OPTIONS.slots, 0),
        };
      }
      waits.push(waitMs);
      aheads.push(ahead / OPTIONS.slots);
    }
    const wait = distribution(waits);
    const slots = distribution(aheads);
    return {
      backlog: sizes.backlogJobs,
      insert_seconds: round(insertSeconds),
      single_jobs: waits.length,
      started: true,
      wait_p50_ms: wait.p50,
      wait_max_ms: wait.max,
      slots_p50: slots.p50,
      slots_max: slots.max,
    };
  });
}

/** The scenario `fair-share`. */
export const fairShare: Scenario = {
  name: "fair-share",
  async run(context) {
    for (const contender of context.contenders) {
      await context.report(contender, OPTIONS, await share(context, contender));
    }
  },
};
