/**
 * Verifies webhooks of AI providers over the raw body, in constant time. None of them follows Standard Webhooks.
 *
 * What is verified is who speaks, never what is said: the job reads its own truth from the provider. The body is read only
 * once the headers have the form of the provider's, so that strangers cannot make a function hold what they send.
 */
import { AppError } from "../errors.ts";
import type { Bytes } from "../platform/bytes.ts";

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
  readBody: () => Promise<Bytes>,
  secret: string,
): Promise<VerifiedWebhook> {
  const header = /^t=([0-9]{1,12})((?:,v0=[0-9a-f]{64}){1,5})$/.exec(
    headers.get("elevenlabs-signature") ?? "",
  );
  if (header === null) throw new AppError("webhook_signature_invalid");
  const [, timestamp = "", rest = ""] = header;
  const body = await readBody();
  const signed = await new Blob([`${timestamp}.`, body]).arrayBuffer();
  const signatures = rest.split(",v0=").slice(1);
  await requireSignature(secret, new Uint8Array(signed), signatures);
  return {
    eventIds: [await digestOf(body)],
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
  readBody: () => Promise<Bytes>,
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
  const body = await readBody();
  await requireSignature(secret, body, [signature]);
  return {
    eventIds: [`id:${eventId}`, await digestOf(body)],
    sentAtUnix: Number(timestamp),
    toleranceSeconds: 300,
  };
}

/**
 * The last two parts of the address that D-ID gets for a job: its id and a token that nobody can guess, the HMAC-SHA256 of
 * the id. D-ID signs nothing, so the address is what it is known by. Nothing of it is stored.
 */
export async function dIdCallbackPath(
  jobId: string,
  secret: string,
): Promise<string> {
  const mac = await crypto.subtle.sign(
    "HMAC",
    await importKey(secret, "sign"),
    tokenText(jobId),
  );
  return `${jobId}/${toHex(new Uint8Array(mac))}`;
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
  readBody: () => Promise<Bytes>,
  secret: string,
): Promise<VerifiedWebhook> {
  const signatures = /^[0-9a-f]{64}$/.test(token) ? [token] : [];
  await requireSignature(secret, tokenText(jobId), signatures);
  return {
    eventIds: [`${jobId}:${await digestOf(await readBody())}`],
    sentAtUnix: undefined,
    toleranceSeconds: 0,
  };
}

function tokenText(jobId: string): Bytes {
  return new TextEncoder().encode(`d-id-webhook:${jobId}`);
}

/** One of the signatures (lower-case hex) fits, compared in constant time by the platform. */
async function requireSignature(
  secret: string,
  signed: Bytes,
  signatures: readonly string[],
): Promise<void> {
  const key = await importKey(secret, "verify");
  let isValid = false;
  for (const signature of signatures) {
    if (await crypto.subtle.verify("HMAC", key, fromHex(signature), signed)) {
      isValid = true;
    }
  }
  if (!isValid) throw new AppError("webhook_signature_invalid");
}

function importKey(
  secret: string,
  usage: "sign" | "verify",
): Promise<CryptoKey> {
  return crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    [usage],
  );
}

async function digestOf(body: Bytes): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", body);
  return `sha256:${toHex(new Uint8Array(digest))}`;
}

function toHex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(hex: string): Bytes {
  return Uint8Array.from(
    hex.match(/../g) ?? [],
    (pair) => Number.parseInt(pair, 16),
  );
}
