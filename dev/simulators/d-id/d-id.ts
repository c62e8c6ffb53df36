/** The simulated D-ID. */
import { z } from "zod";
import { D_ID_ERROR_NAMES, dIdError } from "./errors.ts";
import type { Ledger } from "../ledger.ts";
import { findMarker } from "../marker.ts";
import {
  chosenId,
  type Clock,
  type Description,
  jsonResponse,
  type Provider,
  type ReceivedRequest,
  type SimulatedResponse,
} from "../provider.ts";
import {
  type Call,
  formFile,
  jsonBody,
  matchRoute,
  type Route,
  route,
} from "../routes.ts";
import { ProviderSettings } from "../settings.ts";
import type { Records, State } from "../state.ts";
import {
  filmRequestSchema,
  Films,
  resultResponse,
  signedResultUrl,
} from "../videos.ts";
import { type Delivery, WebhookSender, webhookSettings } from "../webhooks.ts";

const IMAGE_URL = /^(https|s3):.*\.(jpg|jpeg|png)/i;
const AUDIO_URL = /^(https|s3):.*\.(m4a|flac|mp3|mp4|wav)(\?.*)?$/i;

const talkSchema = z.object({
  source_url: z.string().regex(IMAGE_URL, "invalid actor url"),
  script: z.discriminatedUnion("type", [
    z.object({
      type: z.literal("text"),
      input: z.string().min(3).max(40_000),
      provider: z.object({
        type: z.enum([
          "microsoft",
          "elevenlabs",
          "amazon",
          "google",
          "azure-openai",
        ]),
        voice_id: z.string().min(1).optional(),
      }).optional(),
    }),
    z.object({
      type: z.literal("audio"),
      audio_url: z.string().regex(AUDIO_URL, "invalid audio url"),
    }),
  ]),
  config: z.object({ result_format: z.enum(["mp4", "mov"]).optional() })
    .loose().optional(),
  user_data: z.string().trim().min(1).max(1000).optional(),
  name: z.string().optional(),
  webhook: z.url().refine(
    (url) => url.startsWith("https:") || isLoopback(url),
    "webhook must be https",
  ).optional(),
});
type TalkRequest = z.output<typeof talkSchema>;

const settingsSchema = z.strictObject({
  render_ms: z.int().min(0).max(86_400_000),
  result_url_seconds: z.int().min(0).max(604_800),
  /** The outcome of new talks; `stuck` never leaves `started`. */
  outcome: z.enum(["done", "error", "rejected", "stuck"]),
  credits: z.int().min(0),
  /** `documented`: a listed talk lacks `user_data` and `name`, which the list schema of the vendor does not show. */
  list_members: z.enum(["all", "documented"]),
  /** Milliseconds until a new talk is listed. */
  list_lag_ms: z.int().min(0).max(600_000),
  ...webhookSettings,
});
type Settings = z.output<typeof settingsSchema>;

const DEFAULT_SETTINGS: Settings = {
  render_ms: 800,
  result_url_seconds: 86_400,
  outcome: "done",
  credits: 10_000,
  list_members: "all",
  list_lag_ms: 0,
  webhooks: "once",
  webhook_delay_ms: 0,
};

const storedTalkSchema = z.object({
  seq: z.int(),
  id: z.string(),
  createdAt: z.number(),
  renderMs: z.int(),
  outcome: settingsSchema.shape.outcome,
  asked: talkSchema,
  film: filmRequestSchema,
  /** Null when no film can be made of the uploads. */
  seconds: z.number().nullable(),
}).readonly();
type Talk = z.output<typeof storedTalkSchema>;

/** Sizes that the vendor documents for uploads. */
const MAX_IMAGE_BYTES = 10_000_000;
const MAX_AUDIO_BYTES = 6_000_000;

/**
 * D-ID as far as this project uses it: talks, images, audios and credits, as in "D-ID API 4.2.1". All keys share one
 * account; a key that starts with `invalid` is refused. Webhooks over plain http are accepted for loopback addresses
 * only; the real service would refuse those too.
 */
