/** Who calls, and a client that can do what they can and nothing more. */
import { createContextClient, verifyAuth } from "@supabase/server/core";
import type { SupabaseClient } from "@supabase/supabase-js";
import { supabaseEnv } from "../config/env.ts";
import type { Database } from "../database.types.ts";
import { AppError } from "../errors.ts";
import { boundedFetch } from "../platform/bounded-fetch.ts";
import {
  type AppDeps,
  createEndpoint,
  type EndpointContext,
} from "./endpoint.ts";

/** A request of a signed-in user. */
export interface UserContext extends EndpointContext {
  userId: string;
  /** Acts as the user: Row Level Security and the Storage policies decide what it can do. */
  supabase: SupabaseClient<Database>;
}

/**
 * An endpoint for signed-in users. The handler gets the caller-scoped client and no other.
 *
 * Guarantees: without a valid user token the answer is 401 `unauthenticated`, whether the token is absent, expired,
 * forged or an API key; every call of the client ends with the request's budget.
 */
export function createUserEndpoint(
  deps: AppDeps,
  options: { name: string; method: "GET" | "POST" },
  handle: (context: UserContext) => Promise<Response>,
): (request: Request) => Promise<Response> {
  const serverEnv = supabaseEnv(deps.env);
  return createEndpoint(deps, options, async (context) => {
    const { data: auth, error } = await verifyAuth(context.request, {
      auth: "user",
      env: serverEnv,
    });
    if (error) {
      // A 500 here means that we cannot verify anybody; that must not look like the caller's fault.
      throw new AppError(
        error.status === 401 ? "unauthenticated" : "internal_error",
        { cause: error },
      );
    }
    if (auth.userClaims === null || auth.token === null) {
      throw new AppError("unauthenticated");
    }
    const supabase = createContextClient<Database>({
      auth: { token: auth.token },
      env: serverEnv,
      supabaseOptions: {
        global: {
          fetch: boundedFetch(
            deps.platform.fetch,
            deps.env.DB_STATEMENT_TIMEOUT,
            context.signal,
          ),
        },
      },
    });
    return await handle({
      ...context,
      userId: auth.userClaims.id,
      supabase,
      log: context.log.with({ user_id: auth.userClaims.id }),
    });
  });
}
