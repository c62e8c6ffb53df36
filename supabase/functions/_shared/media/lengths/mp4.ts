/**
 * MP4, QuickTime and 3GPP (ISO/IEC 14496-12). The length comes from the tables that a decoder uses: how many samples
 * a track has and how many seconds each holds. Durations in headers are ignored.
 */
import { secondsOfFragments } from "./mp4-fragments.ts";
import { sampleClock } from "./mp4-codecs.ts";
import { PACKET_HEAD_BYTES, type PacketClock } from "./packets.ts";
import {
  asciiAt,
  LengthUnreadable,
  type RangeReader,
  viewOf,
} from "./range-reader.ts";

/** Maximum number of boxes read per level. */
const MAX_BOXES = 1_000;
/** Maximum number of entries read of a duration table: audio has one or two. */
const MAX_ENTRIES = 8_192;
/** Maximum number of bytes read of a sample description. */
const DESCRIPTION_BYTES = 4_096;
/** How many samples are read when their codec allows a different length for each. */
const SAMPLED_SIZES = 16;

interface Box {
  name: string;
  /** Of what it holds. */
  start: number;
  end: number;
}

async function* boxesOf(
  reader: RangeReader,
  from: number,
  end: number,
): AsyncGenerator<Box> {
  let at = from;
  for (let count = 0; count < MAX_BOXES && at + 8 <= end; count++) {
    const header = await reader.bytes(at, 16);
    if (header.length < 8) return;
    const view = viewOf(header);
    const short = view.getUint32(0);
    const isLong = short === 1 && header.length === 16;
    const size = short === 0
      ? end - at
      : isLong
      ? Number(view.getBigUint64(8))
      : short;
    if (size < (isLong ? 16 : 8)) return;
    const name = asciiAt(header, 4, 4);
    const next = Math.min(at + size, end);
    yield { name, start: at + (isLong ? 16 : 8), end: next };
    at = next;
  }
}

interface Track {
  id: number;
  isSound: boolean;
  timescale: number;
  samples: number;
  /** Total duration of all samples in their table, in timescale units. */
  duration: number;
  /** Duration that the edit list plays, in units of the movie's timescale. */
  edited: number;
  clock: PacketClock | null;
  /** The table of sample offsets, and the size of its entries. */
  places: { start: number; count: number; bytes: 4 | 8 } | null;
}

interface Movie {
  timescale: number;
  tracks: Track[];
}

async function readMovie(reader: RangeReader, moov: Box): Promise<Movie> {
  const movie: Movie = { timescale: 0, tracks: [] };
  for await (const box of boxesOf(reader, moov.start, moov.end)) {
    if (box.name === "mvhd") movie.timescale = await timescale(reader, box);
    if (box.name === "trak") {
      const track: Track = {
        id: 0,
        isSound: false,
        timescale: 0,
        samples: 0,
        duration: 0,
        edited: 0,
        clock: null,
        places: null,
      };
      await readTrack(reader, box, track);
      movie.tracks.push(track);
    }
  }
  return movie;
}

/** Boxes that hold the tables of a track. */
const HOLDERS: readonly string[] = ["mdia", "minf", "stbl", "edts"];

async function readTrack(
  reader: RangeReader,
  holder: Box,
  track: Track,
): Promise<void> {
  for await (const box of boxesOf(reader, holder.start, holder.end)) {
    if (HOLDERS.includes(box.name)) await readTrack(reader, box, track);
    const head = await reader.bytes(
      box.start,
      Math.min(24, box.end - box.start),
    );
    if (head.length < 12) continue;
    const view = viewOf(head);
    switch (box.name) {
      case "tkhd":
        track.id = view.getUint32(head[0] === 1 && head.length >= 24 ? 20 : 12);
        break;
      case "mdhd":
        track.timescale = await timescale(reader, box);
        break;
      case "hdlr":
        track.isSound ||= asciiAt(head, 8, 4) === "soun";
        break;
      case "stsz":
      case "stz2":
        track.samples = view.getUint32(8);
        break;
      case "stts":
        track.duration = await tableOf(
          reader,
          box,
          8,
          (entry) => entry.getUint32(0) * entry.getUint32(4),
        );
        break;
      case "elst":
        track.edited = head[0] === 1
          ? await tableOf(
            reader,
            box,
            20,
            (entry) => Number(entry.getBigUint64(0)),
          )
          : await tableOf(reader, box, 12, (entry) => entry.getUint32(0));
        break;
      case "stsd": {
        const entry = await reader.bytes(
          box.start + 8,
          Math.min(DESCRIPTION_BYTES, box.end - box.start - 8),
        );
        track.clock = sampleClock(asciiAt(entry, 4, 4), entry.subarray(8));
        break;
      }
      case "stco":
      case "co64":
        track.places = {
          start: box.start + 8,
          count: view.getUint32(4),
          bytes: box.name === "stco" ? 4 : 8,
        };
        break;
    }
  }
}

