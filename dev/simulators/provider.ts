/** One request as a simulated provider sees it: the path is what follows the provider's base path. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** A whole HTTP answer, decided before any of it is sent, so that a fault can cut, delay or drop it. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer>;
}

/** What a request is for: the names that a fault rule can match, and the job it belongs to. */
export interface Description {
  /** Most general first; empty when no route of the provider matches. */
  readonly operations: readonly string[];
  /** The job's uuid found in the request, or in the object that it names. */
  readonly marker: string | null;
}

/** Which form an error body has: `old` carries `detail.status`, `new` adds `detail.code` (facts of the vendor). */
export type ErrorShape = "old" | "new";

/** Time as the simulators see it; the control API can move it forward. */
export interface Clock {
  /** Unix milliseconds. */
  now(): number;
}

/**
 * One simulated provider. A new one is one file that implements this, and one line in `server.ts`.
 * `handle` must not throw for bad input: it answers as the real service does.
 */
export interface Provider {
  /** Also the base path: `elevenlabs` answers under `/elevenlabs`. */
  readonly name: string;
  /** Every name that `describe` can return; a fault rule with any other name is refused. */
  readonly operations: ReadonlySet<string>;
  /** The names that a fault of kind `status` may give as `error`. */
  readonly errorNames: ReadonlySet<string>;
  /** Reads a request without any effect. */
  describe(request: ReceivedRequest): Promise<Description>;
  /** Does what the request asks and returns the answer; the effect stands even if the answer is never sent. */
  handle(request: ReceivedRequest): Promise<Answer>;
  /** The answer for one of `errorNames`. */
  errorAnswer(name: string, shape: ErrorShape | undefined): Answer;
  /** Rewrites an answer into a well-formed wrong one; absent when the provider cannot be made to lie. */
  lie?(request: ReceivedRequest, answer: Answer, value: unknown): Answer;
  /** The present settings, as JSON. */
  settings(): Readonly<Record<string, unknown>>;
  /** Changes the settings named in `changes`; throws `z.ZodError` when they are wrong, changing nothing. */
  changeSettings(changes: unknown): void;
  /** Resets the provider: no objects, default settings, and no background work. */
  reset(): void | Promise<void>;
  /** Ends background work and keeps all data. */
  stop(): void | Promise<void>;
}

/**
 * The id that a request wants for what it creates, in the header `x-simulated-id`: of an object that rows name already.
 * Undefined when it leaves that to the provider, as every request to a real one does.
 */
export function chosenId({ headers }: ReceivedRequest): string | undefined {
  return headers.get("x-simulated-id") ?? undefined;
}

/** An answer with a JSON body. */
export function jsonAnswer(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
}

/** An answer with a text body; HTML when `type` says so. */
export function textAnswer(
  status: number,
  body: string,
  type: string = "text/plain; charset=utf-8",
): Answer {
  return { status, headers: { "content-type": type }, body };
}
