/** The result cache in Postgres, used when no Redis is configured. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import type { CacheStore } from "./result-cache.ts";

/**
 * A store on the table `ai_result_cache`. With a caller-scoped client it reads that user's entries and cannot write;
 * with the service's client it does both.
 */
export function createPostgresStore(
  supabase: SupabaseClient<Database>,
): CacheStore {
  return {
    async get(key) {
      const { data, error } = await supabase.rpc("get_ai_result_cache", {
        p_cache_key: key,
      });
      if (error) throw new Error(error.message, { cause: error });
      return data;
    },
    async set(key, value, userId, ttlSeconds) {
      const { error } = await supabase.rpc("put_ai_result_cache", {
        p_cache_key: key,
        p_user_id: userId,
        p_value: value,
        p_ttl_seconds: ttlSeconds,
      });
      if (error) throw new Error(error.message, { cause: error });
    },
  };
}
