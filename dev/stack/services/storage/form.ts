/** Parses multipart forms (RFC 7578) with a file that may not fit into memory. */

/** A source of bytes that can be read in ranges. */
export interface Readable {
  /** In bytes. */
  readonly size: number;
  read(from: number, to: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A part of a form, by the range of its bytes. */
export interface FormPart {
  name: string;
  type: string | undefined;
  from: number;
  to: number;
}

const STEP_BYTES = 262_144;
/** Headers of one part. */
const MAX_HEADER_BYTES = 16_384;

const disposition = /^content-disposition:\s*form-data;(.*)$/im;

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  const [first] = wanted;
  if (first === undefined) return 0;
  for (let at = 0; (at = bytes.indexOf(first, at)) !== -1; at++) {
    let same = 1;
    while (same < wanted.length && bytes[at + same] === wanted[same]) same++;
    if (same === wanted.length) return at;
  }
  return -1;
}

/** Position of the next `wanted` from `from` on; -1 when there is none before `to`. */
async function find(
  source: Readable,
  wanted: Uint8Array,
  from: number,
  to = source.size,
): Promise<number> {
  for (let at = from; at + wanted.length <= to;) {
    const part = await source.read(at, Math.min(at + STEP_BYTES, to));
    const found = indexOf(part, wanted);
    if (found !== -1) return at + found;
    // It may begin at the end of this chunk.
    at += part.byteLength - wanted.length + 1;
  }
  return -1;
}

/**
 * Finds the parts of a form. The platform's `formData()` would hold the whole form in memory, and drops a part with an
 * empty name, which is where supabase-js puts the file.
 */
export async function findParts(
  form: Readable,
  contentType: string,
): Promise<FormPart[]> {
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
  const opening = await find(form, delimiter.subarray(2), 0);
  let at = opening === -1 ? form.size : opening + delimiter.length - 2;
  // The last delimiter is followed by two dashes.
  while ((await form.read(at, at + 1))[0] === 0x0d) {
    const headersTo = await find(
      form,
      headersEnd,
      at,
      Math.min(at + MAX_HEADER_BYTES, form.size),
    );
    if (headersTo === -1) break;
    // In an empty part, the line break before the delimiter is the one that ends the headers.
    const end = await find(form, delimiter, headersTo + 2);
    if (end === -1) break;
    const headers = decoder.decode(await form.read(at, headersTo));
    const parameters = disposition.exec(headers)?.[1] ?? "";
    const from = headersTo + headersEnd.length;
    parts.push({
      name: /(?:^|[;\s])name="([^"]*)"/i.exec(parameters)?.[1] ?? "",
      type: /^content-type:\s*(.+?)\s*$/im.exec(headers)?.[1],
      from,
      to: Math.max(from, end),
    });
    at = end + delimiter.length;
  }
  return parts;
}
