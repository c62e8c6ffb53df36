import { assert, assertEquals } from "@std/assert";
import {
  createAiJobRequestSchema,
  idempotencyKeySchema,
  voiceCloneMetadataSchema,
} from "../../../../supabase/functions/_shared/contracts/jobs.ts";

const OBJECT = "voice-samples/3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11/grandma.mp3";

/** Field paths that a schema finds wrong; empty when it takes the value. */
function wrongFields(
  schema: typeof voiceCloneMetadataSchema | typeof createAiJobRequestSchema,
  value: unknown,
): string[] {
  const result = schema.safeParse(value);
  return result.success
    ? []
    : result.error.issues.map((issue) => issue.path.join("."));
}

Deno.test("voiceCloneMetadataSchema: a name is enough, and the settings have defaults", () => {
  assertEquals(voiceCloneMetadataSchema.parse({ voice_name: "  Grandma\t" }), {
    voice_name: "Grandma",
    stability: 0.5,
    similarity_boost: 0.75,
    remove_background_noise: false,
  });
});

Deno.test("voiceCloneMetadataSchema: without a name it is Cloned Voice; name is the old name of voice_name", () => {
  const nameOf = (given: unknown) =>
    voiceCloneMetadataSchema.parse(given).voice_name;
  assertEquals(nameOf({}), "Cloned Voice");
  assertEquals(nameOf({ name: "Grandma" }), "Grandma");
  assertEquals(nameOf({ name: "Grandma", voice_name: "Grandma" }), "Grandma");
  assert(!("name" in voiceCloneMetadataSchema.parse({ name: "Grandma" })));
  assertEquals(
    wrongFields(voiceCloneMetadataSchema, {
      name: "Grandma",
      voice_name: "Grandpa",
    }),
    ["voice_name"],
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
      wrongFields(voiceCloneMetadataSchema, { ...metadata, [field]: right }),
      [],
    );
    const [first, ...more] = wrongFields(voiceCloneMetadataSchema, {
      ...metadata,
      [field]: wrong,
    });
    assertEquals(first?.split(".")[0], field);
    assertEquals(more, []);
  });
}

Deno.test("createAiJobRequestSchema: takes a voice clone, and no member that it does not know", () => {
  const request = {
    job_type: "voice_clone",
    input_url: OBJECT,
    metadata: { voice_name: "Grandma" },
  };
  assertEquals(wrongFields(createAiJobRequestSchema, request), []);
  assertEquals(
    wrongFields(createAiJobRequestSchema, { ...request, user_id: "x" }),
    [""],
  );
  assertEquals(
    wrongFields(createAiJobRequestSchema, {
      ...request,
      metadata: { voice_name: "Grandma", voice_id: "x" },
    }),
    ["metadata"],
  );
  for (const input_url of [undefined, "", "x".repeat(2049)]) {
    assertEquals(
      wrongFields(createAiJobRequestSchema, { ...request, input_url }),
      ["input_url"],
    );
  }
  for (const job_type of [undefined, "voice-clone", "VOICE_CLONE", 1]) {
    assertEquals(
      wrongFields(createAiJobRequestSchema, { ...request, job_type }),
      ["job_type"],
    );
  }
});

for (
  const [header, key] of [
    [
      "8e03978e-40d5-43dd-bc93-6894a57f9324",
      "8e03978e-40d5-43dd-bc93-6894a57f9324",
    ],
    ['"8e03978e-40d5"', "8e03978e-40d5"],
    ["a", "a"],
    ["k".repeat(255), "k".repeat(255)],
    [`"${"k".repeat(255)}"`, "k".repeat(255)],
    ['"', '"'],
    ['a"b', 'a"b'],
    ["!~", "!~"],
  ] as const
) {
  Deno.test(`idempotencyKeySchema: reads ${header.slice(0, 40)}`, () => {
    assertEquals(idempotencyKeySchema.parse(header), key);
  });
}

for (
  const header of [
    "",
    '""',
    "a b",
    '" a"',
    "schlüssel",
    "a\tb",
    "k".repeat(256),
    `"${"k".repeat(256)}"`,
  ]
) {
  Deno.test(`idempotencyKeySchema: refuses ${JSON.stringify(header.slice(0, 40))} (${header.length} characters)`, () => {
    assert(!idempotencyKeySchema.safeParse(header).success);
  });
}
