/** D-ID: its webhooks. They are not signed; a secret in the address of each replaces the signature. */
import { createHmac, type Hmac } from "node:crypto";
import { z } from "zod";
import { type Env, webhookUrl } from "../../config/env.ts";
import {
  hashBody,
  namedJob,
  type ProviderWebhook,
  type ReadChunks,
  requireSignature,
  type VerifiedWebhook,
} from "../webhook.ts";

/**
 * The address that D-ID calls back for a job; undefined without a secret or without a URL at which providers can reach
 * us. The job then only polls.
 */
export function dIdCallbackUrl(env: Env, jobId: string): string | undefined {
  const base = webhookUrl(env);
  const secret = env.DID_WEBHOOK_SECRET;
  return base === undefined || secret === undefined
    ? undefined
    : `${base}/d-id/${dIdCallbackPath(jobId, secret)}`;
}

/**
 * The last two path segments of the webhook URL for a job: its id and an unguessable token, the HMAC-SHA256 of the id.
 * D-ID signs nothing, so the URL authenticates the delivery. It is not stored.
 */
export function dIdCallbackPath(jobId: string, secret: string): string {
  return `${jobId}/${dIdMac(jobId, secret).digest("hex")}`;
}

/**
 * D-ID: verifies that the token belongs to the job in the URL. The body identifies the event, so a repeated delivery
 * counts once. There is no timestamp.
 *
 * @throws {AppError} `webhook_signature_invalid`.
 */
export async function verifyDIdWebhook(
  jobId: string,
  token: string,
  readBody: ReadChunks,
  secret: string,
): Promise<VerifiedWebhook> {
  requireSignature(
    dIdMac(jobId, secret),
    /^[0-9a-f]{64}$/.test(token) ? [token] : [],
  );
  return {
    eventIds: [`${jobId}:${await hashBody(readBody())}`],
    sentAtUnix: undefined,
    toleranceSeconds: 0,
  };
}

function dIdMac(jobId: string, secret: string): Hmac {
  return createHmac("sha256", secret).update(`d-id-webhook:${jobId}`);
}

/** The webhooks of D-ID: `…/d-id/<job id>/<token>`. The body names nothing that the address does not. */
export const dIdWebhook: ProviderWebhook = {
  maxBytes: 262_144,
  segments: 2,
  secretOf: (env) => env.DID_WEBHOOK_SECRET,
  verify: ({ segments: [jobId = "", token = ""], readBody }, secret) =>
    verifyDIdWebhook(jobId, token, readBody, secret),
  readJob: ({ segments: [jobId] }) =>
    namedJob(z.uuid().safeParse(jobId).data, undefined),
};
