// deno-lint-ignore-file no-console -- a program whose purpose is to show something
/**
 * `deno task demo`: the main job on an ephemeral stack, from a recording to a cloned voice, as an app would do it with
 * supabase-js. Exits 0 when everything it shows is true, else 1.
 */
import {
  createClient,
  FunctionsHttpError,
  type SupabaseClient,
} from "@supabase/supabase-js";
import { z } from "zod";
import {
  aiJobSchema,
  createAiJobResponseSchema,
  voiceCloneResultSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import { createUploadUrlResponseSchema } from "../../supabase/functions/_shared/contracts/storage.ts";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import { type Stack, StackError, startStack } from "../stack/stack.ts";
import { showProgress } from "./progress-line.ts";

const RECORDING = new URL(
  "../../tests/fixtures/recordings/speech-24s.mp3",
  import.meta.url,
);

/** How long the job may take before the demo gives up. */
const PATIENCE_MS = 180_000;

const eventDataSchema = z.object({
  progress: z.number().optional(),
  stage: z.string().optional(),
});

type Client = SupabaseClient<Database>;

async function main(): Promise<void> {
  say("Starting the embedded stack: Postgres, Auth, Storage, functions …");
  await using stack = await startStack({ ephemeral: true });
  const elevenLabs = stack.providers.find((provider) =>
    provider.name === "ElevenLabs"
  );
  const isSimulated = elevenLabs?.mode === "simulated";
  say(
    isSimulated
      ? "The AI provider is simulated and costs nothing. Set ELEVENLABS_API_KEY to use the real ElevenLabs."
      : "The AI provider is the real ElevenLabs: this takes one voice slot of your account.",
  );
  if (isSimulated) await slowDownProvider(stack);

  const ada = await signUp(stack, "ada@example.com");
  step("signed up", `ada@example.com, ${ada.userId}`);

  const recording = await Deno.readFile(RECORDING);
  const upload = await invoke(ada.client, "create-upload-url", {
    bucket: "voice-samples",
    file_name: "sense-and-sensibility.mp3",
    content_type: "audio/mpeg",
    size_bytes: recording.byteLength,
  }, createUploadUrlResponseSchema);
  const { error: uploadError } = await ada.client.storage.from(upload.bucket)
    .uploadToSignedUrl(upload.path, upload.token, recording, {
      contentType: "audio/mpeg",
    });
  if (uploadError) throw uploadError;
  step(
    "uploaded",
    `${
      Math.round(recording.byteLength / 1024)
    } KiB of speech to ${upload.input_url}`,
  );

  const created = await invoke(ada.client, "create-ai-job", {
    job_type: "voice_clone",
    input_url: upload.input_url,
    metadata: {
      name: "Ada's narrator",
      description: "A calm reading voice",
      labels: { language: "en" },
      stability: 0.6,
    },
  }, createAiJobResponseSchema);
  step("created", `job ${created.job_id}, ${created.status}`);

  const job = await watch(ada.client, created.job_id);
  const result = voiceCloneResultSchema.parse(job.result_data);
  step("completed", `voice ${result.voice_id}, "${result.voice_name}"`);

  const { data: voices, error: voicesError } = await ada.client.from("voices")
    .select(
      "id,name,provider,provider_voice_id,stability,similarity_boost,job_id,sample_url",
    );
  if (voicesError) throw voicesError;
  say("\nThe job, as get-ai-job answers it:");
  say(indent(JSON.stringify(job, null, 2)));
  say("\nThe row of voices that the same transaction wrote:");
  say(indent(JSON.stringify(voices, null, 2)));
  if (voices.length !== 1 || voices[0]?.provider_voice_id !== result.voice_id) {
    throw new Error("the voice is not there");
  }

  const eve = await signUp(stack, "eve@example.com");
  const { data: jobsSeen } = await eve.client.from("ai_jobs").select("id");
  const { data: voicesSeen } = await eve.client.from("voices").select("id");
  const stranger = await eve.client.functions.invoke(
    `get-ai-job?id=${created.job_id}`,
    { method: "GET" },
  );
  const answer = stranger.error instanceof FunctionsHttpError
    ? stranger.error.context.status
    : 200;
  if (jobsSeen?.length !== 0 || voicesSeen?.length !== 0 || answer !== 404) {
    throw new Error("a stranger sees the job");
  }
  step(
    "private",
    `a second user sees ${jobsSeen.length} jobs, ${voicesSeen.length} voices, and gets ${answer} for this one`,
  );

  say("\nStopping the stack …");
}

/** A simulator answers in a millisecond; a real clone takes seconds. A pause lets the progress line show its steps. */
async function slowDownProvider(stack: Stack): Promise<void> {
  const response = await fetch(`${stack.simulatorUrl}/_control/faults`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      provider: "elevenlabs",
      operation: "voices.add",
      fault: { kind: "delay", ms: 1500 },
    }),
  });
  if (!response.ok) {
    throw new Error(
      `the simulator did not take the delay: ${await response.text()}`,
    );
  }
  await response.body?.cancel();
}

