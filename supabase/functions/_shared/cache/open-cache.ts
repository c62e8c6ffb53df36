/** The result cache that this deployment uses: Upstash Redis when UPSTASH_REDIS_REST_URL is set, else Postgres. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Env } from "../config/env.ts";
import type { Database } from "../database.types.ts";
import type { Logger } from "../platform/log.ts";
import { createPostgresReader } from "./postgres-reader.ts";
import {
  createCacheLookup,
  createResultCache,
  type ResultCache,
} from "./result-cache.ts";
import { createUpstashStore } from "./upstash-store.ts";

/** The cache for reading, with the rights of `supabase`. */
export function openResultCache(
  env: Env,
  supabase: SupabaseClient<Database>,
  log: Logger,
): Pick<ResultCache, "find"> {
  return openUpstash(env, log) ??
    createCacheLookup(createPostgresReader(supabase), log);
}

/** The cache for a worker. `"database"`: the queue's own functions read and write it. */
export function openWorkerCache(
  env: Env,
  log: Logger,
): ResultCache | "database" {
  return openUpstash(env, log) ?? "database";
}

function openUpstash(env: Env, log: Logger): ResultCache | undefined {
  const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = env;
  return url === undefined || token === undefined
    ? undefined
    : createResultCache(createUpstashStore({ url, token }), log);
}
