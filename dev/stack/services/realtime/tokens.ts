/** Checks tokens of Realtime clients, and refuses with the messages of the hosted server. */
import type { StackKeys } from "../../keys/keys.ts";
import type { TokenExchange } from "../../keys/tokens.ts";
import type { Caller } from "../requests/caller.ts";

/** A caller whose token is valid until `expiresAt` (milliseconds of the epoch; Infinity for an API key). */
export interface KnownCaller extends Caller {
  token: string;
  expiresAt: number;
}

/** Why a token is refused: the server's code and text. */
export interface TokenRefusal {
  code: string;
  text: string;
}

/** The caller of an API key; undefined when it is not a key of the project. */
export function callerOfKey(
  keys: Pick<StackKeys, "publishableKey" | "secretKey">,
  key: string | null,
): KnownCaller | undefined {
  const role = key === keys.publishableKey
    ? "anon"
    : key === keys.secretKey
    ? "service_role"
    : undefined;
  if (role === undefined || key === null) return undefined;
  return { role, claims: { role }, token: key, expiresAt: Infinity };
}

/** The caller of a verified user token. Never throws. */
export async function callerOfToken(
  tokens: TokenExchange,
  token: string,
): Promise<KnownCaller | TokenRefusal> {
  const checked = await tokens.check(token);
  switch (checked.state) {
    case "valid": {
      const { role, exp } = checked.claims;
      if (typeof role !== "string" || exp === undefined) {
        return {
          code: "InvalidJWTToken",
          text: "Fields `role` and `exp` are required in JWT",
        };
      }
      return { role, claims: checked.claims, token, expiresAt: exp * 1000 };
    }
    case "expired":
      return {
        code: "InvalidJWTToken",
        text: expiredText((checked.claims.exp ?? 0) * 1000),
      };
    case "forged":
      return {
        code: "JwtSignatureError",
        text: "Failed to validate JWT signature",
      };
    default:
      return {
        code: "MalformedJWT",
        text: "The token provided is not a valid JWT",
      };
  }
}

/** The hosted server's message for an expired token. */
export function expiredText(expiresAt: number): string {
  const seconds = Math.max(0, Math.floor((Date.now() - expiresAt) / 1000));
  return `Token has expired ${seconds} seconds ago`;
}
