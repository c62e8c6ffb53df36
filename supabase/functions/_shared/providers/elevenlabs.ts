/**
 * ElevenLabs: instant voice clones.
 *
 * Uses the npm package `elevenlabs`, loaded at the first call only (it costs about 0.3 s and 64 MB) and never left to
 * retry by itself: its retries would repeat a paid POST. Error statuses and codes follow the provider's errors page
 * and API reference; where those leave something open, the outcome counts as unknown.
 */
import type { ElevenLabs, ElevenLabsClient } from "elevenlabs";
import { z } from "zod";
import type { ErrorCode } from "../errors.ts";
import { ProviderFailure } from "../jobs/paid-call.ts";
import { withAnswerHeaders } from "../platform/answer-headers.ts";
import { retryAfterSeconds } from "./retry-after.ts";

/** A recording and what the voice made from it shall be called. */
export interface CreateVoiceRequest {
  name: string;
  description: string | undefined;
  labels: Record<string, string> | undefined;
  removeBackgroundNoise: boolean;
  recording: Blob;
  fileName: string;
  /** Goes into the description, and finds the voice again when the answer is lost. */
  marker: string;
}

/** Voice clones at ElevenLabs. Every method throws {@link ProviderFailure} and nothing else. */
export interface ElevenLabsVoices {
  /** Loads what the first call would otherwise wait for. */
  prepare(): Promise<void>;
  /** Makes a voice and answers with its id. One request, never repeated. Costs a voice slot. */
  create(request: CreateVoiceRequest, signal: AbortSignal): Promise<string>;
  /** The id of the voice whose description carries the marker, or null. Looks through all pages. */
  findByMarker(marker: string, signal: AbortSignal): Promise<string | null>;
  /** Removes a voice and frees its slot. A voice that is gone already is fine. */
  remove(voiceId: string, signal: AbortSignal): Promise<void>;
}

const addedVoice = z.object({ voice_id: z.string().min(1) });
const voicesPage = z.object({
  voices: z.array(
    z.object({ voice_id: z.string(), description: z.string().nullish() }),
  ),
  has_more: z.boolean(),
  next_page_token: z.string().nullish(),
});

/** Pages of a search to look through before giving up: 20 × 100 voices that all match one job's marker. */
const MAX_PAGES = 20;

/**
 * The voices of an ElevenLabs account.
 *
 * @param options.timeoutSeconds bound of a call, body included, on top of the caller's signal.
 */
export function createElevenLabsVoices(options: {
  apiKey: string | undefined;
  baseUrl: string;
  timeoutSeconds: number;
}): ElevenLabsVoices {
  let client: Promise<ElevenLabsClient> | undefined;

  const load = (apiKey: string) =>
    client ??= loadClient(apiKey, options.baseUrl);

  async function call<T>(
    signal: AbortSignal,
    work: (client: ElevenLabsClient, request: RequestOptions) => Promise<T>,
  ) {
    if (options.apiKey === undefined) {
      throw new ProviderFailure("provider_unauthorized", "rejected", false, {
        cause: new Error("ELEVENLABS_API_KEY is not set"),
      });
    }
    const loaded = await load(options.apiKey);
    const timeout = AbortSignal.timeout(options.timeoutSeconds * 1000);
    // The package's errors have no headers, and Retry-After is one.
    return await withAnswerHeaders(async (newest) => {
      try {
        return await raceAbort(
          work(loaded, {
            maxRetries: 0,
            timeoutInSeconds: options.timeoutSeconds,
            abortSignal: AbortSignal.any([signal, timeout]),
          }),
          AbortSignal.any([signal, timeout]),
        );
      } catch (error) {
        throw toProviderFailure(
          error,
          timeout.aborted || signal.aborted,
          newest(),
        );
      }
    });
  }

  return {
    async prepare() {
      // Without a key the call itself says so.
      if (options.apiKey !== undefined) await load(options.apiKey);
    },

    create: (request, signal) =>
      call(signal, async (loaded, requestOptions) => {
        const answer = await loaded.voices.add({
          name: request.name,
          files: [
            new File([request.recording], request.fileName, {
              type: request.recording.type,
            }),
          ],
          description: [request.description, `(${request.marker})`].filter((
            part,
          ) => part !== undefined).join(" "),
          remove_background_noise: request.removeBackgroundNoise,
          ...(request.labels === undefined
            ? {}
            : { labels: JSON.stringify(request.labels) }),
        }, requestOptions);
        return addedVoice.parse(answer).voice_id;
      }),

    async remove(voiceId, signal) {
      try {
        await call(
          signal,
          (loaded, requestOptions) =>
            loaded.voices.delete(voiceId, requestOptions),
        );
      } catch (error) {
        const isGone = error instanceof ProviderFailure &&
          error.code === "provider_rejected_input";
        if (!isGone) throw error;
      }
    },

    findByMarker: (marker, signal) =>
      call(signal, async (loaded, requestOptions) => {
        let query: ElevenLabs.VoicesSearchRequest = {
          search: marker,
          voice_type: "personal",
          page_size: 100,
        };
        for (let page = 0; page < MAX_PAGES; page++) {
          const answer = voicesPage.parse(
            await loaded.voices.search(query, requestOptions),
          );
          const match = answer.voices.find((voice) =>
            voice.description?.endsWith(`(${marker})`)
          );
          if (match !== undefined) return match.voice_id;
          if (!answer.has_more || !answer.next_page_token) return null;
          query = { ...query, next_page_token: answer.next_page_token };
        }
        throw new ProviderFailure("provider_answer_invalid", "unknown", true);
      }),
  };
}

