/** Workers with unusual but complete lives: a wrong clock, and an isolate that is notified of its end. */
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { pause, type Rig } from "./rig.ts";
import { SLUG } from "./project.ts";

/** Something that should be so and is not; empty when all is well. */
export type Complaints = string[];

const HOUR_MS = 3_600_000;
const wrongClock = fromFileUrl(new URL("./wrong-clock.ts", import.meta.url));

/** Long enough for a machine that is busy with other things: a worker that cannot run for so long is not alive. */
const LEASE_SECONDS = 7;

/**
 * A worker an hour ahead and one an hour behind, with calls that take longer than a lease: only the database's clock may
 * count, so that nothing is rescued and nothing expires.
 */
export async function tryWrongClocks(rig: Rig): Promise<Complaints> {
  await rig.setLease(LEASE_SECONDS);
  const workers = await Promise.all(
    [HOUR_MS, -HOUR_MS].map((offsetMs) =>
      rig.workers.start({
        concurrency: 2,
        entrypoint: wrongClock,
        env: { CHAOS_CLOCK_OFFSET_MS: String(offsetMs) },
      })
    ),
  );
  const began = rig.stack.logs.records(`function:${SLUG}`).length;
  await rig.simulator.fail({
    times: 4,
    fault: { kind: "delay", ms: (LEASE_SECONDS + 1) * 1000 },
  });
  rig.deliverTo(...workers);
  const ids: string[] = [];
  for (let made = 0; made < 4; made++) ids.push(await rig.insertJob());
  const left = await rig.untilSettled(30);
  const complaints: Complaints = left > 0 ? [`${left} jobs do not end`] : [];

  const { jobs, events } = await rig.facts();
  for (const job of jobs.filter(({ id }) => ids.includes(id))) {
    if (job.status === "completed" && job.attempt === 1) continue;
    const reported = events.filter(({ job_id }) => job_id === job.id)
      .map(({ event }) => event);
    complaints.push(
      `${job.id} is ${job.status} after ${job.attempt} attempts: ${
        reported.join(", ")
      }`,
    );
  }
  // That the clocks really were wrong, by the workers' own words.
  const seen = new Set(
    rig.stack.logs.records(`function:${SLUG}`).slice(began).flatMap((
      { line, at },
    ) => offsetOf(line, Date.parse(at))),
  );
  for (const hours of [1, -1]) {
    if (!seen.has(hours)) complaints.push(`no clock was ${hours} h off`);
  }
  await Promise.all(workers.map((worker) => worker.kill()));
  await rig.simulator.clearFaults();
  await rig.setLease();
  return complaints;
}

const logLine = z.object({ time: z.iso.datetime() });

/** By how many hours the time of a log line is off. */
function offsetOf(line: string, at: number): number[] {
  try {
    const { time } = logLine.parse(JSON.parse(line));
    return [Math.round((Date.parse(time) - at) / HOUR_MS)];
  } catch {
    return [];
  }
}

/**
 * An isolate that is notified of its end by `beforeunload` while it fetches the input releases its job without using up
 * an attempt; the next worker finishes it.
 */
export async function tryAnnouncedEnd(rig: Rig): Promise<Complaints> {
  const reported = await rig.workers.start({ concurrency: 1 });
  const isHeld = Promise.withResolvers<void>();
  const isOver = Promise.withResolvers<void>();
  rig.watch = async (worker, { call, phase }) => {
    if (worker !== reported || call !== "storage.download") return "go on";
    if (phase !== "answered") return "go on";
    isHeld.resolve();
    await isOver.promise;
    return "cut";
  };
  rig.deliverTo(reported);
  const id = await rig.insertJob();
  await Promise.race([isHeld.promise, pause(20_000)]);
  await rig.heal();
  await reported.end();
  isOver.resolve();
  const left = await rig.untilSettled(20);
  rig.watch = () => "go on";

  const { jobs, events } = await rig.facts();
  const job = jobs.find((job) => job.id === id);
  const timeline = events.filter(({ job_id }) => job_id === id)
    .map(({ event }) => event);
  const complaints: Complaints = left > 0 ? [`${left} jobs do not end`] : [];
  if (job?.status !== "completed" || job.attempt !== 1) {
    complaints.push(`it is ${job?.status} after ${job?.attempt} attempts`);
  }
  if (!timeline.includes("released")) {
    complaints.push(`it was not handed back: ${timeline.join(", ")}`);
  }
  return complaints;
}
