/** The readers of photos, with files from untrusted sources. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { deflateSync, inflateSync } from "node:zlib";
import fc from "../../../_support/fast-check.ts";
import {
  findJpegEnd,
  JpegError,
  readJpegHead,
} from "../../../../supabase/functions/render-ai-job/keepsake/jpeg.ts";
import {
  inspectPhoto,
  PhotoError,
} from "../../../../supabase/functions/render-ai-job/keepsake/inspect-photo.ts";
import { preparePng } from "../../../../supabase/functions/render-ai-job/keepsake/png.ts";
import {
  PngError,
  readPngHead,
} from "../../../../supabase/functions/render-ai-job/keepsake/png-head.ts";
import { inPieces, readAll, readPhoto } from "../../_support/keepsake-book.ts";

/** A file with some bytes changed, and possibly truncated. */
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

const look = (file: Uint8Array, size = file.length) =>
  inspectPhoto(
    "uploads/photo",
    size,
    (from, to) => Promise.resolve(file.subarray(from, to)),
  );

for (
  const name of [
    "quarters-orientation-6.jpg",
    "progressive.jpg",
    "cmyk.jpg",
    "rgb.png",
  ]
) {
  Deno.test(`inspectPhoto: ${name}, damaged, is read or refused, without another error`, async () => {
    const file = await readPhoto(name);
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(spoilt(file), async (bytes) => {
        try {
          const found = await look(bytes);
          const { width, height } = "image" in found ? found.image : found.png;
          assert(width > 0 && height > 0);
          if ("image" in found) {
            const { orientation, size } = found.image;
            assert(orientation >= 1 && orientation <= 8);
            assert(size > 0 && size <= bytes.length);
          }
        } catch (error) {
          assert(error instanceof PhotoError, String(error));
          refused++;
        }
      }),
      { numRuns: 2000 },
    );
    assert(refused > 0);
  });
}

for (const name of ["rgb.png", "translucent.png", "palette-transparent.png"]) {
  Deno.test(`preparePng: ${name}, damaged, is read or refused, without another error`, async () => {
    const file = await readPhoto(name);
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(spoilt(file), async (bytes) => {
        try {
          await readAll(preparePng(inPieces(bytes, 50)));
        } catch (error) {
          assert(error instanceof PngError, String(error));
          refused++;
        }
      }),
      { numRuns: 500 },
    );
    assert(refused > 0);
  });
}

Deno.test("readJpegHead: distinguishes grey, RGB and Adobe's CMYK; an incomplete head returns null", async () => {
  const [grey, colour, cmyk] = await Promise.all(
    ["grey.jpg", "progressive.jpg", "cmyk.jpg"].map(readPhoto),
  );
  assert(grey && colour && cmyk);
  assertEquals(readJpegHead(grey)?.colors, 1);
  assertEquals(readJpegHead(colour)?.colors, 3);
  const head = readJpegHead(cmyk);
  assertEquals([head?.colors, head?.isInverted], [4, true]);
  assertEquals(readJpegHead(colour.subarray(0, 100)), null);
  assertThrows(
    () => readJpegHead(new TextEncoder().encode("no JPEG")),
    JpegError,
  );
});

Deno.test("inspectPhoto: a JPEG without end marker is accepted and noted; bytes after the end are dropped", async () => {
  const file = await readPhoto("progressive.jpg");
  const whole = await look(file);
  const cut = await look(file.subarray(0, file.length - 2));
  const padded = new Uint8Array(file.length + 5000);
  padded.set(file);
  const trailed = await look(padded);
  assert("image" in whole && "image" in cut && "image" in trailed);
  assertEquals([whole.image.hasEnd, whole.image.size], [true, file.length]);
  assertEquals([cut.image.hasEnd, cut.image.size], [false, file.length - 2]);
  assertEquals([trailed.image.hasEnd, trailed.image.size], [
    true,
    file.length,
  ]);
  // A film that a camera appends exceeds the searched bytes; the photo is still complete.
  const film = new Uint8Array(file.length + 200_000);
  film.set(file);
  const filmed = await look(film);
  assert("image" in filmed);
  assertEquals([filmed.image.hasEnd, filmed.image.size], [
    false,
    film.length,
  ]);
});

Deno.test("inspectPhoto: the end of the preview in a JPEG that was cut off is not its end", async () => {
  const file = await readPhoto("progressive.jpg");
  const preview = Uint8Array.of(0xff, 0xd8, 0xff, 0xd9);
  const exif = new Uint8Array(4 + 6 + preview.length);
  exif.set([0xff, 0xe1, 0, 2 + 6 + preview.length]);
  exif.set(new TextEncoder().encode("Exif\0\0"), 4);
  exif.set(preview, 10);
  const cut = await new Blob([
    file.subarray(0, 2),
    exif,
    file.subarray(2, file.length - 200),
  ]).bytes();
  const found = await look(cut);
  assert("image" in found);
  assertEquals([found.image.hasEnd, found.image.size], [false, cut.length]);
});

