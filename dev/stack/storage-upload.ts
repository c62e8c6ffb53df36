/**
 * The two ways in which apps send a file to Storage, made into the one that the embedded Storage understands: a
 * raw body with its length. supabase-js sends a `Blob` or `File` as a form whose file part has an empty name.
 */

/** A refusal with the body that a hosted project would answer. */
export class StorageRefusal extends Error {
  constructor(
    readonly statusCode: string,
    readonly error: string,
    message: string,
  ) {
    super(message);
  }

  /** The HTTP answer: 400 whatever the code inside, as hosted. */
  response(): Response {
    return Response.json({
      statusCode: this.statusCode,
      error: this.error,
      message: this.message,
    }, { status: 400 });
  }
}

/** What is refused with 413 when a file is larger than allowed. */
export function tooLarge(): StorageRefusal {
  return new StorageRefusal(
    "413",
    "Payload too large",
    "The object exceeded the maximum allowed size",
  );
}

/** What is refused as 404: an object that is not there, or that the caller may not see or change. */
export function noSuchKey(): StorageRefusal {
  return new StorageRefusal("404", "not_found", "Object not found");
}

/** A file on its way in, whatever form it came in. */
export interface Upload {
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>;
  /** In bytes, always known. */
  size: number;
  contentType: string;
  cacheControl: string;
  /** JSON text of the user's own metadata. */
  metadata: string | undefined;
}

/** Reads a body to its end, or refuses it as soon as it is larger than `limit` bytes. */
async function readAtMost(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const part of body ?? []) {
    size += part.byteLength;
    if (size > limit) throw tooLarge();
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** The overhead of a form around its file: boundaries, headers and the small fields. */
const formOverhead = 64 * 1024;

const disposition = /^content-disposition:\s*form-data;(.*)$/im;

interface FormPart {
  name: string;
  type: string | undefined;
  bytes: Uint8Array<ArrayBuffer>;
}

function indexOf(
  bytes: Uint8Array,
  wanted: Uint8Array,
  from: number,
): number {
  const [first] = wanted;
  if (first === undefined) return from;
  for (let at = from; (at = bytes.indexOf(first, at)) !== -1; at++) {
    let same = 1;
    while (same < wanted.length && bytes[at + same] === wanted[same]) same++;
    if (same === wanted.length) return at;
  }
  return -1;
}

/**
 * Splits a form into its parts (RFC 7578). The platform's `formData()` cannot be used: it drops a part with an
 * empty name, which is where supabase-js puts the file.
 */
export function splitForm(
  form: Uint8Array<ArrayBuffer>,
  contentType: string,
): FormPart[] {
  const [, quoted, bare] = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(
    contentType,
  ) ?? [];
  const boundary = quoted ?? bare;
  if (boundary === undefined) return [];
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const delimiter = encoder.encode(`\r\n--${boundary}`);
  const headersEnd = encoder.encode("\r\n\r\n");
  const parts: FormPart[] = [];
  // The first delimiter has no line break before it.
  const opening = indexOf(form, delimiter.subarray(2), 0);
  let at = opening === -1 ? -1 : opening + delimiter.length - 2;
  while (at !== -1 && form[at] === 0x0d) {
    const bodyStart = indexOf(form, headersEnd, at);
    if (bodyStart === -1) break;
    const end = indexOf(form, delimiter, bodyStart + 2);
    if (end === -1) break;
    const headers = decoder.decode(form.subarray(at, bodyStart));
    const parameters = disposition.exec(headers)?.[1] ?? "";
    parts.push({
      name: /(?:^|[;\s])name="([^"]*)"/i.exec(parameters)?.[1] ?? "",
      type: /^content-type:\s*(.+?)\s*$/im.exec(headers)?.[1],
      bytes: form.subarray(bodyStart + headersEnd.length, end),
    });
    at = end + delimiter.length;
  }
  return parts;
}

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
 * The file that a request carries. A form and a body of unknown length are read into memory; a raw body of known
 * length is passed on as a stream. Throws {@link StorageRefusal} for a file above `limit` bytes, and for a form
 * without a file.
 */
export async function readUpload(
  request: Request,
  limit: number,
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
      return { ...common, size, body: request.body };
    }
    const body = await readAtMost(request.body, limit);
    return { ...common, size: body.byteLength, body };
  }

  if (size !== undefined && size > limit + formOverhead) throw tooLarge();
  const form = await readAtMost(request.body, limit + formOverhead);
  const parts = splitForm(form, contentType);
  const file = parts.find(({ name, type }) => name === "" || type) ??
    parts.find(({ name }) => name === "file");
  if (file === undefined) {
    throw new StorageRefusal("400", "InvalidRequest", "The form has no file");
  }
  if (file.bytes.byteLength > limit) throw tooLarge();
  const text = (wanted: string) => {
    const part = parts.find(({ name }) => name === wanted);
    return part && new TextDecoder().decode(part.bytes);
  };
  const seconds = text("cacheControl");
  return {
    body: file.bytes,
    size: file.bytes.byteLength,
    // Hosted, the parser of forms drops parameters. A raw body keeps them.
    contentType: file.type?.split(";", 1)[0]?.trim().toLowerCase() ||
      "application/octet-stream",
    cacheControl: seconds === undefined ? "no-cache" : `max-age=${seconds}`,
    metadata: text("metadata"),
  };
}
