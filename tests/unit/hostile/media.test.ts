/** Files with a false content type are never stored under it, in any chunks and with any declared size. */
import { createClient } from "@supabase/supabase-js";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { JobFailure } from "../../../supabase/functions/_shared/failures/job-failure.ts";
import {
  CHECKED_TYPES,
  type CheckedType,
  createFileCheck,
} from "../../../supabase/functions/_shared/media/file-check.ts";
import { inputTypeOf } from "../../../supabase/functions/_shared/media/input-type.ts";
import {
  Mp3Error,
  Mp3Frames,
} from "../../../supabase/functions/_shared/media/mp3-frames.ts";
import { storeOutput } from "../../../supabase/functions/_shared/storage/outputs.ts";
import fc from "../../_support/fast-check.ts";
import { reportCases, tryCases } from "../../_support/try-cases.ts";

const from = (path: string) =>
  Deno.readFile(new URL(`../../../${path}`, import.meta.url));
const text = (value: string) => new TextEncoder().encode(value);
const latin = (value: string) =>
  Uint8Array.from(value, (letter) => letter.charCodeAt(0));
function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const mp3 = (await from("tests/fixtures/recordings/speech-24s.mp3")).slice(
  0,
  20_000,
);
/** Real files, or ones that are real enough for the checks. */
const REAL: Record<CheckedType, Uint8Array> = {
  "audio/mpeg": wholeFrames(mp3),
  "audio/wav": await wav(),
  "video/mp4": await from("tests/fixtures/films/talking-photo.mp4"),
  "application/pdf": text(`%PDF-1.7\n${"x".repeat(3000)}\n%%EOF\n`),
  "application/json": text(JSON.stringify({ text: "y".repeat(3000) })),
  "text/plain": text(`1\n00:00:00,000 --> 00:00:01,000\n${"Hi ".repeat(300)}`),
};
const PICTURES = {
  png: await from("tests/fixtures/portraits/face.png"),
  jpeg: await from("tests/fixtures/portraits/face.jpg"),
};
const HTML = text("<!doctype html><title>502 Bad Gateway</title>");

function wholeFrames(bytes: Uint8Array): Uint8Array {
  return new Mp3Frames().add(bytes);
}

/** A short recording with a correct header. */
async function wav(): Promise<Uint8Array> {
  const bytes = (await from("tests/fixtures/recordings/speech-12s.wav")).slice(
    0,
    8000,
  );
  new DataView(bytes.buffer).setUint32(4, bytes.length - 8, true);
  return bytes;
}

/** The first problem, with the file in pieces of this size. */
function verdict(
  type: CheckedType,
  bytes: Uint8Array,
  size = 997,
): string | null {
  const check = createFileCheck(type);
  for (let at = 0; at < bytes.length; at += size) {
    const problem = check.add(bytes.subarray(at, at + size));
    if (problem !== null) return problem;
  }
  return check.end();
}

/** A Storage that keeps complete uploads, and counts all bytes that it receives. */
function storage() {
  const kept: string[] = [];
  let received = 0;
  const supabase = createClient<Database>(
    "https://project.test",
    "sb_secret_0123456789",
    {
      auth: { persistSession: false, autoRefreshToken: false },
      global: {
        fetch: async (input, init) => {
          const body = new Response(init?.body ?? null).body;
          for await (const part of body ?? []) received += part.byteLength;
          kept.push(String(input));
          return Response.json({ Id: "1", Key: "k" });
        },
      },
    },
  );
  return {
    kept,
    received: () => received,
    store: (contentType: CheckedType, body: ReadableStream<Uint8Array>) =>
      storeOutput(supabase, {
        userId: "00000000-0000-4000-8000-0000000000aa",
        jobId: "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11",
        fileName: "file",
        contentType,
        body,
        maxBytes: 100_000,
        signal: new AbortController().signal,
      }),
  };
}

function inPieces(
  bytes: Uint8Array,
  sizes: readonly number[],
): ReadableStream<Uint8Array> {
  let at = 0;
  let turn = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      const size = sizes[turn++ % sizes.length] ?? bytes.length;
      controller.enqueue(bytes.slice(at, at + size));
      at += size;
    },
  });
}

