/** The rows that jobs create or fill besides their own result. `complete_ai_jobs` writes them in the same commit. */
import { z } from "zod";

const name = z.string().min(1).max(100);
const seconds = z.number().positive().nullish();

/** Becomes a row of `voices`. Provider and recording come from the job. */
const voiceProductSchema = z.strictObject({
  kind: z.literal("voice"),
  id: z.uuid().describe("The id of the row, because the result has it, too."),
  provider_voice_id: z.string().min(1),
  name,
  description: z.string().nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
  stability: z.number().min(0).max(1),
  similarity_boost: z.number().min(0).max(1),
});

/** Becomes a row of `avatars`. Provider, video (`outputUrl`) and photo (the input) come from the job. */
const avatarProductSchema = z.strictObject({
  kind: z.literal("avatar"),
  provider_video_id: z.string().min(1).max(255),
  name,
  voice_id: z.uuid().nullish().describe(
    "A row of voices of the same owner; any other id is ignored.",
  ),
  duration_seconds: seconds,
});

/** Becomes a row of `pdfs`. The file (`outputUrl`, in the bucket `pdfs`) comes from the job. */
const pdfProductSchema = z.strictObject({
  kind: z.literal("pdf"),
  title: z.string().min(1).max(200),
  slideshow_id: z.uuid().nullish().describe(
    "A row of slideshows of the same owner; any other id is ignored.",
  ),
  page_count: z.number().int().positive(),
  size_bytes: z.number().int().positive(),
});

/** Fills a row of `calls`, which must be the owner's. */
const transcriptProductSchema = z.strictObject({
  kind: z.literal("transcript"),
  call_id: z.uuid(),
  transcript: z.string(),
  transcript_data: z.record(z.string(), z.json()).nullish().describe(
    "Words with times and speakers.",
  ),
  duration_seconds: seconds,
});

/** The product of a job, by `kind`. Not every job type has one. */
export const productSchema = z.discriminatedUnion("kind", [
  voiceProductSchema,
  avatarProductSchema,
  pdfProductSchema,
  transcriptProductSchema,
]);
/** See {@link productSchema}. */
export type Product = z.infer<typeof productSchema>;
