/**
 * User tokens in two forms. Apps and functions see the outer form, as a hosted project issues it: ES256, with a `kid`
 * in the published key set. The embedded Auth, REST and Storage only know the inner form: HS256 with a shared secret.
 * The gateway exchanges one for the other at its edge. The shared secret never leaves this process, and an inner token
 * from outside is refused.
 */
import {
  decodeProtectedHeader,
  errors,
  importJWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from "jose";
import type { StackKeys } from "./keys.ts";

/** The result of checking a request's token. */
export type TokenCheck =
  | { state: "valid"; claims: JWTPayload }
  | { state: "expired"; claims: JWTPayload }
  | { state: "wrong-algorithm" | "malformed" | "forged" };

const rememberedTokens = 1000;

/** Issues, verifies and exchanges user tokens. */
export class TokenExchange {
  /** The published key set, as `/auth/v1/.well-known/jwks.json` and SUPABASE_JWKS have it. */
  readonly jwks: { keys: Record<string, unknown>[] };
  readonly #keys: StackKeys;
  readonly #secret: Uint8Array;
  readonly #signingKey: ReturnType<typeof importJWK>;
  readonly #verifyKey: ReturnType<typeof importJWK>;
  /** Inner tokens by the outer token that was verified; the expiry is checked at every use. */
  readonly #inner = new Map<string, { token: string; claims: JWTPayload }>();

  constructor(keys: StackKeys) {
    this.#keys = keys;
    this.#secret = new TextEncoder().encode(keys.internalJwtSecret);
    const { d: _private, ...publicJwk } = keys.signingKey;
    this.jwks = {
      keys: [{ ...publicJwk, use: "sig", key_ops: ["verify"], ext: true }],
    };
    this.#signingKey = importJWK(keys.signingKey, "ES256");
    this.#verifyKey = importJWK(publicJwk, "ES256");
  }

  /** Signs claims with the project's key. `iat` and `exp` are used unchanged. */
  async sign(claims: JWTPayload): Promise<string> {
    return await new SignJWT(claims).setProtectedHeader({
      alg: "ES256",
      kid: this.#keys.signingKey.kid,
      typ: "JWT",
    }).sign(await this.#signingKey);
  }

  /** Verifies a token from outside. Never throws. */
  async check(token: string): Promise<TokenCheck> {
    const known = this.#inner.get(token);
    if (known && (known.claims.exp ?? 0) * 1000 > Date.now()) {
      return { state: "valid", claims: known.claims };
    }
    try {
      if (decodeProtectedHeader(token).alg !== "ES256") {
        return { state: "wrong-algorithm" };
      }
      const { payload } = await jwtVerify(token, await this.#verifyKey, {
        algorithms: ["ES256"],
      });
      return { state: "valid", claims: payload };
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        return { state: "expired", claims: error.payload };
      }
      if (error instanceof errors.JWSSignatureVerificationFailed) {
        return { state: "forged" };
      }
      return { state: "malformed" };
    }
  }

  /**
   * The inner form of an outer token, with the same claims. An expired token stays expired, so that the service reports
   * it. Undefined when the token is not ours.
   */
  async toInner(token: string): Promise<string | undefined> {
    const known = this.#inner.get(token);
    if (known) return known.token;
    const checked = await this.check(token);
    if (checked.state !== "valid" && checked.state !== "expired") {
      return undefined;
    }
    const inner = await new SignJWT(checked.claims).setProtectedHeader({
      alg: "HS256",
      typ: "JWT",
    }).sign(this.#secret);
    if (this.#inner.size >= rememberedTokens) {
      const [oldest] = this.#inner.keys();
      if (oldest !== undefined) this.#inner.delete(oldest);
    }
    this.#inner.set(token, { token: inner, claims: checked.claims });
    return inner;
  }

  /** The outer form of a token of the embedded Auth, with additional claims. Throws when it is not such a token. */
  async toOuter(inner: string, more: JWTPayload): Promise<string> {
    const { payload } = await jwtVerify(inner, this.#secret, {
      algorithms: ["HS256"],
    });
    return await this.sign({ ...payload, ...more });
  }

  /** Verifies an inner token (signed Storage URLs). Throws the error of `jose` when it is invalid. */
  async verifyInner(token: string): Promise<JWTPayload> {
    const { payload } = await jwtVerify(token, this.#secret, {
      algorithms: ["HS256"],
    });
    return payload;
  }
}
