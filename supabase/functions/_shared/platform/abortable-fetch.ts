/** A fetch whose signal also ends a response body that stalls. */

/**
 * `fetch`, except that aborting the signal always ends the body of the response as well: reading it rejects with the
 * signal's reason.
 *
 * Deno's fetch forgets the signal once the garbage collector has run after the headers, so that a body which stalls
 * is never ended by a timeout.
 */
export function abortableFetch(inner: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await inner(input, init);
    // Under Deno 2.1 the union of fetch's options includes one that declares no signal.
    const given: { signal?: AbortSignal | null } | undefined = init;
    const signal = given?.signal;
    if (!signal || response.body === null) return response;
    return new Response(
      response.body.pipeThrough(new TransformStream(), { signal }),
      response,
    );
  };
}
