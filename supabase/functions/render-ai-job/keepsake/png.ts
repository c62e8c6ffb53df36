/**
 * Converts PNG (W3C, third edition) to the form that PDF embeds, as a stream. Compressed pixels pass through where PDF has the
 * same form. Pixels with an alpha channel are decompressed, and colour and transparency are compressed separately: a PNG
 * filter works on each byte of a pixel alone, so the filtered bytes of one channel are a filtered image.
 *
 * pdfkit's own reader is not used: it holds the whole picture, trusts every length in the file, and throws out of a
 * callback, which would end the isolate.
 */
import { pipeline, Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { constants, createDeflate, createInflate } from "node:zlib";
import { z } from "zod";

/** A file that is not a printable PNG. The message completes the sentence "the photo …". */
export class PngError extends Error {
  override readonly name = "PngError";
}

/** The head of a PNG. */
export interface PngHead {
  width: number;
  height: number;
  bits: number;
  colorType: number;
  /** Samples per pixel without transparency: 1 or 3. */
  colors: 1 | 3;
  hasAlpha: boolean;
  /** Decompressed size of the pixels; 0 when they pass through compressed. */
  unpackedBytes: number;
}

/** What PDF needs to know about the pixels, known once they have been read. */
export interface PngImage {
  /** Bits per sample; 16 become 8 if the pixels are decompressed. */
  bits: number;
  /** RGB triplets if pixels are indexes; at most 256. */
  palette: Uint8Array | null;
  /** The transparent colour, as the lowest and the highest value of each sample; null if there is none. */
  mask: number[] | null;
  /** The transparency, zlib, one channel of 8 bits with the PNG predictor; null if all pixels are opaque. */
  alpha: Uint8Array | null;
}

/** Largest decompressed picture: 16 million pixels with transparency, half as many with 16 bits per sample. */
export const MAX_UNPACKED_BYTES = 64_010_000;
/** The length of the signature and of the first chunk. */
export const PNG_HEAD_BYTES = 33;

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const INDEXED = 3;
/** By colour type: samples per pixel without transparency, whether there is transparency, and the possible bit depths. */
const TYPES: Readonly<
  Record<number, { colors: 1 | 3; hasAlpha: boolean; bits: readonly number[] }>
> = {
  0: { colors: 1, hasAlpha: false, bits: [1, 2, 4, 8, 16] },
  2: { colors: 3, hasAlpha: false, bits: [8, 16] },
  [INDEXED]: { colors: 1, hasAlpha: false, bits: [1, 2, 4, 8] },
  4: { colors: 1, hasAlpha: true, bits: [8, 16] },
  6: { colors: 3, hasAlpha: true, bits: [8, 16] },
};
/** Size of the chunks that zlib streams produce. */
const CHUNK_BYTES = 262_144;
/** The fastest level that still compresses runs: processor time is the scarcest resource of an isolate. */
const QUICK = { level: 1, strategy: constants.Z_RLE, chunkSize: CHUNK_BYTES };

/** Whether the bytes begin like a PNG. */
export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, index) => bytes[index] === byte);
}

/**
 * Reads signature and header.
 *
 * @param bytes at least the first {@link PNG_HEAD_BYTES} of the file.
 * @throws {PngError} when the file is broken, interlaced, or too large to decompress.
 */