export class DId implements Provider {
  readonly name = "d-id";
  readonly operations: ReadonlySet<string>;
  readonly errorNames = D_ID_ERROR_NAMES;

  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #routes: readonly Route[];
  readonly #webhooks: WebhookSender;
  readonly #talks: Records<Talk>;
  /** SHA-256 by URL. */
  readonly #uploads: Records<string>;
  readonly #films: Films;
  readonly #account: ProviderSettings<Settings>;

  constructor(clock: Clock, ledger: Ledger, state: State) {
    this.#clock = clock;
    this.#webhooks = new WebhookSender(clock);
    this.#ledger = ledger;
    this.#talks = state.records("d-id.talks", storedTalkSchema);
    this.#uploads = state.records("d-id.uploads", z.string());
    this.#films = new Films(state);
    this.#account = new ProviderSettings(
      state,
      this.name,
      settingsSchema,
      DEFAULT_SETTINGS,
    );
    this.#routes = [
      route("talks.create", "POST", "/talks", (call) => this.#create(call)),
      route("talks.list", "GET", "/talks", (call) => this.#list(call)),
      route(
        "talks.get",
        "GET",
        "/talks/:id",
        (call) =>
          this.#withTalk(
            call,
            async (talk) => jsonResponse(200, await this.#body(talk, call)),
          ),
      ),
      route(
        "talks.delete",
        "DELETE",
        "/talks/:id",
        (call) => this.#withTalk(call, (talk) => this.#delete(talk, call)),
      ),
      route(
        "images.create",
        "POST",
        "/images",
        (call) =>
          this.#upload(call, "image", /^image\/(jpeg|png)$/, MAX_IMAGE_BYTES),
      ),
      route(
        "audios.create",
        "POST",
        "/audios",
        (call) =>
          this.#upload(call, "audio", /^(audio|video)\//, MAX_AUDIO_BYTES),
      ),
      route("credits.get", "GET", "/credits", () =>
        jsonResponse(200, {
          credits: [],
          remaining: this.#settings.credits,
          total: DEFAULT_SETTINGS.credits,
        })),
      route(
        "results.get",
        "GET",
        "/results/:file",
        ({ request, params }) => {
          const id = (params["file"] ?? "").replace(/\.mp4$/, "");
          return resultResponse(request, id, this.#clock, async () => {
            const talk = this.#talks.get(id);
            return talk === undefined
              ? null
              : await this.#films.make(talk.film);
          });
        },
      ),
    ];
    this.operations = new Set(this.#routes.map(({ operation }) => operation));
  }

  async reset(): Promise<void> {
    await this.stop();
    this.#talks.clear();
    this.#uploads.clear();
    this.#account.reset();
  }

  async stop(): Promise<void> {
    await this.#webhooks.clear();
  }

