/**
 * ElevenLabs: instant voice clones.
 *
 * A voice is cloned with the voices of the npm package `elevenlabs`, which are loaded at the first clone only (they
 * cost about 0.2 s and 60 MB) and never allowed to retry: its retries would repeat a paid POST. Finding and removing
 * voices costs nothing and uses plain requests.
 */
import type { Voices } from "elevenlabs/voices";
import { abortable } from "@std/async/abortable";
import { z } from "zod";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import { withAnswerHeaders } from "../../platform/answer-headers.ts";
import { answerFailure, missingKey, type ProviderAccess } from "../wire.ts";
import { createElevenLabsWire, elevenLabsDialect } from "./client.ts";
import { findVoice, hasVoice, removeVoice } from "./voice-list.ts";

/** A recording and the voice to be cloned from it. */
export interface CreateVoiceRequest {
  name: string;
  description: string | undefined;
  labels: Record<string, string> | undefined;
  removeBackgroundNoise: boolean;
  recording: Blob;
  fileName: string;
  /** Part of the description; finds the voice when the response was lost. */
  marker: string;
}

/** Voice clones at ElevenLabs. Every method throws {@link ProviderFailure} and nothing else. */
export interface ElevenLabsVoices {
  /** Loads the package, so that the first clone does not wait for it. */
  prepare(): Promise<void>;
  /** Clones a voice and returns its id. One request, never repeated. Costs a voice slot. */
  create(request: CreateVoiceRequest, signal: AbortSignal): Promise<string>;
  /** The id of the voice whose description carries the marker, or null. Reads all pages. */
  findByMarker(marker: string, signal: AbortSignal): Promise<string | null>;
  /** Whether the account has the voice. */
  has(voiceId: string, signal: AbortSignal): Promise<boolean>;
  /** Removes a voice and frees its slot. Succeeds if the voice does not exist any more. */
  remove(voiceId: string, signal: AbortSignal): Promise<void>;
}

const addedVoice = z.object({ voice_id: z.string().min(1) });

/** The voices of an ElevenLabs account. */
export function createElevenLabsVoices(
  access: ProviderAccess,
): ElevenLabsVoices {
  const wire = createElevenLabsWire(access);
  let client: Promise<Voices> | undefined;
  const load = (apiKey: string) =>
    client ??= loadVoices(apiKey, access.baseUrl);

  return {
    async prepare() {
      // Without a key the call itself fails.
      if (access.apiKey !== undefined) await load(access.apiKey);
    },

    async create(request, signal) {
      if (access.apiKey === undefined) throw missingKey(elevenLabsDialect);
      const loaded = await load(access.apiKey);
      const bounds = AbortSignal.any([
        signal,
        AbortSignal.timeout(access.timeoutSeconds * 1000),
      ]);
      // The package's errors have no headers, and Retry-After is one.
      return await withAnswerHeaders(async (newest) => {
        try {
          // The package's own timeout ends with the headers; a body that stalls must end too.
          const answer = await abortable(
            loaded.add(formOf(request), {
              maxRetries: 0,
              timeoutInSeconds: access.timeoutSeconds,
              abortSignal: bounds,
            }),
            bounds,
          );
          return addedVoice.parse(answer).voice_id;
        } catch (error) {
          throw packageFailure(error, bounds.aborted, newest());
        }
      });
    },

    findByMarker: (marker, signal) => findVoice(wire, marker, signal),
    has: (voiceId, signal) => hasVoice(wire, voiceId, signal),
    remove: (voiceId, signal) => removeVoice(wire, voiceId, signal),
  };
}

type VoiceForm = Parameters<Voices["add"]>[0];

function formOf(request: CreateVoiceRequest): VoiceForm {
  return {
    name: request.name,
    files: [
      new File([request.recording], request.fileName, {
        type: request.recording.type,
      }),
    ],
    description: [request.description, `(${request.marker})`]
      .filter((part) => part !== undefined).join(" "),
    remove_background_noise: request.removeBackgroundNoise,
    ...(request.labels === undefined
      ? {}
      : { labels: JSON.stringify(request.labels) }),
  };
}

/** The package's error for a response with a status. */
const answerError = z.object({
  statusCode: z.number().int(),
  /** Absent if the response had none. */
  body: z.unknown().optional(),
});

/**
 * The failure for an error that the package throws: that of the response, as for a plain request; without a response
 * the outcome is unknown.
 *
 * @param isTimeout the time of the call was used up, or it was aborted.
 * @param headers of the response, if there was one.
 */
export function packageFailure(
  error: unknown,
  isTimeout: boolean,
  headers?: Headers,
): ProviderFailure {
  const { data } = answerError.safeParse(error);
  if (data !== undefined) {
    const answer = { status: data.statusCode, body: data.body };
    return answerFailure(answer, elevenLabsDialect.readError(answer), {
      headers,
      cause: error,
    });
  }
  const code = isTimeout
    ? "provider_timeout"
    : error instanceof z.ZodError
    ? "provider_answer_invalid"
    : "provider_unavailable";
  return ProviderFailure.unknown(code, { cause: error });
}

/** Without the package's other clients, which would double the time to load it and are never called. */
async function loadVoices(
  apiKey: string,
  baseUrl: string,
): Promise<Voices> {
  const { Voices } = await import("elevenlabs/voices");
  return new Voices({ apiKey, baseUrl });
}
