/** metrics: the counters of the database in Prometheus format. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../_shared/database.types.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { CORS_HEADERS } from "../_shared/http/cors.ts";
import { type AppDeps, createEndpoint } from "../_shared/http/endpoint.ts";
import { exposition } from "./exposition.ts";
import { readingSchema } from "./reading.ts";

/** What the handler needs beyond the platform. */
export interface MetricsDeps extends AppDeps {
  /** A client with the secret key, since Prometheus is not a user. */
  supabase: SupabaseClient<Database>;
}

/**
 * GET with `Authorization: Bearer <METRICS_TOKEN>`: Prometheus text. 401 `metrics_token_invalid` for any other token; 404
 * while METRICS_TOKEN is not set. It never names a user or a job.
 */
export function createHandler(
  deps: MetricsDeps,
): (request: Request) => Promise<Response> {
  const { METRICS_TOKEN } = deps.env;
  return createEndpoint(
    deps,
    { name: "metrics", method: "GET" },
    async ({ request, quiet }) => {
      if (METRICS_TOKEN === undefined) throw new AppError("not_found");
      requireToken(request.headers.get("authorization"), METRICS_TOKEN);
      quiet();
      const { data, error } = await deps.supabase.rpc("read_ai_metrics");
      if (error) throw fromDatabaseError(error);
      return new Response(exposition(readingSchema.parse(data)), {
        headers: {
          ...CORS_HEADERS,
          "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
          "Cache-Control": "no-store",
        },
      });
    },
  );
}

/** Compares digests, which always have the same length: timing reveals neither content nor length. */
function requireToken(header: string | null, token: string): void {
  const [, sent = ""] = /^bearer +(\S+)$/i.exec(header ?? "") ?? [];
  if (!timingSafeEqual(digest(sent), digest(token))) {
    throw new AppError("metrics_token_invalid");
  }
}

function digest(text: string) {
  return createHash("sha256").update(text).digest();
}
