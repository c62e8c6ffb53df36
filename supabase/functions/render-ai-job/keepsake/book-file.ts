/**
 * The file of a keepsake: the pages as pages.ts makes them, followed by the photos as an incremental update (ISO 32000-1,
 * 7.5.6), each under the object number that the pages use for it. The file is described by a list of segments, so that any
 * isolate can produce any part of it, with the same bytes each time.
 */
import { encodeBase64 } from "@std/encoding";
import { z } from "zod";

const rangeSchema = z.object({ from: z.number(), to: z.number() });

/** A picture in a form that PDF embeds, and where its bytes are: `<bucket>/<path>` of Storage. */
export const imageSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("jpeg"),
    object: z.string(),
    width: z.number(),
    height: z.number(),
    bits: z.number(),
    colors: z.union([z.literal(1), z.literal(3), z.literal(4)]),
    orientation: z.number(),
    isInverted: z.boolean(),
    /** Bytes from the beginning of the file to the end of the picture. */
    size: z.number(),
    /** Whether there is an end marker. */
    hasEnd: z.boolean(),
    /** The bytes of its ICC profile in the file, and a hash that identifies the profile. */
    profile: z.object({ ranges: z.array(rangeSchema), hash: z.string() })
      .nullable(),
  }),
  z.object({
    kind: z.literal("png"),
    /** zlib, rows with the PNG predictor. */
    object: z.string(),
    size: z.number(),
    width: z.number(),
    height: z.number(),
    bits: z.number(),
    colors: z.union([z.literal(1), z.literal(3)]),
    /** RGB triplets in base64, when pixels are indexes. */
    palette: z.string().nullable(),
    /** The transparent colour: the lowest and the highest value of each sample. */
    mask: z.array(z.number()).nullable(),
    /** Its ICC profile: zlib bytes of the photo's own file, and a hash that identifies the profile. */
    profile: rangeSchema.extend({ object: z.string(), hash: z.string() })
      // A book that was begun by an earlier version has none.
      .nullable().default(null),
    /** Transparency in the same form, with one sample of 8 bits. */
    alpha: z.object({ object: z.string(), size: z.number() }).nullable(),
  }),
]);
/** See {@link imageSchema}. */
export type BookImage = z.infer<typeof imageSchema>;

/** See {@link Segment}. */
export const segmentSchema = z.union([
  z.object({ text: z.string() }),
  z.object({ object: z.string(), from: z.number(), to: z.number() }),
]);
/** A part of the file: ASCII text, or bytes of an object of Storage. */
export type Segment = z.infer<typeof segmentSchema>;

/**
 * The segments of a file.
 *
 * @param pages the PDF of the pages, and the object under which it is stored.
 * @param images in the order of `imageIds`.
 */
export function assembleBook(
  pages: { pdf: Uint8Array; object: string; imageIds: readonly number[] },
  images: readonly BookImage[],
): Segment[] {
  const trailer = readTrailer(pages.pdf);
  const update = new Update(pages.pdf.length, trailer.size);
  const profiles = new Map<string, number>();
  for (const [index, image] of images.entries()) {
    const id = pages.imageIds[index];
    if (id === undefined) throw new TypeError(`no object for photo ${index}`);
    if (image.kind === "jpeg") addJpeg(update, id, image, profiles);
    else addPng(update, id, image, profiles);
  }
  return [
    { object: pages.object, from: 0, to: pages.pdf.length },
    ...update.end(trailer),
  ];
}

/** The size of a file in bytes. */
export function sizeOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, segment) => sum + lengthOf(segment), 0);
}

/**
 * The bytes of a part of the file.
 *
 * @param open reads a part of an object of Storage; its errors are thrown unchanged.
 * @throws {TypeError} when an object returns more or fewer bytes than requested.
 */
export async function* readBook(
  segments: readonly Segment[],
  from: number,
  to: number,
  open: (
    part: { object: string; from: number; to: number },
  ) => Promise<AsyncIterable<Uint8Array>>,
): AsyncGenerator<Uint8Array, void> {
  let at = 0;
  for (const segment of segments) {
    const begin = Math.max(from - at, 0);
    const end = Math.min(to - at, lengthOf(segment));
    at += lengthOf(segment);
    if (begin >= end) continue;
    if ("text" in segment) {
      yield new TextEncoder().encode(segment.text.slice(begin, end));
      continue;
    }
    const part = {
      object: segment.object,
      from: segment.from + begin,
      to: segment.from + end,
    };
    let left = end - begin;
    for await (const bytes of await open(part)) {
      left -= bytes.length;
      if (left < 0) break;
      yield bytes;
    }
    if (left !== 0) throw new TypeError(`${part.object} has changed`);
  }
}

function lengthOf(segment: Segment): number {
  return "text" in segment ? segment.text.length : segment.to - segment.from;
}

interface Trailer {
  /** One more than the highest number of an object. */
  size: number;
  /** Position of the object table. */
  table: number;
  /** The entries that the new trailer repeats. */
  entries: string;
}

function readTrailer(pdf: Uint8Array): Trailer {
  const end = new TextDecoder("latin1").decode(pdf.subarray(-2048));
  const trailer = end.slice(end.lastIndexOf("trailer"));
  const read = (pattern: RegExp) => {
    const found = pattern.exec(trailer)?.[1];
    if (found === undefined) throw new TypeError(`no ${pattern} in ${trailer}`);
    return found;
  };
  return {
    size: Number(read(/\/Size (\d+)/)),
    table: Number(read(/startxref\s+(\d+)/)),
    entries: `/Root ${read(/\/Root (\d+ 0 R)/)} /Info ${
      read(/\/Info (\d+ 0 R)/)
    } /ID ${read(/\/ID (\[[^\]]*\])/)}`,
  };
}

