/** Error texts for users: chosen by the stable code of the error, never its technical message. */
import { LimitReached, ServiceUnavailable } from "../../client/mod.ts";

const OURS = "Something went wrong on our side. Try again in a moment.";
const OPERATOR = "The people who run this service have to fix it.";

/** What happened and what to do about it, by code (docs/error-codes.md). A test holds this list to the catalogue. */
export const ERROR_WORDS: Readonly<Record<string, string>> = {
  // Requests
  invalid_json: OURS,
  invalid_request: "Something is missing or not valid.",
  unauthenticated: "Your session has ended. Sign in again.",
  account_not_found: "This account no longer exists. Sign in with another one.",
  not_found: "This does not exist any more, or it belongs to another user.",
  method_not_allowed: OURS,
  payload_too_large: "That is too much text for one request. Shorten it.",
  unsupported_media_type: OURS,
  idempotency_key_reused: OURS,
  idempotency_key_known: "This was started already.",
  internal_error: OURS,
  service_unavailable: "The service is busy. Try again in a moment.",
  request_timeout: "The request was too slow. Try again.",
  job_type_unknown: "This project cannot do that.",
  job_type_disabled: "This is switched off at the moment. Try again later.",
  input_required: "Choose a file first.",
  input_url_invalid: "That file cannot be used here. Upload it again.",
  input_not_found: "The file is gone. Upload it again.",
  input_type_not_allowed:
    "That kind of file cannot be used here. Choose another format.",
  input_size_not_allowed: "The file is empty, too large or too long.",
  metadata_invalid: "One of the settings is not valid.",
  dependency_not_found: "The step before this one is gone. Start again.",
  dependency_failed:
    "The step before this one failed. Try that one again first.",
  voice_not_found: "That voice is gone. Choose another one, or clone it again.",
  call_not_found: "That call is gone.",
  slideshow_not_found: "Those photos are gone. Arrange them again.",
  slideshow_empty: "Add at least one photo.",
  slideshow_too_large:
    "That is more than fits into one book. Leave some photos out.",
  active_jobs_exceeded:
    "You have reached your limit of active jobs. Wait until one ends.",
  daily_jobs_exceeded:
    "You have reached your limit of jobs for today. Try again tomorrow.",
  voices_exceeded: "You have reached your limit of voices. Delete one first.",
  voice_places_exceeded:
    `This service has no room for another voice. ${OPERATOR}`,
  account_not_established:
    "Your account is new. Confirm your email, and try again in an hour.",
  job_not_retryable: "This job cannot be retried any more.",
  job_not_cancellable: "It has already ended.",
  job_spend_unknown:
    `It is unknown whether this was paid for, so it is not sent again. ${OPERATOR}`,
  bucket_not_allowed: "This file cannot be stored here.",
  path_not_allowed: "That file is not yours.",
  object_not_found: "The file is gone.",
  file_type_not_allowed:
    "That kind of file cannot be used here. Choose another format.",
  file_size_not_allowed: "The file is empty or too large.",
  unused_uploads_exceeded:
    "Too many of your uploads are unused. Use them, or wait a day.",
  unused_upload_bytes_exceeded:
    "Your unused uploads are too large together. Use them, or wait a day.",
  upload_refused: "The file was refused. Choose another one.",
  // Operators
  operator_required:
    "Your account is not an operator of this project any more.",
  redrive_count_changed:
    "The number of matching jobs has changed. They were counted again.",
  job_not_parked:
    "Another operator has already resolved this. Nothing was changed.",
  provider_object_found:
    "The AI service has something with the marker of this job.",
  provider_object_missing: "The AI service has nothing with this id. Check it.",
  provider_not_checked:
    "The AI service could not be asked. Nothing was recorded.",
  provider_object_id_invalid:
    "This is not an id of the AI service. Copy the id from its page.",
  provider_object_mismatch:
    "This belongs to another job. Search again for what this job made.",
  metrics_token_invalid: OURS,
  // Between our own services; users never cause these.
  dispatch_signature_invalid: OURS,
  dispatch_stale: OURS,
  dispatch_replayed: OURS,
  webhook_signature_invalid: OURS,
  webhook_stale: OURS,
  // Jobs
  cancelled: "You cancelled this.",
  job_type_not_supported: `This project cannot do that. ${OPERATOR}`,
  job_expired: "It did not finish in time. Start it again.",
  lease_expired: "The work stopped before it was done. Try again.",
  worker_limit_exceeded:
    "This is too large for us to process. Send something smaller.",
  storage_unavailable: "The file store did not answer. Try again.",
  photo_not_found: "One of the photos is gone. Add it again.",
  photo_not_printable: "One of the photos cannot be printed. Replace it.",
  text_not_printable:
    "The text has letters that we cannot print. Use Latin, Greek or Cyrillic letters.",
  output_invalid: "The result was damaged. Try again.",
  output_too_large: "The result is too large to keep. Choose a shorter one.",
  provider_unauthorized:
    `The AI service did not accept our account. ${OPERATOR}`,
  provider_quota_exceeded:
    `The credit at the AI service is used up. ${OPERATOR}`,
  provider_limit_reached: `A limit at the AI service is reached. ${OPERATOR}`,
  provider_rejected_input:
    "The AI service could not use this. Try another file or text.",
  provider_content_refused:
    "The AI service does not allow this content. Try something else.",
  provider_render_failed:
    "The AI service could not make this. Try another file or text.",
  provider_concurrency_limited:
    "The AI service is busy. This is tried again automatically.",
  provider_rate_limited: "The AI service is busy. Try again in a few minutes.",
  provider_unavailable:
    "The AI service did not answer. Try again in a few minutes.",
  provider_answer_invalid:
    "The AI service sent an unexpected answer. Try again later.",
  provider_answer_too_large:
    "The recording is too long. Split it into shorter parts.",
  provider_webhook_missing:
    `Recordings of this size cannot be transcribed here yet. ${OPERATOR}`,
  provider_timeout: "The AI service was too slow. Try again.",
  budget_exceeded:
    "Your budget for this month is used up. Raise it, or wait for next month.",
  provider_budget_exceeded:
    `The budget for this AI service is used up for the month. ${OPERATOR}`,
  result_not_saved:
    "The result could not be saved. Try again; you do not pay twice.",
  outcome_unknown:
    `The connection to the AI service broke at the wrong moment, so we do not know yet whether the work was done. You do not pay twice. The people who run this service check it.`,
  // The client
  network_error:
    "There is no connection to the service. Check your network, and try again.",
  answer_invalid:
    "The service sent an unexpected answer. Try again in a moment.",
  wait_timeout: "This takes longer than usual. It keeps running.",
  // Auth
  invalid_credentials: "The email or the password is wrong.",
  email_not_confirmed:
    "Confirm your email first: open the link in the email that we sent you.",
  user_already_exists:
    "There is already an account with this email. Sign in instead.",
  email_exists: "There is already an account with this email. Sign in instead.",
  weak_password: "This password is too weak. Choose a longer one.",
  email_address_invalid: "This is not a valid email address.",
  signup_disabled: "This project takes no new accounts at the moment.",
  over_request_rate_limit: "Too many attempts. Wait a minute.",
  over_email_send_rate_limit: "Too many emails were sent. Wait an hour.",
  session_expired: "Your session has ended. Sign in again.",
  session_not_found: "Your session has ended. Sign in again.",
  refresh_token_not_found: "Your session has ended. Sign in again.",
};

