/**
 * The main module of a function process. It adds the features of the hosted edge runtime that plain Deno lacks, and
 * imports the function's entry file unmodified, whether it calls `Deno.serve(handler)` or has
 * `export default { fetch }`.
 *
 * `supervisor.ts` decides outside the process when it must end, and sends its commands as requests to `/@stack/…`, a
 * path that no function can have. A released process ends by itself once all accepted requests and all promises passed
 * to `waitUntil` are done. This file only uses what Deno 2.1 has, like the functions.
 */

interface Settings {
  entry: string;
  slug: string;
  /** How long a function may run after the signal to end, in milliseconds. */
  graceMs: number;
  hiddenEnv: string[];
  /** The header that authenticates a command. */
  commandToken: string;
}

/** Prefix of lines that are for the stack and not for the log. */
const marker = "\u001e@stack ";

type Handler = (
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
) => Response | Promise<Response>;

const serve = Deno.serve.bind(Deno);
const encoder = new TextEncoder();

function reportToStack(event: Record<string, unknown>): void {
  Deno.stdout.writeSync(encoder.encode(`${marker}${JSON.stringify(event)}\n`));
}

function log(text: string): void {
  Deno.stderr.writeSync(encoder.encode(`${text}\n`));
}

function readSettings(): Settings {
  const parsed: Settings = JSON.parse(Deno.args[0] ?? "");
  return parsed;
}

const settings = readSettings();

for (const name of settings.hiddenEnv) Deno.env.delete(name);
Deno.env.set("SB_EXECUTION_ID", crypto.randomUUID());
Deno.env.set("SB_REGION", "local");
Deno.env.set("DENO_DEPLOYMENT_ID", `local_${settings.slug}_1`);

/**
 * The clock of the isolate, which `performance.now()` reads. On a hosted project the first request boots an isolate.
 * Here the process waits for that request, and its clock stands still until then, so that it has the age that its
 * supervisor counts.
 */
class IsolateClock {
  readonly #passed = performance.now.bind(performance);
  #stoodStillMs = 0;
  #stoppedAt: number | undefined;
  #advancedMs = 0;

  /** Age of this isolate in milliseconds. */
  age(): number {
    return this.#stoppedAt ?? this.#running();
  }

  /** Milliseconds since 1970 at which it would have started, had its clock never stood still. */
  origin(): number {
    return Date.now() - this.age();
  }

  stop(): void {
    this.#stoppedAt ??= this.#running();
  }

  get isStopped(): boolean {
    return this.#stoppedAt !== undefined;
  }

  start(): void {
    if (this.#stoppedAt === undefined) return;
    this.#stoodStillMs += this.#running() - this.#stoppedAt;
    this.#stoppedAt = undefined;
  }

  /** Advances the clock. */
  advance(milliseconds: number): void {
    this.#advancedMs += milliseconds;
  }

  #running(): number {
    return this.#passed() + this.#advancedMs - this.#stoodStillMs;
  }
}

const clock = new IsolateClock();
Object.defineProperty(performance, "now", { value: () => clock.age() });
Object.defineProperty(performance, "timeOrigin", { get: () => clock.origin() });

let activeRequests = 0;
let backgroundTasks = 0;
let isReleased = false;
let isEnding = false;

function announceEnd(reason: string): void {
  log(`shutdown announced: ${reason}`);
  dispatchEvent(new CustomEvent("beforeunload", { detail: { reason } }));
}

/** A worker that is not needed any more ends immediately, like the early drop of the edge runtime. */
function endWhenIdle(): void {
  if (!isReleased || isEnding) return;
  if (activeRequests > 0 || backgroundTasks > 0) return;
  isEnding = true;
  log("early termination has been triggered");
  announceEnd("early_drop");
  reportToStack({ event: "shutdown", reason: "EarlyDrop" });
  Deno.exit(0);
}

function startClock(): void {
  if (!clock.isStopped) return;
  clock.start();
  reportToStack({ event: "clock-started", ageMs: clock.age() });
}

