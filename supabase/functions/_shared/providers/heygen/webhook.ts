/** HeyGen: its webhooks. */
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
 * HeyGen v3: `Heygen-Signature: <hex>`, HMAC-SHA256 of the raw body alone with the secret as text, `whsec_` included;
 * with `Heygen-Timestamp` (unix seconds) and `Heygen-Event-Id`.
 *
 * These two are not signed, so a recorded body could be replayed with others. Therefore the body counts as an event id
 * too.
 *
 * @throws {AppError} `webhook_signature_invalid`, also when the timestamp or the event id is missing.
 */
export async function verifyHeyGenWebhook(
  headers: Headers,
  readBody: ReadChunks,
  secret: string,
): Promise<VerifiedWebhook> {
  const timestamp = headers.get("heygen-timestamp") ?? "";
  const eventId = headers.get("heygen-event-id") ?? "";
  const signature = headers.get("heygen-signature") ?? "";
  if (
    !/^[0-9]{1,12}$/.test(timestamp) || !/^[\x21-\x7e]{1,200}$/.test(eventId) ||
    !/^[0-9a-f]{64}$/.test(signature)
  ) {
    throw new AppError("webhook_signature_invalid");
  }
  const mac = createHmac("sha256", secret);
  const digest = await hashBody(readBody(), mac);
  requireSignature(mac, [signature]);
  return {
    eventIds: [`id:${eventId}`, digest],
    sentAtUnix: Number(timestamp),
    toleranceSeconds: 300,
  };
}

/** HeyGen: `event_data.callback_id` is ours, `event_data.video_id` is theirs. */
export const heyGenWebhookSchema = z.object({
  event_data: z.object({
    callback_id: hint(markerSchema),
    video_id: hint(providerIdSchema),
  }),
}).transform(({ event_data }): NamedJob =>
  namedJob(event_data.callback_id, event_data.video_id)
);

/** The webhooks of a HeyGen account. */
export const heyGenWebhook: ProviderWebhook = {
  maxBytes: 262_144,
  segments: 0,
  secretOf: (env) => env.HEYGEN_WEBHOOK_SECRET,
  verify: ({ headers, readBody }, secret) =>
    verifyHeyGenWebhook(headers, readBody, secret),
  readJob: (_delivery, readJson) =>
    heyGenWebhookSchema.safeParse(readJson()).data ?? {},
};
