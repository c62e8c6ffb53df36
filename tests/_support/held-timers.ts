/** Timers that fire only when a test advances them. */
import { mock } from "node:test";
import { setImmediate } from "node:timers";

/** Held timers. They run normally again at the end of the block that holds them with `using`. */
export interface HeldTimers extends Disposable {
  /** Runs everything that is ready, advances by `milliseconds`, then runs what became ready. */
  pass(milliseconds: number): Promise<void>;
}

/** Longest step, so that work started by an interval can end before its next tick. */
const STEP_MS = 1_000;

/** Holds `setTimeout` and `setInterval`; `AbortSignal.timeout` too when `holdsSignals` is set. */
export function heldTimers(
  { holdsSignals = false }: { holdsSignals?: boolean } = {},
): HeldTimers {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const { timeout } = AbortSignal;
  if (holdsSignals) AbortSignal.timeout = heldSignal;
  return {
    pass: async (milliseconds) => {
      await turn();
      for (let left = milliseconds; left > 0; left -= STEP_MS) {
        mock.timers.tick(Math.min(left, STEP_MS));
        await turn();
      }
    },
    [Symbol.dispose]: () => {
      AbortSignal.timeout = timeout;
      mock.timers.reset();
    },
  };
}

function heldSignal(milliseconds: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(
    () => controller.abort(new DOMException("timed out", "TimeoutError")),
    milliseconds,
  );
  return controller.signal;
}

/** One turn of the event loop, in which held timers do not advance. */
export function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  return promise;
}
