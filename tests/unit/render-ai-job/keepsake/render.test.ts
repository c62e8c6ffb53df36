/** The keepsake as a PDF reader (pdf.js) sees it. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
} from "@std/assert";
import { extractText, getDocumentProxy, getResolvedPDFJS } from "unpdf";
import { deflateSync, inflateSync } from "node:zlib";
import { sizeOf } from "../../../../supabase/functions/render-ai-job/keepsake/book-file.ts";
import { PNG_HEAD_BYTES } from "../../../../supabase/functions/render-ai-job/keepsake/png-head.ts";
import { PAGE_FORMATS } from "../../../../supabase/functions/render-ai-job/keepsake/page-size.ts";
import {
  makeBook,
  readPart,
  readPhoto,
  takenAt,
} from "../../_support/keepsake-book.ts";

async function read(bytes: Uint8Array) {
  // pdf.js detaches the buffer that it is given.
  const document = await getDocumentProxy(bytes.slice());
  const { text } = await extractText(document, { mergePages: false });
  return {
    document,
    pages: text.map((page) => page.replaceAll(/\s+/g, " ").trim()),
  };
}

const latin1 = new TextDecoder("latin1");

Deno.test("keepsake: a cover, a foreword, a page for each slide, numbered, and a back cover", async () => {
  const photo = await readPhoto("rgb.png");
  const { document, pages } = await read(
    await (await makeBook([
      { photo, caption: "first" },
      { photo },
      { photo, caption: "third" },
    ], { foreword: "For Mama." })).whole(),
  );
  assertEquals(document.numPages, 6);
  assertEquals(pages, [
    "Eighty Summers ❧ Anna Berger 23 November 2026",
    "❧ For Mama.",
    "first 3",
    "4",
    "third 5",
    "❧ Eighty Summers",
  ]);
  await document.loadingTask.destroy();
});

Deno.test("keepsake: accents, Greek and Cyrillic can be extracted as text", async () => {
  const captions = [
    "Žofie & Łukasz, Kraków; ŐŰőű İıĞğ Ţţ Þþ Ðð ẞß Œœ",
    "Tiếng Việt: Nguyễn Thị Ánh, Đà Nẵng",
    "Η γιαγιά Ελένη στη Θεσσαλονίκη, Πάσχα 1974",
    "Ἐν ἀρχῇ ἦν ὁ λόγος",
    "Бабушка Анна на даче под Киевом; їжак, Ґалаґан, Ђорђе, Ќе",
    "‘quotes’, “quotes”, «quotes» – and — … € £ ₴ ₺ ½",
  ];
  const photo = await readPhoto("rgb.png");
  const bytes = await (await makeBook(
    captions.map((caption) => ({ photo, caption })),
    { title: "Großmutters Fotoalbum", author: "Ελένη Παπαδοπούλου" },
  )).whole();
  const { document, pages } = await read(bytes);
  assertEquals(
    pages.slice(1, 7).map((page) => page.replace(/ \d+$/, "")),
    captions,
  );
  assert(
    pages[0]?.startsWith("Großmutters Fotoalbum ❧ Ελένη Παπαδοπούλου"),
    pages[0],
  );
  await document.loadingTask.destroy();
});

Deno.test("keepsake: both faces are embedded, with only the glyphs that are used", async () => {
  const photo = await readPhoto("rgb.png");
  const bytes = await (await makeBook([{ photo, caption: "short" }])).whole();
  const file = latin1.decode(bytes);
  assertEquals(file.match(/\/FontFile2 /g)?.length, 2);
  assertEquals(
    [...file.matchAll(/\/FontName \/[A-Z]{6}\+(\S+)/g)].map(([, name]) => name)
      .sort(),
    ["EBGaramond-Italic", "EBGaramond-Regular"],
  );
  assertEquals(file.match(/\/Subtype \/Type1\b/g), null);
  assert(bytes.length < 40_000, `${bytes.length} bytes`);
});

Deno.test("keepsake: a JPEG that is shown three times is in the file once, byte for byte", async () => {
  const photo = await readPhoto("progressive.jpg");
  const book = await makeBook([{ photo }, { photo }]);
  const file = latin1.decode(await book.whole());
  assertEquals(file.split(latin1.decode(photo)).length - 1, 1);
});

Deno.test("keepsake: any part of the file has the same bytes as in the whole", async () => {
  const names = ["cmyk.jpg", "translucent.png", "progressive.jpg"];
  const photos = await Promise.all(names.map(readPhoto));
  const book = await makeBook(photos.map((photo) => ({ photo })));
  const whole = await book.whole();
  assertEquals(whole.length, sizeOf(book.segments));
  for (const size of [1, 100, 4096, 10_007]) {
    for (let from = 0; from < whole.length; from += size * 97) {
      const to = Math.min(from + size, whole.length);
      assertEquals(
        await readPart(book, from, to),
        whole.slice(from, to),
        `${from} to ${to}`,
      );
    }
  }
});

Deno.test("keepsake: an object that has changed fails the file and is not written", async () => {
  const book = await makeBook([{ photo: await readPhoto("progressive.jpg") }]);
  const stored = new Map(book.stored);
  stored.set("photos/0", new Uint8Array(10));
  await assertRejects(
    () => readPart({ ...book, stored }, 0, sizeOf(book.segments)),
    TypeError,
    "photos/0 has changed",
  );
});

Deno.test("keepsake: each page is trimmed within its bleed, in every format", async () => {
  for (
    const [pageSize, bleed] of [["a4", 8.504], ["letter", 9], [
      "square",
      8.504,
    ]] as const
  ) {
    const { document } = await read(
      await (await makeBook([{ photo: await readPhoto("rgb.png") }], {
        pageSize,
      })).whole(),
    );
    const { width, height } = PAGE_FORMATS[pageSize];
    for (let number = 1; number <= document.numPages; number++) {
      const { view } = await document.getPage(number);
      assertAlmostEquals(view[2] ?? 0, width + 2 * bleed, 0.01);
      assertAlmostEquals(view[3] ?? 0, height + 2 * bleed, 0.01);
    }
    await document.loadingTask.destroy();
  }
  const file = latin1.decode(
    await (await makeBook([{ photo: await readPhoto("rgb.png") }], {
      pageSize: "letter",
    })).whole(),
  );
  assertEquals(
    [...file.matchAll(/\/(Bleed|Trim)Box \[([^\]]+)\]/g)].map(([, name, box]) =>
      `${name} ${box}`
    ),
    Array.from({ length: 4 }, () => ["Bleed 0 0 630 810", "Trim 9 9 621 801"])
      .flat(),
  );
});

/**
 * The position of a photo's stored corners on the page: matrix and current transformation, as in PDF.
 *
 * @param nth index of the photo on the page, from 0.
 */
