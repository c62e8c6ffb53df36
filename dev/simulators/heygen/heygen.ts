/** The simulated HeyGen. */
import { z } from "zod";
import { HEYGEN_ERROR_NAMES, heyGenError } from "./errors.ts";
import type { Ledger } from "../ledger.ts";
import { findMarker } from "../marker.ts";
import {
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
import {
  type Delivery,
  hexHmac,
  WebhookSender,
  webhookSettings,
} from "../webhooks.ts";

const HOUR_MS = 3_600_000;
const MAX_ASSET_BYTES = 32 * 1024 * 1024;

const media = z.discriminatedUnion("type", [
  z.object({ type: z.literal("url"), url: z.url() }),
  z.object({ type: z.literal("asset_id"), asset_id: z.string().min(1) }),
]);
const videoSchema = z.object({
  type: z.literal("image"),
  image: media,
  script: z.string().min(1).max(5000).optional(),
  voice_id: z.string().min(1).optional(),
  audio_url: z.url().optional(),
  audio_asset_id: z.string().min(1).optional(),
  title: z.string().optional(),
  resolution: z.enum(["4k", "1080p", "720p"]).optional(),
  aspect_ratio: z.enum(["16:9", "9:16", "4:5", "5:4", "1:1", "auto"])
    .optional(),
  output_format: z.enum(["mp4", "webm"]).optional(),
  callback_id: z.string().optional(),
  callback_url: z.url().optional(),
}).superRefine((video, context) => {
  const sources = [video.script, video.audio_url, video.audio_asset_id]
    .filter((source) => source !== undefined);
  if (sources.length !== 1) {
    context.addIssue({
      code: "custom",
      path: ["script"],
      message: "set one of script, audio_url and audio_asset_id",
    });
  }
  // A photo has no voice.
  if (video.script !== undefined && video.voice_id === undefined) {
    context.addIssue({
      code: "custom",
      path: ["voice_id"],
      message: "voice_id is required with script",
    });
  }
});
type VideoRequest = z.output<typeof videoSchema>;

const endpointSchema = z.strictObject({ url: z.url(), secret: z.string() });
const settingsSchema = z.strictObject({
  render_ms: z.int().min(0).max(86_400_000),
  result_url_seconds: z.int().min(0).max(604_800),
  /** The outcome of new videos; `refused` is a failure because of the content. */
  outcome: z.enum(["completed", "failed", "refused", "stuck"]),
  /** Maximum number of videos that render at the same time; one more is 429. */
  max_concurrent: z.int().min(0),
  wallet_credits: z.int().min(0),
  /** Milliseconds until a new video is listed. */
  list_lag_ms: z.int().min(0).max(600_000),
  /** The registered endpoint of webhooks, also set by `POST /v3/webhooks/endpoints`. */
  webhook_endpoint: endpointSchema.nullable(),
  ...webhookSettings,
});
type Settings = z.output<typeof settingsSchema>;

const DEFAULT_SETTINGS: Settings = {
  render_ms: 800,
  result_url_seconds: 604_800,
  outcome: "completed",
  max_concurrent: 10,
  wallet_credits: 10_000,
  list_lag_ms: 0,
  webhook_endpoint: null,
  webhooks: "once",
  webhook_delay_ms: 0,
};

const storedVideoSchema = z.object({
  seq: z.int(),
  id: z.string(),
  createdAt: z.number(),
  renderMs: z.int(),
  outcome: settingsSchema.shape.outcome,
  asked: videoSchema,
  film: filmRequestSchema,
  /** Null when no film can be made of the uploads. */
  seconds: z.number().nullable(),
}).readonly();
type Video = z.output<typeof storedVideoSchema>;

/** The response stored under an `Idempotency-Key`. */
const storedResponseSchema = z.object({
  at: z.number(),
  answer: z.object({
    status: z.int(),
    headers: z.record(z.string(), z.string()).readonly(),
    body: z.string(),
  }).readonly(),
}).readonly();

/**
 * HeyGen v3 as far as this project uses it: image videos, assets, the account and webhook endpoints, as in the vendor's
 * pages of 2026. All keys share one account; a key that starts with `invalid` is refused. For 24 hours, a creation with
 * the same `Idempotency-Key` gets the same response, even if its body differs.
 */
export class HeyGen implements Provider {
  readonly name = "heygen";
  readonly operations: ReadonlySet<string>;
  readonly errorNames = HEYGEN_ERROR_NAMES;

  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #routes: readonly Route[];
  readonly #webhooks: WebhookSender;
  readonly #videos: Records<Video>;
  /** SHA-256 by id. */
  readonly #assets: Records<string>;
  readonly #films: Films;
  readonly #responses: Records<z.output<typeof storedResponseSchema>>;
  readonly #account: ProviderSettings<Settings>;

  constructor(clock: Clock, ledger: Ledger, state: State) {
    this.#clock = clock;
    this.#webhooks = new WebhookSender(clock);
    this.#ledger = ledger;
    this.#videos = state.records("heygen.videos", storedVideoSchema);
    this.#assets = state.records("heygen.assets", z.string());
    this.#films = new Films(state);
    this.#responses = state.records("heygen.answers", storedResponseSchema);
    this.#account = new ProviderSettings(
      state,
      this.name,
      settingsSchema,
      DEFAULT_SETTINGS,
    );
    this.#routes = [
      route(
        "videos.create",
        "POST",
        "/v3/videos",
        (call) => this.#create(call),
      ),
      route("videos.list", "GET", "/v3/videos", (call) => this.#list(call)),
      route(
        "videos.get",
        "GET",
        "/v3/videos/:id",
        (call) =>
          this.#withVideo(
            call,
            async (video) =>
              jsonResponse(200, { data: await this.#body(video, call) }),
          ),
      ),
      route(
        "videos.delete",
        "DELETE",
        "/v3/videos/:id",
        (call) => this.#withVideo(call, (video) => this.#delete(video)),
      ),
      route(
        "assets.create",
        "POST",
        "/v3/assets",
        (call) => this.#upload(call),
      ),
      route("users.me", "GET", "/v3/users/me", () =>
        jsonResponse(200, {
          data: {
            billing_type: "wallet",
            wallet: { remaining: this.#settings.wallet_credits },
          },
        })),
      route(
        "webhooks.create",
        "POST",
        "/v3/webhooks/endpoints",
        (call) => this.#register(call),
      ),
      route(
        "webhooks.list",
        "GET",
        "/v3/webhooks/endpoints",
        () =>
          jsonResponse(200, {
            data: this.#settings.webhook_endpoint === null
              ? []
              : [{ endpoint_id: "ep_1", ...this.#endpoint() }],
            has_more: false,
          }),
      ),
      route("webhooks.delete", "DELETE", "/v3/webhooks/endpoints/:id", () => {
        this.changeSettings({ webhook_endpoint: null });
        return jsonResponse(200, { data: { deleted: true } });
      }),
      route(
        "results.get",
        "GET",
        "/results/:file",
        ({ request, params }) => {
          const id = (params["file"] ?? "").replace(/\.mp4$/, "");
          return resultResponse(request, id, this.#clock, async () => {
            const video = this.#videos.get(id);
            return video === undefined
              ? null
              : await this.#films.make(video.film);
          });
        },
      ),
    ];
    this.operations = new Set(this.#routes.map(({ operation }) => operation));
  }

  async reset(): Promise<void> {
    await this.stop();
    this.#videos.clear();
    this.#assets.clear();
    this.#responses.clear();
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
    const id = (call.params["id"] ?? call.params["file"] ?? "")
      .replace(/\.mp4$/, "");
    const asked = videoSchema.safeParse(jsonBody(request)).data ??
      this.#videos.get(id)?.asked;
    return Promise.resolve({
      operations: [route.operation],
      marker: findMarker([
        asked?.title,
        asked?.callback_id,
        request.headers.get("idempotency-key"),
        request.query.get("title"),
      ]),
    });
  }

  async handle(request: ReceivedRequest): Promise<SimulatedResponse> {
    const { route, call } = matchRoute(this.#routes, request);
    if (route === null) return heyGenError("not_found");
    // Results are in an object store: the signed URL is the credential.
    if (route.operation !== "results.get") {
      const key = request.headers.get("x-api-key") ?? "";
      if (key === "" || key.startsWith("invalid")) {
        return heyGenError("unauthorized");
      }
    }
    return await route.run(call);
  }

  errorResponse(name: string): SimulatedResponse {
    return heyGenError(name);
  }

  /** The response under an idempotency key in the last 24 hours. Errors are not stored. */
  #storedResponse(slot: string | null): SimulatedResponse | undefined {
    const known = slot === null ? undefined : this.#responses.get(slot);
    return known !== undefined && this.#clock.now() - known.at < 24 * HOUR_MS
      ? known.answer
      : undefined;
  }

  async #create({ request }: Call): Promise<SimulatedResponse> {
    const key = request.headers.get("idempotency-key");
    if (key !== null && !/^[A-Za-z0-9_:.-]{1,255}$/.test(key)) {
      return heyGenError("invalid_parameter", { param: "Idempotency-Key" });
    }
    const slot = key === null ? null : `${request.path} ${key}`;
    const known = this.#storedResponse(slot);
    if (known !== undefined) return known;
    const asked = videoSchema.safeParse(jsonBody(request));
    if (!asked.success) {
      const [issue] = asked.error.issues;
      return heyGenError("invalid_parameter", {
        message: issue?.message ?? "invalid",
        param: issue?.path.join(".") ?? "",
      });
    }
    const { image, audio_asset_id, audio_url } = asked.data;
    // Other files would have to be downloaded, and this simulator makes no requests.
    if (image.type === "url" || audio_url !== undefined) {
      return heyGenError("download_failed");
    }
    const photo = this.#assets.get(image.asset_id);
    const recording = audio_asset_id === undefined
      ? null
      : this.#assets.get(audio_asset_id);
    if (photo === undefined || recording === undefined) {
      return heyGenError("invalid_parameter", {
        message: "asset not found",
        param: photo === undefined ? "image" : "audio_asset_id",
      });
    }
    const film = { photo, recording, text: asked.data.script ?? "" };
    const seconds = (await this.#films.make(film))?.seconds ?? null;
    // No await from here to the creation: limits and idempotency are exact under concurrent requests, and no video
    // exists without a response under its key.
    const meanwhile = this.#storedResponse(slot);
    if (meanwhile !== undefined) return meanwhile;
    if (this.#settings.wallet_credits === 0) {
      return heyGenError("insufficient_credit");
    }
    const running = [...this.#videos.values()].filter((video) =>
      ["pending", "processing"].includes(this.#statusOf(video))
    );
    if (running.length >= this.#settings.max_concurrent) {
      return heyGenError("rate_limit_exceeded");
    }
    this.changeSettings({ wallet_credits: this.#settings.wallet_credits - 1 });
    const video: Video = {
      seq: ([...this.#videos.values()].at(-1)?.seq ?? 0) + 1,
      id: crypto.randomUUID().replaceAll("-", ""),
      createdAt: this.#clock.now(),
      renderMs: this.#settings.render_ms,
      outcome: seconds === null && this.#settings.outcome === "completed"
        ? "failed"
        : this.#settings.outcome,
      asked: asked.data,
      film,
      seconds,
    };
    this.#videos.set(video.id, video);
    this.#ledger.add({
      provider: this.name,
      operation: "videos.create",
      id: video.id,
      marker: findMarker([video.asked.title, video.asked.callback_id]),
      request: { ...asked.data },
      bytes: request.body.length,
      api_key_tail: (request.headers.get("x-api-key") ?? "").slice(-4),
    }, this.#clock.now());
    this.#announce(video, request);
    const answer = {
      ...jsonResponse(200, {}),
      body: JSON.stringify({
        data: { video_id: video.id, status: "waiting", output_format: "mp4" },
      }),
    };
    if (slot !== null) {
      this.#responses.set(slot, { at: this.#clock.now(), answer });
    }
    return answer;
  }

  #announce(video: Video, request: ReceivedRequest): void {
    const { webhooks, webhook_delay_ms } = this.#settings;
    if (webhooks === "lost" || video.outcome === "stuck") return;
    const wait = webhooks === "early" ? 0 : video.renderMs;
    this.#webhooks.schedule(wait + webhook_delay_ms, async () => {
      const endpoint = this.#settings.webhook_endpoint;
      if (endpoint === null) return [];
      const hasFailed = webhooks !== "early" && video.outcome !== "completed";
      const body = JSON.stringify({
        event_type: hasFailed ? "avatar_video.fail" : "avatar_video.success",
        event_data: {
          video_id: video.id,
          callback_id: video.asked.callback_id,
          ...(hasFailed ? { msg: "rendering failed" } : {
            url: await this.#resultUrl(video, request),
            folder_id: null,
          }),
        },
      });
      const secret = webhooks === "forged" ? "whsec_guessed" : endpoint.secret;
      const delivery: Delivery = {
        url: endpoint.url,
        headers: {
          "heygen-signature": await hexHmac(secret, body),
          // Real time, because the receiver's clock does not follow the simulators'.
          "heygen-timestamp": String(Math.floor(Date.now() / 1000)),
          "heygen-event-id": `evt_${crypto.randomUUID()}`,
        },
        body,
      };
      return webhooks === "doubled" ? [delivery, delivery] : [delivery];
    });
  }

  #statusOf(
    video: Video,
  ): "pending" | "processing" | "completed" | "failed" {
    const age = this.#clock.now() - video.createdAt;
    if (video.outcome === "stuck") return "processing";
    if (age >= video.renderMs) {
      return video.outcome === "completed" ? "completed" : "failed";
    }
    return age >= video.renderMs / 4 ? "processing" : "pending";
  }

  #resultUrl(video: Video, request: ReceivedRequest): Promise<string> {
    return signedResultUrl(request, {
      provider: this.name,
      id: video.id,
      clock: this.#clock,
      seconds: this.#settings.result_url_seconds,
    });
  }

  async #body(video: Video, { request }: Call): Promise<unknown> {
    const status = this.#statusOf(video);
    return {
      ...this.#listed(video),
      output_language: null,
      ...(status === "completed"
        ? {
          completed_at: Math.floor(
            (video.createdAt + video.renderMs) / 1000,
          ),
          video_url: await this.#resultUrl(video, request),
          thumbnail_url: null,
          duration: video.seconds,
        }
        : {}),
      ...(status === "failed"
        ? video.outcome === "refused"
          ? {
            failure_code: "content_moderation_failed",
            failure_message: "The content was rejected by moderation.",
          }
          : {
            failure_code: "rendering_failed",
            failure_message: "The video could not be rendered.",
          }
        : {}),
    };
  }

  /** A video as in the list: without `callback_id` and URLs. */
  #listed(video: Video): Record<string, unknown> {
    return {
      id: video.id,
      title: video.asked.title ?? "Untitled",
      status: this.#statusOf(video),
      created_at: Math.floor(video.createdAt / 1000),
      folder_id: null,
    };
  }

  #list({ request }: Call): SimulatedResponse {
    const query = z.object({
      limit: z.coerce.number().int().min(1).max(100).default(10),
      token: z.coerce.number().int().min(0).default(0),
      title: z.string().default(""),
    }).safeParse(Object.fromEntries(request.query));
    if (!query.success) {
      return heyGenError("invalid_parameter", { param: "limit" });
    }
    const { limit, token, title } = query.data;
    const shown = this.#clock.now() - this.#settings.list_lag_ms;
    const videos = [...this.#videos.values()]
      .filter((video) =>
        video.createdAt <= shown && (video.asked.title ?? "").includes(title)
      )
      .sort((a, b) => b.seq - a.seq);
    const next = token + limit;
    return jsonResponse(200, {
      data: videos.slice(token, next).map((video) => this.#listed(video)),
      has_more: next < videos.length,
      next_token: next < videos.length ? String(next) : null,
    });
  }

  async #withVideo(
    call: Call,
    answer: (video: Video) => Promise<SimulatedResponse> | SimulatedResponse,
  ): Promise<SimulatedResponse> {
    const video = this.#videos.get(call.params["id"] ?? "");
    return video === undefined ? heyGenError("not_found") : await answer(video);
  }

  #delete(video: Video): SimulatedResponse {
    this.#videos.delete(video.id);
    this.#ledger.markDeleted(this.name, video.id, this.#clock.now());
    return jsonResponse(200, { data: { id: video.id, deleted: true } });
  }

  async #upload({ request }: Call): Promise<SimulatedResponse> {
    const file = await formFile(request, "file");
    if (file === null || file.size === 0) {
      return heyGenError("invalid_parameter", {
        message: "file is required",
        param: "file",
      });
    }
    if (file.size > MAX_ASSET_BYTES) return heyGenError("payload_too_large");
    if (!/^(image\/(png|jpeg)|audio\/(mpeg|wav|x-wav))$/.test(file.type)) {
      return heyGenError("invalid_parameter", {
        message: "unsupported file type",
        param: "file",
      });
    }
    const id = crypto.randomUUID().replaceAll("-", "");
    this.#assets.set(id, await this.#films.keep(file));
    return jsonResponse(200, {
      data: {
        asset_id: id,
        url: `https://files.heygen.invalid/${id}`,
        mime_type: file.type,
        size_bytes: file.size,
      },
    });
  }

  #register({ request }: Call): SimulatedResponse {
    const given = z.object({ url: z.url() }).safeParse(jsonBody(request));
    if (!given.success) {
      return heyGenError("invalid_parameter", { param: "url" });
    }
    const secret = `whsec_${crypto.randomUUID().replaceAll("-", "")}`;
    this.changeSettings({ webhook_endpoint: { url: given.data.url, secret } });
    return jsonResponse(200, {
      data: { endpoint_id: "ep_1", ...this.#endpoint(), secret },
    });
  }

  #endpoint(): Record<string, unknown> {
    return {
      url: this.#settings.webhook_endpoint?.url,
      events: ["avatar_video.success", "avatar_video.fail"],
      status: "enabled",
    };
  }
}
