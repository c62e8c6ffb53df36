/**
 * D-ID: talking photos ("talks"), by "D-ID API 4.2.1".
 *
 * There is no idempotency key. `POST /talks` has been seen to answer 504 after the talk was made, so an unknown outcome is
 * looked up in the list of talks; what the list shows of a talk is only partly documented, so the job's id goes into every
 * member that may come back.
 */
import { encodeBase64 } from "@std/encoding";
import { z } from "zod";
import { RECORDING_LIMITS } from "../../contracts/avatar-video.ts";
import type { ErrorCode } from "../../failures/catalogue.ts";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import type {
  AvatarVideoRequest,
  AvatarVideos,
  AvatarVideoState,
} from "../avatar-videos.ts";
import { markedJob, UUID, type VideoListing } from "../inventory.ts";
import {
  asLost,
  callProvider,
  isMissing,
  missingKey,
  statusFailure,
  type Wire,
  type WireAnswer,
} from "../wire.ts";

/** Answer of `POST /images` and `POST /audios`. */
export const dIdUploadSchema = z.object({ url: z.string().min(1) });
/** Answer of `POST /talks`. */
export const dIdCreatedTalkSchema = z.object({ id: z.string().min(1) });
/** Answer of `GET /talks/{id}`; also the body of a webhook. */
export const dIdTalkSchema = z.object({
  id: z.string().min(1),
  status: z.enum(["created", "started", "done", "error", "rejected"]),
  result_url: z.url({ protocol: /^https?$/ }).nullish(),
  duration: z.number().positive().nullish(),
  error: z.object({
    kind: z.string().nullish(),
    description: z.string().nullish(),
  }).nullish(),
});
/** Answer of `GET /talks`. Only `id` and some of the others can be relied on. */
export const dIdTalksSchema = z.object({
  talks: z.array(z.object({
    id: z.string().min(1),
    user_data: z.string().nullish(),
    name: z.string().nullish(),
    webhook: z.string().nullish(),
    source_url: z.string().nullish(),
  })),
  token: z.string().nullish(),
});
/** Every error of the service itself; its gateway answers `{message}` instead. */
export const dIdErrorSchema = z.object({
  kind: z.string(),
  description: z.string().nullish(),
});

/** Pages of the list to look through before giving up: 50 × 100 talks. */
const MAX_PAGES = 50;
/** Content that was refused, as against input that cannot be used. */
const REFUSED_CONTENT = /Moderation|CelebrityRecognized/i;

/**
 * The talks of a D-ID account.
 *
 * @param options.keyEncoding `base64` when the key is `user:secret` in the clear; `none` for a key as the dashboard shows it.
 */
