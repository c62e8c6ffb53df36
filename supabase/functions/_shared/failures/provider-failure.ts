/** How a call of a provider fails, and whether it may have cost money. */
import { ERROR_CATALOGUE, type ErrorCode, isTransient } from "./catalogue.ts";
import { JobFailure } from "./job-failure.ts";

/** Details of a failure besides its code. */
export interface ProviderFailureOptions {
  /** Whether another attempt can help, where the code alone does not decide it. */
  isRetryable?: boolean;
  /** HTTP status of the provider's response, if there was one. */
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
 * A call of a provider failed. `certainty` says whether it may have cost money: `rejected` is a definite refusal, and
 * nothing was made; after `unknown` something may have been made.
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

  /** Nothing was made. Retryable when the code's error is temporary, unless the options say otherwise. */
  static rejected(
    code: ErrorCode,
    options: ProviderFailureOptions = {},
  ): ProviderFailure {
    return new ProviderFailure(code, "rejected", {
      ...options,
      isRetryable: options.isRetryable ?? isTransient(code),
    });
  }

  /** No usable response: something may have been made. Retryable, unless the options say otherwise. */
  static unknown(
    code: ErrorCode,
    options: ProviderFailureOptions = {},
  ): ProviderFailure {
    return new ProviderFailure(code, "unknown", {
      ...options,
      isRetryable: options.isRetryable ?? true,
    });
  }

  /**
   * Converts a failure of the provider or of the job to a definite refusal with its code. Returns every other error
   * unchanged.
   */
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

  /**
   * Whether the only cause is that other calls of this account are in flight. Waiting for them does not use up the
   * attempt.
   */
  get isOwnLoad(): boolean {
    return ERROR_CATALOGUE[this.code].transience === "own_load";
  }
}

/**
 * Runs the steps of a paid call before its request is sent: nothing has been paid for yet, so a failure is a definite
 * refusal.
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
