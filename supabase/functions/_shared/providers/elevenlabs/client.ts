/**
 * ElevenLabs: access to its API and its error codes.
 *
 * Codes follow the provider's errors page and API reference.
 */
import { z } from "zod";
import type { ErrorCode } from "../../failures/catalogue.ts";
import {
  createWire,
  type ErrorAnswer,
  type ErrorMeaning,
  type ProviderAccess,
  type ProviderDialect,
  type Wire,
} from "../wire.ts";

/** The API of an ElevenLabs account. */
export function createElevenLabsWire(access: ProviderAccess): Wire {
  return createWire(access, elevenLabsDialect);
}

/** How ElevenLabs accepts keys and reports errors. */
export const elevenLabsDialect: ProviderDialect = {
  keyVariable: "ELEVENLABS_API_KEY",
  authorize: (apiKey) => ({ "xi-api-key": apiKey }),
  readError,
  // Twelve hours of talk, word by word. Parsed, it takes eight times as much of an isolate's 256 MB.
  maxJsonBytes: 20_971_520,
};

const errorBody = z.object({
  detail: z.object({
    code: z.string().optional(),
    status: z.string().optional(),
    message: z.string().optional(),
  }),
});

/** Codes that say more than the status. Old responses have them as `status`, newer ones as `code`. */
const CODES: ReadonlyMap<string | undefined, ErrorCode> = new Map([
  ["quota_exceeded", "provider_quota_exceeded"],
  ["payment_required", "provider_quota_exceeded"],
  ["voice_limit_reached", "provider_limit_reached"],
  ["voice_add_edit_limit_reached", "provider_limit_reached"],
  ["can_not_use_instant_voice_cloning", "provider_limit_reached"],
  ["ivc_not_permitted", "provider_limit_reached"],
  ["only_for_creator+", "provider_limit_reached"],
  // 400 by the errors page, 404 from some versions of the service.
  ["voice_not_found", "voice_not_found"],
  // Not on the errors page; reported publicly by other users of the API, all with 403.
  ["content_against_policy", "provider_content_refused"],
  ["famous_voice_not_permitted", "provider_content_refused"],
  ["voice_blocked_detected", "provider_content_refused"],
  // This 429 is caused by other calls of the account, and ends with them.
  ["too_many_concurrent_requests", "provider_concurrency_limited"],
  ["concurrent_limit_exceeded", "provider_concurrency_limited"],
]);
/** Since 2026 the voice limit has been seen with the code `bad_request`; only the message identifies it. */
const VOICE_LIMIT = /maximum amount of custom voices/i;

/** The body of an error response of ElevenLabs. */
function readError({ status, body }: ErrorAnswer): ErrorMeaning {
  const detail = errorBody.safeParse(body).data?.detail;
  const names = [detail?.code, detail?.status];
  const isGone = status === 400 &&
    names.some((name) => name?.endsWith("_not_found") ?? false);
  const code = CODES.get(detail?.code) ?? CODES.get(detail?.status) ??
    (VOICE_LIMIT.test(detail?.message ?? "")
      ? "provider_limit_reached"
      : undefined);
  return { code, isGone };
}
