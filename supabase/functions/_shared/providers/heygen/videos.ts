/**
 * HeyGen: image videos, by API v3 (v1 and v2 ended on 2026-11-01).
 *
 * A creation carries an `Idempotency-Key`: for 24 hours the service repeats its first response
 * under it, so that a call of unknown outcome may be repeated, and one that is sent twice by mistake creates nothing new.
 * The title carries the job's id, by which the list finds the video.
 */
import { z } from "zod";
import { RECORDING_LIMITS } from "../../contracts/avatar-video.ts";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import type {
  AvatarVideoRequest,
  AvatarVideos,
  AvatarVideoState,
  ProviderFile,
} from "../avatar-videos.ts";
import { markedJob, type VideoListing } from "../inventory.ts";
import type { ProviderAccess } from "../wire.ts";
import { createHeyGenWire, REFUSED_CONTENT } from "./client.ts";

/** Response of `POST /v3/assets`. */
export const heyGenAssetSchema = z.object({
  data: z.object({ asset_id: z.string().min(1) }),
});
/** Response of `POST /v3/videos`. */
export const heyGenCreatedVideoSchema = z.object({
  data: z.object({ video_id: z.string().min(1) }),
});
/** Response of `GET /v3/videos/{id}`. A creation returns `waiting`, so it is accepted here as well. */
export const heyGenVideoSchema = z.object({
  data: z.object({
    id: z.string().min(1),
    status: z.enum([
      "waiting",
      "pending",
      "processing",
      "completed",
      "failed",
    ]),
    video_url: z.url({ protocol: /^https?$/ }).nullish(),
    duration: z.number().positive().nullish(),
    failure_code: z.string().nullish(),
    failure_message: z.string().nullish(),
  }),
});
/** The title in the response of `GET /v3/videos/{id}`. */
const heyGenTitleSchema = z.object({
  data: z.object({ title: z.string().nullish() }),
});
/** Response of `GET /v3/videos`. */
export const heyGenVideosSchema = z.object({
  data: z.array(
    z.object({ id: z.string().min(1), title: z.string().nullish() }),
  ),
  has_more: z.boolean(),
  next_token: z.string().nullish(),
});
/** Maximum number of pages of a search to read: 20 × 100 videos that all match one job's title. */
const MAX_PAGES = 20;

/** The videos of a HeyGen account. */
export function createHeyGenVideos(
  access: ProviderAccess,
): AvatarVideos & VideoListing {
  const wire = createHeyGenWire(access);

  async function upload(
    file: ProviderFile,
    signal: AbortSignal,
  ): Promise<string> {
    const form = new FormData();
    form.append(
      "file",
      new File([file.bytes], file.name, { type: file.mimeType }),
    );
    const answer = await wire.json(
      { method: "POST", path: "/v3/assets", form },
      heyGenAssetSchema,
      signal,
    );
    return answer.data.asset_id;
  }

  const listVideos = (
    title: string,
    token: string | null | undefined,
    signal: AbortSignal,
  ) =>
    wire.json(
      {
        method: "GET",
        path: "/v3/videos",
        query: { limit: "100", title, ...(token ? { token } : {}) },
      },
      heyGenVideosSchema,
      signal,
    );

  return {
    ...RECORDING_LIMITS.heygen,
    chargesFailed: false,
    pauses: { first: 10, longest: 60 },
    // HeyGen accepts a repetition for 24 hours. A response arrives within this time; later the list decides.
    repeatableSeconds: 600,
    uploadPhoto: upload,
    uploadAudio: upload,

    async create(request, signal) {
      const answer = await wire.json(
        {
          method: "POST",
          path: "/v3/videos",
          headers: { "idempotency-key": request.idempotencyKey },
          json: videoBody(request),
        },
        heyGenCreatedVideoSchema,
        signal,
      );
      return answer.data.video_id;
    },

    async findByMarker(marker, signal) {
      let token: string | undefined;
      for (let page = 0; page < MAX_PAGES; page++) {
        const answer = await listVideos(marker, token, signal);
        const found = answer.data.find(({ title }) => title === marker);
        if (found !== undefined) return found.id;
        if (!answer.has_more || !answer.next_token) return null;
        token = answer.next_token;
      }
      throw ProviderFailure.unknown("provider_answer_invalid");
    },

    async list(cursor, signal) {
      // The title filters by substring: videos that we did not create are left out.
      const answer = await listVideos("job:", cursor, signal);
      return {
        objects: answer.data.map(({ id, title }) => ({
          id,
          type: "avatar",
          jobId: markedJob(title),
        })),
        next: (answer.has_more && answer.next_token) || null,
      };
    },

    async jobOf(videoId, signal) {
      const { data: { title } } = await wire.json(
        { method: "GET", path: pathOf(videoId) },
        heyGenTitleSchema,
        signal,
      );
      return typeof title === "string" ? markedJob(title) : undefined;
    },

    has: (videoId, signal) => wire.has(pathOf(videoId), signal),
    remove: (videoId, signal) => wire.remove(pathOf(videoId), signal),

    async read(videoId, signal) {
      return toState(
        await wire.readMade(pathOf(videoId), heyGenVideoSchema, signal),
      );
    },
  };
}

function pathOf(videoId: string): string {
  return `/v3/videos/${encodeURIComponent(videoId)}`;
}

function videoBody(request: AvatarVideoRequest): Record<string, unknown> {
  const { speech } = request;
  return {
    type: "image",
    image: { type: "asset_id", asset_id: request.photo },
    ...(speech.kind === "audio"
      ? { audio_asset_id: speech.audio }
      : { script: speech.text, voice_id: speech.voiceId }),
    title: request.marker,
    callback_id: request.marker,
    resolution: "720p",
    aspect_ratio: "auto",
    output_format: "mp4",
  };
}

function toState(
  { data }: z.output<typeof heyGenVideoSchema>,
): AvatarVideoState {
  switch (data.status) {
    case "waiting":
    case "pending":
    case "processing":
      return { status: "rendering" };
    case "completed":
      if (data.video_url === null || data.video_url === undefined) {
        throw ProviderFailure.unknown("provider_answer_invalid");
      }
      return {
        status: "done",
        videoUrl: data.video_url,
        durationSeconds: data.duration ?? null,
      };
    case "failed": {
      const reason = `${data.failure_code ?? ""} ${data.failure_message ?? ""}`
        .trim();
      return {
        status: "failed",
        code: REFUSED_CONTENT.test(reason)
          ? "provider_content_refused"
          : "provider_render_failed",
        reason,
      };
    }
  }
}
