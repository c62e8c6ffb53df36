/** WebM and other Matroska (RFC 9559): counts its audio blocks. Duration and timestamps are ignored. */
import type { Frame, FrameFormat } from "./frames.ts";
import {
  aacClock,
  evenClock,
  flacClock,
  mp3Clock,
  opusClock,
  PACKET_HEAD_BYTES,
  type PacketClock,
  pcmClock,
  vorbisClock,
} from "./packets.ts";
import { asciiAt, type RangeReader, viewOf } from "./range-reader.ts";

/** Container elements that are read into. */
const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;
const BLOCK_GROUP = 0xa0;
const SIMPLE_BLOCK = 0xa3;
const BLOCK = 0xa1;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
/** Elements that may occur next to the blocks, and are skipped. */
const OTHERS: ReadonlySet<number> = new Set([
  0x1a45dfa3, // EBML
  0x114d9b74, // SeekHead
  0x1549a966, // Info
  TRACKS,
  0x1c53bb6b, // Cues
  0x1254c367, // Tags
  0x1043a770, // Chapters
  0x1941a469, // Attachments
  0xec, // Void
  0xbf, // CRC-32
  0xe7, // Timestamp
  0xa7, // Position
  0xab, // PrevSize
  0x5854, // SilentTracks
  0x9b, // BlockDuration
  0xfb, // ReferenceBlock
  0xfa, // ReferencePriority
  0x75a1, // BlockAdditions
  0x75a2, // DiscardPadding
  0xa4, // CodecState
]);

interface Element {
  id: number;
  /** Bytes of the id and size fields. */
  header: number;
  /** Bytes of the content; null when the size is unknown. */
  size: number | null;
}

/** The element at `at` (RFC 8794, 4 and 5). */
function readElement(bytes: Uint8Array, at: number): Element | null | "cut" {
  const first = bytes[at];
  if (first === undefined) return "cut";
  const idBytes = Math.clz32(first) - 23;
  if (idBytes > 4) return null;
  const second = bytes[at + idBytes];
  if (second === undefined) return "cut";
  const sizeBytes = Math.clz32(second) - 23;
  if (sizeBytes > 8) return null;
  const header = idBytes + sizeBytes;
  if (at + header > bytes.length) return "cut";
  let id = 0;
  for (let index = 0; index < idBytes; index++) {
    id = id * 256 + (bytes[at + index] ?? 0);
  }
  let size = second & (1 << 8 - sizeBytes) - 1;
  let isOpen = size === (1 << 8 - sizeBytes) - 1;
  for (let index = 1; index < sizeBytes; index++) {
    const byte = bytes[at + idBytes + index] ?? 0;
    isOpen &&= byte === 0xff;
    size = size * 256 + byte;
  }
  return { id, header, size: isOpen ? null : size };
}

/** The elements within `bytes`, including incomplete ones. */
function* elementsOf(
  bytes: Uint8Array,
): Generator<{ id: number; content: Uint8Array }> {
  for (let at = 0; at < bytes.length;) {
    const element = readElement(bytes, at);
    if (element === null || element === "cut") return;
    const start = at + element.header;
    const end = start + (element.size ?? bytes.length);
    yield { id: element.id, content: bytes.subarray(start, end) };
    at = end;
  }
}

/** How much of the beginning of the file is searched for the tracks. */
const HEADERS_BYTES = 262_144;
const AUDIO = 2;
const CODEC_PRIVATE = 0x63a2;

/** Finds the audio tracks by number, each with its clock; null for an unknown codec. */
function readTracks(bytes: Uint8Array): Map<number, PacketClock | null> {
  const tracks = new Map<number, PacketClock | null>();
  for (let at = 0; at < bytes.length;) {
    const element = readElement(bytes, at);
    if (element === null || element === "cut") break;
    if (element.id === CLUSTER) break;
    const start = at + element.header;
    if (element.id === SEGMENT) {
      at = start;
      continue;
    }
    at = start + (element.size ?? bytes.length);
    if (element.id !== TRACKS) continue;
    for (const { id, content } of elementsOf(bytes.subarray(start, at))) {
      if (id === TRACK_ENTRY) addTrack(tracks, content);
    }
  }
  return tracks;
}

function addTrack(
  tracks: Map<number, PacketClock | null>,
  entry: Uint8Array,
): void {
  let number = 0;
  let type = 0;
  let codec = "";
  let setup = new Uint8Array(0);
  let audio = { sampleRate: 8_000, channels: 1, bits: 16 };
  for (const { id, content } of elementsOf(entry)) {
    if (id === 0xd7) number = unsigned(content);
    if (id === 0x83) type = unsigned(content);
    if (id === 0x86) codec = asciiAt(content, 0, Math.min(content.length, 64));
    if (id === CODEC_PRIVATE) setup = new Uint8Array(content);
    if (id === 0xe1) audio = readAudio(content);
  }
  if (type === AUDIO && tracks.size < 64) {
    tracks.set(number, clockOf(codec.replace(/\0+$/, ""), setup, audio));
  }
}

function readAudio(bytes: Uint8Array) {
  const audio = { sampleRate: 8_000, channels: 1, bits: 16 };
  for (const { id, content } of elementsOf(bytes)) {
    if (id === 0xb5) audio.sampleRate = float(content);
    if (id === 0x9f) audio.channels = unsigned(content);
    if (id === 0x6264) audio.bits = unsigned(content);
  }
  return audio;
}

function unsigned(bytes: Uint8Array): number {
  return bytes.subarray(0, 8).reduce((value, byte) => value * 256 + byte, 0);
}

