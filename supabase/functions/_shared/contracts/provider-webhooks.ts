/**
 * What a provider's webhook names, once it is known to be the provider's. Only names are taken from it: which job to look
 * after. What became of that job's order is read from the provider.
 */
import { z } from "zod";

/** The job that a webhook names, by our id or by the provider's id of what it makes; both are hints. */
export interface NamedJob {
  jobId?: string;
  providerJobId?: string;
  /** Their id of the order, beside that of what it made: an order may have been answered with this one alone. */
  orderId?: string;
}

const marker = z.string().regex(/^(job:)?[0-9a-f-]{36}$/i).transform((text) =>
  text.replace(/^job:/i, "")
).pipe(z.uuid());
const providerId = z.string().min(1).max(255);
/** A member of the wrong form names nothing; it is no reason to refuse the rest. */
const hint = <T extends z.ZodType>(schema: T) =>
  schema.optional().catch(undefined);

/** HeyGen: `event_data.callback_id` is ours, `event_data.video_id` is theirs. */
export const heyGenWebhookSchema = z.object({
  event_data: z.object({
    callback_id: hint(marker),
    video_id: hint(providerId),
  }),
}).transform(({ event_data }): NamedJob =>
  named(event_data.callback_id, event_data.video_id)
);

/** The metadata that we sent comes back as an object or as its JSON text. */
const webhookMetadata = z.union([
  z.string().transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue({ code: "custom", message: "is not JSON" });
      return z.NEVER;
    }
  }),
  z.looseObject({}),
]).pipe(z.object({ job_id: hint(marker) }));

/**
 * ElevenLabs: `data.webhook_metadata.job_id` is ours; `data.transcription_id` and `data.request_id` are theirs, of which
 * the first is what a transcript is read by.
 */
export const elevenLabsWebhookSchema = z.object({
  data: z.object({
    webhook_metadata: hint(webhookMetadata),
    transcription_id: hint(providerId),
    request_id: hint(providerId),
    transcription: hint(z.object({ transcription_id: hint(providerId) })),
  }),
}).transform(({ data }): NamedJob => {
  const made = data.transcription_id ?? data.transcription?.transcription_id;
  return {
    ...named(data.webhook_metadata?.job_id, made ?? data.request_id),
    ...(made === undefined || data.request_id === undefined
      ? {}
      : { orderId: data.request_id }),
  };
});

function named(
  jobId: string | undefined,
  providerJobId: string | undefined,
): NamedJob {
  return {
    ...(jobId === undefined ? {} : { jobId }),
    ...(providerJobId === undefined ? {} : { providerJobId }),
  };
}
