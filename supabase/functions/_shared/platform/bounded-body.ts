/** Reads a body of unknown length: the only place that counts bytes as they arrive. */
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

/** The chunks as one Blob, which is kept outside the JavaScript heap. Throws what the chunks throw. */
export async function blobOf(chunks: AsyncIterable<Uint8Array>): Promise<Blob> {
  const parts: Bytes[] = [];
  for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
  return new Blob(parts);
}

/** The chunks in one array, for which `maxBytes` are allocated first. Throws what the chunks throw. */
export async function bytesOf(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(maxBytes);
  let size = 0;
  for await (const chunk of chunks) {
    bytes.set(chunk, size);
    size += chunk.byteLength;
  }
  return bytes.subarray(0, size);
}

/**
 * The chunks as text. Throws what the chunks throw.
 *
 * @param notUtf8 the error for bytes that are not UTF-8. Without it they are replaced by U+FFFD.
 */
export async function textOf(
  chunks: AsyncIterable<Uint8Array>,
  notUtf8?: (cause: unknown) => Error,
): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: notUtf8 !== undefined });
  let text = "";
  // Only errors of the decoder are about the text.
  const decode = (chunk?: Uint8Array) => {
    try {
      text += decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (cause) {
      throw notUtf8?.(cause) ?? cause;
    }
  };
  for await (const chunk of chunks) decode(chunk);
  decode();
  return text;
}
