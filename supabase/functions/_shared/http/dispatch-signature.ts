/** Verifies that a request comes from our own database: Standard Webhooks, HMAC-SHA256. */
import { decodeBase64, encodeBase64 } from "@std/encoding";
import { AppError } from "../failures/app-error.ts";
import type { Bytes } from "../platform/bytes.ts";

/** Bytes of an HMAC-SHA256. */
const SIGNATURE_BYTES = 32;

/** Who sent a verified dispatch: its id, and when it was signed, by the database's clock (unix seconds). */
export interface VerifiedDispatch {
  messageId: string;
  sentAtUnix: number;
}

/**
 * Checks `webhook-id`, `webhook-timestamp` and `webhook-signature` over the raw body, in constant time
 * (https://www.standardwebhooks.com, "Signature scheme"; a header may have several signatures). The body is read only
 * once the headers have the right form.
 *
 * The age is not checked here, because this worker's clock may be wrong: the database does that (AJ040), and refuses a
 * repeated message (AJ041).
 *
 * @throws {AppError} `dispatch_signature_invalid` when a header is missing or malformed or nothing matches.
 */
export async function verifyDispatchSignature(
  headers: Headers,
  readBody: () => Promise<string>,
  secret: string,
): Promise<VerifiedDispatch> {
  const messageId = headers.get("webhook-id") ?? "";
  const timestamp = headers.get("webhook-timestamp") ?? "";
  const signatures = (headers.get("webhook-signature") ?? "").split(" ")
    .filter((entry) => entry.startsWith("v1,")).slice(0, 5)
    .map((entry) => tryDecodeBase64(entry.slice("v1,".length)))
    .filter((signature) => signature.length === SIGNATURE_BYTES);
  if (
    !/^[\x21-\x7e]{1,128}$/.test(messageId) || messageId.includes(".") ||
    !/^[0-9]{1,12}$/.test(timestamp) || signatures.length === 0
  ) {
    throw new AppError("dispatch_signature_invalid");
  }
  const key = await keyOf(secret);
  const signed = new TextEncoder().encode(
    `${messageId}.${timestamp}.${await readBody()}`,
  );
  let isValid = false;
  for (const signature of signatures) {
    if (await crypto.subtle.verify("HMAC", key, signature, signed)) {
      isValid = true;
    }
  }
  if (!isValid) throw new AppError("dispatch_signature_invalid");
  return { messageId, sentAtUnix: Number(timestamp) };
}

/** The headers that sign a call, as the database signs its own. `sentAt` is truncated to seconds. */
export async function dispatchHeaders(
  { messageId, sentAt, body }: {
    messageId: string;
    sentAt: Date;
    body: string;
  },
  secret: string,
): Promise<Record<string, string>> {
  const timestamp = Math.floor(sentAt.getTime() / 1000);
  const signature = await crypto.subtle.sign(
    "HMAC",
    await keyOf(secret),
    new TextEncoder().encode(`${messageId}.${timestamp}.${body}`),
  );
  return {
    "webhook-id": messageId,
    "webhook-timestamp": `${timestamp}`,
    "webhook-signature": `v1,${encodeBase64(signature)}`,
  };
}

/** Imported once: an isolate has one secret. */
let imported: { secret: string; key: Promise<CryptoKey> } | undefined;

function keyOf(secret: string): Promise<CryptoKey> {
  if (imported?.secret !== secret) {
    imported = {
      secret,
      key: crypto.subtle.importKey(
        "raw",
        decodeBase64(secret.replace(/^whsec_/, "")),
        { name: "HMAC", hash: "SHA-256" },
        false,
        ["sign", "verify"],
      ),
    };
  }
  return imported.key;
}

function tryDecodeBase64(text: string): Bytes {
  try {
    return decodeBase64(text);
  } catch {
    return new Uint8Array();
  }
}
