/** The audio length of a packet, read from the packet itself because the container cannot be trusted. */
import { readMp3Header } from "../mp3-frames.ts";
import { AAC_SAMPLE_RATES, AAC_SAMPLES, readFlacHeader } from "./raw-frames.ts";

/**
 * The seconds of a packet.
 *
 * @param head its first bytes, up to {@link PACKET_HEAD_BYTES} of them.
 * @param bytes its size.
 */
export type PacketClock = (head: Uint8Array, bytes: number) => number;

/** How many leading bytes of a packet a clock reads. */
export const PACKET_HEAD_BYTES = 16;

const OPUS_RATE = 48_000;
/** Maximum number of samples in a packet: 120 ms. */
const MAX_OPUS_SAMPLES = 5_760;

/** Opus, from its table of contents (RFC 6716, 3.1). */
export const opusClock: PacketClock = ([toc, count]) => {
  if (toc === undefined) return 0;
  const config = toc >> 3;
  const samples = config < 12
    ? [480, 960, 1920, 2880][config & 3]
    : config < 16
    ? [480, 960][config & 1]
    : [120, 240, 480, 960][config & 3];
  const code = toc & 3;
  const frames = code === 0 ? 1 : code === 3 ? (count ?? 0) & 63 : 2;
  return Math.min((samples ?? 0) * frames, MAX_OPUS_SAMPLES) / OPUS_RATE;
};

/** A codec whose packets all have the same length. */
export function evenClock(seconds: number): PacketClock {
  return () => seconds;
}

/** Uncompressed audio. */
export function pcmClock(bytesPerSecond: number): PacketClock {
  return (_head, bytes) => bytesPerSecond > 0 ? bytes / bytesPerSecond : 0;
}

/** MP3, one frame per packet. */
export const mp3Clock: PacketClock = (head) => {
  const header = readMp3Header(head, 0);
  return header === null ? 0 : header.samples / header.sampleRate;
};

/** FLAC, one frame per packet. */
export function flacClock(streamRate: number): PacketClock {
  return (head) => {
    // A packet of silence can be shorter than the longest header.
    const padded = new Uint8Array(PACKET_HEAD_BYTES);
    padded.set(head.subarray(0, PACKET_HEAD_BYTES));
    const header = readFlacHeader(padded, 0, streamRate);
    return header === null || header === "cut" ? 0 : header.seconds;
  };
}

/** AAC, from the core rate in its AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); null without a usable rate. */
export function aacClock(config: Uint8Array): PacketClock | null {
  const bits = bitReader(config);
  const type = bits(5) === 31 ? 32 + bits(6) : (config[0] ?? 0) >> 3;
  const index = bits(4);
  const sampleRate = index === 15 ? bits(24) : AAC_SAMPLE_RATES[index];
  if (sampleRate === undefined || sampleRate < 7_350) return null;
  // xHE-AAC frames are up to four times as long.
  return evenClock((type === 42 ? 4 : 1) * AAC_SAMPLES / sampleRate);
}

/** Reads bits, the highest bit of the first byte first; returns zeros past the end. */
function bitReader(bytes: Uint8Array): (count: number) => number {
  let at = 0;
  return (count) => {
    let value = 0;
    for (let index = 0; index < count; index++, at++) {
      value = value * 2 + ((bytes[at >> 3] ?? 0) >> (7 - (at & 7)) & 1);
    }
    return value;
  };
}

/**
 * Vorbis, from the block size that each packet names (Vorbis I, 4.3). Null when `identification` is not a Vorbis header.
 *
 * @param setup the setup header; if it is missing or unreadable, every block counts as long.
 */
export function vorbisClock(
  identification: Uint8Array,
  setup: Uint8Array,
): PacketClock | null {
  if (identification.length < 29 || identification[0] !== 1) return null;
  const view = new DataView(
    identification.buffer,
    identification.byteOffset,
    identification.byteLength,
  );
  const sampleRate = view.getUint32(12, true);
  const sizes = identification[28] ?? 0;
  if (sampleRate === 0) return null;
  const short = 2 ** (sizes & 15);
  const long = 2 ** (sizes >> 4);
  const modes = vorbisModes(setup);
  const modeBits = 32 - Math.clz32(modes.length - 1);
  return ([first]) => {
    // A set bit marks a header.
    if (first === undefined || (first & 1) !== 0) return 0;
    const mode = first >> 1 & (1 << modeBits) - 1;
    const isLong = modes.length === 0 || (modes[mode] ?? true);
    // Half of each block overlaps the next one.
    return (isLong ? long : short) / 2 / sampleRate;
  };
}

/** Bits of a mode: block flag, window type, transform type and mapping. */
const VORBIS_MODE_BITS = 41;

/**
 * For each mode of a setup header, whether its blocks are long. Read backwards from the end, where the modes are: the
 * data before them can be skipped only by parsing every codebook. Empty when they cannot be read.
 */
function vorbisModes(setup: Uint8Array): boolean[] {
  const bit = (at: number) => (setup[at >> 3] ?? 0) >> (at & 7) & 1;
  const number = (at: number, count: number) => {
    let value = 0;
    for (let index = count - 1; index >= 0; index--) {
      value = value * 2 + bit(at + index);
    }
    return value;
  };
  let end = setup.length * 8 - 1;
  while (end > 0 && bit(end) === 0) end -= 1;
  const modes: boolean[] = [];
  let complete: boolean[] = [];
  for (let at = end - VORBIS_MODE_BITS; at >= 6 && modes.length < 64;) {
    if (number(at + 1, 32) !== 0 || number(at + 33, 8) >= 64) break;
    modes.unshift(bit(at) === 1);
    if (number(at - 6, 6) === modes.length - 1) complete = [...modes];
    at -= VORBIS_MODE_BITS;
  }
  return complete;
}
