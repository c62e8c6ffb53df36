/** The films of the simulated D-ID and HeyGen, read with independent MP4 and audio decoders. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
} from "@std/assert";
import decodeAudio from "@audio/decode";
import {
  ALL_FORMATS,
  BufferSource,
  type EncodedPacket,
  EncodedPacketSink,
  Input,
  type InputTrack,
} from "mediabunny";
import {
  type Film,
  FilmError,
  makeFilm,
} from "../../../dev/simulators/film/film.ts";
import { spokenSound } from "../../../dev/simulators/spoken.ts";
import { createFileCheck } from "../../../supabase/functions/_shared/media/file-check.ts";
import { recording } from "../_support/running-simulators.ts";

function photo(path: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(
    new URL(`../../fixtures/${path}`, import.meta.url),
  );
}

async function packetsOf(track: InputTrack): Promise<EncodedPacket[]> {
  const packets: EncodedPacket[] = [];
  if (track.isVideoTrack() || track.isAudioTrack()) {
    for await (const one of new EncodedPacketSink(track).packets()) {
      packets.push(one);
    }
  }
  return packets;
}

async function readTracks(bytes: Uint8Array<ArrayBuffer>) {
  using input = new Input({
    formats: ALL_FORMATS,
    source: new BufferSource(bytes),
  });
  const video = await input.getPrimaryVideoTrack();
  const audio = await input.getPrimaryAudioTrack();
  return {
    video: video && {
      codec: video.codec,
      width: video.displayWidth,
      height: video.displayHeight,
      codedWidth: Math.ceil(video.displayWidth / 16) * 16,
      seconds: await video.computeDuration(),
      packets: await packetsOf(video),
    },
    audio: audio && {
      codec: audio.codec,
      seconds: await audio.computeDuration(),
      packets: await packetsOf(audio),
    },
  };
}

async function filmTracks({ bytes }: Film) {
  const { video, audio } = await readTracks(bytes);
  assert(video !== null && audio !== null);
  return { video, audio };
}

/** The colour of a point of the film's first frame, read out of the uncompressed macroblocks. */
function colourAt(
  { video }: Awaited<ReturnType<typeof filmTracks>>,
  x: number,
  y: number,
): [red: number, green: number, blue: number] {
  const { width, height, codedWidth } = video;
  const data = video.packets[0]?.data ?? new Uint8Array();
  const column = Math.floor(x * width), row = Math.floor(y * height);
  const blocks = codedWidth / 16 * Math.ceil(height / 16);
  const block = Math.floor(row / 16) * (codedWidth / 16) +
    Math.floor(column / 16);
  // 384 samples each; two bytes before every macroblock except the first, and one byte after the last.
  const at = data.length - 1 - blocks * 386 + 2 + block * 386;
  const sample = (offset: number) => data[at + offset] ?? NaN;
  const luma = (sample((row % 16) * 16 + column % 16) - 16) * 255 / 219;
  const chroma = Math.floor(row % 16 / 2) * 8 + Math.floor(column % 16 / 2);
  const cb = (sample(256 + chroma) - 128) * 255 / 224;
  const cr = (sample(320 + chroma) - 128) * 255 / 224;
  return [
    Math.round(luma + 1.5748 * cr),
    Math.round(luma - 0.1873 * cb - 0.4681 * cr),
    Math.round(luma + 1.8556 * cb),
  ];
}

function assertColour(
  found: readonly number[],
  expected: readonly number[],
  what: string,
): void {
  const isNear = found.every((one, index) =>
    Math.abs(one - (expected[index] ?? NaN)) <= 12
  );
  assert(isNear, `${what}: ${found}, not ${expected}`);
}

