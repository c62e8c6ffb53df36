/** Counts a worker's calls to the project for voice clones, with one job and with fifty concurrent ones. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import type { Rpc } from "../../../../supabase/functions/_shared/database/rpc.ts";
import type { JobContext } from "../../../../supabase/functions/_shared/jobs/job-context.ts";
import { createJobRepository } from "../../../../supabase/functions/_shared/jobs/rpc-repository.ts";
import { createWorker } from "../../../../supabase/functions/_shared/jobs/worker.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../../_support/fake-platform.ts";
import { turn } from "../../../_support/held-timers.ts";

const itemsSchema = z.array(z.looseObject({ job_id: z.uuid() }));
const argsSchema = z.object({
  p_calls: itemsSchema.optional(),
  p_jobs: itemsSchema.optional(),
});

function claimedJob(number: number) {
  const id = `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
  return {
    id,
    user_id: id,
    job_type: "voice_clone",
    provider: "elevenlabs",
    input_url: "voice-samples/u/a.mp3",
    metadata: {},
    spend: "none",
    attempt: 1,
    max_attempts: 5,
    input_hash: "hash",
    depends_on_job_id: null,
    cached_from_job_id: null,
    lease_token: id,
    lease_expires_at: "2026-11-22T12:01:00Z",
    started_at: "2026-11-22T12:00:00Z",
    updated_at: "2026-11-22T12:00:00Z",
  };
}

/**
 * Runs jobs that are claimed together, and returns the calls by name.
 *
 * @param latency turns of the event loop that a call to the project takes.
 * @param providerTurns turns that the provider takes for each job.
 */
async function countCalls(
  jobs: number,
  { latency, providerTurns }: {
    latency: number;
    providerTurns: (index: number) => number;
  },
): Promise<Record<string, number>> {
  const platform = fakePlatform();
  const calls: Record<string, number> = {};
  const wait = async (turns: number) => {
    for (let left = turns; left > 0; left--) await turn();
  };
  const count = async (name: string) => {
    calls[name] = (calls[name] ?? 0) + 1;
    await wait(latency);
  };
  const claimed = Array.from({ length: jobs }, (_, index) => claimedJob(index));
  const completed = new Set<string>();
  const rpc: Rpc = async (name, args) => {
    await count(name);
    const { p_calls = [], p_jobs = [] } = argsSchema.parse(args);
    for (const { job_id } of p_jobs) completed.add(job_id);
    const data = name === "claim_dispatched_ai_jobs"
      ? claimed
      : [...p_calls, ...p_jobs].map((item) => ({
        job_id: item.job_id,
        call_id: item["call_id"],
        decision: "send",
        ended_calls: 0,
        error: null,
      }));
    return { data, error: null };
  };
  const repository = createJobRepository(rpc);
  const background: Promise<unknown>[] = [];
  const log = createLogger(platform, { level: "error", secrets: [] });
  const worker = createWorker({
    platform,
    repository,
    processors: new Map([["voice_clone", {
      jobType: "voice_clone",
      run: async ({ job, progress, pay }: JobContext) => {
        progress(10, "fetching_input");
        await count("download");
        const id = await pay({
          operation: "create_voice",
          stage: "calling_provider",
          progressBefore: 30,
          progressAfter: 70,
          units: 1,
          isLast: true,
          send: async () => {
            await wait(
              providerTurns(claimed.findIndex(({ id }) => id === job.id)),
            );
            return `voice-of-${job.id}`;
          },
          find: () => Promise.resolve(null),
        });
        return { resultData: { voice_id: id, voice_name: "Grandma" } };
      },
    }]]),
    results: "database",
    dependencyOf: () => Promise.resolve(null),
    concurrency: jobs,
    wallClockMs: 150_000,
    removeLostFiles: () => Promise.resolve(0),
    onShutdown: platform.onShutdown,
    waitUntil: (promise) => void background.push(promise),
    log,
  });
  await worker.claim(
    (limit) =>
      repository.claimDispatched({ messageId: "m", sentAtUnix: 0 }, limit),
    log,
  );
  // Background work may start more background work.
  for (let at = 0; at < background.length; at++) await background[at];
  assertEquals(completed.size, jobs);
  return calls;
}

const total = (calls: Record<string, number>) =>
  Object.values(calls).reduce((sum, count) => sum + count, 0);

Deno.test("round trips: one voice clone makes five calls to the project", async () => {
  assertEquals(
    await countCalls(1, { latency: 1, providerTurns: () => 3 }),
    {
      claim_dispatched_ai_jobs: 1,
      download: 1,
      begin_provider_calls: 1,
      complete_ai_jobs: 1,
      claim_ai_jobs: 1,
    },
  );
});

for (
  const [when, providerTurns] of [
    ["at the same moment", () => 20],
    ["one after the other", (index: number) => 20 + 2 * index],
    ["in no order", (index: number) => 20 + (index * 37) % 50],
  ] as const
) {
  Deno.test(`round trips: fifty concurrent voice clones make at most 1.5 calls each when the provider answers ${when}`, async () => {
    const calls = await countCalls(50, { latency: 10, providerTurns });
    assertEquals(calls["download"], 50);
    assert(total(calls) <= 75, JSON.stringify(calls));
  });
}
