/** The tokens of signed URLs, checked before the embedded Storage sees them: it answers 500 for a bad one. */
import { errors, type JWTPayload } from "jose";
import { z } from "zod";
import { StorageRefusal } from "./upload.ts";
import type { TokenExchange } from "../../keys/tokens.ts";

/** What a token is for. */
export type SignedIntent = "download" | "upload";

const signedClaims = z.object({
  sub: z.string(),
  bucket: z.string(),
  intent: z.enum(["download", "upload"]),
});

/**
 * Resolves when the token is good for this object.
 *
 * @throws {StorageRefusal} in the words of hosted Storage.
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
