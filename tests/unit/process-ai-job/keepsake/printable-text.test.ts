import { assertEquals, assertThrows } from "@std/assert";
import {
  toPrintable,
  UnprintableText,
} from "../../../../supabase/functions/process-ai-job/keepsake/printable-text.ts";

Deno.test("toPrintable: emoji are left out and counted, with what joins them", () => {
  assertEquals(toPrintable("At the lake 🏖️ with 👨‍👩‍👧 and 👍🏽!", "italic"), {
    text: "At the lake with and !",
    face: "italic",
    leftOut: 6,
  });
  assertEquals(toPrintable("🇦🇹", "roman"), {
    text: "",
    face: "roman",
    leftOut: 2,
  });
});

Deno.test("toPrintable: other forms of a letter become the letter, invisible characters go, lines stay", () => {
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

Deno.test("toPrintable: what the one face lacks is printed in the other", () => {
  assertEquals(toPrintable("ʂ", "italic").face, "roman");
  assertEquals(toPrintable("s", "italic").face, "italic");
});

Deno.test("toPrintable: words that no face has are refused, never left out", () => {
  for (
    const [text, characters] of [
      ["祖母 and me", "祖 母"],
      ["سعاد", "س ع ا د"],
      ["שרה", "ש ר ה"],
      ["दादी", "द ा ी"],
      ["ბებია", "ბ ე ი ა"],
    ] as const
  ) {
    const error = assertThrows(
      () => toPrintable(text, "roman"),
      UnprintableText,
    );
    assertEquals(error.characters, characters);
  }
});
