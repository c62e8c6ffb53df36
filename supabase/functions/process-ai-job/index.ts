/** The Edge Function process-ai-job, with its real dependencies. */
import { createAdminClient } from "@supabase/server/core";
import { openResultCache } from "../_shared/cache/open-cache.ts";
import {
  providerStorageUrl,
  readEnv,
  secretsOf,
  supabaseEnv,
} from "../_shared/config/env.ts";
import type { Database } from "../_shared/database.types.ts";
import { lazyProcessor } from "../_shared/jobs/lazy-processor.ts";
import { boundedFetch } from "../_shared/platform/bounded-fetch.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { createLogger } from "../_shared/platform/log.ts";
import { elevenLabsAccess } from "../_shared/providers/elevenlabs/access.ts";
import { STORAGE_TIMEOUT_SECONDS } from "../_shared/storage/object-store.ts";
import { createWorkerFunction } from "../_shared/worker/function.ts";

const platform = platformDeps();
const env = readEnv(platform);
const supabase = createAdminClient<Database>({
  env: supabaseEnv(env),
  supabaseOptions: {
    global: {
      fetch: boundedFetch(
        platform.fetch,
        (url) =>
          !url.pathname.startsWith("/storage/")
            ? env.DB_STATEMENT_TIMEOUT
            // An object may be stored while the provider produces it, which lasts as long as the provider takes.
            : /^\/storage\/v1\/object\/(?!info\/|sign\/)/.test(url.pathname)
            ? Math.max(STORAGE_TIMEOUT_SECONDS, env.AI_API_TIMEOUT)
            : STORAGE_TIMEOUT_SECONDS,
      ),
    },
  },
});
const log = createLogger(platform, {
  level: env.LOG_LEVEL,
  secrets: secretsOf(env),
  fields: { function: "process-ai-job" },
});
const providerDeps = {
  env,
  fetch: platform.fetch,
  timeoutSeconds: env.AI_API_TIMEOUT,
};
const elevenLabs = elevenLabsAccess(providerDeps);
// Each type's modules are loaded at its first job: a boot loads none of them.
const processors = [
  lazyProcessor("voice_clone", async () => {
    const { createElevenLabsVoices } = await import(
      "../_shared/providers/elevenlabs/voices.ts"
    );
    const { createVoiceCloneProcessor } = await import(
      "./processors/voice-clone.ts"
    );
    return createVoiceCloneProcessor({
      supabase,
      voices: createElevenLabsVoices(elevenLabs),
    });
  }),
  lazyProcessor("text_to_speech", async () => {
    const { createElevenLabsSpeech } = await import(
      "../_shared/providers/elevenlabs/speech.ts"
    );
    const { createCallJournal } = await import(
      "../_shared/jobs/call-journal.ts"
    );
    const { createTextToSpeechProcessor } = await import(
      "./processors/text-to-speech.ts"
    );
    return createTextToSpeechProcessor({
      supabase,
      speech: createElevenLabsSpeech(elevenLabs),
      journal: createCallJournal(supabase),
    });
  }),
  lazyProcessor("transcription", async () => {
    const { createElevenLabsTranscripts } = await import(
      "../_shared/providers/elevenlabs/transcripts.ts"
    );
    const { createTranscriptionProcessor } = await import(
      "./processors/transcription.ts"
    );
    return createTranscriptionProcessor({
      supabase,
      transcripts: createElevenLabsTranscripts(elevenLabs),
      waitMaxBytes: env.TRANSCRIPT_WAIT_MAX_BYTES,
      hasWebhook: env.ELEVENLABS_WEBHOOK_SECRET !== undefined,
      storageUrl: providerStorageUrl(env),
      random: platform.random,
    });
  }),
  lazyProcessor("avatar_video", async () => {
    const { openAvatarVideos } = await import("../_shared/providers/index.ts");
    const { createAvatarVideoProcessor } = await import(
      "./processors/avatar-video.ts"
    );
    return createAvatarVideoProcessor({
      supabase,
      ...openAvatarVideos({
        ...providerDeps,
        resolveHost: platform.resolveHost,
      }),
      random: platform.random,
    });
  }),
];

export default createWorkerFunction("process-ai-job", {
  platform,
  env,
  supabase,
  log,
  processors,
  results: openResultCache(env, log),
  concurrency: env.WORKER_CONCURRENCY,
});
