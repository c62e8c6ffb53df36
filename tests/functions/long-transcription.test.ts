/**
 * Recordings that are too long to wait for: submitted once, fetched by the provider, reported by its webhook, and read by id.
 * Here every recording of more than 100,000 bytes counts as long.
 */
import { assert, assertEquals } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  transcriptFileSchema,
  transcriptionResultSchema,
} from "../../supabase/functions/_shared/contracts/transcription.ts";
import {
  readRecording,
  type Recording,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  sweepJob,
  timeline,
  waitForEvent,
  waitForJob,
  waitForLog,
} from "../_support/wait-for.ts";

const SECRET = "whsec_of-the-test-0123456789abcdef0123";
const running = useStack({
  env: {
    TRANSCRIPT_WAIT_MAX_BYTES: "100000",
    ELEVENLABS_WEBHOOK_SECRET: SECRET,
  },
});
let sharedUser: TestUser | undefined;

/** Sets up the simulated workspace: its webhook and its behaviour. */
async function workspace(
  settings: Record<string, unknown> = {},
): Promise<TestStack> {
  const stack = running();
  await stack.simulator.set({
    webhook_endpoint: {
      url: `${stack.apiUrl}/functions/v1/provider-webhook/elevenlabs`,
      secret: SECRET,
    },
    ...settings,
  });
  return stack;
}

