/** Response bodies that stall, and a collected garbage, after which Deno's fetch forgets its signal. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Runs the garbage collector of V8 until everything that nothing refers to is gone. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  for (let times = 0; times < 5; times++) {
    runInNewContext("gc()");
    // What a finalizer frees is gone in a later turn of the event loop.
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
