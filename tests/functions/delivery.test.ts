/** Delivery: the call that an insert makes is a hint; if it is lost or fails, the sweep delivers the job. */
import { assertEquals } from "@std/assert";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  readJob,
  sweepJob,
  timeline,
  waitForEvent,
  waitForJob,
  waitUntil,
} from "../_support/wait-for.ts";
import { secondsAgo } from "./_support/signed-dispatch.ts";

const running = useStack();

/** Asserts that an insert during broken delivery commits, waits unchanged, and is delivered by the sweep. */
async function assertSweepDelivers(
  stack: TestStack,
  user: TestUser,
  jobId: string,
): Promise<void> {
  assertEquals(timeline(await waitForEvent(stack, jobId, "created")), [
    "created",
  ]);
  await sweepJob(stack, jobId);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1);
  assertEquals((await stack.simulator.creations(jobId)).length, 1);
}

Deno.test("dispatch: an insert commits while the Vault has no secret, and the sweep delivers it later", async () => {
  const stack = running();
  await stack.sql`delete from public.ai_jobs where status = 'pending'`;
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const rename = (from: string, to: string) =>
    stack.sql`
      select vault.update_secret(id, null, ${to}) from vault.decrypted_secrets where name = ${from}`;
  for (const name of ["dispatch_secret", "project_url"]) {
    await rename(name, "put_aside");
    let jobId: string;
    try {
      jobId = await requestVoice(user, inputUrl, {
        voice_name: name,
      });
      const [{ queued } = { queued: -1 }] = await stack.sql<{ queued: number }>`
        select count(*)::int as queued from net.http_request_queue`;
      assertEquals(queued, 0, "nothing is sent without a signature");
      await stack.sweep();
    } finally {
      await rename("put_aside", name);
    }
    await assertSweepDelivers(stack, user, jobId);
  }
});

Deno.test("dispatch: an insert commits while the project's URL is unreachable; the sweep delivers it later", async () => {
  const stack = running();
  await stack.sql`delete from public.ai_jobs where status = 'pending'`;
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const point = (url: string) =>
    stack.sql`
      select vault.update_secret(id, ${url}) from vault.decrypted_secrets where name = 'project_url'`;
  await point("http://127.0.0.1:1");
  let jobId: string;
  try {
    jobId = await requestVoice(user, inputUrl);
  } finally {
    await point(stack.apiUrl);
  }
  await assertSweepDelivers(stack, user, jobId);
});

Deno.test("dispatch: an insert commits while pg_net is down and its queue lost; the sweep delivers it later", async () => {
  const stack = running();
  await stack.sql`delete from public.ai_jobs where status = 'pending'`;
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  await stack.pauseNet();
  const jobId = await requestVoice(user, inputUrl);
  await stack.sql`delete from net.http_request_queue`;
  await stack.resumeNet();
  await assertSweepDelivers(stack, user, jobId);
});

Deno.test("dispatch: a job inserted while process-ai-job is killed completes, once", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const [, jobId] = await Promise.all([
    stack.kill("process-ai-job", "SIGKILL"),
    requestVoice(user, inputUrl),
  ]);
  // The old process, the new one or neither gets the dispatch; the lease or the sweep handles each case.
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() where id = ${jobId} and lease_expires_at is not null`;
  await waitUntil("the job ends", async () => {
    // Again and again: if it was the new process whose lease was just ended, the job waits once more.
    await sweepJob(stack, jobId);
    return (await readJob(user, jobId)).completed_at !== null;
  });
  await waitForJob(stack, user, jobId, "completed");
  assertEquals((await stack.simulator.creations(jobId)).length, 1);
});

Deno.test("dispatch: one insert of twelve rows is one call, and all twelve complete", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  await stack.pauseNet();
  const { data, error } = await user.client.from("ai_jobs").insert(
    Array.from({ length: 12 }, (_, index) => ({
      job_type: "voice_clone",
      input_url: inputUrl,
      metadata: { voice_name: `Voice ${index}` },
    })),
  ).select("id");
  assertEquals(error, null);
  const [{ queued } = { queued: 0 }] = await stack.sql<{ queued: number }>`
    select count(*)::int as queued from net.http_request_queue`;
  assertEquals(queued, 1);
  await stack.resumeNet();
  // No sweep: the worker claims more due jobs as its slots become free.
  for (const { id } of data ?? []) {
    const job = await waitForJob(stack, user, id, "completed");
    assertEquals(job.attempt, 1);
  }
  const creations = await stack.simulator.creations();
  assertEquals(
    creations.map(({ marker }) => marker).sort(),
    data?.map(({ id }) => id).sort(),
  );
});

Deno.test("dispatch: a scheduled job is not sent before it is due, and then runs", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { data } = await user.client.from("ai_jobs").insert({
    job_type: "voice_clone",
    input_url: await uploadRecording(user),
    metadata: { voice_name: "Later" },
    scheduled_at: secondsAgo(-3600).toISOString(),
  }).select("id").single();
  const jobId = data?.id ?? "";
  await stack.sweep();
  assertEquals(timeline(await waitForEvent(stack, jobId, "created")), [
    "created",
  ]);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
});
