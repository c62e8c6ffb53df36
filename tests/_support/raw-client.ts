/** A client that sends and reads as slowly as a test wants, which `fetch` cannot. */

/** Reached only when a test fails. It is long, because a busy machine may need a while. */
const TIMEOUT_MS = 240_000;
/**
 * A server that has responded may neither read more nor end the connection: Deno's does that once in some hundred times.
 */
const STALL_MS = 60_000;
const encoder = new TextEncoder();

/** A connection with one request. */
export interface RawClient extends Disposable {
  /**
   * Sends further bytes of the body. Resolves with true when they are sent, or with false when the connection is
   * closed, or accepts nothing for a minute.
   */
  send(bytes: string | Uint8Array<ArrayBuffer>): Promise<boolean>;
  /** Reads only the status of the response. Fails when none comes within 240 s. */
  status(): Promise<number>;
}

/** Sends only the head of a request; reads nothing of the response until the caller does. */
export async function sendHead(
  url: string,
  method: string,
  headers: Record<string, string>,
): Promise<RawClient> {
  const { hostname, port, pathname, search } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const send = async (bytes: string | Uint8Array<ArrayBuffer>) => {
    const all = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    for (let at = 0; at < all.byteLength;) {
      const stalled = Promise.withResolvers<number>();
      const limit = setTimeout(() => stalled.resolve(0), STALL_MS);
      const written = await Promise.race([
        connection.write(all.subarray(at)).catch(() => 0),
        stalled.promise,
      ]);
      clearTimeout(limit);
      if (written === 0) return false;
      at += written;
    }
    return true;
  };
  const lines = Object.entries({ host: `${hostname}:${port}`, ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`);
  await send(
    `${method} ${pathname}${search} HTTP/1.1\r\n${lines.join("")}\r\n`,
  );
  let isClosed = false;
  const close = () => {
    if (!isClosed) connection.close();
    isClosed = true;
  };
  return {
    send,
    async status() {
      const buffer = new Uint8Array(12);
      const timeout = setTimeout(close, TIMEOUT_MS);
      try {
        for (let at = 0; at < buffer.byteLength;) {
          const read = await connection.read(buffer.subarray(at));
          if (read === null) throw new Error("the connection was closed");
          at += read;
        }
      } finally {
        clearTimeout(timeout);
      }
      return Number(new TextDecoder().decode(buffer).slice(9));
    },
    [Symbol.dispose]: close,
  };
}

/** A part of a body of unknown length, as HTTP/1.1 writes it. */
export function chunk(bytes: number | string): Uint8Array<ArrayBuffer> {
  const body = typeof bytes === "string"
    ? encoder.encode(bytes)
    : new Uint8Array(bytes).fill(0x78);
  const before = encoder.encode(`${body.byteLength.toString(16)}\r\n`);
  const all = new Uint8Array(before.byteLength + body.byteLength + 2);
  all.set(before);
  all.set(body, before.byteLength);
  all.set(encoder.encode("\r\n"), before.byteLength + body.byteLength);
  return all;
}
