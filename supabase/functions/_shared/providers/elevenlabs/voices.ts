/**
 * ElevenLabs: instant voice clones.
 *
 * Uses the npm package `elevenlabs`, loaded at the first call only (it costs about 0.3 s and 64 MB) and never left to
 * retry by itself: its retries would repeat a paid POST.
 */
import type { ElevenLabs, ElevenLabsClient } from "elevenlabs";
import { z } from "zod";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import { withAnswerHeaders } from "../../platform/answer-headers.ts";
import {
  type ElevenLabsAccess,
  missingKey,
  toProviderFailure,
} from "./client.ts";

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

/** The voices of an ElevenLabs account. */
export function createElevenLabsVoices(
  options: Omit<ElevenLabsAccess, "fetch">,
): ElevenLabsVoices {
  let client: Promise<ElevenLabsClient> | undefined;

  const load = (apiKey: string) =>
    client ??= loadClient(apiKey, options.baseUrl);

  async function call<T>(
    signal: AbortSignal,
    work: (client: ElevenLabsClient, request: RequestOptions) => Promise<T>,
  ) {
    if (options.apiKey === undefined) throw missingKey();
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
          (error.code === "voice_not_found" ||
            error.code === "provider_rejected_input");
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
        throw ProviderFailure.unknown("provider_answer_invalid");
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
