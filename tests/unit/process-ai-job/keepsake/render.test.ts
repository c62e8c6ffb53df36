/** The keepsake as a reader of PDF sees it; pdf.js is that reader. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
} from "@std/assert";
import { extractText, getDocumentProxy, getResolvedPDFJS } from "unpdf";
import {
  PAGE_SIZES,
  SlideError,
} from "../../../../supabase/functions/process-ai-job/keepsake/render.ts";
import { makeBook, readPhoto } from "./book.ts";

async function read(bytes: Uint8Array) {
  // pdf.js takes the bytes away from whoever gives them.
  const document = await getDocumentProxy(bytes.slice());
  const { text } = await extractText(document, { mergePages: false });
  return {
    document,
    pages: text.map((page) => page.replaceAll(/\s+/g, " ").trim()),
  };
}

const latin1 = new TextDecoder("latin1");

Deno.test("renderKeepsake: a cover, a foreword and a page for each slide, numbered", async () => {
  const photo = await readPhoto("rgb.png");
  const { document, pages } = await read(
    await makeBook([
      { photo, caption: "first" },
      { photo },
      { photo, caption: "third" },
    ], { foreword: "For Mama." }),
  );
  assertEquals(document.numPages, 5);
  assertEquals(pages, [
    "Eighty Summers ❧ Anna Berger 23 November 2026",
    "❧ For Mama.",
    "first 3",
    "4",
    "third 5",
  ]);
  await document.loadingTask.destroy();
});

Deno.test("renderKeepsake: accents, Greek and Cyrillic can be read back as they were written", async () => {
  const captions = [
    "Žofie & Łukasz, Kraków; ŐŰőű İıĞğ Ţţ Þþ Ðð ẞß Œœ",
    "Tiếng Việt: Nguyễn Thị Ánh, Đà Nẵng",
    "Η γιαγιά Ελένη στη Θεσσαλονίκη, Πάσχα 1974",
    "Ἐν ἀρχῇ ἦν ὁ λόγος",
    "Бабушка Анна на даче под Киевом; їжак, Ґалаґан, Ђорђе, Ќе",
    "‘quotes’, “quotes”, «quotes» – and — … € £ ₴ ₺ ½",
  ];
  const photo = await readPhoto("rgb.png");
  const bytes = await makeBook(
    captions.map((caption) => ({ photo, caption })),
    { title: "Großmutters Fotoalbum", author: "Ελένη Παπαδοπούλου" },
  );
  const { document, pages } = await read(bytes);
  assertEquals(
    pages.slice(1).map((page) => page.replace(/ \d+$/, "")),
    captions,
  );
  assert(
    pages[0]?.startsWith("Großmutters Fotoalbum ❧ Ελένη Παπαδοπούλου"),
    pages[0],
  );
  await document.loadingTask.destroy();
});

Deno.test("renderKeepsake: both faces are embedded, and nothing but the glyphs that are used", async () => {
  const photo = await readPhoto("rgb.png");
  const bytes = await makeBook([{ photo, caption: "short" }]);
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

Deno.test("renderKeepsake: a JPEG lies in the file once and byte for byte, though it is shown twice", async () => {
  const photo = await readPhoto("progressive.jpg");
  const file = latin1.decode(await makeBook([{ photo }]));
  assertEquals(file.split(latin1.decode(photo)).length - 1, 1);
});

/** Where a photo's stored corners come to lie on the page: matrix and current transformation, as PDF has them. */
async function placeOf(bytes: Uint8Array, pageNumber: number) {
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
    } else if (operation === OPS.paintImageXObject) break;
  }
  await document.loadingTask.destroy();
  const [a, b, c, d, e, f] = now;
  return (x: number, y: number): [number, number] => [
    a * x + c * y + e,
    b * x + d * y + f,
  ];
}

/** Where in the stored pixels the upper left and upper right of the picture lie; (0, 0) is lower left. */
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
  Deno.test(`renderKeepsake: a photo of orientation ${orientation} stands upright`, async () => {
    const photo = await readPhoto(`quarters-orientation-${orientation}.jpg`);
    const place = await placeOf(await makeBook([{ photo }]), 2);
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
    assertAlmostEquals(upperLeft[0] + width / 2, PAGE_SIZES.a4[0] / 2, 0.01);
  });
}

for (const pageSize of ["a4", "letter", "square"] as const) {
  Deno.test(`renderKeepsake: the longest texts stay on their page, ${pageSize}`, async () => {
    const photo = await readPhoto("rgb.png");
    const worst = {
      "one word": "W".repeat(500),
      "many lines": "i\n".repeat(249) + "i",
      "words": "Donaudampfschifffahrt ".repeat(22).trim(),
    };
    const bytes = await makeBook(
      Object.values(worst).map((caption) => ({ photo, caption })),
      {
        title: "W".repeat(200),
        author: "M".repeat(100),
        foreword: "n\n".repeat(999) + "n",
        pageSize,
      },
    );
    const document = await getDocumentProxy(bytes.slice());
    assertEquals(document.numPages, 5);
    const [width, height] = PAGE_SIZES[pageSize];
    let letters = 0;
    for (let number = 1; number <= 5; number++) {
      const page = await document.getPage(number);
      assertEquals(page.view, [0, 0, width, height]);
      const boxes = (await page.getTextContent()).items.flatMap((item) =>
        "str" in item && item.str.trim() !== "" ? [item] : []
      );
      for (const { str, transform, width: long } of boxes) {
        const [, , , , x, y] = transform;
        assert(x >= 20 && x + long <= width - 20, `${number}: ${str}`);
        assert(y >= 20 && y <= height - 20, `${number}: ${str}`);
        letters += str.replaceAll(/[^WMin]/g, "").length;
      }
      // The number stands below everything else.
      const ys = boxes.map(({ transform }) => transform[5]);
      if (number > 2) {
        assert(
          ys.every((y, index) =>
            index === ys.length - 1 || y > (ys.at(-1) ?? 0) + 10
          ),
          `${number}: ${ys}`,
        );
      }
    }
    assert(letters >= 200 + 100 + 1000 + 500 + 250, `${letters} letters`);
    await document.loadingTask.destroy();
  });
}

Deno.test("renderKeepsake: every kind of JPEG and PNG that is printed can be painted", async () => {
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
  const bytes = await makeBook(
    await Promise.all(
      names.map(async (name) => ({ photo: await readPhoto(name) })),
    ),
  );
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

Deno.test("renderKeepsake: a title of which nothing is printed leaves its place empty", async () => {
  const { document, pages } = await read(
    await makeBook([{ photo: await readPhoto("rgb.png") }], { title: "🏖️" }),
  );
  assertEquals(pages, ["❧ Anna Berger 23 November 2026", "2"]);
  await document.loadingTask.destroy();
});

Deno.test("renderKeepsake: the slide whose photo cannot be printed is named", async () => {
  const good = await readPhoto("rgb.png");
  const bad: Record<string, Uint8Array> = {
    "is a WebP file; only JPEG and PNG can be printed": await readPhoto(
      "photo.webp",
    ),
    "is an interlaced PNG, which cannot be printed": await readPhoto(
      "interlaced.png",
    ),
    "breaks off before its end": good.subarray(0, good.length - 20),
    "is neither a JPEG nor a PNG": new TextEncoder().encode("<html>"),
  };
  for (const [message, photo] of Object.entries(bad)) {
    const error = await assertRejects(
      () => makeBook([{ photo: good }, { photo }]),
      SlideError,
    );
    assertEquals(error.number, 2);
    assertEquals(error.cause.message, message);
  }
});
