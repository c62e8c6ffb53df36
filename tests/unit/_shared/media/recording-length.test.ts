/** The length of a recording, measured by its own frames, packets and samples. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  assumedLength,
  MAX_ASSUMED_SECONDS,
  recordingInMemory,
  recordingLength,
} from "../../../../supabase/functions/_shared/media/recording-length.ts";
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
} from "../../../_support/made-recordings.ts";

const measure = (bytes: Uint8Array) =>
  recordingLength(sourceOf(bytes), evenRandom());

/** Fails unless the length is measured and not too short; encoders pad the first and last frame. */
function assertLength(
  { seconds, isMeasured }: { seconds: number; isMeasured: boolean },
  expected: number,
  what: string,
): void {
  assert(isMeasured, `${what}: only assumed`);
  assert(
    seconds >= Math.floor(expected) && seconds <= Math.ceil(expected) + 1,
    `${what}: ${seconds} s instead of ${expected}`,
  );
}

for (
  const [file, seconds] of [
    ["recordings/speech-24s.mp3", 24.73],
    ["recordings/speech-12s.wav", 12],
    ["recordings/speech.m4a", 12],
    ["recordings/speech.ogg", 12],
    ["recordings/speech.webm", 12],
    ["recordings/speech-3s.aac", 3],
    ["recordings/speech-3s.flac", 3],
    ["recordings/speech-3s.mov", 3],
    ["recordings/speech-3s.3gp", 3],
    ["recordings/speech-1s.aiff", 1],
    // Its Xing header still states 24.8 s.
    ["recordings/truncated.mp3", 0.08],
    ["recordings/truncated.wav", 0.25],
    ["films/talking-photo.mp4", 5],
  ] as const
) {
  Deno.test(`recordingLength: ${file} lasts ${seconds} s`, async () => {
    const bytes = await Deno.readFile(
      new URL(`../../../fixtures/${file}`, import.meta.url),
    );
    assertLength(await measure(bytes), seconds, file);
  });
}

/** Recordings of ten minutes. */
const MADE: Record<string, () => Promise<Uint8Array> | Uint8Array> = {
  "WAV": () => wav(600),
  "MP3 of a high rate": () => mp3(600, 320),
  "MP3 behind a large tag": () => mp3(600, 32, { tagBytes: 300_000 }),
  "AAC in ADTS": () => adts(600, 200),
  "AMR": () => amr(600),
  "FLAC": () => flac(600, 1_500),
  "Opus in Ogg": () => muxed("ogg", "opus", 600, { packetBytes: 60 }),
  "WebM from a browser": () => muxed("webm", "opus", 600, { packetBytes: 60 }),
  "dense WebM": () => muxed("webm", "opus", 600, { packetBytes: 300 }),
  "M4A from a phone": () => muxed("mp4", "aac", 600, { packetBytes: 80 }),
  "dense M4A": () => muxed("mp4", "aac", 600, { packetBytes: 600 }),
  "M4A with its index in front": () =>
    muxed("mp4WithIndexInFront", "aac", 600, { packetBytes: 300 }),
  "MP4 from a browser": () =>
    muxed("fragmentedMp4", "aac", 600, { packetBytes: 300 }),
  "MP4 with Opus from a browser": () =>
    muxed("fragmentedMp4", "opus", 600, { packetBytes: 80 }),
  "Opus in MP4": () => muxed("mp4", "opus", 600, { packetBytes: 80 }),
  "QuickTime": () => muxed("mov", "aac", 600, { packetBytes: 300 }),
};

for (const [what, make] of Object.entries(MADE)) {
  Deno.test(`recordingLength: ten minutes of ${what} are ten minutes`, async () => {
    assertLength(await measure(await make()), 600, what);
  });
}

Deno.test("recordingLength: the sound of a film is measured, however large its pictures are", async () => {
  const film = await muxed("webm", "opus", 20, {
    packetBytes: 200,
    film: true,
  });
  assertLength(await measure(film), 20, "film");
});

/** The first position of these bytes. */
function indexOf(bytes: Uint8Array, wanted: readonly number[]): number {
  for (let at = 0; at < bytes.length; at++) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  throw new Error("not there");
}

const ascii = (text: string) => [...new TextEncoder().encode(text)];

