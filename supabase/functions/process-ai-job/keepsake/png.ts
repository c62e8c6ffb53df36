/**
 * PNG (W3C, third edition) into what PDF can hold. Compressed pixels pass through as they are wherever PDF knows the
 * same form; only those with an alpha channel are unpacked, and laid on white.
 *
 * Not the reader that comes with pdfkit: it believes every length that a file states, and throws out of a callback,
 * which would take the isolate down with all its other jobs.
 */
import { deflateSync, inflateSync } from "node:zlib";

/** A file that is no PNG that can be printed; the message goes on after "the photo ". */
export class PngError extends Error {
  override readonly name = "PngError";
}

/** An image as PDF has it: compressed rows, each with the PNG predictor in front when `predictor` is 15. */
export interface PngImage {
  width: number;
  height: number;
  bits: number;
  /** Samples of a pixel: 1 or 3. */
  colors: 1 | 3;
  predictor: 1 | 15;
  /** RGB triplets when pixels are indexes; at most 256. */
  palette: Uint8Array | null;
  /** The one colour that is not painted, a sample each, or null. */
  mask: number[] | null;
  /** zlib. */
  data: Uint8Array;
  /** Pixels that had to be unpacked, which costs time: 0 when the data passed through. */
  unpacked: number;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLORS: Readonly<Record<number, 1 | 3>> = {
  0: 1,
  2: 3,
  3: 1,
  4: 1,
  6: 3,
};
const GREY_ALPHA = 4, RGB_ALPHA = 6, INDEXED = 3;
const BITS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};

/** Whether the bytes begin as a PNG does. */
export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, index) => bytes[index] === byte);
}

/**
 * Reads a PNG file.
 *
 * Guarantees: no more memory than the file and, for pixels that are unpacked, about nine bytes for each; nothing beyond
 * the size that the header states is inflated.
 *
 * @param maxUnpacked most pixels to unpack.
 * @throws {PngError} when the file is broken, interlaced, or has more pixels with transparency than `maxUnpacked`.
 */
export function readPng(bytes: Uint8Array, maxUnpacked: number): PngImage {
  const { header, palette, transparency, data } = readChunks(bytes);
  const colors = COLORS[header.colorType];
  if (colors === undefined || !BITS[header.colorType]?.includes(header.bits)) {
    throw new PngError("is a broken PNG (its colour type is unknown)");
  }
  if (header.interlace !== 0) {
    throw new PngError("is an interlaced PNG, which cannot be printed");
  }
  const image = {
    width: header.width,
    height: header.height,
    bits: header.bits,
    colors,
    palette: null,
    mask: null,
    unpacked: 0,
  };
  if (header.colorType === GREY_ALPHA || header.colorType === RGB_ALPHA) {
    const pixels = header.width * header.height;
    if (pixels > maxUnpacked) {
      throw new PngError(
        "is a large PNG with transparency, which takes too long to print",
      );
    }
    return {
      ...image,
      bits: 8,
      predictor: 1,
      data: layOnWhite(data, header, colors),
      unpacked: pixels,
    };
  }
  if (header.colorType === INDEXED) {
    if (
      palette === null || palette.length === 0 || palette.length % 3 !== 0 ||
      palette.length > 768
    ) {
      throw new PngError("is a broken PNG (it has no palette)");
    }
    return {
      ...image,
      predictor: 15,
      palette: blendPalette(palette, transparency),
      data,
    };
  }
  return {
    ...image,
    predictor: 15,
    mask: transparency?.length === colors * 2
      ? readSamples(transparency)
      : null,
    data,
  };
}

interface Header {
  width: number;
  height: number;
  bits: number;
  colorType: number;
  interlace: number;
}

function readChunks(bytes: Uint8Array): {
  header: Header;
  palette: Uint8Array | null;
  transparency: Uint8Array | null;
  data: Uint8Array;
} {
  if (!isPng(bytes)) throw new PngError("is no PNG");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Header | null = null;
  let palette: Uint8Array | null = null;
  let transparency: Uint8Array | null = null;
  const parts: Uint8Array[] = [];
  let isEnded = false;
  // Each chunk: its length, its name, its data, a checksum.
  for (let at = 8; at + 12 <= bytes.length && !isEnded;) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (length > bytes.length - at - 12) break;
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (name === "IHDR" && length === 13) {
      header = {
        width: view.getUint32(at + 8),
        height: view.getUint32(at + 12),
        bits: data[8] ?? 0,
        colorType: data[9] ?? -1,
        interlace: data[12] ?? 0,
      };
    } else if (name === "PLTE") palette = data;
    else if (name === "tRNS") transparency = data;
    else if (name === "IDAT") parts.push(data);
    else if (name === "IEND") isEnded = true;
    at += 12 + length;
  }
  if (!isEnded || parts.length === 0) {
    throw new PngError("breaks off before its end");
  }
  if (header === null || header.width === 0 || header.height === 0) {
    throw new PngError("is a broken PNG (it has no size)");
  }
  return { header, palette, transparency, data: join(parts) };
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

