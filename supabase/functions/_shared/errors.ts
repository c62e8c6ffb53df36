/**
 * Every error this project can answer with or write on a job: one code each, never renamed, listed on
 * docs/error-codes.md (a unit test compares the two).
 *
 * `status` is the HTTP status of an answer, or null for codes that are only ever written on a job. `message` is safe
 * to show to anybody; what really happened is the `cause`, which is logged and never sent.
 */
const CATALOGUE = {
  // Requests
  invalid_json: { status: 400, message: "The body is not valid JSON." },
  invalid_request: { status: 400, message: "The request is not valid." },
  unauthenticated: {
    status: 401,
    message: "Sign in and send the access token.",
  },
  account_not_found: {
    status: 401,
    message: "The account of this access token no longer exists.",
  },
  not_found: {
    status: 404,
    message: "There is no such thing, or it is not yours.",
  },
  method_not_allowed: {
    status: 405,
    message: "This endpoint does not take that method.",
  },
  payload_too_large: { status: 413, message: "The body is too large." },
  unsupported_media_type: {
    status: 415,
    message: "Send the body as application/json.",
  },
  idempotency_key_reused: {
    status: 422,
    message: "This Idempotency-Key was used before with another request.",
  },
  internal_error: { status: 500, message: "Something went wrong on our side." },
  service_unavailable: {
    status: 503,
    message: "The service is busy; try again shortly.",
  },
  request_timeout: {
    status: 504,
    message: "The request took too long and was given up.",
  },

  // Creating jobs: raised by the database as AJ…, whichever way the job comes
  job_type_unknown: { status: 400, message: "There is no such job type." },
  job_type_disabled: {
    status: 409,
    message: "This job type is switched off at the moment.",
  },
  input_required: {
    status: 400,
    message: "This job type needs an input object.",
  },
  input_url_invalid: {
    status: 400,
    message:
      "input_url must name an object of this project's Storage as <bucket>/<path>.",
  },
  input_not_found: { status: 400, message: "The input object is not there." },
  input_type_not_allowed: {
    status: 400,
    message: "The input object has a content type that the job does not take.",
  },
  input_size_not_allowed: {
    status: 400,
    message:
      "The input object is empty, or larger or longer than the job takes.",
  },
  metadata_invalid: {
    status: 400,
    message: "The metadata is not valid for this job type.",
  },

  dependency_not_found: {
    status: 400,
    message: "depends_on names no job of yours.",
  },
  dependency_failed: {
    status: 409,
    message: "The job that this one depends on has failed or was cancelled.",
  },
  voice_not_found: {
    status: 400,
    message:
      "voice_id names no voice of yours and no stock voice, or one that the AI provider no longer has.",
  },
  call_not_found: { status: 400, message: "call_id names no call of yours." },
  slideshow_not_found: {
    status: 400,
    message: "slideshow_id names no slideshow of yours.",
  },
  slideshow_empty: { status: 400, message: "The slideshow has no photos." },
  slideshow_too_large: {
    status: 400,
    message:
      "The slideshow has more photos, larger ones or longer captions than one PDF takes.",
  },
  idempotency_key_known: {
    status: 409,
    message: "This Idempotency-Key made a job before.",
  },
  active_jobs_exceeded: {
    status: 429,
    message: "You have as many jobs waiting or running as you may.",
  },
  daily_jobs_exceeded: {
    status: 429,
    message: "You have created as many jobs today as you may.",
  },
  voices_exceeded: {
    status: 409,
    message: "You have as many voices as you may.",
  },
  voice_places_exceeded: {
    status: 409,
    message: "All places for voices are taken.",
  },
  account_not_established: {
    status: 403,
    message:
      "Paid jobs need an account that is confirmed and at least an hour old.",
  },

  // Cancelling and retrying
  job_not_retryable: {
    status: 409,
    message: "Only a job that has failed can be retried.",
  },
  job_not_cancellable: {
    status: 409,
    message: "A job that has ended cannot be cancelled.",
  },
  job_spend_unknown: {
    status: 409,
    message:
      "It is unknown whether this job was paid for; the operator has to decide.",
  },

  // Storage paths
  bucket_not_allowed: {
    status: 400,
    message: "This bucket cannot be used here.",
  },
  path_not_allowed: {
    status: 403,
    message: "The path lies outside your own folder.",
  },
  object_not_found: {
    status: 404,
    message: "There is no such object, or it is not yours.",
  },
  file_type_not_allowed: {
    status: 400,
    message: "The bucket does not take this content type.",
  },
  file_size_not_allowed: {
    status: 400,
    message: "The bucket does not take a file of this size.",
  },

  unused_uploads_exceeded: {
    status: 429,
    message: "You have as many open upload URLs and unused files as you may.",
  },
  unused_upload_bytes_exceeded: {
    status: 429,
    message:
      "Your open upload URLs and unused files have as many bytes as they may.",
  },

  // Dispatch
  dispatch_signature_invalid: {
    status: 401,
    message: "The request is not signed, or its signature is wrong.",
  },
  dispatch_stale: {
    status: 401,
    message: "The signature is too old or from the future.",
  },
  dispatch_replayed: {
    status: 409,
    message: "This dispatch was delivered before.",
  },

  // Webhooks of providers
  webhook_signature_invalid: {
    status: 401,
    message: "The webhook is not signed, or its signature is wrong.",
  },
  webhook_stale: {
    status: 401,
    message: "The webhook is too old or from the future.",
  },

  // Outcomes of a job
  cancelled: { status: null, message: "The owner cancelled the job." },
  job_type_not_supported: {
    status: null,
    message: "This deployment cannot run the job type.",
  },
  job_expired: {
    status: null,
    message: "The job was not finished in the time it had.",
  },
  lease_expired: {
    status: null,
    message: "The work stopped without an answer.",
  },
  worker_limit_exceeded: {
    status: null,
    message: "The work takes more processor time or memory than there is.",
  },
  storage_unavailable: {
    status: null,
    message: "The file storage did not answer.",
  },
  photo_not_found: {
    status: null,
    message: "A photo of the slideshow is not there.",
  },
  photo_not_printable: {
    status: null,
    message: "A photo of the slideshow cannot be printed.",
  },
  text_not_printable: {
    status: null,
    message: "A text has letters that no font of the keepsake has.",
  },
  output_invalid: {
    status: null,
    message: "The AI provider's file is empty, cut or not what it says.",
  },
  output_too_large: {
    status: null,
    message: "The AI provider's file is larger than we store.",
  },
  provider_unauthorized: {
    status: null,
    message: "The AI provider refused our credentials.",
  },
  provider_quota_exceeded: {
    status: null,
    message: "The AI provider's quota is used up.",
  },
  provider_limit_reached: {
    status: null,
    message: "A limit of the AI provider's plan is reached.",
  },
  provider_rejected_input: {
    status: null,
    message: "The AI provider could not use this input.",
  },
  provider_content_refused: {
    status: null,
    message: "The AI provider does not allow this content.",
  },
  provider_render_failed: {
    status: null,
    message: "The AI provider could not make this.",
  },
  provider_concurrency_limited: {
    status: null,
    message: "The AI provider works on as many of our requests as it will.",
  },
  provider_rate_limited: {
    status: null,
    message: "The AI provider is receiving too many requests.",
  },
  provider_unavailable: {
    status: null,
    message: "The AI provider did not answer properly.",
  },
  provider_answer_invalid: {
    status: null,
    message: "The AI provider answered in a way that makes no sense.",
  },
  provider_answer_too_large: {
    status: null,
    message: "The AI provider's answer is larger than we can take.",
  },
  provider_webhook_missing: {
    status: null,
    message:
      "Recordings of this size cannot be transcribed here: the AI provider's webhook is not set up.",
  },
  provider_timeout: { status: null, message: "The AI provider took too long." },
  budget_exceeded: {
    status: null,
    message: "The job would cost more than what is left of your budget.",
  },
  provider_budget_exceeded: {
    status: null,
    message:
      "The job would cost more than what is left of this service's budget of the month.",
  },
  result_not_saved: {
    status: null,
    message: "What the job made could not be saved.",
  },
  outcome_unknown: {
    status: null,
    message:
      "It is unknown whether the AI provider did the work; it was not sent again.",
  },
} as const satisfies Record<string, { status: number | null; message: string }>;