/** Codes of jobs that fail again in any case: their own input is at fault, or another job comes first. */
const NOT_RETRYABLE: ReadonlySet<string> = new Set([
  "input_required",
  "input_url_invalid",
  "input_not_found",
  "input_type_not_allowed",
  "input_size_not_allowed",
  "metadata_invalid",
  "voice_not_found",
  "call_not_found",
  "slideshow_not_found",
  "slideshow_empty",
  "slideshow_too_large",
  "photo_not_found",
  "photo_not_printable",
  "text_not_printable",
  "output_too_large",
  "worker_limit_exceeded",
  "job_type_unknown",
  "provider_rejected_input",
  "provider_content_refused",
  "provider_answer_too_large",
  "provider_render_failed",
  "dependency_not_found",
  "dependency_failed",
  "outcome_unknown",
]);

/** Whether running the same job again can help, now or after something around it has changed. */
export function canRetryJob(code: string): boolean {
  return !NOT_RETRYABLE.has(code);
}

/** The text for a code; a general one for an unknown code. */
export function describeCode(code: string): string {
  return ERROR_WORDS[code] ?? OURS;
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === "object" && error !== null
    ? Reflect.get(error, "code")
    : undefined;
  return typeof code === "string" ? code : undefined;
}

function minutes(ms: number): string {
  const count = Math.max(1, Math.ceil(ms / 60_000));
  return count === 1 ? "a minute" : `${count} minutes`;
}

/** The text for any thrown value. */
export function describeError(error: unknown): string {
  const code = codeOf(error);
  // Of the file or, as here, of a Storage that is out of order.
  if (code === "upload_refused" && error instanceof ServiceUnavailable) {
    return describeCode("service_unavailable");
  }
  const known = code === undefined ? undefined : ERROR_WORDS[code];
  if (known !== undefined) {
    return error instanceof LimitReached && error.retryAfterMs !== undefined
      ? `${known} You can try again in ${minutes(error.retryAfterMs)}.`
      : known;
  }
  const name = error instanceof Error ? error.name : "";
  // postgrest-js makes an object of what fetch throws.
  const isUnsent = !(error instanceof Error) && code === "" &&
    /^(Type|Fetch)Error\b/.test(String(Reflect.get(Object(error), "message")));
  // fetch itself, in every browser; and supabase-js, around it.
  if (isUnsent || name === "TypeError" || name === "AuthRetryableFetchError") {
    return describeCode("network_error");
  }
  return OURS;
}
