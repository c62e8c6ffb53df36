/**
 * Reads the head of a JPEG file (ITU-T T.81), with Exif and the colour profile (ICC.1, annex B.4), so that the file can be
 * embedded unchanged.
 */
import { isProfileFor } from "./color-profile.ts";
import { type Exif, readExif } from "./exif.ts";

/** A file that is not a printable JPEG. The message completes the sentence "the photo …". */
export class JpegError extends Error {
  override readonly name = "JpegError";
}

/** A range of bytes; `to` is exclusive. */
export interface ByteRange {
  from: number;
  to: number;
}

/** What PDF needs to embed a JPEG, before it is rotated. */
export interface JpegHead extends Exif {
  width: number;
  height: number;
  bits: number;
  /** Samples per pixel: grey, RGB or CMYK. */
  colors: 1 | 3 | 4;
  /** CMYK as Adobe writes it, where 0 is full ink. */
  isInverted: boolean;
  /** The ICC profile, in pieces; empty when there is none that fits. */
  profile: readonly ByteRange[];
  /** Where the data of the first scan begins. */
  scanAt: number;
}
type Frame = Pick<JpegHead, "width" | "height" | "bits" | "colors">;

/** SOF0 to SOF2: baseline, extended and progressive, which PDF's DCTDecode supports. */
const PRINTABLE = [0xc0, 0xc1, 0xc2];
const OTHER_FRAMES = [
  0xc3,
  0xc5,
  0xc6,
  0xc7,
  0xc9,
  0xca,
  0xcb,
  0xcd,
  0xce,
  0xcf,
];
const SCAN = 0xda, APP1 = 0xe1, APP2 = 0xe2, APP14 = 0xee;
/** Bytes before a piece of the profile in its segment: a name, the number of the piece, and how many there are. */
const PROFILE_HEAD = 14;

/** Whether the bytes begin like a JPEG. */
export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

/**
 * Reads the segments up to the first scan. The pixels are not read.
 *
 * @param bytes the file from its beginning, complete or not.
 * @returns null when the bytes do not reach the first scan: more are needed, or the file is broken.
 * @throws {JpegError} when the file is broken, or of a kind that PDF does not support.
 */
export function readJpegHead(bytes: Uint8Array): JpegHead | null {
  if (!isJpeg(bytes)) throw new JpegError("is not a JPEG");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frame: Frame | null = null;
  let exif: Exif = { orientation: 1, takenOn: null };
  let isAdobe = false;
  const pieces: ByteRange[] = [];
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw new JpegError("is a broken JPEG");
    const marker = bytes[at + 1] ?? 0;
    // Any number of 0xff bytes may precede a marker.
    if (marker === 0xff) {
      at++;
      continue;
    }
    const length = view.getUint16(at + 2);
    if (length < 2) throw new JpegError("is a broken JPEG");
    if (at + 2 + length > bytes.length) return null;
    const segment = bytes.subarray(at + 4, at + 2 + length);
    if (OTHER_FRAMES.includes(marker)) {
      throw new JpegError("is a kind of JPEG that cannot be printed");
    }
    if (PRINTABLE.includes(marker)) frame = readFrame(segment);
    else if (marker === APP1 && text(segment, 0, 6) === "Exif\0\0") {
      exif = readExif(segment.subarray(6));
    } else if (marker === APP2 && text(segment, 0, 12) === "ICC_PROFILE\0") {
      pieces.push({ from: at + 4, to: at + 2 + length });
    } else if (marker === APP14) isAdobe ||= text(segment, 0, 5) === "Adobe";
    else if (marker === SCAN) {
      if (frame === null) {
        throw new JpegError("is a broken JPEG (it has no picture)");
      }
      return {
        ...frame,
        ...exif,
        isInverted: isAdobe && frame.colors === 4,
        profile: profileOf(bytes, pieces, frame.colors),
        scanAt: at + 2 + length,
      };
    }
    at += 2 + length;
  }
  return null;
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

/** Orders the pieces by their numbers. A profile that is incomplete, or for other colours, is ignored. */
function profileOf(
  bytes: Uint8Array,
  pieces: readonly ByteRange[],
  colors: JpegHead["colors"],
): ByteRange[] {
  const number = ({ from }: ByteRange) => bytes[from + 12] ?? 0;
  const sorted = pieces.toSorted((a, b) => number(a) - number(b));
  const isWhole = sorted.every((piece, index) =>
    piece.to - piece.from > PROFILE_HEAD && number(piece) === index + 1 &&
    bytes[piece.from + 13] === sorted.length
  );
  const [first] = sorted;
  if (!isWhole || first === undefined) return [];
  const begin = first.from + PROFILE_HEAD;
  return isProfileFor(colors, bytes.subarray(begin))
    ? sorted.map(({ from, to }) => ({ from: from + PROFILE_HEAD, to }))
    : [];
}

function readFrame(segment: Uint8Array): Frame {
  const [bits = 0, h1 = 0, h2 = 0, w1 = 0, w2 = 0, colors = 0] = segment;
  const width = w1 << 8 | w2, height = h1 << 8 | h2;
  if (width === 0 || height === 0) {
    throw new JpegError("is a broken JPEG (it has no size)");
  }
  if (bits !== 8 || (colors !== 1 && colors !== 3 && colors !== 4)) {
    throw new JpegError("is a kind of JPEG that cannot be printed");
  }
  return { width, height, bits, colors };
}

/**
 * The end of the picture: after the last end marker in the last bytes of a file, or null when there is none. What follows,
 * such as padding, is not part of the picture. Takes linear time for any bytes, which must be of the scan or after it: the
 * preview in the Exif data of a file that was cut off has an end marker, too.
 */
export function findJpegEnd(tail: Uint8Array): number | null {
  for (let at = tail.length - 1; at > 0; at--) {
    if (tail[at] === 0xd9 && tail[at - 1] === 0xff) return at + 1;
  }
  return null;
}
