/** The Edge Function ops, with its real dependencies. */
import { createAdminClient } from "@supabase/server/core";
import { readEnv, supabaseEnv } from "../_shared/config/env.ts";
import type { Database } from "../_shared/database.types.ts";
import { boundedFetch } from "../_shared/platform/bounded-fetch.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { createHandler } from "./handler.ts";

const platform = platformDeps();
const env = readEnv(platform);
const supabase = createAdminClient<Database>({
  env: supabaseEnv(env),
  supabaseOptions: {
    global: { fetch: boundedFetch(platform.fetch, env.DB_STATEMENT_TIMEOUT) },
  },
});

export default {
  fetch: createHandler({
    platform,
    env,
    supabase,
    async openInventory(provider) {
      // Only an answer to a parked job needs the providers: a boot loads none of them.
      const { PROVIDERS } = await import("../_shared/providers/index.ts");
      return PROVIDERS.find(({ name }) => name === provider)?.openInventory({
        env,
        fetch: platform.fetch,
        timeoutSeconds: Math.min(env.AI_API_TIMEOUT, env.REQUEST_TIMEOUT),
      }) ?? null;
    },
  }),
};
