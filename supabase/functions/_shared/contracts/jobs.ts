/** What a job is, as apps send it and as they get it back. */
import { z } from "zod";
import { avatarVideoMetadataSchema } from "./avatar-video.ts";
import { pdfRenderMetadataSchema } from "./keepsake.ts";
import { plain, plainText, unitInterval } from "./plain-text.ts";
import { textToSpeechMetadataSchema } from "./speech.ts";
import { transcriptionMetadataSchema } from "./transcription.ts";

export const JOB_STATUSES = [
  "pending",
  "processing",
  "completed",
  "failed",
  "cancelled",
] as const;
export const jobStatusSchema = z.enum(JOB_STATUSES);

/** The name of a voice that is given none. */
const DEFAULT_VOICE_NAME = "Cloned Voice";

/**
 * Parameters of a voice clone. Stability and similarity are kept on the voice, for later speech in it. `name` is the old
 * name of `voice_name` and is taken until 1.0; the database has the same rule (`private.canonical_voice_clone`).
 */
export const voiceCloneMetadataSchema = z.strictObject({
  voice_name: plainText(100).optional().describe("Name of the voice."),
  name: plainText(100).optional(),
  description: plainText(400).optional(),
  labels: z.record(plain.min(1).max(40), plain.max(100))
    .refine(
      (labels) => Object.keys(labels).length <= 20,
      "may have 20 entries at most",
    ).optional(),
  stability: unitInterval.default(0.5).describe("0 is expressive, 1 is even."),
  similarity_boost: unitInterval.default(0.75).describe(
    "How closely to keep to the recording.",
  ),
  remove_background_noise: z.boolean().default(false),
}).superRefine(({ voice_name, name }, context) => {
  if (voice_name === undefined || name === undefined || name === voice_name) {
    return;
  }
  context.addIssue({
    code: "custom",
    path: ["voice_name"],
    message: "differs from name, its old name: send voice_name alone",
  });
}).transform(({ name, voice_name, ...rest }) => ({
  voice_name: voice_name ?? name ?? DEFAULT_VOICE_NAME,
  ...rest,
}));

export type VoiceCloneMetadata = z.infer<typeof voiceCloneMetadataSchema>;

/** What every request for a job may say beside its own parameters. */
export const jobOptions = {
  depends_on: z.uuid().optional().describe(
    "A job of the same owner: this one waits for it and works with its result.",
  ),
};

/** The input object, of which `what` says what it has to be. */
const inputUrl = (what: string) =>
  z.string({
    error: ({ input }) =>
      input === undefined
        ? `is required: the ${what}, as <bucket>/<path>`
        : undefined,
  }).min(1).max(2048);

const voiceCloneRequest = z.strictObject({
  ...jobOptions,
  job_type: z.literal("voice_clone"),
  input_url: inputUrl("recording"),
  metadata: voiceCloneMetadataSchema.prefault({}),
});

/** It has no input object: the text is in the metadata. */
const textToSpeechRequest = z.strictObject({
  ...jobOptions,
  job_type: z.literal("text_to_speech"),
  metadata: textToSpeechMetadataSchema,
}).refine(
  ({ metadata, depends_on }) =>
    metadata.voice_id !== undefined || depends_on !== undefined,
  {
    path: ["metadata", "voice_id"],
    message: "is required, or a voice clone that the job depends on",
  },
);

const transcriptionRequest = z.strictObject({
  ...jobOptions,
  job_type: z.literal("transcription"),
  input_url: inputUrl("recording"),
  metadata: transcriptionMetadataSchema.default({
    tag_audio_events: false,
    output_format: "json",
  }),
});

const avatarVideoRequest = z.strictObject({
  ...jobOptions,
  job_type: z.literal("avatar_video"),
  input_url: inputUrl("photo"),
  metadata: avatarVideoMetadataSchema,
}).refine(
  ({ metadata, depends_on }) =>
    metadata.text !== undefined || metadata.audio_url !== undefined ||
    depends_on !== undefined,
  {
    path: ["metadata", "text"],
    message: "is required, or audio_url, or a speech that the job depends on",
  },
);

/** It has no input object: the slideshow names its photos. */
const pdfRenderRequest = z.strictObject({
  ...jobOptions,
  job_type: z.literal("pdf_render"),
  metadata: pdfRenderMetadataSchema,
});

/** Body of create-ai-job: one member for each job type. */
export const createAiJobRequestSchema = z.discriminatedUnion("job_type", [
  voiceCloneRequest,
  avatarVideoRequest,
  textToSpeechRequest,
  transcriptionRequest,
  pdfRenderRequest,
]);
export type CreateAiJobRequest = z.infer<typeof createAiJobRequestSchema>;

