import { assert, assertEquals } from "@std/assert";
import fc, { anyCharacter } from "../../../_support/fast-check.ts";
import { VISIBLE } from "../../../../supabase/functions/_shared/contracts/plain-text.ts";
import { splitText } from "../../../../supabase/functions/_shared/media/split-text.ts";

Deno.test("splitText: a text that fits is one trimmed part; a text of spaces has no parts", () => {
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

Deno.test("splitText: also splits at line ends and at sentence ends of scripts without spaces", () => {
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

Deno.test("splitText: no character is split", () => {
  const family = "👨‍👩‍👧";
  for (const part of splitText(family.repeat(20), 20)) {
    assertEquals(part.length % family.length, 0, part);
  }
  for (const part of splitText("é".repeat(40), 17)) {
    assert(!/^\p{M}/u.test(part));
  }
});

for (
  const [language, sentences] of [
    ["Hindi", ["नमस्ते दोस्तों।", "आप कैसे हैं?", "सब ठीक है॥"]],
    ["Urdu", ["یہ ایک کتاب ہے۔", "آپ کیسے ہیں؟", "شکریہ۔"]],
    ["Arabic", ["كيف حالك اليوم؟", "أنا بخير.", "شكرا جزيلا!"]],
    ["Armenian", ["Բարև ձեզ։", "Ինչպես եք։", "Շնորհակալություն։"]],
    ["Burmese", ["မင်္ဂလာပါ။", "နေကောင်းလား။", "ကျေးဇူးတင်ပါတယ်။"]],
    ["Khmer", ["សួស្តីបង។", "តើអ្នកសុខសប្បាយទេ?", "អរគុណ៕"]],
    ["Amharic", ["ሰላም ነው።", "እንዴት ነህ፧", "አመሰግናለሁ።"]],
    ["Mongolian", ["ᠰᠠᠶᠢᠨ᠃", "ᠪᠠᠶᠢᠨ᠃"]],
    ["German", ["„Hallo, du.“", "»Na?«", "‚Ja.‘", "Gut."]],
  ] as const
) {
  Deno.test(`splitText: sentences of ${language} are parts`, () => {
    // Two of them never fit.
    const long = sentences.map((sentence) => `${"a ".repeat(15)}${sentence}`);
    const limit = Math.max(...long.map(({ length }) => length));
    assertEquals(splitText(long.join(" "), limit), long);
  });
}

for (
  const [language, sentences] of [
    ["Chinese", ["今天天气很好。", "你好吗？", "他说：「走吧！」"]],
    ["Japanese", ["今日は晴れです。", "元気ですか？", "｢はい｡｣"]],
  ] as const
) {
  Deno.test(`splitText: sentences of ${language} end without a space`, () => {
    // Two of them never fit.
    const filled = sentences.map((sentence) => `${"あ".repeat(9)}${sentence}`);
    assertEquals(splitText(filled.join(""), 20), filled);
  });
}

Deno.test("splitText: Thai ends its sentences with a space, also after an abbreviation with points", () => {
  assertEquals(
    splitText("พ.ศ. ๒๕๖๐ วันนี้อากาศดีมาก เราไปเที่ยวกันเถอะ", 27),
    ["พ.ศ. ๒๕๖๐ วันนี้อากาศดีมาก", "เราไปเที่ยวกันเถอะ"],
  );
});

Deno.test("splitText: a long sentence without spaces is cut between the words of its script", () => {
  const words = ["今天", "天气", "很好", "我们", "去", "公园"];
  const parts = splitText(words.join("").repeat(4), 16);
  assertEquals(parts[0], "今天天气很好我们去公园今天天气");
  // Neither before a comma nor after an opening bracket.
  assertEquals(splitText("他今天去公园我们明天去公园玩儿呢，对（好）", 16), [
    "他今天去公园我们明天去公园玩儿",
    "呢，对（好）",
  ]);
});

Deno.test("splitText: a sentence end inside a tag, element or bracket does not split it", () => {
  for (
    const [text, limit, parts] of [
      [
        'Wait. <break time="1.5s" /> Continue.',
        23,
        ["Wait.", '<break time="1.5s" />', "Continue."],
      ],
      [
        "He went. [laughs softly. Twice!] Then on.",
        26,
        ["He went.", "[laughs softly. Twice!]", "Then on."],
      ],
      [
        'One <phoneme alphabet="ipa" ph="ˈmæ. dɪ">Ma. dison</phoneme> two.',
        58,
        [
          "One",
          '<phoneme alphabet="ipa" ph="ˈmæ. dɪ">Ma. dison</phoneme>',
          "two.",
        ],
      ],
      [
        "a [b [c. d] e. f] g h i",
        20,
        ["a [b [c. d] e. f] g", "h i"],
      ],
      // A bracket that does not fit is cut between its words, and one without an end is plain text.
      ["[aaaa bbbb cccc dddd]", 16, ["[aaaa bbbb cccc", "dddd]"]],
      ["[aaaa bbbb. cccc dddd", 16, ["[aaaa bbbb.", "cccc dddd"]],
      ["1 < 2. And 4 > 3, so.", 16, ["1 < 2.", "And 4 > 3, so."]],
    ] as const
  ) {
    assertEquals(splitText(text, limit), [...parts]);
  }
});

Deno.test("splitText: a part without a visible character is dropped", () => {
  const invisible = "\u200b\u2060\u00ad\u3164\ufe0f\u{e0061}\u2800";
  assertEquals(splitText(invisible, 16), []);
  const [first, last, ...more] = splitText(
    `One. ${invisible.repeat(90)} Two.`,
    16,
  );
  assertEquals([first, last?.endsWith("Two."), more], ["One.", true, []]);
});

/** Texts that are hard to split: sentence ends of many scripts, joined characters, complete and broken markup. */
const pieces = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom("word", "Dr.", "3.14", "end.", "?!"),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom("।", "۔", "؟", "։", "။", "។", "。」", "…", "\n"),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      "नमस्ते",
      "क्षि",
      "สวัสดีครับ",
      "今天天气",
      "မြန်မာ",
      "각",
      "ᄀ",
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      "👍🏽",
      "👨‍👩‍👧",
      "🇩🇪",
      "🇦",
      "a\u0301",
      " \u0308",
      "\u200d",
      "\u0301",
      "\r\n",
      "\u200b",
      "\u00a0",
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '<break time="1s"/>',
      "<p>x. y</p>",
      "[laughs. Softly]",
      "<p",
      "<b>",
      "</b>",
      "[",
      "]",
    ),
  },
);
const texts = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 600 }),
  fc.string({ unit: anyCharacter, maxLength: 600 }),
  fc.array(fc.tuple(pieces, fc.constantFrom("", " ")), { maxLength: 150 })
    .map((all) => all.flat().join("")),
);

