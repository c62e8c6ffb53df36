import { assert, assertEquals } from "@std/assert";
import fc from "../../../_support/fast-check.ts";
import {
  PAGE_FORMATS,
} from "../../../../supabase/functions/render-ai-job/keepsake/page-size.ts";
import {
  paginate,
  type PaginatedSlide,
  type PhotosPerPage,
} from "../../../../supabase/functions/render-ai-job/keepsake/pagination.ts";

const wide: PaginatedSlide = {
  width: 4032,
  height: 3024,
  textLength: 10,
  isFullPage: false,
};
const tall: PaginatedSlide = { ...wide, width: 3024, height: 4032 };
const { a4, square } = PAGE_FORMATS;

function counts(
  slides: readonly PaginatedSlide[],
  perPage: PhotosPerPage,
  format: (typeof PAGE_FORMATS)["a4" | "square"] = a4,
) {
  return paginate(slides, format, perPage).map((page) =>
    page.kind === "full" ? "full" : page.slides.length
  );
}

Deno.test("paginate: every slide is in the book once, in order, with no more slides per page than chosen", () => {
  const slide = fc.record({
    width: fc.integer({ min: 1, max: 9000 }),
    height: fc.integer({ min: 1, max: 9000 }),
    textLength: fc.integer({ min: 0, max: 500 }),
    isFullPage: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(slide, { maxLength: 100 }),
      fc.constantFrom<PhotosPerPage>("auto", 1, 2, 4),
      fc.constantFrom(...Object.values(PAGE_FORMATS)),
      (slides, perPage, format) => {
        const pages = paginate(slides, format, perPage);
        assertEquals(
          pages.flatMap((page) =>
            page.kind === "full" ? [page.slide] : page.slides
          ),
          slides.map((_, index) => index),
        );
        for (const page of pages) {
          if (page.kind === "full") continue;
          assert([1, 2, 4].includes(page.slides.length));
          if (perPage !== "auto") assert(page.slides.length <= perPage);
        }
        assertEquals(
          pages.filter((page) =>
            page.kind === "full" && slides[page.slide]?.isFullPage
          ).length,
          slides.filter(({ isFullPage }) => isFullPage).length,
        );
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("paginate: photos of one orientation share a page if their captions are short", () => {
  assertEquals(counts([wide, wide, tall, tall], 2), [2, 2]);
  assertEquals(counts([wide, tall, wide, tall], 2), [1, 1, 1, 1]);
  assertEquals(counts([wide, { ...wide, textLength: 200 }], 2), [1, 1]);
  assertEquals(counts([tall, tall, tall, tall, tall], 4), [4, 1]);
  // A caption too long for four on a page may fit with two.
  assertEquals(
    counts([wide, wide, { ...wide, textLength: 100 }, wide], 4),
    [2, 2],
  );
});

Deno.test("paginate: a small book has one page for each slide, and a large one varies", () => {
  assertEquals(
    counts(Array.from({ length: 12 }, () => wide), "auto"),
    Array.from({ length: 12 }, () => 1),
  );
  const varied = counts(Array.from({ length: 24 }, () => tall), "auto");
  assertEquals(new Set(varied), new Set([1, 2, 4]));
  // Four wide photos leave half of a tall page empty.
  assert(!counts(Array.from({ length: 24 }, () => wide), "auto").includes(4));
  assert(
    counts(Array.from({ length: 24 }, () => wide), "auto", square).includes(4),
  );
});

Deno.test("paginate: by default a photo fills a page only if it is sharp, without caption, and hardly cropped", () => {
  const fitting = { ...tall, textLength: 0 };
  const fulls = (slide: PaginatedSlide) =>
    counts(Array.from({ length: 40 }, () => slide), "auto")
      .filter((page) => page === "full").length;
  assert(fulls(fitting) >= 2);
  assertEquals(fulls(tall), 0);
  assertEquals(fulls({ ...fitting, width: 302, height: 403 }), 0);
  assertEquals(fulls({ ...wide, textLength: 0 }), 0);
});
