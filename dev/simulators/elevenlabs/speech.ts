/** Text to speech and its history at the simulated ElevenLabs. */
import { z } from "zod";
import type { Account } from "./account.ts";
import { missing, type ValidationIssue } from "./errors.ts";
import { parseJson, toIssues } from "./forms.ts";
import type { StoredVoice } from "./voices.ts";
import type { Ledger } from "../ledger.ts";
import { findMarker } from "../marker.ts";
import type {
  Clock,
  ErrorShape,
  ReceivedRequest,
  SimulatedResponse,
} from "../provider.ts";
import { spokenSound } from "../spoken.ts";
import type { Records, State } from "../state.ts";
import {
  SPEECH_MODEL_RULES,
  SPEECH_MODELS,
  SPEECH_OUTPUT_FORMATS,
  SPEECH_SPEED,
} from "../../../supabase/functions/_shared/contracts/speech-models.ts";

/** The shared state of the simulated ElevenLabs' parts. */
export interface Workspace {
  readonly clock: Clock;
  readonly ledger: Ledger;
  account(): Account;
  voice(id: string): StoredVoice | undefined;
  answer(status: number, body: unknown): SimulatedResponse;
  refuse(issues: readonly ValidationIssue[]): SimulatedResponse;
  errorResponse(
    name: string,
    shape?: ErrorShape,
    message?: string,
  ): SimulatedResponse;
}

/** Models whose characters count half. */
const HALF_PRICE = /_(flash|turbo)_/;
const unit = z.number().min(0).max(1).optional();
const speechSchema = z.object({
  text: z.string().min(1),
  model_id: z.string().default("eleven_multilingual_v2"),
  language_code: z.string().optional(),
  voice_settings: z.object({
    stability: unit,
    similarity_boost: unit,
    style: unit,
    use_speaker_boost: z.boolean().optional(),
    speed: z.number().min(SPEECH_SPEED.min).max(SPEECH_SPEED.max).optional(),
  }).optional(),
  seed: z.int().min(0).max(4_294_967_295).optional(),
  previous_text: z.string().optional(),
  next_text: z.string().optional(),
});

const modelSchema = z.enum(SPEECH_MODELS);
const outputFormatSchema = z.enum(SPEECH_OUTPUT_FORMATS)
  .default("mp3_44100_128");

/** Why the model refuses the request, in the vendor's words; null when it accepts. */
function refusalOf(
  model: z.output<typeof modelSchema>,
  request: z.output<typeof speechSchema>,
): { name: string; message: string } | null {
  const rules = SPEECH_MODEL_RULES[model];
  const characters = [...request.text].length;
  if (characters > rules.maxCharacters) {
    return {
      name: "max_character_limit_exceeded",
      message:
        `This request's text has ${characters} characters and exceeds the character limit of ${rules.maxCharacters} characters.`,
    };
  }
  const stability = request.voice_settings?.stability;
  if (
    stability !== undefined && rules.stabilitySteps !== null &&
    !rules.stabilitySteps.includes(stability)
  ) {
    return {
      name: "invalid_ttd_stability",
      message:
        "Invalid TTD stability value. Must be one of: [0.0, 0.5, 1.0] (0.0 = Creative, 0.5 = Natural, 1.0 = Robust)",
    };
  }
  const language = request.language_code;
  if (language !== undefined && !rules.languages?.has(language)) {
    return {
      name: "unsupported_language",
      message: `Model '${model}' does not support language_code '${language}'.`,
    };
  }
  const hasContext = request.previous_text !== undefined ||
    request.next_text !== undefined;
  if (hasContext && !rules.acceptsContext) {
    return {
      name: "unsupported_model",
      message:
        `Providing previous_text or next_text is not yet supported with the '${model}' model.`,
    };
  }
  return null;
}

