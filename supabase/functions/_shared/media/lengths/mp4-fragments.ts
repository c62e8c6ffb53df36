/** Fragmented MP4 (ISO/IEC 14496-12, 8.8), as browsers record it: counts the samples that each fragment declares. */
import {
  countFrames,
  type FrameFormat,
  MAX_WHOLE_BYTES,
  sampleFrames,
} from "./frames.ts";
import { PACKET_HEAD_BYTES, type PacketClock } from "./packets.ts";
import { asciiAt, type RangeReader, viewOf } from "./range-reader.ts";

/** For a long file: bytes per read (a fragment's beginning), and the number of reads after which it is sampled. */
const HOPS = { chunkBytes: 65_536, maxReads: 350 };
/** Maximum number of boxes read per level of a fragment. */
const MAX_BOXES = 64;
/** Boxes that may occur between fragments. */
const BETWEEN: readonly string[] = [
  "mdat",
  "styp",
  "sidx",
  "ssix",
  "free",
  "skip",
  "emsg",
  "prft",
  "mfra",
  "moov",
  "ftyp",
  "uuid",
];

interface Box {
  name: string;
  start: number;
  end: number;
}

/** The boxes between two offsets of these bytes. */
function* boxesIn(
  bytes: Uint8Array,
  from: number,
  end: number,
): Generator<Box> {
  const view = viewOf(bytes);
  let at = from;
  for (let count = 0; count < MAX_BOXES && at + 8 <= end; count++) {
    const size = view.getUint32(at);
    if (size < 8) return;
    const next = Math.min(at + size, end);
    yield { name: asciiAt(bytes, at + 4, 4), start: at + 8, end: next };
    at = next;
  }
}

/** Seconds of the fragment whose `moof` lies between `at` and `end`. */
function secondsOfFragment(
  bytes: Uint8Array,
  at: number,
  end: number,
  clocks: ReadonlyMap<number, PacketClock | null>,
): number {
  const view = viewOf(bytes);
  let longest = 0;
  for (const traf of boxesIn(bytes, at + 8, end)) {
    if (traf.name !== "traf") continue;
    let clock: PacketClock | null = null;
    let seconds = 0;
    for (const box of boxesIn(bytes, traf.start, traf.end)) {
      if (box.end - box.start < 8) continue;
      const flags = view.getUint32(box.start) & 0xff_ffff;
      if (box.name === "tfhd") {
        clock = clocks.get(view.getUint32(box.start + 4)) ?? null;
      }
      if (box.name !== "trun" || clock === null) continue;
      const hasPlace = (flags & 1) !== 0 && box.end - box.start >= 12;
      const place = at +
        (hasPlace ? view.getInt32(box.start + 8) : end + 8 - at);
      const head = bytes.subarray(
        Math.max(0, place),
        Math.max(0, place) + PACKET_HEAD_BYTES,
      );
      seconds += view.getUint32(box.start + 4) * clock(head, head.length);
    }
    longest = Math.max(longest, seconds);
  }
  return longest;
}

/**
 * The seconds of all fragments after `from`; null when they cannot be read.
 *
 * @param clocks one per audio track, by track id.
 * @throws {LengthUnreadable} when it needs too many reads.
 */
export async function secondsOfFragments(
  reader: RangeReader,
  from: number,
  clocks: ReadonlyMap<number, PacketClock | null>,
  random: () => number,
): Promise<number | null> {
  if ([...clocks.values()].includes(null)) return null;
  const fragments: FrameFormat = {
    proof: 2,
    frameAt(bytes, at) {
      if (at + 16 > bytes.length) return "cut";
      const view = viewOf(bytes);
      const short = view.getUint32(at);
      const size = short === 1 ? Number(view.getBigUint64(at + 8)) : short;
      const name = asciiAt(bytes, at + 4, 4);
      if (BETWEEN.includes(name)) {
        // A box without a size ends with the file.
        return size === 0
          ? { bytes: reader.size, seconds: 0 }
          : size < 8
          ? null
          : { bytes: size, seconds: 0 };
      }
      if (name !== "moof" || size < 16) return null;
      // Its samples follow immediately.
      if (at + size + 8 + PACKET_HEAD_BYTES > bytes.length) return "cut";
      const seconds = secondsOfFragment(bytes, at, at + size, clocks);
      return { bytes: size, seconds };
    },
    candidate(bytes, at) {
      for (let found = at + 4;; found++) {
        found = bytes.indexOf(0x6d, found);
        if (found === -1) return bytes.length;
        if (
          bytes[found + 1] === 0x6f && bytes[found + 2] === 0x6f &&
          bytes[found + 3] === 0x66
        ) return found - 4;
      }
    },
  };
  return reader.size - from <= MAX_WHOLE_BYTES
    ? await countFrames(reader, fragments, from)
    : await countFrames(reader, fragments, from, HOPS) ??
      await sampleFrames(reader, fragments, from, random);
}
