/** Identifies the caller, and gives the handler a client with exactly the caller's rights. */
import type { SupabaseEnv, UserClaims } from "@supabase/server";
import { createContextClient, verifyAuth } from "@supabase/server/core";
import type { SupabaseClient } from "@supabase/supabase-js";
import { supabaseEnv } from "../config/env.ts";
import type { Database } from "../database.types.ts";
import { AppError } from "../failures/app-error.ts";
import { boundedFetch } from "../platform/bounded-fetch.ts";
import { isAccountGone } from "./account.ts";
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
  /**
   * Call this before an empty response: for a deleted account, "nothing found" would be misleading.
   * @throws {AppError} `account_not_found`.
   */
  requireAccount(): Promise<void>;
}

/** A user whose access token was verified. */
export interface VerifiedUser {
  token: string;
  userClaims: UserClaims;
}

/**
 * Verifies the access token of a request.
 *
 * @throws {AppError} `unauthenticated` when it is absent, expired, forged or not a user's; `internal_error` when tokens
 *   cannot be verified.
 */
export async function verifyUser(
  request: Request,
  env: SupabaseEnv,
): Promise<VerifiedUser> {
  const { data: auth, error } = await verifyAuth(request, {
    auth: "user",
    env,
  });
  if (error) {
    // A 500 here means that no token can be verified, which is not the caller's fault.
    throw new AppError(
      error.status === 401 ? "unauthenticated" : "internal_error",
      { cause: error },
    );
  }
  if (auth.userClaims === null || auth.token === null) {
    throw new AppError("unauthenticated");
  }
  return { token: auth.token, userClaims: auth.userClaims };
}

/**
 * An endpoint for signed-in users. The handler gets the caller-scoped client and no other client.
 *
 * Guarantees: without a valid user token the response is 401 `unauthenticated`, whether the token is absent, expired,
 * forged or an API key; every call of the client ends with the request's budget; when something is not found
 * because the account was deleted, the response is 401 `account_not_found`.
 */
export function createUserEndpoint(
  deps: AppDeps,
  options: { name: string; method: "GET" | "POST" },
  handle: (context: UserContext) => Promise<Response>,
): (request: Request) => Promise<Response> {
  const serverEnv = supabaseEnv(deps.env);
  return createEndpoint(deps, options, async (context) => {
    const { token, userClaims } = await verifyUser(context.request, serverEnv);
    const fetch = boundedFetch(
      deps.platform.fetch,
      deps.env.DB_STATEMENT_TIMEOUT,
      context.signal,
    );
    const supabase = createContextClient<Database>({
      auth: { token },
      env: serverEnv,
      supabaseOptions: { global: { fetch } },
    });
    const requireAccount = async (cause?: unknown) => {
      if (await isAccountGone(deps.env, fetch, token)) {
        throw new AppError("account_not_found", { cause });
      }
    };
    try {
      return await handle({
        ...context,
        userId: userClaims.id,
        supabase,
        requireAccount: () => requireAccount(),
        log: context.log.with({ user_id: userClaims.id }),
      });
    } catch (error) {
      if (isNotFound(error)) await requireAccount(error);
      throw error;
    }
  });
}

function isNotFound(error: unknown): boolean {
  return error instanceof AppError && error.code !== "account_not_found" &&
    error.code.endsWith("not_found");
}
