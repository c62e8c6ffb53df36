import { createAdminClient } from "@supabase/server/core";
import {
  ownSecretKey,
  readEnv,
  secretsOf,
  supabaseEnv,
} from "../_shared/config/env.ts";
import type { Database } from "../_shared/database.types.ts";
import { createCheckpoints } from "../_shared/jobs/checkpoints.ts";
import { repeatWrites } from "../_shared/jobs/repeated-writes.ts";
import { createJobRepository } from "../_shared/jobs/repository.ts";
import { createWorker } from "../_shared/jobs/worker.ts";
import { boundedFetch } from "../_shared/platform/bounded-fetch.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { createLogger } from "../_shared/platform/log.ts";
import { STORAGE_TIMEOUT_SECONDS } from "../_shared/storage/object-store.ts";
import { removeLostFiles } from "../_shared/storage/remove-files.ts";
import { createResumableUploads } from "../_shared/storage/resumable-uploads.ts";
import { createHandler } from "./handler.ts";
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
const repository = repeatWrites(
  createJobRepository(supabase, "render-ai-job"),
  // Uneven, so that jobs that lost the database together do not return together.
  (ms) =>
    new Promise((resolve) =>
      setTimeout(resolve, ms * (0.5 + platform.random()))
    ),
);
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
const worker = createWorker({
  platform,
  repository,
  processors: new Map(
    processors.map((processor) => [processor.jobType, processor]),
  ),
  // Nothing that is made here is answered from an earlier result.
  results: {
    find: () => Promise.resolve(null),
    remember: () => Promise.resolve(),
  },
  removeLostFiles: (job) => removeLostFiles(supabase, job),
  concurrency: 1,
  isOneJobPerRequest: true,
  wallClockMs: env.ISOLATE_WALL_CLOCK * 1000,
  onShutdown: platform.onShutdown,
  waitUntil: platform.waitUntil,
  log,
});

export default { fetch: createHandler({ platform, env, repository, worker }) };
