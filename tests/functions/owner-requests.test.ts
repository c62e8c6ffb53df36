/** list-ai-jobs, cancel-ai-job and retry-ai-job: what only the owner of a job can do. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import {
  aiJobResponseSchema,
  jobStandingSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { useStack } from "../_support/stack.ts";
import {
  readJob,
  sweepJob,
  waitForEvent,
  waitForJob,
} from "../_support/wait-for.ts";

const running = useStack();

const pageSchema = z.object({
  jobs: z.array(aiJobResponseSchema),
  next_cursor: z.string().nullable(),
});

async function list(user: TestUser, query = "") {
  const answer = await user.call("list-ai-jobs", { query });
  assertEquals(answer.status, 200, JSON.stringify(answer.body));
  return pageSchema.parse(answer.body);
}

const problemSchema = z.object({ code: z.string() });

Deno.test("list-ai-jobs: each job is on one page, newest first, while new ones arrive; others see none", async () => {
  const stack = running();
  const [owner, otherUser] = [await signUp(stack), await signUp(stack)];
  const inputUrl = await uploadRecording(owner);
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    ids.unshift(
      await requestVoice(owner, inputUrl, { voice_name: `Voice ${i}` }),
    );
  }
  const first = await list(owner, "?limit=2");
  const late = await requestVoice(owner, inputUrl, { voice_name: "Late" });
  const second = await list(owner, `?limit=2&cursor=${first.next_cursor}`);
  const third = await list(owner, `?limit=2&cursor=${second.next_cursor}`);
  assertEquals(
    [first, second, third].flatMap(({ jobs }) => jobs.map(({ id }) => id)),
    ids,
  );
  assertEquals(third.next_cursor, null);
  assertEquals((await list(otherUser)).jobs, []);
  for (const id of [...ids, late]) {
    await waitForJob(stack, owner, id, "completed");
  }
  const completed = (await list(owner, "?status=completed")).jobs;
  assertEquals(completed.length, 6);
  // A list gives the path of an output; only get-ai-job signs its address.
  for (const job of completed) assertEquals(job.output_url, null);
  assertEquals((await list(owner, "?status=failed")).jobs, []);
});

Deno.test("get-ai-job and list-ai-jobs: a waiting job says how many come before it, an ended one its cost", async () => {
  const stack = running();
  const [first, second] = [await signUp(stack), await signUp(stack)];
  await stack.sql`
    insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
    values ('voice_clone', 'elevenlabs', 'creation', 1, 120000)
    on conflict (job_type, provider) do update set per_units = 1, price_micros = 120000`;
  await stack.sql`update public.ai_providers set paused_at = now()`;
  const jobs: string[] = [];
  for (const owner of [first, second, second]) {
    jobs.push(await requestVoice(owner, await uploadRecording(owner)));
  }
  const read = async (owner: TestUser, id = "") =>
    aiJobResponseSchema.parse(
      (await owner.call("get-ai-job", { query: `?id=${id}` })).body,
    );
  const places = async (owner: TestUser) =>
    (await list(owner)).jobs.map(({ jobs_ahead }) => jobs_ahead);
  assertEquals(await places(first), [0]);
  assertEquals(await places(second), [2, 1]);
  assertEquals((await read(second, jobs[2])).jobs_ahead, 2);
  await stack.sql`update public.ai_providers set paused_at = null`;
  await stack.sweep();
  await waitForJob(stack, second, jobs[2] ?? "", "completed");
  const { jobs_ahead, cost_micros, cost_currency } = await read(
    second,
    jobs[2],
  );
  assertEquals([jobs_ahead, cost_micros, cost_currency], [
    null,
    120_000,
    "USD",
  ]);
});

Deno.test("list-ai-jobs: a cursor that is not ours, a limit out of range and an unknown word are named", async () => {
  const owner = await signUp(running());
  for (
    const [query, field] of [
      ["?cursor=abc", "cursor"],
      ["?limit=0", "limit"],
      ["?limit=many", "limit"],
      ["?status=done", "status"],
      ["?sort=up", "sort"],
    ] as const
  ) {
    const answer = await owner.call("list-ai-jobs", { query });
    assertEquals(answer.status, 400, query);
    const { errors } = z.object({
      errors: z.array(z.object({ field: z.string() })),
    }).parse(answer.body);
    assertEquals(errors.map((error) => error.field), [field]);
  }
});

Deno.test("cancel-ai-job: a waiting job ends immediately and nothing is sent; a second time changes nothing", async () => {
  const stack = running();
  const owner = await signUp(stack);
  await stack.pauseNet();
  const jobId = await requestVoice(owner, await uploadRecording(owner));
  const answer = await owner.call("cancel-ai-job", { body: { job_id: jobId } });
  assertEquals(answer.status, 200);
  const { status, spend } = jobStandingSchema.parse(answer.body);
  assertEquals([status, spend], ["cancelled", "none"]);
  const again = await owner.call("cancel-ai-job", { body: { job_id: jobId } });
  assertEquals(again.status, 200);
  await stack.resumeNet();
  await stack.sweep();
  assertEquals((await readJob(owner, jobId)).status, "cancelled");
  assertEquals(await stack.simulator.creations(jobId), []);
});

Deno.test("cancel-ai-job: a running job stops within a heartbeat, its voice is removed, and spend is incurred", async () => {
  const stack = running();
  const owner = await signUp(stack);
  await stack.simulator.fail({
    fault: { kind: "delay", ms: 60_000, processed: "before" },
  });
  const jobId = await requestVoice(owner, await uploadRecording(owner));
  await waitForEvent(stack, jobId, "submitted");
  await stack.simulator.creationsOf(jobId, 1);
  const answer = await owner.call("cancel-ai-job", {
    body: { job_id: jobId },
  });
  assertEquals(answer.status, 202);
  const job = await waitForJob(stack, owner, jobId, "cancelled");
  assertEquals([job.spend, job.error_code], ["incurred", "cancelled"]);
  const made = await stack.simulator.creations(jobId);
  assertEquals(made.map(({ state }) => state), ["deleted"]);
  const { data: voices } = await owner.client.from("voices").select("id");
  assertEquals(voices, []);
});

for (
  const { what, isListed, spend, states } of [
    {
      what: "what an earlier call made is found and removed",
      isListed: true,
      spend: "incurred",
      states: ["deleted"],
    },
    {
      what: "what is not listed yet stays, and the row says that it is unknown",
      isListed: false,
      spend: "unknown",
      states: ["created"],
    },
  ]
) {
  Deno.test(`cancel-ai-job: while the provider is queried about a call: ${what}`, async () => {
    const stack = running();
    const owner = await signUp(stack);
    if (!isListed) await stack.simulator.set({ search_lag_ms: 600_000 });
    await stack.simulator.fail(
      { fault: { kind: "close_after" } },
      { operation: "voices.search", fault: { kind: "hang" } },
    );
    const jobId = await requestVoice(owner, await uploadRecording(owner));
    await waitForEvent(stack, jobId, "snoozed");
    await sweepJob(stack, jobId);
    await stack.simulator.requests("voices.search", { atLeast: 1 });
    const answer = await owner.call("cancel-ai-job", {
      body: { job_id: jobId },
    });
    assertEquals(answer.status, 202);
    const job = await waitForJob(stack, owner, jobId, "cancelled");
    assertEquals([job.spend, job.error_code], [spend, "cancelled"]);
    assertEquals(
      job.error_message,
      isListed
        ? "Cancelled after the AI provider had done paid work."
        : "Cancelled during a call to the AI provider; it may have cost money.",
    );
    const made = await stack.simulator.creations(jobId);
    assertEquals(made.map(({ state }) => state), states);
    assertEquals(
      (await stack.simulator.requests("voices.add", { jobId })).length,
      1,
    );
  });
}

Deno.test("cancel-ai-job: a job that waits to reconcile ends immediately, with unknown spend", async () => {
  const stack = running();
  const owner = await signUp(stack);
  await stack.simulator.fail({ fault: { kind: "close_after" } });
  const jobId = await requestVoice(owner, await uploadRecording(owner));
  await waitForEvent(stack, jobId, "snoozed");
  const answer = await owner.call("cancel-ai-job", { body: { job_id: jobId } });
  const { status, spend } = jobStandingSchema.parse(answer.body);
  assertEquals([answer.status, status, spend], [200, "cancelled", "unknown"]);
  await sweepJob(stack, jobId);
  assertEquals((await readJob(owner, jobId)).status, "cancelled");
});

Deno.test("retry-ai-job: a failed job runs again and can succeed; one that has not failed is 409", async () => {
  const stack = running();
  const owner = await signUp(stack);
  await stack.simulator.fail({
    fault: { kind: "status", error: "quota_exceeded" },
  });
  const jobId = await requestVoice(owner, await uploadRecording(owner));
  await waitForJob(stack, owner, jobId, "failed");
  const answer = await owner.call("retry-ai-job", { body: { job_id: jobId } });
  assertEquals(answer.status, 202);
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "completed");
  const job = await readJob(owner, jobId);
  assertEquals([job.status, job.attempt], ["completed", 2]);
  const second = await owner.call("retry-ai-job", { body: { job_id: jobId } });
  assertEquals(second.status, 409);
  assertEquals(problemSchema.parse(second.body).code, "job_not_retryable");
  const cancel = await owner.call("cancel-ai-job", { body: { job_id: jobId } });
  assertEquals(cancel.status, 409);
  assertEquals(problemSchema.parse(cancel.body).code, "job_not_cancellable");
});

Deno.test("cancel-ai-job, retry-ai-job: another user's job is 404 and unchanged", async () => {
  const stack = running();
  const [owner, otherUser] = [await signUp(stack), await signUp(stack)];
  await stack.pauseNet();
  const jobId = await requestVoice(owner, await uploadRecording(owner));
  const before = await readJob(owner, jobId);
  for (const slug of ["cancel-ai-job", "retry-ai-job"]) {
    const answer = await otherUser.call(slug, { body: { job_id: jobId } });
    assertEquals(answer.status, 404, slug);
    const bad = await owner.call(slug, { body: { job_id: "7" } });
    assertEquals(bad.status, 400, slug);
  }
  assertEquals(await readJob(owner, jobId), before);
  assert(before.status === "pending");
});
