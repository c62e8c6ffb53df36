/** Bodies that are read before anything else is done for a request. */
import { sameRequest } from "./same-request.ts";

/** Most bytes of a body that is no file, 20 MiB: it is held in memory. */
export const MOST_BODY_BYTES = 20_971_520;

/** A body that is larger than {@link MOST_BODY_BYTES}. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
  constructor() {
    super(`The body of the request is larger than ${MOST_BODY_BYTES} bytes.`);
  }
}

/**
 * The same request once its body is here, so that no service waits for its sender while it holds a connection to the
 * database.
 *
 * @throws {BodyTooLarge} as soon as too much has come, or is announced.
 */
export async function withWholeBody(request: Request): Promise<Request> {
  if (request.body === null) return request;
  if (Number(request.headers.get("content-length")) > MOST_BODY_BYTES) {
    throw new BodyTooLarge();
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const part of request.body) {
    size += part.byteLength;
    if (size > MOST_BODY_BYTES) throw new BodyTooLarge();
    parts.push(part);
  }
  return sameRequest(request, { body: new Blob(parts) });
}
