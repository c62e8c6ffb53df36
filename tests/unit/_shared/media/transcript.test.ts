import { assert, assertEquals } from "@std/assert";
import fc from "../../../_support/fast-check.ts";
import {
  type HeardWord,
  speakersOf,
  toSegments,
  toSrt,
} from "../../../../supabase/functions/_shared/media/transcript.ts";

/** Consecutive words of half a second with spacing between. */
function said(speaker: string | null, text: string, from: number): HeardWord[] {
  return text.split(" ").flatMap((word, index): HeardWord[] => {
    const start = from + index / 2;
    const heard: HeardWord = {
      text: word,
      start,
      end: start + 0.4,
      type: "word",
      speaker,
    };
    return index === 0 ? [heard] : [
      { text: " ", start: start - 0.1, end: start, type: "spacing", speaker },
      heard,
    ];
  });
}

const talk = [
  ...said("speaker_0", "Have you eaten?", 1),
  ...said("speaker_1", "It is ten in the morning.", 3),
  ...said("speaker_1", "So, no.", 10),
];

Deno.test("toSegments: a new segment starts with each change of the speaker and after each pause", () => {
  assertEquals(
    toSegments(talk).map(({ speaker, start, text }) => [speaker, start, text]),
    [
      ["speaker_0", 1, "Have you eaten?"],
      ["speaker_1", 3, "It is ten in the morning."],
      ["speaker_1", 10, "So, no."],
    ],
  );
  assertEquals(speakersOf(talk), ["speaker_0", "speaker_1"]);
});

Deno.test("toSrt: numbered cues with times, and names where more than one speaks", () => {
  assertEquals(
    toSrt(talk),
    "1\n00:00:01,000 --> 00:00:02,400\nspeaker_0: Have you eaten?\n\n" +
      "2\n00:00:03,000 --> 00:00:05,900\nspeaker_1: It is ten in the morning.\n\n" +
      "3\n00:00:10,000 --> 00:00:10,900\nspeaker_1: So, no.\n",
  );
  assertEquals(
    toSrt(said(null, "Alone, after an hour.", 3661.5)),
    "1\n01:01:01,500 --> 01:01:03,400\nAlone, after an hour.\n",
  );
  assertEquals(toSrt([]), "");
});

Deno.test("toSrt: long speech is split into readable cues", () => {
  const srt = toSrt(said(null, "word ".repeat(200).trim(), 0));
  for (const cue of srt.split("\n\n")) {
    assert((cue.split("\n")[2] ?? "").length <= 84, cue);
  }
});

Deno.test("toSegments and toSrt: no word is lost or repeated, for any times", () => {
  const word = fc.record({
    text: fc.stringMatching(/^[a-z]{1,12}$/),
    start: fc.double({ min: 0, max: 1e5, noNaN: true }),
    end: fc.double({ min: 0, max: 1e5, noNaN: true }),
    type: fc.constantFrom("word", "audio_event"),
    speaker: fc.constantFrom("speaker_0", "speaker_1", null),
  });
  fc.assert(fc.property(fc.array(word, { maxLength: 60 }), (words) => {
    const all = words.map(({ text }) => text).join("");
    assertEquals(toSegments(words).map(({ text }) => text).join(""), all);
    const spoken = toSrt(words).split("\n\n").map((cue) =>
      (cue.trimEnd().split("\n")[2] ?? "").replace(/^speaker_\d: /, "")
    );
    assertEquals(spoken.join(""), all);
  }));
});
