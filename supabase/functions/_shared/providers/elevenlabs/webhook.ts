/** ElevenLabs: its webhooks. */
import { createHmac } from "node:crypto";
import { z } from "zod";
import { AppError } from "../../failures/app-error.ts";
import {
  hashBody,
  hint,
  markerSchema,
  type NamedJob,
  namedJob,
  providerIdSchema,
  type ProviderWebhook,
  type ReadChunks,
  requireSignature,
  type VerifiedWebhook,
} from "../webhook.ts";

/**
 * ElevenLabs: `ElevenLabs-Signature: t=<unix seconds>,v0=<hex>`, HMAC-SHA256 of `<t>.<raw body>` with the secret as
 * text. A header may have several `v0`. Tolerance: 30 minutes, as in the vendor's own package, but in both directions.
 *
 * @throws {AppError} `webhook_signature_invalid`.
 */
export async function verifyElevenLabsWebhook(
  headers: Headers,
  readBody: ReadChunks,
  secret: string,
): Promise<VerifiedWebhook> {
  const header = /^t=([0-9]{1,12})((?:,v0=[0-9a-f]{64}){1,5})$/.exec(
    headers.get("elevenlabs-signature") ?? "",
  );
  if (header === null) throw new AppError("webhook_signature_invalid");
  const [, timestamp = "", rest = ""] = header;
  const mac = createHmac("sha256", secret).update(`${timestamp}.`);
  const digest = await hashBody(readBody(), mac);
  requireSignature(mac, rest.split(",v0=").slice(1));
  return {
    eventIds: [digest],
    sentAtUnix: Number(timestamp),
    toleranceSeconds: 1800,
  };
}

/** The webhook returns our metadata as an object or as its JSON text. */
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
]).pipe(z.object({ job_id: hint(markerSchema) }));

/**
 * ElevenLabs: `data.webhook_metadata.job_id` is ours; `data.transcription_id` and `data.request_id` are theirs; a
 * transcript is read by the first.
 */
export const elevenLabsWebhookSchema = z.object({
  data: z.object({
    webhook_metadata: hint(webhookMetadata),
    transcription_id: hint(providerIdSchema),
    request_id: hint(providerIdSchema),
    transcription: hint(z.object({ transcription_id: hint(providerIdSchema) })),
  }),
}).transform(({ data }): NamedJob => {
  const made = data.transcription_id ?? data.transcription?.transcription_id;
  return {
    ...namedJob(data.webhook_metadata?.job_id, made ?? data.request_id),
    ...(made === undefined || data.request_id === undefined
      ? {}
      : { submissionId: data.request_id }),
  };
});

/** The webhooks of an ElevenLabs workspace. The largest body is a word-by-word transcript of several hours. */
export const elevenLabsWebhook: ProviderWebhook = {
  maxBytes: 16_777_216,
  segments: 0,
  secretOf: (env) => env.ELEVENLABS_WEBHOOK_SECRET,
  verify: ({ headers, readBody }, secret) =>
    verifyElevenLabsWebhook(headers, readBody, secret),
  readJob: (_delivery, readJson) =>
    elevenLabsWebhookSchema.safeParse(readJson()).data ?? {},
};
