/**
 * Webhooks of providers, verified over the raw body in constant time. None of them follows Standard Webhooks.
 *
 * A signature proves the sender, and nothing in the body is trusted: a webhook only names a job, which then reads the
 * outcome from the provider.
 * The body is read only once the headers have the form of the provider's, and hashed as it arrives, so
 * that an unverified sender cannot make a function hold its data. Web Crypto cannot hash in parts; Node's hashes can.
 */
import { createHash, type Hmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { Env } from "../config/env.ts";
import { AppError } from "../failures/app-error.ts";

/** Starts to read the body; called at most once, and then read to its end. */
export type ReadChunks = () => AsyncIterable<Uint8Array>;

/** A webhook as it arrives. */
export interface WebhookDelivery {
  headers: Headers;
  /** The parts of the address after the provider's name. */
  segments: readonly string[];
  readBody: ReadChunks;
}

/** A webhook whose signature was verified. */
export interface VerifiedWebhook {
  /** Ids that distinguish this delivery from every other; one that is already known makes it a replay. */
  eventIds: string[];
  /** When it was sent, by the provider's clock (unix seconds); undefined when the provider does not say. */
  sentAtUnix: number | undefined;
  /** How far that may be from now; the database checks it. */
  toleranceSeconds: number;
}

/** The job that a webhook names, by our id or by the provider's id of what it makes; both are hints. */
export interface NamedJob {
  jobId?: string;
  providerJobId?: string;
  /** The provider's id of the request, not of its result. The response to the request may have contained only this id. */
  submissionId?: string;
}

/** The webhooks of one provider. */
export interface ProviderWebhook {
  /** Maximum number of bytes of a delivery. */
  readonly maxBytes: number;
  /** How many parts the address has after the provider's name. */
  readonly segments: number;
  /** Undefined when the deployment has no secret; then every delivery is refused. */
  secretOf(env: Env): string | undefined;
  /** @throws {AppError} `webhook_signature_invalid`. */
  verify(delivery: WebhookDelivery, secret: string): Promise<VerifiedWebhook>;
  /**
   * The job that a verified delivery names; nothing for an event of another kind.
   *
   * @param readJson the JSON body without its lists and long strings; undefined when that is still too long.
   */
  readJob(
    delivery: Pick<WebhookDelivery, "segments">,
    readJson: () => unknown,
  ): NamedJob;
}

/** Feeds `mac` with the body, and returns a digest that distinguishes this body from every other. */
export async function hashBody(
  chunks: AsyncIterable<Uint8Array>,
  mac?: Hmac,
): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) {
    hash.update(chunk);
    mac?.update(chunk);
  }
  return `sha256:${hash.digest("hex")}`;
}

/**
 * Checks that one of the signatures (64 lower-case hex digits) matches.
 *
 * @throws {AppError} `webhook_signature_invalid`.
 */
export function requireSignature(
  mac: Hmac,
  signatures: readonly string[],
): void {
  const expected = mac.digest();
  let isValid = false;
  for (const signature of signatures) {
    if (timingSafeEqual(expected, fromHex(signature))) isValid = true;
  }
  if (!isValid) throw new AppError("webhook_signature_invalid");
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(
    hex.match(/../g) ?? [],
    (pair) => Number.parseInt(pair, 16),
  );
}

/** A schema for a text that carries a job's id, with or without `job:` before it. */
export const markerSchema = z.string().regex(/^(job:)?[0-9a-f-]{36}$/i)
  .transform((text) => text.replace(/^job:/i, "")).pipe(z.uuid());
/** A schema for a provider's own id. */
export const providerIdSchema = z.string().min(1).max(255);

/** A malformed member counts as absent; the rest is still used. */
export function hint<T extends z.ZodType>(schema: T) {
  return schema.optional().catch(undefined);
}

/** A job by the ids that are known. */
export function namedJob(
  jobId: string | undefined,
  providerJobId: string | undefined,
): NamedJob {
  return {
    ...(jobId === undefined ? {} : { jobId }),
    ...(providerJobId === undefined ? {} : { providerJobId }),
  };
}