async function placeOf(bytes: Uint8Array, pageNumber: number, nth = 0) {
  const { OPS } = await getResolvedPDFJS();
  const document = await getDocumentProxy(bytes.slice());
  const page = await document.getPage(pageNumber);
  const { fnArray, argsArray } = await page.getOperatorList();
  type Matrix = [number, number, number, number, number, number];
  let now: Matrix = [1, 0, 0, 1, 0, 0];
  const saved: Matrix[] = [];
  for (const [index, operation] of fnArray.entries()) {
    if (operation === OPS.save) saved.push(now);
    else if (operation === OPS.restore) now = saved.pop() ?? now;
    else if (operation === OPS.transform) {
      const [a, b, c, d, e, f] = Array.from<number>(argsArray[index]);
      assert(
        a !== undefined && b !== undefined && c !== undefined &&
          d !== undefined && e !== undefined && f !== undefined,
      );
      const [A, B, C, D, E, F] = now;
      now = [
        a * A + b * C,
        a * B + b * D,
        c * A + d * C,
        c * B + d * D,
        e * A + f * C + E,
        e * B + f * D + F,
      ];
    } else if (operation === OPS.paintImageXObject && nth-- === 0) break;
  }
  await document.loadingTask.destroy();
  const [a, b, c, d, e, f] = now;
  return (x: number, y: number): [number, number] => [
    a * x + c * y + e,
    b * x + d * y + f,
  ];
}

