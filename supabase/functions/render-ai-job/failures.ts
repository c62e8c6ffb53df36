/** How a keepsake fails for good. */
import type { ErrorCode } from "../_shared/failures/catalogue.ts";
import { JobFailure } from "../_shared/failures/job-failure.ts";

/** A failure that no further attempt can help. */
export function final(
  code: ErrorCode,
  details?: string,
  cause?: unknown,
): JobFailure {
  return JobFailure.final(code, { details, cause });
}

/**
 * What an error means that came up while a photo was read.
 *
 * @param slide the first that shows it, from 1.
 */
export function photoFailure(slide: number, error: unknown): unknown {
  return error instanceof JobFailure &&
      ["input_not_found", "input_url_invalid"].includes(error.code)
    ? final("photo_not_found", `slide ${slide}: its photo is not there`, error)
    : error;
}
