import { assert, assertEquals } from "@std/assert";
import fc, { anyCharacter } from "../../../_support/fast-check.ts";
import {
  characterStarts,
  headOf,
  markupDepth,
  tailOf,
} from "../../../../supabase/functions/_shared/media/text-bounds.ts";

Deno.test("headOf, tailOf: return as much of a text as fits, without splitting a visible character", () => {
  assertEquals(headOf("Hello.", 6), "Hello.");
  assertEquals(headOf("Hello.", 5), "Hello");
  assertEquals(tailOf("Hello.", 5), "ello.");
  for (const character of ["😀", "👨‍👩‍👧", "🇩🇪", "e\u0301", "क्षि", "\r\n"]) {
    const text = character.repeat(3);
    for (let max = 0; max <= text.length; max++) {
      const fits = character.repeat(Math.floor(max / character.length));
      assertEquals([headOf(text, max), tailOf(text, max)], [fits, fits]);
    }
  }
});

Deno.test("headOf, tailOf: for any text, they are its beginning and end, well-formed, and fit", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: anyCharacter, maxLength: 80 }),
      fc.nat(90),
      (text, max) => {
        const [head, tail] = [headOf(text, max), tailOf(text, max)];
        assert(text.startsWith(head) && text.endsWith(tail));
        assert(head.length <= max && tail.length <= max);
        assert(head.isWellFormed() && tail.isWellFormed());
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("characterStarts: without a segmenter, marks, skin tones and joined emoji are not split off", () => {
  assertEquals([...characterStarts("a👍🏽e\u0301👨‍👩x", null)], [0, 1, 5, 7, 12]);
  assertEquals(
    [...characterStarts("", null)],
    [],
  );
});

Deno.test("markupDepth: tags, elements and brackets that are closed and fit; nothing else", () => {
  const inside = (text: string, maxLength = 100) =>
    [...markupDepth(text, maxLength)].map((depth) => depth > 0 ? "x" : ".")
      .join("");
  assertEquals(inside("a<b/>c"), "..xxx..");
  assertEquals(inside("<b>cd</b>"), ".xxxxxxxx.");
  assertEquals(inside("<b>cd</b>", 5), ".xx...xxx.");
  assertEquals(inside("a[b]c[d"), "..xx....");
  assertEquals(inside("a<b c"), "......");
  assertEquals(inside("1 < 2 > 1"), "..........");
  assertEquals(inside("<b>c"), ".xx..");
});
