import { assertEquals } from "@std/assert";
import type { PdfRenderResult } from "../../../client/mod.ts";
import { remarksOf } from "../../../web/words/books.ts";

const perfect: PdfRenderResult = {
  slideshow_id: "00000000-0000-4000-8000-000000000001",
  title: "Summer at the lake",
  page_size: "square",
  page_count: 8,
  size_bytes: 175_657,
  omitted_picture_count: 0,
  omitted_character_count: 0,
  omitted_character_sample: null,
  captions_incomplete: [],
  photos_too_small: [],
  photos_without_end: [],
  content_type: "application/pdf",
};

Deno.test("page books: a perfect book has no remark, nor has a result without the fields", () => {
  assertEquals(remarksOf({ ...perfect }), []);
  assertEquals(remarksOf({}), []);
});

Deno.test("page books: photos that are too small are listed by their number, as ranges where they are many", () => {
  const small = (...photos_too_small: number[]) =>
    remarksOf({ ...perfect, photos_too_small });
  assertEquals(small(2), ["Photo 2 is too small to print sharply."]);
  assertEquals(small(1, 3, 4), [
    "Photos 1, 3 and 4 are too small to print sharply.",
  ]);
  assertEquals(small(...Array.from({ length: 40 }, (_, at) => at + 1), 43), [
    "Photos 1 to 40 and 43 are too small to print sharply.",
  ]);
});

Deno.test("page books: each kind of fault of a book has a sentence", () => {
  assertEquals(
    remarksOf({
      ...perfect,
      photos_too_small: [1],
      photos_without_end: [2, 3],
      captions_incomplete: [4],
      omitted_character_count: 12,
      omitted_character_sample: "湖山",
      omitted_picture_count: 1,
    }),
    [
      "Photo 1 is too small to print sharply.",
      "The files of photos 2 and 3 may be cut off. Look at their pages.",
      "The caption of photo 4 is not printed completely.",
      "12 characters cannot be printed, such as “湖山”.",
      "1 emoji is left out.",
    ],
  );
  assertEquals(
    remarksOf({
      ...perfect,
      photos_without_end: [5],
      captions_incomplete: [1, 2],
      omitted_character_count: 1,
      omitted_picture_count: 3,
    }),
    [
      "The file of photo 5 may be cut off. Look at its page.",
      "The captions of photos 1 and 2 are not printed completely.",
      "1 character cannot be printed.",
      "3 emoji are left out.",
    ],
  );
});
