/**
 * Loads one bundled Edge Function in a fresh process and prints the cost as JSON: {@link bootSchema} in boot.ts.
 * Argument: the path of the bundle. The environment is that of the function.
 */
import { toFileUrl } from "@std/path";
import {
  canReadResourceUsage,
  readResourceUsage,
} from "../../dev/stack/process/resource-usage.ts";

Object.defineProperty(globalThis, "EdgeRuntime", {
  value: { waitUntil: (promise: Promise<unknown>) => promise },
});

/** Processor time of this thread in milliseconds; undefined where there is no `/proc`. */
async function cpuMs(): Promise<number | undefined> {
  if (!canReadResourceUsage) return undefined;
  // proc_schedstat: nanoseconds on a processor come first.
  const text = await Deno.readTextFile(
    `/proc/${Deno.pid}/task/${Deno.pid}/schedstat`,
  );
  return Number(text.split(" ")[0]) / 1e6;
}

const [bundle = ""] = Deno.args;
const cpuBefore = await cpuMs();
const before = readResourceUsage(Deno.pid);
const started = performance.now();
await import(toFileUrl(bundle).href);
const bootMs = performance.now() - started;
const cpuAfter = await cpuMs();
const after = readResourceUsage(Deno.pid);
const bytes = after && before
  ? after.peakMemoryBytes - before.memoryBytes
  : undefined;
// deno-lint-ignore no-console -- the result
console.log(JSON.stringify({
  bootMs,
  cpuMs: cpuBefore === undefined ? null : (cpuAfter ?? 0) - cpuBefore,
  memoryBytes: bytes ?? null,
}));
Deno.exit(0);
