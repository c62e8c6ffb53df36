/** One job at a time: from the app's call to the end of the job, and from an insert to the first line of its handler. */
import type { Contender } from "../contenders/contender.ts";
import { distribution } from "../measure/statistics.ts";
import { wallMs } from "../processes/clock.ts";
import { pause, type Scenario, whileRunning } from "./scenario.ts";

const OPTIONS = { slots: 10, providerMs: 0 };
const WARM_UP_JOBS = 3;
/** Time limit of a job. The first one of a worker may be slow for reasons outside the engine. */
const LOST_AFTER_MS = 15_000;

async function completionOf(contender: Contender, id: string): Promise<number> {
  const deadline = wallMs() + LOST_AFTER_MS;
  while (wallMs() < deadline) {
    const end = (await contender.times([id])).get(id)?.completedAt ?? null;
    if (end !== null) return end;
    await pause(3);
  }
  throw new Error(`${contender.name}: a single job is not done after 15 s`);
}

/** A pause of random length between two jobs, so that no poller is in step with them. */
function randomPause(): Promise<void> {
  return pause(40 + Math.random() * 60);
}

/** The scenario `latency`. */
export const latency: Scenario = {
  name: "latency",
  async run({ contenders, sizes, report }) {
    for (const contender of contenders) {
      const samples = await whileRunning(contender, OPTIONS, async () => {
        for (let n = 0; n < WARM_UP_JOBS; n++) {
          await completionOf(contender, await contender.create());
        }
        const deadline = wallMs() + sizes.latencySeconds * 1000;
        const total: number[] = [];
        const inserted = new Map<string, number>();
        while (total.length < sizes.latencyJobs && wallMs() < deadline) {
          await randomPause();
          const created = wallMs();
          const id = await contender.create();
          total.push(await completionOf(contender, id) - created);
          await randomPause();
          const at = wallMs();
          const [other] = await contender.insert(1, "anyone");
          if (other === undefined) throw new Error("no job was inserted");
          inserted.set(other, at);
          await completionOf(contender, other);
        }
        const lines = await contender.firstLines();
        const pickup = [...inserted].map(([id, at]) => {
          const line = lines.get(id);
          if (line === undefined) {
            throw new Error(`${contender.name}: no first line of ${id}`);
          }
          return line - at;
        });
        return { total, pickup };
      });
      const total = distribution(samples.total);
      const pickup = distribution(samples.pickup);
      await report(contender, OPTIONS, {
        jobs: total.n,
        create_to_completed_p50_ms: total.p50,
        create_to_completed_p95_ms: total.p95,
        create_to_completed_p99_ms: total.p99,
        pickup_p50_ms: pickup.p50,
        pickup_p95_ms: pickup.p95,
        pickup_p99_ms: pickup.p99,
      });
    }
  },
};
