/** How a call of a provider fails, and what that says about the money. */
import { ERROR_CATALOGUE, type ErrorCode, isTransient } from "./catalogue.ts";
import { JobFailure } from "./job-failure.ts";

/** Details of a failure beside its code. */
export interface ProviderFailureOptions {
  /** Whether another attempt can help, where the code alone does not say so. */
  isRetryable?: boolean;
  /** Status of the provider's answer, where there was one. */
  httpStatus?: number | undefined;
  /** The provider says that it has no such object. */
  isGone?: boolean | undefined;
  /** Seconds that the provider asks to wait. */
  retryAfterSeconds?: number | undefined;
  /** Replaces the catalogue's message where the case can be described more exactly; safe to show. */
  details?: string | undefined;
  /** For the log only. */
  cause?: unknown;
}

/**
 * A call of a provider failed. `certainty` says what that means for the money: `rejected` is a definite no, nothing was
 * made; after `unknown` it may have been made.
 */
export class ProviderFailure extends Error {
  override readonly name = "ProviderFailure";
  /** Whether another attempt can help. */
  readonly isRetryable: boolean;
  readonly httpStatus: number | undefined;
  /** The provider says that it has no such object. */
  readonly isGone: boolean;
  readonly retryAfterSeconds: number | undefined;
  readonly details: string | undefined;

  constructor(
    readonly code: ErrorCode,
    readonly certainty: "rejected" | "unknown",
    options: ProviderFailureOptions & { isRetryable: boolean },
  ) {
    super(code, { cause: options.cause });
    this.isRetryable = options.isRetryable;
    this.httpStatus = options.httpStatus;
    this.isGone = options.isGone ?? false;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.details = options.details;
  }

  /** Nothing was made. Retryable when the code's error stops by itself, unless the options say otherwise. */
  static rejected(
    code: ErrorCode,
    options: ProviderFailureOptions = {},
  ): ProviderFailure {
    return new ProviderFailure(code, "rejected", {
      ...options,
      isRetryable: options.isRetryable ?? isTransient(code),
    });
  }

  /** No usable answer: it may have been made. Retryable, unless the options say otherwise. */
  static unknown(
    code: ErrorCode,
    options: ProviderFailureOptions = {},
  ): ProviderFailure {
    return new ProviderFailure(code, "unknown", {
      ...options,
      isRetryable: options.isRetryable ?? true,
    });
  }

  /** A failure of the provider or of the job as a definite no, with its code. Every other error is returned as it is. */
  static asRejected(error: unknown): unknown {
    if (error instanceof ProviderFailure) {
      return error.certainty === "rejected"
        ? error
        : new ProviderFailure(error.code, "rejected", {
          isRetryable: error.isRetryable,
          httpStatus: error.httpStatus,
          isGone: error.isGone,
          retryAfterSeconds: error.retryAfterSeconds,
          details: error.details,
          cause: error.cause,
        });
    }
    return error instanceof JobFailure
      ? ProviderFailure.rejected(error.code, {
        isRetryable: error.isRetryable,
        cause: error,
      })
      : error;
  }

  /** Whether the only cause is that other calls of this account are in flight. Waiting for them spends no attempt. */
  get isOwnLoad(): boolean {
    return ERROR_CATALOGUE[this.code].transience === "own_load";
  }
}

/**
 * Runs what comes before the request within the sending of a paid call: nothing has been paid for yet, so a failure is a
 * definite no.
 *
 * @throws what `call` throws, as {@link ProviderFailure.asRejected}.
 */
export async function unpaid<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw ProviderFailure.asRejected(error);
  }
}
