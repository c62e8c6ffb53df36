/** Recordings that are forged to look shorter than they are. */
import { assert, assertEquals } from "@std/assert";
import { recordingLength } from "../../../../supabase/functions/_shared/media/recording-length.ts";
import {
  adts,
  amr,
  evenRandom,
  flac,
  joined,
  longSource,
  mp3,
  muxed,
  sourceOf,
  wav,
} from "../../../_support/made-recordings.ts";

const secondsOf = async (bytes: Uint8Array) =>
  (await recordingLength(sourceOf(bytes), evenRandom())).seconds;

const SECONDS = 600;

/** Overwrites the bytes after every occurrence of the name. */
function rewritten(
  bytes: Uint8Array,
  name: string,
  offset: number,
  forged: readonly number[],
): Uint8Array {
  const copy = bytes.slice();
  const wanted = new TextEncoder().encode(name);
  let found = 0;
  for (let at = 0; at < copy.length; at++) {
    if (wanted.every((byte, index) => copy[at + index] === byte)) {
      copy.set(forged, at + offset);
      found += 1;
    }
  }
  assert(found > 0, `${name} does not occur`);
  return copy;
}

const FORGED: Record<string, () => Uint8Array | Promise<Uint8Array>> = {
  "a WAV that claims 4 GB a second": () =>
    wav(SECONDS, { byteRate: 0xffff_ffff }),
  "a WAV whose blocks claim to be large": () =>
    wav(SECONDS, { blockAlign: 0xffff }),
  "a WAV that claims both": () =>
    wav(SECONDS, { blockAlign: 0xffff, byteRate: 0xffff_ffff }),
  "a WAV that claims to hold a second": () =>
    wav(SECONDS, { dataBytes: 32_000 }),
  "a WAV that claims to be empty": () => wav(SECONDS, { dataBytes: 0 }),
  "an MP3 whose Info frame claims one frame": () =>
    mp3(SECONDS, 32, { claims: 1 }),
  "an MP3 that begins with a second of a high rate": () =>
    joined(mp3(1, 320), mp3(SECONDS - 1, 32)),
  "a FLAC that claims one sample": () => flac(SECONDS, 1_000, { claims: 1 }),
  "a FLAC of silence": () => flac(SECONDS, 14, { claims: 1 }),
  "an M4A whose headers claim a second": async () =>
    rewritten(
      rewritten(
        await muxed("mp4", "aac", SECONDS, { packetBytes: 80 }),
        "mdhd",
        20,
        [0, 0, 0, 1],
      ),
      "mvhd",
      20,
      [0, 0, 0, 1],
    ),
  "an M4A whose table gives each sample one unit": async () =>
    rewritten(
      await muxed("mp4", "aac", SECONDS, { packetBytes: 80 }),
      "stts",
      16,
      [0, 0, 0, 1],
    ),
  "an M4A whose rate is 65 kHz outside its configuration": async () =>
    rewritten(
      await muxed("mp4", "aac", SECONDS, { packetBytes: 80 }),
      "mp4a",
      28,
      [0xff, 0xff],
    ),
  "Opus in MP4 whose table gives each packet one unit": async () =>
    rewritten(
      await muxed("mp4", "opus", SECONDS, { packetBytes: 80 }),
      "stts",
      16,
      [0, 0, 0, 1],
    ),
  "an Ogg whose granule positions are all zero": async () =>
    rewritten(
      await muxed("ogg", "opus", SECONDS, { packetBytes: 60 }),
      "OggS",
      6,
      [0, 0, 0, 0, 0, 0, 0, 0],
    ),
};

for (const [what, make] of Object.entries(FORGED)) {
  Deno.test(`recordingLength: ${what} gets its real length`, async () => {
    const seconds = await secondsOf(await make());
    assert(seconds >= SECONDS && seconds <= SECONDS + 2, `${seconds} s`);
  });
}

Deno.test("recordingLength: a WebM whose clusters all begin at zero gets its real length", async () => {
  const bytes = await muxed("webm", "opus", SECONDS, { packetBytes: 60 });
  let clusters = 0;
  for (let at = 0; at < bytes.length; at++) {
    // Cluster, its unknown size, and its Timestamp.
    const isCluster = [0x1f, 0x43, 0xb6, 0x75].every((byte, index) =>
      bytes[at + index] === byte
    );
    if (!isCluster) continue;
    const stamp = bytes.indexOf(0xe7, at + 4);
    const length = (bytes[stamp + 1] ?? 0) & 0x7f;
    bytes.fill(0, stamp + 2, stamp + 2 + length);
    clusters += 1;
  }
  assert(clusters > 1);
  const seconds = await secondsOf(bytes);
  assert(seconds >= SECONDS && seconds <= SECONDS + 2, `${seconds} s`);
});

Deno.test("recordingLength: a high rate at the beginning and end cannot hide a low rate in between", async () => {
  const body = mp3(60, 32);
  const source = longSource(mp3(300, 320), body, 400);
  const { seconds } = await recordingLength(source, evenRandom());
  assert(seconds >= 24_000, `${seconds} s`);
});

Deno.test("recordingLength: no length is below the size divided by the highest rate of the type", async () => {
  // Each has a single frame, or an impossible header, followed by bytes that no decoder plays.
  const rest = new Uint8Array(12_000_000);
  const cases: [Uint8Array, number][] = [
    [joined(mp3(1, 32), rest), 300],
    [joined(adts(1, 200), rest), 166],
    [joined(amr(1), rest.fill(0xff)), 3_934],
    [
      joined(
        wav(1, {
          sampleRate: 0xffff_fff0,
          channels: 0,
          byteRate: 0xffff_ffff,
          blockAlign: 0xffff,
        }),
        rest,
      ),
      7,
    ],
    [joined(flac(1, 1_000), rest.fill(0)), 7],
  ];
  for (const [bytes, least] of cases) {
    const seconds = await secondsOf(bytes);
    assert(seconds >= least, `${seconds} s instead of ${least}`);
  }
});

Deno.test("recordingLength: an edit list that repeats a recording counts each repetition", async () => {
  const bytes = await muxed("mp4WithIndexInFront", "aac", 10, {
    packetBytes: 80,
  });
  assertEquals(await secondsOf(withEdits(bytes, 60)), 600);
});

/** The same MP4 with an edit list of `count` times ten seconds in its track. */
function withEdits(bytes: Uint8Array, count: number): Uint8Array {
  const view = new DataView(bytes.buffer);
  const find = (name: string) => {
    const wanted = new TextEncoder().encode(name);
    for (let at = 0;; at++) {
      if (wanted.every((byte, index) => bytes[at + index] === byte)) {
        return at - 4;
      }
    }
  };
  const timescale = view.getUint32(find("mvhd") + 20);
  const table = new Uint8Array(24 + count * 12);
  const edits = new DataView(table.buffer);
  edits.setUint32(0, table.length);
  table.set(new TextEncoder().encode("edts"), 4);
  edits.setUint32(8, table.length - 8);
  table.set(new TextEncoder().encode("elst"), 12);
  edits.setUint32(20, count);
  for (let index = 0; index < count; index++) {
    edits.setUint32(24 + index * 12, 10 * timescale);
    edits.setUint32(32 + index * 12, 0x10000);
  }
  const track = find("trak");
  const longer = joined(
    bytes.subarray(0, track + 8),
    table,
    bytes.subarray(track + 8),
  );
  const sizes = new DataView(longer.buffer);
  for (const at of [find("moov"), track]) {
    sizes.setUint32(at, sizes.getUint32(at) + table.length);
  }
  return longer;
}
