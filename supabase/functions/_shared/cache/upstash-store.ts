/** The result cache in Upstash Redis, over its REST protocol. */
import { Redis } from "@upstash/redis";
import { CACHE_TIMEOUT_MS, type CacheStore } from "./result-cache.ts";

/**
 * A store on Upstash Redis.
 *
 * Each call is one request: no automatic pipelines and no retries, since a second request would cost more time than
 * the cache saves.
 */
export function createUpstashStore(
  options: { url: string; token: string },
): CacheStore {
  const redis = new Redis({
    url: options.url,
    token: options.token,
    enableAutoPipelining: false,
    enableTelemetry: false,
    retry: { retries: 0 },
    signal: () => AbortSignal.timeout(CACHE_TIMEOUT_MS),
  });
  return {
    get: (key) => redis.get<unknown>(key),
    set: async (key, value, _userId, ttlSeconds) => {
      await redis.set(key, value, { ex: ttlSeconds });
    },
  };
}
