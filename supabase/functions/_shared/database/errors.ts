/** Maps errors of the Data API to our codes: the only mapping from SQLSTATE. */
import { AppError } from "../failures/app-error.ts";
import type { ErrorCode } from "../failures/catalogue.ts";

/**
 * Our code for each SQLSTATE of this project (AJ…) that a function can receive. Other states come from writes that no
 * function performs; docs/error-codes.md lists them as well.
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
  AJ075: "not_found",
  AJ095: "operator_required",
  AJ096: "redrive_count_changed",
  AJ097: "job_not_parked",
  AJ098: "provider_object_mismatch",
  AJ099: "provider_object_id_invalid",
  AJ039: "unused_uploads_exceeded",
  AJ040: "dispatch_stale",
  AJ041: "dispatch_replayed",
  AJ042: "webhook_stale",
  AJ043: "unused_upload_bytes_exceeded",
};

/**
 * States of a temporary outage. No state at all: the Data API did not respond. Otherwise lost connections,
 * insufficient resources, a stopped server or statement, deadlocks and lock timeouts, and a Data API without database.
 */
const TRANSIENT_STATES =
  /^(|08...|53...|57...|40001|40P01|55P03|PGRST00[0-3])$/;

const FOREIGN_KEY_VIOLATION = "23503";

/**
 * A row refers to something that was deleted: the caller's account, whose token is still valid for a while, or another
 * row.
 */
function missingReference(details: string): ErrorCode {
  return details.includes('is not present in table "users"')
    ? "account_not_found"
    : "not_found";
}

/**
 * The {@link AppError} for an error of the Data API. This project's states (AJ…) keep their message, which is safe to
 * show, and their DETAIL as the field. Everything else is `internal_error`, or `service_unavailable` when the database
 * is unreachable, overloaded, or cancels the statement.
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
      TRANSIENT_STATES.test(error.code ?? "")
        ? "service_unavailable"
        : "internal_error",
      { cause: error },
    );
  }
  const field = error.details ?? "";
  // The message begins with its field, which is reported separately.
  const message = error.message.startsWith(`${field} `)
    ? error.message.slice(field.length + 1)
    : error.message;
  return new AppError(code, {
    details: error.message,
    fields: field === "" ? [] : [{ field, message }],
    cause: error,
  });
}
