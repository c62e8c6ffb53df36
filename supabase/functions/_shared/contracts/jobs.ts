/** Jobs as apps create and read them, and as a worker claims them. Each job type has its own file in this folder. */
import { z } from "zod";
import {
  avatarVideoRequestSchema,
  avatarVideoResultSchema,
} from "./avatar-video.ts";
import { pdfRenderRequestSchema, pdfRenderResultSchema } from "./pdf-render.ts";
import {
  textToSpeechRequestSchema,
  textToSpeechResultSchema,
} from "./text-to-speech.ts";
import {
  transcriptionRequestSchema,
  transcriptionResultSchema,
} from "./transcription.ts";
import {
  voiceCloneRequestSchema,
  voiceCloneResultSchema,
} from "./voice-clone.ts";

export const JOB_STATUSES = [
  "pending",
  "processing",
  "completed",
  "failed",
  "cancelled",
] as const;
export const jobStatusSchema = z.enum(JOB_STATUSES);

/** Whether a job has cost money. `unknown` while the outcome of a paid call is unknown. */
export const spendSchema = z.enum(["none", "unknown", "incurred"]);

/** Body of create-ai-job: one member for each job type. */
export const createAiJobRequestSchema = z.discriminatedUnion("job_type", [
  voiceCloneRequestSchema,
  avatarVideoRequestSchema,
  textToSpeechRequestSchema,
  transcriptionRequestSchema,
  pdfRenderRequestSchema,
]);
export type CreateAiJobRequest = z.infer<typeof createAiJobRequestSchema>;

/** By job type, what a processor writes to `result_data`. */
export const resultSchemas = {
  voice_clone: voiceCloneResultSchema,
  avatar_video: avatarVideoResultSchema,
  text_to_speech: textToSpeechResultSchema,
  transcription: transcriptionResultSchema,
  pdf_render: pdfRenderResultSchema,
} satisfies Record<CreateAiJobRequest["job_type"], z.ZodObject>;

/** `Idempotency-Key` header: 1 to 255 visible ASCII characters, in double quotes (as in the IETF draft) or bare. */
export const idempotencyKeySchema = z.string().transform((header) =>
  header.replace(/^"(.*)"$/, "$1")
)
  .pipe(
    z.string().regex(
      /^[\x21-\x7e]{1,255}$/,
      "must be 1 to 255 visible ASCII characters",
    ),
  );

/** Response of create-ai-job. */
export const createAiJobResponseSchema = z.object({
  job_id: z.uuid(),
  status: jobStatusSchema,
  message: z.string(),
  cached: z.boolean(),
  result_data: z.record(z.string(), z.unknown()).nullable(),
});
export type CreateAiJobResponse = z.infer<typeof createAiJobResponseSchema>;

const timestamp = z.string().min(1);

/** A row of `ai_jobs` as its owner reads it, without columns that only the queue needs. */
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
  spend: spendSchema,
  cost_micros: z.number().int().describe(
    "Cost of the settled paid calls, in millionths of cost_currency.",
  ),
  cost_currency: z.string(),
  jobs_ahead: z.number().int().min(0).max(100).nullable().describe(
    "About how many jobs start before this one; 100 means 100 or more. Null unless it waits for its turn.",
  ),
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

/** The columns of {@link aiJobSchema}, for a select. */
export const AI_JOB_COLUMNS = Object.keys(aiJobSchema.shape).join(",");

/**
 * A job as get-ai-job and list-ai-jobs return it. `output_path` is `<bucket>/<path>` of the output. get-ai-job signs a
 * new URL for it; in a list `output_url` is null.
 */
export const aiJobResponseSchema = aiJobSchema.extend({
  output_path: z.string().nullable(),
  output_url_expires_at: timestamp.nullable(),
});
/** See {@link aiJobResponseSchema}. */
export type AiJobResponse = z.infer<typeof aiJobResponseSchema>;

/** The response for a row, whose `output_url` is a path; `signed` is the new signed URL of the output. */
export function toJobResponse(
  row: AiJob,
  signed: { url: string; expiresAt: string } | null,
): AiJobResponse {
  return {
    ...row,
    output_path: row.output_url,
    output_url: signed?.url ?? null,
    output_url_expires_at: signed?.expiresAt ?? null,
  };
}

/**
 * The id of an account. Any UUID: imported accounts may have ids without the version and variant of RFC 9562, which
 * Postgres accepts.
 */
export const userIdSchema = z.guid();

/** Seconds that the result cache keeps an entry. The job type's `cache_ttl_seconds` may shorten how long it counts. */
export const CACHE_TTL_SECONDS = 24 * 60 * 60;

/** A claimed job. `lease_token` must accompany every later write. */
export const claimedJobSchema = z.object({
  id: z.uuid(),
  user_id: userIdSchema,
  job_type: z.string(),
  provider: z.string(),
  input_url: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  spend: spendSchema,
  attempt: z.number().int().min(1),
  max_attempts: z.number().int(),
  input_hash: z.string().nullable(),
  depends_on_job_id: z.uuid().nullable(),
  /** The job that the database's result cache names for this input. It may be any job: see `reuse_ai_job_result`. */
  cached_from_job_id: z.uuid().nullable(),
  /** The trace of the request that created the job, or one that the database started. */
  traceparent: z.string().optional(),
  lease_token: z.uuid(),
  lease_expires_at: timestamp,
  started_at: timestamp,
  updated_at: timestamp,
});
export type ClaimedJob = z.infer<typeof claimedJobSchema>;

/** What a job can read of the completed job that it depends on. */
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

/** Response of cancel-ai-job and retry-ai-job: the current status, and whether money was spent. */
export const jobStandingSchema = z.object({
  job_id: z.uuid(),
  status: jobStatusSchema,
  spend: spendSchema,
  message: z.string(),
});
/** See {@link jobStandingSchema}. */
export type JobStanding = z.infer<typeof jobStandingSchema>;

/** Query of list-ai-jobs. `cursor` is the `next_cursor` of the previous page. */
export const listAiJobsQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  cursor: z.string().max(200).optional(),
  status: jobStatusSchema.optional(),
  job_type: z.string().regex(/^[a-z][a-z0-9_]{1,62}$/, "must be a job type")
    .optional(),
});

/** Response of list-ai-jobs: newest first; `next_cursor` is null on the last page. */
export interface ListAiJobsResponse {
  jobs: AiJobResponse[];
  next_cursor: string | null;
}
