/** The demo of the main job: a cloned voice from a recording, and that another user cannot see it. */
import {
  type CompletedJob,
  type CreatedJob,
  NotFound,
} from "../../client/mod.ts";
import { type Stack, startStack } from "../stack/stack.ts";
import { signUp, upload } from "./as-an-app.ts";
import { printingLogOnFailure } from "./failure-log.ts";
import { showProgress } from "./progress-line.ts";
import { indent, say, step } from "./words.ts";

const RECORDING = new URL(
  "../../tests/fixtures/recordings/speech-24s.mp3",
  import.meta.url,
);

/** Time limit for the job. */
const TIMEOUT_MS = 180_000;

/** Runs one voice clone on an ephemeral stack. Throws when a step fails or a check is false. */
export async function showVoiceClone(): Promise<void> {
  say("Starting the embedded stack: Postgres, Auth, Storage, functions …");
  await using stack = await startStack({
    ephemeral: true,
    bootFunctions: "on-demand",
  });
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
  await printingLogOnFailure(stack, () => cloneVoice(stack));
  say("\nStopping the stack …");
}

async function cloneVoice(stack: Stack): Promise<void> {
  await using ada = await signUp(stack, "ada@example.com");
  step("signed up", `ada@example.com, ${ada.userId}`);

  const recording = await Deno.readFile(RECORDING);
  const input_url = await upload(ada.jobs, {
    bucket: "voice-samples",
    name: "sense-and-sensibility.mp3",
    type: "audio/mpeg",
    bytes: recording,
  });
  step(
    "uploaded",
    `${Math.round(recording.byteLength / 1024)} KiB of speech to ${input_url}`,
  );

  const created = await ada.jobs.create({
    job_type: "voice_clone",
    input_url,
    metadata: {
      voice_name: "Ada's narrator",
      description: "A calm reading voice",
      labels: { language: "en" },
      stability: 0.6,
    },
  });
  step("created", `job ${created.id}, ${created.status}`);

  const { result, ...job } = await follow(created);
  step("completed", `voice ${result.voice_id}, "${result.voice_name}"`);

  const { data: voices, error: voicesError } = await ada.client.from("voices")
    .select(
      "id,name,provider,provider_voice_id,stability,similarity_boost,job_id,sample_url",
    );
  if (voicesError) throw voicesError;
  say("\nThe job, as get-ai-job returns it:");
  say(indent(JSON.stringify(job, null, 2)));
  say("\nThe row of voices that the same transaction wrote:");
  say(indent(JSON.stringify(voices, null, 2)));
  if (voices.length !== 1 || voices[0]?.id !== result.voice_id) {
    throw new Error("the job completed without a voice");
  }

  await using eve = await signUp(stack, "eve@example.com");
  const { data: jobsSeen } = await eve.client.from("ai_jobs").select("id");
  const { data: voicesSeen } = await eve.client.from("voices").select("id");
  const answer = await eve.jobs.get(created.id).catch((error: unknown) =>
    error
  );
  if (
    jobsSeen?.length !== 0 || voicesSeen?.length !== 0 ||
    !(answer instanceof NotFound)
  ) {
    throw new Error("another user can see the job");
  }
  step(
    "private",
    `a second user sees ${jobsSeen.length} jobs, ${voicesSeen.length} voices, and gets 404 for this one`,
  );
}

/** A simulator responds within milliseconds; a real clone takes seconds. The delay makes the steps visible. */
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
      `the simulator refused the delay: ${await response.text()}`,
    );
  }
  await response.body?.cancel();
}

/** Prints each step of a job and returns the ended job. */
async function follow(
  job: CreatedJob<"voice_clone">,
): Promise<CompletedJob<"voice_clone">> {
  const line = showProgress();
  try {
    return await job.wait({
      timeoutMs: TIMEOUT_MS,
      onProgress: ({ progress, stage, status }) =>
        line.update(progress, stage ?? status),
    });
  } finally {
    line.end();
  }
}
