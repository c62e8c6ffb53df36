/** `Retry-After` of a provider's answer (RFC 9110, section 10.2.3). */

const HTTP_DATE =
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
/** No answer may postpone a job for longer: a day. */
const MAX_SECONDS = 86_400;

/**
 * The seconds that the answer asks to wait, 0 to 86,400; undefined without the header and when it cannot be read. A date
 * is measured against the answer's own `Date`, so that the worker's clock does not matter; without `Date` it cannot be
 * read.
 */
export function retryAfterSeconds(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Math.min(Number(value), MAX_SECONDS);
  const date = headers.get("date")?.trim() ?? "";
  if (!HTTP_DATE.test(value) || !HTTP_DATE.test(date)) return undefined;
  const seconds = (Date.parse(value) - Date.parse(date)) / 1000;
  return Number.isNaN(seconds)
    ? undefined
    : Math.min(Math.max(0, seconds), MAX_SECONDS);
}
