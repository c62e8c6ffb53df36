/** Timers that pass only when a test says so. */
import { mock } from "node:test";
import { setImmediate } from "node:timers";

/** Held timers; they run freely again at the end of the block that holds them with `using`. */
export interface HeldTimers extends Disposable {
  /** Lets `milliseconds` pass, and then everything happen that this made ready. */
  pass(milliseconds: number): Promise<void>;
}

/** Holds `setTimeout` and `setInterval`. Not `AbortSignal.timeout`, which no one can hold. */
export function heldTimers(): HeldTimers {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  return {
    pass: async (milliseconds) => {
      mock.timers.tick(milliseconds);
      await turn();
    },
    [Symbol.dispose]: () => mock.timers.reset(),
  };
}

/** One turn of the event loop, in which what is ready to happen happens; held timers do not pass in it. */
export function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  return promise;
}
