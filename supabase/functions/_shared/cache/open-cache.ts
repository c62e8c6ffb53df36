/** The cache that this deployment uses. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Env } from "../config/env.ts";
import type { Database } from "../database.types.ts";
import type { Logger } from "../platform/log.ts";
import { createPostgresStore } from "./postgres-store.ts";
import { createResultCache, type ResultCache } from "./result-cache.ts";
import { createUpstashStore } from "./upstash-store.ts";

/** The result cache on Upstash Redis when UPSTASH_REDIS_REST_URL is set, else on Postgres through `supabase`. */
export function openResultCache(
  env: Env,
  supabase: SupabaseClient<Database>,
  log: Logger,
): ResultCache {
  const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = env;
  const store = url !== undefined && token !== undefined
    ? createUpstashStore({ url, token })
    : createPostgresStore(supabase);
  return createResultCache(store, log);
}
