/** One request of pg_net: sent, and its response or failure as the row that records it. */
import { z } from "zod";
import { abortableFetch } from "../../../../supabase/functions/_shared/platform/abortable-fetch.ts";

const send = abortableFetch(fetch);

/** A row of `net.http_request_queue`. */
export const requestRow = z.object({
  id: z.coerce.number().int(),
  method: z.string(),
  url: z.string(),
  // Headers may hold any JSON; like the original, this reads the text of each value.
  headers: z.record(z.string(), z.coerce.string()).nullable(),
  body: z.instanceof(Uint8Array).nullable(),
  timeout_milliseconds: z.number().int(),
});
/** See {@link requestRow}. */
export type QueuedRequest = z.infer<typeof requestRow>;

/** A row of `net._http_response`, with the column names of the original. */
export interface DeliveryResult {
  id: number;
  status_code: number | null;
  content_type: string | null;
  headers: Record<string, string> | null;
  content: string | null;
  timed_out: boolean;
  error_msg: string | null;
}

/**
 * Sends a request and reads its response, within its timeout: one that is late or fails is a result too. Rejects only
 * when `stopping` is aborted.
 */
export async function deliver(
  request: QueuedRequest,
  stopping: AbortSignal,
): Promise<DeliveryResult> {
  const started = performance.now();
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(),
    request.timeout_milliseconds,
  );
  const failed = (timedOut: boolean, message: string): DeliveryResult => ({
    id: request.id,
    status_code: null,
    content_type: null,
    headers: null,
    content: null,
    timed_out: timedOut,
    error_msg: message,
  });
  try {
    const response = await send(request.url, {
      method: request.method.toUpperCase(),
      headers: { "user-agent": "pg_net/0.20.5", ...request.headers },
      body: request.body === null ? null : new Uint8Array(request.body),
      signal: AbortSignal.any([timeout.signal, stopping]),
    });
    const content = await response.text();
    return {
      id: request.id,
      status_code: response.status,
      content_type: response.headers.get("content-type"),
      headers: Object.fromEntries(response.headers),
      // A text in Postgres cannot contain a zero character.
      content: content.replaceAll("\0", ""),
      timed_out: false,
      error_msg: null,
    };
  } catch (error) {
    if (stopping.aborted) throw error;
    if (timeout.signal.aborted) {
      const total = Math.round(performance.now() - started);
      return failed(
        true,
        `Timeout of ${request.timeout_milliseconds} ms reached. Total time: ${total} ms`,
      );
    }
    return failed(false, error instanceof Error ? error.message : `${error}`);
  } finally {
    clearTimeout(timer);
  }
}
