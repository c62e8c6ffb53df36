/** The errors of ElevenLabs, as its API returns them. */
import type { ErrorShape } from "../provider.ts";

interface KnownError {
  readonly status: number;
  /** The word of the new form; only `validation_error` and `not_found` have been seen on the real service. */
  readonly type: string;
  readonly code: string;
  /** What `status` says, and what the error is named by, where that is not the code. */
  readonly legacyStatus?: string;
  readonly message: string;
  readonly param?: string;
}

const VOICE_LIMIT =
  "You have reached your maximum amount of custom voices (10 / 10). You can upgrade your subscription to increase your custom voice limit.";
const CONCURRENCY =
  "Too many concurrent requests. Your current subscription is associated with a maximum of 3 concurrent requests (running in parallel).";

const ERRORS: readonly KnownError[] = [
  {
    status: 401,
    type: "authentication_error",
    code: "invalid_api_key",
    message: "Invalid API key",
  },
  {
    status: 401,
    type: "authentication_error",
    code: "needs_authorization",
    message:
      "Neither authorization header nor xi-api-key received, please provide one.",
  },
  {
    status: 401,
    type: "quota_exceeded",
    code: "quota_exceeded",
    message:
      "This request exceeds your quota of 10000. You have 0 credits remaining, while 91 credits are required for this request.",
  },
  {
    status: 400,
    type: "validation_error",
    code: "voice_limit_reached",
    message: VOICE_LIMIT,
  },
  {
    status: 400,
    type: "validation_error",
    code: "voice_add_edit_limit_reached",
    message:
      "You have reached your monthly limit of voice add/edit operations.",
  },
  {
    status: 403,
    type: "authorization_error",
    code: "can_not_use_instant_voice_cloning",
    message:
      "Your subscription has no access to use instant voice cloning, please upgrade.",
  },
  {
    status: 403,
    type: "authorization_error",
    code: "only_for_creator+",
    message: "This feature is only available for creator tier and above.",
  },
  {
    status: 403,
    type: "authorization_error",
    code: "content_against_policy",
    message:
      "We are sorry but the content you are trying to use may violate our Terms of Service and has been blocked.",
  },
  {
    status: 400,
    type: "validation_error",
    code: "max_character_limit_exceeded",
    message:
      "This request's text has 627 characters and exceeds the character limit of 333 characters.",
    param: "text",
  },
  {
    status: 400,
    type: "validation_error",
    code: "invalid_ttd_stability",
    message: "Invalid TTD stability value. Must be one of: [0.0, 0.5, 1.0]",
  },
  {
    status: 400,
    type: "validation_error",
    code: "invalid_parameters",
    legacyStatus: "unsupported_language",
    message: "Model 'eleven_flash_v2_5' does not support language_code 'fa'.",
  },
  {
    status: 400,
    type: "validation_error",
    code: "unsupported_model",
    message:
      "Providing previous_text or next_text is not yet supported with the 'eleven_v3' model.",
    param: "model_id",
  },
  {
    status: 400,
    type: "not_found",
    code: "voice_not_found",
    message: "A voice with voice_id 'pNInz6obpgDQGcFmaJgB' was not found.",
  },
  {
    status: 400,
    type: "validation_error",
    code: "invalid_content",
    message: "File upload is corrupted. Please ensure it is playable audio.",
    param: "files",
  },
  {
    status: 400,
    type: "not_found",
    code: "history_item_not_found",
    message: "History item with given ID not found.",
    param: "history_item_id",
  },
  {
    status: 429,
    type: "rate_limit_error",
    code: "too_many_concurrent_requests",
    message: CONCURRENCY,
  },
  {
    status: 429,
    type: "rate_limit_error",
    code: "concurrent_limit_exceeded",
    message: CONCURRENCY,
  },
  {
    status: 429,
    type: "rate_limit_error",
    code: "rate_limit_exceeded",
    message:
      "You have sent too many requests in a short time. Please slow down.",
  },
  {
    status: 429,
    type: "rate_limit_error",
    code: "system_busy",
    message:
      "We are sorry, the system is experiencing heavy traffic, please try again.",
  },
];
const KNOWN: ReadonlyMap<string, KnownError> = new Map(
  ERRORS.map((error) => [error.legacyStatus ?? error.code, error]),
);

/** One entry of the array in a 422 body. */
export interface ValidationIssue {
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
}

/** The names that `namedError` knows. */
export const ERROR_NAMES: ReadonlySet<string> = new Set([
  ...KNOWN.keys(),
  "voice_limit_generic",
  "validation_error",
]);

/** The form of a 422: an array under `detail`, the same in the old and the new form. */
export function validationError(
  issues: readonly ValidationIssue[],
): { status: number; body: unknown } {
  return { status: 422, body: { detail: issues } };
}

/** An issue for a form field or query parameter that was not given. */
export function missing(...loc: (string | number)[]): ValidationIssue {
  return { loc, msg: "field required", type: "value_error.missing" };
}

/**
 * Status and body of one of `ERROR_NAMES`. `message` replaces the usual text. `voice_limit_generic` is the voice
 * limit with the generic code `bad_request`, as reported from the live service in September 2026. Throws a
 * `RangeError` for any other name.
 */
export function namedError(
  name: string,
  shape: ErrorShape,
  requestId: string,
  message?: string,
): { status: number; body: unknown } {
  if (name === "validation_error") {
    return validationError([missing("body", "name"), missing("body", "files")]);
  }
  const known: KnownError | undefined = name === "voice_limit_generic"
    ? {
      status: 400,
      type: "validation_error",
      code: "bad_request",
      message: VOICE_LIMIT,
    }
    : KNOWN.get(name);
  if (known === undefined) throw new RangeError(`no error is named ${name}`);
  const text = message ?? known.message;
  const status = known.legacyStatus ?? known.code;
  const detail = shape === "old" ? { status, message: text } : {
    type: known.type,
    code: known.code,
    message: text,
    status,
    request_id: requestId,
    ...(known.param === undefined ? {} : { param: known.param }),
  };
  return { status: known.status, body: { detail } };
}
