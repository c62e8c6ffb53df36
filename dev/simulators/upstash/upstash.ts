/** The simulated Upstash Redis. */
import { Buffer } from "node:buffer";
import { z } from "zod";
import { issueWords } from "../../../supabase/functions/_shared/contracts/issue-words.ts";
import { findMarker } from "../marker.ts";
import {
  type Clock,
  type Description,
  jsonResponse,
  type Provider,
  type ReceivedRequest,
  type SimulatedResponse,
} from "../provider.ts";
import { RedisError, type RedisReply, RedisStore } from "./redis-store.ts";
import type { State } from "../state.ts";

const argument = z.union([z.string(), z.number(), z.boolean()]).transform(
  String,
);
const commandSchema = z.array(argument).min(1);
const batchSchema = z.array(commandSchema).min(1);

/** The texts of 401 and 429 are not documented by the vendor; clients must not depend on them. */
const ERRORS: ReadonlyMap<string, readonly [number, string]> = new Map([
  ["unauthorized", [401, "Unauthorized"]],
  [
    "max_requests_limit_exceeded",
    [429, "ERR max requests limit exceeded. Limit: 10000, Usage: 10000."],
  ],
  ["internal_error", [500, "ERR internal error"]],
]);

type Outcome = { result: RedisReply } | { error: string };

/**
 * The REST API of Upstash Redis on a small store: `POST /` and `/pipeline`, as `@upstash/redis` 1.39.0 calls them. It
 * accepts any bearer token that does not start with `invalid`.
 */
export class Upstash implements Provider {
  readonly name = "upstash";
  readonly operations: ReadonlySet<string>;
  readonly errorNames: ReadonlySet<string> = new Set(ERRORS.keys());
  readonly #store: RedisStore;
  #writes = 0;

  constructor(clock: Clock, state: State) {
    this.#store = new RedisStore(clock, state);
    this.operations = new Set([
      "command",
      "pipeline",
      ...this.#store.commandNames,
    ]);
  }

  reset(): void {
    this.#store.clear();
  }

  stop(): void {}

  settings(): Readonly<Record<string, unknown>> {
    return {};
  }

  changeSettings(changes: unknown): void {
    z.strictObject({}).parse(changes, { error: issueWords });
  }

  describe(request: ReceivedRequest): Promise<Description> {
    const route = routeOf(request);
    if (route === null) {
      return Promise.resolve({ operations: [], marker: null });
    }
    const text = new TextDecoder().decode(request.body);
    const names = commandsOf(request).map(([name = ""]) => name.toLowerCase());
    return Promise.resolve({
      operations: [route, ...new Set(names)],
      marker: findMarker([text]),
    });
  }

  handle(request: ReceivedRequest): Promise<SimulatedResponse> {
    return Promise.resolve(this.#handle(request));
  }

  errorResponse(name: string): SimulatedResponse {
    const known = ERRORS.get(name);
    if (known === undefined) throw new RangeError(`no error is named ${name}`);
    const [status, error] = known;
    return jsonResponse(status, { error });
  }

  lie(
    request: ReceivedRequest,
    _answer: SimulatedResponse,
    value: unknown,
  ): SimulatedResponse {
    const result = encodeLie(value, wantsBase64(request));
    return jsonResponse(
      200,
      routeOf(request) === "command"
        ? { result }
        : commandsOf(request).map(() => ({ result })),
    );
  }

  #handle(request: ReceivedRequest): SimulatedResponse {
    const route = routeOf(request);
    if (route === null) return jsonResponse(404, { error: "Not Found" });
    const token = /^Bearer (.+)$/i.exec(
      request.headers.get("authorization") ?? "",
    )?.[1];
    if (token === undefined || token.startsWith("invalid")) {
      return this.errorResponse("unauthorized");
    }
    const commands = commandsOf(request);
    if (commands.length === 0) {
      return jsonResponse(400, { error: "ERR failed to parse command" });
    }
    const base64 = wantsBase64(request);
    const outcomes = commands.map((command) => this.#run(command, base64));
    this.#writes += 1;
    const headers = { "upstash-sync-token": `sim-${this.#writes}` };
    const [first] = outcomes;
    return route === "command" && first !== undefined
      ? jsonResponse("error" in first ? 400 : 200, first, headers)
      : jsonResponse(200, outcomes, headers);
  }

  #run(command: readonly string[], base64: boolean): Outcome {
    try {
      return { result: encodeReply(this.#store.run(command), base64) };
    } catch (error) {
      if (error instanceof RedisError) return { error: error.message };
      throw error;
    }
  }
}

function routeOf(
  { method, path }: ReceivedRequest,
): "command" | "pipeline" | null {
  if (method !== "POST") return null;
  if (path === "/" || path === "") return "command";
  return path === "/pipeline" ? "pipeline" : null;
}

/** The commands in the body, as strings; none when the body does not fit the route. */
function commandsOf(request: ReceivedRequest): readonly (readonly string[])[] {
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(request.body));
  } catch {
    return [];
  }
  return (routeOf(request) === "command"
    ? commandSchema.transform((command) => [command])
    : batchSchema).safeParse(body).data ?? [];
}

function wantsBase64({ headers }: ReceivedRequest): boolean {
  return headers.get("upstash-encoding")?.toLowerCase() === "base64";
}

function encodeReply(reply: RedisReply, base64: boolean): RedisReply {
  return typeof reply === "string" ? encodeText(reply, base64) : reply;
}

/** A value as Redis stores it: objects, arrays and booleans as JSON text. */
function encodeLie(value: unknown, base64: boolean): RedisReply {
  if (value === null || typeof value === "number") return value;
  return encodeText(
    typeof value === "string" ? value : JSON.stringify(value),
    base64,
  );
}

function encodeText(text: string, base64: boolean): string {
  // A status reply is not encoded, as on the real service: the client compares the bare word.
  return base64 && text !== "OK"
    ? Buffer.from(text, "utf8").toString("base64")
    : text;
}
