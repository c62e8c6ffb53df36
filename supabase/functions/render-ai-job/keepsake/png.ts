/**
 * Converts PNG (W3C, third edition) to the form that PDF embeds, as a stream. Compressed pixels pass through where PDF has the
 * same form. Pixels with an alpha channel are decompressed, and colour and transparency are compressed separately: a PNG
 * filter works on each byte of a pixel alone, so the filtered bytes of one channel are a filtered image.
 *
 * pdfkit's own reader is not used: it holds the whole picture, trusts every length in the file, and throws out of a
 * callback, which would end the isolate.
 */
import { pipeline, Readable } from "node:stream";
import { createDeflate, createInflate, inflateSync } from "node:zlib";
import { z } from "zod";
import {
  isProfileFor,
  MAX_PROFILE_BYTES,
  profileHash,
} from "./color-profile.ts";
import { Channels, CHUNK_BYTES, QUICK, toBytes } from "./png-channels.ts";
import {
  INDEXED,
  PNG_HEAD_BYTES,
  PngError,
  type PngHead,
  readPngHead,
} from "./png-head.ts";

/** What PDF needs to know about the pixels, known once they have been read. */
export interface PngImage {
  /** Bits per sample; 16 become 8 if the pixels are decompressed. */
  bits: number;
  /** RGB triplets if pixels are indexes; at most 256. */
  palette: Uint8Array | null;
  /** The zlib bytes of the ICC profile in the file, and its hash; null when there is none that fits. */
  profile: { from: number; to: number; hash: string } | null;
  /** The transparent colour, as the lowest and the highest value of each sample; null if there is none. */
  mask: number[] | null;
  /** The transparency, zlib, one channel of 8 bits with the PNG predictor; null if all pixels are opaque. */
  alpha: Uint8Array | null;
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
    return {
      ...chunks.end(head),
      profile: await chunks.profileOf(head),
      bits: head.bits,
      alpha: null,
    };
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
  return {
    ...image,
    profile: await chunks.profileOf(head),
    mask: null,
    bits: 8,
    alpha: await channels.endAlpha(),
  };
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

/** Reads pieces of any size from a stream of bytes. */
class Input {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The number of bytes read so far. */
  get at(): number {
    return this.#at;
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
    this.#at += bytes.length;
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
const MAX_SMALL_BYTES = 768;

/** Longest profile, compressed: those of screens and cameras have some kilobytes. */
const MAX_PACKED_PROFILE_BYTES = 1_048_576;
/** Longest name of a profile. */
const MAX_PROFILE_NAME = 79;

/** The chunks after the header. */
class Chunks {
  readonly #input: Input;
  readonly #small = new Map<string, Uint8Array>();
  #hasPixels = false;
  /** Where the zlib bytes of the profile begin in the file, and the bytes. */
  #profile: { from: number; packed: Uint8Array } | null = null;

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
        (name === "PLTE" || name === "tRNS") && left <= MAX_SMALL_BYTES
      ) {
        this.#small.set(name, await this.#input.take(left));
        left = 0;
      }
      if (name === "iCCP" && left <= MAX_PACKED_PROFILE_BYTES) {
        const from = this.#input.at;
        const data = await this.#input.take(left);
        // A name, a zero, the method (0 is zlib), and the bytes.
        const end = data.indexOf(0);
        if (end > 0 && end <= MAX_PROFILE_NAME && data[end + 1] === 0) {
          this.#profile = {
            from: from + end + 2,
            packed: data.subarray(end + 2),
          };
        }
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

  /** The profile, or null when there is none for these colours, or a broken one: the colours are then the device's. */
  async profileOf(head: PngHead): Promise<PngImage["profile"]> {
    if (this.#profile === null) return null;
    const { from, packed } = this.#profile;
    let profile: Uint8Array;
    try {
      profile = inflateSync(packed, { maxOutputLength: MAX_PROFILE_BYTES });
    } catch {
      return null;
    }
    const colors = head.colorType === INDEXED ? 3 : head.colors;
    if (!isProfileFor(colors, profile)) return null;
    return {
      from,
      to: from + packed.length,
      hash: await profileHash(packed),
    };
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
