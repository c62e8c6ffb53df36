/** ElevenLabs: text to speech, and the history in which a lost speech is found again. */
import {
  SPEECH_MODEL_RULES,
  type SpeechModel,
  type SpeechOutputFormat,
} from "../../contracts/speech-models.ts";
import type { TextToSpeechMetadata } from "../../contracts/text-to-speech.ts";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import type { ProviderAccess } from "../wire.ts";
import { createElevenLabsWire } from "./client.ts";
import { hasId, type HistoryItem, readHistory } from "./history.ts";

/** How a voice speaks; the provider has a default for each. */
export type VoiceSettings = TextToSpeechMetadata["settings"];

/** One request for speech. */
export interface SpeechRequest {
  text: string;
  /** The provider's own id of the voice. */
  providerVoiceId: string;
  model: SpeechModel;
  outputFormat: SpeechOutputFormat;
  languageCode?: string | undefined;
  seed?: number | undefined;
  voiceSettings: VoiceSettings;
  /** The text before and after it in other requests, for the intonation. Not paid. */
  previousText?: string | undefined;
  nextText?: string | undefined;
}

/** Paid speech: the provider's id, and the bytes, which must be read or cancelled. */
export interface Spoken {
  id: string;
  /** Charged characters, which also depend on model and voice; undefined when the provider does not report them. */
  characters: number | undefined;
  audio: ReadableStream<Uint8Array>;
}

/** Speech at ElevenLabs. Every method throws {@link ProviderFailure} and nothing else. */
export interface ElevenLabsSpeech {
  /** Speaks a text. One request, never repeated; its characters are paid as soon as this returns. */
  speak(request: SpeechRequest, signal: AbortSignal): Promise<Spoken>;
  /**
   * The ids of every speech since then with this voice, model, text and settings, newest first. Only the journal can
   * decide which of them belongs to a call.
   */
  find(
    request: SpeechRequest,
    since: Date,
    signal: AbortSignal,
  ): Promise<string[]>;
  /**
   * The bytes of an earlier speech, without paying again, or null while the history does not have it between `after` and
   * `before`. However long ago that was: a failed job may be retried, and a parked one answered, at any time.
   */
  open(
    id: string,
    request: SpeechRequest,
    made: { after: Date; before: Date },
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array> | null>;
}

const MAX_PAGES = 100;

/** The speech of an ElevenLabs account. */
export function createElevenLabsSpeech(
  access: ProviderAccess,
): ElevenLabsSpeech {
  const wire = createElevenLabsWire(access);

  /** The matching items of the voice's history, newest first; stops at the first one when `isOneEnough`. */
  async function search(
    voiceId: string,
    wanted: {
      sinceUnix: number;
      untilUnix?: number;
      fits: (item: HistoryItem) => boolean;
      isOneEnough: boolean;
    },
    signal: AbortSignal,
  ): Promise<HistoryItem[]> {
    const found: HistoryItem[] = [];
    const history = readHistory(
      wire,
      {
        voice_id: voiceId,
        date_after_unix: String(wanted.sinceUnix),
        ...(wanted.untilUnix === undefined
          ? {}
          : { date_before_unix: String(wanted.untilUnix) }),
      },
      MAX_PAGES,
      signal,
    );
    for await (const item of history) {
      // Filtered again, in case the provider ignores one of the query's filters.
      const matches = item.date_unix >= wanted.sinceUnix &&
        item.date_unix <= (wanted.untilUnix ?? Infinity) &&
        (item.voice_id ?? voiceId) === voiceId && wanted.fits(item);
      if (matches) found.push(item);
      if (matches && wanted.isOneEnough) break;
    }
    return found;
  }

  return {
    async speak(request, signal) {
      const answer = await wire.send({
        method: "POST",
        path: `/v1/text-to-speech/${
          encodeURIComponent(request.providerVoiceId)
        }`,
        query: { output_format: request.outputFormat },
        json: {
          text: request.text,
          model_id: request.model,
          voice_settings: request.voiceSettings,
          language_code: request.languageCode,
          seed: request.seed,
          ...(SPEECH_MODEL_RULES[request.model].acceptsContext
            ? {
              previous_text: request.previousText,
              next_text: request.nextText,
            }
            : {}),
        },
      }, signal);
      const id = answer.headers.get("request-id") ??
        answer.headers.get("x-request-id");
      const isAudio = /^audio\/|^application\/octet-stream/.test(
        answer.headers.get("content-type") ?? "",
      );
      if (id === null || id === "" || !isAudio || answer.body === null) {
        await answer.body?.cancel();
        throw ProviderFailure.unknown("provider_answer_invalid", {
          httpStatus: answer.status,
        });
      }
      return {
        id,
        characters: chargedCharacters(answer.headers),
        audio: answer.body,
      };
    },

    async find(request, since, signal) {
      const items = await search(request.providerVoiceId, {
        sinceUnix: Math.floor(since.getTime() / 1000),
        fits: (item) =>
          item.text === request.text &&
          (item.model_id ?? request.model) === request.model &&
          isSpokenAs(request, item),
        isOneEnough: false,
      }, signal);
      return items.map((item) => item.request_id ?? item.history_item_id);
    },

    async open(id, request, made, signal) {
      const [item] = await search(request.providerVoiceId, {
        sinceUnix: Math.floor(made.after.getTime() / 1000),
        untilUnix: Math.ceil(made.before.getTime() / 1000),
        fits: (item) => hasId(item, id),
        isOneEnough: true,
      }, signal);
      if (item === undefined) return null;
      const answer = await wire.send({
        method: "GET",
        path: `/v1/history/${encodeURIComponent(item.history_item_id)}/audio`,
      }, signal);
      return answer.body;
    },
  };
}

/** The header has had two names. Neither is documented, so any other value is ignored. */
function chargedCharacters(headers: Headers): number | undefined {
  const text = headers.get("character-cost") ??
    headers.get("x-character-count") ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** Whether the settings in the history are the requested ones. A setting that the history does not have matches. */
function isSpokenAs(request: SpeechRequest, item: HistoryItem): boolean {
  return Object.entries(request.voiceSettings).every(([name, asked]) => {
    const used = item.settings?.[name];
    return typeof used === "number" && typeof asked === "number"
      ? Math.abs(used - asked) < 0.001
      : typeof used !== typeof asked || used === asked;
  });
}
