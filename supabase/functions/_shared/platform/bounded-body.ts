/** Reading a body that may be of any length: the one place that counts bytes as they arrive. */
import type { Bytes } from "./bytes.ts";

/**
 * The chunks of `stream` as they arrive; none is kept.
 *
 * Guarantees: as soon as more than `maxBytes` have arrived, or `signal` aborts, the stream is cancelled and the loop
 * throws (`tooLarge()`, or the signal's reason). The stream is also cancelled when the loop ends early.
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
  // A stream that has failed cannot be cancelled, and need not be.
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

/**
 * The whole body as a Blob, which keeps it outside of the JavaScript heap.
 *
 * @throws as {@link boundedChunks}.
 */
export async function boundedBlob(
  stream: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  tooLarge: () => Error,
): Promise<Blob> {
  const chunks: Bytes[] = [];
  for await (const chunk of boundedChunks(stream, maxBytes, tooLarge)) {
    chunks.push(new Uint8Array(chunk));
  }
  return new Blob(chunks);
}

/**
 * The whole body in one piece of memory, for which `maxBytes` are set aside at once.
 *
 * @throws as {@link boundedChunks}.
 */
export async function boundedBytes(
  stream: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  tooLarge: () => Error,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(maxBytes);
  let size = 0;
  for await (const chunk of boundedChunks(stream, maxBytes, tooLarge)) {
    bytes.set(chunk, size);
    size += chunk.byteLength;
  }
  return bytes.subarray(0, size);
}

/**
 * The whole body as text.
 *
 * @param options.fatal throw a TypeError for bytes that are not UTF-8, instead of replacing them.
 * @throws as {@link boundedChunks}.
 */
export async function boundedText(
  stream: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  tooLarge: () => Error,
  options: { fatal?: boolean } = {},
): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: options.fatal ?? false });
  let text = "";
  for await (const chunk of boundedChunks(stream, maxBytes, tooLarge)) {
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
