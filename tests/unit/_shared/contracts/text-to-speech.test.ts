import { assert, assertEquals } from "@std/assert";
import {
  modelsForLanguage,
  nearestStability,
  SPEECH_MODELS,
} from "../../../../supabase/functions/_shared/contracts/speech-models.ts";
import { textToSpeechMetadataSchema } from "../../../../supabase/functions/_shared/contracts/text-to-speech.ts";

/** The issues of these parameters, as `field: message`. */
function refusals(metadata: Record<string, unknown>): string[] {
  const result = textToSpeechMetadataSchema.safeParse({
    text: "Hello.",
    ...metadata,
  });
  return result.error?.issues.map(({ path, message }) =>
    `${path.join(".")}: ${message}`
  ) ?? [];
}

const STABILITIES = [0, 0.1, 0.25, 0.5, 0.7, 1];

Deno.test("textToSpeechMetadataSchema: eleven_v3 accepts a stability of 0, 0.5 or 1, every other model any", () => {
  for (const model of SPEECH_MODELS) {
    const taken = STABILITIES.filter((stability) =>
      refusals({ model, settings: { stability } }).length === 0
    );
    assertEquals(taken, model === "eleven_v3" ? [0, 0.5, 1] : STABILITIES);
  }
  assertEquals(refusals({ model: "eleven_v3", settings: { stability: 0.4 } }), [
    "settings.stability: must be 0, 0.5, or 1 with eleven_v3",
  ]);
});

Deno.test("textToSpeechMetadataSchema: a language code is accepted only for models that support it", () => {
  const taken = (language_code: string) =>
    SPEECH_MODELS.filter((model) =>
      refusals({ model, language_code }).length === 0
    );
  const v2_5 = ["eleven_flash_v2_5", "eleven_turbo_v2_5"];
  assertEquals(taken("en"), ["eleven_v3", ...v2_5]);
  assertEquals(taken("fil"), ["eleven_v3", ...v2_5]);
  assertEquals(taken("fa"), ["eleven_v3"]);
  assertEquals(taken("xx"), []);
  for (const code of ["en", "fil", "fa", "xx"]) {
    assertEquals(taken(code), modelsForLanguage(code));
  }
});

Deno.test("textToSpeechMetadataSchema: the refusal of a language code lists the models that accept it", () => {
  assertEquals(refusals({ language_code: "hu" }), [
    "language_code: is not supported by eleven_multilingual_v2; leave it out, or choose " +
    "eleven_v3, eleven_flash_v2_5, or eleven_turbo_v2_5",
  ]);
  assertEquals(
    refusals({ language_code: "fa", model: "eleven_flash_v2_5" }),
    [
      'language_code: "fa" is not a language of eleven_flash_v2_5; leave it out, or choose eleven_v3',
    ],
  );
  assertEquals(refusals({ language_code: "xx", model: "eleven_v3" }), [
    'language_code: "xx" is not a language of eleven_v3; leave it out',
  ]);
  assertEquals(refusals({ language_code: "english", model: "eleven_v3" }), [
    "language_code: must be an ISO 639 code such as en",
  ]);
});

Deno.test("nearestStability: the nearest step of eleven_v3, the higher of two; for other models the value", () => {
  for (
    const [stability, step] of [
      [0, 0],
      [0.2, 0],
      [0.25, 0.5],
      [0.5, 0.5],
      [0.74, 0.5],
      [0.75, 1],
      [1, 1],
    ] as const
  ) {
    assertEquals(nearestStability("eleven_v3", stability), step);
    assertEquals(
      nearestStability("eleven_multilingual_v2", stability),
      stability,
    );
  }
});

Deno.test("textToSpeechMetadataSchema: a text of only spaces and invisible characters is empty", () => {
  for (
    const text of ["\u200b", " \u2060\ufeff ", "\u3164", "\u00ad", "\u2800"]
  ) {
    const message = text.trim() === ""
      ? "Too small"
      : "must contain a visible character";
    assert(refusals({ text })[0]?.startsWith(`text: ${message}`), text);
  }
  assertEquals(refusals({ text: "\u200b!" }), []);
  // A control character is reported as such, not also as invisible.
  assertEquals(refusals({ text: "\u0001" }), [
    "text: has control characters or broken Unicode",
  ]);
});
