/** The header of a PNG file (W3C, third edition). */

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

/** Largest decompressed picture: 16 million pixels with transparency, half as many with 16 bits per sample. */
const MAX_UNPACKED_BYTES = 64_010_000;
/** The length of the signature and of the first chunk. */
export const PNG_HEAD_BYTES = 33;

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** The colour type of a picture with a palette. */
export const INDEXED = 3;
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
