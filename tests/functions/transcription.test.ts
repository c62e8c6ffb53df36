/** Transcripts as an app sees them, and what each failure costs: a recording is sent and paid for once. */
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
import { assertProblem } from "../_support/problem.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { sweepJob, waitForEvent, waitForJob } from "../_support/wait-for.ts";
import { whileTimeoutsAreShort } from "./_support/short-timeout.ts";

const running = useStack();
let sharedUser: TestUser | undefined;

async function newJob(
  metadata: Record<string, unknown> = {},
  options: { by?: TestUser; recording?: Recording } = {},
): Promise<{ user: TestUser; jobId: string; inputUrl: string }> {
  const user = options.by ?? (sharedUser ??= await signUp(running()));
  const inputUrl = await uploadRecording(user, {
    bucket: "recordings",
    recording: options.recording ?? "speech-24s.mp3",
  });
  const answer = await user.call("create-ai-job", {
    body: { job_type: "transcription", input_url: inputUrl, metadata },
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  const { job_id } = createAiJobResponseSchema.parse(answer.body);
  return { user, jobId: job_id, inputUrl };
}

interface Step {
  operation: string;
  outcome: string;
  provider_object_id: string | null;
}

async function facts(stack: TestStack, jobId: string) {
  const journal = await stack.sql<Step>`
    select operation, outcome, provider_object_id from public.ai_provider_calls where job_id = ${jobId} order by sent_at`;
  const sent = await stack.simulator.requests("transcripts", { jobId });
  const paid = await stack.simulator.creations(jobId);
  return { journal, sent: sent.length, paid: paid.map(({ id }) => id) };
}

async function download(user: TestUser, path: string | null): Promise<string> {
  assert(path !== null);
  const { data, error } = await user.client.storage.from("outputs").download(
    path.slice("outputs/".length),
  );
  if (error) throw error;
  return await data.text();
}

Deno.test("transcript: a recording becomes words with times and speakers, and fills its call", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { data: call } = await user.client.from("calls")
    .insert({ title: "Sunday call" }).select("id").single();
  assert(call !== null);
  const { jobId } = await newJob({ call_id: call.id, speaker_count: 2 }, {
    by: user,
  });
  const job = await waitForJob(stack, user, jobId, "completed");

  const result = transcriptionResultSchema.parse(job.result_data);
  assert(result.text.startsWith("And Mister John Dashwood"));
  assertEquals(
    [
      result.speaker_count,
      result.language_code,
      result.is_text_cut,
      result.content_type,
    ],
    [2, "eng", false, "application/json"],
  );
  const file = transcriptFileSchema.parse(
    JSON.parse(await download(user, job.output_url)),
  );
  assertEquals(file.text, result.text);
  assertEquals(file.words.length, result.word_count);
  assertEquals(file.speakers, ["speaker_0", "speaker_1"]);
  assertEquals(file.segments.map(({ text }) => text).join(" "), file.text);

  const { data: filled } = await user.client.from("calls").select(
    "transcript,transcript_data,transcript_job_id,duration_seconds",
  ).eq("id", call.id).single();
  const { text: _, duration_seconds, ...data } = file;
  assertEquals(filled, {
    transcript: result.text,
    transcript_data: data,
    transcript_job_id: jobId,
    duration_seconds: Math.round((duration_seconds ?? 0) * 1000) / 1000,
  });
  const done = await facts(stack, jobId);
  assertEquals([done.paid, done.sent], [[result.provider_transcription_id], 1]);
  assertEquals(
    (await stack.simulator.creations(jobId))[0]?.bytes,
    (await readRecording("speech-24s.mp3")).length,
  );
});

Deno.test("transcript: can be subtitles, also of other kinds of recordings", async () => {
  const stack = running();
  for (
    const recording of ["speech.webm", "speech.m4a", "speech-12s.wav"] as const
  ) {
    const { user, jobId } = await newJob({ output_format: "srt" }, {
      recording,
    });
    const job = await waitForJob(stack, user, jobId, "completed");
    assertEquals(job.output_url, `outputs/${user.id}/${jobId}/transcript.srt`);
    const srt = await download(user, job.output_url);
    assert(/^1\n00:00:00,000 --> 00:00:\d\d,\d{3}\n\w/.test(srt), srt);
  }
});

Deno.test("transcript: another user's call is not found, and nothing is created", async () => {
  const stack = running();
  const owner = await signUp(stack);
  const otherUser = await signUp(stack);
  const { data: call } = await owner.client.from("calls")
    .insert({ title: "Private" }).select("id").single();
  assert(call !== null);
  const input_url = await uploadRecording(otherUser, { bucket: "recordings" });
  for (const call_id of [call.id, crypto.randomUUID()]) {
    const answer = await otherUser.call("create-ai-job", {
      body: { job_type: "transcription", input_url, metadata: { call_id } },
    });
    assertProblem(answer, {
      status: 400,
      code: "call_not_found",
      field: "metadata.call_id",
    });
    const { error } = await otherUser.client.from("ai_jobs").insert({
      user_id: otherUser.id,
      job_type: "transcription",
      input_url,
      metadata: { call_id },
    });
    assertEquals([error?.code, error?.details], ["AJ019", "metadata.call_id"]);
  }
  for (const call_id of [42, null, "x", {}]) {
    const { error } = await otherUser.client.from("ai_jobs").insert({
      user_id: otherUser.id,
      job_type: "transcription",
      input_url,
      metadata: { call_id },
    });
    assertEquals(error?.code, "AJ019");
  }
});

Deno.test("transcript: invalid parameters are named, and change nothing", async () => {
  const user = sharedUser ??= await signUp(running());
  const input_url = await uploadRecording(user, { bucket: "recordings" });
  for (
    const [body, field] of [
      [{}, "input_url"],
      [{ input_url, metadata: { speaker_count: 0 } }, "metadata.speaker_count"],
      [
        { input_url, metadata: { speaker_count: 33 } },
        "metadata.speaker_count",
      ],
      [
        { input_url, metadata: { language_code: "english" } },
        "metadata.language_code",
      ],
      [
        { input_url, metadata: { output_format: "vtt" } },
        "metadata.output_format",
      ],
      [{ input_url, metadata: { call_id: "x" } }, "metadata.call_id"],
      [
        { input_url, metadata: { tag_audio_events: "yes" } },
        "metadata.tag_audio_events",
      ],
      [{ input_url, metadata: { more: 1 } }, "metadata.more"],
    ] as const
  ) {
    const answer = await user.call("create-ai-job", {
      body: { job_type: "transcription", ...body },
    });
    assertProblem(answer, { status: 400, code: "invalid_request", field });
  }
});

Deno.test("transcript: if the call is deleted meanwhile, the paid transcript is kept as the output", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { data: call } = await user.client.from("calls")
    .insert({ title: "Sunday call" }).select("id").single();
  assert(call !== null);
  await stack.simulator.fail({
    operation: "transcripts",
    fault: { kind: "hang", processed: "before" },
  });
  const { jobId } = await newJob({ call_id: call.id }, { by: user });
  await stack.simulator.creationsOf(jobId, 1);
  await user.client.from("calls").delete().eq("id", call.id);
  await stack.simulator.release();
  const job = await waitForJob(stack, user, jobId, "completed");
  transcriptFileSchema.parse(JSON.parse(await download(user, job.output_url)));
});

