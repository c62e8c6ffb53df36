/** Checks the tokens of signed URLs before the embedded Storage, which answers 500 for an invalid one. */
import { errors, type JWTPayload } from "jose";
import { z } from "zod";
import { StorageRefusal } from "./upload.ts";
import type { TokenExchange } from "../../keys/tokens.ts";

/** The purpose of a token. */
export type SignedIntent = "download" | "upload";

const signedClaims = z.object({
  sub: z.string(),
  bucket: z.string(),
  intent: z.enum(["download", "upload"]),
});

/**
 * Resolves when the token is valid for this object.
 *
 * @throws {StorageRefusal} with the messages of hosted Storage.
 */
export async function checkSignature(
  tokens: TokenExchange,
  token: string,
  target: { bucket: string; name: string },
  intent: SignedIntent,
): Promise<void> {
  let payload: JWTPayload;
  try {
    payload = await tokens.verifyInner(token);
  } catch (error) {
    const message = error instanceof errors.JOSEError
      ? error.message
      : "jwt malformed";
    throw new StorageRefusal("400", "InvalidJWT", message);
  }
  const claims = signedClaims.safeParse(payload);
  if (
    !claims.success || claims.data.intent !== intent ||
    claims.data.bucket !== target.bucket || claims.data.sub !== target.name
  ) {
    throw new StorageRefusal("400", "InvalidSignature", "Invalid signature");
  }
}
