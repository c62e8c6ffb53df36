/**
 * The head of a JPEG file (ITU-T T.81), its orientation (Exif 2.32) and colour profile (ICC.1, annex B.4), so that it can
 * be embedded as it is.
 */

/** A file that is no JPEG that can be printed; the message goes on after "the photo ". */
export class JpegError extends Error {
  override readonly name = "JpegError";
}

/** A JPEG as PDF has it, before it is turned. */
export interface JpegHead {
  width: number;
  height: number;
  bits: number;
  /** Samples of a pixel: grey, RGB or CMYK. */
  colors: 1 | 3 | 4;
  /** How it is to be turned: 1 to 8, as Exif counts; 1 is not at all. */
  orientation: number;
  /** CMYK as Adobe writes it, where 0 is full ink. */
  isInverted: boolean;
  /** The ICC profile, or null when there is none that fits. */
  profile: Uint8Array | null;
}
type Frame = Pick<JpegHead, "width" | "height" | "bits" | "colors">;

/** SOF0 to SOF2: baseline, extended and progressive, the kinds that PDF's DCTDecode knows. */
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
/** What a profile says at byte 16 about the colours that it is for. */
const PROFILE_COLORS: Readonly<Record<JpegHead["colors"], string>> = {
  1: "GRAY",
  3: "RGB ",
  4: "CMYK",
};

/** Whether the bytes begin as a JPEG does. */
export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

/**
 * Reads the segments up to the first scan. The pixels are not decoded; only that their end marker is there is looked
 * for, so that a file that was cut is told.
 *
 * @throws {JpegError} when the file is broken, cut, or of a kind that PDF does not know.
 */
export function readJpeg(bytes: Uint8Array): JpegHead {
  if (!isJpeg(bytes)) throw new JpegError("is no JPEG");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frame: Frame | null = null;
  let orientation = 1;
  let isAdobe = false;
  const profileParts: Uint8Array[] = [];
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw new JpegError("is a broken JPEG");
    const marker = bytes[at + 1] ?? 0;
    // Any number of 0xff may stand in front of a marker.
    if (marker === 0xff) {
      at++;
      continue;
    }
    const length = view.getUint16(at + 2);
    if (length < 2 || at + 2 + length > bytes.length) break;
    const segment = bytes.subarray(at + 4, at + 2 + length);
    if (OTHER_FRAMES.includes(marker)) {
      throw new JpegError("is a JPEG of a rare kind, which cannot be printed");
    }
    if (PRINTABLE.includes(marker)) frame = readFrame(segment);
    else if (marker === APP1) {
      orientation = readOrientation(segment) ?? orientation;
    } else if (marker === APP2 && text(segment, 0, 12) === "ICC_PROFILE\0") {
      profileParts.push(segment);
    } else if (marker === APP14) isAdobe ||= text(segment, 0, 5) === "Adobe";
    else if (marker === SCAN) {
      if (frame === null) break;
      if (!hasEnd(bytes, at)) throw new JpegError("breaks off before its end");
      return {
        ...frame,
        orientation,
        isInverted: isAdobe && frame.colors === 4,
        profile: joinProfile(profileParts, frame.colors),
      };
    }
    at += 2 + length;
  }
  throw new JpegError("is a broken JPEG (it has no picture)");
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

/** The parts say which one of how many they are; a profile that is not whole, or for other colours, is none. */
function joinProfile(
  parts: readonly Uint8Array[],
  colors: JpegHead["colors"],
): Uint8Array | null {
  const sorted = parts.toSorted((a, b) => (a[12] ?? 0) - (b[12] ?? 0));
  const isWhole = sorted.length > 0 &&
    sorted.every((part, index) =>
      part[12] === index + 1 && part[13] === sorted.length
    );
  if (!isWhole) return null;
  const profile = new Uint8Array(
    sorted.reduce((sum, part) => sum + part.length - 14, 0),
  );
  let at = 0;
  for (const part of sorted) {
    profile.set(part.subarray(14), at);
    at += part.length - 14;
  }
  return text(profile, 16, 20) === PROFILE_COLORS[colors] &&
      text(profile, 36, 40) === "acsp"
    ? profile
    : null;
}

function readFrame(segment: Uint8Array): Frame {
  const [bits = 0, h1 = 0, h2 = 0, w1 = 0, w2 = 0, colors = 0] = segment;
  const width = w1 << 8 | w2, height = h1 << 8 | h2;
  if (width === 0 || height === 0) {
    throw new JpegError("is a broken JPEG (it has no size)");
  }
  if (bits !== 8 || (colors !== 1 && colors !== 3 && colors !== 4)) {
    throw new JpegError("is a JPEG of a rare kind, which cannot be printed");
  }
  return { width, height, bits, colors };
}

/** Inside a scan 0xff is always escaped, so that the two bytes of the end marker stand nowhere else. */
function hasEnd(bytes: Uint8Array, from: number): boolean {
  for (
    let at = bytes.lastIndexOf(0xd9);
    at > from;
    at = bytes.lastIndexOf(0xd9, at - 1)
  ) {
    if (bytes[at - 1] === 0xff) return true;
  }
  return false;
}

/** The tag 0x0112 of the first directory of an Exif segment, or null. A segment that makes no sense has none. */
function readOrientation(segment: Uint8Array): number | null {
  if (text(segment, 0, 6) !== "Exif\0\0") return null;
  const tiff = segment.subarray(6);
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (tiff.length < 8) return null;
  const isLittle = view.getUint16(0) === 0x4949;
  if (!isLittle && view.getUint16(0) !== 0x4d4d) return null;
  const directory = view.getUint32(4, isLittle);
  if (directory + 2 > tiff.length) return null;
  const entries = view.getUint16(directory, isLittle);
  for (let index = 0; index < entries; index++) {
    const at = directory + 2 + index * 12;
    if (at + 12 > tiff.length) return null;
    if (view.getUint16(at, isLittle) !== 0x0112) continue;
    const value = view.getUint16(at + 8, isLittle);
    return value >= 1 && value <= 8 ? value : null;
  }
  return null;
}
