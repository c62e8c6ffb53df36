/**
 * Signals from features that every platform has: React Native lacks `AbortSignal.any`, `AbortSignal.timeout` and
 * `throwIfAborted`.
 */

/** The reason of an aborted signal; an AbortError where the platform keeps none. React Native has no DOMException. */
export function reasonOf(signal?: AbortSignal): unknown {
  return signal?.reason ??
    Object.assign(new Error("Aborted"), { name: "AbortError" });
}

/** Throws the reason of the signal if it is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw reasonOf(signal);
}

/**
 * Calls `callback` when the signal is aborted, or immediately if it already is. Returns a function that unsubscribes.
 */
export function onAbort(
  signal: AbortSignal | undefined,
  aborted: () => void,
): () => void {
  if (signal?.aborted) aborted();
  else signal?.addEventListener("abort", aborted, { once: true });
  return () => signal?.removeEventListener("abort", aborted);
}

/** Settles as `work` does; rejects with the signal's reason as soon as it is aborted. */
export function orAbort<T>(
  work: T | PromiseLike<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  let unsubscribe = () => {};
  const aborted = new Promise<never>((_, reject) => {
    unsubscribe = onAbort(signal, () => reject(reasonOf(signal)));
  });
  return Promise.race([work, aborted]).finally(unsubscribe);
}

/**
 * Resolves after `ms`, or when what `begun` receives is called; rejects with the signal's reason as soon as it is
 * aborted.
 */
export function pause(
  ms: number,
  signal: AbortSignal | undefined,
  begun?: (end: () => void) => void,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout>;
  return orAbort(
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
      begun?.(resolve);
    }),
    signal,
  ).finally(() => clearTimeout(timer));
}

/** A signal that follows another and ends by itself after a time. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** Whether the time limit ended it. */
  readonly isLate: boolean;
  /** Clears the timer and stops following the other signal. */
  clear(): void;
}

/** Follows `signal`, and is aborted after `ms`. */
export function deadline(
  signal: AbortSignal | undefined,
  ms: number | undefined,
): Deadline {
  const controller = new AbortController();
  let isLate = false;
  const abort = () => controller.abort(reasonOf(signal));
  const unsubscribe = onAbort(signal, abort);
  const timer = ms === undefined ? undefined : setTimeout(() => {
    isLate = !controller.signal.aborted;
    abort();
  }, ms);
  return {
    signal: controller.signal,
    get isLate() {
      return isLate;
    },
    clear() {
      clearTimeout(timer);
      unsubscribe();
    },
  };
}
