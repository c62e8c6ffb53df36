/**
 * The inside of a function process: what the hosted edge runtime gives a function and plain Deno does not. It is
 * the main module; the function's own entry file is imported unmodified, whether it says `Deno.serve(handler)` or
 * `export default { fetch }`.
 *
 * The life of the process follows the open-source supervisor of the edge runtime (`strategy_per_worker.rs`): half
 * of the wall clock after the first request it takes no new ones, at 90 % it announces its end by `beforeunload`,
 * at 100 % it is killed by the stack. It ends early when everything it accepted and everything given to
 * `waitUntil` is done. It only uses what Deno 2.1 has, as the functions must.
 */

interface Settings {
  entry: string;
  slug: string;
  wallClockMs: number;
  /** How long a function may go on after it was told to end, in milliseconds. */
  graceMs: number;
  hiddenEnv: string[];
}

/** Lines that begin so are for the stack, not for the log. */
const marker = "\u001e@stack ";

type UnloadReason = "wall_clock" | "early_drop" | "termination";
type Handler = (
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
) => Response | Promise<Response>;

const serve = Deno.serve.bind(Deno);
const encoder = new TextEncoder();

function tellStack(event: Record<string, unknown>): void {
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

let activeRequests = 0;
let backgroundTasks = 0;
let isRetired = false;
let isEnding = false;
let clockStarted = false;

function announceEnd(reason: UnloadReason): void {
  log(`shutdown announced: ${reason}`);
  dispatchEvent(new CustomEvent("beforeunload", { detail: { reason } }));
}

/** A worker that is not needed any more goes at once, as the early drop of the edge runtime. */
function endWhenIdle(): void {
  if (!isRetired || isEnding) return;
  if (activeRequests > 0 || backgroundTasks > 0) return;
  isEnding = true;
  log("early termination has been triggered");
  announceEnd("early_drop");
  tellStack({ event: "shutdown", reason: "EarlyDrop" });
  Deno.exit(0);
}

function startWallClock(): void {
  if (clockStarted) return;
  clockStarted = true;
  const { wallClockMs } = settings;
  Deno.unrefTimer(setTimeout(() => {
    isRetired = true;
    log("wall clock duration warning");
    tellStack({ event: "retired" });
    endWhenIdle();
  }, wallClockMs * 0.5));
  Deno.unrefTimer(
    setTimeout(() => announceEnd("wall_clock"), wallClockMs * 0.9),
  );
  tellStack({ event: "clock-started" });
}

Object.defineProperty(globalThis, "EdgeRuntime", {
  value: {
    /** Keeps this worker from being dropped early while the promise is pending; extends no limit. */
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
    tellStack({ event: "shutdown", reason: "TerminationRequested" });
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

// `Deno.serve(handler)`, `Deno.serve(options, handler)` and `Deno.serve({ handler })`: the address is the stack's.
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
  // `Deno.serve` may be called a little later than the end of the module.
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

serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => tellStack({ event: "ready", port }),
  onError(error) {
    log(error instanceof Error ? error.stack ?? error.message : String(error));
    return new Response("Internal Server Error", {
      status: 500,
      headers: { "sb-error-code": "WORKER_ERROR" },
    });
  },
}, async (request, info) => {
  startWallClock();
  activeRequests += 1;
  // Accepted means: until the answer is sent, not only until it is made.
  info.completed.then(done, done);
  return await handler(request, info);
});

function done(): void {
  activeRequests -= 1;
  endWhenIdle();
}
