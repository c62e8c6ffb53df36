/** The result cache that this deployment uses: Upstash Redis when UPSTASH_REDIS_REST_URL is set, else Postgres. */
import type { Env } from "../config/env.ts";
import type { Logger } from "../platform/log.ts";
import {
  type CacheStore,
  createResultCache,
  type ResultCache,
} from "./result-cache.ts";

/** The cache in Redis. `"database"`: the queue's own functions read and write it. */
export function openResultCache(
  env: Env,
  log: Logger,
): ResultCache | "database" {
  const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = env;
  return url === undefined || token === undefined
    ? "database"
    : createResultCache(upstashStore({ url, token }), log);
}

/** The store on Upstash, whose client is imported at the first call, because most deployments never need it. */
function upstashStore(access: { url: string; token: string }): CacheStore {
  let opening: Promise<CacheStore> | undefined;
  const open = () => opening ??= openUpstashStore(access);
  return {
    get: async (key) => await (await open()).get(key),
    set: async (...entry) => await (await open()).set(...entry),
  };
}

async function openUpstashStore(
  access: { url: string; token: string },
): Promise<CacheStore> {
  const { createUpstashStore } = await import("./upstash-store.ts");
  return createUpstashStore(access);
}