async function newJob(
  metadata: Record<string, unknown> = {},
  recording: Recording = "speech-24s.mp3",
): Promise<{ user: TestUser; jobId: string }> {
  const user = sharedUser ??= await signUp(running());
  const input_url = await uploadRecording(user, {
    bucket: "recordings",
    recording,
  });
  const answer = await user.call("create-ai-job", {
    body: { job_type: "transcription", input_url, metadata },
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  const { job_id } = createAiJobResponseSchema.parse(answer.body);
  return { user, jobId: job_id };
}

/** Fails unless the recording was sent once and paid for once. */
async function assertOnce(stack: TestStack, jobId: string) {
  const sent = await stack.simulator.requests("transcripts", { jobId });
  const paid = await stack.simulator.creations(jobId);
  assertEquals([sent.length, paid.length], [1, 1]);
  return paid[0];
}

async function stepsOf(stack: TestStack, jobId: string): Promise<string[]> {
  const steps = timeline(await waitForEvent(stack, jobId, "completed"));
  return steps.filter((step) =>
    ["claimed", "submitted", "snoozed", "retried", "completed"].includes(step)
  );
}

Deno.test("long transcript: submitted, fetched by the provider, woken by its webhook, and stored in the call", async () => {
  const stack = await workspace({ transcript_ms: 60_000 });
  const user = sharedUser ??= await signUp(stack);
  const { data: call } = await user.client.from("calls")
    .insert({ title: "Sunday call" }).select("id").single();
  assert(call !== null);
  const { jobId } = await newJob({ call_id: call.id });
  await waitForEvent(stack, jobId, "snoozed");
  await stack.simulator.advanceClock(60_000);
  const job = await waitForJob(stack, user, jobId, "completed");

  assertEquals(await stepsOf(stack, jobId), [
    "claimed",
    "submitted",
    "snoozed",
    "claimed",
    "completed",
  ]);
  const [receipt] = await waitForLog(stack, "provider-webhook", {
    receipt: "woken",
    job_id: jobId,
  });
  assert(receipt !== undefined);
  assertEquals([job.attempt, job.spend, job.billable_calls], [
    1,
    "incurred",
    1,
  ]);
  const entry = await assertOnce(stack, jobId);
  const result = transcriptionResultSchema.parse(job.result_data);
  assertEquals(result.provider_transcription_id, entry?.id);
  assertEquals(entry?.bytes, (await readRecording("speech-24s.mp3")).length);
  const address = String(entry?.request["cloud_storage_url"]);
  assert(
    address.startsWith(`${stack.apiUrl}/storage/v1/object/sign/recordings/`),
    address,
  );
  assertEquals(entry?.request["webhook_metadata"], `{"job_id":"${jobId}"}`);

  const { data: filled } = await user.client.from("calls").select("transcript")
    .eq("id", call.id).single();
  assertEquals(filled?.transcript, result.text);
  const { data: file } = await user.client.storage.from("outputs").download(
    job.output_url?.slice("outputs/".length) ?? "",
  );
  assertEquals(
    transcriptFileSchema.parse(JSON.parse(await file?.text() ?? "")).text,
    result.text,
  );
});

Deno.test("long transcript: without an id in the response, the id that the webhook names is used", async () => {
  const stack = await workspace({
    transcript_ms: 60_000,
    returns_transcript_id: false,
  });
  try {
    const { user, jobId } = await newJob({ speaker_count: 3 });
    await waitForEvent(stack, jobId, "snoozed");
    await stack.simulator.advanceClock(60_000);
    const job = await waitForJob(stack, user, jobId, "completed");
    const entry = await assertOnce(stack, jobId);
    const result = transcriptionResultSchema.parse(job.result_data);
    assertEquals(result.provider_transcription_id, entry?.id);
  } finally {
    await stack.simulator.set({ returns_transcript_id: true });
  }
});

Deno.test("long transcript: a short recording is awaited, without a webhook", async () => {
  const stack = await workspace();
  const { user, jobId } = await newJob({}, "speech.webm");
  await waitForJob(stack, user, jobId, "completed");
  const entry = await assertOnce(stack, jobId);
  assertEquals(entry?.request["webhook"], undefined);
  assertEquals(await stepsOf(stack, jobId), [
    "claimed",
    "submitted",
    "completed",
  ]);
});

for (
  const [webhooks, receipt] of [
    ["doubled", { receipt: "replayed" }],
    ["early", { receipt: "woken" }],
    ["forged", { event: "request_answered", status: 401 }],
    ["lost", null],
  ] as const
) {
  Deno.test(`long transcript: a webhook that is ${webhooks} only changes the speed`, async () => {
    const isEarly = webhooks === "early";
    const stack = await workspace({
      transcript_ms: 60_000,
      webhooks,
      // An early one is sent with half of the wait to go.
      webhook_delay_ms: isEarly ? 30_000 : 0,
    });
    const { user, jobId } = await newJob();
    await waitForEvent(stack, jobId, "snoozed");
    await stack.simulator.advanceClock(30_000);
    if (isEarly) {
      // The webhook wakes the job too early: the transcript is not ready, although it says so.
      await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
    }
    await stack.simulator.advanceClock(30_000);
    if (receipt !== null) {
      await waitForLog(stack, "provider-webhook", receipt);
    }
    if (webhooks !== "doubled") await sweepJob(stack, jobId);
    const job = await waitForJob(stack, user, jobId, "completed");
    const result = transcriptionResultSchema.parse(job.result_data);
    assert(result.text.startsWith("And Mister John Dashwood"), result.text);
    assertEquals(job.attempt, 1);
    await assertOnce(stack, jobId);
  });
}

Deno.test("long transcript: a webhook that arrives after the end changes nothing", async () => {
  const stack = await workspace({
    transcript_ms: 0,
    webhook_delay_ms: 60_000,
  });
  const { user, jobId } = await newJob();
  await waitForEvent(stack, jobId, ["snoozed", "completed"]);
  await sweepJob(stack, jobId);
  const before = await waitForJob(stack, user, jobId, "completed");
  await stack.simulator.advanceClock(60_000);
  await waitForLog(stack, "provider-webhook", {
    receipt: "nothing_waits",
    job_id: jobId,
  });
  const after = await waitForJob(stack, user, jobId, "completed");
  assertEquals(after, before);
  await assertOnce(stack, jobId);
});

Deno.test("long transcript: a submission whose response is lost is parked, and never submitted again", async () => {
  const stack = await workspace({ transcript_ms: 0, webhooks: "lost" });
  await stack.simulator.fail({
    operation: "transcripts",
    fault: { kind: "close_after" },
  });
  const { user, jobId } = await newJob();
  await waitForEvent(stack, jobId, "snoozed");
  await sweepJob(stack, jobId);
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals([job.error_code, job.spend], ["outcome_unknown", "unknown"]);
  const entry = await assertOnce(stack, jobId);

  await stack.sql`select public.resolve_unknown_ai_job(${jobId}, true, ${
    entry?.id ?? ""
  })`;
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "completed");
  await assertOnce(stack, jobId);
});

Deno.test("long transcript: if the provider is down during a poll, the job continues and pays nothing more", async () => {
  const stack = await workspace({ transcript_ms: 0, webhooks: "lost" });
  await stack.simulator.fail({
    operation: "transcripts.get",
    fault: { kind: "status", status: 503 },
  });
  const { user, jobId } = await newJob();
  await waitForEvent(stack, jobId, "snoozed");
  await sweepJob(stack, jobId);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1, "waiting spends no attempt");
  await assertOnce(stack, jobId);
});

Deno.test("long transcript: after a worker is killed before the transcript is ready, the next one reads it", async () => {
  const stack = await workspace({ transcript_ms: 60_000, webhooks: "lost" });
  const { user, jobId } = await newJob();
  await waitForEvent(stack, jobId, "snoozed");
  await stack.kill("process-ai-job", "SIGKILL");
  await stack.simulator.advanceClock(60_000);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  await assertOnce(stack, jobId);
});

Deno.test("long transcript: an account without a webhook refuses the submission, and nothing is paid", async () => {
  const stack = running();
  await stack.simulator.set({ webhook_endpoint: null });
  const { user, jobId } = await newJob();
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals([job.error_code, job.spend], [
    "provider_rejected_input",
    "none",
  ]);
});
