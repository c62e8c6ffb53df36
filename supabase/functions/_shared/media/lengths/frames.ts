/** Counts the audio of a recording frame by frame, in full or by sampling. File-level headers are ignored. */
import { LengthUnreadable, type RangeReader } from "./range-reader.ts";

/** A piece of a recording: a frame, a page or a block. */
export interface Frame {
  /** Bytes up to the start of the next piece; at least one. */
  bytes: number;
  seconds: number;
}

/** A format whose pieces can be recognized by their first bytes. */
export interface FrameFormat {
  /** How many consecutive pieces prove that the first is not an accidental match. */
  readonly proof: number;
  /**
   * The piece that begins at `at`; null when none does; `cut` when more bytes are needed to decide. Reads a bounded
   * number of bytes, or only the piece itself. With `isEnd`, these are the last bytes of the recording.
   */
  frameAt(bytes: Uint8Array, at: number, isEnd: boolean): Frame | null | "cut";
  /** Cost of one call of `at`, in steps; default one. */
  readonly steps?: number;
  /** The next offset at or after `at` where a piece may begin; default any. */
  candidate?(bytes: Uint8Array, at: number): number;
}

/** Recordings up to this size are counted in full; larger ones are sampled. */
export const MAX_WHOLE_BYTES = 32 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** A sample: number and size of its windows. A piece that begins in a window may end up to one window size after it. */
export const SAMPLE = { windows: 48, bytes: 65_536, beyond: 65_536 } as const;
const READS_AT_ONCE = 8;
/** The number of reads after which the total number of reads is projected. */
const FIRST_READS = 16;
/** Steps after which counting stops: the file has only false starts, or pieces smaller than any codec produces. */
export const MAX_STEPS = 4_000_000;
/** Fewer readable windows than this are not enough for an estimate. */
const MIN_WINDOWS = 8;

interface Walk {
  seconds: number;
  frames: number;
  /** Where to continue: past the bytes when the last piece ends there, 0 when even the first is cut. */
  next: number;
  isSynced: boolean;
  /** How many steps were used. */
  steps: number;
}

/** Counts the pieces that begin in the first `until` bytes. */
function walk(
  format: FrameFormat,
  bytes: Uint8Array,
  { until, isSynced, isEnd }: {
    until: number;
    isSynced: boolean;
    isEnd: boolean;
  },
): Walk {
  let at = 0;
  let seconds = 0;
  let frames = 0;
  let steps = 0;
  const frameAt = (place: number) => {
    steps += format.steps ?? 1;
    return format.frameAt(bytes, place, isEnd);
  };
  while (at < until) {
    if (!isSynced && format.candidate !== undefined) {
      at = format.candidate(bytes, at);
      if (at >= until) break;
    }
    const frame = frameAt(at);
    if (frame === "cut") break;
    const isPiece = frame !== null &&
      (isSynced || isProven(frame, at, frameAt, format.proof, bytes, isEnd));
    if (!isPiece) {
      isSynced = false;
      at += 1;
      continue;
    }
    isSynced = true;
    seconds += frame.seconds;
    frames += 1;
    at += Math.max(1, frame.bytes);
  }
  return { seconds, frames, next: at, isSynced, steps };
}

/** Whether enough consecutive pieces follow the first one. */
function isProven(
  first: Frame,
  at: number,
  frameAt: (place: number) => Frame | null | "cut",
  proof: number,
  { length }: Uint8Array,
  isEnd: boolean,
): boolean {
  let next = at + Math.max(1, first.bytes);
  for (let count = 1; count < proof; count++) {
    const frame = next < length ? frameAt(next) : "cut";
    // Two are enough at the end of the bytes read, one at the end of the recording.
    if (frame === "cut") return isEnd || count >= 2;
    if (frame === null) return false;
    next += Math.max(1, frame.bytes);
  }
  return true;
}

/**
 * The seconds of all pieces after `from`, each counted once; null when there is none, or when it needs too many reads.
 *
 * @param options.chunkBytes bytes per read; keep it small when pieces are much longer than their headers.
 * @throws {LengthUnreadable} when it needs too many reads or steps.
 */
export async function countFrames(
  reader: RangeReader,
  format: FrameFormat,
  from: number,
  options: { chunkBytes?: number; maxReads?: number } = {},
): Promise<number | null> {
  const { chunkBytes = CHUNK_BYTES, maxReads = Infinity } = options;
  let at = from;
  let reads = 0;
  let seconds = 0;
  let frames = 0;
  let steps = 0;
  let isSynced = false;
  while (at < reader.size) {
    const toCome = (reader.size - at) / (at - from) * reads;
    if (reads >= maxReads || (reads === FIRST_READS && toCome > maxReads)) {
      return null;
    }
    reads += 1;
    const end = Math.min(at + chunkBytes, reader.size);
    const bytes = await reader.readApart(at, end);
    const isEnd = end === reader.size;
    const walked = walk(format, bytes, {
      until: bytes.length,
      isSynced,
      isEnd,
    });
    seconds += walked.seconds;
    frames += walked.frames;
    steps += walked.steps;
    if (steps > MAX_STEPS) throw new LengthUnreadable("too many steps");
    isSynced = walked.isSynced;
    if (isEnd && walked.next < bytes.length) break;
    if (walked.next === 0) {
      // No piece of this format is that long.
      isSynced = false;
      at = end;
    } else {
      at += walked.next;
    }
  }
  return frames === 0 ? null : seconds;
}

/**
 * Estimates the seconds of all pieces after `from` from a sample, plus twice its standard error; null when too little of
 * it could be read. Counts the pieces that begin in windows at random places, so that an uploader cannot prepare the
 * places that are read.
 *
 * @param random uniform in [0, 1).
 * @throws {LengthUnreadable} when it needs too many reads.
 */
export async function sampleFrames(
  reader: RangeReader,
  format: FrameFormat,
  from: number,
  random: () => number,
): Promise<number | null> {
  const span = reader.size - from;
  const stride = span / SAMPLE.windows;
  const starts = Array.from(
    { length: SAMPLE.windows },
    (_, n) => from + Math.floor((n + random()) * stride),
  );
  const counts: number[] = [];
  let windowsRead = 0;
  for (let n = 0; n < starts.length; n += READS_AT_ONCE) {
    const walks = await Promise.all(
      starts.slice(n, n + READS_AT_ONCE).map(async (start) => {
        const end = Math.min(
          start + SAMPLE.bytes + SAMPLE.beyond,
          reader.size,
        );
        const bytes = await reader.readApart(start, end);
        return walk(format, bytes, {
          until: Math.min(SAMPLE.bytes, bytes.length),
          isSynced: false,
          isEnd: end === reader.size,
        });
      }),
    );
    for (const { seconds, frames } of walks) {
      counts.push(seconds);
      if (frames > 0) windowsRead += 1;
    }
  }
  if (windowsRead < MIN_WINDOWS) return null;
  const mean = counts.reduce((sum, one) => sum + one, 0) / counts.length;
  const variance = counts.reduce((sum, one) => sum + (one - mean) ** 2, 0) /
    (counts.length - 1);
  const error = Math.sqrt(variance / counts.length);
  return (mean + 2 * error) * span / SAMPLE.bytes;
}

/** Counts a short recording in full and samples a long one. @throws {LengthUnreadable} like both of them. */
export async function secondsOfFrames(
  reader: RangeReader,
  format: FrameFormat,
  from: number,
  random: () => number,
): Promise<number | null> {
  return reader.size - from <= MAX_WHOLE_BYTES
    ? await countFrames(reader, format, from)
    : await sampleFrames(reader, format, from, random);
}