function float(bytes: Uint8Array): number {
  if (bytes.length === 4) return viewOf(bytes).getFloat32(0);
  return bytes.length === 8 ? viewOf(bytes).getFloat64(0) : 0;
}

function clockOf(
  codec: string,
  setup: Uint8Array,
  audio: { sampleRate: number; channels: number; bits: number },
): PacketClock | null {
  const { sampleRate } = audio;
  if (codec === "A_OPUS") return opusClock;
  if (codec === "A_VORBIS") return vorbisOf(setup);
  if (codec === "A_AAC") return aacClock(setup);
  if (codec === "A_MPEG/L3") return mp3Clock;
  if (codec === "A_FLAC") {
    return flacClock(
      setup.length >= 22 ? viewOf(setup).getUint32(18) >>> 12 : 0,
    );
  }
  if (codec.startsWith("A_PCM/")) {
    return pcmClock(sampleRate * audio.channels * Math.ceil(audio.bits / 8));
  }
  if (/^A_E?AC3$/.test(codec) && sampleRate > 0) {
    return evenClock(1_536 / sampleRate);
  }
  return null;
}

/** Three consecutive headers, preceded by the sizes of the first two. */
function vorbisOf(setup: Uint8Array): PacketClock | null {
  if (setup[0] !== 2) return null;
  const sizes: number[] = [];
  let at = 1;
  while (sizes.length < 2) {
    let size = 0;
    for (; setup[at] === 255; at++) size += 255;
    size += setup[at] ?? 0;
    at += 1;
    sizes.push(size);
  }
  const [first = 0, second = 0] = sizes;
  return vorbisClock(
    setup.subarray(at, at + first),
    setup.subarray(at + first + second),
  );
}

/**
 * The blocks of a WebM file that begins at `from`; null when it has no audio of a known codec. Several audio tracks are
 * added up.
 */
export async function webmFrames(
  reader: RangeReader,
  from: number,
): Promise<FrameFormat | null> {
  const tracks = readTracks(await reader.bytes(from, HEADERS_BYTES));
  const clocks = [...tracks.values()];
  if (clocks.length === 0 || clocks.includes(null)) return null;
  return {
    proof: 4,
    frameAt(bytes, at) {
      const element = readElement(bytes, at);
      if (element === null || element === "cut") return element;
      const { id, header, size } = element;
      if (id === SEGMENT || id === CLUSTER || id === BLOCK_GROUP) {
        return { bytes: header, seconds: 0 };
      }
      if (size === null) return null;
      if (id === SIMPLE_BLOCK || id === BLOCK) {
        return readBlock(bytes, at + header, header, size, tracks);
      }
      return OTHERS.has(id) ? { bytes: header + size, seconds: 0 } : null;
    },
  };
}

/** Track number, time, flags, then one frame, or several preceded by their sizes (RFC 9559, 10). */
function readBlock(
  bytes: Uint8Array,
  at: number,
  header: number,
  size: number,
  tracks: ReadonlyMap<number, PacketClock | null>,
): Frame | null | "cut" {
  // Block elements; track numbers have one byte in every real recording.
  const first = bytes[at];
  if (at + 4 > bytes.length || first === undefined) return "cut";
  if ((first & 0x80) === 0 || size < 4) return null;
  const frame = { bytes: header + size, seconds: 0 };
  const clock = tracks.get(first & 0x7f);
  if (clock === undefined || clock === null) return frame;
  const lacing = (bytes[at + 3] ?? 0) >> 1 & 3;
  const end = at + size;
  const isWhole = end <= bytes.length;
  if (lacing === 0) {
    if (!isWhole && at + 4 + PACKET_HEAD_BYTES > bytes.length) return "cut";
    const head = bytes.subarray(at + 4, Math.min(end, at + 20));
    return { ...frame, seconds: clock(head, size - 4) };
  }
  if (!isWhole) return "cut";
  for (const packet of lacedPackets(bytes.subarray(at + 4, end), lacing)) {
    const head = packet.subarray(0, PACKET_HEAD_BYTES);
    frame.seconds += clock(head, packet.length);
  }
  return frame;
}

const XIPH_LACING = 1;
const EBML_LACING = 3;

/** The packets of a laced block: their number minus one, the sizes of all but the last, then the packets. */
function lacedPackets(block: Uint8Array, lacing: number): Uint8Array[] {
  const count = (block[0] ?? 0) + 1;
  const sizes: number[] = [];
  let at = 1;
  for (let index = 0; index < count - 1; index++) {
    if (lacing === XIPH_LACING) {
      let size = 0;
      for (; block[at] === 255; at++) size += 255;
      sizes.push(size + (block[at] ?? 0));
      at += 1;
    } else if (lacing === EBML_LACING) {
      const first = block[at] ?? 0;
      const length = Math.clz32(first) - 23;
      let value = first & (1 << 8 - length) - 1;
      for (let byte = 1; byte < length; byte++) {
        value = value * 256 + (block[at + byte] ?? 0);
      }
      // All but the first are signed differences, stored with an offset.
      const before = sizes.at(-1);
      sizes.push(
        before === undefined
          ? value
          : Math.max(0, before + value - (2 ** (7 * length - 1) - 1)),
      );
      at += length;
    } else {
      sizes.push(Math.floor((block.length - 1) / count));
    }
  }
  const packets: Uint8Array[] = [];
  for (const size of [...sizes, block.length]) {
    packets.push(block.subarray(at, at + size));
    at += size;
  }
  return packets;
}