const pieces = fc.array(fc.integer({ min: 1, max: 5000 }), {
  minLength: 1,
  maxLength: 4,
});
const ofType = fc.constantFrom(...CHECKED_TYPES);
const binaryTypes = CHECKED_TYPES.filter((type) => type !== "text/plain");

/** Files that are not of their claimed type, by the kind of fault. */
const falseFiles: fc.Arbitrary<{ type: CheckedType; bytes: Uint8Array }> = fc
  .oneof(
    // An empty file.
    fc.record({ type: ofType, bytes: fc.constant(new Uint8Array()) }),
    // Random bytes.
    fc.record({
      type: fc.constantFrom(...binaryTypes),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 600 }),
    }).filter(({ type, bytes }) =>
      // Two letters may happen to be JSON.
      type !== "application/json" ||
      !/^\s*[[{]/.test(String.fromCharCode(...bytes))
    ),
    // A valid file of another type, or an error page.
    fc.record({
      type: fc.constantFrom(...binaryTypes),
      other: fc.constantFrom<Uint8Array>(
        ...Object.values(REAL),
        ...Object.values(PICTURES),
        HTML,
      ),
    }).filter(({ type, other }) => REAL[type] !== other)
      .map(({ type, other }) => ({ type, bytes: other })),
    // A truncated file.
    fc.constantFrom(
      ...binaryTypes.filter((type) => type !== "application/json"),
    ).chain((type) =>
      fc.nat((REAL[type].length) - 8).map((length) => ({
        type,
        bytes: REAL[type].slice(0, length),
      }))
    ).filter(({ type, bytes }) =>
      // An MP3 that is cut between two frames is valid.
      type !== "audio/mpeg" || verdict(type, bytes, 1) !== null
    ),
    // Two files in one: the beginning of its type, and something else after it.
    fc.record({
      type: fc.constantFrom<CheckedType>(
        "audio/mpeg",
        "video/mp4",
        "application/json",
      ),
      second: fc.constantFrom<Uint8Array>(
        HTML,
        PICTURES.png,
        text("PK\u0003\u0004 and so on"),
        text("#!/bin/sh\necho"),
        REAL["application/pdf"],
      ),
    }).map(({ type, second }) => ({ type, bytes: concat(REAL[type], second) })),
    fc.record({
      type: fc.constantFrom(...binaryTypes),
      first: fc.constantFrom<Uint8Array>(
        HTML,
        PICTURES.png,
        text("GIF89a"),
        text("\n"),
        text("#!"),
      ),
    }).filter(({ type, first }) =>
      // A JSON parser ignores leading space.
      type !== "application/json" || first[0] !== 0x0a
    ).map(({ type, first }) => ({ type, bytes: concat(first, REAL[type]) })),
    // A header that claims more bytes than the file has, or an impossible number.
    fc.constantFrom<{ type: CheckedType; bytes: Uint8Array }>(
      { type: "audio/mpeg", bytes: latin("ID3\x04\0\0\x7f\x7f\x7f\x7f") },
      { type: "audio/mpeg", bytes: latin("ID3\x04\0\x10\x7f\x7f\x7f\x7fab") },
      { type: "audio/wav", bytes: latin("RIFF\xfe\xff\xff\xffWAVEfmt ") },
      { type: "audio/wav", bytes: latin("RIFF\xff\xff\xff\x7fWAVEfmt ") },
      { type: "video/mp4", bytes: latin("\xff\xff\xff\xffftypisom") },
      {
        type: "video/mp4",
        bytes: latin("\0\0\0\x01ftyp\xff\xff\xff\xff\xff\xff\xff\xffisom"),
      },
      {
        type: "video/mp4",
        bytes: latin("\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x07moov"),
      },
      { type: "video/mp4", bytes: latin("\0\0\0\0ftypisom") },
      { type: "video/mp4", bytes: latin("\0\0\0\x01ftyp\0\0\0\0\0\0\0\0") },
    ),
  );

Deno.test("createFileCheck: twin: real files pass, in pieces of any size", async () => {
  await tryCases(
    "real files",
    fc.tuple(ofType, fc.integer({ min: 1, max: 25_000 })),
    300,
    ([type, size]) => assertEquals(verdict(type, REAL[type], size), null),
  );
});

Deno.test("createFileCheck: a false file is refused, in pieces of any size", async () => {
  await tryCases(
    "false files",
    fc.tuple(falseFiles, fc.integer({ min: 1, max: 3000 })),
    5000,
    ([{ type, bytes }, size]) => {
      const problem = verdict(type, bytes, size);
      // An empty file is refused when it is stored.
      assert(problem !== null || bytes.length === 0, `${type} passes`);
    },
  );
});

Deno.test("storeOutput: a file with a false length is never stored, and the failure names the length", async () => {
  const { store, kept } = storage();
  await tryCases(
    "storeOutput",
    fc.tuple(falseFiles, pieces),
    3000,
    async ([{ type, bytes }, sizes]) => {
      const failure = await assertRejects(
        () => store(type, inPieces(bytes, sizes)),
        JobFailure,
      );
      assertEquals(failure.code, "output_invalid");
    },
  );
  assertEquals(kept, []);
  const { bytes } = await store(
    "video/mp4",
    inPieces(REAL["video/mp4"], [1000]),
  );
  assertEquals([bytes, kept.length], [REAL["video/mp4"].length, 1]);
});

Deno.test("storeOutput: an endless file is aborted as soon as it is too large", async () => {
  const { store, kept, received } = storage();
  let made = 0;
  const frame = REAL["audio/mpeg"];
  const failure = await assertRejects(
    () =>
      store(
        "audio/mpeg",
        new ReadableStream({
          pull(controller) {
            made += frame.length;
            controller.enqueue(frame);
          },
        }),
      ),
    JobFailure,
  );
  assertEquals(failure.code, "output_too_large");
  assert(received() <= 100_000 && made < 200_000, `${received()} ${made}`);
  assertEquals(kept, []);
});

Deno.test("Mp3Frames: any bytes give frames or an Mp3Error, in little memory", async () => {
  const spoilt = fc.record({
    start: fc.nat(REAL["audio/mpeg"].length - 1),
    changes: fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { maxLength: 12 }),
    tag: fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 })),
  }).map(({ start, changes, tag }) => {
    const bytes = REAL["audio/mpeg"].slice(start, start + 4000);
    for (const [at, value] of changes) {
      if (at < bytes.length) bytes[at] = value;
    }
    return tag === null
      ? bytes
      : concat(latin("ID3\x04\0\0"), tag.map((byte) => byte & 0x7f), bytes);
  });
  await tryCases(
    "Mp3Frames",
    fc.oneof(spoilt, fc.uint8Array({ maxLength: 400 })),
    4000,
    (bytes) => {
      const frames = new Mp3Frames();
      try {
        const sound = frames.add(bytes);
        assert(sound.length <= bytes.length);
        frames.end();
        assert(frames.frames > 0 && frames.seconds > 0);
      } catch (error) {
        assert(error instanceof Mp3Error, String(error));
      }
    },
  );
});

