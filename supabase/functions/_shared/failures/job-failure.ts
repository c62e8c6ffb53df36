/** How an attempt of a job fails. */
import { AppError } from "./app-error.ts";
import type { ErrorCode } from "./catalogue.ts";

/** Details of a failure besides its code. */
export interface JobFailureOptions {
  /** Seconds to wait before the next attempt; the database's backoff when it is not set. */
  retryAfterSeconds?: number | undefined;
  /** Replaces the catalogue's message where the case can be described more exactly; safe to show. */
  details?: string | undefined;
  /** For the log only. */
  cause?: unknown;
}

/**
 * The attempt failed. The owner sees the code's message or `details`; `cause` is only logged. The database decides
 * whether attempts are left.
 */
export class JobFailure extends AppError {
  /** Whether another attempt can help. */
  readonly isRetryable: boolean;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    options: JobFailureOptions & { isRetryable: boolean },
  ) {
    super(code, { details: options.details, cause: options.cause });
    this.isRetryable = options.isRetryable;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** Another attempt can help. */
  static retryable(
    code: ErrorCode,
    options: JobFailureOptions = {},
  ): JobFailure {
    return new JobFailure(code, { ...options, isRetryable: true });
  }

  /** No further attempt can help. */
  static final(code: ErrorCode, options: JobFailureOptions = {}): JobFailure {
    return new JobFailure(code, { ...options, isRetryable: false });
  }
}
