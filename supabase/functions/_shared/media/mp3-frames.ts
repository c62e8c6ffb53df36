/**
 * MP3 as a sequence of frames (ISO/IEC 11172-3 and 13818-3, layer III): enough to split a stream into frames, count its
 * seconds and drop everything that is not audio. Nothing is decoded.
 */
import type { Bytes } from "../platform/bytes.ts";

/** Kbit/s by the index in a frame's header; 0 and 15 stand for no usable rate. */
const BITRATES = {
  mpeg1: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  mpeg2: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
} as const;
/** Samples per second of MPEG 1 by index; MPEG 2 has half, MPEG 2.5 a quarter. */
const SAMPLE_RATES = [44_100, 48_000, 32_000] as const;

const HEADER_BYTES = 4;
const ID3_HEADER_BYTES = 10;
const ID3V1_BYTES = 128;
/** The latest offset of the tag in a frame that only describes the file: 32 bytes of side information and a CRC. */
const MAX_DESCRIPTION_OFFSET = HEADER_BYTES + 2 + 32;

/** A parsed frame header. */
export interface Mp3Header {
  /** Size of the whole frame, header included. */
  bytes: number;
  samples: number;
  sampleRate: number;
  channels: 1 | 2;
}

/** Input that is not MP3, or that ends in the middle of a frame. */
export class Mp3Error extends Error {
  override readonly name = "Mp3Error";
}

/** The header at `at`, or null when no frame of layer III can begin there. */
export function readMp3Header(bytes: Uint8Array, at: number): Mp3Header | null {
  const [first, second, third, fourth] = bytes.subarray(at, at + HEADER_BYTES);
  if (
    first === undefined || second === undefined || third === undefined ||
    fourth === undefined
  ) return null;
  if (first !== 0xff || (second & 0xe0) !== 0xe0) return null;
  const version = (second >> 3) & 3; // 0: 2.5, 1: reserved, 2: 2, 3: 1
  const layer = (second >> 1) & 3; // 1: layer III
  if (version === 1 || layer !== 1) return null;
  const isMpeg1 = version === 3;
  const bitrate = (isMpeg1 ? BITRATES.mpeg1 : BITRATES.mpeg2)[third >> 4];
  const baseRate = SAMPLE_RATES[(third >> 2) & 3];
  if (!bitrate || baseRate === undefined) return null;
  const sampleRate = baseRate / (isMpeg1 ? 1 : version === 2 ? 2 : 4);
  const padding = (third >> 1) & 1;
  const samples = isMpeg1 ? 1152 : 576;
  return {
    bytes: Math.floor(samples / 8 * bitrate * 1000 / sampleRate) + padding,
    samples,
    sampleRate,
    channels: fourth >> 6 === 3 ? 1 : 2,
  };
}

/**
 * Splits one MP3 stream into its audio frames.
 *
 * Guarantees: `add` returns whole frames only, in order. Tags (ID3v1, ID3v2, APE) and the frame that describes the
 * whole file (Xing, Info, VBRI) are dropped, because they are wrong once the frames are part of another file. At most
 * one frame or tag header is held in addition to the current chunk.
 */
export class Mp3Frames {
  #held = new Uint8Array(0);
  #skip = 0;
  #isTail = false;
  #seconds = 0;
  #frames = 0;
  #format: { sampleRate: number; channels: number } | null = null;

  /** Audio frames so far. */
  get frames(): number {
    return this.#frames;
  }

  /** Seconds of audio so far, from the frame headers. */
  get seconds(): number {
    return this.#seconds;
  }

  /** From the first audio frame; null before it. */
  get format(): { sampleRate: number; channels: number } | null {
    return this.#format;
  }

