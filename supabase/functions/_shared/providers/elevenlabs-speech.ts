/** ElevenLabs: text to speech, and the history in which what was spoken is found again. */
import { z } from "zod";
import type { SpeechModel, SpeechOutputFormat } from "../contracts/speech.ts";
import { ProviderFailure } from "../jobs/paid-call.ts";
import {
  type ElevenLabsAccess,
  readElevenLabsJson,
  requestElevenLabs,
} from "./elevenlabs-client.ts";

/** Most characters of one request, by the provider's documentation; for eleven_v3 the lowest number that it names. */
export const SPEECH_CHARACTER_LIMITS: Readonly<Record<SpeechModel, number>> = {
  eleven_multilingual_v2: 10_000,
  eleven_v3: 3_000,
  eleven_flash_v2_5: 40_000,
  eleven_flash_v2: 30_000,
  eleven_turbo_v2_5: 40_000,
  eleven_turbo_v2: 30_000,
};

/** One request for speech. */
export interface SpeechRequest {
  text: string;
  /** The provider's own id of the voice. */
  providerVoiceId: string;
  model: SpeechModel;
  outputFormat: SpeechOutputFormat;
  languageCode?: string | undefined;
  seed?: number | undefined;
  voiceSettings: Readonly<Record<string, number | boolean>>;
  /** What is said before and after it in other requests, for the melody of the sentence. Not paid. */
  previousText?: string | undefined;
  nextText?: string | undefined;
}

/** Speech that was paid for: the provider's id of it, and its bytes, which must be read or cancelled. */
export interface Spoken {
  id: string;
  audio: ReadableStream<Uint8Array>;
}

/** Speech at ElevenLabs. Every method throws {@link ProviderFailure} and nothing else. */
export interface ElevenLabsSpeech {
  /** Speaks a text. One request, never repeated; its characters are paid as soon as this answers. */
  speak(request: SpeechRequest, signal: AbortSignal): Promise<Spoken>;
  /**
   * The id of what an earlier request with this voice, model and text made in the last days, or null. An equal request
   * of another job counts as well: what it made is the same.
   */
  find(request: SpeechRequest, signal: AbortSignal): Promise<string | null>;
  /** The bytes of what was spoken before, without paying again, or null while the history does not have it. */
  open(
    id: string,
    request: SpeechRequest,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array> | null>;
}

const historyPage = z.object({
  history: z.array(z.object({
    history_item_id: z.string().min(1),
    request_id: z.string().min(1).nullish(),
    voice_id: z.string().nullish(),
    model_id: z.string().nullish(),
    text: z.string().nullish(),
    date_unix: z.number(),
  })),
  has_more: z.boolean(),
  last_history_item_id: z.string().nullish(),
});
type HistoryItem = z.infer<typeof historyPage>["history"][number];

/** How far back to look: longer than a job may go round, as the job type has it. */
const LOOK_BACK_SECONDS = 2 * 86_400;
const PAGE_SIZE = 100;
const MAX_PAGES = 100;
/** What tells of the sentence before and after: enough for its melody. */
const CONTEXT_CHARACTERS = 300;

/** The speech of an ElevenLabs account. */
export function createElevenLabsSpeech(
  access: ElevenLabsAccess & { now: () => Date },
): ElevenLabsSpeech {
  /** The newest item of the voice's history that fits. */
  async function search(
    voiceId: string,
    fits: (item: HistoryItem) => boolean,
    signal: AbortSignal,
  ): Promise<HistoryItem | null> {
    const since = Math.floor(access.now().getTime() / 1000) - LOOK_BACK_SECONDS;
    let after: string | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const response = await requestElevenLabs(access, {
        method: "GET",
        path: "/v1/history",
        query: {
          voice_id: voiceId,
          source: "TTS",
          date_after_unix: String(since),
          sort_direction: "desc",
          page_size: String(PAGE_SIZE),
          ...(after === undefined
            ? {}
            : { start_after_history_item_id: after }),
        },
      }, signal);
      const answer = await readElevenLabsJson(response, historyPage);
      // Looked at once more, should the provider not know one of these filters.
      const item = answer.history.find((one) =>
        one.date_unix >= since && (one.voice_id ?? voiceId) === voiceId &&
        fits(one)
      );
      if (item !== undefined) return item;
      const last = answer.last_history_item_id ??
        answer.history.at(-1)?.history_item_id;
      if (!answer.has_more || last === undefined || last === after) return null;
      after = last;
    }
    throw new ProviderFailure("provider_answer_invalid", "unknown", true);
  }

  return {
    async speak(request, signal) {
      const response = await requestElevenLabs(access, {
        method: "POST",
        path: `/v1/text-to-speech/${
          encodeURIComponent(request.providerVoiceId)
        }`,
        query: { output_format: request.outputFormat },
        contentType: "application/json",
        body: jsonBody({
          text: request.text,
          model_id: request.model,
          voice_settings: request.voiceSettings,
          language_code: request.languageCode,
          seed: request.seed,
          ...(request.model === "eleven_v3" ? {} : {
            previous_text: request.previousText?.slice(-CONTEXT_CHARACTERS),
            next_text: request.nextText?.slice(0, CONTEXT_CHARACTERS),
          }),
        }),
      }, signal);
      const id = response.headers.get("request-id") ??
        response.headers.get("x-request-id");
      const isAudio = /^audio\/|^application\/octet-stream/.test(
        response.headers.get("content-type") ?? "",
      );
      if (id === null || id === "" || !isAudio || response.body === null) {
        await response.body?.cancel();
        throw new ProviderFailure("provider_answer_invalid", "unknown", true, {
          httpStatus: response.status,
        });
      }
      return { id, audio: response.body };
    },

    async find(request, signal) {
      const item = await search(
        request.providerVoiceId,
        (one) =>
          one.text === request.text &&
          (one.model_id ?? request.model) === request.model,
        signal,
      );
      return item === null ? null : item.request_id ?? item.history_item_id;
    },

    async open(id, request, signal) {
      const item = await search(
        request.providerVoiceId,
        (one) => one.request_id === id || one.history_item_id === id,
        signal,
      );
      if (item === null) return null;
      const response = await requestElevenLabs(access, {
        method: "GET",
        path: `/v1/history/${encodeURIComponent(item.history_item_id)}/audio`,
      }, signal);
      return response.body;
    },
  };
}

function jsonBody(value: unknown): ReadableStream<Uint8Array> {
  return new Blob([JSON.stringify(value)]).stream();
}