/** The corners of the stored pixels that are upper left and upper right in the picture; (0, 0) is lower left. */
const CORNERS: Record<number, [[number, number], [number, number]]> = {
  1: [[0, 1], [1, 1]],
  2: [[1, 1], [0, 1]],
  3: [[1, 0], [0, 0]],
  4: [[0, 0], [1, 0]],
  5: [[0, 1], [0, 0]],
  6: [[0, 0], [0, 1]],
  7: [[1, 0], [1, 1]],
  8: [[1, 1], [1, 0]],
};

for (const [orientation, [left, right]] of Object.entries(CORNERS)) {
  Deno.test(`keepsake: a photo of orientation ${orientation} is upright`, async () => {
    const photo = await readPhoto(`quarters-orientation-${orientation}.jpg`);
    const place = await placeOf(await (await makeBook([{ photo }])).whole(), 2);
    const upperLeft = place(...left), upperRight = place(...right);
    const lowerLeft = place(
      left[0] + (left[0] === right[0] ? 1 - 2 * left[0] : 0),
      left[1] + (left[1] === right[1] ? 1 - 2 * left[1] : 0),
    );
    assertAlmostEquals(upperLeft[1], upperRight[1], 0.01);
    assertAlmostEquals(upperLeft[0], lowerLeft[0], 0.01);
    const width = upperRight[0] - upperLeft[0];
    const height = upperLeft[1] - lowerLeft[1];
    assert(width > 0 && height > 0, `${width} × ${height}`);
    assertAlmostEquals(width / height, 60 / 40, 0.01);
    // In the middle of the page.
    const { width: page, bleed } = PAGE_FORMATS.a4;
    assertAlmostEquals(upperLeft[0] + width / 2, page / 2 + bleed, 0.01);
  });
}

for (const pageSize of ["a4", "letter", "square"] as const) {
  Deno.test(`keepsake: the longest texts fit on their page, ${pageSize}`, async () => {
    const photo = await readPhoto("rgb.png");
    const worst = {
      "one word": "W".repeat(500),
      "many lines": "i\n".repeat(249) + "i",
      "words": "Donaudampfschifffahrt ".repeat(22).trim(),
    };
    const bytes = await (await makeBook(
      Object.values(worst).map((caption) => ({ photo, caption })),
      {
        title: "W".repeat(200),
        author: "M".repeat(100),
        foreword: "n\n".repeat(999) + "n",
        pageSize,
      },
    )).whole();
    const document = await getDocumentProxy(bytes.slice());
    assertEquals(document.numPages, 6);
    const { bleed, ...format } = PAGE_FORMATS[pageSize];
    const width = format.width + 2 * bleed, height = format.height + 2 * bleed;
    let letters = 0;
    for (let number = 1; number <= 6; number++) {
      const page = await document.getPage(number);
      const boxes = (await page.getTextContent()).items.flatMap((item) =>
        "str" in item && item.str.trim() !== "" ? [item] : []
      );
      for (const { str, transform, width: long } of boxes) {
        const [, , , , x, y] = transform;
        assert(x >= 28 && x + long <= width - 28, `${number}: ${str}`);
        assert(y >= 28 && y <= height - 28, `${number}: ${str}`);
        letters += str.replaceAll(/[^WMin]/g, "").length;
      }
      // The page number is below everything else.
      const ys = boxes.map(({ transform }) => transform[5]);
      if (number > 2 && number < 6) {
        assert(
          ys.every((y, index) =>
            index === ys.length - 1 || y > (ys.at(-1) ?? 0) + 10
          ),
          `${number}: ${ys}`,
        );
      }
    }
    assert(letters >= 2 * 200 + 100 + 1000 + 500 + 250, `${letters} letters`);
    await document.loadingTask.destroy();
  });
}

