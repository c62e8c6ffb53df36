/** Speech as an app sees it, and what each failure costs: every part is paid for once. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import decode from "@audio/decode";
import { z } from "zod";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import { textToSpeechResultSchema } from "../../supabase/functions/_shared/contracts/text-to-speech.ts";
import { voiceCloneResultSchema } from "../../supabase/functions/_shared/contracts/voice-clone.ts";
import { assertProblem } from "../_support/problem.ts";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  sweepJob,
  waitForEvent,
  waitForJob,
  waitUntil,
} from "../_support/wait-for.ts";
import { whileTimeoutsAreShort } from "./_support/short-timeout.ts";

const ADAM = "pNInz6obpgDQGcFmaJgB";
const running = useStack();
let sharedUser: TestUser | undefined;

/** A text with a marker in each sentence, so that the ledger can be searched for it. */
function textOf(characters = 200): { text: string; marker: string } {
  const marker = crypto.randomUUID();
  let text = `This is ${marker}.`;
  for (let line = 1; text.length < characters; line++) {
    text += ` Sentence ${line} of ${marker}.`;
  }
  return { text, marker };
}

async function newJob(
  metadata: Record<string, unknown>,
  by?: TestUser,
): Promise<{ user: TestUser; jobId: string }> {
  const user = by ?? (sharedUser ??= await signUp(running()));
  const answer = await user.call("create-ai-job", {
    body: {
      job_type: "text_to_speech",
      metadata: { voice_id: ADAM, ...metadata },
    },
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  return { user, jobId: createAiJobResponseSchema.parse(answer.body).job_id };
}

interface Step {
  operation: string;
  outcome: string;
  provider_object_id: string | null;
}

/** The journal of a job, and what the provider charged. */
async function facts(stack: TestStack, jobId: string, marker: string) {
  const journal = await stack.sql<Step>`
    select operation, outcome, provider_object_id from public.ai_provider_calls where job_id = ${jobId} order by sent_at`;
  const [job] = await stack.sql<
    {
      status: string;
      error_code: string | null;
      spend: string;
      attempt: number;
      billable_calls: number;
    }
  >`select status, error_code, spend, attempt, billable_calls from public.ai_jobs where id = ${jobId}`;
  assert(job !== undefined);
  assertEquals(
    job.billable_calls,
    journal.length,
    "every paid call is counted",
  );
  const sent = await stack.simulator.requests("speech", { jobId: marker });
  const paid = await stack.simulator.creations(marker);
  return { ...job, journal, sent: sent.length, paid: paid.map(({ id }) => id) };
}

/** The file of a completed job, fetched from its signed URL and decoded by an independent decoder. */
async function listen(user: TestUser, jobId: string) {
  const { data, error } = await user.client.functions.invoke(
    `get-ai-job?id=${jobId}`,
    { method: "GET" },
  );
  assertEquals(error, null);
  const response = await fetch(data.output_url);
  const bytes = await response.bytes();
  assertEquals(response.headers.get("content-type"), "audio/mpeg");
  const { channelData, sampleRate } = await decode(bytes);
  return {
    bytes: bytes.length,
    seconds: (channelData[0]?.length ?? 0) / sampleRate,
    path: data.output_path,
  };
}

async function filesOf(stack: TestStack, jobId: string): Promise<string[]> {
  const rows = await stack.sql<{ name: string }>`
    select split_part(name, '/', 3) as name from storage.objects
    where bucket_id = 'outputs' and split_part(name, '/', 2) = ${jobId} order by 1`;
  return rows.map(({ name }) => name);
}

async function expireHistoryLag(
  stack: TestStack,
  jobId: string,
): Promise<void> {
  await stack.sql`
    update public.ai_provider_calls
    set sent_at = sent_at - interval '1 hour', unknown_since = unknown_since - interval '1 hour'
    where job_id = ${jobId} and outcome in ('sent', 'unknown')`;
}

Deno.test("speech: a text in the user's own cloned voice becomes an MP3, with only supabase-js", async () => {
  const stack = running();
  const user = await signUp(stack);
  const clone = await requestVoice(user, await uploadRecording(user), {
    stability: 0.3,
  });
  const cloned = await waitForJob(stack, user, clone, "completed");
  const voice = voiceCloneResultSchema.parse(cloned.result_data);

  const { text, marker } = textOf();
  const created = await user.client.functions.invoke("create-ai-job", {
    body: {
      job_type: "text_to_speech",
      metadata: { text, voice_id: voice.voice_id, settings: { speed: 0.9 } },
    },
  });
  assertEquals([created.error, created.response?.status], [null, 202]);
  const { job_id } = createAiJobResponseSchema.parse(created.data);
  const job = await waitForJob(stack, user, job_id, "completed");
  const result = textToSpeechResultSchema.parse(job.result_data);
  assertEquals(job.output_url, `outputs/${user.id}/${job_id}/speech.mp3`);
  assertEquals(
    [result.voice_id, result.character_count, result.part_count, result.model],
    [voice.voice_id, text.length, 1, "eleven_multilingual_v2"],
  );
  const heard = await listen(user, job_id);
  assertEquals(heard.bytes, result.size_bytes);
  assertAlmostEquals(heard.seconds, result.duration_seconds, 0.1);
  assertEquals(await filesOf(stack, job_id), ["speech.mp3"]);

  const [paid, ...more] = await stack.simulator.creations(marker);
  assertEquals(more, []);
  assertEquals(
    [paid?.request["voice_id"], paid?.request["voice_settings"]],
    [voice.provider_voice_id, {
      stability: 0.3,
      similarity_boost: 0.75,
      speed: 0.9,
    }],
  );

  // The same request again costs nothing.
  const again = await user.call("create-ai-job", {
    body: {
      job_type: "text_to_speech",
      metadata: { text, voice_id: voice.voice_id, settings: { speed: 0.9 } },
    },
  });
  assertEquals(
    [again.status, (await stack.simulator.creations(marker)).length],
    [200, 1],
  );
});

Deno.test("speech: another user's voice is not found by either id, and nothing is created", async () => {
  const stack = running();
  const owner = await signUp(stack);
  const otherUser = await signUp(stack);
  const clone = await requestVoice(owner, await uploadRecording(owner));
  await waitForJob(stack, owner, clone, "completed");
  const { data: voice } = await owner.client.from("voices").select(
    "id,provider_voice_id",
  ).single();
  assert(voice !== null);
  const bodies: unknown[] = [];
  for (
    const voice_id of [
      voice.id,
      voice.provider_voice_id,
      crypto.randomUUID(),
      "A".repeat(20),
    ]
  ) {
    const metadata = { text: "Hello.", voice_id };
    const answer = await otherUser.call("create-ai-job", {
      body: { job_type: "text_to_speech", metadata },
    });
    assertProblem(answer, {
      status: 400,
      code: "voice_not_found",
      field: "metadata.voice_id",
    });
    const { request_id: _, ...rest } = z.record(z.string(), z.unknown())
      .parse(answer.body);
    bodies.push(JSON.stringify(rest));
    // A plain insert is checked in the same way.
    const { error } = await otherUser.client.from("ai_jobs").insert({
      user_id: otherUser.id,
      job_type: "text_to_speech",
      metadata,
    });
    assertEquals([error?.code, error?.details], ["AJ018", "metadata.voice_id"]);
  }
  assertEquals(new Set(bodies).size, 1, "the responses are identical");
  const { data: jobs } = await otherUser.client.from("ai_jobs").select("id");
  assertEquals(jobs, []);
});

Deno.test("speech: with a voice that is still being cloned, the job waits for the clone and uses its voice", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { text, marker } = textOf();
  await stack.simulator.fail({ fault: { kind: "hang" } });
  const clone = await requestVoice(user, await uploadRecording(user));
  const answer = await user.call("create-ai-job", {
    body: {
      job_type: "text_to_speech",
      metadata: { text },
      depends_on: clone,
    },
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  const { job_id } = createAiJobResponseSchema.parse(answer.body);
  await stack.simulator.requests("voices.add", { jobId: clone, atLeast: 1 });
  assertEquals(await stack.simulator.creations(marker), []);
  await stack.simulator.release();
  await waitForJob(stack, user, clone, "completed");
  const job = await waitForJob(stack, user, job_id, "completed");
  const { data: voice } = await user.client.from("voices").select(
    "id,provider_voice_id",
  ).single();
  assertEquals(job.result_data?.["voice_id"], voice?.id);
  const [paid] = await stack.simulator.creations(marker);
  assertEquals(paid?.request["voice_id"], voice?.provider_voice_id);

  // Only a clone creates a voice.
  const refused = await user.call("create-ai-job", {
    body: {
      job_type: "text_to_speech",
      metadata: { text },
      depends_on: job_id,
    },
  });
  assertProblem(refused, {
    status: 400,
    code: "metadata_invalid",
    field: "depends_on",
  });
});

Deno.test("speech: a voice that the provider no longer has fails the job; its recording can be cloned again", async () => {
  const stack = running();
  const user = await signUp(stack);
  const recording = await uploadRecording(user);
  const voices = () =>
    stack.sql<{ id: string; provider_voice_id: string; is_missing: boolean }>`
      select id, provider_voice_id, provider_missing_since is not null as is_missing from public.voices
      where user_id = ${user.id} order by created_at`;
  await waitForJob(
    stack,
    user,
    await requestVoice(user, recording),
    "completed",
  );
  const [lost] = await voices();
  assert(lost !== undefined);
  const removed = await fetch(
    `${stack.simulatorUrl}/elevenlabs/v1/voices/${lost.provider_voice_id}`,
    { method: "DELETE", headers: { "xi-api-key": "an operator's" } },
  );
  assertEquals(await removed.json(), { status: "ok" });

  const { text, marker } = textOf();
  const { jobId } = await newJob({ text, voice_id: lost.id }, user);
  const failed = await waitForJob(stack, user, jobId, "failed");
  assertEquals([failed.error_code, failed.error_message], [
    "voice_not_found",
    "The AI provider no longer has this voice. Clone the recording again, and use the new voice.",
  ]);
  assertEquals((await facts(stack, jobId, marker)).paid, []);

  await waitForJob(
    stack,
    user,
    await requestVoice(user, recording),
    "completed",
  );
  const [old, made, ...more] = await voices();
  assertEquals([old?.is_missing, made?.is_missing, more], [true, false, []]);
  const next = await newJob({ text, voice_id: made?.id }, user);
  await waitForJob(stack, user, next.jobId, "completed");
});

Deno.test("speech: invalid parameters are named, and change nothing", async () => {
  const user = sharedUser ??= await signUp(running());
  for (
    const [metadata, field] of [
      [{ voice_id: ADAM }, "metadata.text"],
      [{ voice_id: ADAM, text: "  " }, "metadata.text"],
      [{ voice_id: ADAM, text: "x".repeat(50_001) }, "metadata.text"],
      [{ voice_id: ADAM, text: "a\u0000b" }, "metadata.text"],
      [{ text: "Hello." }, "metadata.voice_id"],
      [{ text: "Hello.", voice_id: "../voices" }, "metadata.voice_id"],
      [
        { text: "Hello.", voice_id: ADAM, model: "eleven_v9" },
        "metadata.model",
      ],
      [
        { text: "Hello.", voice_id: ADAM, output_format: "wav" },
        "metadata.output_format",
      ],
      [
        { text: "Hello.", voice_id: ADAM, settings: { stability: 2 } },
        "metadata.settings.stability",
      ],
      [
        {
          text: "Hello.",
          voice_id: ADAM,
          model: "eleven_v3",
          settings: { stability: 0.4 },
        },
        "metadata.settings.stability",
      ],
      [
        { text: "Hello.", voice_id: ADAM, language_code: "en" },
        "metadata.language_code",
      ],
      [{ text: "Hello.", voice_id: ADAM, seed: -1 }, "metadata.seed"],
      [{ text: "Hello.", voice_id: ADAM, more: 1 }, "metadata.more"],
    ] as const
  ) {
    const answer = await user.call("create-ai-job", {
      body: { job_type: "text_to_speech", metadata },
    });
    assertProblem(answer, { status: 400, code: "invalid_request", field });
  }
});

Deno.test("speech: eleven_v3 uses the nearest stability that it accepts, and the result says which", async () => {
  const stack = running();
  const user = await signUp(stack);
  const clone = await requestVoice(user, await uploadRecording(user), {
    stability: 0.35,
  });
  await waitForJob(stack, user, clone, "completed");
  const { data: voice } = await user.client.from("voices").select("id")
    .single();
  assert(voice !== null);
  for (
    const [model, spokenWith] of [
      ["eleven_v3", 0.5],
      ["eleven_flash_v2_5", 0.35],
    ] as const
  ) {
    const { text, marker } = textOf();
    const { jobId } = await newJob({ text, voice_id: voice.id, model }, user);
    const job = await waitForJob(stack, user, jobId, "completed");
    const { stability } = textToSpeechResultSchema.parse(job.result_data);
    const [paid] = await stack.simulator.creations(marker);
    assertEquals(
      [stability, paid?.request["voice_settings"]],
      [spokenWith, { stability: spokenWith, similarity_boost: 0.75 }],
    );
  }
});

Deno.test("speech: a row with an unsupported stability fails unpaid, and says what is supported", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { text, marker } = textOf();
  const { data, error } = await user.client.from("ai_jobs").insert({
    job_type: "text_to_speech",
    metadata: {
      text,
      voice_id: ADAM,
      model: "eleven_v3",
      settings: { stability: 0.4 },
    },
  }).select("id").single();
  assertEquals(error, null);
  const job = await waitForJob(stack, user, data?.id ?? "", "failed");
  assertEquals(
    [job.error_code, job.error_message, job.spend],
    [
      "metadata_invalid",
      "metadata.settings.stability: must be 0, 0.5, or 1 with eleven_v3",
      "none",
    ],
  );
  assertEquals(await stack.simulator.creations(marker), []);
});

Deno.test("speech: a long text is spoken in parts, each paid for once, and joined into one file", async () => {
  const stack = running();
  const { text, marker } = textOf(7_500);
  const { user, jobId } = await newJob({ text, model: "eleven_v3" });
  const job = await waitForJob(stack, user, jobId, "completed");
  const result = textToSpeechResultSchema.parse(job.result_data);
  assertEquals(result.part_count, 3);
  const paid = await stack.simulator.creations(marker);
  const parts = paid.map(({ request }) => String(request["text"]));
  assertEquals(parts.join(" "), text);
  assert(parts.every((part) => part.endsWith(".")));
  const done = await facts(stack, jobId, marker);
  assertEquals(
    done.journal.map(({ operation, outcome }) => [operation, outcome]),
    [1, 2, 3].map((part) => [`text_to_speech:${part}`, "succeeded"]),
  );
  assertEquals(done.journal.map((step) => step.provider_object_id), done.paid);

  const heard = await listen(user, jobId);
  // As long as the parts together, according to a decoder that counts samples.
  assertAlmostEquals(heard.seconds, result.duration_seconds, 0.2);
  assertAlmostEquals(heard.seconds, text.length / 15, 20);
  assertEquals(await filesOf(stack, jobId), ["speech.mp3"]);
});

Deno.test("speech: a part whose response was lost is fetched from the history, and nothing is sent again", async () => {
  const stack = running();
  const { text, marker } = textOf(7_500);
  await stack.simulator.fail({
    operation: "speech",
    after: 1,
    fault: { kind: "close_after" },
  });
  const { user, jobId } = await newJob({ text, model: "eleven_v3" });
  await waitForEvent(stack, jobId, "snoozed");
  const doubt = await facts(stack, jobId, marker);
  assertEquals([doubt.sent, doubt.paid.length], [2, 2]);
  assertEquals(doubt.journal.map(({ outcome }) => outcome), [
    "succeeded",
    "unknown",
  ]);

  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const done = await facts(stack, jobId, marker);
  assertEquals(done.journal.map(({ outcome }) => outcome), [
    "succeeded",
    "adopted",
    "succeeded",
  ]);
  assertEquals(done.journal.map((step) => step.provider_object_id), done.paid);
  assertEquals([done.sent, done.paid.length], [3, 3]);
  await listen(user, jobId);
});

Deno.test("speech: the job waits for a history that lags", async () => {
  const stack = running();
  const { text, marker } = textOf();
  await stack.simulator.set({ history_lag_ms: 45_000 });
  await stack.simulator.fail({
    operation: "speech",
    fault: { kind: "close_after" },
  });
  const { user, jobId } = await newJob({ text });
  for (const nth of [1, 2]) {
    await waitForEvent(stack, jobId, "snoozed", { nth });
    await sweepJob(stack, jobId);
  }
  await waitForEvent(stack, jobId, "snoozed", { nth: 3 });
  await stack.simulator.advanceClock(46_000);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const done = await facts(stack, jobId, marker);
  assertEquals([done.sent, done.paid.length], [1, 1]);
});

Deno.test("speech: a part that was never created is sent again only when the history is conclusive", async () => {
  const stack = running();
  const { text, marker } = textOf();
  await stack.simulator.fail({
    operation: "speech",
    fault: { kind: "close_before" },
  });
  const { user, jobId } = await newJob({ text });
  await waitForEvent(stack, jobId, "snoozed");
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
  assertEquals((await facts(stack, jobId, marker)).sent, 1);
  await expireHistoryLag(stack, jobId);
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const done = await facts(stack, jobId, marker);
  assertEquals([done.sent, done.paid.length], [2, 1]);
  assertEquals(done.journal.map(({ outcome }) => outcome), [
    "absent",
    "succeeded",
  ]);
});

Deno.test("speech: two jobs whose equal speeches were lost adopt two speeches, not the same one", async () => {
  const stack = running();
  const { text, marker } = textOf();
  await stack.simulator.fail({
    operation: "speech",
    times: 2,
    fault: { kind: "close_after" },
  });
  const jobs = [
    await newJob({ text }),
    await newJob({ text }, await signUp(stack)),
  ];
  for (const { jobId } of jobs) await waitForEvent(stack, jobId, "snoozed");
  // Both read the history before either has adopted anything.
  await stack.simulator.fail({
    operation: "history.list",
    times: 2,
    fault: { kind: "delay", ms: 2000 },
  });
  await Promise.all(jobs.map(({ jobId }) => sweepJob(stack, jobId)));
  await Promise.all(
    jobs.map(({ jobId }) =>
      waitForEvent(stack, jobId, ["completed", "snoozed"], { nth: 2 })
    ),
  );
  await waitUntil("both jobs are completed", async () => {
    for (const { jobId } of jobs) await sweepJob(stack, jobId);
    const [row] = await stack.sql<{ n: number }>`
      select count(*)::integer as n from public.ai_jobs
      where id = any (${
      jobs.map(({ jobId }) => jobId)
    }) and status = 'completed'`;
    return row?.n === 2;
  });
  const adopted = new Set<string | null | undefined>();
  for (const { jobId } of jobs) {
    const { journal, paid, sent } = await facts(stack, jobId, marker);
    assertEquals([paid.length, sent], [2, 2]);
    assertEquals(journal.map(({ outcome }) => outcome), ["adopted"]);
    adopted.add(journal[0]?.provider_object_id);
  }
  assertEquals(adopted.size, 2, "no call has the result of the other");
});

Deno.test("speech: an equal text of another job is not adopted for a call that created nothing", async () => {
  const stack = running();
  const { text, marker } = textOf();
  const earlier = await newJob({ text });
  await waitForJob(stack, earlier.user, earlier.jobId, "completed");
  await stack.simulator.fail({
    operation: "speech",
    fault: { kind: "close_before" },
  });
  // Another seed, so that no cached result is reused; the history cannot distinguish the two.
  const { jobId } = await newJob({ text, seed: 1 });
  await waitForEvent(stack, jobId, "snoozed");
  await expireHistoryLag(stack, jobId);
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "completed");
  const done = await facts(stack, jobId, marker);
  assertEquals(done.journal.map(({ outcome }) => outcome), [
    "absent",
    "succeeded",
  ]);
  assertEquals(done.paid.length, 2, "one for each job");
  assertEquals(done.journal.at(-1)?.provider_object_id, done.paid[1]);
});

for (
  const fault of [
    { kind: "close_in_body" },
    { kind: "delay_body", ms: 60_000 },
  ]
) {
  Deno.test(`speech: sound that is lost in transfer (${fault.kind}) comes from the history, not paid for again`, async () => {
    const stack = running();
    const { text, marker } = textOf();
    await stack.simulator.fail({ operation: "speech", fault });
    const lose = async () => {
      const made = await newJob({ text });
      await waitForEvent(stack, made.jobId, "retried");
      return made;
    };
    const { user, jobId } = fault.kind === "delay_body"
      ? await whileTimeoutsAreShort(stack, lose)
      : await lose();
    const lost = await facts(stack, jobId, marker);
    assertEquals(
      [lost.journal[0]?.outcome, lost.spend, lost.error_code],
      ["succeeded", "incurred", "output_invalid"],
    );
    assertEquals(await filesOf(stack, jobId), [], "no partial file is stored");
    await sweepJob(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");
    const done = await facts(stack, jobId, marker);
    assertEquals([done.sent, done.paid.length], [1, 1]);
    await listen(user, jobId);
  });
}

Deno.test("speech: lost sound that is not in the history fails the job, and is never paid for again", async () => {
  const stack = running();
  const { text, marker } = textOf();
  await stack.simulator.set({ keeps_history: false });
  await stack.simulator.fail({
    operation: "speech",
    fault: { kind: "close_in_body" },
  });
  const { user, jobId } = await newJob({ text });
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  // While the history may lag, no attempt is spent.
  await waitForEvent(stack, jobId, "snoozed");
  await stack.sql`
    update public.ai_provider_calls set settled_at = settled_at - interval '10 minutes' where job_id = ${jobId}`;
  await sweepJob(stack, jobId);
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals([job.error_code, job.spend], [
    "provider_unavailable",
    "incurred",
  ]);
  const done = await facts(stack, jobId, marker);
  assertEquals([done.sent, done.paid.length], [1, 1]);
});

Deno.test("speech: a history that refuses access parks the job", async () => {
  const stack = running();
  const { text, marker } = textOf();
  await stack.simulator.fail(
    { operation: "speech", fault: { kind: "close_after" } },
    {
      operation: "history.list",
      times: null,
      fault: { kind: "status", error: "needs_authorization" },
    },
  );
  const { user, jobId } = await newJob({ text });
  await waitForEvent(stack, jobId, "snoozed");
  await sweepJob(stack, jobId);
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals([job.error_code, job.spend], ["outcome_unknown", "unknown"]);
  // The operator has checked the history: the job continues without paying again.
  await stack.simulator.clearFaults();
  const [id] = (await facts(stack, jobId, marker)).paid;
  await stack.sql`select public.resolve_unknown_ai_job(${jobId}, true, ${
    id ?? ""
  })`;
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "completed");
  const done = await facts(stack, jobId, marker);
  assertEquals([done.sent, done.paid.length], [1, 1]);
});

for (
  const [error, code] of [
    ["quota_exceeded", "provider_quota_exceeded"],
    ["voice_not_found", "voice_not_found"],
    ["max_character_limit_exceeded", "provider_rejected_input"],
    ["invalid_api_key", "provider_unauthorized"],
  ] as const
) {
  Deno.test(`speech: ${error} ends the job with ${code}, and nothing is paid`, async () => {
    const stack = running();
    const { text, marker } = textOf();
    await stack.simulator.fail({
      operation: "speech",
      fault: { kind: "status", error },
    });
    const { user, jobId } = await newJob({ text });
    const job = await waitForJob(stack, user, jobId, "failed");
    assertEquals([job.error_code, job.spend], [code, "none"]);
    assertEquals((await facts(stack, jobId, marker)).paid, []);
  });
}

Deno.test("speech: a 429 is retried, and paid for once", async () => {
  const stack = running();
  const { text, marker } = textOf();
  await stack.simulator.fail({
    operation: "speech",
    fault: { kind: "status", error: "system_busy" },
  });
  const { user, jobId } = await newJob({ text });
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const done = await facts(stack, jobId, marker);
  assertEquals(done.journal.map(({ outcome }) => outcome), [
    "rejected",
    "succeeded",
  ]);
  assertEquals(done.paid.length, 1);
});

for (const processed of ["before", "never"] as const) {
  Deno.test(`speech: after a worker is killed in part two (processed ${processed}), each part is paid for once`, async () => {
    const stack = running();
    const { text, marker } = textOf(7_500);
    await stack.simulator.fail({
      operation: "speech",
      after: 1,
      fault: { kind: "hang", processed },
    });
    const { user, jobId } = await newJob({ text, model: "eleven_v3" });
    await stack.simulator.requests("speech", { jobId: marker, atLeast: 2 });
    if (processed === "before") await stack.simulator.creationsOf(marker, 2);
    await stack.kill("process-ai-job", "SIGKILL");
    await stack.sql`
      update public.ai_jobs set lease_expires_at = now() - interval '1 second'
      where id = ${jobId} and status = 'processing'`;
    await stack.sweep();
    if (processed === "never") {
      await waitForEvent(stack, jobId, "snoozed");
      await expireHistoryLag(stack, jobId);
      await sweepJob(stack, jobId);
      await waitForEvent(stack, jobId, "retried");
      await sweepJob(stack, jobId);
    }
    await waitForJob(stack, user, jobId, "completed");
    const done = await facts(stack, jobId, marker);
    assertEquals(done.paid.length, 3);
    assertEquals(
      done.journal.map(({ operation, outcome }) => `${operation} ${outcome}`)
        .sort(),
      processed === "before"
        ? [
          "text_to_speech:1 succeeded",
          "text_to_speech:2 adopted",
          "text_to_speech:3 succeeded",
        ]
        : [
          "text_to_speech:1 succeeded",
          "text_to_speech:2 absent",
          "text_to_speech:2 succeeded",
          "text_to_speech:3 succeeded",
        ],
    );
    await listen(user, jobId);
  });
}
