/** The main job as an app sees it: from a recording to a voice, with only supabase-js. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { encodeHex } from "@std/encoding";
import {
  createAiJobResponseSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import { voiceCloneResultSchema } from "../../supabase/functions/_shared/contracts/voice-clone.ts";
import { createUploadUrlResponseSchema } from "../../supabase/functions/_shared/contracts/storage.ts";
import {
  readRecording,
  requestVoice,
  signUp,
  uploadRecording,
} from "../_support/as-user.ts";
import { useStack } from "../_support/stack.ts";
import {
  timeline,
  waitForEvent,
  waitForJob,
  waitForLog,
} from "../_support/wait-for.ts";

const running = useStack({ env: { LOG_LEVEL: "debug" } });

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return encodeHex(await crypto.subtle.digest("SHA-256", bytes));
}

Deno.test("voice clone: a recording uploaded to a signed URL becomes a voice, with only supabase-js", async () => {
  const stack = running();
  const ada = await signUp(stack);
  const recording = await readRecording("speech-24s.mp3");

  const upload = await ada.client.functions.invoke("create-upload-url", {
    body: {
      bucket: "voice-samples",
      file_name: "Sense & Sensibility.mp3",
      content_type: "audio/mpeg",
      size_bytes: recording.byteLength,
    },
  });
  assertEquals(upload.error, null);
  const { bucket, path, token, input_url } = createUploadUrlResponseSchema
    .parse(upload.data);
  const { error: uploadError } = await ada.client.storage.from(bucket)
    .uploadToSignedUrl(path, token, recording, { contentType: "audio/mpeg" });
  assertEquals(uploadError, null);

  const created = await ada.client.functions.invoke("create-ai-job", {
    body: {
      job_type: "voice_clone",
      input_url,
      metadata: {
        voice_name: "Ada's narrator",
        description: "A calm reading voice",
        labels: { language: "en", accent: "british" },
        stability: 0.6,
        remove_background_noise: true,
      },
    },
  });
  assertEquals(created.error, null);
  assertEquals(created.response?.status, 202);
  const { job_id, status, cached, result_data } = createAiJobResponseSchema
    .parse(created.data);
  assertEquals(
    { status, cached, result_data },
    { status: "pending", cached: false, result_data: null },
  );
  assertStringIncludes(
    created.response?.headers.get("location") ?? "",
    `/functions/v1/get-ai-job?id=${job_id}`,
  );

  const job = await waitForJob(stack, ada, job_id, "completed");
  const result = voiceCloneResultSchema.parse(job.result_data);
  assertEquals(result.voice_name, "Ada's narrator");
  assertEquals(
    {
      progress: job.progress_percentage,
      attempt: job.attempt,
      billable: job.billable_calls,
      provider: job.provider,
      code: job.error_code,
      message: job.error_message,
    },
    {
      progress: 100,
      attempt: 1,
      billable: 1,
      provider: "elevenlabs",
      code: null,
      message: null,
    },
  );

  const { data: voices, error: voicesError } = await ada.client.from("voices")
    .select(
      "id,user_id,job_id,provider,provider_voice_id,name,description,labels,stability,similarity_boost,sample_url",
    );
  assertEquals(voicesError, null);
  assertEquals(voices, [{
    id: result.voice_id,
    user_id: ada.id,
    job_id,
    provider: "elevenlabs",
    provider_voice_id: result.provider_voice_id,
    name: "Ada's narrator",
    description: "A calm reading voice",
    labels: { language: "en", accent: "british" },
    stability: 0.6,
    similarity_boost: 0.75,
    sample_url: input_url,
  }]);

  // Over the Data API, as an app reads the timeline that it shows and resumes from.
  const { data: events } = await ada.client.from("ai_job_events").select(
    "seq,event,data",
  ).eq("job_id", job_id).order("seq");
  assertEquals(
    events?.map(({ seq }) => seq),
    events?.map((_, index) => index + 1),
  );
  assertEquals(events?.map(({ event }) => event), [
    "created",
    "claimed",
    "progress",
    "submitted",
    "settled",
    "completed",
  ]);
  assertEquals(
    (await waitForEvent(stack, job_id, "completed")).flatMap(({ data }) =>
      data["progress"] ?? []
    ),
    [0, 10, 30, 70, 100],
    "progress in the timeline",
  );

  const creations = await stack.simulator.creations();
  assertEquals(creations.length, 1);
  const [creation] = creations;
  assertEquals(creation?.marker, job_id);
  assertEquals(creation?.id, result.provider_voice_id);
  assertEquals(creation?.request.name, "Ada's narrator");
  assertEquals(
    creation?.request.description,
    `A calm reading voice (job:${job_id})`,
  );
  assertEquals(creation?.request.labels, {
    language: "en",
    accent: "british",
  });
  assertEquals(creation?.request.remove_background_noise, true);
  assertEquals(
    creation?.request.files?.map(({ bytes, sha256 }) => ({ bytes, sha256 })),
    [{ bytes: recording.byteLength, sha256: await sha256(recording) }],
    "the provider received the uploaded bytes",
  );
});

Deno.test("voice clone: a row inserted with supabase-js has the same result as create-ai-job", async () => {
  const stack = running();
  const ada = await signUp(stack);
  const input_url = await uploadRecording(ada);
  const metadata = { voice_name: "Without a function", stability: 0.25 };

  const { data: row, error } = await ada.client.from("ai_jobs").insert({
    job_type: "voice_clone",
    input_url,
    metadata,
  }).select("id,status,user_id,provider,max_attempts,input_hash").single();
  assertEquals(error, null);
  assert(row !== null);
  assertEquals(row.status, "pending");
  assertEquals(row.user_id, ada.id);
  const direct = await waitForJob(stack, ada, row.id, "completed");

  // The same through the function, with another object, because an equal job would reuse the result.
  const otherUrl = await uploadRecording(ada);
  const otherId = await requestVoice(ada, otherUrl, metadata);
  const byFunction = await waitForJob(stack, ada, otherId, "completed");

  const shape = (job: typeof direct) => ({
    ...job,
    id: "",
    input_url: "",
    result_data: Object.keys(job.result_data ?? {}).sort(),
    scheduled_at: "",
    created_at: "",
    started_at: "",
    completed_at: "",
    updated_at: "",
    // The function writes the defaults of the parameters; the worker applies the same defaults.
    metadata: {},
  });
  assertEquals(shape(direct), shape(byFunction));
  assertEquals(
    timeline(await waitForEvent(stack, row.id, "completed")),
    timeline(await waitForEvent(stack, otherId, "completed")),
  );
  const { data: voices } = await ada.client.from("voices").select(
    "job_id,name,stability,similarity_boost",
  ).order("created_at");
  assertEquals(
    voices,
    [row.id, otherId].map((job_id) => ({
      job_id,
      name: metadata.voice_name,
      stability: 0.25,
      similarity_boost: 0.75,
    })),
  );
  assertEquals((await stack.simulator.creations(row.id)).length, 1);
});

Deno.test("get-ai-job: the owner gets the current job, before and after it runs", async () => {
  const stack = running();
  const ada = await signUp(stack);
  const input_url = await uploadRecording(ada);
  await stack.simulator.fail({
    fault: { kind: "hang", processed: "after" },
  });
  const jobId = await requestVoice(ada, input_url);
  await stack.simulator.requests("voices.add", { jobId, atLeast: 1 });

  const before = await ada.client.functions.invoke(`get-ai-job?id=${jobId}`, {
    method: "GET",
  });
  assertEquals(before.error, null);
  const { status, progress_percentage, stage, result_data } = before.data;
  assertEquals(
    { status, progress_percentage, stage, result_data },
    {
      status: "processing",
      progress_percentage: 30,
      stage: "calling_provider",
      result_data: null,
    },
  );

  await stack.simulator.release();
  await waitForJob(stack, ada, jobId, "completed");
  const after = await ada.client.functions.invoke(`get-ai-job?id=${jobId}`, {
    method: "GET",
  });
  assertEquals(after.data.status, "completed");
  assertEquals(after.data.output_url, null);
  assertEquals(after.data.output_path, null);
  for (const hidden of ["lease_token", "input_hash", "idempotency_key"]) {
    assert(!(hidden in after.data), hidden);
  }
});

Deno.test("voice clone: a recording removed before its job runs fails it (input_not_found), nothing is sent", async () => {
  const stack = running();
  const ada = await signUp(stack);
  const inputUrl = await uploadRecording(ada);
  await stack.pauseNet();
  const jobId = await requestVoice(ada, inputUrl);
  const { error } = await ada.client.storage.from("voice-samples").remove([
    inputUrl.slice("voice-samples/".length),
  ]);
  assertEquals(error, null);
  await stack.resumeNet();
  const job = await waitForJob(stack, ada, jobId, "failed");
  assertEquals(
    [job.error_code, job.attempt, job.billable_calls],
    ["input_not_found", 1, 0],
  );
  assertEquals(await stack.simulator.requests("voices.add"), []);
});

Deno.test("voice clone: deleting a user during the provider call deletes the job, and the worker continues", async () => {
  const stack = running();
  const ada = await signUp(stack);
  await stack.simulator.fail({ fault: { kind: "hang", processed: "before" } });
  const jobId = await requestVoice(ada, await uploadRecording(ada));
  await stack.simulator.creationsOf(jobId, 1);
  const before = await stack.pids("process-ai-job");

  await stack.sql`delete from auth.users where id = ${ada.id}`;
  await stack.simulator.release();
  await waitForLog(stack, "process-ai-job", {
    job_id: jobId,
    event: "lease_lost",
  });
  const [left] = await stack.sql`
    select (select count(*) from public.ai_jobs where id = ${jobId}) as jobs,
      (select count(*) from public.voices where user_id = ${ada.id}) as voices`;
  assertEquals({ ...left }, { jobs: "0", voices: "0" });

  const bob = await signUp(stack);
  const next = await requestVoice(bob, await uploadRecording(bob));
  await waitForJob(stack, bob, next, "completed");
  assertEquals(await stack.pids("process-ai-job"), before);
});

Deno.test("process-ai-job: writes one JSON log line for each step, with job_id, attempt and request_id", async () => {
  const stack = running();
  const ada = await signUp(stack);
  const jobId = await requestVoice(ada, await uploadRecording(ada));
  await waitForJob(stack, ada, jobId, "completed");
  const lines = await waitForLog(stack, "process-ai-job", { job_id: jobId }, 5);

  const steps = lines.map(({ fields }) => fields?.["event"]);
  assertEquals(steps, [
    "job_started",
    "job_progress",
    "provider_call_sent",
    "provider_call_settled",
    "job_completed",
  ]);
  const ids = new Set(lines.map(({ fields }) => fields?.["request_id"]));
  assertEquals(ids.size, 1, "one dispatch, one request id");
  assertMatch(String([...ids][0]), /^[0-9a-f-]{36}$/);
  for (const { fields, stream } of lines) {
    assertEquals(stream, "stdout");
    assertEquals(fields?.["attempt"], 1);
    assertEquals(fields?.["function"], "process-ai-job");
    assertMatch(String(fields?.["time"]), /^\d{4}-\d\d-\d\dT.*Z$/);
  }
});

Deno.test("logs: no line contains a secret, even if the provider returns one", async () => {
  const stack = running();
  const providerKey = "simulated-by-the-embedded-stack";
  const ada = await signUp(stack);
  await stack.simulator.fail({
    fault: {
      kind: "status",
      status: 400,
      body: {
        detail: {
          code: "x",
          message: `teapot ${providerKey} ${stack.secretKey}`,
        },
      },
    },
  });
  const jobId = await requestVoice(ada, await uploadRecording(ada));
  await waitForJob(stack, ada, jobId, "failed");
  await waitForLog(stack, "process-ai-job", {
    job_id: jobId,
    event: "job_failed",
  });

  const { lines } = await stack.ask("/logs", { source: null });
  const text = lines.map(({ line }) => line).join("\n");
  // The twin: the text around the keys was logged, so the keys would have been too.
  assertStringIncludes(text, "teapot [secret] [secret]");
  assertStringIncludes(text, jobId);
  for (
    const [name, secret] of Object.entries({
      providerKey,
      secretKey: stack.secretKey,
      dispatchSecret: stack.dispatchSecret,
      accessToken: ada.accessToken,
      signature: ada.accessToken.split(".")[2] ?? "",
    })
  ) {
    assert(secret.length > 20, name);
    assert(!text.includes(secret), `a log line holds the ${name}`);
  }
});
