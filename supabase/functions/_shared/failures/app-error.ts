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
 * Guarantees: `code` is in the catalogue; `message` is safe to show; `cause` is only logged. `details` replaces
 * the catalogue's message where the case can be described more exactly, and must be safe to show as well.
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

  /** HTTP status of a response with this error; 500 for a code that is only written on jobs. */
  get status(): number {
    return ERROR_CATALOGUE[this.code].status ?? 500;
  }
}
