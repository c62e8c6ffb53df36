/** Timers that fire one after another without waiting, for code whose pauses are long. */

interface Timer {
  due: number;
  fire: () => void;
}

/** Replaces the timers of this process until it is disposed of. */
export class VirtualTime implements Disposable {
  readonly #setTimeout = globalThis.setTimeout;
  readonly #clearTimeout = globalThis.clearTimeout;
  readonly #timers = new Map<number, Timer>();
  #lastId = 0;
  #now = 0;

  constructor() {
    const set = (fire: () => void, ms = 0) => {
      this.#lastId += 1;
      this.#timers.set(this.#lastId, { due: this.#now + ms, fire });
      return this.#lastId;
    };
    const clear = (id?: number) => void this.#timers.delete(id ?? 0);
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
  }

  /** Milliseconds that have passed. */
  get elapsedMs(): number {
    return this.#now;
  }

  /** Fires timers in their order until the promise is settled. */
  async passUntil<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = () => isSettled = true;
    promise.then(settle, settle);
    for (;;) {
      // Everything that needs no timer runs before the next one fires.
      for (let turn = 0; turn < 3; turn++) {
        await new Promise<void>((done) => this.#setTimeout(done));
      }
      if (isSettled) return await promise;
      const [next] = [...this.#timers].sort(([, one], [, other]) =>
        one.due - other.due
      );
      if (next === undefined) continue;
      const [id, { due, fire }] = next;
      this.#timers.delete(id);
      this.#now = due;
      fire();
    }
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, {
      setTimeout: this.#setTimeout,
      clearTimeout: this.#clearTimeout,
    });
  }
}
