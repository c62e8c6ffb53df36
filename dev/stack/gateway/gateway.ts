/** The single port of the stack: routes, keys and tokens, CORS. */
import { deadline } from "@std/async/deadline";
import type { JWTPayload } from "jose";
import { z } from "zod";
import type { DataServices } from "../services/lite/data-services.ts";
import { answerAuthAdmin } from "../services/auth/admin.ts";
import { answerFunction } from "./function-gateway.ts";
import type { Functions } from "../functions/functions.ts";
import type { StackKeys } from "../keys/keys.ts";
import { listen, type ListenOptions } from "../process/listen.ts";
import type { LogBook } from "../console/log-book.ts";
import type { RealtimeServer } from "../services/realtime/server.ts";
import { sameRequest } from "../services/requests/same-request.ts";
import type { ResumableUploads } from "../services/storage/resumable.ts";
import { isSignedResumable } from "../services/storage/resumable.ts";
import type { Caller } from "../services/requests/caller.ts";
import { answerStorage } from "../services/storage/handler.ts";
import type { TokenExchange } from "../keys/tokens.ts";
import {
  BodyTooLarge,
  withWholeBody,
} from "../services/requests/whole-body.ts";

/** The services behind the gateway. */
export interface GatewayDeps {
  keys: StackKeys;
  tokens: TokenExchange;
  services: DataServices;
  uploads: ResumableUploads;
  functions: Functions;
  realtime: RealtimeServer;
  logs: LogBook;
  fileSizeLimit: number;
  /** Time limit for a function to begin its response, in milliseconds; 150 s on a hosted project. */
  idleTimeoutMs: number;
}

/** A listening gateway. */
export interface Gateway {
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** Its addresses for other devices, the most likely first; empty without a host. */
  networkUrls: string[];
  /** Starts to answer requests, which get 503 before. */
  open(deps: GatewayDeps): void;
  /** Closes the port and interrupts current responses. */
  close(): Promise<void>;
}

const closeTimeoutMs = 1000;

const exposedHeaders = [
  "content-range",
  "content-location",
  "content-disposition",
  "preference-applied",
  "sb-error-code",
  "x-sb-error-code",
  "x-total-count",
  "link",
  "accept-ranges",
  "etag",
  "location",
  "tus-resumable",
  "upload-offset",
  "upload-length",
].join(", ");

function preflight(request: Request): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-methods":
        "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
      "access-control-allow-headers":
        request.headers.get("access-control-request-headers") ?? "*",
      "access-control-max-age": "3600",
    },
  });
}

function withCors(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", exposedHeaders);
  headers.delete("access-control-allow-credentials");
  return new Response(response.body, {
    status: response.status,
    statusText: response.statusText,
    headers,
  });
}

interface Inner {
  request: Request;
  caller: Caller | undefined;
}

function roleOf(claims: JWTPayload): string {
  const role = claims["role"];
  return typeof role === "string" ? role : "anon";
}

/** The request for the embedded services, with the user token in its inner form. */
async function toInner(
  { keys, tokens }: GatewayDeps,
  request: Request,
): Promise<Inner> {
  const bearer = /^Bearer\s+(\S+)$/i.exec(
    request.headers.get("authorization") ?? "",
  )?.[1];
  const key = request.headers.get("apikey") ??
    new URL(request.url).searchParams.get("apikey") ?? bearer;
  if (bearer === undefined || bearer.startsWith("sb_")) {
    const role = key === keys.secretKey
      ? "service_role"
      : key === keys.publishableKey
      ? "anon"
      : undefined;
    return {
      request: sameRequest(request, {}),
      caller: role && { role, claims: { role } },
    };
  }
  const checked = await tokens.check(bearer);
  // A token that is not ours must not reach services that share a secret with Storage's signed URLs.
  const inner = await tokens.toInner(bearer) ?? "not.a.token";
  const headers = new Headers(request.headers);
  headers.set("authorization", `Bearer ${inner}`);
  return {
    request: sameRequest(request, { headers }),
    caller: checked.state === "valid"
      ? { role: roleOf(checked.claims), claims: checked.claims }
      : undefined,
  };
}

/** The claims of a verified user token, unless REST has to refuse it for its time of issue. */
function presentClaims(claims: JWTPayload): JWTPayload | undefined {
  return claims.sub !== undefined && claims.iat !== undefined &&
      claims.iat * 1000 <= Date.now()
    ? claims
    : undefined;
}

const sessionSchema = z.looseObject({
  access_token: z.string(),
  user: z.looseObject({
    app_metadata: z.record(z.string(), z.unknown()).optional(),
    user_metadata: z.record(z.string(), z.unknown()).optional(),
  }).optional(),
});

/** A session from the embedded Auth, with its token exchanged for one as a hosted project issues it. */
async function correctSession(
  tokens: TokenExchange,
  issuer: string,
  response: Response,
): Promise<Response> {
  const isJson = response.headers.get("content-type")?.includes("json");
  if (!response.ok || !isJson) return response;
  const text = await response.text();
  const session = sessionSchema.safeParse(JSON.parse(text));
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  if (!session.success) {
    return new Response(text, { status: response.status, headers });
  }
  const { access_token, user } = session.data;
  const outer = await tokens.toOuter(access_token, {
    iss: issuer,
    phone: "",
    app_metadata: user?.app_metadata ?? {},
    user_metadata: user?.user_metadata ?? {},
    aal: "aal1",
    amr: [{ method: "password", timestamp: Math.floor(Date.now() / 1000) }],
    is_anonymous: false,
  });
  return Response.json({ ...session.data, access_token: outer }, {
    status: response.status,
    headers,
  });
}

