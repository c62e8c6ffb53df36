/** Operators: users whose verified access token has the role `ai_operator` in `app_metadata`. */
import { supabaseEnv } from "../config/env.ts";
import { AppError } from "../failures/app-error.ts";
import { verifyUser } from "./caller.ts";
import {
  type AppDeps,
  createEndpoint,
  type EndpointContext,
} from "./endpoint.ts";

const OPERATOR_ROLE = "ai_operator";

/** A request of an operator. */
export interface OperatorContext extends EndpointContext {
  /** Sent with every call of the database, which checks the role again. */
  operatorId: string;
}

/**
 * Creates the function that identifies the operator who sends a request. `app_metadata` is written by the project
 * alone, never by a user.
 *
 * It throws {AppError} `unauthenticated` without a valid token of a user, `operator_required` without the role.
 */
export function operatorVerifier(
  env: AppDeps["env"],
): (request: Request) => Promise<string> {
  const serverEnv = supabaseEnv(env);
  return async (request) => {
    const { userClaims } = await verifyUser(request, serverEnv);
    if (userClaims.appMetadata?.["role"] !== OPERATOR_ROLE) {
      throw new AppError("operator_required");
    }
    return userClaims.id;
  };
}

/**
 * An endpoint for operators. Guarantees: before it reads anything but the token, the response is 401 `unauthenticated`
 * without a valid one, and 403 `operator_required` for every user without the role.
 */
export function createOperatorEndpoint(
  deps: AppDeps,
  options: { name: string; method: "GET" | "POST" },
  handle: (context: OperatorContext) => Promise<Response>,
): (request: Request) => Promise<Response> {
  const verifyOperator = operatorVerifier(deps.env);
  return createEndpoint(deps, options, async (context) => {
    const operatorId = await verifyOperator(context.request);
    return await handle({
      ...context,
      operatorId,
      log: context.log.with({ operator_id: operatorId }),
    });
  });
}