/** 16-bit samples, each twice: PDF wants the lowest and the highest value that is not painted. */
function readSamples(transparency: Uint8Array): number[] {
  const samples: number[] = [];
  for (let at = 0; at + 1 < transparency.length; at += 2) {
    const value = (transparency[at] ?? 0) << 8 | (transparency[at + 1] ?? 0);
    samples.push(value, value);
  }
  return samples;
}

const onWhite = (value: number, alpha: number) =>
  Math.round((value * alpha + 255 * (255 - alpha)) / 255);

function blendPalette(
  palette: Uint8Array,
  transparency: Uint8Array | null,
): Uint8Array {
  if (transparency === null) return palette;
  return palette.map((value, index) =>
    onWhite(value, transparency[Math.floor(index / 3)] ?? 255)
  );
}

/** Unpacks 8 or 16 bits with alpha, and packs 8 bits without. */
function layOnWhite(
  data: Uint8Array,
  header: Header,
  colors: 1 | 3,
): Uint8Array {
  const sampleBytes = header.bits / 8;
  const pixelBytes = (colors + 1) * sampleBytes;
  const rowBytes = header.width * pixelBytes;
  const expected = (rowBytes + 1) * header.height;
  let rows: Uint8Array;
  try {
    rows = inflateSync(data, { maxOutputLength: expected });
  } catch (cause) {
    throw new PngError("is a broken PNG (its pixels cannot be unpacked)", {
      cause,
    });
  }
  if (rows.length !== expected) throw new PngError("breaks off before its end");

  const painted = new Uint8Array(header.width * header.height * colors);
  const none = new Uint8Array(rowBytes);
  let above: Uint8Array = none;
  let to = 0;
  for (let y = 0; y < header.height; y++) {
    const at = y * (rowBytes + 1);
    const row = rows.subarray(at + 1, at + 1 + rowBytes);
    unfilter(rows[at] ?? 0, row, above, pixelBytes);
    above = row;
    for (let x = 0; x < rowBytes; x += pixelBytes) {
      const alpha = row[x + colors * sampleBytes] ?? 255;
      for (let color = 0; color < colors; color++) {
        const value = row[x + color * sampleBytes] ?? 0;
        painted[to++] = alpha === 255 ? value : onWhite(value, alpha);
      }
    }
  }
  // The fastest level: processor time is what an isolate has least of.
  return deflateSync(painted, { level: 1 });
}

/** Undoes the filter of a row in place; section 9.2 of the specification. */
function unfilter(
  filter: number,
  row: Uint8Array,
  above: Uint8Array,
  step: number,
): void {
  const length = row.length;
  switch (filter) {
    case 0:
      return;
    case 1:
      for (let i = step; i < length; i++) {
        row[i] = (row[i] ?? 0) + (row[i - step] ?? 0);
      }
      return;
    case 2:
      for (let i = 0; i < length; i++) {
        row[i] = (row[i] ?? 0) + (above[i] ?? 0);
      }
      return;
    case 3:
      for (let i = 0; i < length; i++) {
        const left = i < step ? 0 : row[i - step] ?? 0;
        row[i] = (row[i] ?? 0) + (left + (above[i] ?? 0) >> 1);
      }
      return;
    case 4:
      for (let i = 0; i < length; i++) {
        const left = i < step ? 0 : row[i - step] ?? 0;
        const up = above[i] ?? 0;
        const corner = i < step ? 0 : above[i - step] ?? 0;
        const toLeft = Math.abs(up - corner), toUp = Math.abs(left - corner);
        const toCorner = Math.abs(left + up - 2 * corner);
        row[i] = (row[i] ?? 0) +
          (toLeft <= toUp && toLeft <= toCorner
            ? left
            : toUp <= toCorner
            ? up
            : corner);
      }
      return;
    default:
      throw new PngError("is a broken PNG (a row has an unknown filter)");
  }
}