/** Recordings too long to be read in full: head, a repeated body, and the seconds of the body. */
const LONG: Record<
  string,
  () => Promise<[head: Uint8Array, body: Uint8Array, seconds: number]>
> = {
  "MP3": () => Promise.resolve([new Uint8Array(0), mp3(60, 128), 60]),
  "MP3 of two rates": () =>
    Promise.resolve([
      new Uint8Array(0),
      joined(mp3(3, 320), mp3(3, 32)),
      6,
    ]),
  "AAC in ADTS": () => Promise.resolve([new Uint8Array(0), adts(60, 300), 60]),
  "FLAC": () => {
    const bytes = flac(60, 5_000);
    return Promise.resolve([bytes.subarray(0, 42), bytes.subarray(42), 60]);
  },
  "Ogg": async () => [
    new Uint8Array(0),
    await muxed("ogg", "opus", 60, { packetBytes: 200 }),
    60,
  ],
  "WebM": async () => {
    const bytes = await muxed("webm", "opus", 60, { packetBytes: 200 });
    const at = indexOf(bytes, [0x1f, 0x43, 0xb6, 0x75]);
    return [bytes.subarray(0, at), bytes.subarray(at), 60];
  },
  "film as WebM": async () => {
    const bytes = await muxed("webm", "opus", 20, {
      packetBytes: 200,
      film: true,
    });
    const at = indexOf(bytes, [0x1f, 0x43, 0xb6, 0x75]);
    return [bytes.subarray(0, at), bytes.subarray(at), 20];
  },
  "MP4 from a browser": async () => {
    const bytes = await muxed("fragmentedMp4", "aac", 60, {
      packetBytes: 400,
    });
    const at = indexOf(bytes, ascii("moof")) - 4;
    const end = indexOf(bytes, ascii("mfra")) - 4;
    return [bytes.subarray(0, at), bytes.subarray(at, end), 60];
  },
};

for (const [what, make] of Object.entries(LONG)) {
  Deno.test(`recordingLength: 150 MB of ${what} are measured by samples, never too short`, async () => {
    const [head, body, each] = await make();
    const count = Math.ceil(150_000_000 / body.length);
    const reads: Reads = { count: 0, bytes: 0 };
    const source = longSource(head, body, count, reads);
    const { seconds, isMeasured } = await recordingLength(
      source,
      evenRandom(),
    );
    const expected = each * count;
    assert(isMeasured);
    assert(
      seconds >= expected * 0.98 && seconds <= expected * 1.35,
      `${seconds} s instead of ${expected}`,
    );
    assert(reads.count <= 70, `${reads.count} reads`);
    assert(reads.bytes <= 8_000_000, `${reads.bytes} bytes`);
  });
}

Deno.test("recordingLength: of WAV and MP4 only a few pieces are read, however large they are", async () => {
  for (
    const bytes of [
      wav(600),
      await muxed("mp4", "aac", 600, { packetBytes: 600 }),
    ]
  ) {
    const reads: Reads = { count: 0, bytes: 0 };
    await recordingLength(sourceOf(bytes, reads), evenRandom());
    assert(reads.count <= 10 && reads.bytes <= 50_000, JSON.stringify(reads));
  }
});

Deno.test("recordingLength: an unreadable file counts as densely coded speech, marked as an estimate", async () => {
  for (const text of ["", "only text", "fLaC without anything after it"]) {
    assertEquals(await measure(new TextEncoder().encode(text)), {
      seconds: 1,
      isMeasured: false,
    });
  }
  const noise = new Uint8Array(75_000).fill(0x42);
  assertEquals(await measure(noise), { seconds: 100, isMeasured: false });
  assertEquals(assumedLength(75_000), { seconds: 100, isMeasured: false });
  assertEquals(assumedLength(5e9).seconds, MAX_ASSUMED_SECONDS);
});

Deno.test("recordingInMemory: a Blob gets the same length as its bytes", async () => {
  const bytes = mp3(10, 64);
  assertEquals(
    await recordingLength(recordingInMemory(new Blob([bytes])), evenRandom()),
    await measure(bytes),
  );
});

Deno.test("recordingLength: throws the errors of the source", async () => {
  const source = {
    size: 1_000,
    read: () => Promise.reject(new RangeError("gone")),
  };
  await assertRejects(() => recordingLength(source, evenRandom()), RangeError);
});
