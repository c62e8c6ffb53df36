import { createAdminClient } from "@supabase/server/core";
import { openWorkerCache } from "../_shared/cache/open-cache.ts";
import {
  providerStorageUrl,
  readEnv,
  secretsOf,
  supabaseEnv,
} from "../_shared/config/env.ts";
import type { Database } from "../_shared/database.types.ts";
import { createCallJournal } from "../_shared/jobs/call-journal.ts";
import { boundedFetch } from "../_shared/platform/bounded-fetch.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { createLogger } from "../_shared/platform/log.ts";
import { dIdCallbackUrl } from "../_shared/providers/d-id/webhook.ts";
import { elevenLabsAccess } from "../_shared/providers/elevenlabs/index.ts";
import { createElevenLabsSpeech } from "../_shared/providers/elevenlabs/speech.ts";
import { createElevenLabsTranscripts } from "../_shared/providers/elevenlabs/transcripts.ts";
import { createElevenLabsVoices } from "../_shared/providers/elevenlabs/voices.ts";
import { openAvatarVideos } from "../_shared/providers/index.ts";
import { STORAGE_TIMEOUT_SECONDS } from "../_shared/storage/object-store.ts";
import { createWorkerFunction } from "../_shared/worker/function.ts";
import { createAvatarVideoProcessor } from "./processors/avatar-video.ts";
import { createTextToSpeechProcessor } from "./processors/text-to-speech.ts";
import { createTranscriptionProcessor } from "./processors/transcription.ts";
import { createVoiceCloneProcessor } from "./processors/voice-clone.ts";

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
const processors = [
  createVoiceCloneProcessor({
    supabase,
    voices: createElevenLabsVoices(elevenLabs),
  }),
  createTextToSpeechProcessor({
    supabase,
    speech: createElevenLabsSpeech({ ...elevenLabs, now: platform.now }),
    journal: createCallJournal(supabase),
  }),
  createTranscriptionProcessor({
    supabase,
    transcripts: createElevenLabsTranscripts(elevenLabs),
    waitMaxBytes: env.TRANSCRIPT_WAIT_MAX_BYTES,
    hasWebhook: env.ELEVENLABS_WEBHOOK_SECRET !== undefined,
    storageUrl: providerStorageUrl(env),
    random: platform.random,
  }),
  createAvatarVideoProcessor({
    supabase,
    ...openAvatarVideos({ ...providerDeps, resolveHost: platform.resolveHost }),
    callbackUrl: (jobId) => dIdCallbackUrl(env, jobId),
    random: platform.random,
  }),
];

export default createWorkerFunction("process-ai-job", {
  platform,
  env,
  supabase,
  log,
  processors,
  results: openWorkerCache(env, log),
  concurrency: env.WORKER_CONCURRENCY,
});