Deno.test("inspectPhoto: reads the beginning and the last 64 KiB of a large file, each once", async () => {
  const file = new Uint8Array(20_000_000).fill(0xd9);
  const photo = await readPhoto("progressive.jpg");
  file.set(photo);
  const read: string[] = [];
  await inspectPhoto("uploads/photo", file.length, (from, to) => {
    read.push(`${from} ${to}`);
    return Promise.resolve(file.subarray(from, to));
  });
  assertEquals(read, ["0 131072", "19934464 20000000"]);
});

Deno.test("inspectPhoto: reads more of the file when its head is longer than usual", async () => {
  const photo = await readPhoto("progressive.jpg");
  // Preceded by four segments of application data, 260 kB.
  const segment = new Uint8Array(65_002);
  segment.set([0xff, 0xec, 65_000 >> 8, 65_000 & 255]);
  const file = await new Blob([
    photo.subarray(0, 2),
    ...Array.from({ length: 4 }, () => segment),
    photo.subarray(2),
  ]).bytes();
  const found = await look(file);
  assert("image" in found);
  assertEquals([found.image.width, found.image.height], [60, 40]);
});

Deno.test("findJpegEnd: finds the end marker among bytes that resemble half of one", () => {
  assertEquals(findJpegEnd(Uint8Array.of(1, 0xff, 0xd9, 0xd9, 0xd9)), 3);
  assertEquals(findJpegEnd(new Uint8Array(1000).fill(0xd9)), null);
  assertEquals(findJpegEnd(Uint8Array.of(0xd9)), null);
});

/** A JPEG with a colour profile at the front, in pieces. */
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
  // The order in the file does not matter.
  return new Uint8Array([
    ...file.subarray(0, 2),
    ...segments.reverse().flat(),
    ...file.subarray(2),
  ]);
}

Deno.test("readJpegHead: reads a colour profile in pieces, and ignores an incomplete or unfitting one", async () => {
  const file = await readPhoto("progressive.jpg");
  const profile = new Uint8Array(300).map((_, index) => index % 251);
  profile.set(new TextEncoder().encode("RGB "), 16);
  profile.set(new TextEncoder().encode("acsp"), 36);
  const read = (bytes: Uint8Array) => {
    const ranges = readJpegHead(bytes)?.profile ?? [];
    return ranges.flatMap(({ from, to }) => [...bytes.subarray(from, to)]);
  };
  assertEquals(read(withProfile(file, profile, 3)), [...profile]);
  assertEquals(
    read(withProfile(await readPhoto("grey.jpg"), profile, 1)),
    [],
  );
  const holed = withProfile(file, profile, 2);
  holed[2 + 4 + 13] = 7;
  assertEquals(read(holed), []);
  assertEquals(read(file), []);
});

