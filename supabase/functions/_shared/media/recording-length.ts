/**
 * Measures a recording from parts of it, to estimate the cost of a call and to check the limits of providers. It counts
 * frames, packets and samples; durations in headers are ignored, because a forged one would lower the estimate.
 */
import { INPUT_HEAD_BYTES, inputTypeOf } from "./input-type.ts";
import { secondsOfFrames } from "./lengths/frames.ts";
import { mp4Seconds } from "./lengths/mp4.ts";
import { oggFrames } from "./lengths/ogg.ts";
import {
  aiffSound,
  MAX_PCM_BYTES_PER_SECOND,
  type PcmSound,
  wavSound,
} from "./lengths/pcm.ts";
import {
  asciiAt,
  LengthUnreadable,
  RangeReader,
  type RecordingSource,
  viewOf,
} from "./lengths/range-reader.ts";
import {
  ADTS_FRAMES,
  amrFrames,
  flacFrames,
  MP3_FRAMES,
} from "./lengths/raw-frames.ts";
import { webmFrames } from "./lengths/webm.ts";

/** How long a recording is. */
export interface RecordingLength {
  /** Whole seconds, 1 to {@link MAX_SECONDS}; rounded and estimated upwards. */
  seconds: number;
  /**
   * False when the recording could not be measured: `seconds` is then the length of the most compressed speech of this
   * size, at most {@link MAX_ASSUMED_SECONDS}.
   */
  isMeasured: boolean;
}

/** The longest length that is ever reported. */
export const MAX_SECONDS = 10_000_000;
/** The longest length assumed for an unreadable recording: ElevenLabs refuses recordings over ten hours. */
export const MAX_ASSUMED_SECONDS = 36_000;
/** 6 kbit/s: less than any speech that an app is likely to record. */
const MIN_BYTES_PER_SECOND = 750;

const FILM_BYTES_PER_SECOND = 12_500_000;
/** Maximum number of bytes per second of each type. No estimate is shorter than the file size divided by this rate. */
const MAX_BYTES_PER_SECOND: Readonly<Record<string, number>> = {
  // 320 kbit/s
  "audio/mpeg": 40_000,
  // 576 kbit/s: two channels at 48 kHz, each block full.
  "audio/aac": 72_000,
  // 23.85 kbit/s, plus one header byte per frame.
  "audio/amr": 3_050,
  "audio/wav": MAX_PCM_BYTES_PER_SECOND,
  "audio/aiff": MAX_PCM_BYTES_PER_SECOND,
  "audio/flac": MAX_PCM_BYTES_PER_SECOND,
  "audio/ogg": MAX_PCM_BYTES_PER_SECOND,
  // May contain video: 100 Mbit/s.
  "audio/mp4": FILM_BYTES_PER_SECOND,
  "audio/3gpp": FILM_BYTES_PER_SECOND,
  "video/quicktime": FILM_BYTES_PER_SECOND,
  "audio/webm": FILM_BYTES_PER_SECOND,
};

/** How many tags before a recording are skipped. */
const MAX_TAGS = 8;

/**
 * Measures the length of a recording. Reads a bounded part of it: all of a compressed file up to 32 MiB, random samples
 * of a larger one, a few ranges of WAV, AIFF and MP4.
 *
 * Guarantees: the result is never shorter than the file size at the highest plausible bitrate of the type. It returns a
 * result for any bytes and throws only what `source` throws.
 *
 * @param random uniform in [0, 1); chooses the sampled places.
 */
export async function recordingLength(
  source: RecordingSource,
  random: () => number,
): Promise<RecordingLength> {
  const reader = new RangeReader(source);
  let seconds: number | null = null;
  try {
    seconds = await measure(reader, random);
  } catch (error) {
    if (!(error instanceof LengthUnreadable)) throw error;
  }
  return seconds === null || !Number.isFinite(seconds)
    ? assumedLength(source.size)
    : { seconds: whole(seconds, MAX_SECONDS), isMeasured: true };
}

