/**
 * The catalogue of errors: every code that an answer or a job can carry. A code is never renamed; docs/error-codes.md
 * lists all of them (a unit test compares the two).
 */

/**
 * What has to end before an error with the code stops by itself.
 *
 * - `provider_outage`: the provider does not answer, or answers with a fault of its own.
 * - `provider_overload`: the provider takes fewer requests than it receives.
 * - `own_load`: other calls of the same account are under way.
 * - `own_outage`: our database or Storage does not answer.
 */
export type Transience =
  | "provider_outage"
  | "provider_overload"
  | "own_load"
  | "own_outage";

/** What is known of a code. */
export interface CatalogueEntry {
  /** HTTP status of an answer; null for codes that are written on jobs only. */
  status: number | null;
  /** Safe to show to anyone: what is wrong, and what to do. What really happened is the `cause`, which is only logged. */
  message: string;
  /** Set when the error stops by itself. */
  transience?: Transience;
}

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
    transience: "own_outage",
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
    transience: "own_outage",
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
    transience: "own_load",
  },
  provider_rate_limited: {
    status: null,
    message: "The AI provider is receiving too many requests.",
    transience: "provider_overload",
  },
  provider_unavailable: {
    status: null,
    message: "The AI provider did not answer properly.",
    transience: "provider_outage",
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
  provider_timeout: {
    status: null,
    message: "The AI provider took too long.",
    transience: "provider_outage",
  },
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

/** Whether an error with this code ends without anybody doing anything, so that waiting for that can help. */
export function isTransient(code: ErrorCode): boolean {
  return ERROR_CATALOGUE[code].transience !== undefined;
}

/** Whether a provider, our database or our Storage is down: nothing that needs it can succeed before it is back. */
export function isOutage(code: ErrorCode): boolean {
  const { transience } = ERROR_CATALOGUE[code];
  return transience === "provider_outage" || transience === "own_outage";
}

/**
 * Whether the provider itself is down or overloaded, and not one request at fault or the account's own load too high.
 * The provider's breaker counts exactly these codes (`private.is_provider_failure`).
 */
export function isProviderFailing(code: ErrorCode): boolean {
  const { transience } = ERROR_CATALOGUE[code];
  return transience === "provider_outage" || transience === "provider_overload";
}
