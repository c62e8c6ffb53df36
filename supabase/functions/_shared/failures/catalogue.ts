/**
 * The catalogue of errors: every code that a response or a job can have. A code is never renamed; docs/error-codes.md
 * lists all of them (a unit test compares the two).
 */

/**
 * The condition that must end before a retry of an error with the code can succeed.
 *
 * - `provider_outage`: the provider does not respond, or responds with a server error.
 * - `provider_overload`: the provider receives more requests than it accepts.
 * - `own_load`: other calls of the same account are in flight.
 * - `own_outage`: our database or Storage does not respond.
 */
export type Transience =
  | "provider_outage"
  | "provider_overload"
  | "own_load"
  | "own_outage";

/** The properties of a code. */
export interface CatalogueEntry {
  /** HTTP status of a response; null for codes that are written on jobs only. */
  status: number | null;
  /** Safe to show to anyone: what is wrong, and what to do. The `cause` has the details and is only logged. */
  message: string;
  /** Set if the error is temporary. */
  transience?: Transience;
}

const CATALOGUE = {
  // Requests
  invalid_json: { status: 400, message: "The body is not valid JSON." },
  invalid_request: {
    status: 400,
    message: "The request is not valid. See the errors for each wrong field.",
  },
  unauthenticated: {
    status: 401,
    message:
      "The access token is missing, expired or invalid. Sign in and send it again.",
  },
  account_not_found: {
    status: 401,
    message:
      "The account of this access token was deleted. Sign in with another account.",
  },
  not_found: {
    status: 404,
    message: "Not found, or not yours. Check the id and who is signed in.",
  },
  method_not_allowed: {
    status: 405,
    message:
      "This endpoint does not accept this method. The Allow header names the one it accepts.",
  },
  payload_too_large: { status: 413, message: "The body is too large." },
  unsupported_media_type: {
    status: 415,
    message: "The body must be sent as application/json.",
  },
  idempotency_key_reused: {
    status: 422,
    message:
      "This Idempotency-Key was already used for a different request. Use a new key for each job.",
  },
  internal_error: {
    status: 500,
    message: "Something went wrong on our side. Try again later.",
  },
  service_unavailable: {
    status: 503,
    message: "The service is temporarily unavailable. Try again shortly.",
    transience: "own_outage",
  },
  request_timeout: {
    status: 504,
    message:
      "The request exceeded its time limit. Try again with the same Idempotency-Key.",
  },

  // Creating jobs: raised by the database as AJ…, for jobs from endpoints and plain inserts
  job_type_unknown: { status: 400, message: "The job type does not exist." },
  job_type_disabled: {
    status: 409,
    message: "This job type is currently disabled. Try again later.",
  },
  input_required: {
    status: 400,
    message: "This job type requires input_url.",
  },
  input_url_invalid: {
    status: 400,
    message:
      "input_url must name an object of this project's Storage as <bucket>/<path>.",
  },
  input_not_found: {
    status: 400,
    message:
      "The input object does not exist. Upload it before creating the job.",
  },
  input_type_not_allowed: {
    status: 400,
    message:
      "The job type does not accept the content type of the input object.",
  },
  input_size_not_allowed: {
    status: 400,
    message:
      "The input object is empty, too large or too long for this job type.",
  },
  metadata_invalid: {
    status: 400,
    message: "The metadata is not valid for this job type.",
  },

  dependency_not_found: {
    status: 400,
    message: "depends_on must be the id of one of your jobs.",
  },
  dependency_failed: {
    status: 409,
    message: "The job that this one depends on has failed or was cancelled.",
  },
  voice_not_found: {
    status: 400,
    message:
      "voice_id must be one of your voices or a stock voice that the AI provider still has.",
  },
  call_not_found: {
    status: 400,
    message: "call_id must be the id of one of your calls.",
  },
  slideshow_not_found: {
    status: 400,
    message: "slideshow_id must be the id of one of your slideshows.",
  },
  slideshow_empty: {
    status: 400,
    message: "The slideshow has no photos. Add at least one.",
  },
  slideshow_too_large: {
    status: 400,
    message:
      "The slideshow has too many slides, too large photos or too long captions for one PDF. Split it, or use smaller photos.",
  },
  idempotency_key_known: {
    status: 409,
    message: "A job with this Idempotency-Key already exists.",
  },
  active_jobs_exceeded: {
    status: 429,
    message: "You have reached your limit of active jobs. Wait until one ends.",
  },
  daily_jobs_exceeded: {
    status: 429,
    message: "You have reached your limit of jobs per day. Try again tomorrow.",
  },
  voices_exceeded: {
    status: 409,
    message: "You have reached your limit of voices. Delete one first.",
  },
  voice_places_exceeded: {
    status: 409,
    message: "This service has reached its limit of voices. Try again later.",
  },
  account_not_established: {
    status: 403,
    message:
      "Paid jobs require a confirmed account that is at least an hour old.",
  },

  // Cancelling and retrying
  job_not_retryable: {
    status: 409,
    message: "Only a failed job can be retried, and only up to 100 attempts.",
  },
  job_not_cancellable: {
    status: 409,
    message: "The job has already ended and cannot be cancelled.",
  },
  job_spend_unknown: {
    status: 409,
    message:
      "It is unknown whether this job was paid for. An operator must resolve it before it can be retried.",
  },

  // Operators
  operator_required: {
    status: 403,
    message: "Only an operator may do this.",
  },
  metrics_token_invalid: {
    status: 401,
    message: "Send the metrics token as Authorization: Bearer.",
  },
  redrive_count_changed: {
    status: 409,
    message:
      "The filter now matches a different number of jobs. Check the count and confirm again.",
  },
  job_not_parked: {
    status: 409,
    message: "No paid call of this job has an unknown outcome.",
  },
  provider_object_found: {
    status: 409,
    message: "The AI provider has an object with the marker of this job.",
  },
  provider_not_checked: {
    status: 503,
    message:
      "The AI provider could not be queried, so nothing was recorded. Try again later.",
  },
  provider_object_missing: {
    status: 409,
    message: "The AI provider has no object with this id.",
  },
  provider_object_id_invalid: {
    status: 400,
    message: "This is not an id that the AI provider gave to an object.",
  },
  provider_object_mismatch: {
    status: 409,
    message: "The object at the AI provider does not belong to this job.",
  },

  // Storage paths
  bucket_not_allowed: {
    status: 400,
    message: "This bucket cannot be used here.",
  },
  path_not_allowed: {
    status: 403,
    message: "The path is outside your own folder.",
  },
  object_not_found: {
    status: 404,
    message: "The object does not exist, or is not yours.",
  },
  file_type_not_allowed: {
    status: 400,
    message: "The bucket does not accept this content type.",
  },
  file_size_not_allowed: {
    status: 400,
    message: "The bucket does not accept a file of this size.",
  },

  unused_uploads_exceeded: {
    status: 429,
    message:
      "You have reached your limit of open upload URLs and unused files. Use or delete some.",
  },
  unused_upload_bytes_exceeded: {
    status: 429,
    message:
      "Your open upload URLs and unused files have reached their limit of bytes. Use or delete some.",
  },

  // Dispatch
  dispatch_signature_invalid: {
    status: 401,
    message: "The signature of the request is missing or invalid.",
  },
  dispatch_stale: {
    status: 401,
    message: "The signature is too old, or its time is in the future.",
  },
  dispatch_replayed: {
    status: 409,
    message: "This dispatch was already delivered.",
  },

  // Webhooks of providers
  webhook_signature_invalid: {
    status: 401,
    message: "The signature of the webhook is missing or invalid.",
  },
  webhook_stale: {
    status: 401,
    message: "The webhook is too old, or its time is in the future.",
  },

  // Outcomes of a job
  cancelled: { status: null, message: "The owner cancelled the job." },
  job_type_not_supported: {
    status: null,
    message: "This deployment has no processor for the job type.",
  },
  job_expired: {
    status: null,
    message: "The job did not finish within the time limit of its type.",
  },
  lease_expired: {
    status: null,
    message: "The worker stopped responding.",
  },
  worker_limit_exceeded: {
    status: null,
    message:
      "The job needs more processor time or memory than a worker has. Use less input.",
  },
  storage_unavailable: {
    status: null,
    message: "The file storage is temporarily unavailable.",
    transience: "own_outage",
  },
  photo_not_found: {
    status: null,
    message:
      "A photo of the slideshow does not exist. Upload it again or remove its slide.",
  },
  photo_not_printable: {
    status: null,
    message: "A photo of the slideshow cannot be printed. Replace it.",
  },
  text_not_printable: {
    status: null,
    message: "The text contains characters that our fonts cannot print.",
  },
  output_invalid: {
    status: null,
    message:
      "The AI provider's file is empty, incomplete or of the wrong type.",
  },
  output_too_large: {
    status: null,
    message: "The AI provider's file is too large to store.",
  },
  provider_unauthorized: {
    status: null,
    message: "The AI provider rejected our credentials.",
  },
  provider_quota_exceeded: {
    status: null,
    message: "The quota at the AI provider is used up.",
  },
  provider_limit_reached: {
    status: null,
    message: "A limit of our plan at the AI provider is reached.",
  },
  provider_rejected_input: {
    status: null,
    message: "The AI provider cannot use this input. Try another one.",
  },
  provider_content_refused: {
    status: null,
    message: "The AI provider does not allow this content. Use other content.",
  },
  provider_render_failed: {
    status: null,
    message:
      "The AI provider could not render the video. Try another photo or recording.",
  },
  provider_concurrency_limited: {
    status: null,
    message: "The AI provider's concurrency limit is reached; the job waits.",
    transience: "own_load",
  },
  provider_rate_limited: {
    status: null,
    message: "The AI provider is receiving too many requests.",
    transience: "provider_overload",
  },
  provider_unavailable: {
    status: null,
    message: "The AI provider is unavailable.",
    transience: "provider_outage",
  },
  provider_answer_invalid: {
    status: null,
    message: "The AI provider sent a response that cannot be used.",
  },
  provider_answer_too_large: {
    status: null,
    message:
      "The AI provider's response is too large to process. Split the recording.",
  },
  provider_webhook_missing: {
    status: null,
    message:
      "Recordings of this size cannot be transcribed here: the AI provider's webhook is not set up.",
  },
  provider_timeout: {
    status: null,
    message: "The AI provider did not respond in time.",
    transience: "provider_outage",
  },
  budget_exceeded: {
    status: null,
    message: "The job would cost more than the rest of your budget.",
  },
  provider_budget_exceeded: {
    status: null,
    message:
      "The job would cost more than the rest of this service's monthly budget.",
  },
  result_not_saved: {
    status: null,
    message: "The result of the job could not be saved.",
  },
  outcome_unknown: {
    status: null,
    message:
      "It is unknown whether the AI provider did the work; it was not sent again.",
  },
} as const satisfies Record<string, CatalogueEntry>;

