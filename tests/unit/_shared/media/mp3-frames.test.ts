import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import decode from "@audio/decode";
import fc from "../../../_support/fast-check.ts";
import {
  Mp3Error,
  Mp3Frames,
} from "../../../../supabase/functions/_shared/media/mp3-frames.ts";

const speech = await Deno.readFile(
  new URL("../../../fixtures/recordings/speech-24s.mp3", import.meta.url),
);
const text = (value: string) => new TextEncoder().encode(value);

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function soundOf(bytes: Uint8Array, sizes: number[] = [4096]) {
  const frames = new Mp3Frames();
  const parts: Uint8Array[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 4096;
    parts.push(frames.add(bytes.subarray(at, at + size)));
    at += size;
  }
  frames.end();
  return { bytes: concat(...parts), frames };
}

async function decodedSeconds(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const { channelData, sampleRate } = await decode(bytes);
  return (channelData[0]?.length ?? 0) / sampleRate;
}

Deno.test("Mp3Frames: keeps the sound of a recording, and drops its tag and its Info frame", async () => {
  assertEquals(new TextDecoder().decode(speech.subarray(0, 3)), "ID3");
  const { bytes, frames } = soundOf(speech);
  assert(bytes.length < speech.length);
  assertEquals([bytes[0], frames.format], [0xff, {
    sampleRate: 22_050,
    channels: 1,
  }]);
  assert(
    !new TextDecoder("latin1").decode(bytes.subarray(0, 400)).match(
      /Xing|Info/,
    ),
  );
  assertAlmostEquals(frames.seconds, await decodedSeconds(bytes), 0.1);
  assertAlmostEquals(frames.seconds, 24.8, 0.1);
});

Deno.test("Mp3Frames: two recordings, one after the other, decode to the sum of both", async () => {
  const one = soundOf(speech);
  assertAlmostEquals(
    await decodedSeconds(concat(one.bytes, one.bytes)),
    2 * one.frames.seconds,
    0.1,
  );
});

Deno.test("Mp3Frames: tags before and after the sound, and zeros between, are left out", () => {
  const plain = soundOf(speech).bytes;
  const id3v2 = concat(
    text("ID3"),
    Uint8Array.of(4, 0, 0, 0, 0, 1, 2),
    new Uint8Array(130),
  );
  const id3v1 = concat(text("TAG"), new Uint8Array(125).fill(65));
  const ape = concat(text("APETAGEX"), new Uint8Array(60).fill(7));
  assertEquals(
    soundOf(concat(id3v2, new Uint8Array(9), plain, id3v1)).bytes,
    plain,
  );
  assertEquals(soundOf(concat(plain, ape)).bytes, plain);
});

Deno.test("Mp3Frames: the result does not depend on the chunks of the stream", () => {
  const beginning = speech.subarray(0, 20_000);
  const whole = new Mp3Frames().add(beginning);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5000 }), {
        minLength: 1,
        maxLength: 8,
      }),
      (sizes) => {
        const frames = new Mp3Frames();
        const parts: Uint8Array[] = [];
        let at = 0;
        for (let turn = 0; at < beginning.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          parts.push(frames.add(beginning.subarray(at, at + size)));
          at += size;
        }
        assertEquals(concat(...parts), whole);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("Mp3Frames: anything but MP3 is refused, always with an Mp3Error", () => {
  for (
    const no of [text("<html>bad gateway</html>"), text("RIFF....WAVEfmt ")]
  ) {
    assertThrows(() => new Mp3Frames().add(no), Mp3Error);
  }
  assertThrows(() => new Mp3Frames().end(), Mp3Error, "no frame");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
      try {
        soundOf(bytes, [77]);
      } catch (error) {
        assert(error instanceof Mp3Error, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("Mp3Frames: a stream that ends inside a frame is an error, a whole one is not", () => {
  const { bytes } = soundOf(speech);
  assertThrows(
    () => soundOf(bytes.subarray(0, bytes.length - 1)),
    Mp3Error,
    "middle",
  );
});
