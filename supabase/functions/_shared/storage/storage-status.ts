/** The status of an error of Storage. */
import { StorageApiError } from "@supabase/supabase-js";

/** Storage's codes for an object or a bucket that does not exist. */
const ABSENT = ["NoSuchKey", "NoSuchBucket", "not_found"];

/**
 * The status that Storage means, or 0 when it did not respond. It sends many errors as HTTP 400 with the status in the body
 * (`statusCode`, `code`), among them those of an unavailable database.
 */
export function storageStatus(error: Error): number {
  if (!(error instanceof StorageApiError)) return 0;
  if (ABSENT.includes(error.code ?? error.statusCode)) return 404;
  const meant = Number(error.statusCode);
  return Number.isInteger(meant) && meant >= 400 && meant <= 599
    ? meant
    : error.status;
}
