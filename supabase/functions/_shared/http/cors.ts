/** What a page of another origin may send to an endpoint and read from its response. */
import { corsHeaders } from "@supabase/supabase-js/cors";

/**
 * Every request header that a preflight allows. A header that is missing here keeps the browser from sending the
 * request at all, so the list has all that supabase-js, tracing and our own endpoints use.
 */
export const ALLOWED_REQUEST_HEADERS: readonly string[] = [
  // supabase-js keeps these: authorization, apikey, traceparent, … (src/cors.ts of the package).
  ...(corsHeaders["Access-Control-Allow-Headers"] ?? "").split(", "),
  // functions-js sends it when `invoke` names a region, and the package's own list lacks it.
  "x-region",
  // Sentry's browser SDK adds it, and `baggage`, to the addresses of `tracePropagationTargets`
  // (https://docs.sentry.io/platforms/javascript/tracing/distributed-tracing/dealing-with-cors-issues/).
  "sentry-trace",
  // Our own endpoints read these.
  "idempotency-key",
  "x-request-id",
];

/** Headers that let a page on another origin call an endpoint and read the response headers that it needs. */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  ...corsHeaders,
  "Access-Control-Allow-Headers": ALLOWED_REQUEST_HEADERS.join(", "),
  "Access-Control-Expose-Headers": "location, retry-after, x-request-id",
  "Access-Control-Max-Age": "86400",
};
