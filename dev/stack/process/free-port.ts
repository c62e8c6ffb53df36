/** Ports of this machine. */
import { StackError } from "../console/stack-error.ts";

/**
 * Ports outside the range of outgoing connections, which begins at 32768 on Linux and at 49152 on macOS. A port within
 * that range is often taken before the process that needs it listens.
 */
const first = 10_000, last = 32_767;
const attempts = 100;

/** A TCP port on 127.0.0.1 that was free a moment ago, outside the range of outgoing connections. */
export function freePort(): number {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = first + Math.floor(Math.random() * (last - first + 1));
    if (!isPortTaken(port)) return port;
  }
  throw new StackError(
    `No port from ${first} to ${last} is free on this machine.`,
  );
}

/** Whether a process already listens on the port of 127.0.0.1. */
export function isPortTaken(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return true;
    throw error;
  }
}
