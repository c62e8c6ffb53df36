/** One HTTP request to a provider, and whether its response means that money was spent. All provider clients use it. */
import type { z } from "zod";
import type { ErrorCode } from "../failures/catalogue.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import { boundedChunks, textOf } from "../platform/bounded-body.ts";
import { retryAfterSeconds } from "./retry-after.ts";

/** How an account at a provider is reached. */
export interface ProviderAccess {
  /** Undefined when the deployment has none; then nothing is sent. */
  apiKey: string | undefined;
  baseUrl: string;
  /** Bound of a request, body included, on top of the caller's signal. */
  timeoutSeconds: number;
  fetch: typeof fetch;
}

/** What distinguishes one provider's API from another's. */
export interface ProviderDialect {
  /** The environment variable of the key, for the log. */
  keyVariable: string;
  /** The headers that carry the key. */
  authorize(apiKey: string): Readonly<Record<string, string>>;
  /** Reads the provider's own error codes; see {@link answerFailure}. */
  readError(answer: ErrorAnswer): ErrorMeaning;
  /** Maximum number of bytes of a JSON response. @default 4 MiB: a list of 100 objects has about 200 kB. */
  maxJsonBytes?: number;
}

/** A response whose status is not 2xx. */
export interface ErrorAnswer {
  status: number;
  /** The parsed JSON, the text when it is not JSON, or undefined. */
  body: unknown;
}

/** What a provider's own error code adds to the HTTP status. */
export interface ErrorMeaning {
  /** Our code for a definite refusal; the status decides when it is undefined. */
  code?: ErrorCode | undefined;
  /** The provider says that it has no such object. A 404 or 410 implies it. */
  isGone?: boolean;
}

/** A request to a path of the API. At most one of `json`, `form` and `stream` is the body. */
export interface WireRequest {
  method: "GET" | "POST" | "DELETE";
  /** Begins with a slash, without the query. */
  path: string;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  json?: Readonly<Record<string, unknown>>;
  form?: FormData;
  stream?: { contentType: string; body: ReadableStream<Uint8Array> };
}

/** A response with a status of 2xx. Its body must be read or cancelled. */
export interface Answer {
  status: number;
  headers: Headers;
  body: ReadableStream<Uint8Array> | null;
  /** See {@link Wire.json}. */
  json<T>(schema: z.ZodType<T>): Promise<T>;
}

