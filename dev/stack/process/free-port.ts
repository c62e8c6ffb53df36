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

/** A port that another process listens on. */
export class PortTaken extends StackError {}

/** How often another port is chosen. */
const MAX_CHOICES = 5;

/**
 * Calls `use` with a free port, and with another one when it throws {@link PortTaken}: a process that starts at the same
 * time may take the port after it was chosen. Returns what `use` does, and throws its other errors.
 */
export async function onFreePort<T>(
  use: (port: number) => Promise<T>,
  choose: () => number = freePort,
): Promise<T> {
  for (let choice = 1;; choice++) {
    try {
      return await use(choose());
    } catch (error) {
      if (!(error instanceof PortTaken) || choice === MAX_CHOICES) throw error;
    }
  }
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
