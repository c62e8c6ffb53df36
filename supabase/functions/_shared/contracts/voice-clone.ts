/** The job type `voice_clone`: its parameters, request and result. */
import { z } from "zod";
import { inputUrl, jobOptions } from "./job-request.ts";
import { plain, plainText, unitInterval } from "./plain-text.ts";

/** The default name of a voice. */
const DEFAULT_VOICE_NAME = "Cloned Voice";

/**
 * Parameters of a voice clone. Stability and similarity are stored with the voice, for later speech. The intake trigger
 * (`private.admit_ai_job`) has the same default name.
 */
export const voiceCloneMetadataSchema = z.strictObject({
  voice_name: plainText(100).default(DEFAULT_VOICE_NAME).describe(
    "Name of the voice.",
  ),
  description: plainText(400).optional(),
  labels: z.record(plain.min(1).max(40), plain.max(100))
    .refine(
      (labels) => Object.keys(labels).length <= 20,
      "must have at most 20 entries",
    ).optional(),
  stability: unitInterval.default(0.5).describe("0 is expressive, 1 is even."),
  similarity_boost: unitInterval.default(0.75).describe(
    "How closely the voice follows the recording.",
  ),
  remove_background_noise: z.boolean().default(false),
});
/** See {@link voiceCloneMetadataSchema}. */
export type VoiceCloneMetadata = z.infer<typeof voiceCloneMetadataSchema>;

/** A request for a voice clone. */
export const voiceCloneRequestSchema = z.strictObject({
  ...jobOptions,
  job_type: z.literal("voice_clone"),
  input_url: inputUrl("recording"),
  metadata: voiceCloneMetadataSchema.prefault({}),
});

/** Result of a voice clone. */
export const voiceCloneResultSchema = z.object({
  voice_id: z.uuid().describe(
    "The row of voices, which text_to_speech accepts.",
  ),
  provider_voice_id: z.string().min(1).describe(
    "The voice's id at ElevenLabs.",
  ),
  voice_name: z.string().min(1),
});
/** See {@link voiceCloneResultSchema}. */
export type VoiceCloneResult = z.infer<typeof voiceCloneResultSchema>;
