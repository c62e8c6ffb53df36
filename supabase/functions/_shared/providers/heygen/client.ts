/** HeyGen: access to its API v3 and its error codes. */
import { z } from "zod";
import type { ErrorCode } from "../../failures/catalogue.ts";
import {
  createWire,
  type ErrorAnswer,
  type ErrorMeaning,
  type ProviderAccess,
  type Wire,
} from "../wire.ts";

/** The API of a HeyGen account. */
export function createHeyGenWire(access: ProviderAccess): Wire {
  return createWire(access, {
    keyVariable: "HEYGEN_API_KEY",
    authorize: (apiKey) => ({ "x-api-key": apiKey }),
    readError,
  });
}

/** Every error. The case of codes varies. */
export const heyGenErrorSchema = z.object({
  error: z.object({ code: z.string(), message: z.string().nullish() }),
});

/** Content that is refused. The vendor's list of codes is not public, so the words in the message decide. */
export const REFUSED_CONTENT =
  /moderat|blocked_words|nsfw|sensitive|prohibited/i;

const CODES: ReadonlyMap<string, ErrorCode> = new Map([
  ["insufficient_credit", "provider_quota_exceeded"],
  ["resource_limit_exceeded", "provider_limit_reached"],
  // The name in v2; that of v3 is not documented.
  ["voice_not_found", "voice_not_found"],
]);

/** The body of an error response of HeyGen. */
function readError({ body }: ErrorAnswer): ErrorMeaning {
  const error = heyGenErrorSchema.safeParse(body).data?.error;
  const name = error?.code.toLowerCase() ?? "";
  const code: ErrorCode | undefined = REFUSED_CONTENT.test(name)
    ? "provider_content_refused"
    : CODES.get(name);
  return { code };
}
