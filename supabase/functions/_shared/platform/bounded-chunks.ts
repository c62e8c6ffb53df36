/** Reading a body that may be of any length, chunk by chunk. */

/**
 * The chunks of `stream` as they come, and nothing kept of them.
 *
 * Guarantees: as soon as more than `maxBytes` have come, or `signal` aborts, the stream is cancelled and the loop throws
 * (`tooLarge()`, or the signal's reason); it is cancelled as well when the loop ends early.
 */
export async function* boundedChunks(
  stream: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  tooLarge: () => Error,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  if (stream === null) return;
  const reader = stream.getReader();
  // A stream that failed by itself cannot be cancelled, and need not be.
  const cancel = () => reader.cancel().catch(() => {});
  signal?.addEventListener("abort", cancel, { once: true });
  let size = 0;
  try {
    while (true) {
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return;
      size += value.byteLength;
      if (size > maxBytes) throw tooLarge();
      yield value;
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
    await cancel();
  }
}