/** A PNG of these rows, each preceded by its filter. */
function pngOf(
  header: {
    width: number;
    height: number;
    bits: number;
    colorType: number;
    interlace?: number;
  },
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
  head[12] = header.interlace ?? 0;
  return new Uint8Array([
    ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
    ...chunk("IHDR", head),
    ...chunk("IDAT", new Uint8Array(deflateSync(rows))),
    ...chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Filters rows of samples (PNG, section 9.2), each row with the given filter. */
function filtered(
  rows: readonly (readonly number[])[],
  step: number,
): Uint8Array {
  return new Uint8Array(rows.flatMap((row, y) => {
    const above = rows[y - 1] ?? row.map(() => 0);
    const filter = y % 5;
    return [
      filter,
      ...row.map((value, x) => {
        const left = row[x - step] ?? 0, up = above[x] ?? 0;
        const corner = x < step ? 0 : above[x - step] ?? 0;
        const guess = left + up - corner;
        const nearest = [left, up, corner].reduce((best, one) =>
          Math.abs(guess - one) < Math.abs(guess - best) ? one : best
        );
        const predicted = [0, left, up, left + up >> 1, nearest][filter] ?? 0;
        return value - predicted & 255;
      }),
    ];
  }));
}

/** The inverse, as a PDF reader applies it (predictor 15). */
function unfiltered(bytes: Uint8Array, width: number, step: number) {
  const rows: number[][] = [];
  for (let at = 0; at < bytes.length; at += 1 + width * step) {
    const filter = bytes[at];
    const above = rows.at(-1) ?? [];
    const row: number[] = [];
    for (let x = 0; x < width * step; x++) {
      const left = row[x - step] ?? 0, up = above[x] ?? 0;
      const corner = x < step ? 0 : above[x - step] ?? 0;
      const guess = left + up - corner;
      const nearest = [left, up, corner].reduce((best, one) =>
        Math.abs(guess - one) < Math.abs(guess - best) ? one : best
      );
      const predicted = [0, left, up, left + up >> 1, nearest][filter ?? 0];
      row.push((bytes[at + 1 + x] ?? 0) + (predicted ?? 0) & 255);
    }
    rows.push(row);
  }
  return rows;
}

for (
  const { name, colorType, colors, bits } of [
    { name: "RGB", colorType: 6, colors: 3, bits: 8 },
    { name: "grey", colorType: 4, colors: 1, bits: 8 },
    { name: "RGB of 16 bits", colorType: 6, colors: 3, bits: 16 },
  ]
) {
  Deno.test(`preparePng: ${name}: separates colour and transparency without loss, for all filters`, async () => {
    const width = 7, height = 30;
    const step = (colors + 1) * bits / 8;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.array(fc.nat(255), {
            minLength: width * step,
            maxLength: width * step,
          }),
          { minLength: height, maxLength: height },
        ),
        fc.nat(height),
        async (rows, opaqueRows) => {
          const sample = bits / 8;
          for (const row of rows.slice(0, opaqueRows)) {
            for (let x = step - sample; x < row.length; x += step) {
              row.fill(255, x, x + sample);
            }
          }
          const file = pngOf(
            { width, height, bits, colorType },
            filtered(rows, step),
          );
          const { bytes, returned } = await readAll(
            preparePng(inPieces(file, 40)),
          );
          // The upper byte of each sample.
          const channel = (row: readonly number[], index: number) =>
            row.filter((_, at) => at % step === index * sample);
          assertEquals(returned.bits, 8);
          assertEquals(
            unfiltered(inflateSync(bytes), width, colors),
            rows.map((row) =>
              Array.from(
                { length: width * colors },
                (_, at) =>
                  channel(row, at % colors)[Math.floor(at / colors)] ?? -1,
              )
            ),
          );
          const alphas = rows.map((row) => channel(row, colors));
          if (alphas.flat().every((alpha) => alpha === 255)) {
            assertEquals(returned.alpha, null);
          } else {
            assert(returned.alpha !== null);
            assertEquals(
              unfiltered(inflateSync(returned.alpha), width, 1),
              alphas,
            );
          }
        },
      ),
      { numRuns: 60 },
    );
  });
}

Deno.test("preparePng: a screenshot with an opaque alpha channel has no transparency, for all filters", async () => {
  const rows = Array.from(
    { length: 11 },
    (_, y) => [y, 2, 3, 255, 9, y, 7, 255],
  );
  const { returned } = await readAll(
    preparePng(inPieces(pngOf(
      { width: 2, height: 11, bits: 8, colorType: 6 },
      filtered(rows, 4),
    ))),
  );
  assertEquals(returned.alpha, null);
});

Deno.test("preparePng: pixels without an alpha channel pass through byte for byte", async () => {
  const rows = deflateSync(new Uint8Array([0, 1, 2, 3]));
  const file = pngOf(
    { width: 1, height: 1, bits: 8, colorType: 2 },
    new Uint8Array([0, 1, 2, 3]),
  );
  const { bytes } = await readAll(preparePng(inPieces(file, 7)));
  assertEquals([...bytes], [...rows]);
});

Deno.test("readPngHead: refuses large and interlaced pictures by their header, and lists what is accepted", () => {
  const of =
    (width: number, height: number, colorType: number, bits = 8) => () =>
      readPngHead(
        pngOf({ width, height, bits, colorType }, new Uint8Array(1)),
      );
  assertThrows(of(30_000, 30_000, 6), PngError, "up to 16 can be");
  // 16 bits count twice.
  assertThrows(of(4000, 4000, 6, 16), PngError, "up to 8 can be");
  assertEquals(of(4000, 4000, 6)().unpackedBytes, 64_004_000);
  assertEquals(of(30_000, 30_000, 2)().unpackedBytes, 0);
  assertThrows(
    () =>
      readPngHead(pngOf({
        width: 1,
        height: 1,
        bits: 8,
        colorType: 2,
        interlace: 1,
      }, new Uint8Array(1))),
    PngError,
    "interlaced",
  );
});

Deno.test("preparePng: refuses a file with more pixels than its header states", async () => {
  const lying = pngOf(
    { width: 2, height: 2, bits: 8, colorType: 6 },
    new Uint8Array(10_000_000),
  );
  await assertRejects(
    () => readAll(preparePng(inPieces(lying, 65_536))),
    PngError,
    "too many pixels",
  );
});
