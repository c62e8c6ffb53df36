/** The result cache in Postgres, which is used when no Redis is configured. */
import { assertEquals, assertLessOrEqual } from "@std/assert";
import { voiceCloneResultSchema } from "../../supabase/functions/_shared/contracts/voice-clone.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { jobFacts } from "../_support/job-facts.ts";
import { waitForJob, waitUntil } from "../_support/wait-for.ts";
import {
  assertMiss,
  defineCacheTests,
  firstJob,
  rememberedJob,
  requestAgain,
} from "./_support/cache-cases.ts";

const running = useStack();

async function isRemembered(stack: TestStack, key: string): Promise<boolean> {
  const rows = await stack.sql`
    select from public.ai_result_cache where cache_key = ${key}`;
  return rows.length === 1;
}

defineCacheTests("Postgres", running, isRemembered);

Deno.test("cache in Postgres: an entry is the id of the job, for a day", async () => {
  const stack = running();
  const { user, jobId, key } = await rememberedJob(stack, isRemembered);
  const [entry] = await stack.sql<
    { value: unknown; user_id: string; seconds: number }
  >`
    select value, user_id, extract(epoch from expires_at - created_at)::int as seconds
    from public.ai_result_cache where cache_key = ${key}`;
  assertEquals(entry?.value, { job_id: jobId });
  assertEquals(entry?.user_id, user.id);
  assertLessOrEqual(Math.abs((entry?.seconds ?? 0) - 86_400), 1);
});

Deno.test("cache in Postgres: a false entry costs a call and reveals nothing", async () => {
  const stack = running();
  const victim = await firstJob(stack);
  const { user, inputUrl, key } = await rememberedJob(stack, isRemembered);
  const lies = {
    "another user's job": { job_id: victim.jobId },
    "a job that does not exist": { job_id: crypto.randomUUID() },
    "no job at all": "nonsense",
    "another shape": { job_id: 7 },
  };
  for (const [name, value] of Object.entries(lies)) {
    await stack.sql`
      update public.ai_result_cache set value = ${
      JSON.stringify(value)
    }::text::jsonb
      where cache_key = ${key}`;
    const answer = await requestAgain(user, inputUrl);
    assertEquals(answer.status, 202, name);
    await assertMiss(stack, user, answer);
    await waitUntil("the entry is there", () => isRemembered(stack, key));
  }
});

Deno.test("cache in Postgres: one that refuses the function fails no job, and the claim reads it", async () => {
  const stack = running();
  const { user, inputUrl, jobId } = await rememberedJob(
    stack,
    isRemembered,
  );
  await stack
    .sql`revoke select on public.ai_result_cache from authenticated, service_role`;
  try {
    const { status, body } = await requestAgain(user, inputUrl);
    assertEquals([status, body.cached], [202, false]);
    const job = await waitForJob(stack, user, body.job_id, "completed");
    assertEquals(job.cached_from_job_id, jobId);
    assertEquals((await jobFacts(stack, job.id)).paid, []);
    // The reused clone has no row of voices; its result names the earlier one, which speaks.
    const { voice_id } = voiceCloneResultSchema.parse(job.result_data);
    const speech = await user.call("create-ai-job", {
      body: {
        job_type: "text_to_speech",
        metadata: { text: "Good evening.", voice_id },
      },
    });
    assertEquals(speech.status, 202, JSON.stringify(speech.body));
  } finally {
    await stack
      .sql`grant select on public.ai_result_cache to authenticated, service_role`;
  }
  // The twin: with the grant restored it answers again.
  assertEquals((await requestAgain(user, inputUrl)).status, 200);
});
