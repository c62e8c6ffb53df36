/** Streams that consist of frames only: MP3, AAC in ADTS, AMR and FLAC. */
import { readMp3Header } from "../mp3-frames.ts";
import type { FrameFormat } from "./frames.ts";

/** MP3: layer III frames. */
export const MP3_FRAMES: FrameFormat = {
  proof: 4,
  frameAt(bytes, at) {
    if (at + 4 > bytes.length) return "cut";
    const header = readMp3Header(bytes, at);
    return header === null
      ? null
      : { bytes: header.bytes, seconds: header.samples / header.sampleRate };
  },
  candidate: nextSetByte,
};

/** Sampling rates of AAC by index (ISO/IEC 14496-3, table 1.18). */
export const AAC_SAMPLE_RATES: readonly number[] = [
  96_000,
  88_200,
  64_000,
  48_000,
  44_100,
  32_000,
  24_000,
  22_050,
  16_000,
  12_000,
  11_025,
  8_000,
  7_350,
];
/** Samples per AAC block. */
export const AAC_SAMPLES = 1024;

/** AAC in ADTS (ISO/IEC 13818-7, 6.2): a header gives the length of its frame, which has one to four blocks. */
export const ADTS_FRAMES: FrameFormat = {
  proof: 4,
  frameAt(bytes, at) {
    const [first, second, third, fourth, fifth, sixth, seventh] = bytes
      .subarray(at, at + 7);
    if (
      first === undefined || second === undefined || third === undefined ||
      fourth === undefined || fifth === undefined || sixth === undefined ||
      seventh === undefined
    ) return "cut";
    if (first !== 0xff || (second & 0xf6) !== 0xf0) return null;
    const sampleRate = AAC_SAMPLE_RATES[(third >> 2) & 15];
    const length = (fourth & 3) << 11 | fifth << 3 | sixth >> 5;
    if (sampleRate === undefined || length < 7) return null;
    const blocks = (seventh & 3) + 1;
    return { bytes: length, seconds: blocks * AAC_SAMPLES / sampleRate };
  },
  candidate: nextSetByte,
};

/** Seconds of an AMR frame, narrowband or wideband. */
export const AMR_SECONDS = 0.02;
/** Frame size by frame type, first byte included (RFC 4867, 5.3); 0: reserved. */
const AMR_BYTES = {
  narrow: [13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1],
  wide: [18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1],
} as const;

/** AMR in its file format: each frame begins with a byte that names its type. */
export function amrFrames(band: keyof typeof AMR_BYTES): FrameFormat {
  return {
    proof: 16,
    frameAt(bytes, at) {
      const first = bytes[at];
      if (first === undefined) return "cut";
      if ((first & 0x83) !== 0) return null;
      const length = AMR_BYTES[band][first >> 3 & 15];
      return length ? { bytes: length, seconds: AMR_SECONDS } : null;
    },
  };
}

const FLAC_BLOCK_SIZES: readonly number[] = [
  0,
  192,
  576,
  1152,
  2304,
  4608,
  0,
  0,
  256,
  512,
  1024,
  2048,
  4096,
  8192,
  16_384,
  32_768,
];
const FLAC_SAMPLE_RATES: readonly number[] = [
  0,
  88_200,
  176_400,
  192_000,
  8_000,
  16_000,
  22_050,
  24_000,
  32_000,
  44_100,
  48_000,
  96_000,
];
/** Units of an explicit rate in a header, by its code: kHz, Hz, tens of Hz. */
const FLAC_RATE_UNITS: Readonly<Record<number, number>> = {
  12: 1_000,
  13: 1,
  14: 10,
};
/** CRC-8 with the polynomial x^8 + x^2 + x + 1, for each byte value. */
const CRC8 = Uint8Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = (crc & 0x80) !== 0 ? crc << 1 ^ 0x107 : crc << 1;
  }
  return crc;
});
/** Sync, codes, a number of up to seven bytes, block size, rate and CRC. */
const FLAC_HEADER_BYTES = 16;

