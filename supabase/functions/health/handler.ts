/** health: public status of job processing, with details for operators. */
import type { SupabaseClient } from "@supabase/supabase-js";
import {
  type HealthDetails,
  healthDetailsSchema,
} from "../_shared/contracts/ops.ts";
import type { Database } from "../_shared/database.types.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { type AppDeps, createEndpoint } from "../_shared/http/endpoint.ts";
import { operatorVerifier } from "../_shared/http/operator.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import type { Logger } from "../_shared/platform/log.ts";

/** How long a result is cached: an isolate queries the database once in this time, for any number of requests. */
const CACHE_MS = 5_000;

/** What the handler needs beyond the platform. */
export interface HealthDeps extends AppDeps {
  /** A client with the secret key, since callers are anonymous. */
  supabase: SupabaseClient<Database>;
}

interface Reading {
  readAt: number;
  status: Promise<HealthDetails["status"]>;
}

/**
 * GET: 200 `{status: "ok" | "degraded"}` while jobs make progress, 503 `{status: "failing"}` when they do not or the database does not
 * respond. With an operator's token, whose role the database checks, the response includes every check.
 */
export function createHandler(
  deps: HealthDeps,
): (request: Request) => Promise<Response> {
  const { platform, supabase } = deps;
  const verifyOperator = operatorVerifier(deps.env);
  let last: Reading | undefined;

  const readStatus = async (
    log: Logger,
  ): Promise<HealthDetails["status"]> => {
    try {
      const { data, error } = await supabase.rpc("read_ai_health");
      if (error) throw fromDatabaseError(error);
      return healthDetailsSchema.parse(data).status;
    } catch (error) {
      log.error("health_unreadable", { error });
      return "failing";
    }
  };
  const currentStatus = (log: Logger) => {
    const now = platform.uptimeMs();
    if (last === undefined || now - last.readAt >= CACHE_MS) {
      last = { readAt: now, status: readStatus(log) };
    }
    return last.status;
  };
  const readDetails = async (
    request: Request,
  ): Promise<HealthDetails | undefined> => {
    if (!request.headers.has("authorization")) return undefined;
    try {
      const operatorId = await verifyOperator(request);
      const { data, error } = await supabase.rpc("ops_overview", {
        p_operator_id: operatorId,
      });
      if (error) throw fromDatabaseError(error);
      return healthDetailsSchema.parse(data);
    } catch (error) {
      // Other users get the public response.
      if (error instanceof AppError) return undefined;
      throw error;
    }
  };

  return createEndpoint(
    deps,
    { name: "health", method: "GET" },
    async ({ request, log, quiet }) => {
      quiet();
      const details = await readDetails(request);
      const status = details?.status ?? await currentStatus(log);
      return jsonResponse(details ?? { status }, {
        status: status === "failing" ? 503 : 200,
      });
    },
  );
}
