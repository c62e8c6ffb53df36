/** The simulated ElevenLabs: routes, keys and voices. */
import { z } from "zod";
import {
  type Account,
  accountSchema,
  DEFAULT_ACCOUNT,
  subscriptionBody,
} from "./account.ts";
import {
  ERROR_NAMES,
  missing,
  namedError,
  validationError,
  type ValidationIssue,
} from "./errors.ts";
import {
  parseJson,
  readForm,
  readSamples,
  toIssues,
  type VoiceForm,
} from "./forms.ts";
import { Speech, type Workspace } from "./speech.ts";
import { Transcripts } from "./transcripts.ts";
import {
  DEFAULT_VOICE_SETTINGS,
  PREMADE_VOICES,
  searchQuerySchema,
  searchVoices,
  type StoredVoice,
  storedVoiceSchema,
  voiceBody,
  voiceSettingsSchema,
} from "./voices.ts";
import type { Ledger } from "../ledger.ts";
import { findMarker } from "../marker.ts";
import {
  chosenId,
  type Clock,
  type Description,
  type ErrorShape,
  jsonResponse,
  type Provider,
  type ReceivedRequest,
  type SimulatedResponse,
} from "../provider.ts";
import { ProviderSettings } from "../settings.ts";
import type { Records, State } from "../state.ts";

const settingsEditSchema = z.object({
  stability: z.number().min(0).max(1).optional(),
  similarity_boost: z.number().min(0).max(1).optional(),
  style: z.number().min(0).max(1).optional(),
  use_speaker_boost: z.boolean().optional(),
  speed: z.number().min(0.7).max(1.2).optional(),
});

interface Route {
  readonly operation: string;
  readonly method: string;
  readonly pattern: URLPattern;
  run(
    call: {
      request: ReceivedRequest;
      /** The variable part of the path; `voiceId` is the same, for routes of voices. */
      id: string;
      voiceId: string;
      apiKey: string;
    },
  ): Promise<SimulatedResponse> | SimulatedResponse;
}

/**
 * ElevenLabs as far as this project uses it: instant voice clones, voices, speech, transcripts and the subscription, with the wire
 * shapes of the vendor's API. All keys share one workspace; a key that starts with `invalid` is refused.
 */
export class ElevenLabs implements Provider {
  readonly name = "elevenlabs";
  readonly operations: ReadonlySet<string>;
  readonly errorNames = ERROR_NAMES;

  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #routes: readonly Route[];
  readonly #forms = new WeakMap<ReceivedRequest, Promise<VoiceForm | null>>();
  readonly #speech: Speech;
  readonly #transcripts: Transcripts;
  readonly #voices: Records<StoredVoice>;
  readonly #usage: Records<number>;
  readonly #settings: ProviderSettings<Account>;