async function signUp(
  stack: Stack,
  email: string,
): Promise<{ client: Client; userId: string }> {
  const client = createClient<Database>(stack.apiUrl, stack.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { data, error } = await client.auth.signUp({
    email,
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  if (data.user === null) throw new Error("the sign-up gave no user");
  return { client, userId: data.user.id };
}

/** Calls a function and checks its answer; a problem document becomes an error that tells what it says. */
async function invoke<T extends z.ZodType>(
  client: Client,
  name: string,
  body: Record<string, unknown>,
  schema: T,
): Promise<z.output<T>> {
  const { data, error } = await client.functions.invoke(name, { body });
  if (error instanceof FunctionsHttpError) {
    throw new Error(`${name}: ${await error.context.text()}`);
  }
  if (error) throw error;
  return schema.parse(data);
}

/** Follows the job's own timeline, so that no step is missed however fast it passes, and answers with the job at its end. */
async function watch(
  client: Client,
  jobId: string,
): Promise<z.infer<typeof aiJobSchema>> {
  const line = showProgress();
  const giveUpAt = Date.now() + PATIENCE_MS;
  let seen = 0;
  try {
    while (Date.now() < giveUpAt) {
      const { data: events, error } = await client.from("ai_job_events")
        .select("seq,event,data").eq("job_id", jobId).gt("seq", seen).order(
          "seq",
        );
      if (error) throw error;
      for (const event of events) {
        seen = event.seq;
        const { progress = 0, stage } = eventDataSchema.parse(event.data);
        line.update(progress, stage ?? event.event);
        if (event.event === "completed") return await getJob(client, jobId);
        if (event.event === "failed") {
          const job = await getJob(client, jobId);
          throw new Error(
            `the job failed: ${job.error_code}, ${job.error_message}`,
          );
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`the job was not finished after ${PATIENCE_MS / 1000} s`);
  } finally {
    line.end();
  }
}

async function getJob(
  client: Client,
  jobId: string,
): Promise<z.infer<typeof aiJobSchema>> {
  const { data, error } = await client.functions.invoke(
    `get-ai-job?id=${jobId}`,
    { method: "GET" },
  );
  if (error) throw error;
  return aiJobSchema.parse(data);
}

function say(text: string): void {
  console.log(text);
}

function step(what: string, text: string): void {
  console.log(`  ${what.padEnd(10)} ${text}`);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "  ");
}

try {
  await main();
} catch (error) {
  console.error(
    `\nThe demo failed. ${
      error instanceof StackError
        ? error.message
        : error instanceof Error
        ? error.stack
        : error
    }`,
  );
  Deno.exit(1);
}
say(
  `Done. Start a stack of your own with: ${
    Deno.env.get("npm_execpath") ? "npx -y deno@2.9.6" : "deno"
  } task start`,
);
