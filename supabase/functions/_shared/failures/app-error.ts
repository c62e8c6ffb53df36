/** The base class of every error that has a code of the catalogue. */
import { ERROR_CATALOGUE, type ErrorCode } from "./catalogue.ts";

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
    options: {
      details?: string | undefined;
      fields?: FieldError[];
      cause?: unknown;
    } = {},
  ) {
    super(options.details ?? ERROR_CATALOGUE[code].message, {
      cause: options.cause,
    });
    this.code = code;
    this.fields = options.fields ?? [];
  }

  /** HTTP status of an answer with this error; a job-only code that escapes into an answer is a 500. */
  get status(): number {
    return ERROR_CATALOGUE[this.code].status ?? 500;
  }
}
