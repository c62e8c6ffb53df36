/** How long a recording is taken to be before anybody has heard it. */
import { assert, assertEquals } from "@std/assert";
import fc from "../../../helpers/fast-check.ts";
import {
  SOUND_HEAD_BYTES,
  soundSeconds,
} from "../../../../supabase/functions/_shared/media/sound-length.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** RIFF, a chunk that some recorders put first, then the format with 32,000 bytes a second. */
function wavHead(bytesPerSecond: number): Uint8Array {
  const head = new Uint8Array(64);
  const view = new DataView(head.buffer);
  head.set(text("RIFF\0\0\0\0WAVEJUNK"), 0);
  view.setUint32(16, 3, true);
  head.set(text("fmt "), 24);
  view.setUint32(28, 16, true);
  view.setUint32(24 + 16, bytesPerSecond, true);
  return head;
}

/** Frames of MPEG 1 layer III, 128 kbit/s at 44,100 Hz: 417 bytes each. */
function mp3Head(tagBytes: number): Uint8Array {
  const head = new Uint8Array(tagBytes + 417 * 3);
  if (tagBytes > 0) head.set(text("ID3"), 0);
  for (let frame = 0; frame < 3; frame++) {
    head.set([0xff, 0xfb, 0x90, 0x00], tagBytes + frame * 417);
  }
  return head;
}

function flacHead(sampleRate: number, samples: number): Uint8Array {
  const head = new Uint8Array(42);
  head.set(text("fLaC"), 0);
  new DataView(head.buffer).setBigUint64(
    18,
    BigInt(sampleRate) << 44n | BigInt(samples),
  );
  return head;
}

Deno.test("soundSeconds: a WAV by its bytes per second, also behind another chunk", () => {
  assertEquals(soundSeconds(wavHead(32_000), 32_000 * 60), 60);
});

Deno.test("soundSeconds: an MP3 by its first frame, also behind a tag", () => {
  for (const tag of [0, 10, 2_000]) {
    const seconds = soundSeconds(mp3Head(tag), 16_000 * 60);
    assert(Math.abs(seconds - 60) <= 1, `${seconds} s with a tag of ${tag}`);
  }
});

Deno.test("soundSeconds: an MP3 of a varying rate by the number of frames that it begins with", () => {
  for (const word of ["Xing", "Info"]) {
    const head = mp3Head(0);
    head.set(text(word), 36);
    const view = new DataView(head.buffer);
    view.setUint32(40, 1);
    view.setUint32(44, 2_297);
    assertEquals(soundSeconds(head, 16_000 * 999), 61);
    view.setUint32(40, 0);
    assertEquals(soundSeconds(head, 16_000 * 60), 61, "it does not tell");
  }
});

Deno.test("soundSeconds: a FLAC by its number of samples, whatever its size", () => {
  assertEquals(soundSeconds(flacHead(48_000, 48_000 * 90), 5_000_000), 90);
});

Deno.test("soundSeconds: what says nothing of itself is taken for tightly packed speech", () => {
  assertEquals(soundSeconds(text("OggS"), 240_000), 60);
  assertEquals(soundSeconds(text("\0\0\0\x1cftypM4A "), 480_000), 60);
  assertEquals(soundSeconds(wavHead(0), 240_000), 60);
  assertEquals(soundSeconds(flacHead(0, 5), 240_000), 60);
});

Deno.test("soundSeconds: any bytes give a whole number from one to the size of the file", () => {
  const starts = ["", "RIFF\0\0\0\0WAVE", "ID3", "fLaC", "\0\0\0\x1cftyp"];
  fc.assert(
    fc.property(
      fc.constantFrom(...starts),
      fc.uint8Array({ maxLength: SOUND_HEAD_BYTES }),
      fc.integer({ min: 1, max: 5_000_000_000 }),
      (start, rest, bytes) => {
        const seconds = soundSeconds(
          Uint8Array.from([...text(start), ...rest]),
          bytes,
        );
        assert(Number.isSafeInteger(seconds));
        assert(seconds >= 1 && seconds <= bytes);
      },
    ),
    { numRuns: 2_000 },
  );
});
