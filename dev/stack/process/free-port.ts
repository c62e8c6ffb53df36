/** Ports of this machine. */
import { StackError } from "../console/stack-error.ts";

/**
 * Ports that the system gives to no connection by itself: Linux takes those from 32768, macOS from 49152. A port of
 * these would often be gone by the time that a process which has to start first listens on it.
 */
const first = 10_000, last = 32_767;
const attempts = 100;

/** A TCP port on 127.0.0.1 that was free a moment ago, outside the range that the system assigns by itself. */
export function freePort(): number {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = first + Math.floor(Math.random() * (last - first + 1));
    if (!isPortTaken(port)) return port;
  }
  throw new StackError(
    `No port from ${first} to ${last} is free on this machine.`,
  );
}

/** Whether something on this machine already listens on the port of 127.0.0.1. */
export function isPortTaken(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return true;
    throw error;
  }
}