for (
  const { ending, ...fault } of [
    { kind: "close_after", ending: "provider_unavailable" },
    { kind: "close_in_body", ending: "provider_unavailable" },
    {
      kind: "truncated_json",
      ending: "provider_answer_invalid (HTTP 200)",
    },
    {
      kind: "status",
      status: 500,
      processed: "before",
      ending: "provider_unavailable (HTTP 500)",
    },
    { kind: "hang", processed: "before", ending: "provider_timeout" },
  ]
) {
  Deno.test(`transcript: a lost response (${fault.kind}) parks the job; an operator adds the transcript`, async () => {
    const stack = running();
    await stack.simulator.fail({ operation: "transcripts", fault });
    const lose = async () => {
      const made = await newJob();
      await waitForEvent(stack, made.jobId, "snoozed");
      return made;
    };
    const { user, jobId } = fault.kind === "hang"
      ? await whileTimeoutsAreShort(stack, lose)
      : await lose();
    await sweepJob(stack, jobId);
    const job = await waitForJob(stack, user, jobId, "failed");
    assertEquals([job.error_code, job.spend], ["outcome_unknown", "unknown"]);
    assertEquals(
      job.error_message,
      "It is unknown whether the AI provider did the work; it was not sent again. " +
        `Its call transcribe ended with ${ending}. ` +
        "Last: ElevenLabs keeps no list of transcripts in which this one could be found.",
    );
    const parked = await facts(stack, jobId);
    assertEquals([parked.sent, parked.paid.length], [1, 1]);
    assertEquals(parked.journal.map(({ outcome }) => outcome), ["unknown"]);

    const [id] = parked.paid;
    await stack.sql`select public.resolve_unknown_ai_job(${jobId}, true, ${
      id ?? ""
    })`;
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "completed");
    const done = await facts(stack, jobId);
    assertEquals([done.sent, done.paid.length], [1, 1]);
  });
}

Deno.test("transcript: a worker killed after the provider created it leaves a parked job, not sent again", async () => {
  const stack = running();
  await stack.simulator.fail({
    operation: "transcripts",
    fault: { kind: "hang", processed: "before" },
  });
  const { user, jobId } = await newJob();
  await stack.simulator.creationsOf(jobId, 1);
  await stack.kill("process-ai-job", "SIGKILL");
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() - interval '1 second'
    where id = ${jobId} and status = 'processing'`;
  await stack.sweep();
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals(job.error_code, "outcome_unknown");
  const done = await facts(stack, jobId);
  assertEquals([done.sent, done.paid.length], [1, 1]);
});

for (
  const [error, code] of [
    ["quota_exceeded", "provider_quota_exceeded"],
    ["invalid_api_key", "provider_unauthorized"],
    ["invalid_content", "provider_rejected_input"],
  ] as const
) {
  Deno.test(`transcript: ${error} ends the job with ${code}, and nothing is paid`, async () => {
    const stack = running();
    await stack.simulator.fail({
      operation: "transcripts",
      fault: { kind: "status", error },
    });
    const { user, jobId } = await newJob();
    const job = await waitForJob(stack, user, jobId, "failed");
    assertEquals([job.error_code, job.spend], [code, "none"]);
    assertEquals((await facts(stack, jobId)).paid, []);
  });
}

Deno.test("transcript: a file that is not a recording fails the job, and costs nothing", async () => {
  const stack = running();
  const { user, jobId } = await newJob({}, { recording: "text-named.mp3" });
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals([job.error_code, job.spend], [
    "provider_rejected_input",
    "none",
  ]);
});

Deno.test("transcript: a 429 is retried, and paid for once", async () => {
  const stack = running();
  await stack.simulator.fail({
    operation: "transcripts",
    fault: { kind: "status", error: "system_busy" },
  });
  const { user, jobId } = await newJob();
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const done = await facts(stack, jobId);
  assertEquals(done.journal.map(({ outcome }) => outcome), [
    "rejected",
    "succeeded",
  ]);
  assertEquals(done.paid.length, 1);
});
