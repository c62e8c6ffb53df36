/** The common part of every endpoint: method, CORS, request id, time budget, errors, one log line. */
import { abortable } from "@std/async/abortable";
import { readTrace } from "../contracts/traceparent.ts";
import type { Env } from "../config/env.ts";
import { secretsOf } from "../config/env.ts";
import { AppError } from "../failures/app-error.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import { createLogger, type Logger } from "../platform/log.ts";
import { CORS_HEADERS } from "./cors.ts";
import { problemResponse } from "./problem.ts";

/** What every function needs: the platform and the checked environment. */
export interface AppDeps {
  platform: PlatformDeps;
  env: Env;
}

/** A request inside its endpoint. */
export interface EndpointContext {
  request: Request;
  url: URL;
  requestId: string;
  log: Logger;
  /** Aborts when the time of the request is used up. Pass it to every outside call. */
  signal: AbortSignal;
  /**
   * Marks the request as one that changed nothing, so that its response is logged at debug only: hosted logs are
   * billed.
   */
  quiet(): void;
}

/** The work of one endpoint. It returns the response, or throws an AppError. */
export type EndpointHandler = (context: EndpointContext) => Promise<Response>;

/**
 * Creates the request handler of an endpoint.
 *
 * Guarantees: OPTIONS returns CORS headers; another method is 405 with `Allow`; an error of `handle`
 * becomes a problem document, and its cause a log line; after REQUEST_TIMEOUT seconds the response is 504 and
 * `signal` is aborted, even if `handle` never checks it; `x-request-id` is the caller's when it is a plain token,
 * else a new one, and is on every response.
 */
export function createEndpoint(
  deps: AppDeps,
  options: { name: string; method: "GET" | "POST" },
  handle: EndpointHandler,
): (request: Request) => Promise<Response> {
  const { platform, env } = deps;
  const logger = createLogger(platform, {
    level: env.LOG_LEVEL,
    secrets: secretsOf(env),
    fields: { function: options.name },
  });

  return async (request) => {
    const requestId = requestIdOf(request, platform);
    const headers = { "x-request-id": requestId };
    if (request.method === "OPTIONS") {
      return new Response(null, {
        status: 204,
        headers: { ...CORS_HEADERS, ...headers },
      });
    }
    const log = logger.with({
      request_id: requestId,
      trace_id: readTrace(request.headers.get("traceparent"))?.traceId,
    });
    const startedAt = platform.uptimeMs();
    const budget = new AbortController();
    let response: Response;
    let isQuiet = false;
    try {
      if (request.method !== options.method) {
        throw new AppError("method_not_allowed");
      }
      response = await within(
        env.REQUEST_TIMEOUT * 1000,
        budget,
        () =>
          handle({
            request,
            url: addressOf(request),
            requestId,
            log,
            signal: budget.signal,
            quiet: () => {
              isQuiet = true;
            },
          }),
      );
      response.headers.set("x-request-id", requestId);
    } catch (error) {
      response = problemResponse(error, requestId, {
        ...headers,
        ...(request.method === options.method
          ? {}
          : { Allow: `${options.method}, OPTIONS` }),
      });
      if (response.status >= 500) log.error("request_failed", { error });
      else log.debug("request_refused", { error });
    }
    log[isQuiet && response.ok ? "debug" : "info"]("request_answered", {
      method: request.method,
      status: response.status,
      duration_ms: Math.round(platform.uptimeMs() - startedAt),
    });
    return response;
  };
}

/** Runs `work`; after `milliseconds` aborts `budget` and throws `request_timeout` without waiting for it. */
async function within<T>(
  milliseconds: number,
  budget: AbortController,
  work: () => Promise<T>,
): Promise<T> {
  const timer = setTimeout(
    () => budget.abort(new AppError("request_timeout")),
    milliseconds,
  );
  try {
    return await abortable(work(), budget.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** The request's URL, without the parameter that functions-js adds when its client has a region. */
function addressOf(request: Request): URL {
  const url = new URL(request.url);
  url.searchParams.delete("forceFunctionRegion");
  return url;
}

function requestIdOf(request: Request, platform: PlatformDeps): string {
  const given = request.headers.get("x-request-id") ?? "";
  return /^[A-Za-z0-9_.:-]{8,128}$/.test(given) ? given : platform.uuid();
}