/** A stable, machine-readable cause. */
export type ErrorCode = keyof typeof CATALOGUE;

/** All codes with their HTTP status (null: only on jobs) and the message that may be shown. */
export const ERROR_CATALOGUE: Readonly<
  Record<ErrorCode, { status: number | null; message: string }>
> = CATALOGUE;

/** Which part of a request is wrong, and why. `field` is a path such as `metadata.name`. */
export interface FieldError {
  field: string;
  message: string;
}

/**
 * The one error class of the functions.
 *
 * Guarantees: `code` is of the catalogue; `message` is safe to show; `cause` is for the log alone. `details` replaces
 * the catalogue's message where the case can be told more exactly, in words that are safe as well.
 */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly fields: readonly FieldError[];

  constructor(
    code: ErrorCode,
    options: { details?: string; fields?: FieldError[]; cause?: unknown } = {},
  ) {
    super(options.details ?? CATALOGUE[code].message, { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? [];
  }

  /** HTTP status of an answer with this error; a job-only code that escapes into an answer is a 500. */
  get status(): number {
    return CATALOGUE[this.code].status ?? 500;
  }
}

/**
 * The database's own states (AJ…) that a function can meet, as codes. The others come from writes that no function
 * makes; docs/error-codes.md lists them as well.
 */
export const CODE_BY_SQLSTATE: Readonly<Record<string, ErrorCode>> = {
  AJ001: "job_type_unknown",
  AJ002: "job_type_disabled",
  AJ010: "input_required",
  AJ011: "input_url_invalid",
  AJ012: "input_not_found",
  AJ013: "input_type_not_allowed",
  AJ014: "input_size_not_allowed",
  AJ015: "path_not_allowed",
  AJ016: "dependency_not_found",
  AJ017: "dependency_failed",
  AJ018: "voice_not_found",
  AJ019: "call_not_found",
  AJ020: "metadata_invalid",
  AJ090: "slideshow_not_found",
  AJ091: "slideshow_empty",
  AJ092: "slideshow_too_large",
  AJ030: "idempotency_key_reused",
  AJ032: "idempotency_key_known",
  AJ034: "active_jobs_exceeded",
  AJ035: "daily_jobs_exceeded",
  AJ036: "voices_exceeded",
  AJ037: "voice_places_exceeded",
  AJ038: "account_not_established",
  AJ070: "job_not_retryable",
  AJ071: "job_not_cancellable",
  AJ072: "job_spend_unknown",
  AJ039: "unused_uploads_exceeded",
  AJ040: "dispatch_stale",
  AJ041: "dispatch_replayed",
  AJ042: "webhook_stale",
  AJ043: "unused_upload_bytes_exceeded",
};

/**
 * No state at all: what answered was not the Data API, or nothing did. Otherwise lost connections, lack of resources, an
 * operator who stops the server or the statement, deadlocks and lock timeouts; and the Data API without a database.
 */
const PASSING_STATES = /^(|08...|53...|57...|40001|40P01|55P03|PGRST00[0-3])$/;

const FOREIGN_KEY_VIOLATION = "23503";

/** What a row refers to is gone: the caller's own account, whose token is still good for a while, or anything else. */
function missingReference(details: string): ErrorCode {
  return details.includes('is not present in table "users"')
    ? "account_not_found"
    : "not_found";
}

/**
 * The error that the Data API answered, as ours. The database's own states (AJ…) keep their message, which our
 * migrations word safely, and name the field that they carry as DETAIL; everything else is an internal error or,
 * when the database cannot be reached, is overloaded, or cancels a statement, `service_unavailable`.
 */
export function fromDatabaseError(
  error: { code?: string; message: string; details?: string | null },
): AppError {
  if (error.code === FOREIGN_KEY_VIOLATION) {
    return new AppError(missingReference(error.details ?? ""), {
      cause: error,
    });
  }
  const code = CODE_BY_SQLSTATE[error.code ?? ""];
  if (code === undefined) {
    return new AppError(
      PASSING_STATES.test(error.code ?? "")
        ? "service_unavailable"
        : "internal_error",
      { cause: error },
    );
  }
  const field = error.details ?? "";
  // The message alone has to name its field; beside the field's own name it would say it twice.
  const message = error.message.startsWith(`${field} `)
    ? error.message.slice(field.length + 1)
    : error.message;
  return new AppError(code, {
    details: error.message,
    fields: field === "" ? [] : [{ field, message }],
    cause: error,
  });
}
