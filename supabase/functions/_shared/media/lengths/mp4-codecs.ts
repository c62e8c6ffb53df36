/** The audio length of a sample in MP4, QuickTime or 3GPP, from the track's sample description. */
import {
  aacClock,
  evenClock,
  flacClock,
  opusClock,
  type PacketClock,
} from "./packets.ts";
import { asciiAt, viewOf } from "./range-reader.ts";
import { AAC_SAMPLES, AMR_SECONDS } from "./raw-frames.ts";

const MP3_TYPES: readonly number[] = [0x69, 0x6b];
/** Uncompressed, or one byte per sample: one table entry holds one sample of each channel. */
const PCM_FORMATS: readonly string[] = [
  "sowt",
  "twos",
  "lpcm",
  "in24",
  "in32",
  "fl32",
  "fl64",
  "raw ",
  "ulaw",
  "alaw",
];

/**
 * The audio length of a sample, read from the sample itself where samples differ; null for an unknown codec.
 *
 * @param format the four-character code of the sample entry.
 * @param entry the bytes after the code.
 */
export function sampleClock(
  format: string,
  entry: Uint8Array,
): PacketClock | null {
  if (entry.length < 28) return null;
  const sampleRate = sampleRateOf(entry);
  const even = (samples: number) =>
    sampleRate >= 1 ? evenClock(samples / sampleRate) : null;
  if (PCM_FORMATS.includes(format)) return even(1);
  switch (format) {
    case "mp4a":
      return mp4aClock(entry) ?? even(AAC_SAMPLES);
    case ".mp3":
      return even(sampleRate < 32_000 ? 576 : 1_152);
    case "alac":
      return even(alacSamples(entry));
    case "ac-3":
    case "ec-3":
      return even(1_536);
    case "Opus":
      return opusClock;
    case "fLaC":
      return flacClock(sampleRate);
    case "samr":
    case "sawb":
      return evenClock(AMR_SECONDS * amrFramesPerSample(entry));
    default:
      return null;
  }
}

/** Sampling rate of a sample entry; version 2 of QuickTime has it at another offset. */
function sampleRateOf(entry: Uint8Array): number {
  const view = viewOf(entry);
  return view.getUint16(8) === 2 && entry.length >= 40
    ? view.getFloat64(32)
    : view.getUint32(24) / 65_536;
}

/** From the 3GPP configuration of AMR (TS 26.244, 6.7). */
function amrFramesPerSample(entry: Uint8Array): number {
  const found = indexOfName(entry, "damr");
  return found === -1 ? 1 : Math.max(1, entry[found + 12] ?? 1);
}

/** AAC or MP3 from its descriptor (ISO/IEC 14496-1, 7.2.6), found by name because QuickTime wraps it. */
function mp4aClock(entry: Uint8Array): PacketClock | null {
  const found = indexOfName(entry, "esds");
  if (found === -1) return null;
  const descriptor = entry.subarray(found + 8);
  let type: number | undefined;
  for (let at = 0; at < descriptor.length;) {
    const tag = descriptor[at] ?? 0;
    let next = at + 1;
    let size = 0;
    for (let count = 0; count < 4; count++) {
      const byte = descriptor[next++] ?? 0;
      size = size * 128 + (byte & 0x7f);
      if ((byte & 0x80) === 0) break;
    }
    if (tag === 3) {
      const flags = descriptor[next + 2] ?? 0;
      at = next + 3 + ((flags & 0x80) !== 0 ? 2 : 0) +
        ((flags & 0x40) !== 0 ? 1 + (descriptor[next + 3] ?? 0) : 0) +
        ((flags & 0x20) !== 0 ? 2 : 0);
    } else if (tag === 4) {
      type = descriptor[next];
      if (type !== undefined && MP3_TYPES.includes(type)) {
        const rate = sampleRateOf(entry);
        return rate >= 1
          ? evenClock((rate < 32_000 ? 576 : 1_152) / rate)
          : null;
      }
      at = next + 13;
    } else if (tag === 5) {
      return aacClock(descriptor.subarray(next, next + size));
    } else {
      at = next + size;
    }
  }
  return null;
}

/** The frame length in the ALAC configuration. */
function alacSamples(entry: Uint8Array): number {
  const found = indexOfName(entry.subarray(28), "alac");
  const at = 28 + found + 8;
  const samples = found === -1 || at + 4 > entry.length
    ? 0
    : viewOf(entry).getUint32(at);
  return samples >= 1 && samples <= 65_536 ? samples : 4_096;
}

function indexOfName(bytes: Uint8Array, name: string): number {
  return asciiAt(bytes, 0, Math.min(bytes.length, 4_096)).indexOf(name);
}
