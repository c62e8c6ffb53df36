/** The job type `avatar_video`: a photo and what it shall say become a video at D-ID or HeyGen, and a row of `avatars`. */
import type { SupabaseClient } from "@supabase/supabase-js";
import {
  adviceOnLength,
  AVATAR_PROVIDERS,
  type AvatarProvider,
  type AvatarVideoMetadata,
  avatarVideoMetadataSchema,
  type AvatarVideoResult,
} from "../../_shared/contracts/avatar-video.ts";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import { parseObjectPath } from "../../_shared/contracts/object-path.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import { Snooze } from "../../_shared/jobs/outcome.ts";
import { pauseFor, snoozeOnOutage } from "../../_shared/jobs/pauses.ts";
import type { JobContext, Processor } from "../../_shared/jobs/job-context.ts";
import {
  INPUT_HEAD_BYTES,
  inputTypeOf,
} from "../../_shared/media/input-type.ts";
import {
  recordingInMemory,
  recordingLength,
} from "../../_shared/media/recording-length.ts";
import { spokenSeconds } from "../../_shared/media/spoken-seconds.ts";
import type {
  AvatarSpeech,
  AvatarVideos,
  AvatarVideoState,
  ProviderFile,
} from "../../_shared/providers/avatar-videos.ts";
import type { ResultDownload } from "../../_shared/providers/result-download.ts";
import { unpaid } from "../../_shared/providers/wire.ts";
import {
  downloadInput,
  type InputName,
} from "../../_shared/storage/object-store.ts";
import { storeOutput } from "../../_shared/storage/outputs.ts";
import { noteOn } from "./length-note.ts";

/** The one paid step. */
const ORDER = "create_video";
/** Most bytes of a photo; D-ID takes no more. */
const MAX_PHOTO_BYTES = 10_000_000;
/** Most bytes of a video: half an hour at the bitrates that the providers use. */
const MAX_VIDEO_BYTES = 209_715_200;

/** What the processor is made of. */
export interface AvatarVideoDeps {
  supabase: SupabaseClient<Database>;
  providers: Readonly<Record<AvatarProvider, AvatarVideos>>;
  /** For results, which lie at addresses of the provider's choice. */
  results: Readonly<Record<AvatarProvider, ResultDownload>>;
  /** Where D-ID may call back for this job. */
  callbackUrl(jobId: string): string | undefined;
  /** Uniform in [0, 1). */
  random(): number;
}

/**
 * The processor. Submits on the first claim, and looks once on each later one: a render takes minutes, and nothing waits
 * for it in an isolate. Progress: 10 while photo and recording are prepared over, 30 when the order is sent, 50 when the
 * video is being made, 80 while it is copied into our Storage.
 */
export function createAvatarVideoProcessor(deps: AvatarVideoDeps): Processor {
  return {
    jobType: "avatar_video",
    async run(context) {
      const { job, signal, progress } = context;
      const provider = deps.providers[nameOf(job)];
      const order = readOrder(job);

      const videoId = await submit(deps, provider, context, order);

      const read = () =>
        snoozeOnOutage(
          job,
          provider.pauses,
          () => provider.read(videoId, signal),
        );
      const state = await read();
      if (state.status === "rendering") {
        throw new Snooze(pauseFor(job, provider.pauses), "rendering");
      }
      // The length is known only now. What failed is given back where the provider does not charge it.
      if (state.status === "done" && state.durationSeconds !== null) {
        await context.recordUsage(ORDER, Math.ceil(state.durationSeconds));
      } else if (state.status === "failed" && !provider.chargesFailed) {
        await context.recordUsage(ORDER, 0);
      }
      const video = finished(state);

      progress(80, "storing_output");
      const open = (url: string) =>
        deps.results[nameOf(job)](url, { maxBytes: MAX_VIDEO_BYTES, signal });
      const body = await open(video.videoUrl) ??
        // It has expired since: the provider signs a new address when it is asked again.
        await open(finished(await read()).videoUrl);
      if (body === null) {
        throw JobFailure.retryable("output_invalid", {
          cause: new Error("the result's address has expired, twice"),
        });
      }
      const { outputUrl, bytes } = await storeOutput(deps.supabase, {
        userId: job.user_id,
        jobId: job.id,
        fileName: "video.mp4",
        contentType: "video/mp4",
        body,
        maxBytes: MAX_VIDEO_BYTES,
        signal,
      });
      return {
        resultData: {
          provider: job.provider,
          provider_video_id: videoId,
          duration_seconds: video.durationSeconds,
          size_bytes: bytes,
        } satisfies AvatarVideoResult,
        outputUrl,
        product: {
          kind: "avatar",
          name: order.metadata.name,
          provider_avatar_id: videoId,
          duration_seconds: video.durationSeconds,
        },
      };
    },
  };
}

/** What a job asks for. */
interface Order {
  metadata: AvatarVideoMetadata;
  photo: string;
}

function nameOf(job: ClaimedJob): AvatarProvider {
  const name = AVATAR_PROVIDERS.find((one) => one === job.provider);
  if (name === undefined) {
    throw JobFailure.final("job_type_not_supported");
  }
  return name;
}

function readOrder(job: ClaimedJob): Order {
  const metadata = readMetadata(job, avatarVideoMetadataSchema);
  if (job.input_url === null) {
    throw JobFailure.final("input_required");
  }
  return { metadata, photo: job.input_url };
}