export function createDIdTalks(options: {
  apiKey: string | undefined;
  keyEncoding: "none" | "base64";
  baseUrl: string;
  timeoutSeconds: number;
  fetch: typeof fetch;
}): AvatarVideos & VideoListing {
  const wire = (): Wire => {
    const { apiKey, keyEncoding } = options;
    if (apiKey === undefined) throw missingKey("DID_API_KEY");
    const key = keyEncoding === "base64" ? encodeBase64(apiKey) : apiKey;
    return {
      ...options,
      headers: { authorization: `Basic ${key}` },
      toFailure,
    };
  };

  async function upload(
    kind: "image" | "audio",
    file: { bytes: Blob; mimeType: string; name: string },
    signal: AbortSignal,
  ): Promise<string> {
    const body = new FormData();
    body.append(
      kind,
      new File([file.bytes], file.name, { type: file.mimeType }),
    );
    const answer = await callProvider(
      wire(),
      { method: "POST", path: `/${kind}s`, body },
      dIdUploadSchema,
      signal,
    );
    return answer.url;
  }

  const listTalks = (token: string | null | undefined, signal: AbortSignal) =>
    callProvider(
      wire(),
      {
        method: "GET",
        path: `/talks?${new URLSearchParams({
          limit: "100",
          ...(token ? { token } : {}),
        })}`,
      },
      dIdTalksSchema,
      signal,
    );

  return {
    ...RECORDING_LIMITS["d-id"],
    // Not documented.
    chargesFailed: true,
    pauses: { first: 5, longest: 60 },
    uploadPhoto: (file, signal) => upload("image", file, signal),
    uploadAudio: (file, signal) => upload("audio", file, signal),

    async create(request, signal) {
      const talk = await callProvider(
        wire(),
        { method: "POST", path: "/talks", body: talkBody(request) },
        dIdCreatedTalkSchema,
        signal,
      );
      return talk.id;
    },

    async findByMarker(marker, signal) {
      const jobId = marker.replace(/^job:/, "");
      let token: string | undefined;
      for (let page = 0; page < MAX_PAGES; page++) {
        const answer = await listTalks(token, signal);
        const texts = answer.talks.map((talk) =>
          [talk.user_data, talk.name, talk.webhook, talk.source_url]
            .filter((text) => typeof text === "string")
        );
        const found = answer.talks.find((_talk, index) =>
          texts[index]?.some((text) => text.includes(jobId))
        );
        if (found !== undefined) return found.id;
        // A list that shows nothing of what was sent cannot say that something is not there.
        if (texts.some((known) => known.length === 0)) break;
        if (!answer.token) return null;
        token = answer.token;
      }
      throw ProviderFailure.unknown("provider_answer_invalid");
    },

    async list(cursor, signal) {
      const { talks, token } = await listTalks(cursor, signal);
      return {
        objects: talks.map((talk) => ({
          id: talk.id,
          type: "avatar",
          jobId: jobOf(talk),
        })),
        next: token || null,
      };
    },

    async has(talkId, signal) {
      try {
        await callProvider(
          wire(),
          { method: "GET", path: `/talks/${encodeURIComponent(talkId)}` },
          z.unknown(),
          signal,
        );
        return true;
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
    },

    async read(talkId, signal) {
      try {
        return toState(
          await callProvider(
            wire(),
            { method: "GET", path: `/talks/${encodeURIComponent(talkId)}` },
            dIdTalkSchema,
            signal,
          ),
        );
      } catch (error) {
        throw asLost(error);
      }
    },

    async remove(talkId, signal) {
      try {
        await callProvider(
          wire(),
          { method: "DELETE", path: `/talks/${encodeURIComponent(talkId)}` },
          z.unknown(),
          signal,
        );
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    },
  };
}

/** The job that a listed talk was made for: by what we send as `user_data` and `name`, else by our webhook or file name. */
function jobOf(
  talk: z.output<typeof dIdTalksSchema>["talks"][number],
): string | null {
  return [talk.user_data, talk.name].map(markedJob)
    .find((id) => id !== null) ??
    new RegExp(`/d-id/(${UUID})/`).exec(talk.webhook ?? "")?.[1] ??
    new RegExp(`/job-(${UUID})\\.`).exec(talk.source_url ?? "")?.[1] ?? null;
}

function talkBody(request: AvatarVideoRequest): Record<string, unknown> {
  const { speech } = request;
  return {
    source_url: request.photo,
    script: speech.kind === "audio"
      ? { type: "audio", audio_url: speech.audio }
      : {
        type: "text",
        input: speech.text,
        provider: { type: speech.voiceProvider, voice_id: speech.voiceId },
      },
    config: { result_format: "mp4" },
    user_data: request.marker,
    name: request.marker,
    ...(request.callbackUrl === undefined
      ? {}
      : { webhook: request.callbackUrl }),
  };
}

function toState(talk: z.output<typeof dIdTalkSchema>): AvatarVideoState {
  switch (talk.status) {
    case "created":
    case "started":
      return { status: "rendering" };
    case "done":
      if (talk.result_url === null || talk.result_url === undefined) {
        throw ProviderFailure.unknown("provider_answer_invalid");
      }
      return {
        status: "done",
        videoUrl: talk.result_url,
        durationSeconds: talk.duration ?? null,
      };
    case "error":
    case "rejected": {
      const kind = talk.error?.kind ?? "";
      const isRefused = talk.status === "rejected" ||
        REFUSED_CONTENT.test(kind);
      return {
        status: "failed",
        code: isRefused ? "provider_content_refused" : "provider_render_failed",
        reason: `${talk.status}: ${kind} ${talk.error?.description ?? ""}`
          .trim(),
      };
    }
  }
}

/** What an error answer of D-ID means. Its gateway's answers have no `kind`; then the status alone decides. */
function toFailure(answer: WireAnswer): ProviderFailure {
  const error = dIdErrorSchema.safeParse(answer.body).data;
  return statusFailure(answer, answer.body, codeOf(answer.status, error?.kind));
}

function codeOf(
  status: number,
  kind: string | undefined,
): ErrorCode | undefined {
  if (status === 451 || REFUSED_CONTENT.test(kind ?? "")) {
    return "provider_content_refused";
  }
  if (kind === "InsufficientCreditsError") return "provider_quota_exceeded";
  return kind === "PermissionError" ? "provider_limit_reached" : undefined;
}
