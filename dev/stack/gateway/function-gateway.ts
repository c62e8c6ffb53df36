/** `/functions/v1/<slug>`: the platform's part in front of a function of a hosted project. */
import { deadline } from "@std/async/deadline";
import {
  type FunctionProcess,
  NotBegun,
  ProcessEnded,
} from "../functions/process.ts";
import type { Functions } from "../functions/functions.ts";
import { RepeatableBody } from "./repeatable-body.ts";
import type { TokenExchange } from "../keys/tokens.ts";

const methods = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
]);

/** Time for a function to boot again after a crash, in milliseconds. */
const bootTimeoutMs = 10_000;

/** How many processes in a row may end before one receives the request. */
const maxAttempts = 5;

/** Headers that belong to one connection, not to the message (RFC 9110, 7.6.1). */
const connectionHeaders = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

function refusal(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, {
    status,
    headers: {
      "sb-error-code": code,
      "access-control-allow-origin": "*",
      "access-control-expose-headers": "sb-error-code",
    },
  });
}

/** Checks the token for `verify_jwt = true`. Undefined when the request may pass. */
async function refuseUnverified(
  request: Request,
  tokens: TokenExchange,
): Promise<Response | undefined> {
  const authorization = request.headers.get("authorization");
  if (authorization === null) {
    return refusal(
      401,
      "UNAUTHORIZED_NO_AUTH_HEADER",
      "Missing authorization header",
    );
  }
  const token = /^Bearer\s+(\S+)$/i.exec(authorization)?.[1] ?? "";
  const checked = await tokens.check(token);
  switch (checked.state) {
    case "valid":
      return undefined;
    case "wrong-algorithm":
      return refusal(
        401,
        "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM",
        "Invalid JWT",
      );
    case "malformed":
      return refusal(401, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT");
    default:
      return refusal(401, "UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT");
  }
}

async function processFor(
  functions: Functions,
  slug: string,
): Promise<FunctionProcess | undefined> {
  try {
    return await deadline(functions.process(slug), bootTimeoutMs);
  } catch {
    return undefined;
  }
}

/**
 * Forwards a request for `/functions/v1/<slug>…` to its function and streams the bodies. If a process ends before the
 * function has received the request, the next process gets it. Without a response from the function, the gateway
 * answers with an `sb-error-code` as hosted: 401 before the function runs when `verify_jwt` is set, 404, 405, 502 when
 * the process died, 503 when it does not boot, 504 after `idleTimeoutMs` without a response, 546 when it was killed for
 * exceeding a limit.
 */
export async function answerFunction(
  deps: { functions: Functions; tokens: TokenExchange; idleTimeoutMs: number },
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
): Promise<Response> {
  const url = new URL(request.url);
  const [, slug = "", rest = ""] =
    /^\/functions\/v1\/([^/]*)(.*)$/.exec(url.pathname) ?? [];
  const definition = deps.functions.definition(slug);
  if (definition === undefined) {
    return refusal(404, "NOT_FOUND", "Requested function was not found");
  }
  if (!methods.has(request.method)) {
    return refusal(405, "INVALID_METHOD", "Method not allowed");
  }
  if (definition.verifyJwt && request.method !== "OPTIONS") {
    const refused = await refuseUnverified(request, deps.tokens);
    if (refused) return refused;
  }
  const headers = new Headers(request.headers);
  for (const name of connectionHeaders) headers.delete(name);
  // Responses are compressed at the outer edge of a hosted project's gateway, not here.
  headers.set("accept-encoding", "identity");
  headers.set("x-forwarded-for", info.remoteAddr.hostname);
  headers.set("x-forwarded-host", url.host);
  headers.set("x-forwarded-proto", url.protocol.replace(":", ""));
  const controller = new AbortController();
  const idle = setTimeout(() => controller.abort("idle"), deps.idleTimeoutMs);
  const onDisconnect = () => controller.abort("client disconnected");
  info.completed.catch(onDisconnect);
  const body = request.body === null
    ? undefined
    : new RepeatableBody(request.body, onDisconnect);
  // After the response, nothing reads the rest of the request's body, and its sender may never stop.
  info.completed.then(() => body?.close(), () => {});
  try {
    for (let attempt = 1;; attempt++) {
      const process = await processFor(deps.functions, slug);
      if (process === undefined) {
        body?.close();
        return refusal(503, "BOOT_ERROR", "Function failed to start");
      }
      try {
        const answer = await process.send(
          `/${slug}${rest}${url.search}`,
          {
            method: request.method,
            headers,
            body: body?.open() ?? null,
            redirect: "manual",
            signal: controller.signal,
          },
          () => body?.forget(),
        );
        return relay(request, answer);
      } catch (error) {
        if (controller.signal.aborted) {
          body?.close();
          return refusal(
            504,
            "IDLE_TIMEOUT",
            "The function did not respond in time",
          );
        }
        const isRepeatable = error instanceof NotBegun &&
          attempt < maxAttempts && body?.isWhole !== false;
        if (isRepeatable) continue;
        body?.close();
        return processEnded(error);
      }
    }
  } finally {
    clearTimeout(idle);
  }
}

function relay(request: Request, answer: Response): Response {
  const headers = new Headers(answer.headers);
  for (const name of connectionHeaders) headers.delete(name);
  // Hosted projects without a custom domain do not serve pages.
  if (
    request.method === "GET" &&
    headers.get("content-type")?.startsWith("text/html")
  ) headers.set("content-type", "text/plain");
  const isBare = [101, 204, 205, 304].includes(answer.status);
  return new Response(isBare ? null : answer.body, {
    status: answer.status,
    statusText: answer.statusText,
    headers,
  });
}

function processEnded(error: unknown): Response {
  const end = error instanceof ProcessEnded ? error.end : undefined;
  return end?.killedFor === undefined
    ? refusal(
      502,
      "EDGE_FUNCTION_ERROR",
      "The function ended during the request",
    )
    : refusal(
      546,
      "WORKER_RESOURCE_LIMIT",
      "Function failed due to not having enough compute resources (please check logs)",
    );
}