Deno.test("keepsake: every supported kind of JPEG and PNG can be rendered", async () => {
  const names = [
    "cmyk.jpg",
    "grey.jpg",
    "progressive.jpg",
    "rgb.png",
    "rgb-16bit.png",
    "palette.png",
    "palette-transparent.png",
    "translucent.png",
  ];
  const bytes = await (await makeBook(
    await Promise.all(
      names.map(async (name) => ({ photo: await readPhoto(name) })),
    ),
  )).whole();
  const { OPS } = await getResolvedPDFJS();
  const document = await getDocumentProxy(bytes.slice());
  for (const [index, name] of names.entries()) {
    const page = await document.getPage(index + 2);
    const { fnArray, argsArray } = await page.getOperatorList();
    const at = fnArray.indexOf(OPS.paintImageXObject);
    assert(at >= 0, name);
    assertEquals(argsArray[at].slice(1, 3), [60, 40], name);
  }
  await document.loadingTask.destroy();
});

/** A PNG with a colour profile: only what a reader checks of it. */
async function withProfile(
  name: string,
  space: "RGB " | "GRAY",
): Promise<{ photo: Uint8Array<ArrayBuffer>; profile: Uint8Array }> {
  const png = await readPhoto(name);
  const profile = new Uint8Array(400).fill(7);
  profile.set(new TextEncoder().encode(space), 16);
  profile.set(new TextEncoder().encode("acsp"), 36);
  const data = await new Blob([
    new TextEncoder().encode("Display P3\0\0"),
    new Uint8Array(deflateSync(profile)),
  ]).bytes();
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, data.length);
  head.set(new TextEncoder().encode("iCCP"), 4);
  const photo = await new Blob([
    png.slice(0, PNG_HEAD_BYTES),
    head,
    data,
    new Uint8Array(4),
    png.slice(PNG_HEAD_BYTES),
  ]).bytes();
  return { photo, profile };
}

Deno.test("keepsake: PNGs keep their colour profile, once in the book; one that does not fit is left out", async () => {
  const rgb = await withProfile("rgb.png", "RGB ");
  const book = await makeBook([
    { photo: rgb.photo },
    { photo: (await withProfile("translucent.png", "RGB ")).photo },
    { photo: (await withProfile("palette.png", "RGB ")).photo },
    { photo: (await withProfile("rgb-16bit.png", "GRAY")).photo },
  ]);
  const bytes = await book.whole();
  const whole = latin1.decode(bytes);
  const spaces = [...whole.matchAll(
    /\/BitsPerComponent \d+ \/ColorSpace (.+?) \/Filter/g,
  )].map(([, space = ""]) => space.replace(/ \d+ <.*>/, " …"));
  const id = /ICCBased (\d+) 0 R/.exec(whole)?.[1];
  assertEquals(spaces, [
    `[/ICCBased ${id} 0 R]`,
    "/DeviceGray",
    `[/ICCBased ${id} 0 R]`,
    `[/Indexed [/ICCBased ${id} 0 R] …]`,
    "/DeviceRGB",
  ]);
  const begin = whole.indexOf("stream\n", whole.indexOf(`\n${id} 0 obj\n`)) + 7;
  const end = whole.indexOf("\nendstream", begin);
  assertEquals(
    new Uint8Array(inflateSync(bytes.subarray(begin, end))),
    rgb.profile,
  );
});

Deno.test("keepsake: a title without printable characters leaves its place empty", async () => {
  const { document, pages } = await read(
    await (await makeBook([{ photo: await readPhoto("rgb.png") }], {
      title: "🏖️",
    })).whole(),
  );
  assertEquals(pages, ["❧ Anna Berger 23 November 2026", "2", "", "❧"]);
  await document.loadingTask.destroy();
});

const WIDE = { width: 4032, height: 3024 },
  TALL = { width: 3024, height: 4032 };

