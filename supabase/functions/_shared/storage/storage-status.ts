/** What an error of Storage says. */
import { StorageApiError } from "@supabase/supabase-js";

/** Codes of Storage for an object, or a bucket, that is not there. */
const ABSENT = ["NoSuchKey", "NoSuchBucket", "not_found"];

/**
 * The status that Storage means, or 0 when it did not answer: it sends many of its errors as HTTP 400, with the status in
 * the body (`statusCode`, `code`), among them those of a database that is away.
 */
export function storageStatus(error: Error): number {
  if (!(error instanceof StorageApiError)) return 0;
  if (ABSENT.includes(error.code ?? error.statusCode)) return 404;
  const meant = Number(error.statusCode);
  return Number.isInteger(meant) && meant >= 400 && meant <= 599
    ? meant
    : error.status;
}
