/**
 * Every error of the client. Each has a `code` that never changes, and says whether the same call may succeed later.
 */
import type { Spend } from "./job-types.ts";

/** The details of an error. */
export interface ErrorDetails {
  code: string;
  /** Identifies the request in the log of the function. */
  requestId?: string | undefined;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/**
 * The base of all errors. Use {@link isAiJobsError} instead of `instanceof` where two copies of the package may meet.
 */
export class AiJobsError extends Error {
  override name = "AiJobsError";
  readonly isAiJobsError = true;
  readonly code: string;
  readonly requestId: string | undefined;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean = false;
  /** How long to wait before the same call, if the service says so. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, details: ErrorDetails) {
    super(message, details);
    this.code = details.code;
    this.requestId = details.requestId;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** Which part of a request is wrong, and why. `field` is a path such as `metadata.text`. */
export interface FieldError {
  field: string;
  message: string;
}

/** The request is not valid; repeating it does not help. */
export class RequestInvalid extends AiJobsError {
  override name = "RequestInvalid";
  readonly fields: readonly FieldError[];

  constructor(
    message: string,
    details: ErrorDetails & { fields?: readonly FieldError[] },
  ) {
    super(message, details);
    this.fields = details.fields ?? [];
  }

  /** The problem of one field. */
  fieldErrors(field: string): string[] {
    return this.fields.filter((one) => one.field === field)
      .map(({ message }) => message);
  }
}

/** There is no session, or it has ended. */
export class NotSignedIn extends AiJobsError {
  override name = "NotSignedIn";
}

/** There is no such job or object, or it belongs to another user. */
export class NotFound extends AiJobsError {
  override name = "NotFound";
}

/** The job is in a state that does not allow this. */
export class Conflict extends AiJobsError {
  override name = "Conflict";
}

/** The user has reached a limit, or the account is too new (`account_not_established`). */
export class LimitReached extends AiJobsError {
  override name = "LimitReached";
  override readonly retryable = true;
}

/** The service cannot handle the request now. */
export class ServiceUnavailable extends AiJobsError {
  override name = "ServiceUnavailable";
  override readonly retryable = true;
}

/** No response arrived. Whether the request was received is unknown. */
export class NetworkError extends AiJobsError {
  override name = "NetworkError";
  override readonly retryable = true;
}

/** The job has failed; `code` and message are the job's own. */
export class JobFailed extends AiJobsError {
  override name = "JobFailed";
  readonly jobId: string;
  /** Whether money was spent nevertheless. */
  readonly spend: Spend;

  constructor(
    message: string,
    details: ErrorDetails & { jobId: string; spend: Spend },
  ) {
    super(message, details);
    this.jobId = details.jobId;
    this.spend = details.spend;
  }
}

/** The job was cancelled. */
export class JobCancelled extends AiJobsError {
  override name = "JobCancelled";
  readonly jobId: string;
  readonly spend: Spend;

  constructor(jobId: string, spend: Spend) {
    super("The job was cancelled.", { code: "cancelled" });
    this.jobId = jobId;
    this.spend = spend;
  }
}

/** The job has not ended within the time limit of `wait`. The job continues. */
export class WaitTimeout extends AiJobsError {
  override name = "WaitTimeout";
  override readonly retryable = true;
  readonly jobId: string;

  constructor(jobId: string, timeoutMs: number) {
    super(`The job has not ended within ${timeoutMs} ms; it continues.`, {
      code: "wait_timeout",
    });
    this.jobId = jobId;
  }
}

/** Whether an error comes from this package, also from another copy of it. */
export function isAiJobsError(error: unknown): error is AiJobsError {
  return error instanceof Error && "isAiJobsError" in error &&
    error.isAiJobsError === true;
}
