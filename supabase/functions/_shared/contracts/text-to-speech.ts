/** The job type `text_to_speech`: its parameters, request and result. */
import { z } from "zod";
import { jobOptions } from "./job-request.ts";
import { plainText, unitInterval } from "./plain-text.ts";
import {
  modelsForLanguage,
  SPEECH_MODEL_RULES,
  SPEECH_MODELS,
  SPEECH_OUTPUT_FORMATS,
  SPEECH_SPEED,
  type SpeechModel,
} from "./speech-models.ts";

/** The database limits all parameters of a job to 64 KiB; the text may use most of it. */
const MAX_TEXT_BYTES = 60_000;

const settings = z.strictObject({
  stability: unitInterval.optional(),
  similarity_boost: unitInterval.optional(),
  style: unitInterval.optional(),
  use_speaker_boost: z.boolean().optional(),
  speed: z.number().min(SPEECH_SPEED.min).max(SPEECH_SPEED.max).optional(),
});

/**
 * Parameters of speech. Omitted `settings` default to those of the voice.
 *
 * Refuses what the chosen model would refuse, by {@link SPEECH_MODEL_RULES}: a stability between its steps, and a
 * language code that it does not support.
 */
export const textToSpeechMetadataSchema = z.strictObject({
  text: plainText(50_000).refine(
    (text) =>
      new TextEncoder().encode(JSON.stringify(text)).length <=
        MAX_TEXT_BYTES,
    `must have at most ${MAX_TEXT_BYTES} bytes`,
  ).describe("The text to speak."),
  voice_id: z.string().regex(
    /^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9]{10,40})$/,
    "must be the id of one of your voices, or of a stock voice",
  ).optional().describe(
    "Leave it out if the job depends on a voice clone; then that voice is used.",
  ),
  model: z.enum(SPEECH_MODELS).default("eleven_multilingual_v2"),
  output_format: z.enum(SPEECH_OUTPUT_FORMATS).default("mp3_44100_128"),
  language_code: z.string().regex(/^[a-z]{2,3}$/, {
    error: "must be an ISO 639 code such as en",
    abort: true,
  })
    .optional(),
  settings: settings.default({}),
  seed: z.number().int().min(0).max(4_294_967_295).optional().describe(
    "The same seed tends to produce the same audio.",
  ),
}).superRefine(({ model, language_code, settings }, context) => {
  const refuse = (path: string[], message: string) =>
    context.addIssue({ code: "custom", path, message });
  const { stabilitySteps } = SPEECH_MODEL_RULES[model];
  const { stability } = settings;
  if (
    stability !== undefined && stabilitySteps !== null &&
    !stabilitySteps.includes(stability)
  ) {
    refuse(
      ["settings", "stability"],
      `must be ${anyOf(stabilitySteps.map(String))} with ${model}`,
    );
  }
  const refusal = language_code === undefined
    ? null
    : languageRefusal(model, language_code);
  if (refusal !== null) refuse(["language_code"], refusal);
});
export type TextToSpeechMetadata = z.infer<typeof textToSpeechMetadataSchema>;

/** A request for speech. It has no input object: the text is in the metadata. */
export const textToSpeechRequestSchema = z.strictObject({
  ...jobOptions,
  job_type: z.literal("text_to_speech"),
  metadata: textToSpeechMetadataSchema,
}).refine(
  ({ metadata, depends_on }) =>
    metadata.voice_id !== undefined || depends_on !== undefined,
  {
    path: ["metadata", "voice_id"],
    message: "is required unless the job depends on a voice clone",
  },
);

const anyOf = (names: readonly string[]) =>
  new Intl.ListFormat("en", { type: "disjunction" }).format(names);

function languageRefusal(model: SpeechModel, code: string): string | null {
  const { languages } = SPEECH_MODEL_RULES[model];
  if (languages?.has(code)) return null;
  const others = modelsForLanguage(code);
  const advice = others.length === 0
    ? "leave it out"
    : `leave it out, or choose ${anyOf(others)}`;
  return languages === null
    ? `is not supported by ${model}; ${advice}`
    : `"${code}" is not a language of ${model}; ${advice}`;
}

/**
 * Result of speech; the MP3 is the job's output. `stability` is the value that was used: the voice's own, rounded to the
 * nearest that the model accepts; null for the provider's default.
 */
export const textToSpeechResultSchema = z.object({
  voice_id: z.string().min(1),
  model: z.string().min(1),
  character_count: z.number().int().positive(),
  part_count: z.number().int().positive(),
  stability: unitInterval.nullable(),
  duration_seconds: z.number().positive(),
  size_bytes: z.number().int().positive(),
  content_type: z.string(),
});
export type TextToSpeechResult = z.infer<typeof textToSpeechResultSchema>;
