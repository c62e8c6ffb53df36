/** The demo of the main job: from a recording to a cloned voice, and what a stranger sees of it. */
import { FunctionsHttpError } from "@supabase/supabase-js";
import { z } from "zod";
import {
  type AiJob,
  createAiJobResponseSchema,
  voiceCloneResultSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import { type Stack, startStack } from "../stack/stack.ts";
import { type Client, getJob, invoke, signUp, upload } from "./as-an-app.ts";
import { showProgress } from "./progress-line.ts";
import { indent, say, step } from "./words.ts";

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

/** Shows one voice clone on an ephemeral stack. Throws when anything that it shows is not true. */
export async function showVoiceClone(): Promise<void> {
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
  const { input_url } = await upload(ada.client, {
    bucket: "voice-samples",
    name: "sense-and-sensibility.mp3",
    type: "audio/mpeg",
    bytes: recording,
  });
  step(
    "uploaded",
    `${Math.round(recording.byteLength / 1024)} KiB of speech to ${input_url}`,
  );

  const created = await invoke(ada.client, "create-ai-job", {
    job_type: "voice_clone",
    input_url,
    metadata: {
      voice_name: "Ada's narrator",
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

/** Follows the job's own timeline, so that no step is missed however fast it passes, and answers with the job at its end. */
async function watch(client: Client, jobId: string): Promise<AiJob> {
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
