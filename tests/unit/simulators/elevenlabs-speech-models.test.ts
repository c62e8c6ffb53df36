/**
 * Parameters that a speech model does not support: the simulator refuses them with the vendor's message, and the
 * contract before it.
 */
import { assertEquals } from "@std/assert";
import { SPEECH_MODELS } from "../../../supabase/functions/_shared/contracts/speech-models.ts";
import { textToSpeechMetadataSchema } from "../../../supabase/functions/_shared/contracts/text-to-speech.ts";
import { running } from "../_support/running-simulators.ts";

const ADAM = "pNInz6obpgDQGcFmaJgB";

async function speak(
  { url }: { url: string },
  body: Record<string, unknown>,
  outputFormat = "mp3_44100_128",
): Promise<{ status: number; detail: unknown }> {
  const response = await fetch(
    `${url}/elevenlabs/v1/text-to-speech/${ADAM}?output_format=${outputFormat}`,
    {
      method: "POST",
      headers: { "xi-api-key": "sk_1" },
      body: JSON.stringify({ text: "Hello.", ...body }),
    },
  );
  if (response.ok) {
    await response.body?.cancel();
    return { status: response.status, detail: null };
  }
  const { detail } = await response.json();
  return { status: response.status, detail };
}

for (
  const [name, body, refusal] of [
    [
      "a stability between the steps of eleven_v3",
      { model_id: "eleven_v3", voice_settings: { stability: 0.4 } },
      {
        code: "invalid_ttd_stability",
        status: "invalid_ttd_stability",
        message:
          "Invalid TTD stability value. Must be one of: [0.0, 0.5, 1.0] (0.0 = Creative, 0.5 = Natural, 1.0 = Robust)",
      },
    ],
    [
      "a language that the model does not support",
      { model_id: "eleven_flash_v2_5", language_code: "fa" },
      {
        code: "invalid_parameters",
        status: "unsupported_language",
        message:
          "Model 'eleven_flash_v2_5' does not support language_code 'fa'.",
      },
    ],
    [
      "any language with a model that accepts none",
      { model_id: "eleven_multilingual_v2", language_code: "en" },
      {
        code: "invalid_parameters",
        status: "unsupported_language",
        message:
          "Model 'eleven_multilingual_v2' does not support language_code 'en'.",
      },
    ],
    [
      "the text around it with eleven_v3",
      { model_id: "eleven_v3", previous_text: "Before." },
      {
        code: "unsupported_model",
        status: "unsupported_model",
        message:
          "Providing previous_text or next_text is not yet supported with the 'eleven_v3' model.",
        param: "model_id",
      },
    ],
    [
      "a text over the model's limit",
      { model_id: "eleven_v3", text: "x".repeat(3_001) },
      {
        code: "max_character_limit_exceeded",
        status: "max_character_limit_exceeded",
        message:
          "This request's text has 3001 characters and exceeds the character limit of 3000 characters.",
        param: "text",
      },
    ],
  ] as const
) {
  Deno.test(`simulated speech: ${name} is the vendor's 400, and nothing is paid`, async () => {
    await using simulators = await running();
    const { status, detail } = await speak(simulators, body);
    const { request_id: _id, type, ...rest } = Object(detail);
    assertEquals([status, type, rest], [400, "validation_error", refusal]);
    assertEquals(simulators.ledger.list({ operation: "speech" }), []);
  });
}

Deno.test("simulated speech: an output format that the vendor does not have is refused", async () => {
  await using simulators = await running();
  assertEquals((await speak(simulators, {}, "mp3_44100_77")).status, 422);
  assertEquals((await speak(simulators, {}, "mp3_22050_32")).status, 200);
});

Deno.test("simulated speech: the contract refuses exactly the settings and languages that a model would refuse", async () => {
  await using simulators = await running();
  for (const model of SPEECH_MODELS) {
    for (const language_code of [undefined, "en", "fil", "hu", "fa", "xx"]) {
      for (const stability of [undefined, 0, 0.4, 0.5, 1]) {
        const { status } = await speak(simulators, {
          model_id: model,
          language_code,
          voice_settings: { stability },
        });
        const { success } = textToSpeechMetadataSchema.safeParse({
          text: "Hello.",
          model,
          ...(language_code === undefined ? {} : { language_code }),
          settings: stability === undefined ? {} : { stability },
        });
        assertEquals(
          success,
          status === 200,
          `${model} ${language_code} ${stability}`,
        );
      }
    }
  }
});
