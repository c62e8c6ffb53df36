/**
 * Converts both kinds of uploads to the one that the embedded Storage supports: a raw body with its length. supabase-js
 * sends a `Blob` or `File` as a form whose file part has an empty name.
 */
import { SpooledFile } from "./spooled-file.ts";
import { findParts } from "./form.ts";

/** A refusal with the body of a hosted project. */
export class StorageRefusal extends Error {
  constructor(
    readonly statusCode: string,
    readonly error: string,
    message: string,
  ) {
    super(message);
  }

  /** The HTTP response: 400 for every code, as hosted. */
  response(): Response {
    return Response.json({
      statusCode: this.statusCode,
      error: this.error,
      message: this.message,
    }, { status: 400 });
  }
}

/** The refusal of a file that is larger than allowed (413). */
export function tooLarge(): StorageRefusal {
  return new StorageRefusal(
    "413",
    "Payload too large",
    "The object exceeded the maximum allowed size",
  );
}

/** The refusal of an object that does not exist, or that the caller may not see or change (404). */
export function noSuchKey(): StorageRefusal {
  return new StorageRefusal("404", "not_found", "Object not found");
}

/** An uploaded file, from any kind of request. Disposing deletes its temporary storage. */
export interface Upload extends Disposable {
  body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Size in bytes, always known. */
  size: number;
  contentType: string;
  cacheControl: string;
  /** JSON text of the user's metadata. */
  metadata: string | undefined;
}

/** Bytes of a form in addition to its file: boundaries, headers and small fields. */
const formOverhead = 64 * 1024;

function declaredSize(request: Request): number | undefined {
  const header = request.headers.get("content-length");
  return header === null ? undefined : Number(header);
}

function decodeMetadata(header: string | null): string | undefined {
  if (header === null) return undefined;
  try {
    return new TextDecoder().decode(
      Uint8Array.from(atob(header), (char) => char.charCodeAt(0)),
    );
  } catch {
    return undefined;
  }
}

/**
 * Reads the file of a request. A raw body of known length is streamed; a form and a body of unknown length are first
 * received into a file in the folder `dir`.
 *
 * @throws {StorageRefusal} for a file above `limit` bytes, and for a form without a file.
 */
export async function readUpload(
  request: Request,
  limit: number,
  dir: string,
): Promise<Upload> {
  const contentType = request.headers.get("content-type") ?? "";
  const size = declaredSize(request);
  if (!contentType.startsWith("multipart/form-data")) {
    if (size !== undefined && size > limit) throw tooLarge();
    const common = {
      contentType: contentType || "application/octet-stream",
      cacheControl: request.headers.get("cache-control") ?? "no-cache",
      metadata: decodeMetadata(request.headers.get("x-metadata")),
    };
    if (size !== undefined && request.body !== null) {
      return {
        ...common,
        size,
        body: request.body,
        [Symbol.dispose]() {},
      };
    }
    const file = await SpooledFile.receive(request.body, limit, dir, tooLarge);
    return {
      ...common,
      size: file.size,
      body: file.stream(0, file.size),
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  }

  const maxBytes = limit + formOverhead;
  if (size !== undefined && size > maxBytes) throw tooLarge();
  using parts = new DisposableStack();
  const form = parts.use(
    await SpooledFile.receive(request.body, maxBytes, dir, tooLarge),
  );
  const found = await findParts(form, contentType);
  const file = found.find(({ name, type }) => name === "" || type) ??
    found.find(({ name }) => name === "file");
  if (file === undefined) {
    throw new StorageRefusal("400", "InvalidRequest", "The form has no file");
  }
  if (file.to - file.from > limit) throw tooLarge();
  const text = async (wanted: string) => {
    const part = found.find(({ name }) => name === wanted);
    if (part === undefined) return undefined;
    if (part.to - part.from > formOverhead) throw tooLarge();
    return new TextDecoder().decode(await form.read(part.from, part.to));
  };
  const seconds = await text("cacheControl");
  const metadata = await text("metadata");
  const held = parts.move();
  return {
    body: form.stream(file.from, file.to),
    size: file.to - file.from,
    // On a hosted project the form parser drops parameters. A raw body keeps them.
    contentType: file.type?.split(";", 1)[0]?.trim().toLowerCase() ||
      "application/octet-stream",
    cacheControl: seconds === undefined ? "no-cache" : `max-age=${seconds}`,
    metadata,
    [Symbol.dispose]: () => held.dispose(),
  };
}
