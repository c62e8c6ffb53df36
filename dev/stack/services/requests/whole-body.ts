/** Reads bodies completely before a request is handled. */
import { sameRequest } from "./same-request.ts";

/** Largest body that is not a file, 20 MiB, because it is held in memory. */
const MAX_BODY_BYTES = 20_971_520;

/** A body that is larger than {@link MAX_BODY_BYTES}. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
  constructor() {
    super(`The body of the request is larger than ${MAX_BODY_BYTES} bytes.`);
  }
}

/**
 * The same request with its body in memory, so that no service holds a database connection while it waits for a sender.
 *
 * @throws {BodyTooLarge} as soon as too many bytes have arrived or are announced.
 */
export async function withWholeBody(request: Request): Promise<Request> {
  if (request.body === null) return request;
  if (Number(request.headers.get("content-length")) > MAX_BODY_BYTES) {
    throw new BodyTooLarge();
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const part of request.body) {
    size += part.byteLength;
    if (size > MAX_BODY_BYTES) throw new BodyTooLarge();
    parts.push(part);
  }
  return sameRequest(request, { body: new Blob(parts) });
}
