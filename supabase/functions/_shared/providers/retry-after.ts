/** `Retry-After` of an answer (RFC 9110, section 10.2.3). */

const HTTP_DATE =
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * The seconds that the answer asks to wait, 0 or more; undefined when it asks for nothing or in a way that makes no
 * sense. A date is measured against the answer's own `Date`, so that the worker's clock does not count; without one it
 * counts as not given.
 */
export function retryAfterSeconds(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value);
  const date = headers.get("date")?.trim() ?? "";
  if (!HTTP_DATE.test(value) || !HTTP_DATE.test(date)) return undefined;
  const seconds = (Date.parse(value) - Date.parse(date)) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}
