/** D-ID: access to its API and its error codes ("D-ID API 4.2.1"). */
import { encodeBase64 } from "@std/encoding";
import { z } from "zod";
import type { ErrorCode } from "../../failures/catalogue.ts";
import {
  createWire,
  type ErrorAnswer,
  type ErrorMeaning,
  type ProviderAccess,
  type Wire,
} from "../wire.ts";

/** How a D-ID account is reached. */
export interface DIdAccess extends ProviderAccess {
  /** `base64` when the key is `user:secret` in the clear; `none` for a key as the dashboard shows it. */
  keyEncoding: "none" | "base64";
}

/** The API of a D-ID account. */
export function createDIdWire(access: DIdAccess): Wire {
  return createWire(access, {
    keyVariable: "DID_API_KEY",
    authorize: (apiKey) => ({
      authorization: `Basic ${
        access.keyEncoding === "base64" ? encodeBase64(apiKey) : apiKey
      }`,
    }),
    readError,
  });
}

/** Every error of the service itself; its gateway returns `{message}` instead. */
export const dIdErrorSchema = z.object({
  kind: z.string(),
  description: z.string().nullish(),
});

/** Kinds of errors for content that is refused, as opposed to input that cannot be used. */
export const REFUSED_CONTENT = /Moderation|CelebrityRecognized/i;

/** The body of an error response of D-ID. Responses of its gateway have no `kind`. */
function readError({ body }: ErrorAnswer): ErrorMeaning {
  const kind = dIdErrorSchema.safeParse(body).data?.kind ?? "";
  const code: ErrorCode | undefined = REFUSED_CONTENT.test(kind)
    ? "provider_content_refused"
    : CODES.get(kind);
  return { code };
}

const CODES: ReadonlyMap<string, ErrorCode> = new Map([
  ["InsufficientCreditsError", "provider_quota_exceeded"],
  ["PermissionError", "provider_limit_reached"],
]);
