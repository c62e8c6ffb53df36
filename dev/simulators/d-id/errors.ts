/** The errors of D-ID, as its API returns them. */
import { jsonResponse, type SimulatedResponse } from "../provider.ts";
import { accessDenied } from "../videos.ts";

/** The vendor's errors by name: HTTP status, `kind`, and a description as observed. */
const KNOWN: ReadonlyMap<
  string,
  { status: number; kind: string; description: string; details?: unknown }
> = new Map([
  ["invalid_actor_url", {
    status: 400,
    kind: "BadRequestError",
    description: "invalid actor url",
  }],
  ["invalid_file_size", {
    status: 400,
    kind: "InvalidFileSizeError",
    description: "file size exceeds the limit",
  }],
  ["unauthenticated", {
    status: 401,
    kind: "AuthorizationError",
    description: "user unauthenticated",
  }],
  ["insufficient_credits", {
    status: 402,
    kind: "InsufficientCreditsError",
    description: "not enough credits",
  }],
  ["no_permission", {
    status: 403,
    kind: "PermissionError",
    description: "user has no permission for stitch",
  }],
  ["not_found", {
    status: 404,
    kind: "NotFoundError",
    description: "not found",
  }],
  ["not_ready", {
    status: 409,
    kind: "NotReadyError",
    description: "talk is in process, try again later",
  }],
  ["unsupported_mime_type", {
    status: 415,
    kind: "UnsupportedMimeTypeError",
    description: "unsupported mime type",
    details: { received: "text/plain", supported: ["image/jpeg", "image/png"] },
  }],
  ...["Image", "Text", "Audio"].map((what) =>
    [`${what.toLowerCase()}_moderation`, {
      status: 451,
      kind: `${what}ModerationError`,
      description:
        "Automatic content moderation - contact support for more information",
    }] as const
  ),
  ["celebrity_recognized", {
    status: 451,
    kind: "CelebrityRecognizedError",
    description: "celebrity recognized in the image",
  }],
  ["internal", {
    status: 500,
    kind: "InternalServerError",
    description: "internal server error",
  }],
]);

/** The gateway in front of the API has its own error format, without `kind`. */
const GATEWAY: ReadonlyMap<string, { status: number; message: string }> =
  new Map([
    ["endpoint_timed_out", {
      status: 504,
      message: "Endpoint request timed out",
    }],
    // Observed, but not documented; the body is a guess.
    ["too_many_requests", { status: 429, message: "Too Many Requests" }],
  ]);

/** The names that {@link dIdError} knows. */
export const D_ID_ERROR_NAMES: ReadonlySet<string> = new Set([
  ...KNOWN.keys(),
  ...GATEWAY.keys(),
  "access_denied",
]);

/** The response for one of {@link D_ID_ERROR_NAMES}; `description` replaces the usual text. */
export function dIdError(
  name: string,
  description?: string,
): SimulatedResponse {
  if (name === "access_denied") return accessDenied();
  const gateway = GATEWAY.get(name);
  if (gateway !== undefined) {
    return jsonResponse(gateway.status, { message: gateway.message });
  }
  const known = KNOWN.get(name);
  if (known === undefined) throw new Error(`no error is called ${name}`);
  const { status, ...body } = known;
  return jsonResponse(status, {
    ...body,
    ...(description === undefined ? {} : { description }),
  });
}