/** A stable, machine-readable cause. */
export type ErrorCode = keyof typeof CATALOGUE;

/** Every code with its entry. */
export const ERROR_CATALOGUE: Readonly<Record<ErrorCode, CatalogueEntry>> =
  CATALOGUE;

/** Every code. */
export const ERROR_CODES: readonly ErrorCode[] = Object.keys(CATALOGUE).filter(
  (code): code is ErrorCode => code in CATALOGUE,
);

/** Whether the cause is temporary, so that a retry can succeed. */
export function isTransient(code: ErrorCode): boolean {
  return ERROR_CATALOGUE[code].transience !== undefined;
}

/**
 * Whether a provider, our database or our Storage is unavailable. Every operation that needs it fails until it
 * recovers.
 */
export function isOutage(code: ErrorCode): boolean {
  const { transience } = ERROR_CATALOGUE[code];
  return transience === "provider_outage" || transience === "own_outage";
}

/**
 * Whether the provider itself is unavailable or overloaded, as opposed to a faulty request or too many of our own
 * calls. The provider's breaker counts exactly these codes (`private.is_provider_failure`).
 */
export function isProviderFailing(code: ErrorCode): boolean {
  const { transience } = ERROR_CATALOGUE[code];
  return transience === "provider_outage" || transience === "provider_overload";
}