/** Objects that are added to a file or replace others in it. */
class Update {
  readonly #segments: Segment[] = [];
  readonly #places = new Map<number, number>();
  #at: number;
  #next: number;

  constructor(at: number, next: number) {
    this.#at = at;
    this.#next = next;
  }

  newId(): number {
    return this.#next++;
  }

  stream(id: number, entries: string, parts: readonly Segment[]): void {
    this.#places.set(id, this.#at);
    const length = sizeOf(parts);
    this.#add({
      text: `${id} 0 obj\n<< ${entries} /Length ${length} >>\nstream\n`,
    });
    for (const part of parts) this.#add(part);
    this.#add({ text: "\nendstream\nendobj\n" });
  }

  #add(segment: Segment): void {
    this.#segments.push(segment);
    this.#at += lengthOf(segment);
  }

  end({ table, entries }: Trailer): Segment[] {
    const start = this.#at;
    const ids = [...this.#places.keys()].sort((a, b) => a - b);
    let text = "xref\n";
    for (let from = 0; from < ids.length;) {
      const first = ids[from] ?? 0;
      let to = from;
      while (ids[to] === first + to - from) to++;
      text += `${first} ${to - from}\n`;
      for (const id of ids.slice(from, to)) {
        const place = String(this.#places.get(id) ?? 0).padStart(10, "0");
        text += `${place} 00000 n \n`;
      }
      from = to;
    }
    this.#add({
      text:
        `${text}trailer\n<< /Size ${this.#next} /Prev ${table} ${entries} >>\n` +
        `startxref\n${start}\n%%EOF\n`,
    });
    return this.#segments;
  }
}

/** What each image object begins with. */
function imageEntries(
  { width, height, bits }: { width: number; height: number; bits: number },
  colorSpace: string,
): string {
  return `/Type /XObject /Subtype /Image /Width ${width} /Height ${height} ` +
    `/BitsPerComponent ${bits} /ColorSpace ${colorSpace}`;
}

/** The colour space of an image: that of its profile, which the book contains once, or else of the device. */
function addColorSpace(
  update: Update,
  colors: 1 | 3 | 4,
  profiles: Map<string, number>,
  profile: { hash: string; parts: readonly Segment[]; filter: string } | null,
): string {
  const device = { 1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK" }[
    colors
  ];
  if (profile === null) return device;
  let id = profiles.get(profile.hash);
  if (id === undefined) {
    id = update.newId();
    profiles.set(profile.hash, id);
    update.stream(
      id,
      `/N ${colors} /Alternate ${device}${profile.filter}`,
      profile.parts,
    );
  }
  return `[/ICCBased ${id} 0 R]`;
}

function addJpeg(
  update: Update,
  id: number,
  image: Extract<BookImage, { kind: "jpeg" }>,
  profiles: Map<string, number>,
): void {
  const { object, colors, profile } = image;
  const colorSpace = addColorSpace(
    update,
    colors,
    profiles,
    profile && {
      hash: profile.hash,
      parts: profile.ranges.map((range) => ({ object, ...range })),
      filter: "",
    },
  );
  update.stream(
    id,
    imageEntries(image, colorSpace) + " /Filter /DCTDecode" +
      (image.isInverted ? " /Decode [1 0 1 0 1 0 1 0]" : ""),
    [{ object, from: 0, to: image.size }],
  );
}

function addPng(
  update: Update,
  id: number,
  image: Extract<BookImage, { kind: "png" }>,
  profiles: Map<string, number>,
): void {
  const { profile } = image;
  let colorSpace = addColorSpace(
    update,
    image.palette === null ? image.colors : 3,
    profiles,
    profile && {
      hash: profile.hash,
      parts: [{ object: profile.object, from: profile.from, to: profile.to }],
      filter: " /Filter /FlateDecode",
    },
  );
  if (image.palette !== null) {
    const table = Uint8Array.from(
      atob(image.palette),
      (character) => character.charCodeAt(0),
    );
    const hex = [...table].map((byte) => byte.toString(16).padStart(2, "0"));
    colorSpace = `[/Indexed ${colorSpace} ${table.length / 3 - 1} <${
      hex.join("")
    }>]`;
  }
  const packed = (colors: number, bits: number) =>
    ` /Filter /FlateDecode /DecodeParms << /Predictor 15 /Colors ${colors} ` +
    `/BitsPerComponent ${bits} /Columns ${image.width} >>`;
  let mask = image.mask === null ? "" : ` /Mask [${image.mask.join(" ")}]`;
  if (image.alpha !== null) {
    const maskId = update.newId();
    update.stream(
      maskId,
      imageEntries({ ...image, bits: 8 }, "/DeviceGray") + packed(1, 8),
      [{ object: image.alpha.object, from: 0, to: image.alpha.size }],
    );
    mask = ` /SMask ${maskId} 0 R`;
  }
  update.stream(
    id,
    imageEntries(image, colorSpace) + packed(image.colors, image.bits) + mask,
    [{ object: image.object, from: 0, to: image.size }],
  );
}

/** A palette as {@link imageSchema} has it. */
export function encodePalette(palette: Uint8Array | null): string | null {
  return palette && encodeBase64(palette);
}