Deno.test("keepsake: a full-page photo covers the page and its bleed, and on the cover reaches the edges", async () => {
  const photo = await readPhoto("rgb.png");
  const { bleed, width, height } = PAGE_FORMATS.a4;
  const book = await makeBook([
    { photo: photo.slice(), size: WIDE },
    { photo, size: TALL, isFullPage: true },
  ]);
  const bytes = await book.whole();
  const full = await placeOf(bytes, 3);
  const [left, lower] = full(0, 0), [right, upper] = full(1, 1);
  assert(left <= 0.01 && right >= width + 2 * bleed - 0.01, `${left} ${right}`);
  assert(
    lower <= 0.01 && upper >= height + 2 * bleed - 0.01,
    `${lower} ${upper}`,
  );
  const cover = await placeOf(bytes, 1);
  assertAlmostEquals(cover(0, 0)[0], 0, 0.01);
  assertAlmostEquals(cover(1, 1)[0], width + 2 * bleed, 0.01);
  assertAlmostEquals(cover(1, 1)[1], height + 2 * bleed, 0.01);
});

Deno.test("keepsake: two and four photos share a page without touching each other or its edges", async () => {
  const photo = await readPhoto("rgb.png");
  for (
    const [perPage, size, pageSize] of [
      [2, WIDE, "a4"],
      [2, TALL, "square"],
      [4, TALL, "a4"],
      [4, WIDE, "square"],
    ] as const
  ) {
    const book = await makeBook(
      Array.from({ length: perPage }, (_, index) => ({
        photo: photo.slice(),
        size,
        caption: `Day ${index}`,
      })),
      { pageSize, photosPerPage: perPage },
    );
    const bytes = await book.whole();
    const { bleed, width, height } = PAGE_FORMATS[pageSize];
    const boxes = await Promise.all(
      Array.from({ length: perPage }, async (_, nth) => {
        const place = await placeOf(bytes, 2, nth);
        return [...place(0, 0), ...place(1, 1)];
      }),
    );
    for (
      const [index, [left = 0, lower = 0, right = 0, upper = 0]] of boxes
        .entries()
    ) {
      assertAlmostEquals(
        (right - left) / (upper - lower),
        size.width / size.height,
        0.001,
      );
      assert(left > bleed + 20 && right < bleed + width - 20);
      assert(lower > bleed + 20 && upper < bleed + height - 20);
      for (const [l = 0, b = 0, r = 0, t = 0] of boxes.slice(index + 1)) {
        assert(
          r + 8 < left || l > right + 8 || t + 8 < lower || b > upper + 8,
          `${perPage} on ${pageSize}`,
        );
      }
    }
  }
});

Deno.test("keepsake: the resolution of a slide is that of its largest print, including the cover", async () => {
  const photo = await readPhoto("rgb.png");
  const { pages: { resolutions } } = await makeBook([
    { photo: photo.slice(), size: { width: 1000, height: 750 } },
    { photo: photo.slice(), size: { width: 1000, height: 750 } },
    { photo: photo.slice(), size: { width: 300, height: 225 } },
    { photo: photo.slice(), size: { width: 6000, height: 4500 } },
  ]);
  // 216 mm wide on the cover, 164 mm inside.
  assertEquals(resolutions.map(Math.round), [118, 153, 100, 921]);
});

Deno.test("keepsake: the date of a photo is printed below it, if the owner chose that", async () => {
  const photo = takenAt(
    await readPhoto("progressive.jpg"),
    "1998:08:05 09:30:00",
  );
  for (const showDates of [true, false]) {
    const book = await makeBook([{ photo, caption: "The lake" }, {
      photo: await readPhoto("rgb.png"),
    }], { showDates });
    const { document, pages } = await read(await book.whole());
    assertEquals(pages.slice(1, 3), [
      showDates ? "The lake 1998-08-05 2" : "The lake 2",
      "3",
    ]);
    await document.loadingTask.destroy();
  }
});
