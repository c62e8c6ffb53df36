/** create-ai-job's own call of process-ai-job, besides the database's dispatch. */
import { assertEquals } from "@std/assert";
import { requestVoice, signUp, uploadRecording } from "../_support/as-user.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";

const running = useStack({ env: { DIRECT_DISPATCH: "on" } });

Deno.test("direct dispatch: a job runs without pg_net, and once when its dispatch follows", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  await stack.pauseNet();
  let jobId: string;
  try {
    jobId = await requestVoice(user, inputUrl);
    await waitForJob(stack, user, jobId, "completed");
    const [{ queued } = { queued: -1 }] = await stack.sql<{ queued: number }>`
      select count(*)::int as queued from net.http_request_queue`;
    assertEquals(queued, 1, "the database's own dispatch");
  } finally {
    await stack.resumeNet();
  }
  // The database's dispatch finds nothing left to claim; the next job is dispatched as before.
  const next = await requestVoice(user, inputUrl, { voice_name: "Next" });
  await waitForJob(stack, user, next, "completed");
  const attempts = await stack.sql<{ attempt: number }>`
    select attempt from public.ai_jobs where id in (${jobId}, ${next})`;
  assertEquals(attempts.map(({ attempt }) => attempt), [1, 1]);
  assertEquals((await stack.simulator.creations(jobId)).length, 1);
});
