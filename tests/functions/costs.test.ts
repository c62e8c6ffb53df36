/** The costs of jobs as apps and operators see them: the unit of each type, the budget, and the provider's charges. */
import { assert, assertEquals } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { requestVideo, uploadPortrait } from "../_support/avatar-jobs.ts";
import { flac, mp3, muxed, wav } from "../_support/made-recordings.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { sweepJob, waitForEvent, waitForJob } from "../_support/wait-for.ts";

const running = useStack();
const ADAM = "pNInz6obpgDQGcFmaJgB";

async function newJob(
  user: TestUser,
  body: Record<string, unknown>,
): Promise<string> {
  const answer = await user.call("create-ai-job", { body });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  return createAiJobResponseSchema.parse(answer.body).job_id;
}

const speech = (text: string, metadata: Record<string, unknown> = {}) => ({
  job_type: "text_to_speech",
  metadata: { text, voice_id: ADAM, ...metadata },
});

async function setBudget(
  stack: TestStack,
  user: TestUser,
  micros: number | null,
): Promise<void> {
  await stack.sql`select public.set_ai_budget(${user.id}, ${micros})`;
}

/** The estimated and the actual cost of a job's paid calls. */
async function callsOf(stack: TestStack, jobId: string) {
  const rows = await stack.sql<
    { units: number; estimate: number; cost: number | null }
  >`
    select units::int, estimated_cost_micros::int as estimate, cost_micros::int as cost
    from public.ai_provider_calls where job_id = ${jobId} order by sent_at`;
  return rows.map((row) => ({ ...row }));
}

async function ownBudget(user: TestUser) {
  const { data, error } = await user.client.rpc("get_ai_budget").single();
  assertEquals(error, null);
  return data;
}

Deno.test("costs: speech is estimated by characters, and costs what the provider reports", async () => {
  const stack = running();
  const user = await signUp(stack);
  const text = `What it costs, said by ${crypto.randomUUID()}. 😀`;
  const characters = [...text].length;
  const jobId = await newJob(user, speech(text));
  await waitForJob(stack, user, jobId, "completed");
  assertEquals(await callsOf(stack, jobId), [{
    units: characters,
    estimate: characters * 100,
    cost: characters * 100,
  }]);
  const { data } = await user.client.rpc("get_ai_costs").single();
  assertEquals(
    [data?.provider, data?.paid_calls, data?.cost_micros],
    ["elevenlabs", 1, characters * 100],
  );
});

Deno.test("costs: a model whose characters count half is reserved in full and costs half", async () => {
  const stack = running();
  const user = await signUp(stack);
  const text = `At half the price, said by ${crypto.randomUUID()}.`;
  const jobId = await newJob(
    user,
    speech(text, { model: "eleven_flash_v2_5" }),
  );
  await waitForJob(stack, user, jobId, "completed");
  const charged = Math.ceil(text.length / 2);
  assertEquals(await callsOf(stack, jobId), [{
    units: charged,
    estimate: text.length * 100,
    cost: charged * 100,
  }]);
});

Deno.test("costs: a transcript costs the seconds that the provider reports at the end", async () => {
  const stack = running();
  const user = await signUp(stack);
  const input_url = await uploadRecording(user, {
    bucket: "recordings",
    recording: "speech-24s.mp3",
  });
  const jobId = await newJob(user, {
    job_type: "transcription",
    input_url,
    metadata: {},
  });
  await waitForJob(stack, user, jobId, "completed");
  const [call] = await callsOf(stack, jobId);
  assert(call !== undefined);
  assert(
    call.units >= 23 && call.units <= 26,
    `${call.units} s were charged`,
  );
  assertEquals(call.cost, Math.ceil(call.units * 220_000 / 3_600));
  const estimated = call.estimate * 3_600 / 220_000;
  assert(Math.abs(estimated - 24) < 2, `${estimated} s were estimated`);
});

for (
  const [provider, price] of [["d-id", 20_000], ["heygen", 50_000]] as const
) {
  Deno.test(`costs: a video of ${provider} costs the seconds of its actual length`, async () => {
    const stack = running();
    const user = await signUp(stack);
    await stack.simulator.set({ render_ms: 0, webhooks: "lost" }, provider);
    const photo = await uploadPortrait(user);
    const jobId = await requestVideo(user, photo, { provider });
    const job = await waitForJob(stack, user, jobId, "completed");
    const seconds = Math.ceil(Number(job.result_data?.duration_seconds));
    assertEquals(await callsOf(stack, jobId), [{
      units: seconds,
      // "Hello, it is me." has 16 characters.
      estimate: 2 * price,
      cost: seconds * price,
    }]);
  });
}

Deno.test("costs: the reservation of a video that HeyGen could not render is released", async () => {
  const stack = running();
  const user = await signUp(stack);
  await stack.simulator.set(
    { render_ms: 0, webhooks: "lost", outcome: "failed" },
    "heygen",
  );
  const photo = await uploadPortrait(user);
  const jobId = await requestVideo(user, photo, { provider: "heygen" });
  await waitForJob(stack, user, jobId, "failed");
  assertEquals(await callsOf(stack, jobId), [
    { units: 0, estimate: 100_000, cost: 0 },
  ]);
});

