/**
 * One user has thousands of waiting jobs, another one submits a single job: how many jobs of the first user start after
 * the response to that and before the job, by the times in their rows. In slots: 1 means that every slot was given to
 * the first user once more.
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
/** Jobs of the backlog that have started before the other user submits. */
const RUNNING_JOBS = 20;
const RUNNING_WITHIN_MS = 20_000;
const POLL_MS = 3;

async function single(
  contender: Contender,
  limitMs: number,
): Promise<{ waitMs: number | null; ahead: number }> {
  const at = wallMs();
  const [id] = await contender.insert(1, "second");
  if (id === undefined) throw new Error("no job was inserted");
  const inserted = wallMs();
  const deadline = at + limitMs;
  while (wallMs() < deadline) {
    const startedAt = (await contender.times([id])).get(id)?.startedAt ?? null;
    if (startedAt !== null) {
      const ahead = await contender.startedOfFirst(inserted, startedAt);
      return { waitMs: Math.max(0, startedAt - at), ahead };
    }
    await pause(POLL_MS);
  }
  return {
    waitMs: null,
    ahead: await contender.startedOfFirst(inserted, wallMs()),
  };
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
      throw new Error(`${contender.name}: no job of the backlog was started`);
    }
    const waits: number[] = [];
    const countsAhead: number[] = [];
    let isEachStarted = true;
    while (isEachStarted && waits.length < sizes.singleJobs) {
      const { waitMs, ahead } = await single(
        contender,
        sizes.singleSeconds * 1000,
      );
      isEachStarted = waitMs !== null;
      if (waitMs === null) break;
      waits.push(waitMs);
      countsAhead.push(ahead / OPTIONS.slots);
    }
    const wait = waits.length === 0 ? undefined : distribution(waits);
    const slots = waits.length === 0 ? undefined : distribution(countsAhead);
    return {
      backlog: sizes.backlogJobs,
      insert_seconds: round(insertSeconds),
      begun: waits.length,
      is_each_begun: isEachStarted,
      not_begun_after_seconds: isEachStarted ? null : sizes.singleSeconds,
      // First in, first out: the whole backlog.
      slots_by_order: sizes.backlogJobs / OPTIONS.slots,
      wait_p50_ms: wait?.p50 ?? null,
      wait_max_ms: isEachStarted ? wait?.max ?? null : null,
      slots_p50: slots?.p50 ?? null,
      slots_max: isEachStarted ? slots?.max ?? null : null,
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
