/**
 * D-ID: talking photos ("talks"), by "D-ID API 4.2.1".
 *
 * There is no idempotency key. `POST /talks` has been seen to return 504 after the talk was created, so an unknown
 * outcome is searched in the list of talks. The list's members are only partly documented, so the job's id goes into
 * every member that may be returned.
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
import { markedJob, UUID, type VideoListing } from "../inventory.ts";
import { createDIdWire, type DIdAccess, REFUSED_CONTENT } from "./client.ts";

/** Response of `POST /images` and `POST /audios`. */
export const dIdUploadSchema = z.object({ url: z.string().min(1) });
/** Response of `POST /talks`. */
export const dIdCreatedTalkSchema = z.object({ id: z.string().min(1) });
/** Response of `GET /talks/{id}`; also the body of a webhook. */
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
const listedTalkSchema = z.object({
  id: z.string().min(1),
  user_data: z.string().nullish(),
  name: z.string().nullish(),
  webhook: z.string().nullish(),
  source_url: z.string().nullish(),
});
/** Response of `GET /talks`. Only `id` and some of the others can be relied on. */
export const dIdTalksSchema = z.object({
  talks: z.array(listedTalkSchema),
  token: z.string().nullish(),
});
/** Maximum number of pages of the list to read: 50 × 100 talks. */
const MAX_PAGES = 50;

/** How the talks of an account are created. */
export interface DIdTalksOptions extends DIdAccess {
  /** Where D-ID reports that the talk of a job is done; without it, or when it returns undefined, the job polls. */
  callbackUrl?(jobId: string): string | undefined;
}

/** The talks of a D-ID account. */
export function createDIdTalks(
  access: DIdTalksOptions,
): AvatarVideos & VideoListing {
  const wire = createDIdWire(access);

  async function upload(
    kind: "image" | "audio",
    file: ProviderFile,
    signal: AbortSignal,
  ): Promise<string> {
    const form = new FormData();
    form.append(
      kind,
      new File([file.bytes], file.name, { type: file.mimeType }),
    );
    const answer = await wire.json(
      { method: "POST", path: `/${kind}s`, form },
      dIdUploadSchema,
      signal,
    );
    return answer.url;
  }

  const listTalks = (token: string | null | undefined, signal: AbortSignal) =>
    wire.json(
      {
        method: "GET",
        path: "/talks",
        query: { limit: "100", ...(token ? { token } : {}) },
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
      const talk = await wire.json(
        { method: "POST", path: "/talks", json: talkBody(request, access) },
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
        // A list without the members that we sent cannot prove that a talk does not exist.
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

    async jobOf(talkId, signal) {
      const talk = await wire.json(
        { method: "GET", path: pathOf(talkId) },
        listedTalkSchema,
        signal,
      );
      const jobId = jobOf(talk);
      // Only these two were sent as a marker; a talk that is shown without them may have one.
      const isMarkerShown = [talk.user_data, talk.name]
        .some((text) => typeof text === "string");
      return jobId === null && !isMarkerShown ? undefined : jobId;
    },

    has: (talkId, signal) => wire.has(pathOf(talkId), signal),
    remove: (talkId, signal) => wire.remove(pathOf(talkId), signal),

    async read(talkId, signal) {
      return toState(
        await wire.readMade(pathOf(talkId), dIdTalkSchema, signal),
      );
    },
  };
}

function pathOf(talkId: string): string {
  return `/talks/${encodeURIComponent(talkId)}`;
}

/** The job of a listed talk: from the `user_data` and `name` that we sent, else from our webhook or file name. */
function jobOf(
  talk: z.output<typeof listedTalkSchema>,
): string | null {
  return [talk.user_data, talk.name].map(markedJob)
    .find((id) => id !== null) ??
    new RegExp(`/d-id/(${UUID})/`).exec(talk.webhook ?? "")?.[1] ??
    new RegExp(`/job-(${UUID})\\.`).exec(talk.source_url ?? "")?.[1] ?? null;
}

function talkBody(
  request: AvatarVideoRequest,
  { callbackUrl }: DIdTalksOptions,
): Record<string, unknown> {
  const { speech } = request;
  const jobId = markedJob(request.marker);
  const webhook = jobId === null ? undefined : callbackUrl?.(jobId);
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
    ...(webhook === undefined ? {} : { webhook }),
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