const historyQuerySchema = z.object({
  page_size: z.coerce.number().int().min(1).max(1000).default(100),
  start_after_history_item_id: z.string().optional(),
  voice_id: z.string().optional(),
  model_id: z.string().optional(),
  date_before_unix: z.coerce.number().optional(),
  date_after_unix: z.coerce.number().optional(),
  sort_direction: z.enum(["asc", "desc"]).default("desc"),
  search: z.string().optional(),
  source: z.enum(["TTS", "STS"]).optional(),
});

const generationSchema = z.object({
  id: z.string(),
  requestId: z.string(),
  voice: z.object({ id: z.string(), name: z.string(), category: z.string() })
    .readonly(),
  model: z.string(),
  text: z.string(),
  createdAt: z.number(),
  /** The account's usage before and after it. */
  characters: z.object({ from: z.int(), to: z.int() }).readonly(),
  settings: z.record(z.string(), z.unknown()),
  /** Deleted from the history. */
  isDeleted: z.boolean(),
}).readonly();
/** A generation. Its sound is derived from its text. */
type Generation = z.output<typeof generationSchema>;

/** Text to speech and its history. */
export class Speech {
  readonly #workspace: Workspace;
  readonly #generations: Records<Generation>;
  readonly #usage: Records<number>;

  constructor(workspace: Workspace, state: State) {
    this.#workspace = workspace;
    this.#generations = state.records(
      "elevenlabs.generations",
      generationSchema,
    );
    this.#usage = state.records("elevenlabs.characters", z.int());
  }

  /** Forgets the history. */
  reset(): void {
    this.#generations.clear();
    this.#usage.clear();
  }

  /** Characters that were charged. */
  get characters(): number {
    return this.#usage.get("characters") ?? 0;
  }

  /** The marker of a request: a uuid in its text or, for the sound of an item, in the item's text. */
  marker(request: ReceivedRequest, id: string): string | null {
    const given = speechSchema.partial().safeParse(
      parseJson(new TextDecoder().decode(request.body)),
    );
    return findMarker([
      given.data?.text,
      this.#generations.get(id)?.text,
    ]);
  }

  /** `POST /v1/text-to-speech/{voice_id}` */
  async speak(
    { request, id: voiceId, apiKey }: {
      request: ReceivedRequest;
      id: string;
      apiKey: string;
    },
  ): Promise<SimulatedResponse> {
    const { answer, refuse, errorResponse, account, clock, ledger } =
      this.#workspace;
    const given = speechSchema.safeParse(
      parseJson(new TextDecoder().decode(request.body)),
    );
    if (!given.success) return refuse(toIssues("body", given.error));
    const { text, model_id, ...rest } = given.data;
    const format = outputFormatSchema.safeParse(
      request.query.get("output_format") ?? undefined,
    );
    if (!format.success) {
      return refuse([{
        loc: ["query", "output_format"],
        msg: "only mp3 is simulated, at the rates that the vendor has",
        type: "value_error",
      }]);
    }
    const voice = this.#workspace.voice(voiceId);
    if (voice === undefined) {
      return errorResponse(
        "voice_not_found",
        undefined,
        `A voice with voice_id '${voiceId}' was not found.`,
      );
    }
    const model = modelSchema.safeParse(model_id).data;
    if (model === undefined) {
      return answer(400, {
        detail: {
          status: "model_not_found",
          message: "A model was not found.",
        },
      });
    }
    const refusal = refusalOf(model, given.data);
    if (refusal !== null) {
      return errorResponse(refusal.name, undefined, refusal.message);
    }
    const characters = [...text].length;
    const charged = Math.ceil(
      characters * (HALF_PRICE.test(model_id) ? 0.5 : 1),
    );
    const audio = await spokenSound(text);
    // No await from here to the creation, so the quota is exact under concurrent requests.
    const used = this.characters;
    if (used + charged > account().character_limit) {
      return errorResponse("quota_exceeded");
    }
    const generation: Generation = {
      id: crypto.randomUUID().replaceAll("-", "").slice(0, 20),
      requestId: crypto.randomUUID().replaceAll("-", ""),
      voice: { id: voice.id, name: voice.name, category: voice.category },
      model: model_id,
      text,
      createdAt: clock.now(),
      characters: { from: used, to: used + charged },
      settings: { ...voice.settings, ...rest.voice_settings },
      isDeleted: false,
    };
    this.#generations.set(generation.id, generation);
    this.#usage.set("characters", generation.characters.to);
    ledger.add({
      provider: "elevenlabs",
      operation: "speech",
      id: generation.requestId,
      marker: findMarker([text]),
      request: {
        text,
        characters,
        voice_id: voiceId,
        model_id,
        output_format: format.data,
        ...rest,
      },
      bytes: 0,
      api_key_tail: apiKey.slice(-4),
    }, clock.now());
    return {
      status: 200,
      headers: {
        "content-type": "audio/mpeg",
        "request-id": generation.requestId,
        "x-request-id": generation.requestId,
        "character-cost": String(charged),
        "history-item-id": generation.id,
      },
      body: audio,
    };
  }

  /** `GET /v1/history` */
  history({ request }: { request: ReceivedRequest }): SimulatedResponse {
    const { answer, refuse, account, clock } = this.#workspace;
    const query = historyQuerySchema.safeParse(
      Object.fromEntries(request.query),
    );
    if (!query.success) return refuse(toIssues("query", query.error));
    const wanted = query.data;
    if (wanted.search !== undefined && wanted.source === undefined) {
      return refuse([missing("query", "source")]);
    }
    const { history_lag_ms, keeps_history } = account();
    const shown = [...this.#generations.values()].filter((one) =>
      keeps_history && !one.isDeleted &&
      one.createdAt <= clock.now() - history_lag_ms
    );
    const seconds = (one: Generation) => Math.floor(one.createdAt / 1000);
    const fitting = shown.filter((one) =>
      (wanted.voice_id ?? one.voice.id) === one.voice.id &&
      (wanted.model_id ?? one.model) === one.model &&
      seconds(one) > (wanted.date_after_unix ?? -1) &&
      seconds(one) < (wanted.date_before_unix ?? Infinity) &&
      one.text.includes(wanted.search ?? "") && wanted.source !== "STS"
    );
    if (wanted.sort_direction === "desc") fitting.reverse();
    const begin =
      fitting.findIndex(({ id }) => id === wanted.start_after_history_item_id) +
      1;
    const page = fitting.slice(begin, begin + wanted.page_size);
    return answer(200, {
      history: page.map((one) => ({
        history_item_id: one.id,
        request_id: one.requestId,
        voice_id: one.voice.id,
        model_id: one.model,
        voice_name: one.voice.name,
        voice_category: one.voice.category,
        text: one.text,
        date_unix: seconds(one),
        character_count_change_from: one.characters.from,
        character_count_change_to: one.characters.to,
        content_type: "audio/mpeg",
        state: "created",
        settings: one.settings,
        feedback: null,
        share_link_id: null,
        source: "TTS",
      })),
      last_history_item_id: page.at(-1)?.id ?? null,
      has_more: begin + page.length < fitting.length,
      scanned_until: null,
    });
  }

  /** `GET /v1/history/{id}/audio` */
  async audio({ id }: { id: string }): Promise<SimulatedResponse> {
    const found = this.#shown(id);
    if (found === null || !this.#workspace.account().keeps_history) {
      return this.#workspace.errorResponse("history_item_not_found");
    }
    return {
      status: 200,
      headers: { "content-type": "audio/mpeg" },
      body: await spokenSound(found.text),
    };
  }

  /** `DELETE /v1/history/{id}`; the characters stay paid. */
  delete({ id }: { id: string }): SimulatedResponse {
    const { answer, errorResponse, clock, ledger } = this.#workspace;
    const found = this.#shown(id);
    if (found === null) return errorResponse("history_item_not_found");
    this.#generations.set(id, { ...found, isDeleted: true });
    ledger.markDeleted("elevenlabs", found.requestId, clock.now());
    return answer(200, { status: "ok" });
  }

  #shown(id: string): Generation | null {
    const found = this.#generations.get(id);
    return found === undefined || found.isDeleted ? null : found;
  }
}