Deno.test("costs: a voice clone costs one creation", async () => {
  const stack = running();
  const user = await signUp(stack);
  await stack.sql`
    update public.ai_prices set price_micros = 990000 where job_type = 'voice_clone' and provider = 'elevenlabs'`;
  const jobId = await requestVoice(user, await uploadRecording(user), {});
  await waitForJob(stack, user, jobId, "completed");
  assertEquals(await callsOf(stack, jobId), [
    { units: 1, estimate: 990_000, cost: 990_000 },
  ]);
});

Deno.test("budget: a job over budget is neither sent nor retried; with a higher one a retry completes it", async () => {
  const stack = running();
  const user = await signUp(stack);
  const marker = crypto.randomUUID();
  const text = `Too dear: ${marker}.`;
  const cost = text.length * 100;
  await setBudget(stack, user, cost - 1);
  const jobId = await newJob(user, speech(text));
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals(job.error_code, "budget_exceeded");
  assertEquals(await callsOf(stack, jobId), []);
  assertEquals(
    (await stack.simulator.requests("speech", { jobId: marker })).length,
    0,
  );
  const [row] = await stack.sql<{ attempt: number; spend: string }>`
    select attempt, spend from public.ai_jobs where id = ${jobId}`;
  assertEquals([row?.attempt, row?.spend], [1, "none"]);

  await setBudget(stack, user, cost);
  const retried = await user.call("retry-ai-job", { body: { job_id: jobId } });
  assertEquals(retried.status, 202, JSON.stringify(retried.body));
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "completed");
  const budget = await ownBudget(user);
  assertEquals(
    [budget?.budget_micros, budget?.spent_micros, budget?.remaining_micros],
    [cost, cost, 0],
  );
  assertEquals((await stack.simulator.creations(marker)).length, 1);
});

Deno.test("budget: a long text stops when it is used up; with a higher one it continues from the paid parts", async () => {
  const stack = running();
  const user = await signUp(stack);
  const marker = crypto.randomUUID();
  const sentence = `This is ${marker} once more. `;
  const text = sentence.repeat(Math.ceil(6_000 / sentence.length)).trim();
  // The first part fits, the second does not.
  await setBudget(stack, user, 550_000);
  const jobId = await newJob(user, speech(text));
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals(job.error_code, "budget_exceeded");
  assertEquals((await callsOf(stack, jobId)).length, 1);
  await setBudget(stack, user, null);
  const retried = await user.call("retry-ai-job", { body: { job_id: jobId } });
  assertEquals(retried.status, 202, JSON.stringify(retried.body));
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "completed");
  assertEquals((await stack.simulator.creations(marker)).length, 2);
});

/** Stores bytes as a recording and returns the job that transcribes it. */
async function newTranscription(
  user: TestUser,
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
): Promise<string> {
  const path = `${user.id}/${crypto.randomUUID()}`;
  const { error } = await user.client.storage.from("recordings").upload(
    path,
    bytes,
    { contentType },
  );
  assertEquals(error, null);
  return await newJob(user, {
    job_type: "transcription",
    input_url: `recordings/${path}`,
    metadata: {},
  });
}

/** The cost of transcribing a recording. */
const priceOf = (seconds: number) => Math.ceil(seconds * 220_000 / 3_600);

/** Recordings of a minute whose headers claim a second or less. */
const FORGED: Record<string, [type: string, bytes: Uint8Array<ArrayBuffer>]> = {
  "a WAV that claims 4 GB a second": [
    "audio/wav",
    wav(60, { byteRate: 0xffff_ffff }),
  ],
  "an MP3 whose Info frame claims one frame": [
    "audio/mpeg",
    mp3(60, 64, { claims: 1 }),
  ],
  "a FLAC that claims one sample": [
    "audio/flac",
    flac(60, 300, { claims: 1 }),
  ],
  "a FLAC of silence that claims one sample": [
    "audio/flac",
    flac(60, 20, { claims: 1 }),
  ],
};

for (const [what, [contentType, bytes]] of Object.entries(FORGED)) {
  Deno.test(`budget: ${what} does not exceed the budget: it is not sent`, async () => {
    const stack = running();
    const user = await signUp(stack);
    await setBudget(stack, user, priceOf(59));
    const jobId = await newTranscription(user, bytes, contentType);
    const job = await waitForJob(stack, user, jobId, "failed");
    assertEquals([job.error_code, job.spend], ["budget_exceeded", "none"]);
    assertEquals(await callsOf(stack, jobId), []);
  });
}

Deno.test("budget: a recording of unknown length counts by its size, and the error says so", async () => {
  const stack = running();
  const user = await signUp(stack);
  await setBudget(stack, user, priceOf(99));
  const noise = new Uint8Array(75_000).fill(0x42);
  const jobId = await newTranscription(user, noise, "audio/mpeg");
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals([job.error_code, job.error_message], [
    "budget_exceeded",
    "The job would cost more than the rest of your budget. " +
    "The recording's length could not be read: by its size it counts as 100 s.",
  ]);
});

Deno.test("costs: a recording straight from a browser is estimated by its own packets", async () => {
  const stack = running();
  const user = await signUp(stack);
  const dense = await muxed("webm", "opus", 30, { packetBytes: 300 });
  await setBudget(stack, user, priceOf(29));
  const jobId = await newTranscription(user, dense, "audio/webm;codecs=opus");
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals(job.error_code, "budget_exceeded");
  await setBudget(stack, user, priceOf(30));
  const again = await user.call("retry-ai-job", { body: { job_id: jobId } });
  assertEquals(again.status, 202, JSON.stringify(again.body));
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "submitted");
  const [call] = await callsOf(stack, jobId);
  assertEquals(call?.estimate, priceOf(30));
});