/** `Idempotency-Key` header: 1 to 255 visible ASCII characters, quoted as the draft has it or bare. */
export const idempotencyKeySchema = z.string().transform((header) =>
  header.replace(/^"(.*)"$/, "$1")
)
  .pipe(
    z.string().regex(
      /^[\x21-\x7e]{1,255}$/,
      "must be 1 to 255 visible ASCII characters",
    ),
  );

/** Answer of create-ai-job. */
export const createAiJobResponseSchema = z.object({
  job_id: z.uuid(),
  status: jobStatusSchema,
  message: z.string(),
  cached: z.boolean(),
  result_data: z.record(z.string(), z.unknown()).nullable(),
});
export type CreateAiJobResponse = z.infer<typeof createAiJobResponseSchema>;

/** Result of a voice clone. `cached` is there when an earlier equal job was reused. */
export const voiceCloneResultSchema = z.object({
  voice_id: z.string().min(1),
  voice_name: z.string().min(1),
  cached: z.literal(true).optional(),
});
export type VoiceCloneResult = z.infer<typeof voiceCloneResultSchema>;

const timestamp = z.string().min(1);

/** A row of `ai_jobs` as its owner reads it, without what only the queue needs. */
export const aiJobSchema = z.object({
  id: z.uuid(),
  job_type: z.string(),
  status: jobStatusSchema,
  progress_percentage: z.number().int(),
  stage: z.string().nullable(),
  input_url: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  output_url: z.string().nullable(),
  result_data: z.record(z.string(), z.unknown()).nullable(),
  error_code: z.string().nullable(),
  error_message: z.string().nullable(),
  provider: z.string(),
  attempt: z.number().int(),
  max_attempts: z.number().int(),
  billable_calls: z.number().int(),
  spend: z.enum(["none", "unknown", "incurred"]),
  cancel_requested_at: timestamp.nullable(),
  cached_from_job_id: z.uuid().nullable(),
  depends_on_job_id: z.uuid().nullable(),
  scheduled_at: timestamp,
  created_at: timestamp,
  started_at: timestamp.nullable(),
  completed_at: timestamp.nullable(),
  updated_at: timestamp,
});
export type AiJob = z.infer<typeof aiJobSchema>;

/** Columns of {@link aiJobSchema}, for a select. */
export const AI_JOB_COLUMNS = Object.keys(aiJobSchema.shape).join(",");

/** Answer of get-ai-job: the row, with `output_url` signed afresh and its path beside it. */
export interface GetAiJobResponse extends AiJob {
  output_path: string | null;
  output_url_expires_at: string | null;
}

/** A job as the runner holds it after the claim. `lease_token` goes with every later write. */
export const claimedJobSchema = z.object({
  id: z.uuid(),
  user_id: z.uuid(),
  job_type: z.string(),
  provider: z.string(),
  input_url: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  spend: z.enum(["none", "unknown", "incurred"]),
  attempt: z.number().int().min(1),
  max_attempts: z.number().int(),
  input_hash: z.string().nullable(),
  depends_on_job_id: z.uuid().nullable(),
  lease_token: z.uuid(),
  lease_expires_at: timestamp,
  started_at: timestamp,
  updated_at: timestamp,
});
export type ClaimedJob = z.infer<typeof claimedJobSchema>;

/** The completed job that another depends on, as far as that works with it. */
export const dependencySchema = z.object({
  id: z.uuid(),
  job_type: z.string(),
  output_url: z.string().nullable(),
  result_data: z.record(z.string(), z.unknown()),
});
/** See {@link dependencySchema}. */
export type Dependency = z.infer<typeof dependencySchema>;

/** Body of cancel-ai-job and retry-ai-job. */
export const jobIdRequestSchema = z.strictObject({ job_id: z.uuid() });

/** Answer of cancel-ai-job and retry-ai-job: where the job stands now, and whether money was spent. */
export const jobStandingSchema = z.object({
  job_id: z.uuid(),
  status: jobStatusSchema,
  spend: z.enum(["none", "unknown", "incurred"]),
  message: z.string(),
});
/** See {@link jobStandingSchema}. */
export type JobStanding = z.infer<typeof jobStandingSchema>;

/** Query of list-ai-jobs. `cursor` is the `next_cursor` of the page before. */
export const listAiJobsQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  cursor: z.string().max(200).optional(),
  status: jobStatusSchema.optional(),
  job_type: z.string().regex(/^[a-z][a-z0-9_]{1,62}$/, "must be a job type")
    .optional(),
});

/** Answer of list-ai-jobs: newest first; `next_cursor` is null on the last page. */
export interface ListAiJobsResponse {
  jobs: AiJob[];
  next_cursor: string | null;
}