for (
  const [name, codec] of [
    ["speech-24s.mp3", "mp3"],
    ["speech.m4a", "aac"],
    ["speech.webm", "opus"],
    ["speech-12s.wav", "flac"],
    ["speech.ogg", "flac"],
  ] as const
) {
  Deno.test(`film: from ${name} it has the same length and contains its sound as ${codec}`, async () => {
    const film = await makeFilm(photo("portraits/face.jpg"), recording(name));
    const check = createFileCheck("video/mp4");
    assertEquals([check.add(film.bytes), check.end()], [null, null]);
    const { video, audio } = await filmTracks(film);
    const given = await decodeAudio(recording(name));
    const seconds = (given.channelData[0]?.length ?? 0) / given.sampleRate;
    assertAlmostEquals(film.seconds, seconds, 0.1);
    assertAlmostEquals(video.seconds, seconds, 0.1);
    assertAlmostEquals(audio.seconds, seconds, 0.1);
    assertEquals([video.codec, audio.codec], ["avc", codec]);
    assertEquals([video.width, video.height], [320, 320]);
    if (codec === "flac") {
      const heard = await decodeAudio(film.bytes);
      assertEquals(heard.sampleRate, given.sampleRate);
      assertAlmostEquals(
        loudness(heard.channelData[0]),
        loudness(given.channelData[0]),
        1e-4,
      );
    } else {
      // The sound is not encoded again: the packets are those of the upload.
      const source = await readTracks(recording(name));
      assertEquals(
        audio.packets.map(({ data }) => data),
        source.audio?.packets.map(({ data }) => data),
      );
    }
  });
}

function loudness(samples: Float32Array = new Float32Array()): number {
  const sum = samples.reduce((sum, one) => sum + one * one, 0);
  return Math.sqrt(sum / samples.length);
}

Deno.test("film: from a text it has the length of the spoken text", async () => {
  const spoken = await spokenSound("So much. ".repeat(40));
  const film = await makeFilm(photo("portraits/face.png"), spoken);
  assertAlmostEquals(film.seconds, 24.1, 0.2);
});

for (let orientation = 1; orientation <= 8; orientation++) {
  Deno.test(`film: shows a photo of orientation ${orientation} upright`, async () => {
    const film = await filmTracks(
      await makeFilm(
        photo(`photos/quarters-orientation-${orientation}.jpg`),
        recording("speech.m4a"),
      ),
    );
    assertEquals([film.video.width, film.video.height], [60, 40]);
    for (
      const [x, y, ...colour] of [
        [0.25, 0.25, 255, 0, 0],
        [0.75, 0.25, 0, 255, 0],
        [0.25, 0.75, 0, 0, 255],
        [0.75, 0.75, 255, 255, 0],
      ] as const
    ) {
      assertColour(colourAt(film, x, y), colour, `${x}, ${y}`);
    }
  });
}

Deno.test("film: shows PNGs of every kind, with white behind transparent parts", async () => {
  const of = async (path: string) =>
    await filmTracks(await makeFilm(photo(path), recording("speech.m4a")));
  const plain = await of("photos/rgb.png");
  const middle = colourAt(plain, 0.25, 0.25);
  for (const name of ["rgb-16bit", "interlaced", "palette"]) {
    assertColour(
      colourAt(await of(`photos/${name}.png`), 0.25, 0.25),
      middle,
      name,
    );
  }
  for (const name of ["palette-transparent", "translucent"]) {
    const film = await of(`photos/${name}.png`);
    const corners = [[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]].map((
      [x = 0, y = 0],
    ) => colourAt(film, x, y));
    assert(
      corners.every((colour) => Math.max(...colour) > 120),
      `${name}: ${corners}`,
    );
  }
});

Deno.test("film: after its first frame nothing changes, and the frames are tiny", async () => {
  const { video } = await filmTracks(
    await makeFilm(photo("portraits/face.jpg"), recording("speech.m4a")),
  );
  const [first, ...more] = video.packets;
  assertEquals([first?.type, first?.data.length], [
    "key",
    4 + 1 + 4 + 400 * 386 - 2 + 1,
  ]);
  assertEquals(more.length, 119);
  assert(more.every(({ type, data }) => type === "delta" && data.length < 16));
});

Deno.test("film: an undecodable photo or recording is an error", async () => {
  const text = new TextEncoder().encode("this is neither");
  await assertRejects(
    () => makeFilm(text, recording("speech.m4a")),
    FilmError,
    "the photo cannot be decoded",
  );
  for (const name of ["text-named.mp3", "empty.mp3"]) {
    await assertRejects(
      () => makeFilm(photo("portraits/face.jpg"), recording(name)),
      FilmError,
      "the recording cannot be decoded",
    );
  }
});