interface RequestOptions {
  maxRetries: number;
  timeoutInSeconds: number;
  abortSignal: AbortSignal;
}

async function loadClient(
  apiKey: string,
  baseUrl: string,
): Promise<ElevenLabsClient> {
  const { ElevenLabsClient } = await import("elevenlabs");
  return new ElevenLabsClient({ apiKey, baseUrl });
}

/** The package's own timeout ends with the headers; a body that stalls must end too, whatever it does with a signal. */
async function raceAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

const httpError = z.object({
  statusCode: z.number().int(),
  /** Not there when the answer had none. */
  body: z.unknown().optional(),
});
const errorBody = z.object({
  detail: z.object({
    code: z.string().optional(),
    status: z.string().optional(),
    message: z.string().optional(),
  }),
});

/** Codes of a 4xx that say more than its status. Old answers carry them as `status`, newer ones as `code`. */
const REFUSAL_BY_CODE: ReadonlyMap<string | undefined, ErrorCode> = new Map([
  ["quota_exceeded", "provider_quota_exceeded"],
  ["payment_required", "provider_quota_exceeded"],
  ["voice_limit_reached", "provider_limit_reached"],
  ["voice_add_edit_limit_reached", "provider_limit_reached"],
  ["can_not_use_instant_voice_cloning", "provider_limit_reached"],
  ["ivc_not_permitted", "provider_limit_reached"],
  ["only_for_creator+", "provider_limit_reached"],
  // Not on the errors page; met by others who call the API, all with 403.
  ["content_against_policy", "provider_content_refused"],
  ["famous_voice_not_permitted", "provider_content_refused"],
  ["voice_blocked_detected", "provider_content_refused"],
]);
/** Since 2026 the voice limit has been seen with the code `bad_request`; only its words tell. */
const VOICE_LIMIT = /maximum amount of custom voices/i;

/** The 429 that the account's own other calls cause: it passes when they end, however often one asks meanwhile. */
const CONCURRENCY_CODES: ReadonlySet<string | undefined> = new Set([
  "too_many_concurrent_requests",
  "concurrent_limit_exceeded",
]);

const REFUSAL_BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map([
  [401, "provider_unauthorized"],
  [402, "provider_quota_exceeded"],
  [403, "provider_unauthorized"],
  [451, "provider_content_refused"],
]);

/** Statuses below 500 that leave open whether anything was made. */
const UNCLEAR_STATUSES: ReadonlySet<number> = new Set([408, 409, 425]);

/**
 * What an error of the package means. Definite noes: 4xx other than 408, 409 and 425, and every 429. All else (5xx,
 * time-outs, lost connections, answers that make no sense) may hide a voice that was made.
 *
 * @param headers of the answer, where there was one: its `Retry-After` goes with the failure.
 */
export function toProviderFailure(
  error: unknown,
  isTimeout: boolean,
  headers?: Headers,
): ProviderFailure {
  if (error instanceof ProviderFailure) return error;
  const http = httpError.safeParse(error);
  if (!http.success) {
    const code = isTimeout
      ? "provider_timeout"
      : error instanceof z.ZodError
      ? "provider_answer_invalid"
      : "provider_unavailable";
    return new ProviderFailure(code, "unknown", true, { cause: error });
  }
  const status = http.data.statusCode;
  const pause = headers === undefined ? undefined : retryAfterSeconds(headers);
  const details = {
    httpStatus: status,
    cause: error,
    ...(pause === undefined ? {} : { retryAfterSeconds: pause }),
  };
  const detail = errorBody.safeParse(http.data.body).data?.detail;
  if (status === 429) {
    return [detail?.code, detail?.status].some((one) =>
        CONCURRENCY_CODES.has(one)
      )
      ? new ProviderFailure("provider_concurrency_limited", "rejected", true, {
        ...details,
        isOwnLoad: true,
      })
      : new ProviderFailure("provider_rate_limited", "rejected", true, details);
  }
  if (status < 400 || status >= 500 || UNCLEAR_STATUSES.has(status)) {
    return new ProviderFailure(
      "provider_unavailable",
      "unknown",
      true,
      details,
    );
  }
  const code = REFUSAL_BY_CODE.get(detail?.code) ??
    REFUSAL_BY_CODE.get(detail?.status) ??
    (VOICE_LIMIT.test(detail?.message ?? "")
      ? "provider_limit_reached"
      : REFUSAL_BY_STATUS.get(status) ?? "provider_rejected_input");
  return new ProviderFailure(code, "rejected", false, details);
}
