/** Any bytes as a recording: the length is within bounds, and found with bounded reads and steps. */
import { assert, assertRejects } from "@std/assert";
import fc from "../../_support/fast-check.ts";
import {
  countFrames,
  type FrameFormat,
  MAX_STEPS,
} from "../../../supabase/functions/_shared/media/lengths/frames.ts";
import { oggFrames } from "../../../supabase/functions/_shared/media/lengths/ogg.ts";
import {
  LengthUnreadable,
  RangeReader,
  READ_LIMITS,
} from "../../../supabase/functions/_shared/media/lengths/range-reader.ts";
import {
  ADTS_FRAMES,
  amrFrames,
  flacFrames,
  MP3_FRAMES,
} from "../../../supabase/functions/_shared/media/lengths/raw-frames.ts";
import { webmFrames } from "../../../supabase/functions/_shared/media/lengths/webm.ts";
import {
  MAX_SECONDS,
  recordingLength,
} from "../../../supabase/functions/_shared/media/recording-length.ts";
import {
  adts,
  amr,
  evenRandom,
  flac,
  joined,
  longSource,
  mp3,
  muxed,
  type Reads,
  sourceOf,
  wav,
} from "../../_support/made-recordings.ts";

const aiff = await Deno.readFile(
  new URL("../../fixtures/recordings/speech-1s.aiff", import.meta.url),
);
const vorbis = await Deno.readFile(
  new URL("../../fixtures/recordings/speech.ogg", import.meta.url),
);
const REAL: readonly Uint8Array[] = [
  mp3(1, 64, { claims: 5, tagBytes: 50 }),
  adts(1, 200),
  amr(1),
  wav(1, { sampleRate: 8_000 }),
  aiff,
  vorbis,
  flac(1, 300),
  await muxed("ogg", "opus", 2, { packetBytes: 60 }),
  await muxed("webm", "opus", 2, { packetBytes: 60 }),
  await muxed("mp4", "aac", 2, { packetBytes: 80 }),
  await muxed("mp4", "opus", 2, { packetBytes: 80 }),
  await muxed("mov", "aac", 2, { packetBytes: 80 }),
  await muxed("fragmentedMp4", "aac", 3, { packetBytes: 80 }),
];

async function assertBounded(
  source: ReturnType<typeof sourceOf>,
  reads: Reads,
): Promise<void> {
  const { seconds } = await recordingLength(source, evenRandom());
  assert(
    Number.isSafeInteger(seconds) && seconds >= 1 && seconds <= MAX_SECONDS,
    `${seconds} s`,
  );
  assert(
    reads.count <= READ_LIMITS.reads && reads.bytes <= READ_LIMITS.bytes,
    JSON.stringify(reads),
  );
}

Deno.test("hostile recordings: cut, changed, repeated or random bytes have a length; no read passes their end", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...REAL),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.array(fc.tuple(fc.nat(4_000), fc.nat(255)), { maxLength: 12 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(2_000),
      async (real, cut, changes, noise, at) => {
        const bytes = joined(
          real.subarray(0, at),
          noise,
          real.subarray(at, Math.floor(real.length * cut)),
        );
        for (const [place, value] of changes) {
          if (place < bytes.length) bytes[place] = value;
        }
        const reads: Reads = { count: 0, bytes: 0 };
        await assertBounded(sourceOf(bytes, reads), reads);
      },
    ),
    { numRuns: 3_000 },
  );
});

Deno.test("hostile recordings: the same holds for half a gigabyte of each of them", async () => {
  const starts = [...REAL, new Uint8Array(64).fill(0xff)];
  for (const start of starts) {
    for (
      const body of [
        start,
        start.subarray(start.length >> 1),
        new Uint8Array(5_000),
        new Uint8Array(5_000).fill(0xff),
      ]
    ) {
      const reads: Reads = { count: 0, bytes: 0 };
      const count = Math.ceil(500_000_000 / body.length);
      await assertBounded(longSource(start, body, count, reads), reads);
    }
  }
});

/** An MP4 box. */
function box(name: string, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = joined(new Uint8Array(8), ...content);
  new DataView(bytes.buffer).setUint32(0, bytes.length);
  bytes.set(new TextEncoder().encode(name), 4);
  return bytes;
}