/** Public objects, and signed URLs, whose token is the credential. */
function isKeylessStorage(method: string, path: string): boolean {
  if (isSignedResumable(path)) return true;
  switch (method) {
    case "GET":
    case "HEAD":
      return /^\/storage\/v1\/(status$|(object|render\/image)\/(public|sign)\/)/
        .test(path);
    case "PUT":
      return path.startsWith("/storage/v1/object/upload/sign/");
    default:
      return false;
  }
}

async function answerBroadcast(
  deps: GatewayDeps,
  request: Request,
): Promise<Response> {
  if (request.method !== "POST") {
    return Response.json({ message: "no Route matched with those values" }, {
      status: 404,
    });
  }
  const { request: inner, caller } = await toInner(deps, request);
  if (caller === undefined) {
    return Response.json({ message: "Invalid token" }, { status: 401 });
  }
  return await deps.realtime.broadcast(inner, caller);
}

async function answer(
  deps: GatewayDeps,
  self: string,
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
): Promise<Response> {
  const url = new URL(request.url);
  const path = url.pathname;
  if (path.startsWith("/functions/v1/")) {
    return await answerFunction(deps, request, info);
  }
  if (request.method === "OPTIONS") return preflight(request);
  if (path === "/realtime/v1/websocket") {
    return await deps.realtime.connect(request);
  }
  if (path.startsWith("/realtime/v1/api/broadcast")) {
    return withCors(await answerBroadcast(deps, await withWholeBody(request)));
  }
  if (path === "/health") return Response.json({ status: "ok" });
  if (path === "/auth/v1/.well-known/jwks.json") {
    return withCors(Response.json(deps.tokens.jwks));
  }
  if (path.startsWith("/rest/v1/")) {
    const whole = await withWholeBody(request);
    const { request: inner, caller } = await toInner(deps, whole);
    return withCors(
      await deps.services.fetch(inner, caller && presentClaims(caller.claims)),
    );
  }
  if (path.startsWith("/auth/v1/")) {
    const whole = await withWholeBody(request);
    const { request: inner, caller } = await toInner(deps, whole);
    if (/^\/auth\/v1\/admin\/users(\/|$)/.test(path)) {
      return withCors(
        await answerAuthAdmin(deps.services, inner, caller?.role),
      );
    }
    const response = await deps.services.fetch(inner);
    return withCors(
      await correctSession(deps.tokens, `${self}/auth/v1`, response),
    );
  }
  if (path.startsWith("/storage/v1/")) {
    const isKeyless = !request.headers.has("authorization") &&
      !request.headers.has("apikey");
    if (isKeyless && !isKeylessStorage(request.method, path)) {
      return withCors(Response.json({
        statusCode: "400",
        error: "Error",
        message: "headers must have required property 'authorization'",
      }, { status: 400 }));
    }
    const { request: inner, caller } = await toInner(deps, request);
    return withCors(await answerStorage(deps, inner, caller));
  }
  return withCors(
    Response.json({ message: "no Route matched with those values" }, {
      status: 404,
    }),
  );
}

/**
 * Listens immediately, to reserve the port, and answers 503 until it is opened. Throws {@link StackError} as {@link
 * listen} does.
 */
export async function listenGateway(
  options: ListenOptions,
): Promise<Gateway> {
  let deps: GatewayDeps | undefined;
  const stop = new AbortController();
  const handle = async (
    request: Request,
    info: Deno.ServeHandlerInfo<Deno.NetAddr>,
  ): Promise<Response> => {
    if (deps === undefined) {
      return Response.json({ message: "the stack is starting" }, {
        status: 503,
      });
    }
    const { logs } = deps;
    const what = () => `${request.method} ${new URL(request.url).pathname}`;
    try {
      const response = await answer(deps, listening.url, request, info);
      const code = response.headers.get("sb-error-code");
      // A function explains its own status. A response from the platform has a code.
      const isFunction = what().includes(" /functions/v1/");
      if (response.status >= 500 && (!isFunction || code !== null)) {
        const why = code === null ? "" : ` (${code})`;
        logs.add(
          "gateway",
          "stderr",
          `${what()} answered ${response.status}${why}`,
        );
      }
      return response;
    } catch (error) {
      if (error instanceof BodyTooLarge) {
        return withCors(
          Response.json({ message: error.message }, { status: 413 }),
        );
      }
      // Deno's error for a body whose sender has disconnected: the response has no receiver.
      if (error instanceof Deno.errors.BadResource) {
        logs.add("gateway", "stdout", `${what()} was aborted by its sender`);
      } else {
        const text = error instanceof Error ? error.stack : String(error);
        logs.add("gateway", "stderr", `${what()} failed: ${text}`);
      }
      return withCors(
        Response.json({ message: "internal error" }, { status: 500 }),
      );
    }
  };
  const listening = await listen(options, handle, stop.signal);
  return {
    url: listening.url,
    networkUrls: listening.networkUrls,
    open(given) {
      deps = given;
    },
    async close() {
      stop.abort();
      // An endless response must not keep the stack from stopping.
      await deadline(listening.finished, closeTimeoutMs).catch(() => {});
    },
  };
}