  constructor(clock: Clock, ledger: Ledger, state: State) {
    this.#clock = clock;
    this.#ledger = ledger;
    this.#voices = state.records("elevenlabs.voices", storedVoiceSchema);
    this.#usage = state.records("elevenlabs.usage", z.int());
    this.#settings = new ProviderSettings(
      state,
      this.name,
      accountSchema,
      DEFAULT_ACCOUNT,
    );
    const workspace: Workspace = {
      clock,
      ledger,
      account: () => this.#account,
      voice: (id) => this.#voices.get(id),
      answer: (status, body) => this.#respond(status, body),
      refuse: (issues) => this.#refuse(issues),
      errorResponse: (name, shape, message) =>
        this.errorResponse(name, shape, message),
    };
    this.#speech = new Speech(workspace, state);
    this.#transcripts = new Transcripts(workspace, state);
    const route = (
      operation: string,
      method: string,
      pathname: string,
      run: Route["run"],
    ): Route => ({
      operation,
      method,
      pattern: new URLPattern({ pathname }),
      run,
    });
    this.#routes = [
      route("voices.add", "POST", "/v1/voices/add", (call) => this.#add(call)),
      route("voices.search", "GET", "/v2/voices", (call) => this.#search(call)),
      route("voices.list", "GET", "/v1/voices", () => this.#list()),
      route(
        "voices.settings.default",
        "GET",
        "/v1/voices/settings/default",
        () => this.#respond(200, DEFAULT_VOICE_SETTINGS),
      ),
      route(
        "voices.settings.get",
        "GET",
        "/v1/voices/:id/settings",
        ({ voiceId }) => this.#withVoice(voiceId, ({ settings }) => settings),
      ),
      route(
        "voices.settings.edit",
        "POST",
        "/v1/voices/:id/settings/edit",
        (call) => this.#editSettings(call),
      ),
      route(
        "voices.edit",
        "POST",
        "/v1/voices/:id/edit",
        (call) => this.#edit(call),
      ),
      route(
        "voices.get",
        "GET",
        "/v1/voices/:id",
        ({ voiceId }) =>
          this.#withVoice(
            voiceId,
            (voice) => voiceBody(voice, true),
          ),
      ),
      route(
        "voices.delete",
        "DELETE",
        "/v1/voices/:id",
        ({ voiceId }) =>
          this.#withVoice(voiceId, (voice) => this.#delete(voice)),
      ),
      route(
        "speech",
        "POST",
        "/v1/text-to-speech/:id",
        (call) => this.#speech.speak(call),
      ),
      route(
        "history.list",
        "GET",
        "/v1/history",
        (call) => this.#speech.history(call),
      ),
      route(
        "history.audio",
        "GET",
        "/v1/history/:id/audio",
        (call) => this.#speech.audio(call),
      ),
      route(
        "history.delete",
        "DELETE",
        "/v1/history/:id",
        (call) => this.#speech.delete(call),
      ),
      route(
        "transcripts",
        "POST",
        "/v1/speech-to-text",
        (call) => this.#transcripts.transcribe(call),
      ),
      route(
        "transcripts.get",
        "GET",
        "/v1/speech-to-text/transcripts/:id",
        (call) => this.#transcripts.get(call),
      ),
      route(
        "transcripts.delete",
        "DELETE",
        "/v1/speech-to-text/transcripts/:id",
        (call) => this.#transcripts.delete(call),
      ),
      route(
        "user.subscription",
        "GET",
        "/v1/user/subscription",
        () =>
          this.#respond(
            200,
            subscriptionBody(this.#account, {
              voiceSlots: this.#slotsUsed(),
              addEdits: this.#usage.get("add_edits") ?? 0,
              characters: this.#speech.characters,
            }, this.#clock),
          ),
      ),
    ];
    this.operations = new Set(this.#routes.map(({ operation }) => operation));
    if (this.#voices.size === 0) this.#open();
  }

  async reset(): Promise<void> {
    this.#voices.clear();
    this.#usage.clear();
    this.#settings.reset();
    this.#open();
    this.#speech.reset();
    await this.#transcripts.reset();
  }

  async stop(): Promise<void> {
    await this.#transcripts.stop();
  }

  /** A new account. */
  #open(): void {
    for (const voice of PREMADE_VOICES) this.#voices.set(voice.id, voice);
    this.#usage.set("voices", PREMADE_VOICES.length);
  }

