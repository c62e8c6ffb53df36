/** Why a hold ended: its time elapsed, it was released, the client disconnected, or all requests were dropped. */
export type End = "elapsed" | "released" | "gone" | "dropped";

/** The part of a response that reports that the client has disconnected. */
interface Closeable {
  once(event: "close", listener: () => void): unknown;
  off(event: "close", listener: () => void): unknown;
}

/** The requests that are currently held, and ways to release them. */
export class Holds {
  readonly #held = new Map<(end: End) => void, { timed: boolean }>();
  #era = 0;

  /** Changes with every `dropAll`. A request keeps the era in which it arrived. */
  get era(): number {
    return this.#era;
  }

  /**
   * Waits `ms`, or without limit when `ms` is null, and returns why the wait ended. With `deaf`, a disconnect of the
   * client does not end it. A request of an earlier era is dropped immediately.
   */
  async wait(
    response: Closeable,
    era: number,
    { ms, deaf }: { ms: number | null; deaf: boolean },
  ): Promise<End> {
    if (era !== this.#era) return "dropped";
    const { promise, resolve } = Promise.withResolvers<End>();
    const gone = () => resolve("gone");
    if (!deaf) response.once("close", gone);
    const timer = ms === null
      ? undefined
      : setTimeout(() => resolve("elapsed"), ms);
    this.#held.set(resolve, { timed: ms !== null });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#held.delete(resolve);
      response.off("close", gone);
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
    this.#era += 1;
    for (const end of this.#held.keys()) end("dropped");
  }
}
