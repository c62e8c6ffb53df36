/** A request to a simulated provider. The path is relative to the provider's base path. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** A complete HTTP response, determined before it is sent, so that a fault can cut, delay or drop it. */
export interface SimulatedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer>;
}

/** The purpose of a request: the names that a fault rule can match, and its job. */
export interface Description {
  /** Most general first; empty when no route of the provider matches. */
  readonly operations: readonly string[];
  /** The job's uuid from the request, or from the object that it refers to. */
  readonly marker: string | null;
}

/** The format of an error body: `old` has `detail.status`, `new` adds `detail.code`, as the vendor documents. */
export type ErrorShape = "old" | "new";

/** The simulators' clock, which the control API can advance. */
export interface Clock {
  /** Unix milliseconds. */
  now(): number;
  /** Calls `listener` each time after the control API has advanced the clock. */
  onAdvance(listener: () => void): void;
}

/**
 * A simulated provider. A new one is a file that implements this, and a line in `server.ts`. `handle` must not throw
 * for invalid input: it responds like the real service.
 */
export interface Provider {
  /** Also the base path: `elevenlabs` answers under `/elevenlabs`. */
  readonly name: string;
  /** Every name that `describe` can return; a fault rule with any other name is refused. */
  readonly operations: ReadonlySet<string>;
  /** The names that a fault of kind `status` may give as `error`. */
  readonly errorNames: ReadonlySet<string>;
  /** Parses a request without any effect. */
  describe(request: ReceivedRequest): Promise<Description>;
  /** Executes the request and returns the response. The effect remains even if the response is never sent. */
  handle(request: ReceivedRequest): Promise<SimulatedResponse>;
  /** The answer for one of `errorNames`. */
  errorResponse(name: string, shape: ErrorShape | undefined): SimulatedResponse;
  /** Changes a response into a well-formed wrong one; absent when the provider does not support that. */
  lie?(
    request: ReceivedRequest,
    answer: SimulatedResponse,
    value: unknown,
  ): SimulatedResponse;
  /** The current settings, as JSON. */
  settings(): Readonly<Record<string, unknown>>;
  /** Changes the settings in `changes`. Throws `z.ZodError` when they are invalid, and changes nothing. */
  changeSettings(changes: unknown): void;
  /** Resets the provider: no objects, default settings, and no background work. */
  reset(): void | Promise<void>;
  /** Ends background work and keeps all data. */
  stop(): void | Promise<void>;
}

/**
 * The id for the created object from the header `x-simulated-id`, for objects to which rows already refer. Undefined
 * when the provider chooses the id, as a real one always does.
 */
export function chosenId({ headers }: ReceivedRequest): string | undefined {
  return headers.get("x-simulated-id") ?? undefined;
}

/** A response with a JSON body. */
export function jsonResponse(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): SimulatedResponse {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
}

/** A response with a text body; HTML when `type` says so. */
export function textResponse(
  status: number,
  body: string,
  type: string = "text/plain; charset=utf-8",
): SimulatedResponse {
  return { status, headers: { "content-type": type }, body };
}