Deno.test("hostile recordings: nested boxes, endless chunks and endless tables are read to a limit only", async () => {
  const ftyp = box("ftyp", new TextEncoder().encode("M4A "), new Uint8Array(8));
  // Each box claims to contain the whole rest.
  const nested = new Uint8Array(8 * 200_000);
  const view = new DataView(nested.buffer);
  for (let at = 0; at < nested.length; at += 8) {
    view.setUint32(at, nested.length - at);
    nested.set(new TextEncoder().encode("mdia"), at + 4);
  }
  const row = joined(...Array.from({ length: 50_000 }, () => box("free")));
  const table = new Uint8Array(16);
  new DataView(table.buffer).setUint32(4, 0xffff_ffff);
  const chunks = new Uint8Array(12 + 8 * 100_000);
  chunks.set(new TextEncoder().encode("RIFF\0\0\0\0WAVE"));
  for (
    const bytes of [
      joined(ftyp, box("moov", box("trak", nested))),
      joined(ftyp, row),
      joined(ftyp, box("moov", row, row)),
      joined(ftyp, box("moov", box("trak", box("stts", table)))),
      chunks,
    ]
  ) {
    const reads: Reads = { count: 0, bytes: 0 };
    await assertBounded(sourceOf(bytes, reads), reads);
    assert(reads.count < READ_LIMITS.reads, `${reads.count} reads`);
  }
});

/** The same format with a counter of its calls. */
function counted(format: FrameFormat, steps: { count: number }): FrameFormat {
  return {
    ...format,
    frameAt(bytes, at, isEnd) {
      steps.count += 1;
      return format.frameAt(bytes, at, isEnd);
    },
  };
}

Deno.test("hostile recordings: bytes with only false frame starts are read to a limit only", async () => {
  const hostile = new Uint8Array(20_000_000).fill(0xff);
  const steps = { count: 0 };
  await assertRejects(
    () =>
      countFrames(
        new RangeReader(sourceOf(hostile)),
        counted(ADTS_FRAMES, steps),
        0,
      ),
    LengthUnreadable,
  );
  assert(steps.count < MAX_STEPS + 1_048_576 * 5, `${steps.count} steps`);
});

Deno.test("hostile recordings: no bytes cost more than a few steps each", async () => {
  const size = 200_000;
  const patterns = [
    Uint8Array.of(0xff),
    Uint8Array.of(0),
    Uint8Array.of(0xff, 0xf1, 0x50, 0x40, 0x01, 0x00),
    Uint8Array.of(0xff, 0xfb, 0x10, 0xc0),
    Uint8Array.of(0xff, 0xf8, 0xca, 0x08),
    Uint8Array.of(0x3c),
    // Small elements, and empty elements.
    Uint8Array.of(0xa3, 0x84, 0x81, 0, 0, 0x80),
    Uint8Array.of(0xec, 0x80),
    Uint8Array.of(0xa0, 0x80),
    new TextEncoder().encode("OggS\0\0"),
    mp3(1, 32).subarray(0, 104),
    flac(1, 20).subarray(42),
  ];
  const webm = await muxed("webm", "opus", 1, { packetBytes: 60 });
  const ogg = await muxed("ogg", "opus", 1, { packetBytes: 60 });
  for (const pattern of patterns) {
    const hostile = new Uint8Array(size).map((_, at) =>
      pattern[at % pattern.length] ?? 0
    );
    const formats: [FrameFormat | null, Uint8Array][] = [
      [MP3_FRAMES, hostile],
      [ADTS_FRAMES, hostile],
      [amrFrames("narrow"), hostile],
      [flacFrames(48_000), hostile],
      [
        await oggFrames(new RangeReader(sourceOf(ogg)), 0),
        joined(ogg, hostile),
      ],
      [
        await webmFrames(new RangeReader(sourceOf(webm)), 0),
        joined(webm, hostile),
      ],
    ];
    for (const [format, bytes] of formats) {
      assert(format !== null);
      const steps = { count: 0 };
      await countFrames(
        new RangeReader(sourceOf(bytes)),
        counted(format, steps),
        0,
      );
      assert(
        steps.count <= bytes.length * (format.proof + 1),
        `${steps.count} steps for ${bytes.length} bytes`,
      );
    }
  }
});
