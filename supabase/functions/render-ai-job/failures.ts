/** How a keepsake fails because of a photo. */
import { JobFailure } from "../_shared/failures/job-failure.ts";

/** A photo that cannot be printed; `problem` completes the sentence "the photo …". */
export function notPrintable(
  slide: number,
  problem: string,
  cause?: unknown,
): JobFailure {
  return JobFailure.final("photo_not_printable", {
    details: `slide ${slide}: the photo ${problem}`,
    cause,
  });
}

/** A photo that Storage no longer has. */
export function photoMissing(slide: number, cause?: unknown): JobFailure {
  return JobFailure.final("photo_not_found", {
    details: `slide ${slide}: its photo does not exist`,
    cause,
  });
}

/**
 * Turns an error from reading a photo into the one to throw: `photo_not_found` (final) when the photo does not exist, else
 * the error itself.
 *
 * @param slide the first that shows the photo, from 1.
 */
export function photoFailure(slide: number, error: unknown): unknown {
  return error instanceof JobFailure &&
      ["input_not_found", "input_url_invalid"].includes(error.code)
    ? photoMissing(slide, error)
    : error;
}
