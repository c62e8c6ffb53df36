/** Readers of files that anybody may have made. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { deflateSync, inflateSync } from "node:zlib";
import fc from "../../../helpers/fast-check.ts";
import {
  JpegError,
  readJpeg,
} from "../../../../supabase/functions/process-ai-job/keepsake/jpeg.ts";
import {
  PngError,
  readPng,
} from "../../../../supabase/functions/process-ai-job/keepsake/png.ts";
import { readPhoto } from "./book.ts";

const MAX_UNPACKED = 1_000_000;

/** A file with some of its bytes changed, and perhaps cut. */
function spoilt(file: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.record({
    changes: fc.array(
      fc.tuple(fc.nat(file.length - 1), fc.nat(255)),
      { minLength: 1, maxLength: 8 },
    ),
    length: fc.oneof(fc.constant(file.length), fc.nat(file.length)),
  }).map(({ changes, length }) => {
    const bytes = file.slice();
    for (const [at, value] of changes) bytes[at] = value;
    return bytes.subarray(0, length);
  });
}

for (
  const name of ["quarters-orientation-6.jpg", "progressive.jpg", "cmyk.jpg"]
) {
  Deno.test(`readJpeg: ${name}, spoilt, is read or refused and nothing else`, async () => {
    const file = await readPhoto(name);
    let refused = 0;
    fc.assert(
      fc.property(spoilt(file), (bytes) => {
        try {
          const { width, height, orientation } = readJpeg(bytes);
          assert(width > 0 && height > 0);
          assert(orientation >= 1 && orientation <= 8);
        } catch (error) {
          assert(error instanceof JpegError, String(error));
          refused++;
        }
      }),
      { numRuns: 3000 },
    );
    assert(refused > 0);
  });
}

for (const name of ["rgb.png", "translucent.png", "palette-transparent.png"]) {
  Deno.test(`readPng: ${name}, spoilt, is read or refused and nothing else`, async () => {
    const file = await readPhoto(name);
    let refused = 0;
    fc.assert(
      fc.property(spoilt(file), (bytes) => {
        try {
          const { width, height } = readPng(bytes, MAX_UNPACKED);
          assert(width > 0 && height > 0);
        } catch (error) {
          assert(error instanceof PngError, String(error));
          refused++;
        }
      }),
      { numRuns: 3000 },
    );
    assert(refused > 0);
  });
}

Deno.test("readJpeg: grey, RGB and Adobe's CMYK are told apart; a file without its end is refused", async () => {
  const [grey, colour, cmyk] = await Promise.all(
    ["grey.jpg", "progressive.jpg", "cmyk.jpg"].map(readPhoto),
  );
  assert(grey && colour && cmyk);
  assertEquals(readJpeg(grey).colors, 1);
  assertEquals(readJpeg(colour).colors, 3);
  assertEquals([readJpeg(cmyk).colors, readJpeg(cmyk).isInverted], [4, true]);
  assertThrows(
    () => readJpeg(colour.subarray(0, colour.length - 2)),
    JpegError,
    "breaks off",
  );
});

/** A JPEG with a colour profile in front, in parts. */
function withProfile(file: Uint8Array, profile: Uint8Array, parts: number) {
  const size = Math.ceil(profile.length / parts);
  const segments = Array.from({ length: parts }, (_, index) => {
    const part = profile.subarray(index * size, (index + 1) * size);
    const length = 2 + 14 + part.length;
    return [
      ...[0xff, 0xe2, length >> 8, length & 255],
      ...new TextEncoder().encode("ICC_PROFILE\0"),
      ...[index + 1, parts],
      ...part,
    ];
  });
  // The order in the file says nothing.
  return new Uint8Array([
    ...file.subarray(0, 2),
    ...segments.reverse().flat(),
    ...file.subarray(2),
  ]);
}

Deno.test("readJpeg: a colour profile is put together from its parts, and ignored when it is for other colours or not whole", async () => {
  const file = await readPhoto("progressive.jpg");
  const profile = new Uint8Array(300).map((_, index) => index % 251);
  profile.set(new TextEncoder().encode("RGB "), 16);
  profile.set(new TextEncoder().encode("acsp"), 36);
  assertEquals(readJpeg(withProfile(file, profile, 3)).profile, profile);
  assertEquals(
    readJpeg(withProfile(await readPhoto("grey.jpg"), profile, 1)).profile,
    null,
  );
  const holed = withProfile(file, profile, 2);
  holed[2 + 4 + 13] = 7;
  assertEquals(readJpeg(holed).profile, null);
  assertEquals(readJpeg(file).profile, null);
});

/** A PNG of these rows, each with its filter in front. */
function pngOf(
  header: { width: number; height: number; bits: number; colorType: number },
  rows: Uint8Array,
): Uint8Array {
  const chunk = (name: string, data: Uint8Array) => {
    const bytes = new Uint8Array(12 + data.length);
    new DataView(bytes.buffer).setUint32(0, data.length);
    bytes.set(new TextEncoder().encode(name), 4);
    bytes.set(data, 8);
    return [...bytes];
  };
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, header.width);
  view.setUint32(4, header.height);
  head[8] = header.bits;
  head[9] = header.colorType;
  return new Uint8Array([
    ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
    ...chunk("IHDR", head),
    ...chunk("IDAT", new Uint8Array(deflateSync(rows))),
    ...chunk("IEND", new Uint8Array(0)),
  ]);
}

Deno.test("readPng: every filter of a row is undone, and transparency is laid on white", () => {
  // Two grey pixels with alpha a row: each row comes out as (100, 200) opaque, whatever its filter.
  const rows = [
    [0, 100, 255, 200, 255],
    [1, 100, 255, 100, 0],
    [2, 0, 0, 0, 0],
    [3, 50, 128, 50, 0],
    [4, 0, 0, 0, 0],
  ];
  const image = readPng(
    pngOf(
      { width: 2, height: 5, bits: 8, colorType: 4 },
      new Uint8Array(rows.flat()),
    ),
    MAX_UNPACKED,
  );
  assertEquals(
    [...inflateSync(image.data)],
    [100, 200, 100, 200, 100, 200, 100, 200, 100, 200],
  );
  const half = readPng(
    pngOf(
      { width: 1, height: 2, bits: 8, colorType: 6 },
      new Uint8Array([0, 200, 100, 0, 0, 0, 200, 100, 0, 51]),
    ),
    MAX_UNPACKED,
  );
  assertEquals([...inflateSync(half.data)], [255, 255, 255, 244, 224, 204]);
  assertEquals(half.unpacked, 2);
});

Deno.test("readPng: a small file that claims to be huge is refused before it is unpacked", () => {
  const bomb = pngOf(
    { width: 30_000, height: 30_000, bits: 8, colorType: 6 },
    new Uint8Array(1000),
  );
  assertThrows(() => readPng(bomb, MAX_UNPACKED), PngError, "too long");
  const lying = pngOf(
    { width: 2, height: 2, bits: 8, colorType: 6 },
    new Uint8Array(10_000_000),
  );
  assertThrows(() => readPng(lying, MAX_UNPACKED), PngError, "unpacked");
});
