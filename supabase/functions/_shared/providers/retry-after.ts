/** `Retry-After` of a provider's response (RFC 9110, section 10.2.3). */

const HTTP_DATE =
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
/** The longest delay that is accepted: a day. */
const MAX_SECONDS = 86_400;

/**
 * The requested delay in seconds, 0 to 86,400; undefined when the header is missing or unreadable. A date is measured
 * against the response's own `Date`, so that the worker's clock does not matter; without `Date` it is unreadable.
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