/**
 * Parses the FLAC frame header at `at` (RFC 9639, 9.1); null when there is none, `cut` when it is incomplete. A header
 * is accepted when its CRC matches.
 *
 * @param streamRate the rate at the start of the stream, to which frames may refer; 0 when unknown.
 */
export function readFlacHeader(
  bytes: Uint8Array,
  at: number,
  streamRate: number,
): { seconds: number; bytes: number } | null | "cut" {
  if (at + 2 > bytes.length) return "cut";
  if (bytes[at] !== 0xff || ((bytes[at + 1] ?? 0) & 0xfe) !== 0xf8) {
    return null;
  }
  if (at + FLAC_HEADER_BYTES > bytes.length) return "cut";
  const codes = bytes[at + 2] ?? 0;
  const channels = bytes[at + 3] ?? 0;
  const number = bytes[at + 4] ?? 0;
  const sizeCode = codes >> 4;
  const rateCode = codes & 15;
  if (
    sizeCode === 0 || rateCode === 15 || channels >> 4 > 10 ||
    (channels & 1) !== 0
  ) return null;
  // As in UTF-8, the leading ones give the number of bytes.
  const numberBytes = number < 0x80 ? 1 : Math.clz32(~(number << 24));
  if (number >= 0x80 && (numberBytes < 2 || numberBytes > 7)) return null;
  const sizeAt = at + 4 + numberBytes;
  const sizeBytes = sizeCode === 6 ? 1 : sizeCode === 7 ? 2 : 0;
  const rateAt = sizeAt + sizeBytes;
  const rateBytes = rateCode < 12 ? 0 : rateCode === 12 ? 1 : 2;
  const crcAt = rateAt + rateBytes;
  let crc = 0;
  for (let index = at; index < crcAt; index++) {
    crc = CRC8[crc ^ (bytes[index] ?? 0)] ?? 0;
  }
  if (crc !== bytes[crcAt]) return null;
  const samples = sizeBytes === 0
    ? FLAC_BLOCK_SIZES[sizeCode] ?? 0
    : numberAt(bytes, sizeAt, sizeBytes) + 1;
  const rate = rateBytes === 0
    ? FLAC_SAMPLE_RATES[rateCode] || streamRate
    : numberAt(bytes, rateAt, rateBytes) * (FLAC_RATE_UNITS[rateCode] ?? 0);
  // The rate never changes between frames; false headers have arbitrary rates.
  return rate === 0 || (streamRate > 0 && rate !== streamRate)
    ? null
    : { seconds: samples / rate, bytes: crcAt + 1 - at };
}

/** One or two bytes as a number. */
function numberAt(bytes: Uint8Array, at: number, length: number): number {
  const first = bytes[at] ?? 0;
  return length === 1 ? first : first * 256 + (bytes[at + 1] ?? 0);
}

/** FLAC: a frame ends where the next header begins. */
export function flacFrames(streamRate: number): FrameFormat {
  return {
    proof: 2,
    frameAt(bytes, at, isEnd) {
      const header = readFlacHeader(bytes, at, streamRate);
      if (header === null || header === "cut") return header;
      for (
        let next = nextSetByte(bytes, at + header.bytes);
        next < bytes.length;
        next = nextSetByte(bytes, next + 1)
      ) {
        const following = readFlacHeader(bytes, next, streamRate);
        if (following === "cut" && !isEnd) return "cut";
        if (following !== null && following !== "cut") {
          return { bytes: next - at, seconds: header.seconds };
        }
      }
      return isEnd
        ? { bytes: bytes.length - at, seconds: header.seconds }
        : "cut";
    },
    candidate: nextSetByte,
  };
}

function nextSetByte(bytes: Uint8Array, at: number): number {
  const found = bytes.indexOf(0xff, at);
  return found === -1 ? bytes.length : found;
}
