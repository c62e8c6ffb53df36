/** Ogg: pages (RFC 3533) with packets of Opus, Vorbis, Speex or FLAC. Granule positions are ignored. */
import type { FrameFormat } from "./frames.ts";
import {
  evenClock,
  flacClock,
  opusClock,
  PACKET_HEAD_BYTES,
  type PacketClock,
  vorbisClock,
} from "./packets.ts";
import { asciiAt, type RangeReader, viewOf } from "./range-reader.ts";

const PAGE_HEADER_BYTES = 27;
const IS_CONTINUED = 1;
const IS_FIRST = 2;
/** How much of the beginning of the file is searched for stream headers. */
const HEADERS_BYTES = 262_144;
/** Maximum number of streams of a recording. */
const MAX_STREAMS = 64;
/** Seconds of a Speex frame. */
const SPEEX_SECONDS = 0.02;

interface Packet {
  start: number;
  /** Up to the end of the page at most. */
  bytes: number;
}

interface Page {
  bytes: number;
  flags: number;
  serial: number;
  /** The packets that begin on this page. */
  packets: Packet[];
  /** The rest of the previous page's last packet. */
  continued: Packet | null;
}

function readPage(bytes: Uint8Array, at: number): Page | null | "cut" {
  if (at + PAGE_HEADER_BYTES > bytes.length) return "cut";
  if (asciiAt(bytes, at, 4) !== "OggS" || bytes[at + 4] !== 0) return null;
  const segments = bytes[at + 26] ?? 0;
  const bodyAt = at + PAGE_HEADER_BYTES + segments;
  let end = bodyAt;
  for (let index = at + PAGE_HEADER_BYTES; index < bodyAt; index++) {
    end += bytes[index] ?? 0;
  }
  if (end > bytes.length) return "cut";
  // It is a page only if another follows; check this before parsing its packets.
  if (end + 4 <= bytes.length && asciiAt(bytes, end, 4) !== "OggS") {
    return null;
  }
  const flags = bytes[at + 5] ?? 0;
  const pieces: Packet[] = [];
  let next = bodyAt;
  let isOpen = false;
  for (let index = 0; index < segments; index++) {
    const length = bytes[at + PAGE_HEADER_BYTES + index] ?? 0;
    const last = pieces.at(-1);
    if (isOpen && last !== undefined) last.bytes += length;
    else pieces.push({ start: next, bytes: length });
    next += length;
    isOpen = length === 255;
  }
  const continued = (flags & IS_CONTINUED) !== 0 ? pieces.shift() : undefined;
  return {
    bytes: end - at,
    flags,
    serial: viewOf(bytes).getUint32(at + 14, true),
    packets: pieces,
    continued: continued ?? null,
  };
}

/** The codec in a stream's first packet; null for video and unknown codecs. */
function clockOf(first: Uint8Array, setup: Uint8Array): PacketClock | null {
  if (asciiAt(first, 0, 8) === "OpusHead") {
    // Its two headers are not audio.
    return (head, bytes) =>
      asciiAt(head, 0, 4) === "Opus" ? 0 : opusClock(head, bytes);
  }
  if (asciiAt(first, 1, 6) === "vorbis") return vorbisClock(first, setup);
  if (asciiAt(first, 0, 8) === "Speex   " && first.length >= 68) {
    const frames = Math.min(viewOf(first).getUint32(64, true), 64);
    return evenClock(Math.max(1, frames) * SPEEX_SECONDS);
  }
  if (asciiAt(first, 1, 4) === "FLAC" && first.length >= 37) {
    return flacClock((viewOf(first).getUint32(27) >>> 12) & 0xf_ffff);
  }
  return null;
}

/** The first three packets of each stream, which may span pages. */
function firstPackets(bytes: Uint8Array): Map<number, Uint8Array[]> {
  const streams = new Map<number, Uint8Array[]>();
  for (let at = 0; at < bytes.length;) {
    const page = readPage(bytes, at);
    if (page === null || page === "cut") break;
    const packets = streams.get(page.serial) ?? [];
    if (streams.size < MAX_STREAMS) streams.set(page.serial, packets);
    const { continued } = page;
    const open = packets.at(-1);
    if (continued !== null && open !== undefined && packets.length <= 3) {
      const more = bytes.subarray(
        continued.start,
        continued.start + continued.bytes,
      );
      packets[packets.length - 1] = Uint8Array.from([...open, ...more]);
    }
    for (const { start, bytes: length } of page.packets) {
      if (packets.length < 4) {
        packets.push(bytes.subarray(start, start + length));
      }
    }
    at += page.bytes;
  }
  return streams;
}

/** The pages of an Ogg file after `from`. A chained stream that begins later is counted by its own codec. */
export async function oggFrames(
  reader: RangeReader,
  from: number,
): Promise<FrameFormat> {
  const streams = firstPackets(await reader.bytes(from, HEADERS_BYTES));
  const clocks = new Map<number, PacketClock | null>();
  for (const [serial, [first, , third]] of streams) {
    clocks.set(
      serial,
      first === undefined ? null : clockOf(first, third ?? new Uint8Array(0)),
    );
  }
  const byDefault = [...clocks.values()].find((clock) => clock !== null) ??
    null;
  return {
    proof: 2,
    // Up to 255 sizes and packets.
    steps: 100,
    frameAt(bytes, at) {
      const page = readPage(bytes, at);
      if (page === null || page === "cut") return page;
      const packets = page.packets.map(({ start, bytes: length }) => ({
        head: bytes.subarray(start, start + Math.min(length, 80)),
        length,
      }));
      const [first] = packets;
      if (
        (page.flags & IS_FIRST) !== 0 && first !== undefined &&
        !clocks.has(page.serial) && clocks.size < MAX_STREAMS
      ) {
        clocks.set(page.serial, clockOf(first.head, new Uint8Array(0)));
      }
      const known = clocks.get(page.serial);
      const clock = known === undefined ? byDefault : known;
      let seconds = 0;
      for (const { head, length } of packets) {
        seconds += clock?.(head.subarray(0, PACKET_HEAD_BYTES), length) ?? 0;
      }
      return { bytes: page.bytes, seconds };
    },
    candidate(bytes, at) {
      const found = bytes.indexOf(0x4f, at);
      return found === -1 ? bytes.length : found;
    },
  };
}