/** The provider's id of the video: ordered now, or by an earlier claim. */
async function submit(
  deps: AvatarVideoDeps,
  provider: AvatarVideos,
  context: JobContext,
  order: Order,
): Promise<string> {
  const { job, signal, progress, pay } = context;
  const marker = `job:${job.id}`;
  let prepared: PreparedInput | undefined;
  // What is ordered already, or may be, needs no files any more.
  if (job.spend === "none") {
    progress(10, "fetching_input");
    prepared = await snoozeOnOutage(
      job,
      provider.pauses,
      () => prepareInput(deps, provider, context, order, signal),
    );
  }
  try {
    return await pay({
      operation: ORDER,
      stage: "calling_provider",
      progressBefore: 30,
      progressAfter: 50,
      // Of what was ordered before, the journal has the estimate.
      units: prepared?.seconds ?? 1,
      unitsNote: prepared?.note,
      send: async (signal) => {
        prepared ??= await unpaid(() =>
          prepareInput(deps, provider, context, order, signal)
        );
        const { photo, speech } = prepared;
        return await provider.create({
          photo,
          speech,
          marker,
          callbackUrl: deps.callbackUrl(job.id),
        }, signal);
      },
      find: (signal) => provider.findByMarker(marker, signal),
      undo: (videoId, signal) => provider.remove(videoId, signal),
    });
  } catch (error) {
    // A full plan is a matter of waiting until other videos are done, not of attempts.
    if (error instanceof JobFailure && error.code === "provider_rate_limited") {
      throw new Snooze(
        error.retryAfterSeconds ?? pauseFor(job, provider.pauses),
        "waiting_for_provider",
      );
    }
    throw error;
  }
}

/** What the provider has been prepared, and how long the video is likely to become. */
interface PreparedInput {
  photo: string;
  speech: AvatarSpeech;
  seconds: number;
  note?: string | undefined;
}

/** Hands photo and recording to the provider. They cost nothing and it forgets them by itself. */
async function prepareInput(
  deps: AvatarVideoDeps,
  provider: AvatarVideos,
  context: JobContext,
  { metadata, photo }: Order,
  signal: AbortSignal,
): Promise<PreparedInput> {
  const { job } = context;
  const photoFile = await fileOf(deps, job, photo, {
    name: "photo",
    types: ["image/jpeg", "image/png"],
    maxBytes: MAX_PHOTO_BYTES,
    signal,
  });
  const { text, voice_id, voice_provider } = metadata;
  if (text !== undefined && voice_id !== undefined) {
    return {
      seconds: spokenSeconds(text),
      photo: await provider.uploadPhoto(photoFile, signal),
      speech: {
        kind: "text",
        text,
        voiceId: voice_id,
        voiceProvider: voice_provider ?? "microsoft",
      },
    };
  }
  const recording = await recordingOf(context, metadata);
  const audioFile = await fileOf(deps, job, recording, {
    name: "recording",
    types: provider.audioTypes,
    maxBytes: provider.maxAudioBytes,
    signal,
  });
  const length = await recordingLength(
    recordingInMemory(audioFile.bytes),
    deps.random,
  );
  const advice = adviceOnLength(length.seconds, nameOf(job));
  if (length.isMeasured && advice !== null) {
    throw JobFailure.final("input_size_not_allowed", {
      details: `The recording ${advice}.`,
    });
  }
  return {
    seconds: length.seconds,
    note: noteOn(length, context.log),
    photo: await provider.uploadPhoto(photoFile, signal),
    speech: {
      kind: "audio",
      audio: await provider.uploadAudio(audioFile, signal),
    },
  };
}

/** The recording that the photo speaks: one that is named, or the one that the job waited for. The service's client sees everybody's files, so the folder is checked here. */
async function recordingOf(
  { job, dependency }: JobContext,
  metadata: AvatarVideoMetadata,
): Promise<string> {
  const url = metadata.audio_url ?? (await dependency())?.output_url ?? null;
  if (url === null) {
    throw JobFailure.final("metadata_invalid", {
      details:
        "metadata.text: is required, or audio_url, or a speech that the job depends on",
    });
  }
  if (!parseObjectPath(url)?.path.startsWith(`${job.user_id}/`)) {
    throw JobFailure.final("path_not_allowed");
  }
  return url;
}

/** An own object as a file for the provider; what it is, its bytes say. */
async function fileOf(
  deps: AvatarVideoDeps,
  job: ClaimedJob,
  url: string,
  { name, types, maxBytes, signal }: {
    name: InputName;
    types: readonly string[];
    maxBytes: number;
    signal: AbortSignal;
  },
): Promise<ProviderFile> {
  const bytes = await downloadInput(deps.supabase, url, {
    name,
    taker: job.provider,
    maxBytes,
    signal,
  });
  const head = await bytes.slice(0, INPUT_HEAD_BYTES).arrayBuffer();
  const type = inputTypeOf(new Uint8Array(head));
  if (type === null || !types.includes(type.mimeType)) {
    throw JobFailure.final("input_type_not_allowed", {
      details: `The ${name} is ${
        type?.mimeType ?? "of no known format"
      } by its content; ${job.provider} takes ${types.join(", ")}.`,
    });
  }
  return {
    bytes,
    mimeType: type.mimeType,
    name: `job-${job.id}.${type.extension}`,
  };
}

/** The end of a video: done, or the failure that the provider reports. */
function finished(
  state: AvatarVideoState,
): Extract<AvatarVideoState, { status: "done" }> {
  if (state.status === "done") return state;
  if (state.status === "failed") {
    throw JobFailure.final(state.code, {
      cause: new Error(state.reason),
    });
  }
  throw JobFailure.retryable("provider_answer_invalid", {
    cause: new Error("a finished video is being rendered again"),
  });
}
