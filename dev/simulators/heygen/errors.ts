/** The errors of HeyGen, as its API returns them. */
import { jsonResponse, type SimulatedResponse } from "../provider.ts";
import { accessDenied } from "../videos.ts";

/** The vendor's errors by name: HTTP status, code, message, and the parameter or headers that they include. */
const KNOWN: ReadonlyMap<string, {
  status: number;
  code: string;
  message: string;
  param?: string;
  headers?: Record<string, string>;
}> = new Map([
  ["invalid_parameter", {
    status: 400,
    code: "invalid_parameter",
    message: "script is too long",
    param: "script",
  }],
  ["invalid_parameter_upper", {
    status: 400,
    code: "INVALID_PARAMETER",
    message: "voice_id is invalid",
    param: "voice_id",
  }],
  ["download_failed", {
    status: 400,
    code: "download_failed",
    message: "The provided URL could not be downloaded.",
  }],
  ["blocked_words", {
    status: 400,
    code: "blocked_words_detected",
    message: "The script was blocked by content moderation.",
  }],
  ["resource_limit_exceeded", {
    status: 403,
    code: "resource_limit_exceeded",
    message: "You have reached the limit of your plan.",
  }],
  ["unauthorized", {
    status: 401,
    code: "unauthorized",
    message: "Invalid API key",
  }],
  ["insufficient_credit", {
    status: 402,
    code: "insufficient_credit",
    message: "Your wallet has not enough credit.",
  }],
  ["forbidden", {
    status: 403,
    code: "forbidden",
    message: "You may not do this.",
  }],
  ["not_found", { status: 404, code: "not_found", message: "Video not found" }],
  ["avatar_not_found", {
    status: 404,
    code: "AVATAR_NOT_FOUND",
    message: "Avatar not found",
  }],
  ["request_in_progress", {
    status: 409,
    code: "request_in_progress",
    message: "A request with this Idempotency-Key is still running.",
  }],
  ["payload_too_large", {
    status: 413,
    code: "payload_too_large",
    message: "The file is larger than 32 MB.",
  }],
  ["rate_limit_exceeded", {
    status: 429,
    code: "rate_limit_exceeded",
    message: "Too many requests or videos at once.",
    headers: { "retry-after": "7" },
  }],
  ["internal", {
    status: 500,
    code: "internal_error",
    message: "Something went wrong.",
  }],
]);

/** The names that {@link heyGenError} knows. */
export const HEYGEN_ERROR_NAMES: ReadonlySet<string> = new Set([
  ...KNOWN.keys(),
  "access_denied",
]);

/** The response for one of {@link HEYGEN_ERROR_NAMES}; `message` and `param` replace the usual ones. */
export function heyGenError(
  name: string,
  details: { message?: string; param?: string } = {},
): SimulatedResponse {
  if (name === "access_denied") return accessDenied();
  const known = KNOWN.get(name);
  if (known === undefined) throw new Error(`no error is called ${name}`);
  const { status, headers, ...error } = known;
  return jsonResponse(status, { error: { ...error, ...details } }, headers);
}