  get #settings(): Settings {
    return this.#account.now;
  }

  settings(): Readonly<Settings> {
    return this.#settings;
  }

  changeSettings(changes: unknown): void {
    this.#account.change(changes);
  }

  describe(request: ReceivedRequest): Promise<Description> {
    const { route, call } = matchRoute(this.#routes, request);
    if (route === null) {
      return Promise.resolve({ operations: [], marker: null });
    }
    const asked = talkSchema.safeParse(jsonBody(request)).data;
    const id = (call.params["id"] ?? call.params["file"] ?? "")
      .replace(/\.mp4$/, "");
    const talk = asked ?? this.#talks.get(id)?.asked;
    return Promise.resolve({
      operations: [route.operation],
      marker: talk === undefined ? null : markerOf(talk),
    });
  }

  async handle(request: ReceivedRequest): Promise<SimulatedResponse> {
    const { route, call } = matchRoute(this.#routes, request);
    if (route === null) return dIdError("not_found");
    // Results are in an object store: the signed URL is the credential.
    if (route.operation !== "results.get") {
      const key = /^Basic (\S+)$/.exec(
        request.headers.get("authorization") ?? "",
      )?.[1];
      if (key === undefined || key.startsWith("invalid")) {
        return dIdError("unauthenticated");
      }
    }
    return await route.run(call);
  }

  errorResponse(name: string): SimulatedResponse {
    return dIdError(name);
  }

  async #create({ request }: Call): Promise<SimulatedResponse> {
    const asked = talkSchema.safeParse(jsonBody(request));
    if (!asked.success) {
      const [issue] = asked.error.issues;
      return issue?.path[0] === "source_url"
        ? dIdError("invalid_actor_url")
        : dIdError(
          "invalid_actor_url",
          `${issue?.path.join(".")}: ${issue?.message}`,
        );
    }
    const { source_url, script } = asked.data;
    const photo = this.#uploads.get(source_url);
    const recording = script.type === "audio"
      ? this.#uploads.get(script.audio_url)
      : null;
    // Other files would have to be downloaded, and this simulator makes no requests.
    if (photo === undefined || recording === undefined) {
      return dIdError("invalid_actor_url");
    }
    const film = {
      photo,
      recording,
      text: script.type === "text" ? script.input : "",
    };
    const seconds = (await this.#films.make(film))?.seconds ?? null;
    // No await from here to the creation, so the credits are exact under concurrent requests.
    if (this.#settings.credits === 0) return dIdError("insufficient_credits");
    this.changeSettings({ credits: this.#settings.credits - 1 });
    const talk: Talk = {
      seq: ([...this.#talks.values()].at(-1)?.seq ?? 0) + 1,
      id: chosenId(request) ??
        `tlk_${crypto.randomUUID().replaceAll("-", "").slice(0, 21)}`,
      createdAt: this.#clock.now(),
      renderMs: this.#settings.render_ms,
      outcome: seconds === null && this.#settings.outcome === "done"
        ? "error"
        : this.#settings.outcome,
      asked: asked.data,
      film,
      seconds,
    };
    this.#talks.set(talk.id, talk);
    this.#ledger.add({
      provider: this.name,
      operation: "talks.create",
      id: talk.id,
      marker: markerOf(asked.data),
      request: { ...asked.data, webhook: undefined },
      bytes: request.body.length,
      api_key_tail: (request.headers.get("authorization") ?? "").slice(-4),
    }, this.#clock.now());
    this.#announce(talk, request);
    return jsonResponse(201, {
      id: talk.id,
      object: "talk",
      created_at: new Date(talk.createdAt).toISOString(),
      created_by: "simulated|owner",
      status: "created",
    });
  }

  #announce(talk: Talk, request: ReceivedRequest): void {
    const { webhook } = talk.asked;
    const { webhooks, webhook_delay_ms } = this.#settings;
    if (
      webhook === undefined || webhooks === "lost" || talk.outcome === "stuck"
    ) return;
    const wait = webhooks === "early" ? 0 : talk.renderMs;
    this.#webhooks.schedule(wait + webhook_delay_ms, async () => {
      const delivery: Delivery = {
        url: webhooks === "forged" ? `${webhook}0` : webhook,
        headers: {},
        body: JSON.stringify({
          ...await this.#body(talk, { request, params: {} }),
          ...(webhooks === "forged" || webhooks === "early"
            ? { status: "done", result_url: "https://example.com/forged.mp4" }
            : {}),
        }),
      };
      return webhooks === "doubled" ? [delivery, delivery] : [delivery];
    });
  }

  #statusOf(
    talk: Talk,
  ): "created" | "started" | "done" | "error" | "rejected" {
    const age = this.#clock.now() - talk.createdAt;
    if (talk.outcome === "stuck") return "started";
    if (age >= talk.renderMs) return talk.outcome;
    return age >= talk.renderMs / 4 ? "started" : "created";
  }

  /** A talk as in `GET /talks/{id}` and the webhook. */
  async #body(talk: Talk, { request }: Call): Promise<Record<string, unknown>> {
    const status = this.#statusOf(talk);
    const { asked } = talk;
    return {
      ...this.#listed(talk),
      user_data: asked.user_data,
      name: asked.name,
      // Present for older keys, but the URL cannot be downloaded from outside.
      pending_url: `s3://d-id-talks-prod/simulated/${talk.id}/result.mp4`,
      config: { stitch: false, ...asked.config },
      ...(status === "done"
        ? {
          duration: talk.seconds,
          result_url: await signedResultUrl(request, {
            provider: this.name,
            id: talk.id,
            clock: this.#clock,
            seconds: this.#settings.result_url_seconds,
          }),
        }
        : {}),
      ...(status === "error"
        ? {
          error: { kind: "FaceError", description: "face not detected" },
        }
        : {}),
      ...(status === "rejected"
        ? {
          error: {
            kind: "ImageModerationError",
            description: "Automatic content moderation",
          },
        }
        : {}),
    };
  }

  /** The members in the list schema. */
  #listed(talk: Talk): Record<string, unknown> {
    const { asked } = talk;
    return {
      id: talk.id,
      user_id: "simulated|owner",
      source_url: asked.source_url,
      audio_url: asked.script.type === "audio"
        ? asked.script.audio_url
        : undefined,
      created_at: new Date(talk.createdAt).toISOString(),
      modified_at: new Date(talk.createdAt).toISOString(),
      created_by: "simulated|owner",
      status: this.#statusOf(talk),
      webhook: asked.webhook,
    };
  }

  async #list(call: Call): Promise<SimulatedResponse> {
    const query = z.object({
      limit: z.coerce.number().int().min(1).max(100).default(100),
      token: z.coerce.number().int().min(0).default(0),
    }).safeParse(Object.fromEntries(call.request.query));
    if (!query.success) return dIdError("invalid_actor_url", "invalid query");
    const { limit, token } = query.data;
    const shown = this.#clock.now() - this.#settings.list_lag_ms;
    const talks = [...this.#talks.values()]
      .filter(({ createdAt }) => createdAt <= shown)
      .sort((a, b) => b.seq - a.seq);
    const page = talks.slice(token, token + limit);
    return jsonResponse(200, {
      talks: this.#settings.list_members === "documented"
        ? page.map((talk) => this.#listed(talk))
        : await Promise.all(page.map((talk) => this.#body(talk, call))),
      ...(token + limit < talks.length ? { token: String(token + limit) } : {}),
    });
  }

  async #withTalk(
    call: Call,
    answer: (talk: Talk) => Promise<SimulatedResponse>,
  ): Promise<SimulatedResponse> {
    const talk = this.#talks.get(call.params["id"] ?? "");
    return talk === undefined ? dIdError("not_found") : await answer(talk);
  }

  async #delete(talk: Talk, call: Call): Promise<SimulatedResponse> {
    const status = this.#statusOf(talk);
    if (status === "created" || status === "started") {
      return dIdError("not_ready");
    }
    const body = await this.#body(talk, call);
    this.#talks.delete(talk.id);
    this.#ledger.markDeleted(this.name, talk.id, this.#clock.now());
    return jsonResponse(200, body);
  }

  async #upload(
    { request }: Call,
    kind: "image" | "audio",
    types: RegExp,
    maxBytes: number,
  ): Promise<SimulatedResponse> {
    const file = await formFile(request, kind);
    if (file === null || !/^[a-zA-Z0-9._-]{1,50}$/.test(file.name)) {
      return dIdError("invalid_actor_url", `${kind} is required`);
    }
    if (!types.test(file.type)) return dIdError("unsupported_mime_type");
    if (file.size === 0 || file.size > maxBytes) {
      return dIdError("invalid_file_size");
    }
    const id = `${kind === "image" ? "img" : "aud"}_${
      crypto.randomUUID().slice(0, 8)
    }`;
    const name = kind === "image"
      ? file.name
      : file.name.replace(/\.[^.]+$/, ".wav");
    const url = `s3://d-id-${kind}s-prod/simulated/${id}/${name}`;
    this.#uploads.set(url, await this.#films.keep(file));
    return jsonResponse(201, { url, id });
  }
}

function markerOf(asked: TalkRequest): string | null {
  return findMarker([
    asked.user_data,
    asked.name,
    asked.source_url,
    asked.webhook,
  ]);
}

function isLoopback(url: string): boolean {
  return /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])[:/]/.test(url);
}
