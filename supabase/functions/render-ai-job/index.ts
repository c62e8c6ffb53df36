/** The Edge Function render-ai-job, with its real dependencies. */
import { createAdminClient } from "@supabase/server/core";
import {
  ownSecretKey,
  readEnv,
  secretsOf,
  supabaseEnv,
} from "../_shared/config/env.ts";
import type { Database } from "../_shared/database.types.ts";
import { createCheckpoints } from "../_shared/jobs/checkpoints.ts";
import { boundedFetch } from "../_shared/platform/bounded-fetch.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { createLogger } from "../_shared/platform/log.ts";
import { STORAGE_TIMEOUT_SECONDS } from "../_shared/storage/object-store.ts";
import { createResumableUploads } from "../_shared/storage/resumable-uploads.ts";
import { createWorkerFunction } from "../_shared/worker/function.ts";
import { createPdfRenderProcessor } from "./pdf-render.ts";

const platform = platformDeps();
const env = readEnv(platform);
const keys = supabaseEnv(env);
const fetch = boundedFetch(
  platform.fetch,
  (url) =>
    url.pathname.startsWith("/storage/")
      ? STORAGE_TIMEOUT_SECONDS
      : env.DB_STATEMENT_TIMEOUT,
);
const supabase = createAdminClient<Database>({
  env: keys,
  supabaseOptions: { global: { fetch } },
});
const log = createLogger(platform, {
  level: env.LOG_LEVEL,
  secrets: secretsOf(env),
  fields: { function: "render-ai-job" },
});
const processors = [
  createPdfRenderProcessor({
    supabase,
    checkpoints: createCheckpoints(supabase),
    uploads: createResumableUploads({
      url: env.SUPABASE_URL,
      secretKey: ownSecretKey(env),
      fetch,
    }),
  }),
];

export default createWorkerFunction("render-ai-job", {
  platform,
  env,
  supabase,
  log,
  processors,
  // A keepsake never reuses an earlier result.
  results: {
    find: () => Promise.resolve(null),
    remember: () => Promise.resolve(),
  },
  concurrency: 1,
  isOneJobPerRequest: true,
});