/** The API of one account. Every method throws {@link ProviderFailure} and nothing else. */
export interface Wire {
  /**
   * Sends one request and never repeats it.
   *
   * @throws {ProviderFailure} `provider_unauthorized` (rejected) without a key; `provider_timeout` or
   *   `provider_unavailable` (unknown) without a response; {@link answerFailure} for a status other than 2xx.
   */
  send(request: WireRequest, signal: AbortSignal): Promise<Answer>;
  /**
   * Sends one request and returns the checked JSON of its response.
   *
   * @throws {ProviderFailure} as `send`; unknown, since the provider has processed a paid request:
   *   `provider_answer_invalid` when the body does not fit, `provider_answer_too_large` (final), and `provider_timeout`
   *   or `provider_unavailable` when the body ends early.
   */
  json<T>(
    request: WireRequest,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T>;
  /** Whether the object at `path` exists. */
  has(path: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Reads an object that is known to exist. If it is gone, it was deleted elsewhere or is not visible yet:
   * `provider_answer_invalid`, which is retryable, {@link isGone}, and not a fault of the input.
   */
  readMade<T>(
    path: string,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T>;
  /** Deletes the object at `path`. Succeeds if it does not exist any more. */
  remove(path: string, signal: AbortSignal): Promise<void>;
}

const MAX_JSON_BYTES = 4_194_304;
/** Largest error body that is read; of a larger one only the status counts. */
const MAX_ERROR_BYTES = 65_536;

/** The API of a provider with this `dialect`, for one account. */
export function createWire(
  access: ProviderAccess,
  dialect: ProviderDialect,
): Wire {
  const base = access.baseUrl.replace(/\/$/, "");

  async function send(
    request: WireRequest,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { apiKey } = access;
    if (apiKey === undefined) throw missingKey(dialect);
    const url = new URL(base + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      url.searchParams.set(name, value);
    }
    const bounds = AbortSignal.any([
      signal,
      AbortSignal.timeout(access.timeoutSeconds * 1000),
    ]);
    const noAnswer = (cause: unknown) =>
      ProviderFailure.unknown(
        bounds.aborted ? "provider_timeout" : "provider_unavailable",
        { cause },
      );
    let response: Response;
    try {
      response = await access.fetch(url, {
        method: request.method,
        headers: {
          ...dialect.authorize(apiKey),
          ...request.headers,
          ...contentType(request),
        },
        ...bodyOf(request),
        // The key is sent to this address only.
        redirect: "manual",
        signal: bounds,
      });
      if (!response.ok) throw await readFailure(response, dialect);
    } catch (cause) {
      throw cause instanceof ProviderFailure ? cause : noAnswer(cause);
    }
    const { status, headers, body } = response;
    return {
      status,
      headers,
      body,
      json: async (schema) => {
        let text: string;
        try {
          text = await readText(body, status, dialect);
        } catch (cause) {
          throw cause instanceof ProviderFailure ? cause : noAnswer(cause);
        }
        return checked(text, schema, status);
      },
    };
  }

  const json: Wire["json"] = async (request, schema, signal) => {
    const headers = { accept: "application/json", ...request.headers };
    return await (await send({ ...request, headers }, signal)).json(schema);
  };

  const ignoringBody = async (request: WireRequest, signal: AbortSignal) => {
    const { body } = await send(request, signal);
    await body?.cancel();
  };

  return {
    send,
    json,

    async has(path, signal) {
      try {
        await ignoringBody({ method: "GET", path }, signal);
        return true;
      } catch (error) {
        if (isGone(error)) return false;
        throw error;
      }
    },

    async readMade(path, schema, signal) {
      try {
        return await json({ method: "GET", path }, schema, signal);
      } catch (error) {
        if (!isGone(error)) throw error;
        throw ProviderFailure.unknown("provider_answer_invalid", {
          httpStatus: error.httpStatus,
          isGone: true,
          cause: error,
        });
      }
    },

    async remove(path, signal) {
      try {
        await ignoringBody({ method: "DELETE", path }, signal);
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    },
  };
}

/** Whether the provider says that it has no such object. */
export function isGone(error: unknown): error is ProviderFailure {
  return error instanceof ProviderFailure && error.isGone;
}

/** The failure of a deployment without a key: nothing was sent. */
export function missingKey(
  { keyVariable }: Pick<ProviderDialect, "keyVariable">,
): ProviderFailure {
  return ProviderFailure.rejected("provider_unauthorized", {
    cause: new Error(`${keyVariable} is not set`),
  });
}

const CODE_BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map([
  [401, "provider_unauthorized"],
  [402, "provider_quota_exceeded"],
  [403, "provider_unauthorized"],
  [451, "provider_content_refused"],
]);
/** Statuses below 500 that do not say whether anything was made. */
const UNCLEAR_STATUSES: readonly number[] = [408, 409, 425];
const GONE_STATUSES: readonly number[] = [404, 410];

/**
 * The failure for an error response. Definite refusals: 4xx other than 408, 409 and 425, and every 429; the provider's
 * own error code takes precedence over the status.
 * After every other status (5xx, redirects) something may have been made.
 *
 * @param options.cause for the log; the body when it is not set.
 */
export function answerFailure(
  answer: ErrorAnswer,
  meaning: ErrorMeaning,
  options: { headers?: Headers | undefined; cause?: unknown } = {},
): ProviderFailure {
  const { status } = answer;
  const details = {
    httpStatus: status,
    isGone: meaning.isGone || GONE_STATUSES.includes(status),
    cause: options.cause ?? answer.body,
    retryAfterSeconds: options.headers && retryAfterSeconds(options.headers),
  };
  if (status === 429) {
    return ProviderFailure.rejected(
      meaning.code === "provider_concurrency_limited"
        ? meaning.code
        : "provider_rate_limited",
      details,
    );
  }
  if (status < 400 || status >= 500 || UNCLEAR_STATUSES.includes(status)) {
    return ProviderFailure.unknown("provider_unavailable", details);
  }
  return ProviderFailure.rejected(
    meaning.code ?? CODE_BY_STATUS.get(status) ?? "provider_rejected_input",
    details,
  );
}

async function readFailure(
  response: Response,
  dialect: ProviderDialect,
): Promise<ProviderFailure> {
  const tooLarge = new Error(`the error has over ${MAX_ERROR_BYTES} bytes`);
  let body: unknown;
  try {
    const text = await textOf(
      boundedChunks(response.body, MAX_ERROR_BYTES, () => tooLarge),
    );
    body = parseJson(text) ?? text;
  } catch (error) {
    if (error !== tooLarge) throw error;
  }
  const answer = { status: response.status, body };
  return answerFailure(answer, dialect.readError(answer), {
    headers: response.headers,
  });
}

function readText(
  body: ReadableStream<Uint8Array> | null,
  httpStatus: number,
  { maxJsonBytes = MAX_JSON_BYTES }: ProviderDialect,
): Promise<string> {
  const tooLarge = () =>
    ProviderFailure.unknown("provider_answer_too_large", {
      isRetryable: false,
      httpStatus,
      cause: new Error(`the response has more than ${maxJsonBytes} bytes`),
    });
  return textOf(boundedChunks(body, maxJsonBytes, tooLarge));
}

function checked<T>(
  text: string,
  schema: z.ZodType<T>,
  httpStatus: number,
): T {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw ProviderFailure.unknown("provider_answer_invalid", {
    httpStatus,
    cause: parsed.error,
  });
}

function contentType({ json, stream }: WireRequest): Record<string, string> {
  if (stream !== undefined) return { "content-type": stream.contentType };
  return json === undefined ? {} : { "content-type": "application/json" };
}

/**
 * A JSON body is a Blob: Deno automatically resends a text when a reused connection turns out to be closed, and a paid
 * call would be sent twice.
 */
function bodyOf({ json, form, stream }: WireRequest): RequestInit {
  if (stream !== undefined) return { body: stream.body };
  if (form !== undefined) return { body: form };
  return json === undefined ? {} : { body: new Blob([JSON.stringify(json)]) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
