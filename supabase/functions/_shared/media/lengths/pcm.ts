/** WAV and AIFF: where the audio data begins, and its bytes per second. */
import type { RangeReader } from "./range-reader.ts";
import { asciiAt, viewOf } from "./range-reader.ts";

/** The highest rate assumed for uncompressed audio: 192 kHz, two channels, 32 bits. */
export const MAX_PCM_BYTES_PER_SECOND = 1_536_000;
/** Maximum number of chunks of a recording. */
const MAX_CHUNKS = 1_000;

/** The audio data of a WAV or AIFF file. */
export interface PcmSound {
  /** Everything from here to the end of the file counts as audio; the chunk size is ignored. */
  start: number;
  /** The lowest plausible rate, which gives the longest recording; null when the format does not define one. */
  bytesPerSecond: number | null;
  /** MP3 frames in a WAV file. */
  isMp3: boolean;
}

/** The chunks of a file up to the one with the audio data. */
async function* chunksOf(
  reader: RangeReader,
  from: number,
  isLittleEndian: boolean,
): AsyncGenerator<{ name: string; start: number; size: number }> {
  let at = from + 12;
  for (let count = 0; count < MAX_CHUNKS && at + 8 <= reader.size; count++) {
    const header = await reader.bytes(at, 8);
    const size = viewOf(header).getUint32(4, isLittleEndian);
    yield { name: asciiAt(header, 0, 4), start: at + 8, size };
    at += 8 + size + size % 2;
  }
}

const WAV_MP3 = 0x55;
const WAV_EXTENSIBLE = 0xfffe;
/** PCM, floating point, A-law and mu-law: samples are independent. */
const WAV_PLAIN: readonly number[] = [1, 3, 6, 7];

/** The audio data of a WAV file that begins at `from`; null if none. @throws {LengthUnreadable} from the reader. */
export async function wavSound(
  reader: RangeReader,
  from: number,
): Promise<PcmSound | null> {
  const rates: number[] = [];
  let isMp3 = false;
  let isPlain = true;
  for await (const { name, start, size } of chunksOf(reader, from, true)) {
    if (name === "data") {
      const bytesPerSecond = isPlain && rates.length > 0
        ? Math.min(...rates)
        : null;
      return { start, bytesPerSecond, isMp3 };
    }
    if (name !== "fmt " || size < 16) continue;
    const bytes = await reader.bytes(start, 26);
    if (bytes.length < 16) return null;
    const format = viewOf(bytes);
    const tag = format.getUint16(0, true);
    const kind = tag === WAV_EXTENSIBLE && bytes.length >= 26
      ? format.getUint16(24, true)
      : tag;
    isMp3 ||= kind === WAV_MP3;
    // A compressed codec has no fixed rate: its encoder chooses the size.
    isPlain &&= WAV_PLAIN.includes(kind);
    const channels = format.getUint16(2, true);
    const sampleRate = format.getUint32(4, true);
    const block = format.getUint16(12, true);
    const bits = format.getUint16(14, true);
    // Three ways to compute the rate: programs differ in which one they use.
    rates.push(
      ...[
        format.getUint32(8, true),
        sampleRate * block,
        sampleRate * channels * Math.ceil(bits / 8),
      ].filter((rate) => rate > 0),
    );
  }
  return null;
}

/** AIFF-C types without compression, or with one byte per sample. */
const AIFF_PLAIN: readonly string[] = [
  "NONE",
  "twos",
  "sowt",
  "fl32",
  "FL32",
  "fl64",
  "FL64",
  "raw ",
  "in24",
  "in32",
];
const AIFF_BYTE: readonly string[] = ["ulaw", "ULAW", "alaw", "ALAW"];

/** The audio data of an AIFF file that begins at `from`; null if none. @throws {LengthUnreadable} from the reader. */
export async function aiffSound(
  reader: RangeReader,
  from: number,
): Promise<PcmSound | null> {
  let bytesPerSecond: number | null = null;
  let sound: number | null = null;
  // The format may follow the audio data.
  for await (const { name, start, size } of chunksOf(reader, from, false)) {
    if (name === "SSND") sound ??= start + 8;
    if (name === "COMM" && size >= 18) {
      const bytes = await reader.bytes(start, 22);
      if (bytes.length < 18) return null;
      const format = viewOf(bytes);
      const kind = size >= 22 ? asciiAt(bytes, 18, 4) : "NONE";
      const bits = AIFF_BYTE.includes(kind)
        ? 8
        : AIFF_PLAIN.includes(kind)
        ? format.getUint16(6)
        : 0;
      const rate = format.getUint16(0) * Math.ceil(bits / 8) *
        extended(format, 8);
      bytesPerSecond = rate > 0 ? rate : null;
    }
  }
  return sound === null ? null : { start: sound, bytesPerSecond, isMp3: false };
}

/** An 80-bit number (IEEE 754, extended), in which AIFF stores rates; 0 when it is not a usable rate. */
function extended(view: DataView, at: number): number {
  const exponent = view.getUint16(at) - 16_383 - 63;
  const value = Number(view.getBigUint64(at + 2)) * 2 ** exponent;
  return Number.isFinite(value) && value >= 1 ? value : 0;
}
