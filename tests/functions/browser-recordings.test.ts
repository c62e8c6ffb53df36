/** Recordings as browsers and phones make them: Blobs whose type has parameters or another name, or none at all. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import { createUploadUrlResponseSchema } from "../../supabase/functions/_shared/contracts/storage.ts";
import {
  type FunctionAnswer,
  readRecording,
  type Recording,
  signUp,
  type TestUser,
} from "../_support/as-user.ts";
import { assertProblem, problemSchema } from "../_support/problem.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";

const running = useStack();

/** The types that MediaRecorder and file pickers report, and the type under which each is stored. */
const REPORTED: [recording: Recording, type: string, canonical: string][] = [
  ["speech.webm", "audio/webm;codecs=opus", "audio/webm"],
  ["speech.m4a", "audio/mp4;codecs=mp4a.40.2", "audio/mp4"],
  ["speech.ogg", "audio/ogg; codecs=opus", "audio/ogg"],
  ["speech.ogg", "audio/opus", "audio/ogg"],
  ["speech.m4a", "audio/x-m4a", "audio/mp4"],
  ["speech-12s.wav", "audio/vnd.wave", "audio/wav"],
  ["speech-24s.mp3", "audio/mp3", "audio/mpeg"],
];

async function requestUpload(
  user: TestUser,
  file: File,
): Promise<ReturnType<typeof createUploadUrlResponseSchema.parse>> {
  const { data, error } = await user.client.functions.invoke(
    "create-upload-url",
    {
      body: {
        bucket: "voice-samples",
        file_name: file.name,
        content_type: file.type,
        size_bytes: file.size,
      },
    },
  );
  assertEquals(error, null, file.type);
  return createUploadUrlResponseSchema.parse(data);
}

async function cloneFrom(user: TestUser, inputUrl: string): Promise<string> {
  const { data, error } = await user.client.functions.invoke("create-ai-job", {
    body: {
      job_type: "voice_clone",
      input_url: inputUrl,
      metadata: { voice_name: "A voice" },
    },
  });
  assertEquals(error, null);
  return createAiJobResponseSchema.parse(data).job_id;
}

function detailOf(answer: FunctionAnswer, code: string, field: string): string {
  assertProblem(answer, { status: 400, code, field });
  return problemSchema.parse(answer.body).detail;
}

Deno.test("browser recordings: a File with the type of MediaRecorder becomes a voice", async () => {
  const stack = running();
  const user = await signUp(stack);
  for (const [recording, type, canonical] of REPORTED) {
    const file = new File([await readRecording(recording)], recording, {
      type,
    });
    const upload = await requestUpload(user, file);
    assertEquals(upload.content_type, canonical);
    const { error } = await user.client.storage.from(upload.bucket)
      .uploadToSignedUrl(upload.path, upload.token, file, {
        contentType: file.type,
      });
    assertEquals(error, null, type);

    const { data: row, error: refused } = await user.client.from("media")
      .insert({
        user_id: user.id,
        media_type: "audio",
        storage_path: upload.input_url,
        file_name: file.name,
        content_type: file.type,
        size_bytes: file.size,
      }).select("content_type").single();
    assertEquals(refused, null, type);
    assertEquals(row?.content_type, canonical);

    const jobId = await cloneFrom(user, upload.input_url);
    await waitForJob(stack, user, jobId, "completed");
  }
});

Deno.test("browser recordings: raw bytes of such a type, and a Blob without an upload URL, are accepted", async () => {
  const stack = running();
  const user = await signUp(stack);
  for (const [recording, type] of REPORTED) {
    const bytes = await readRecording(recording);
    const file = new File([bytes], recording, { type });
    const upload = await requestUpload(user, file);
    // As React Native sends files: raw bytes, and the type in a header.
    const raw = await user.client.storage.from(upload.bucket)
      .uploadToSignedUrl(upload.path, upload.token, bytes, {
        contentType: type,
      });
    assertEquals(raw.error, null, type);
    const direct = await user.client.storage.from("voice-samples").upload(
      `${user.id}/${crypto.randomUUID()}/${recording}`,
      new Blob([bytes], { type }),
    );
    assertEquals(direct.error, null, type);
    const { data, error } = await user.client.from("ai_jobs").insert({
      job_type: "voice_clone",
      input_url: upload.input_url,
      metadata: { voice_name: "A voice" },
    }).select("status").single();
    assertEquals(error, null, type);
    assertEquals(data?.status, "pending");
  }
});

Deno.test("create-upload-url: for a file without a type the response names the type to send", async () => {
  const user = await signUp(running());
  for (const type of ["", "application/octet-stream"]) {
    const answer = await user.call("create-upload-url", {
      body: {
        bucket: "voice-samples",
        file_name: "Memo 12.m4a",
        content_type: type,
        size_bytes: 1,
      },
    });
    const detail = detailOf(answer, "file_type_not_allowed", "content_type");
    assertStringIncludes(detail, "Send audio/mp4 for this file");
    assertStringIncludes(detail, 'type: "audio/mp4"');
  }
});

Deno.test("create-upload-url: a refused type or size is named, with what the bucket accepts", async () => {
  const user = await signUp(running());
  const ask = (change: Record<string, unknown>) =>
    user.call("create-upload-url", {
      body: {
        bucket: "voice-samples",
        file_name: "a",
        content_type: "audio/mpeg",
        size_bytes: 1,
        ...change,
      },
    });
  const type = detailOf(
    await ask({ content_type: "audio/midi; version=1" }),
    "file_type_not_allowed",
    "content_type",
  );
  assertStringIncludes(type, "audio/midi");
  assertStringIncludes(type, "audio/webm");
  const size = detailOf(
    await ask({ size_bytes: 10_485_761 }),
    "file_size_not_allowed",
    "size_bytes",
  );
  assertStringIncludes(size, "10485761");
  assertStringIncludes(size, "10485760");
  assert((await ask({})).status === 201);
});
