/** One HTTP request to a provider, and what its answer says about the money. For providers that we call without a package. */
import { z } from "zod";
import type { ErrorCode } from "../failures/catalogue.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import { readAnswer } from "./answer-text.ts";

/** How a provider is reached. */
export interface Wire {
  fetch: typeof fetch;
  baseUrl: string;
  /** Bound of a request, body included, on top of the caller's signal. */
  timeoutSeconds: number;
  /** Headers of every request: the key. */
  headers: Readonly<Record<string, string>>;
  /** What an error answer means; see {@link statusFailure}. */
  toFailure(answer: WireAnswer): ProviderFailure;
}

/** An answer whose status is not 2xx. `body` is the parsed JSON, or undefined. */
export interface WireAnswer {
  status: number;
  body: unknown;
  retryAfterSeconds: number | undefined;
}

/** Most bytes of an answer: a list of 100 objects is about 200 kB. */
const MAX_ANSWER_BYTES = 4_194_304;

/**
 * Sends one request, never again by itself, and answers with the checked body.
 *
 * @param body sent as JSON when it is not a form. As a Blob, since Deno sends a text again by itself when the connection
 *   that it reuses turns out to be closed: the paid call would go out twice.
 * @throws {ProviderFailure} and nothing else: `provider_timeout` or `provider_unavailable` (unknown) without an answer,
 *   what `toFailure` makes of a status other than 2xx, `provider_answer_invalid` (unknown) when `schema` does not fit,
 *   and what {@link readAnswer} throws.
 */
export async function callProvider<T>(
  wire: Wire,
  request: {
    method: "GET" | "POST" | "DELETE";
    path: string;
    headers?: Readonly<Record<string, string>>;
    body?: FormData | Readonly<Record<string, unknown>>;
  },
  schema: z.ZodType<T>,
  signal: AbortSignal,
): Promise<T> {
  const timeout = AbortSignal.timeout(wire.timeoutSeconds * 1000);
  let response: Response;
  let text: string;
  try {
    response = await wire.fetch(
      `${wire.baseUrl.replace(/\/$/, "")}${request.path}`,
      {
        method: request.method,
        headers: {
          ...wire.headers,
          ...request.headers,
          accept: "application/json",
          ...(request.body === undefined || request.body instanceof FormData
            ? {}
            : { "content-type": "application/json" }),
        },
        ...(request.body === undefined ? {} : {
          body: request.body instanceof FormData
            ? request.body
            : new Blob([JSON.stringify(request.body)]),
        }),
        // The key goes to this address and to no other.
        redirect: "manual",
        signal: AbortSignal.any([signal, timeout]),
      },
    );
    text = await readAnswer(response, MAX_ANSWER_BYTES);
  } catch (cause) {
    if (cause instanceof ProviderFailure) throw cause;
    throw ProviderFailure.unknown(
      timeout.aborted || signal.aborted
        ? "provider_timeout"
        : "provider_unavailable",
      { cause },
    );
  }
  const body = parseJson(text);
  if (!response.ok) {
    throw wire.toFailure({
      status: response.status,
      body,
      retryAfterSeconds: retryAfter(response.headers),
    });
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) {
    throw ProviderFailure.unknown("provider_answer_invalid", {
      httpStatus: response.status,
      cause: parsed.error,
    });
  }
  return parsed.data;
}

/**
 * What an error status means where the provider's own words say no more. Definite noes: 4xx other than 408, 409 and 425,
 * and every 429. All else (5xx, redirects) may hide something that was made.
 *
 * @param named the code that the provider's own words stand for; wins over the status of a definite no.
 */
export function statusFailure(
  { status, retryAfterSeconds }: WireAnswer,
  cause: unknown,
  named: ErrorCode | undefined,
): ProviderFailure {
  const details = {
    httpStatus: status,
    cause,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
  const refuse = (code: ErrorCode, isRetryable = false) =>
    ProviderFailure.rejected(code, { ...details, isRetryable });
  if (status === 429) return refuse("provider_rate_limited", true);
  if (status >= 400 && status < 500 && ![408, 409, 425].includes(status)) {
    if (named !== undefined) return refuse(named);
    if (status === 402) return refuse("provider_quota_exceeded");
    if (status === 401 || status === 403) {
      return refuse("provider_unauthorized");
    }
    return refuse("provider_rejected_input");
  }
  return ProviderFailure.unknown("provider_unavailable", details);
}

/**
 * Makes what comes before the request within the sending of a paid call: nothing has been paid for yet, so that a
 * failure is a definite no.
 *
 * @throws {ProviderFailure} `rejected`, for a failure of the provider and for a {@link JobFailure}, with its code. What is
 *   neither is thrown as it is.
 */
export async function unpaid<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw ProviderFailure.asRejected(error);
  }
}

/** Whether the provider says that there is no such thing. */
export function isMissing(error: unknown): boolean {
  return error instanceof ProviderFailure && error.httpStatus === 404;
}

/**
 * What it means when something that was made is not there: deleted behind our back, or not to be seen yet. Worth another
 * look, and no fault of the input.
 */
export function asLost(error: unknown): unknown {
  return isMissing(error)
    ? ProviderFailure.unknown("provider_answer_invalid", {
      httpStatus: 404,
      cause: error,
    })
    : error;
}

/** The failure of a call that cannot be made without a key. */
export function missingKey(variable: string): ProviderFailure {
  return ProviderFailure.rejected("provider_unauthorized", {
    cause: new Error(`${variable} is not set`),
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `Retry-After` in seconds; a date is left aside, since it would need this worker's clock to be right. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after") ?? "";
  return /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}