/** The positions of the parts of a text, found from its beginning to its end. */
function placesOf(text: string, parts: readonly string[]): [number, number][] {
  let from = 0;
  return parts.map((part) => {
    const start = text.indexOf(part, from);
    assert(start >= 0, "a part is not in the text, or out of order");
    from = start + part.length;
    return [start, from];
  });
}

Deno.test("splitText: for any text, every part fits and has visible text, and nothing visible is lost", () => {
  for (const segmenter of [undefined, null]) {
    fc.assert(
      fc.property(texts, fc.integer({ min: 16, max: 200 }), (text, limit) => {
        const parts = splitText(text, limit, segmenter);
        let before = 0;
        for (const [start, end] of placesOf(text, parts)) {
          assert(end - start <= limit && VISIBLE.test(text.slice(start, end)));
          assert(!VISIBLE.test(text.slice(before, start)));
          before = end;
        }
        assert(!VISIBLE.test(text.slice(before)));
        // Well-formed text stays well-formed.
        if (text.isWellFormed()) {
          assert(parts.every((part) => part.isWellFormed()));
        }
        assertEquals(splitText(text, limit, segmenter), parts);
      }),
      { numRuns: 3000 },
    );
  }
});

Deno.test("splitText: for any text, no grapheme is cut when all of them fit", () => {
  const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
  fc.assert(
    fc.property(texts, fc.integer({ min: 16, max: 200 }), (text, limit) => {
      const characters = [...graphemes.segment(text)];
      fc.pre(characters.every(({ segment }) => segment.length <= limit));
      const starts = new Set(characters.map(({ index }) => index));
      for (const [start, end] of placesOf(text, splitText(text, limit))) {
        assert(starts.has(start), `cut before ${start}`);
        assert(end === text.length || starts.has(end), `cut before ${end}`);
      }
    }),
    { numRuns: 3000 },
  );
});

Deno.test("splitText: for any text, a tag, bracket or element that fits is in one part", () => {
  const markup = fc.constantFrom(
    '<break time="1.5s" />',
    "[laughs. Softly]",
    '<phoneme ph="a. b">c. d</phoneme>',
    "<p>one. <b>two. three</b></p>",
    "[a [b. c] d]",
  );
  const words = fc.constantFrom("one", "two.", "三。", "👨‍👩‍👧", "\n", "(x. y)");
  fc.assert(
    fc.property(
      fc.array(fc.oneof(words, markup), { minLength: 1, maxLength: 60 }),
      fc.constantFrom(" ", ""),
      fc.integer({ min: 40, max: 120 }),
      (all, separator, limit) => {
        const marks =
          /<break[^>]*>|<p>.*?<\/p>|<ph.*?<\/phoneme>|\[a.*?d\]|\[l.*?\]/g;
        const count = (text: string) => text.match(marks)?.length ?? 0;
        const text = all.join(separator);
        const parts = splitText(text, limit);
        assertEquals(
          parts.reduce((sum, part) => sum + count(part), 0),
          count(text),
        );
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("splitText: sentences are kept whole whenever each of them fits", () => {
  for (
    const [end, separator] of [[".", " "], ["।", " "], ["۔", " "], ["。", ""]]
  ) {
    const sentence = fc.array(fc.constantFrom("alpha", "beta", "gamma"), {
      minLength: 1,
      maxLength: 8,
    }).map((words) => `${words.join(" ")}${end}`);
    fc.assert(fc.property(
      fc.array(sentence, { minLength: 1, maxLength: 30 }),
      (sentences) => {
        for (const part of splitText(sentences.join(separator), 60)) {
          assert(part.endsWith(end ?? ""), part);
        }
      },
    ));
  }
});

Deno.test("splitText: for any text, the work depends only on its length", () => {
  let units = 0;
  class Counting extends Intl.Segmenter {
    override segment(text: string): Intl.Segments {
      units += text.length;
      return super.segment(text);
    }
  }
  for (
    const piece of [
      "x",
      ".",
      "।",
      "<a ",
      '<"',
      "[",
      "👨\u200d",
      "\u0301",
      "ก ",
      "今天天气",
    ]
  ) {
    const text = `a${piece.repeat(50_000 / piece.length)}`;
    units = 0;
    splitText(
      text,
      5_000,
      (granularity) => new Counting(undefined, { granularity }),
    );
    assert(units < 5 * text.length, `${JSON.stringify(piece)}: ${units}`);
  }
});
