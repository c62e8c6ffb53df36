/** Workers with a wrong clock, and a worker that is notified of its shutdown. */
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { pause, type Rig } from "./rig.ts";
import { SLUG } from "./project.ts";

/** Violated expectations; empty when there is none. */
export type Problems = string[];

const HOUR_MS = 3_600_000;
const wrongClock = fromFileUrl(new URL("./wrong-clock.ts", import.meta.url));

/** Long enough that a worker on a busy machine keeps its lease. */
const LEASE_SECONDS = 7;

/**
 * A worker an hour ahead and one an hour behind, with calls longer than a lease. Only the database's clock may count: no
 * job is rescued.
 */
export async function testWrongClocks(rig: Rig): Promise<Problems> {
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
  for (let index = 0; index < 4; index++) ids.push(await rig.insertJob());
  const left = await rig.untilSettled(60);
  const problems: Problems = left > 0 ? [`${left} jobs do not end`] : [];

  const { jobs, events } = await rig.facts();
  for (const job of jobs.filter(({ id }) => ids.includes(id))) {
    if (job.status === "completed" && job.attempt === 1) continue;
    const reported = events.filter(({ job_id }) => job_id === job.id)
      .map(({ event }) => event);
    problems.push(
      `${job.id} is ${job.status} after ${job.attempt} attempts: ${
        reported.join(", ")
      }`,
    );
  }
  // The workers' log lines prove that their clocks were wrong.
  const seen = new Set(
    rig.stack.logs.records(`function:${SLUG}`).slice(began).flatMap((
      { line, at },
    ) => offsetOf(line, Date.parse(at))),
  );
  for (const hours of [1, -1]) {
    if (!seen.has(hours)) problems.push(`no clock was ${hours} h off`);
  }
  await Promise.all(workers.map((worker) => worker.kill()));
  await rig.simulator.clearFaults();
  await rig.setLease();
  return problems;
}

const logLine = z.object({ time: z.iso.datetime() });

/** The difference in hours between the time in a log line and the time at which it arrived. */
function offsetOf(line: string, at: number): number[] {
  try {
    const { time } = logLine.parse(JSON.parse(line));
    return [Math.round((Date.parse(time) - at) / HOUR_MS)];
  } catch {
    return [];
  }
}

/**
 * An isolate that receives `beforeunload` while it downloads the input releases its job without using up an attempt. The
 * next worker finishes it.
 */
export async function testAnnouncedShutdown(rig: Rig): Promise<Problems> {
  const reported = await rig.workers.start({ concurrency: 1 });
  const isHeld = Promise.withResolvers<void>();
  const isEnded = Promise.withResolvers<void>();
  rig.watch = async (worker, { call, phase }) => {
    if (worker !== reported || call !== "storage.download") return "continue";
    if (phase !== "answered") return "continue";
    isHeld.resolve();
    await isEnded.promise;
    return "cut";
  };
  rig.deliverTo(reported);
  const id = await rig.insertJob();
  await Promise.race([isHeld.promise, pause(20_000)]);
  await rig.heal();
  await reported.terminate();
  isEnded.resolve();
  const left = await rig.untilSettled(60);
  rig.watch = () => "continue";

  const { jobs, events } = await rig.facts();
  const job = jobs.find((job) => job.id === id);
  const timeline = events.filter(({ job_id }) => job_id === id)
    .map(({ event }) => event);
  const problems: Problems = left > 0 ? [`${left} jobs do not end`] : [];
  if (job?.status !== "completed" || job.attempt !== 1) {
    problems.push(
      `the job is ${job?.status} after ${job?.attempt} attempts`,
    );
  }
  if (!timeline.includes("released")) {
    problems.push(`the job was not released: ${timeline.join(", ")}`);
  }
  return problems;
}
