/** The Edge Function janitor, with its real dependencies. */
import { createAdminClient } from "@supabase/server/core";
import { ownSecretKey, readEnv, supabaseEnv } from "../_shared/config/env.ts";
import type { Database } from "../_shared/database.types.ts";
import { dataApi } from "../_shared/database/rpc.ts";
import { boundedFetch } from "../_shared/platform/bounded-fetch.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { openInventories } from "../_shared/providers/index.ts";
import { createResumableUploads } from "../_shared/storage/resumable-uploads.ts";
import { endAbandonedUploads } from "./abandoned-uploads.ts";
import { createHandler } from "./handler.ts";
import { createJanitorRepository } from "./repository.ts";
import { runJanitor } from "./run.ts";

/** After this part of the isolate's life, nothing is started. */
const WORK_UNTIL = 0.8;
/** Time for one provider call: lists and deletions are quick, and a lease lasts two minutes. */
const CALL_SECONDS = 20;

const platform = platformDeps();
const env = readEnv(platform);
const boundFetch = boundedFetch(platform.fetch, env.DB_STATEMENT_TIMEOUT);
const supabase = createAdminClient<Database>({
  env: supabaseEnv(env),
  supabaseOptions: { global: { fetch: boundFetch } },
});
const uploads = createResumableUploads({
  url: env.SUPABASE_URL,
  secretKey: ownSecretKey(env),
  fetch: boundFetch,
});
const repository = createJanitorRepository(dataApi(supabase));
const inventories = openInventories({
  env,
  fetch: platform.fetch,
  timeoutSeconds: Math.min(env.AI_API_TIMEOUT, CALL_SECONDS),
});
const shutdown = new AbortController();
platform.onShutdown((reason) => shutdown.abort(new Error(reason)));

export default {
  fetch: createHandler({
    platform,
    env,
    repository,
    async run(log) {
      const hasTime = () =>
        !shutdown.signal.aborted &&
        platform.uptimeMs() < env.ISOLATE_WALL_CLOCK * 1000 * WORK_UNTIL;
      const { signal } = shutdown;
      await endAbandonedUploads({ repository, uploads, hasTime, signal, log });
      return await runJanitor({
        repository,
        supabase,
        inventories,
        hasTime,
        signal,
        log,
      });
    },
  }),
};
