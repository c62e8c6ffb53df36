import { assertEquals } from "@std/assert";
import { voiceCloneMetadataSchema } from "../../../../supabase/functions/_shared/contracts/voice-clone.ts";

/** Paths of the fields that the schema refuses; empty when it accepts the value. */
function wrongFields(value: unknown): string[] {
  const result = voiceCloneMetadataSchema.safeParse(value);
  return result.success
    ? []
    : result.error.issues.map((issue) => issue.path.join("."));
}

Deno.test("voiceCloneMetadataSchema: only a name is required, and the settings have defaults", () => {
  assertEquals(voiceCloneMetadataSchema.parse({ voice_name: "  Grandma\t" }), {
    voice_name: "Grandma",
    stability: 0.5,
    similarity_boost: 0.75,
    remove_background_noise: false,
  });
});

Deno.test("voiceCloneMetadataSchema: without voice_name it is Cloned Voice, and name is unknown", () => {
  assertEquals(voiceCloneMetadataSchema.parse({}).voice_name, "Cloned Voice");
  assertEquals(
    voiceCloneMetadataSchema.safeParse({ name: "Grandma" }).success,
    false,
  );
});

const twentyLabels = Object.fromEntries(
  Array.from({ length: 20 }, (_, index) => [`label${index}`, "x"]),
);
for (
  const [field, right, wrong] of [
    ["voice_name", "n".repeat(100), "n".repeat(101)],
    ["voice_name", "n", " \n "],
    ["voice_name", "Großmutter 😀", "Grandma\0"],
    ["voice_name", "Grandma\tSmith", "Grandma\x1b[31m"],
    ["voice_name", "\u{1f600}", "\ud83d"],
    ["voice_name", "7", 7],
    ["description", "d".repeat(400), "d".repeat(401)],
    ["description", "two\r\nlines", "a\x07bell"],
    ["description", "x", ""],
    ["description", undefined, null],
    ["labels", twentyLabels, { ...twentyLabels, one: "more" }],
    ["labels", {}, []],
    ["labels", { language: "" }, { language: "\0" }],
    ["labels", { language: "v".repeat(100) }, { language: "v".repeat(101) }],
    ["labels", { language: "\u{1f600}" }, { language: "\ude00" }],
    ["labels", { ["k".repeat(40)]: "v" }, { ["k".repeat(41)]: "v" }],
    ["labels", { k: "v" }, { "": "v" }],
    ["labels", { k: "v" }, { "k\0": "v" }],
    ["labels", { k: "1" }, { k: 1 }],
    ["stability", 0, -0.001],
    ["stability", 1, 1.001],
    ["stability", 0.5, "0.5"],
    ["stability", 0.5, NaN],
    ["similarity_boost", 0, -1],
    ["similarity_boost", 1, Infinity],
    ["remove_background_noise", true, "true"],
  ] as const
) {
  const show = (value: unknown) =>
    (JSON.stringify(value) ?? "undefined").slice(0, 30);
  Deno.test(`voiceCloneMetadataSchema: ${field} may be ${show(right)}… and not ${show(wrong)}…`, () => {
    const metadata = { voice_name: "Grandma" };
    assertEquals(
      wrongFields({ ...metadata, [field]: right }),
      [],
    );
    const [first, ...more] = wrongFields({
      ...metadata,
      [field]: wrong,
    });
    assertEquals(first?.split(".")[0], field);
    assertEquals(more, []);
  });
}