Object.defineProperty(globalThis, "EdgeRuntime", {
  value: {
    /** Prevents an early drop of this worker while the promise is pending. It extends no limit. */
    waitUntil<T>(promise: Promise<T>): Promise<T> {
      if (!(promise instanceof Promise)) return promise;
      backgroundTasks += 1;
      const settled = () => {
        backgroundTasks -= 1;
        endWhenIdle();
      };
      promise.then(settled, (error) => {
        log(
          `a promise given to EdgeRuntime.waitUntil was rejected: ${
            error instanceof Error ? error.stack : error
          }`,
        );
        settled();
      });
      return promise;
    },
  },
});

Deno.addSignalListener("SIGTERM", () => {
  if (isEnding) return;
  isEnding = true;
  announceEnd("termination");
  const end = () => {
    reportToStack({ event: "shutdown", reason: "TerminationRequested" });
    Deno.exit(0);
  };
  const deadline = Date.now() + settings.graceMs;
  const check = () => {
    const isIdle = activeRequests === 0 && backgroundTasks === 0;
    if (isIdle || Date.now() >= deadline) end();
    else setTimeout(check, 20);
  };
  check();
});

const served = Promise.withResolvers<Handler>();

function isHandler(value: unknown): value is Handler {
  return typeof value === "function";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

// `Deno.serve(handler)`, `Deno.serve(options, handler)` and `Deno.serve({ handler })`. The address is always the
// stack's.
Object.defineProperty(Deno, "serve", {
  configurable: true,
  value: (...args: unknown[]) => {
    const handler = args.find(isHandler) ??
      args.filter(isRecord).map((options) => options["handler"]).find(
        isHandler,
      );
    if (handler === undefined) throw new TypeError("A handler is missing.");
    served.resolve(handler);
    return {
      addr: { transport: "tcp", hostname: "127.0.0.1", port: 0 },
      finished: new Promise<void>(() => {}),
      ref() {},
      unref() {},
      shutdown: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
});

const module: Record<string, unknown> = await import(settings.entry);
const declared = module["default"];
if (isRecord(declared) && isHandler(declared["fetch"])) {
  served.resolve(declared["fetch"].bind(declared));
} else {
  // A module may call `Deno.serve` a little after it has loaded.
  setTimeout(
    () =>
      served.reject(
        new Error(
          `${settings.entry} serves nothing: it neither calls Deno.serve nor has export default { fetch }`,
        ),
      ),
    5000,
  );
}
const handler = await served.promise;
clock.stop();

/** Whether a request is a command of the stack. */
function isCommand(request: Request): boolean {
  // A cheap check first, because most requests are not.
  return request.url.includes("/@stack/") &&
    new URL(request.url).pathname.startsWith("/@stack/") &&
    request.headers.get("x-stack-command") === settings.commandToken;
}

/** Executes a command immediately. It has no body, because the isolate may get no second turn to read one. */
function execute(request: Request): Response {
  const [, , name, value = ""] = new URL(request.url).pathname.split("/");
  switch (name) {
    case "release":
      isReleased = true;
      endWhenIdle();
      break;
    case "announce":
      announceEnd(value);
      break;
    case "advance":
      clock.advance(Number(value));
      break;
    default:
      return new Response(null, { status: 404 });
  }
  return new Response(null, { status: 204 });
}

serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => reportToStack({ event: "ready", port }),
  onError(error) {
    log(error instanceof Error ? error.stack ?? error.message : String(error));
    return new Response("Internal Server Error", {
      status: 500,
      headers: { "sb-error-code": "WORKER_ERROR" },
    });
  },
}, async (request, info) => {
  if (isCommand(request)) return execute(request);
  activeRequests += 1;
  // A request counts until its response is sent.
  info.completed.then(done, done);
  const id = request.headers.get("x-stack-request");
  // From here on the request must not be sent to another process.
  if (id !== null) reportToStack({ event: "begun", id });
  startClock();
  return await handler(request, info);
});

function done(): void {
  activeRequests -= 1;
  endWhenIdle();
}