/** A source that reads from a recording in memory. */
export function recordingInMemory(recording: Blob): RecordingSource {
  return {
    size: recording.size,
    read: async (start, end) =>
      new Uint8Array(await recording.slice(start, end).arrayBuffer()),
  };
}

/** The assumed length of a recording from its size alone: {@link RecordingLength.isMeasured} is false. */
export function assumedLength(bytes: number): RecordingLength {
  return {
    seconds: whole(bytes / MIN_BYTES_PER_SECOND, MAX_ASSUMED_SECONDS),
    isMeasured: false,
  };
}

function whole(seconds: number, atMost: number): number {
  return Math.min(Math.max(1, Math.ceil(seconds)), atMost);
}

async function measure(
  reader: RangeReader,
  random: () => number,
): Promise<number | null> {
  const start = await behindTags(reader);
  const head = await reader.bytes(start, INPUT_HEAD_BYTES);
  const type = inputTypeOf(head)?.mimeType ??
    // Unknown bytes after a tag are padded MP3.
    (start > 0 ? "audio/mpeg" : undefined);
  const maxBytesPerSecond = MAX_BYTES_PER_SECOND[type ?? ""];
  if (type === undefined || maxBytesPerSecond === undefined) return null;
  const seconds = await secondsOf(reader, type, start, head, random);
  return seconds === null
    ? null
    : Math.max(seconds, (reader.size - start) / maxBytesPerSecond);
}

/** Where the recording itself begins, after its ID3 tags. */
async function behindTags(reader: RangeReader): Promise<number> {
  let at = 0;
  for (let count = 0; count < MAX_TAGS; count++) {
    const head = await reader.bytes(at, 10);
    if (head.length < 10 || asciiAt(head, 0, 3) !== "ID3") break;
    const footer = ((head[5] ?? 0) & 0x10) === 0 ? 0 : 10;
    const size = head.subarray(6, 10)
      .reduce((sum, byte) => sum * 128 + (byte & 0x7f), 0);
    at += 10 + size + footer;
  }
  if (at >= reader.size) throw new LengthUnreadable("nothing but a tag");
  return at;
}

async function secondsOf(
  reader: RangeReader,
  type: string,
  start: number,
  head: Uint8Array,
  random: () => number,
): Promise<number | null> {
  switch (type) {
    case "audio/mpeg":
      return await secondsOfFrames(reader, MP3_FRAMES, start, random);
    case "audio/aac":
      return await secondsOfFrames(reader, ADTS_FRAMES, start, random);
    case "audio/amr": {
      const isWide = asciiAt(head, 5, 3) === "-WB";
      const frames = amrFrames(isWide ? "wide" : "narrow");
      const first = start + (isWide ? 9 : 6);
      return await secondsOfFrames(reader, frames, first, random);
    }
    case "audio/flac": {
      const rate = head.length >= 22 ? viewOf(head).getUint32(18) >>> 12 : 0;
      return await secondsOfFrames(reader, flacFrames(rate), start, random);
    }
    case "audio/ogg": {
      const pages = await oggFrames(reader, start);
      return await secondsOfFrames(reader, pages, start, random);
    }
    case "audio/webm": {
      const blocks = await webmFrames(reader, start);
      return blocks === null
        ? null
        : await secondsOfFrames(reader, blocks, start, random);
    }
    case "audio/wav":
      return await secondsOfPcm(reader, await wavSound(reader, start), random);
    case "audio/aiff":
      return await secondsOfPcm(reader, await aiffSound(reader, start), random);
    default:
      return await mp4Seconds(reader, start, random);
  }
}

async function secondsOfPcm(
  reader: RangeReader,
  sound: PcmSound | null,
  random: () => number,
): Promise<number | null> {
  if (sound === null) return null;
  const { start, bytesPerSecond, isMp3 } = sound;
  if (isMp3) return await secondsOfFrames(reader, MP3_FRAMES, start, random);
  return bytesPerSecond === null
    ? null
    : Math.max(0, reader.size - start) / bytesPerSecond;
}
