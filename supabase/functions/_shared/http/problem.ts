/** Responses: JSON for success, RFC 9457 problem documents for errors. */
import { AppError, type FieldError } from "../failures/app-error.ts";
import { CORS_HEADERS } from "./cors.ts";

/** The error response: RFC 9457 with our `code`, the invalid fields, and the request id to find it in the log. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: readonly FieldError[];
  request_id: string;
}

/** A JSON response. `null` members are kept; nothing may be cached, since every response belongs to one user. */
export function jsonResponse(
  body: unknown,
  init: { status?: number; headers?: Record<string, string> } = {},
): Response {
  return Response.json(body, {
    status: init.status ?? 200,
    headers: { ...CORS_HEADERS, "Cache-Control": "no-store", ...init.headers },
  });
}

/**
 * The problem document of an error. An error that is not an {@link AppError} becomes `internal_error`: its message
 * belongs in the log, not in a response.
 */
export function problemResponse(
  error: unknown,
  requestId: string,
  headers: Record<string, string> = {},
): Response {
  const known = error instanceof AppError
    ? error
    : new AppError("internal_error", { cause: error });
  const problem: Problem = {
    type: `urn:edge-ai-jobs:error:${known.code}`,
    title: known.code.replaceAll("_", " "),
    status: known.status,
    detail: known.message,
    code: known.code,
    ...(known.fields.length === 0 ? {} : { errors: known.fields }),
    request_id: requestId,
  };
  return new Response(JSON.stringify(problem), {
    status: known.status,
    headers: {
      ...CORS_HEADERS,
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store",
      ...(known.status === 503 ? { "Retry-After": "5" } : {}),
      ...headers,
    },
  });
}
