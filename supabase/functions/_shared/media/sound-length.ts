/** How long a recording is likely to be, by its beginning and its size: for an estimate of what it will cost. */
import { INPUT_HEAD_BYTES, inputTypeOf } from "./input-type.ts";
import { readMp3Header } from "./mp3-frames.ts";

/** How many of the first bytes {@link soundSeconds} looks at. More are of no use to it. */
export const SOUND_HEAD_BYTES = 4_096;

/**
 * Bytes of a second where the file does not tell: 32 kbit/s, and 64 in MP4. Speech is rarely packed more tightly, so
 * that the estimate is rather too long; a film's is far too long.
 */
const BYTES_PER_SECOND = { other: 4_000, mp4: 8_000 } as const;

/**
 * The seconds of a recording, whole ones and at least one. Never throws: a file that says nothing of itself, or nonsense,
 * is taken for tightly packed speech.
 *
 * WAV and MP3 by the rate of bytes that they begin with, FLAC by its number of samples (RFC 9639, 8.2), others by size.
 *
 * @param head the first {@link SOUND_HEAD_BYTES} bytes, or all when there are fewer.
 * @param bytes size of the whole file.
 */
export function soundSeconds(head: Uint8Array, bytes: number): number {
  const { mimeType } = inputTypeOf(head.subarray(0, INPUT_HEAD_BYTES)) ?? {};
  const byDefault = bytes /
    (mimeType === "audio/mp4" ? BYTES_PER_SECOND.mp4 : BYTES_PER_SECOND.other);
  const told = mimeType === "audio/wav"
    ? wavSeconds(head, bytes)
    : mimeType === "audio/mpeg"
    ? mp3Seconds(head, bytes)
    : mimeType === "audio/flac"
    ? flacSeconds(head)
    : null;
  // Whatever it says of itself: no sound is packed more tightly than a byte a second.
  const seconds = told === null || told <= 0 ? byDefault : told;
  return Math.max(1, Math.ceil(Math.min(seconds, bytes)));
}

function wavSeconds(head: Uint8Array, bytes: number): number | null {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  for (let at = 12; at + 20 <= head.byteLength;) {
    const size = view.getUint32(at + 4, true);
    const name = String.fromCharCode(...head.subarray(at, at + 4));
    if (name === "fmt ") {
      const bytesPerSecond = view.getUint32(at + 16, true);
      return bytesPerSecond === 0 ? null : bytes / bytesPerSecond;
    }
    at += 8 + size + size % 2;
  }
  return null;
}

/** By the first frame, which may say how many there are (Xing, Info); without that, as if the rate did not vary. */
function mp3Seconds(head: Uint8Array, bytes: number): number | null {
  for (let at = 0; at < head.byteLength; at++) {
    const frame = readMp3Header(head, at);
    if (frame === null) continue;
    // Two in a row: one could be anything.
    const end = at + frame.bytes;
    if (end + 4 <= head.byteLength && readMp3Header(head, end) === null) {
      continue;
    }
    const frames = describedFrames(head.subarray(at, end)) ??
      bytes / frame.bytes;
    return frames * frame.samples / frame.sampleRate;
  }
  return null;
}

/** The number of frames that a describing frame tells, after its word and flags. */
function describedFrames(frame: Uint8Array): number | null {
  const word = /Xing|Info/.exec(
    String.fromCharCode(...frame.subarray(0, 64)),
  );
  if (word === null || word.index + 12 > frame.byteLength) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const hasFrames = (view.getUint32(word.index + 4) & 1) === 1;
  return hasFrames ? view.getUint32(word.index + 8) : null;
}

function flacSeconds(head: Uint8Array): number | null {
  const at = 18;
  if (head.byteLength < at + 8) return null;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const bits = view.getBigUint64(at);
  const sampleRate = Number(bits >> 44n);
  const samples = Number(bits & 0xf_ffff_ffffn);
  return sampleRate === 0 ? null : samples / sampleRate;
}
