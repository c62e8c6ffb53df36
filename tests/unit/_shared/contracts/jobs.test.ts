import { assert, assertEquals } from "@std/assert";
import {
  createAiJobRequestSchema,
  idempotencyKeySchema,
} from "../../../../supabase/functions/_shared/contracts/jobs.ts";

const OBJECT = "voice-samples/3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11/grandma.mp3";

/** Paths of the fields that the schema refuses; empty when it accepts the request. */
function wrongFields(
  value: unknown,
): string[] {
  const result = createAiJobRequestSchema.safeParse(value);
  return result.success
    ? []
    : result.error.issues.map((issue) => issue.path.join("."));
}

Deno.test("createAiJobRequestSchema: accepts a voice clone, and no unknown member", () => {
  const request = {
    job_type: "voice_clone",
    input_url: OBJECT,
    metadata: { voice_name: "Grandma" },
  };
  assertEquals(wrongFields(request), []);
  assertEquals(
    wrongFields({ ...request, user_id: "x" }),
    [""],
  );
  assertEquals(
    wrongFields({
      ...request,
      metadata: { voice_name: "Grandma", voice_id: "x" },
    }),
    ["metadata"],
  );
  for (const input_url of [undefined, "", "x".repeat(2049)]) {
    assertEquals(
      wrongFields({ ...request, input_url }),
      ["input_url"],
    );
  }
  for (const job_type of [undefined, "voice-clone", "VOICE_CLONE", 1]) {
    assertEquals(
      wrongFields({ ...request, job_type }),
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
