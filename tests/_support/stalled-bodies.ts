/** Response bodies that stall, and a garbage collection, after which Deno's fetch loses its signal. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Runs V8's garbage collector until everything unreferenced is freed. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  for (let times = 0; times < 5; times++) {
    runInNewContext("gc()");
    // Finalizers run in a later turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve));
  }
}

/** A server on which every body stalls after its first half. */
export function startStalling() {
  return Deno.serve({ port: 0, onListen() {} }, () =>
    new Response(
      new ReadableStream({
        start: (body) => body.enqueue(new TextEncoder().encode("half")),
      }),
      { status: 206, headers: { "x-kind": "stalled" } },
    ));
}