  /** Adds the next bytes and returns the frames that they complete. @throws {Mp3Error} when they are not MP3. */
  add(chunk: Uint8Array): Bytes {
    const bytes = new Uint8Array(this.#held.length + chunk.length);
    bytes.set(this.#held);
    bytes.set(chunk, this.#held.length);
    const kept: [from: number, to: number][] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      const piece = this.#pieceAt(bytes, at);
      if (piece === null) break;
      if (piece.isSound) kept.push([at, at + piece.bytes]);
      if (piece.isSound) at += piece.bytes;
      else this.#skip = piece.bytes;
    }
    this.#held = bytes.slice(at);
    const sound = new Uint8Array(
      kept.reduce((sum, [from, to]) => sum + to - from, 0),
    );
    let written = 0;
    for (const [from, to] of kept) {
      sound.set(bytes.subarray(from, to), written);
      written += to - from;
    }
    return sound;
  }

  /** Ends the stream. @throws {Mp3Error} when it had no audio frame, or ends inside a frame or tag. */
  end(): void {
    if (this.#frames === 0) throw new Mp3Error("no frame of sound");
    if (this.#skip > 0 || this.#held.length > 0) {
      throw new Mp3Error("ends in the middle of a frame");
    }
  }

  /** The piece that begins at `at`; null while more bytes are needed. An audio piece is always whole. */
  #pieceAt(
    bytes: Uint8Array,
    at: number,
  ): { bytes: number; isSound: boolean } | null {
    const left = bytes.length - at;
    if (bytes[at] === 0 || this.#isTail) return { bytes: 1, isSound: false };
    if (left < HEADER_BYTES) return null;
    if (startsWith(bytes, at, "ID3")) {
      if (left < ID3_HEADER_BYTES) return null;
      return { bytes: id3Bytes(bytes, at), isSound: false };
    }
    if (startsWith(bytes, at, "TAG")) {
      return { bytes: ID3V1_BYTES, isSound: false };
    }
    if (startsWith(bytes, at, "APET")) {
      // Its length is in a separate unit; only tags follow it.
      this.#isTail = true;
      return { bytes: 1, isSound: false };
    }
    const header = readMp3Header(bytes, at);
    if (header === null) {
      throw new Mp3Error("no MP3 frame where one is expected");
    }
    if (left < header.bytes) return null;
    if (this.#frames === 0 && isDescription(bytes, at, header)) {
      return { bytes: header.bytes, isSound: false };
    }
    this.#format ??= {
      sampleRate: header.sampleRate,
      channels: header.channels,
    };
    this.#frames += 1;
    this.#seconds += header.samples / header.sampleRate;
    return { bytes: header.bytes, isSound: true };
  }
}

function startsWith(bytes: Uint8Array, at: number, word: string): boolean {
  for (let index = 0; index < word.length; index++) {
    if (bytes[at + index] !== word.charCodeAt(index)) return false;
  }
  return true;
}

/** An ID3v2 tag with its header, and its footer when it has one; the size has four groups of seven bits. */
function id3Bytes(bytes: Uint8Array, at: number): number {
  let size = 0;
  for (const byte of bytes.subarray(at + 6, at + 10)) {
    size = size * 128 + (byte & 0x7f);
  }
  const hasFooter = ((bytes[at + 5] ?? 0) & 0x10) !== 0;
  return ID3_HEADER_BYTES + size + (hasFooter ? ID3_HEADER_BYTES : 0);
}

function isDescription(
  bytes: Uint8Array,
  at: number,
  header: Mp3Header,
): boolean {
  // VBRI is always here; Xing and Info follow the side information, whose length depends on version and channels.
  if (startsWith(bytes, at + HEADER_BYTES + 32, "VBRI")) return true;
  const end = Math.min(MAX_DESCRIPTION_OFFSET, header.bytes - 4);
  for (const offset of [9, 11, 13, 15, 17, 19, 21, 23, 36, 38]) {
    if (offset > end) break;
    if (
      startsWith(bytes, at + offset, "Xing") ||
      startsWith(bytes, at + offset, "Info")
    ) return true;
  }
  return false;
}