Deno.test("inputTypeOf: the first bytes of a file decide its type, not its name", async () => {
  await tryCases(
    "inputTypeOf",
    fc.uint8Array({ maxLength: 64 }),
    5000,
    (head) => {
      const found = inputTypeOf(head);
      if (found === null) return;
      assert(
        /^(audio\/(mpeg|aac|wav|aiff|mp4|3gpp|flac|ogg|webm|amr)|image\/(jpeg|png|webp)|video\/quicktime|application\/pdf)$/
          .test(found.mimeType),
      );
    },
  );
  const lies: [Uint8Array, string | null][] = [
    [PICTURES.png, "image/png"],
    [PICTURES.jpeg, "image/jpeg"],
    [concat(text("GIF89a"), PICTURES.png), null],
    [concat(HTML, REAL["audio/mpeg"]), null],
    [text("%PDF-1.7"), "application/pdf"],
    [text("<svg onload=alert(1)>"), null],
    [new Uint8Array(), null],
    [text("RIFFxxxxWEBP"), "image/webp"],
    [text("RIFFxxxxAVI "), null],
  ];
  for (const [bytes, mimeType] of lies) {
    assertEquals(inputTypeOf(bytes)?.mimeType ?? null, mimeType);
  }
  reportCases("inputTypeOf, lies", lies.length);
});
