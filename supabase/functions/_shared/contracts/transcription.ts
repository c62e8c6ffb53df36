/** The job type `transcription`: its parameters, request and result. */
import { z } from "zod";
import { inputUrl, jobOptions } from "./job-request.ts";

/** Parameters of a transcription. */
export const transcriptionMetadataSchema = z.strictObject({
  call_id: z.uuid().optional().describe(
    "Id of one of your calls, which receives the transcript.",
  ),
  language_code: z.string().regex(
    /^[a-z]{2,3}$/,
    "must be an ISO 639 code such as en",
  )
    .optional().describe("Default: detected."),
  speaker_count: z.number().int().min(1).max(32).optional().describe(
    "Number of speakers. Default: detected.",
  ),
  tag_audio_events: z.boolean().default(false).describe(
    "Also transcribes events such as laughter and footsteps.",
  ),
  output_format: z.enum(["json", "srt"]).default("json"),
});
export type TranscriptionMetadata = z.infer<typeof transcriptionMetadataSchema>;

/** A request for a transcription. */
export const transcriptionRequestSchema = z.strictObject({
  ...jobOptions,
  job_type: z.literal("transcription"),
  input_url: inputUrl("recording"),
  metadata: transcriptionMetadataSchema.default({
    tag_audio_events: false,
    output_format: "json",
  }),
});

/** What one speaker said without a long pause. Times are in seconds. */
const transcriptSegmentSchema = z.object({
  speaker: z.string().nullable(),
  start: z.number(),
  end: z.number(),
  text: z.string(),
});

/** The JSON file of a transcription, and `calls.transcript_data`. */
export const transcriptFileSchema = z.object({
  language_code: z.string().nullable(),
  duration_seconds: z.number().nullable(),
  speakers: z.array(z.string()),
  text: z.string(),
  segments: z.array(transcriptSegmentSchema),
  words: z.array(z.object({
    text: z.string(),
    start: z.number(),
    end: z.number(),
    speaker: z.string().nullable(),
    type: z.enum(["word", "audio_event"]),
  })),
});
export type TranscriptFile = z.infer<typeof transcriptFileSchema>;

/** Maximum number of characters of the transcript in `result_data`; the complete transcript is the job's output. */
export const MAX_RESULT_TEXT = 10_000;

/** Result of a transcription; the file is the job's output. */
export const transcriptionResultSchema = z.object({
  provider_transcription_id: z.string().min(1),
  text: z.string().max(MAX_RESULT_TEXT),
  is_text_cut: z.boolean(),
  language_code: z.string().nullable(),
  duration_seconds: z.number().nullable(),
  word_count: z.number().int().min(0),
  speaker_count: z.number().int().min(0),
  content_type: z.string(),
});
export type TranscriptionResult = z.infer<typeof transcriptionResultSchema>;
