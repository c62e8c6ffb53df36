/** A fetch with a deadline. */

/**
 * `fetch` with a deadline: each call, reading the body included, aborts after `seconds`, with the caller's signal, or
 * with `signal`, whichever comes first.
 *
 * @param seconds one bound for all calls, or the bound for a URL.
 */
export function boundedFetch(
  inner: typeof fetch,
  seconds: number | ((url: URL) => number),
  signal?: AbortSignal,
): typeof fetch {
  return (input, init) => {
    const request = input instanceof Request ? input : undefined;
    const bound = typeof seconds === "number"
      ? seconds
      : seconds(new URL(request?.url ?? String(input)));
    // Under Deno 2.1 the union of fetch's options includes one that declares no signal.
    const given: { signal?: AbortSignal | null } | undefined = init;
    const signals = [
      AbortSignal.timeout(bound * 1000),
      // As in fetch: a signal in the options replaces the request's own.
      given?.signal === undefined ? request?.signal : given.signal,
      signal,
    ];
    return inner(input, {
      ...init,
      signal: AbortSignal.any(
        signals.filter((one) => one !== undefined && one !== null),
      ),
    });
  };
}