  get #account(): Account {
    return this.#settings.now;
  }

  /** Counts one more and returns the new number. */
  #count(what: "voices" | "add_edits"): number {
    const count = (this.#usage.get(what) ?? 0) + 1;
    this.#usage.set(what, count);
    return count;
  }

  settings(): Readonly<Account> {
    return this.#account;
  }

  changeSettings(changes: unknown): void {
    this.#settings.change(changes);
  }

  async describe(request: ReceivedRequest): Promise<Description> {
    const { route, voiceId } = this.#match(request);
    if (route === null) return { operations: [], marker: null };
    if (/^(speech|history)/.test(route.operation)) {
      return {
        operations: [route.operation],
        marker: this.#speech.marker(request, voiceId),
      };
    }
    if (route.operation.startsWith("transcripts")) {
      return {
        operations: [route.operation],
        marker: await this.#transcripts.marker(request, voiceId),
      };
    }
    const voice = this.#voices.get(voiceId);
    const form = await this.#form(request);
    const marker = findMarker(
      [form?.name, form?.description, request.query.get("search")],
      form?.labels,
    ) ?? (voice === undefined ? null : markerOf(voice));
    return { operations: [route.operation], marker };
  }

  async handle(request: ReceivedRequest): Promise<SimulatedResponse> {
    const { route, voiceId, pathKnown } = this.#match(request);
    if (route === null) {
      return pathKnown
        ? this.#respond(405, { detail: "Method Not Allowed" })
        : this.#respond(404, { detail: "Not Found" });
    }
    const apiKey = request.headers.get("xi-api-key") ?? "";
    if (apiKey === "") return this.errorResponse("needs_authorization");
    if (apiKey.startsWith("invalid")) {
      return this.errorResponse("invalid_api_key");
    }
    return await route.run({ request, id: voiceId, voiceId, apiKey });
  }

  errorResponse(
    name: string,
    shape?: ErrorShape,
    message?: string,
  ): SimulatedResponse {
    const id = requestId();
    const { status, body } = namedError(
      name,
      shape ?? this.#account.error_shape,
      id,
      message,
    );
    return jsonResponse(status, body, { "x-request-id": id, "request-id": id });
  }

  #respond(status: number, body: unknown): SimulatedResponse {
    const id = requestId();
    return jsonResponse(status, body, { "x-request-id": id, "request-id": id });
  }

  #refuse(issues: readonly ValidationIssue[]): SimulatedResponse {
    const { status, body } = validationError(issues);
    return this.#respond(status, body);
  }

  #match({ method, path }: ReceivedRequest): {
    route: Route | null;
    voiceId: string;
    pathKnown: boolean;
  } {
    const fits = this.#routes.flatMap((route) => {
      const found = route.pattern.exec({ pathname: path });
      return found === null ? [] : [{ route, found }];
    });
    const hit = fits.find(({ route }) => route.method === method);
    return {
      route: hit?.route ?? null,
      voiceId: hit?.found.pathname.groups["id"] ?? "",
      pathKnown: fits.length > 0,
    };
  }

  #withVoice(
    id: string,
    show: (voice: StoredVoice) => unknown,
  ): SimulatedResponse {
    const voice = this.#voices.get(id);
    return voice === undefined
      ? this.errorResponse(
        "voice_not_found",
        undefined,
        `A voice with voice_id '${id}' was not found.`,
      )
      : this.#respond(200, show(voice));
  }

  /** The form of a multipart request; null when it cannot be parsed. */
  #form(request: ReceivedRequest): Promise<VoiceForm | null> {
    const form = this.#forms.get(request) ?? readForm(request);
    this.#forms.set(request, form);
    return form;
  }

  async #add(
    { request, apiKey }: { request: ReceivedRequest; apiKey: string },
  ): Promise<SimulatedResponse> {
    const form = await this.#form(request);
    if (form === null) {
      return this.#respond(400, {
        detail: "There was an error parsing the body",
      });
    }
    const { name, description, labels, files } = form;
    const issues = files.length > 0 || form.issues.length > 0
      ? form.issues
      : [missing("body", "files")];
    if (name === null || issues.length > 0) {
      return this.#refuse(
        name === null ? [missing("body", "name"), ...issues] : issues,
      );
    }
    const samples = await readSamples(files);
    if (samples === null) return this.errorResponse("invalid_content");
    // No await from here to the creation, so the limits are exact under concurrent requests.
    const limit = this.#limitReached();
    if (limit !== null) return limit;
    const voice: StoredVoice = {
      seq: this.#count("voices"),
      id: chosenId(request) ?? voiceId(),
      name,
      description,
      labels,
      category: "cloned",
      createdAt: this.#clock.now(),
      samples,
      settings: DEFAULT_VOICE_SETTINGS,
    };
    this.#voices.set(voice.id, voice);
    this.#count("add_edits");
    this.#ledger.add({
      provider: this.name,
      operation: "voices.add",
      id: voice.id,
      marker: markerOf(voice),
      request: {
        name,
        description,
        labels,
        remove_background_noise: form.removeBackgroundNoise,
        files: samples,
      },
      bytes: samples.reduce((sum, { bytes }) => sum + bytes, 0),
      api_key_tail: apiKey.slice(-4),
    }, this.#clock.now());
    return this.#respond(200, {
      voice_id: voice.id,
      requires_verification: false,
    });
  }

  #limitReached(): SimulatedResponse | null {
    const { voice_limit, max_voice_add_edits } = this.#account;
    if (!this.#account.can_use_instant_voice_cloning) {
      return this.errorResponse("can_not_use_instant_voice_cloning");
    }
    if (this.#slotsUsed() >= voice_limit) {
      return this.errorResponse(
        "voice_limit_reached",
        undefined,
        `You have reached your maximum amount of custom voices (${this.#slotsUsed()} / ${voice_limit}). You can upgrade your subscription to increase your custom voice limit.`,
      );
    }
    return (this.#usage.get("add_edits") ?? 0) >=
        (max_voice_add_edits ?? Infinity)
      ? this.errorResponse("voice_add_edit_limit_reached")
      : null;
  }

  #slotsUsed(): number {
    return [...this.#voices.values()]
      .filter(({ category }) => category === "cloned").length;
  }

  async #edit(
    { request, voiceId }: { request: ReceivedRequest; voiceId: string },
  ): Promise<SimulatedResponse> {
    const form = await this.#form(request);
    if (form === null) {
      return this.#respond(400, {
        detail: "There was an error parsing the body",
      });
    }
    const { name, description, labels, issues } = form;
    if (name === null || issues.length > 0) {
      return this.#refuse(
        name === null ? [missing("body", "name"), ...issues] : issues,
      );
    }
    const samples = await readSamples(form.files);
    if (samples === null) return this.errorResponse("invalid_content");
    return this.#withVoice(voiceId, (voice) => {
      this.#voices.set(voice.id, {
        ...voice,
        name,
        description,
        labels,
        samples: [...voice.samples, ...samples],
      });
      this.#count("add_edits");
      return { status: "ok" };
    });
  }

  #editSettings(
    { request, voiceId }: { request: ReceivedRequest; voiceId: string },
  ): SimulatedResponse {
    const given = settingsEditSchema.safeParse(
      parseJson(new TextDecoder().decode(request.body)),
    );
    if (!given.success) return this.#refuse(toIssues("body", given.error));
    return this.#withVoice(voiceId, (voice) => {
      this.#voices.set(voice.id, {
        ...voice,
        settings: voiceSettingsSchema.parse({
          ...voice.settings,
          ...given.data,
        }),
      });
      return { status: "ok" };
    });
  }

  #delete(voice: StoredVoice): unknown {
    this.#voices.delete(voice.id);
    this.#ledger.markDeleted(this.name, voice.id, this.#clock.now());
    return { status: "ok" };
  }

  #list(): SimulatedResponse {
    return this.#respond(200, {
      voices: [...this.#voices.values()].map((voice) => voiceBody(voice, true)),
    });
  }

  #search({ request }: { request: ReceivedRequest }): SimulatedResponse {
    const query = searchQuerySchema.safeParse(
      Object.fromEntries(request.query),
    );
    if (!query.success) return this.#refuse(toIssues("query", query.error));
    const indexed = this.#clock.now() - this.#account.search_lag_ms;
    const page = searchVoices(
      [...this.#voices.values()].filter(({ createdAt }) =>
        (createdAt ?? 0) <= indexed
      ),
      query.data,
    );
    return page === null
      ? this.#refuse([{
        loc: ["query", "next_page_token"],
        msg: "invalid page token",
        type: "value_error",
      }])
      : this.#respond(200, page);
  }
}

function markerOf({ name, description, labels }: StoredVoice): string | null {
  return findMarker([name, description], labels);
}

function requestId(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

function voiceId(): string {
  const alphabet =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return [...crypto.getRandomValues(new Uint8Array(20))]
    .map((byte) => alphabet[byte % alphabet.length]).join("");
}
