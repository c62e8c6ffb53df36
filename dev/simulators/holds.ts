/** Why a hold ended: its time elapsed, it was released, the client disconnected, or all requests were dropped. */
export type End = "elapsed" | "released" | "disconnected" | "dropped";

/** The part of a response that reports that the client has disconnected. */
interface Closeable {
  once(event: "close", listener: () => void): unknown;
  off(event: "close", listener: () => void): unknown;
}

/** The requests that are currently held, and ways to release them. */
export class Holds {
  readonly #held = new Map<(end: End) => void, { timed: boolean }>();
  #generation = 0;

  /** Increases with every `dropAll`. A request keeps the generation in which it arrived. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Waits `ms`, or without limit when `ms` is null, and returns why the wait ended. With `ignoresDisconnect`, it
   * continues after the client has disconnected. A request of an earlier generation is dropped immediately.
   */
  async wait(
    response: Closeable,
    generation: number,
    { ms, ignoresDisconnect }: {
      ms: number | null;
      ignoresDisconnect: boolean;
    },
  ): Promise<End> {
    if (generation !== this.#generation) return "dropped";
    const { promise, resolve } = Promise.withResolvers<End>();
    const onDisconnect = () => resolve("disconnected");
    if (!ignoresDisconnect) response.once("close", onDisconnect);
    const timer = ms === null
      ? undefined
      : setTimeout(() => resolve("elapsed"), ms);
    this.#held.set(resolve, { timed: ms !== null });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#held.delete(resolve);
      response.off("close", onDisconnect);
    }
  }

  /** Releases every request that is held without a time limit; returns how many. */
  release(): number {
    const endless = [...this.#held].filter(([, { timed }]) => !timed);
    for (const [end] of endless) end("released");
    return endless.length;
  }

  /** Drops every held request, and every arrived one that would be held later. */
  dropAll(): void {
    this.#generation += 1;
    for (const end of this.#held.keys()) end("dropped");
  }
}
