import { assert, assertEquals } from "@std/assert";
import fc from "../../../helpers/fast-check.ts";
import { splitText } from "../../../../supabase/functions/_shared/media/split-text.ts";

const solid = (text: string) => text.replace(/\s+/g, "");

Deno.test("splitText: a text that fits is one part, without the spaces around it; nothing but spaces is none", () => {
  assertEquals(splitText("  Dear all.\n", 100), ["Dear all."]);
  assertEquals(splitText("x".repeat(100), 100), ["x".repeat(100)]);
  assertEquals(splitText(" \n\t ", 100), []);
});

Deno.test("splitText: cuts at the last end of a sentence that fits", () => {
  assertEquals(splitText("One two. Three four! Five six? Seven.", 22), [
    "One two. Three four!",
    "Five six? Seven.",
  ]);
  // The sentence ends exactly at the limit.
  assertEquals(splitText("1234567890 12345. Next one here.", 17), [
    "1234567890 12345.",
    "Next one here.",
  ]);
});

Deno.test("splitText: closing marks stay with their sentence; a point within a number ends none", () => {
  assertEquals(splitText('He said: "Go now." Then he went.', 20), [
    'He said: "Go now."',
    "Then he went.",
  ]);
  assertEquals(splitText("It costs 3.141 or more today", 20), [
    "It costs 3.141 or",
    "more today",
  ]);
});

Deno.test("splitText: sentences of scripts without spaces, and lines, are ends as well", () => {
  assertEquals(
    splitText("今日は良い天気です。明日も晴れるでしょう。そうですね。", 22),
    [
      "今日は良い天気です。明日も晴れるでしょう。",
      "そうですね。",
    ],
  );
  assertEquals(splitText("first line\nsecond line here", 20), [
    "first line",
    "second line here",
  ]);
});

Deno.test("splitText: a sentence that is too long is cut between words, a word between characters", () => {
  assertEquals(splitText("aaaa bbbb cccc dddd eeee", 16), [
    "aaaa bbbb cccc",
    "dddd eeee",
  ]);
  assertEquals(splitText("x".repeat(40), 16), [
    "x".repeat(16),
    "x".repeat(16),
    "x".repeat(8),
  ]);
});

Deno.test("splitText: no character is torn apart", () => {
  const family = "👨‍👩‍👧";
  for (const part of splitText(family.repeat(20), 20)) {
    assertEquals(part.length % family.length, 0, part);
  }
  for (const part of splitText("é".repeat(40), 17)) {
    assert(!/^\p{M}/u.test(part));
  }
});

const texts = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 600 }),
  fc.string({ unit: "binary", maxLength: 600 }),
  fc.array(
    fc.constantFrom(
      "word",
      "Dr.",
      "end.",
      "?!",
      "…",
      "\n",
      "。",
      "日本",
      "👍🏽",
      "a\u0301",
      '"',
      " ",
    ),
    { maxLength: 200 },
  ).map((words) => words.join(" ")),
  fc.array(fc.constantFrom(".", "x", " ", "😀", "\u200d", "\u0301"), {
    maxLength: 400,
  })
    .map((signs) => signs.join("")),
);

Deno.test("splitText: whatever the text, every part fits and says something, and nothing but spaces is lost", () => {
  fc.assert(
    fc.property(texts, fc.integer({ min: 16, max: 200 }), (text, limit) => {
      const parts = splitText(text, limit);
      for (const part of parts) {
        assert(part.length <= limit && part.trim() === part && part !== "");
      }
      assertEquals(solid(parts.join("")), solid(text));
      // Well-formed text stays well-formed.
      if (text.isWellFormed()) {
        assert(parts.every((part) => part.isWellFormed()));
      }
      assertEquals(splitText(text, limit), parts);
    }),
    { numRuns: 5000 },
  );
});

Deno.test("splitText: sentences are kept whole whenever each of them fits", () => {
  const sentence = fc.array(fc.constantFrom("alpha", "beta", "gamma"), {
    minLength: 1,
    maxLength: 8,
  }).map((words) => `${words.join(" ")}.`);
  fc.assert(fc.property(
    fc.array(sentence, { minLength: 1, maxLength: 30 }),
    (sentences) => {
      for (const part of splitText(sentences.join(" "), 60)) {
        assert(part.endsWith("."), part);
      }
    },
  ));
});
