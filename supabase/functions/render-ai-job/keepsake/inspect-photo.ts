/** Identifies the format of a file from its first and last bytes. */
import { MAX_PROFILE_BYTES, profileHash } from "./color-profile.ts";
import { findJpegEnd, isJpeg, JpegError, readJpegHead } from "./jpeg.ts";
import type { BookImage } from "./book-file.ts";
import {
  isPng,
  PNG_HEAD_BYTES,
  PngError,
  type PngHead,
  readPngHead,
} from "./png-head.ts";

/** A file that cannot be printed. The message completes the sentence "the photo …". */
export class PhotoError extends Error {
  override readonly name = "PhotoError";
}

/** A JPEG, which is embedded unchanged, or a PNG, which has to be prepared. */
export type PhotoInspection =
  & { takenOn: string | null }
  & ({ image: Extract<BookImage, { kind: "jpeg" }> } | { png: PngHead });

/** Reads a part of the file; `to` is exclusive. */
export type ReadPart = (from: number, to: number) => Promise<Uint8Array>;

/** Bytes that are read first, and at most, to find the first scan of a JPEG, which follows thumbnail and profile. */
const HEAD_BYTES = { first: 131_072, most: 8_388_608 };
/** Last bytes in which the end of a JPEG is searched. */
const TAIL_BYTES = 65_536;

/** Formats that errors name, by a text and its position. */
const OTHERS: readonly (readonly [at: number, text: string, name: string])[] = [
  [8, "WEBP", "WebP"],
  [4, "ftypheic", "HEIC"],
  [4, "ftypheix", "HEIC"],
  [4, "ftypmif1", "HEIC"],
  [4, "ftypavif", "AVIF"],
  [0, "GIF8", "GIF"],
  [0, "II*\0", "TIFF"],
  [0, "MM\0*", "TIFF"],
  [0, "BM", "BMP"],
  [0, "<svg", "SVG"],
];

/**
 * Inspects a photo of `size` bytes. A JPEG without an end marker in its last bytes is accepted: cameras append films
 * and other data.
 *
 * @param object its location, as `<bucket>/<path>`.
 * @throws {PhotoError} that says why it cannot be printed. Errors of `read` are thrown unchanged.
 */
export async function inspectPhoto(
  object: string,
  size: number,
  read: ReadPart,
): Promise<PhotoInspection> {
  try {
    let head = await read(0, Math.min(size, HEAD_BYTES.first));
    if (isPng(head)) {
      return {
        takenOn: null,
        png: readPngHead(head.subarray(0, PNG_HEAD_BYTES)),
      };
    }
    if (!isJpeg(head)) throw new PhotoError(describe(head));
    let jpeg = readJpegHead(head);
    while (jpeg === null) {
      if (head.length === size || head.length >= HEAD_BYTES.most) {
        throw new PhotoError("is a broken JPEG (it has no picture)");
      }
      head = await read(0, Math.min(size, head.length * 8, HEAD_BYTES.most));
      jpeg = readJpegHead(head);
    }
    const { takenOn, profile, scanAt, ...image } = jpeg;
    const from = Math.max(scanAt, size - TAIL_BYTES);
    const tail = size <= head.length
      ? head.subarray(from, size)
      : await read(from, size);
    const end = findJpegEnd(tail);
    return {
      takenOn,
      image: {
        kind: "jpeg",
        object,
        ...image,
        size: end === null ? size : from + end,
        hasEnd: end !== null,
        profile: await hashProfile(head, profile),
      },
    };
  } catch (error) {
    if (error instanceof JpegError || error instanceof PngError) {
      throw new PhotoError(error.message, { cause: error });
    }
    throw error;
  }
}

function describe(head: Uint8Array): string {
  const text = String.fromCharCode(...head.subarray(0, 16));
  const name = OTHERS.find(([at, begin]) => text.startsWith(begin, at))?.[2];
  return name === undefined
    ? "is neither a JPEG nor a PNG"
    : `is a ${name} file; only JPEG and PNG can be printed`;
}

/** Photos of one camera share a profile; its hash lets the book contain it once. */
async function hashProfile(
  bytes: Uint8Array,
  ranges: readonly { from: number; to: number }[],
) {
  const size = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  if (size === 0 || size > MAX_PROFILE_BYTES) return null;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const { from, to } of ranges) {
    whole.set(bytes.subarray(from, to), at);
    at += to - from;
  }
  return { ranges: [...ranges], hash: await profileHash(whole) };
}