/** The third field of `mvhd` and `mdhd`, after two fields of 32 or 64 bits. */
async function timescale(reader: RangeReader, box: Box): Promise<number> {
  const head = await reader.bytes(box.start, 24);
  if (head.length < 24) return 0;
  return viewOf(head).getUint32(head[0] === 1 ? 20 : 12);
}

/** Sums a table of version, entry count and entries. @throws {LengthUnreadable} when it has too many entries. */
async function tableOf(
  reader: RangeReader,
  box: Box,
  entryBytes: number,
  valueOf: (entry: DataView) => number,
): Promise<number> {
  const head = await reader.bytes(box.start, 8);
  const count = head.length < 8 ? 0 : viewOf(head).getUint32(4);
  if (count > MAX_ENTRIES) throw new LengthUnreadable("a table is too long");
  const bytes = await reader.bytes(
    box.start + 8,
    Math.min(count * entryBytes, box.end - box.start - 8),
  );
  let sum = 0;
  for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) {
    sum += valueOf(viewOf(bytes.subarray(at, at + entryBytes)));
  }
  return sum;
}

/**
 * Counts the samples: a decoder plays them one after the other and may ignore the duration table.
 *
 * @throws {LengthUnreadable} when the track's codec is unknown.
 */
async function secondsOfSamples(
  reader: RangeReader,
  track: Track,
  random: () => number,
): Promise<number> {
  const { clock, places, samples, timescale } = track;
  const declared = timescale > 0 ? track.duration / timescale : 0;
  if (!track.isSound || samples === 0) return declared;
  if (clock === null) throw new LengthUnreadable("of no known codec");
  // Most codecs use one length for all samples; for the others, the longest of some random samples is used for all.
  let each = clock(new Uint8Array(0), 0);
  if (each === 0 && places !== null && places.count > 0) {
    for (let count = 0; count < SAMPLED_SIZES; count++) {
      const entry = await reader.bytes(
        places.start + Math.floor(random() * places.count) * places.bytes,
        places.bytes,
      );
      if (entry.length < places.bytes) break;
      const view = viewOf(entry);
      const place = places.bytes === 4
        ? view.getUint32(0)
        : Number(view.getBigUint64(0));
      const head = await reader.bytes(place, PACKET_HEAD_BYTES);
      each = Math.max(each, clock(head, head.length));
    }
  }
  return Math.max(declared, samples * each);
}

/**
 * The seconds of the longest audio track, or of the longest track if there is no audio; null when neither can be read.
 *
 * @throws {LengthUnreadable} when it needs too many reads, or the audio codec is unknown.
 */
export async function mp4Seconds(
  reader: RangeReader,
  from: number,
  random: () => number,
): Promise<number | null> {
  let movie: Movie | null = null;
  let fragmentsAt: number | null = null;
  for await (const box of boxesOf(reader, from, reader.size)) {
    if (box.name === "moov") movie ??= await readMovie(reader, box);
    if (box.name === "moof") {
      fragmentsAt = box.start - 8;
      break;
    }
  }
  if (movie === null) return null;
  const sound = movie.tracks.filter(({ isSound }) => isSound);
  const tracks = sound.length > 0 ? sound : movie.tracks;
  let seconds = 0;
  for (const track of tracks) {
    seconds = Math.max(seconds, await secondsOfSamples(reader, track, random));
    if (fragmentsAt === null && movie.timescale > 0) {
      seconds = Math.max(seconds, track.edited / movie.timescale);
    }
  }
  if (fragmentsAt !== null) {
    const clocks = new Map(tracks.map(({ id, clock }) => [id, clock]));
    const more = await secondsOfFragments(reader, fragmentsAt, clocks, random);
    if (more === null) return null;
    seconds += more;
  }
  return seconds > 0 ? seconds : null;
}
