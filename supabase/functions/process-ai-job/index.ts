import { createAdminClient } from "@supabase/server/core";
import { openResultCache } from "../_shared/cache/open-cache.ts";
import {
  providerStorageUrl,
  readEnv,
  secretsOf,
  supabaseEnv,
  webhookUrl,
} from "../_shared/config/env.ts";
import type { Database } from "../_shared/database.types.ts";
import { dIdCallbackPath } from "../_shared/http/webhook-signatures.ts";
import { createCallJournal } from "../_shared/jobs/call-journal.ts";
import { boundedFetch } from "../_shared/platform/bounded-fetch.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { createLogger } from "../_shared/platform/log.ts";
import { createDIdTalks } from "../_shared/providers/d-id/talks.ts";
import { createElevenLabsSpeech } from "../_shared/providers/elevenlabs/speech.ts";
import { createElevenLabsTranscripts } from "../_shared/providers/elevenlabs/transcripts.ts";
import { createElevenLabsVoices } from "../_shared/providers/elevenlabs/voices.ts";
import { createHeyGenVideos } from "../_shared/providers/heygen/videos.ts";
import { createResultDownload } from "../_shared/providers/result-download.ts";
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
const elevenLabs = {
  apiKey: env.ELEVENLABS_API_KEY,
  baseUrl: env.ELEVENLABS_BASE_URL,
  timeoutSeconds: env.AI_API_TIMEOUT,
  fetch: platform.fetch,
};
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
    providers: {
      "d-id": createDIdTalks({
        apiKey: env.DID_API_KEY,
        keyEncoding: env.DID_API_KEY_ENCODING,
        baseUrl: env.DID_BASE_URL,
        timeoutSeconds: env.AI_API_TIMEOUT,
        fetch: platform.fetch,
      }),
      heygen: createHeyGenVideos({
        apiKey: env.HEYGEN_API_KEY,
        baseUrl: env.HEYGEN_BASE_URL,
        timeoutSeconds: env.AI_API_TIMEOUT,
        fetch: platform.fetch,
      }),
    },
    results: {
      "d-id": createResultDownload(platform, env.DID_BASE_URL),
      heygen: createResultDownload(platform, env.HEYGEN_BASE_URL),
    },
    callbackUrl: (jobId) => {
      const base = webhookUrl(env);
      const secret = env.DID_WEBHOOK_SECRET;
      return base === undefined || secret === undefined
        ? undefined
        : `${base}/d-id/${dIdCallbackPath(jobId, secret)}`;
    },
    random: platform.random,
  }),
];

export default createWorkerFunction("process-ai-job", {
  platform,
  env,
  supabase,
  log,
  processors,
  results: openResultCache(env, supabase, log),
  concurrency: env.WORKER_CONCURRENCY,
});
