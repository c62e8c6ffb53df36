/** The job type `text_to_speech`, as apps ask for it and as they get it back. */
import { z } from "zod";
import { plainText, unitInterval } from "./plain-text.ts";

/** The speech models of the provider that can be asked for. */
export const SPEECH_MODELS = [
  "eleven_multilingual_v2",
  "eleven_v3",
  "eleven_flash_v2_5",
  "eleven_flash_v2",
  "eleven_turbo_v2_5",
  "eleven_turbo_v2",
] as const;
export type SpeechModel = (typeof SPEECH_MODELS)[number];

/** Sample rate and kbit/s of the MP3. */
export const SPEECH_OUTPUT_FORMATS = [
  "mp3_22050_32",
  "mp3_44100_32",
  "mp3_44100_64",
  "mp3_44100_96",
  "mp3_44100_128",
  "mp3_44100_192",
] as const;
export type SpeechOutputFormat = (typeof SPEECH_OUTPUT_FORMATS)[number];

/** All parameters of a job together have 64 KiB in the database; the text gets most of it. */
const MAX_TEXT_BYTES = 60_000;

/** Parameters of speech. The voice's own settings are used for what `settings` leaves out. */
export const textToSpeechMetadataSchema = z.strictObject({
  text: plainText(50_000).refine(
    (text) =>
      new TextEncoder().encode(JSON.stringify(text)).length <=
        MAX_TEXT_BYTES,
    `may have ${MAX_TEXT_BYTES} bytes at most`,
  ).describe("What is to be said."),
  voice_id: z.string().regex(
    /^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9]{10,40})$/,
    "must be the id of a voice of yours, or of a stock voice",
  ).optional().describe(
    "Left out when the job depends on a voice clone: then it is the voice that is made.",
  ),
  model: z.enum(SPEECH_MODELS).default("eleven_multilingual_v2"),
  output_format: z.enum(SPEECH_OUTPUT_FORMATS).default("mp3_44100_128"),
  language_code: z.string().regex(/^[a-z]{2,3}$/, "must be ISO 639, as en")
    .optional(),
  settings: z.strictObject({
    stability: unitInterval.optional(),
    similarity_boost: unitInterval.optional(),
    style: unitInterval.optional(),
    use_speaker_boost: z.boolean().optional(),
    speed: z.number().min(0.7).max(1.2).optional(),
  }).default({}),
  seed: z.number().int().min(0).max(4_294_967_295).optional().describe(
    "The same seed tends to give the same sound.",
  ),
});
export type TextToSpeechMetadata = z.infer<typeof textToSpeechMetadataSchema>;

/** Result of speech; the file is the job's output. */
export const textToSpeechResultSchema = z.object({
  voice_id: z.string().min(1),
  model: z.string().min(1),
  characters: z.number().int().positive(),
  parts: z.number().int().positive(),
  duration_seconds: z.number().positive(),
  size_bytes: z.number().int().positive(),
  content_type: z.literal("audio/mpeg"),
  cached: z.literal(true).optional(),
});
export type TextToSpeechResult = z.infer<typeof textToSpeechResultSchema>;
