/**
 * What all calls of ElevenLabs share: what its errors mean, and plain requests.
 *
 * Error statuses and codes follow the provider's errors page and API reference; where those leave something open, the
 * outcome counts as unknown.
 */
import { z } from "zod";
import type { ErrorCode } from "../../failures/catalogue.ts";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import { readAnswer } from "../answer-text.ts";
import { retryAfterSeconds } from "../retry-after.ts";

/** How to reach an ElevenLabs account. */
export interface ElevenLabsAccess {
  apiKey: string | undefined;
  baseUrl: string;
  /** Bound of a call, body included, on top of the caller's signal. */
  timeoutSeconds: number;
  fetch: typeof fetch;
}

/** A request to a path of the API. */
export interface ElevenLabsRequest {
  method: "GET" | "POST" | "DELETE";
  /** Beginning with a slash, without the query. */
  path: string;
  query?: Readonly<Record<string, string>>;
  contentType?: string;
  /**
   * Always a stream: Deno sends a body of text or bytes again by itself when a kept connection was closed under it, and
   * a paid request must leave once.
   */
  body?: ReadableStream<Uint8Array>;
}

/** The failure of a deployment without a key: nothing was sent. */
export function missingKey(): ProviderFailure {
  return ProviderFailure.rejected("provider_unauthorized", {
    cause: new Error("ELEVENLABS_API_KEY is not set"),
  });
}

/** Most of an error's body that is read. */
const MAX_ERROR_BYTES = 65_536;

/**
 * Sends one request, once.
 *
 * @returns the answer when its status is 2xx; its body ends with the time-out and the signal as well.
 * @throws {ProviderFailure} for everything else.
 */
export async function requestElevenLabs(
  access: ElevenLabsAccess,
  request: ElevenLabsRequest,
  signal: AbortSignal,
): Promise<Response> {
  if (access.apiKey === undefined) throw missingKey();
  const url = new URL(access.baseUrl.replace(/\/$/, "") + request.path);
  for (const [name, value] of Object.entries(request.query ?? {})) {
    url.searchParams.set(name, value);
  }
  const timeout = AbortSignal.timeout(access.timeoutSeconds * 1000);
  const bounds = AbortSignal.any([signal, timeout]);
  try {
    const response = await access.fetch(url, {
      method: request.method,
      headers: {
        "xi-api-key": access.apiKey,
        ...(request.contentType === undefined
          ? {}
          : { "content-type": request.contentType }),
      },
      ...(request.body === undefined ? {} : { body: request.body }),
      // The key must not follow to wherever an answer points.
      redirect: "manual",
      signal: bounds,
    });
    if (response.ok) return response;
    throw toProviderFailure(
      {
        statusCode: response.status,
        body: await readErrorBody(response),
      },
      false,
      response.headers,
    );
  } catch (error) {
    throw toProviderFailure(error, bounds.aborted);
  }
}

/** Most bytes of JSON: twelve hours of talk, word by word. Parsed, they take eight times as much of an isolate's 256 MB. */
const MAX_JSON_BYTES = 20_971_520;

/**
 * The JSON body of an answer.
 *
 * @throws {ProviderFailure} unknown: of a paid request the work is done, and what came of it cannot be read;
 *   `provider_answer_too_large` (final) when it has more than 20 MiB.
 */
export async function readElevenLabsJson<T>(
  response: Response,
  schema: z.ZodType<T>,
): Promise<T> {
  let json: unknown;
  try {
    json = JSON.parse(await readAnswer(response, MAX_JSON_BYTES));
  } catch (error) {
    if (error instanceof ProviderFailure) throw error;
    throw error instanceof SyntaxError
      ? ProviderFailure.unknown("provider_answer_invalid", {
        httpStatus: response.status,
        cause: error,
      })
      : toProviderFailure(error, isTimeout(error));
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw ProviderFailure.unknown("provider_answer_invalid", {
    httpStatus: response.status,
    cause: parsed.error,
  });
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException &&
    (error.name === "TimeoutError" || error.name === "AbortError");
}

async function readErrorBody(response: Response): Promise<unknown> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ERROR_BYTES) break;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const httpError = z.object({
  statusCode: z.number().int(),
  /** Not there when the answer had none. */
  body: z.unknown().optional(),
});
const errorBody = z.object({
  detail: z.object({
    code: z.string().optional(),
    status: z.string().optional(),
    message: z.string().optional(),
  }),
});