export function readPngHead(bytes: Uint8Array): PngHead {
  if (!isPng(bytes)) throw new PngError("is not a PNG");
  if (bytes.length < PNG_HEAD_BYTES) {
    throw new PngError("ends too early");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = view.getUint32(16), height = view.getUint32(20);
  const bits = bytes[24] ?? 0, colorType = bytes[25] ?? 0;
  if (view.getUint32(8) !== 13 || width === 0 || height === 0) {
    throw new PngError("is a broken PNG (it has no size)");
  }
  const type = TYPES[colorType];
  if (type === undefined || !type.bits.includes(bits)) {
    throw new PngError("is a broken PNG (its colour type is unknown)");
  }
  if (bytes[28] !== 0) {
    throw new PngError("is an interlaced PNG, which cannot be printed");
  }
  const { colors, hasAlpha } = type;
  const unpackedBytes = hasAlpha
    ? (width * (colors + 1) * bits / 8 + 1) * height
    : 0;
  if (unpackedBytes > MAX_UNPACKED_BYTES) {
    const most = MAX_UNPACKED_BYTES / (colors + 1) / (bits / 8) / 1e6;
    throw new PngError(
      `is a PNG with an alpha channel of ${
        (width * height / 1e6).toFixed(1)
      } megapixels, which takes too long to print; up to ${
        Math.floor(most)
      } can be, or any number without an alpha channel`,
    );
  }
  return { width, height, bits, colorType, colors, hasAlpha, unpackedBytes };
}

/**
 * Reads a PNG to its end and yields the pixels as PDF embeds them: zlib, rows with the PNG predictor.
 *
 * Guarantees: holds about a megabyte of pixels at most, and the transparency in compressed form; decompresses nothing beyond
 * the size in the header.
 *
 * @returns what else PDF needs to know.
 * @throws {PngError} when the file is broken or truncated. Errors of `file` are thrown unchanged.
 */
export async function* preparePng(
  file: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, PngImage> {
  const input = new Input(file);
  const head = readPngHead(await input.take(PNG_HEAD_BYTES));
  const chunks = new Chunks(input);
  if (!head.hasAlpha) {
    yield* chunks.pixels();
    return { ...chunks.end(head), bits: head.bits, alpha: null };
  }
  const channels = new Channels(head);
  let failure: unknown;
  const packed = createDeflate(QUICK);
  pipeline(
    Readable.from(chunks.pixels()),
    createInflate({ chunkSize: CHUNK_BYTES }),
    (rows: AsyncIterable<unknown>) => channels.colorsOf(rows),
    packed,
    (error) => failure = error ?? undefined,
  );
  try {
    for await (const bytes of packed) yield toBytes(bytes);
  } catch (error) {
    throw asPngError(failure ?? error);
  }
  const { mask: _, ...image } = chunks.end(head);
  return { ...image, mask: null, bits: 8, alpha: await channels.endAlpha() };
}

/** Errors of zlib, which have codes with this prefix, are faults of the file. */
const zlibErrorSchema = z.object({ code: z.string().startsWith("Z_") });

function asPngError(error: unknown): unknown {
  return zlibErrorSchema.safeParse(error).success
    ? new PngError("is a broken PNG (its pixels cannot be decompressed)", {
      cause: error,
    })
    : error;
}

function toBytes(value: unknown): Uint8Array {
  return z.instanceof(Uint8Array).parse(value);
}

/** Reads pieces of any size from a stream of bytes. */
class Input {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next bytes: at least one and up to `most`; none at the end. */
  async some(most: number): Promise<Uint8Array> {
    while (this.#held.length === 0) {
      const next = await this.#source.next();
      if (next.done) return this.#held;
      this.#held = next.value;
    }
    const bytes = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(bytes.length);
    return bytes;
  }

  /** Exactly this many bytes. @throws {PngError} when there are fewer. */
  async take(count: number): Promise<Uint8Array> {
    const whole = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const bytes = await this.some(count - at);
      if (bytes.length === 0) throw new PngError("ends too early");
      whole.set(bytes, at);
      at += bytes.length;
    }
    return whole;
  }
}

/** Largest palette, or transparency of one. */
const MOST_SMALL_BYTES = 768;

/** The chunks after the header. */
class Chunks {
  readonly #input: Input;
  readonly #small = new Map<string, Uint8Array>();
  #hasPixels = false;

  constructor(input: Input) {
    this.#input = input;
  }

  /** The data of all IDAT chunks. @throws {PngError} when the last chunk is missing. */
  async *pixels(): AsyncGenerator<Uint8Array> {
    for (;;) {
      // Each chunk: its length, its name, its data, a checksum.
      const head = await this.#input.take(8);
      let left = new DataView(head.buffer).getUint32(0);
      const name = String.fromCharCode(...head.subarray(4));
      if (name === "IEND") break;
      if (name === "IDAT") this.#hasPixels = true;
      if (
        (name === "PLTE" || name === "tRNS") && left <= MOST_SMALL_BYTES
      ) {
        this.#small.set(name, await this.#input.take(left));
        left = 0;
      }
      for (let rest = left; rest > 0;) {
        const bytes = await this.#input.some(rest);
        if (bytes.length === 0) throw new PngError("ends too early");
        rest -= bytes.length;
        if (name === "IDAT") yield bytes;
      }
      await this.#input.take(4);
    }
    if (!this.#hasPixels) throw new PngError("ends too early");
  }

  /** The content of the other chunks. */
  end(head: PngHead): Pick<PngImage, "palette" | "mask"> {
    const transparency = this.#small.get("tRNS") ?? null;
    if (head.colorType !== INDEXED) {
      const isColor = transparency?.length === head.colors * 2;
      return {
        palette: null,
        mask: isColor && transparency !== null
          ? readSamples(transparency)
          : null,
      };
    }
    const palette = this.#small.get("PLTE");
    if (!palette || palette.length === 0 || palette.length % 3 !== 0) {
      throw new PngError("is a broken PNG (it has no palette)");
    }
    return { palette: layOnWhite(palette, transparency), mask: null };
  }
}

/** 16-bit samples, each twice: PDF expects the lowest and the highest transparent value. */
function readSamples(transparency: Uint8Array): number[] {
  const samples: number[] = [];
  for (let at = 0; at + 1 < transparency.length; at += 2) {
    const value = (transparency[at] ?? 0) << 8 | (transparency[at + 1] ?? 0);
    samples.push(value, value);
  }
  return samples;
}

function layOnWhite(
  palette: Uint8Array,
  transparency: Uint8Array | null,
): Uint8Array {
  if (transparency === null) return palette;
  return palette.map((value, index) => {
    const alpha = transparency[Math.floor(index / 3)] ?? 255;
    return Math.round((value * alpha + 255 * (255 - alpha)) / 255);
  });
}

/** Separates colour and transparency, row by row; of 16 bits the upper 8 are kept. */
class Channels {
  readonly #head: PngHead;
  /** Bytes per pixel, and per sample. */
  readonly #step: number;
  readonly #sample: number;
  /** Number of opaque rows at the top; `#alpha` begins with the first row that is not opaque. */
  #opaqueRows = 0;
  #alpha: PackedRows | null = null;
  #rows = 0;

  constructor(head: PngHead) {
    this.#head = head;
    this.#sample = head.bits / 8;
    this.#step = (head.colors + 1) * this.#sample;
  }

  /** The colours of the rows, with their filters. */
  async *colorsOf(pieces: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
    const { width, height } = this.#head;
    const row = new Uint8Array(1 + width * this.#step);
    let filled = 0;
    for await (const piece of pieces) {
      const bytes = toBytes(piece);
      const most = Math.ceil((filled + bytes.length) / row.length);
      const colors = new Uint8Array(most * (1 + width * this.#head.colors));
      let to = 0;
      for (let at = 0; at < bytes.length;) {
        const part = bytes.subarray(at, at + row.length - filled);
        row.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < row.length) break;
        if (this.#rows === height) {
          throw new PngError("is a broken PNG (it has too many pixels)");
        }
        to = this.#take(row, colors, to);
        filled = 0;
      }
      if (to > 0) yield colors.subarray(0, to);
    }
    if (this.#rows !== height || filled > 0) {
      throw new PngError("ends too early");
    }
  }

  #take(row: Uint8Array, colors: Uint8Array, to: number): number {
    const filter = row[0] ?? 0;
    if (filter > 4) {
      throw new PngError("is a broken PNG (a row has an unknown filter)");
    }
    const step = this.#step, sample = this.#sample, length = row.length;
    colors[to++] = filter;
    if (this.#head.colors === 1) {
      for (let at = 1; at < length; at += step) colors[to++] = row[at] ?? 0;
    } else {
      for (let at = 1; at < length; at += step) {
        colors[to++] = row[at] ?? 0;
        colors[to++] = row[at + sample] ?? 0;
        colors[to++] = row[at + 2 * sample] ?? 0;
      }
    }
    const alpha = new Uint8Array(1 + this.#head.width);
    alpha[0] = filter;
    let x = 1;
    for (let at = 1 + step - sample; at < length; at += step) {
      alpha[x++] = row[at] ?? 0;
    }
    if (this.#alpha === null && isOpaqueRow(alpha, this.#rows === 0)) {
      this.#opaqueRows++;
    } else {
      this.#alpha ??= this.#beginAlpha();
      this.#alpha.add(alpha);
    }
    this.#rows++;
    return to;
  }

  /** The opaque rows so far, in the shortest encoding. */
  #beginAlpha(): PackedRows {
    const rows = new PackedRows();
    const { width } = this.#head;
    // First row: equal to the pixel on the left. Further rows: equal to the pixel above.
    const first = new Uint8Array(1 + width), like = new Uint8Array(1 + width);
    first[0] = 1;
    first[1] = 255;
    like[0] = 2;
    for (let y = 0; y < this.#opaqueRows; y++) rows.add(y === 0 ? first : like);
    return rows;
  }

  /** The compressed transparency; null if every pixel is opaque. */
  async endAlpha(): Promise<Uint8Array | null> {
    return await this.#alpha?.end() ?? null;
  }
}

const LOT_BYTES = 1_048_576;

/** Compresses rows by the megabyte; only the compressed form is held. */
class PackedRows {
  readonly #packer = createDeflate(QUICK);
  readonly #packed: Uint8Array[] = [];
  #lot = new Uint8Array(LOT_BYTES);
  #filled = 0;

  constructor() {
    this.#packer.on(
      "data",
      (bytes: unknown) => this.#packed.push(toBytes(bytes)),
    );
  }

  add(row: Uint8Array): void {
    for (let at = 0; at < row.length;) {
      const part = row.subarray(at, at + LOT_BYTES - this.#filled);
      this.#lot.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled < LOT_BYTES) return;
      this.#packer.write(this.#lot);
      this.#lot = new Uint8Array(LOT_BYTES);
      this.#filled = 0;
    }
  }

  async end(): Promise<Uint8Array> {
    this.#packer.end(this.#lot.subarray(0, this.#filled));
    await finished(this.#packer);
    return join(this.#packed);
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether a filtered row below opaque rows is opaque: each filter has exactly one encoding for that. */
function isOpaqueRow(row: Uint8Array, isFirst: boolean): boolean {
  const [filter = 0, first] = row;
  // At the left edge: filters none, left, above, average, Paeth.
  const begins = isFirst ? [255, 255, 255, 255, 255] : [255, 255, 0, 128, 0];
  const goesOn = isFirst ? [255, 0, 255, 128, 0] : [255, 0, 0, 0, 0];
  if (first !== begins[filter]) return false;
  const expected = goesOn[filter];
  for (let x = 2; x < row.length; x++) {
    if (row[x] !== expected) return false;
  }
  return true;
}
