import { assertEquals } from "@std/assert";
import {
  countLetters,
  showCharacters,
  toPrintable,
} from "../../../../supabase/functions/render-ai-job/keepsake/printable-text.ts";

Deno.test("toPrintable: emoji and their joiners are left out, and emoji are counted", () => {
  assertEquals(toPrintable("At the lake 🏖️ with 👨‍👩‍👧 and 👍🏽!", "italic"), {
    text: "At the lake with and !",
    face: "italic",
    pictures: 6,
    missing: [],
  });
  assertEquals(toPrintable("🇦🇹", "roman"), {
    text: "",
    face: "roman",
    pictures: 2,
    missing: [],
  });
});

Deno.test("toPrintable: variants of a letter become the letter, invisible characters go, lines stay", () => {
  assertEquals(
    toPrintable(
      "Ｆｕｌｌ 𝓗𝓪𝓷𝓭\r\n\r\n\r\n\tso\u00adft\u200b \u202eend\u0000",
      "roman",
    )
      .text,
    "Full Hand\n\nsoft end",
  );
  assertEquals(toPrintable("e\u0301", "roman").text, "é");
});

Deno.test("toPrintable: a character that one face lacks is printed in the other", () => {
  assertEquals(toPrintable("ʂ", "italic").face, "roman");
  assertEquals(toPrintable("s", "italic").face, "italic");
});

Deno.test("toPrintable: a character that both fonts lack is left out and reported", () => {
  assertEquals(toPrintable("祖母 with us, ☃ and ☃", "italic"), {
    text: "with us, and",
    face: "italic",
    // Unicode classifies the snowmen as pictographs.
    pictures: 2,
    missing: ["祖", "母"],
  });
  const { text, missing } = toPrintable("5 ⅌ 7 ⌘⌘", "roman");
  assertEquals([text, missing], ["5 7", ["⅌", "⌘", "⌘"]]);
  assertEquals(showCharacters(missing), "⅌ ⌘");
  // The text has no letter that could be lost.
  assertEquals(toPrintable("⌘", "roman").text, "");
});

Deno.test("toPrintable: chooses the face that lacks fewer characters", () => {
  const { face, missing } = toPrintable("ʂʂ ⌘ 祖 and more words", "italic");
  assertEquals([face, missing], ["roman", ["⌘", "祖"]]);
});

Deno.test("countLetters: counts printed and missing letters, without signs and spaces", () => {
  for (
    const [text, kept, lost] of [
      ["祖母と孫 me", 2, 4],
      ["שרה", 0, 3],
      ["At the lake, ⌘ 7", 9, 0],
      ["⌘", 0, 0],
    ] as const
  ) {
    assertEquals(countLetters(toPrintable(text, "roman")), { kept, lost });
  }
});
