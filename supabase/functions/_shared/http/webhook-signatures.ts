/**
 * Verifies webhooks of AI providers over the raw body, in constant time. None of them follows Standard Webhooks.
 *
 * What is verified is who speaks, never what is said: the job reads its own truth from the provider. The body is read only
 * once the headers have the form of the provider's, and hashed as it comes, so that strangers cannot make a function hold
 * what they send. Web Crypto hashes nothing in parts; Node's hashes do.
 */
import {
  createHash,
  createHmac,
  type Hmac,
  timingSafeEqual,
} from "node:crypto";
import { AppError } from "../failures/app-error.ts";

/** Begins to read the body; called once at most, and read to its end. */
export type ReadChunks = () => AsyncIterable<Uint8Array>;

/** A webhook that comes from its provider. */
export interface VerifiedWebhook {
  /** What tells this delivery from every other; any that was seen before makes it a replay. */
  eventIds: string[];
  /** When it was sent, by the provider's clock (unix seconds), or undefined when the provider does not say. */
  sentAtUnix: number | undefined;
  /** How far that may lie from now, which the database judges. */
  toleranceSeconds: number;
}

/**
 * ElevenLabs: `ElevenLabs-Signature: t=<unix seconds>,v0=<hex>`, HMAC-SHA256 of `<t>.<raw body>` with the secret as text.
 * Several `v0` may stand in one header. Tolerance: 30 minutes, as in the vendor's own package, but both ways.
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

/**
 * HeyGen v3: `Heygen-Signature: <hex>`, HMAC-SHA256 of the raw body alone with the secret as text, `whsec_` included;
 * `Heygen-Timestamp` (unix seconds) and `Heygen-Event-Id` beside it.
 *
 * Neither of the two is signed, so that a recorded body could come back under others: the body itself counts as an event
 * id, too.
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

/**
 * The last two parts of the address that D-ID gets for a job: its id and a token that nobody can guess, the HMAC-SHA256 of
 * the id. D-ID signs nothing, so the address is what it is known by. Nothing of it is stored.
 */
export function dIdCallbackPath(jobId: string, secret: string): string {
  return `${jobId}/${dIdMac(jobId, secret).digest("hex")}`;
}

/**
 * D-ID: the token in the address belongs to the job in the address. The body stands for the event, so that the same
 * delivery counts once; it says nothing about time.
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

/** Feeds `mac` with the body, and answers what tells this body from every other. */
async function hashBody(
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

/** One of the signatures (64 lower-case hex digits) fits. */
function requireSignature(mac: Hmac, signatures: readonly string[]): void {
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