/** Codes of a 4xx that say more than its status. Old answers carry them as `status`, newer ones as `code`. */
const REFUSAL_BY_CODE: ReadonlyMap<string | undefined, ErrorCode> = new Map([
  ["quota_exceeded", "provider_quota_exceeded"],
  ["payment_required", "provider_quota_exceeded"],
  ["voice_limit_reached", "provider_limit_reached"],
  ["voice_add_edit_limit_reached", "provider_limit_reached"],
  ["can_not_use_instant_voice_cloning", "provider_limit_reached"],
  ["ivc_not_permitted", "provider_limit_reached"],
  ["only_for_creator+", "provider_limit_reached"],
  // 400 by the errors page, 404 from some versions of the service.
  ["voice_not_found", "voice_not_found"],
  // Not on the errors page; met by others who call the API, all with 403.
  ["content_against_policy", "provider_content_refused"],
  ["famous_voice_not_permitted", "provider_content_refused"],
  ["voice_blocked_detected", "provider_content_refused"],
]);
/** Since 2026 the voice limit has been seen with the code `bad_request`; only its words tell. */
const VOICE_LIMIT = /maximum amount of custom voices/i;

/** The 429 that the account's own other calls cause: it passes when they end, however often one asks meanwhile. */
const CONCURRENCY_CODES: ReadonlySet<string | undefined> = new Set([
  "too_many_concurrent_requests",
  "concurrent_limit_exceeded",
]);

const REFUSAL_BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map([
  [401, "provider_unauthorized"],
  [402, "provider_quota_exceeded"],
  [403, "provider_unauthorized"],
  [451, "provider_content_refused"],
]);

/** Statuses below 500 that leave open whether anything was made. */
const UNCLEAR_STATUSES: ReadonlySet<number> = new Set([408, 409, 425]);

/**
 * What an error of the package, or an answer of a plain request, means. Definite noes: 4xx other than 408, 409 and 425, and every 429. All else (5xx,
 * time-outs, lost connections, answers that make no sense) may hide a voice that was made.
 *
 * @param headers of the answer, where there was one: its `Retry-After` goes with the failure.
 */
export function toProviderFailure(
  error: unknown,
  isTimeout: boolean,
  headers?: Headers,
): ProviderFailure {
  if (error instanceof ProviderFailure) return error;
  const http = httpError.safeParse(error);
  if (!http.success) {
    const code = isTimeout
      ? "provider_timeout"
      : error instanceof z.ZodError
      ? "provider_answer_invalid"
      : "provider_unavailable";
    return ProviderFailure.unknown(code, { cause: error });
  }
  const status = http.data.statusCode;
  const pause = headers === undefined ? undefined : retryAfterSeconds(headers);
  const details = {
    httpStatus: status,
    cause: error,
    ...(pause === undefined ? {} : { retryAfterSeconds: pause }),
  };
  const detail = errorBody.safeParse(http.data.body).data?.detail;
  if (status === 429) {
    return [detail?.code, detail?.status].some((one) =>
        CONCURRENCY_CODES.has(one)
      )
      ? ProviderFailure.rejected("provider_concurrency_limited", {
        ...details,
      })
      : ProviderFailure.rejected("provider_rate_limited", details);
  }
  if (status < 400 || status >= 500 || UNCLEAR_STATUSES.has(status)) {
    return ProviderFailure.unknown("provider_unavailable", details);
  }
  const code = REFUSAL_BY_CODE.get(detail?.code) ??
    REFUSAL_BY_CODE.get(detail?.status) ??
    (VOICE_LIMIT.test(detail?.message ?? "")
      ? "provider_limit_reached"
      : REFUSAL_BY_STATUS.get(status) ?? "provider_rejected_input");
  return ProviderFailure.rejected(code, details);
}
