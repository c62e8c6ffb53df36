/** Waits for the stack's own events, with a time limit and a full report on a timeout. */
import {
  AI_JOB_COLUMNS,
  aiJobSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import type { z } from "zod";
import type { TestUser } from "./as-user.ts";
import type { TestStack } from "./stack.ts";
import type { JobEvent, LogLine } from "./stack-control.ts";

/** Reached only when a test fails. It is long, because a busy machine may need a while. */
const TIMEOUT_SECONDS = 240;

/** A job as its owner reads it. */
export type OwnJob = z.output<typeof aiJobSchema>;

/**
 * The job's timeline, once it includes the `nth` event of that name (or of one of those names).
 *
 * @throws after the time limit, with the timeline so far and the log lines about the job.
 */
export async function waitForEvent(
  stack: TestStack,
  jobId: string,
  event: string | string[],
  options: { nth?: number; seconds?: number } = {},
): Promise<JobEvent[]> {
  const names = [event].flat();
  const { nth = 1, seconds = TIMEOUT_SECONDS } = options;
  const { events, reached } = await stack.ask("/events", {
    job_id: jobId,
    events: names,
    nth,
    within_ms: seconds * 1000,
  });
  if (reached) return events;
  const { lines } = await stack.ask("/logs", {
    source: null,
    fields: { job_id: jobId },
  });
  throw new Error(
    `job ${jobId}: event ${
      names.join(" or ")
    } number ${nth} did not come within ${seconds} s. So far: ${
      timeline(events).join(", ")
    }. Its log:\n${lines.map(({ line }) => line).join("\n")}`,
  );
}

/** The names of the events, in order. */
export function timeline(events: JobEvent[]): string[] {
  return events.map(({ event }) => event);
}

/**
 * The job as its owner reads it through the Data API, once it has ended.
 *
 * @throws when it does not end in time, or ends with another status.
 */
export async function waitForJob(
  stack: TestStack,
  owner: TestUser,
  jobId: string,
  status: "completed" | "failed" | "cancelled",
  seconds = TIMEOUT_SECONDS,
): Promise<OwnJob> {
  await waitForEvent(stack, jobId, ["completed", "failed", "cancelled"], {
    seconds,
  });
  const job = await readJob(owner, jobId);
  if (job.status !== status) {
    throw new Error(
      `job ${jobId} is ${job.status}, not ${status}: ${job.error_code}, ${job.error_message}`,
    );
  }
  return job;
}

/** The job as its owner reads it through the Data API. */
export async function readJob(owner: TestUser, jobId: string): Promise<OwnJob> {
  const { data, error } = await owner.client.from("ai_jobs").select(
    AI_JOB_COLUMNS,
  ).eq(
    "id",
    jobId,
  ).single();
  if (error) throw error;
  return aiJobSchema.parse(data);
}

/**
 * The log lines of a function with these fields, or this text, once there are `atLeast` of them.
 *
 * @throws after the time limit.
 */
export async function waitForLog(
  stack: TestStack,
  slug: string,
  wanted: Record<string, unknown> | string,
  atLeast = 1,
  seconds = TIMEOUT_SECONDS,
): Promise<LogLine[]> {
  const { lines, reached } = await stack.ask("/logs", {
    source: `function:${slug}`,
    ...(typeof wanted === "string" ? { text: wanted } : { fields: wanted }),
    at_least: atLeast,
    within_ms: seconds * 1000,
  });
  if (reached) return lines;
  throw new Error(
    `${slug} logged ${lines.length} lines with ${
      JSON.stringify(wanted)
    } within ${seconds} s, not ${atLeast}`,
  );
}

/**
 * Polls for a state that no event reports.
 *
 * @throws after the time limit, with the name of the state.
 */
export async function waitUntil(
  what: string,
  holds: () => Promise<boolean>,
  seconds = TIMEOUT_SECONDS,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!await holds()) {
    if (Date.now() > deadline) {
      throw new Error(`${what}: not within ${seconds} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Ends the wait before the next attempt of a job, and sweeps, so that it is dispatched. */
export async function sweepJob(stack: TestStack, jobId: string): Promise<void> {
  await stack.sql`
    update public.ai_jobs set scheduled_at = least(scheduled_at, now()) where id = ${jobId} and status = 'pending'`;
  await stack.sweep();
}
