/**
 * The only file that touches `Deno.*` and `EdgeRuntime`. Everything else takes this record, so that a test can replace
 * clock, randomness, network or shutdown.
 */
import type {} from "@supabase/functions-js/edge-runtime.d.ts";
import { abortableFetch } from "./abortable-fetch.ts";

/** The runtime's services for a function. */
export interface PlatformDeps {
  /** Wall clock of this worker. Never decides leases or schedules: the database's clock does. */
  now(): Date;
  /** Milliseconds since this isolate started, unaffected by changes of the wall clock. */
  uptimeMs(): number;
  uuid(): string;
  /** Uniform in [0, 1). */
  random(): number;
  /** Its signal also ends a response body that stalls. */
  fetch: typeof fetch;
  /**
   * The IP addresses that DNS has for a host. Empty when it has none, when DNS does not respond quickly, or when it
   * cannot be queried here, as behind some proxies.
   */
  resolveHost(host: string): Promise<string[]>;
  /** Keeps the isolate alive until the promise settles, within the platform's limits. */
  waitUntil(promise: Promise<unknown>): void;
  /**
   * Calls back once when the platform announces the end of the isolate. Best effort: an isolate that is killed gets no
   * notice.
   */
  onShutdown(callback: (reason: string) => void): void;
  /** The raw environment; only config/env.ts reads it. */
  env(): Record<string, string>;
  /** Writes one line to the log of the function. */
  writeLine(line: string): void;
}

/** How long DNS may take. */
const DNS_MS = 3_000;

/**
 * The real platform: hosted edge runtime, `supabase functions serve`, or the embedded stack.
 *
 * Shutdown follows the edge runtime's `beforeunload` event, whose `detail` is `{ reason }`.
 */
export function platformDeps(): PlatformDeps {
  return {
    now: () => new Date(),
    uptimeMs: () => performance.now(),
    uuid: () => crypto.randomUUID(),
    random: () => Math.random(),
    fetch: abortableFetch((input, init) => fetch(input, init)),
    async resolveHost(host) {
      const signal = AbortSignal.timeout(DNS_MS);
      const answers = await Promise.allSettled([
        Deno.resolveDns(host, "A", { signal }),
        Deno.resolveDns(host, "AAAA", { signal }),
      ]);
      return answers.flatMap((one) =>
        one.status === "fulfilled" ? one.value : []
      );
    },
    waitUntil: (promise) => {
      EdgeRuntime.waitUntil(promise);
    },
    onShutdown: (callback) => {
      addEventListener("beforeunload", (event) => {
        const detail: unknown = "detail" in event ? event.detail : undefined;
        const reason =
          typeof detail === "object" && detail !== null && "reason" in detail
            ? detail.reason
            : detail;
        callback(typeof reason === "string" ? reason : "unknown");
      });
    },
    env: () => Deno.env.toObject(),
    // deno-lint-ignore no-console -- the platform collects the log from the console
    writeLine: (line) => console.log(line),
  };
}
