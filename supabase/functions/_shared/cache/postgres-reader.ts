/** The result cache in Postgres, used when no Redis is configured. The queue's functions write it. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import type { CacheReader } from "./result-cache.ts";

/** Reads the table `ai_result_cache`: with a caller-scoped client that user's entries only. */
export function createPostgresReader(
  supabase: SupabaseClient<Database>,
): CacheReader {
  return {
    async get(key) {
      const { data, error } = await supabase.rpc("get_ai_result_cache", {
        p_cache_key: key,
      });
      if (error) throw new Error(error.message, { cause: error });
      return data;
    },
  };
}
