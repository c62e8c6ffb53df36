/** The job type `avatar_video`: D-ID or HeyGen makes a photo speak; the result is a video and a row of `avatars`. */
import {
  AVATAR_PROVIDERS,
  type AvatarProvider,
  avatarVideoMetadataSchema,
  type AvatarVideoResult,
} from "../../_shared/contracts/avatar-video.ts";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import { unpaid } from "../../_shared/failures/provider-failure.ts";
import type { JobContext, Processor } from "../../_shared/jobs/job-context.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import { Snooze } from "../../_shared/jobs/outcome.ts";
import { pauseFor } from "../../_shared/jobs/pauses.ts";
import { snoozeOnOutage } from "../../_shared/jobs/provider-outcome.ts";
import type {
  AvatarVideos,
  AvatarVideoState,
} from "../../_shared/providers/avatar-videos.ts";
import { isGone } from "../../_shared/providers/wire.ts";
import type { ResultDownload } from "../../_shared/providers/result-download.ts";
import { storeOutput } from "../../_shared/storage/outputs.ts";
import {
  type InputDeps,
  type PreparedInput,
  prepareInput,
  type VideoRequest,
} from "./avatar-input.ts";

/** The one paid step. */
const STEP = "create_video";
/** Largest video: half an hour at the bitrates of the providers. */
const MAX_VIDEO_BYTES = 209_715_200;

/** The dependencies of the processor. */
export interface AvatarVideoDeps extends InputDeps {
  providers: Readonly<Record<AvatarProvider, AvatarVideos>>;
  /** Downloads results, whose URLs the provider chooses. */
  results: Readonly<Record<AvatarProvider, ResultDownload>>;
}

/**
 * Creates the processor. The first claim submits the video, and each later one polls once: rendering takes minutes, and
 * no isolate waits for it. Progress: 10 while photo and recording are uploaded to the provider, 30 when the call is sent,
 * 50 while the provider renders, 80 while the video is copied into Storage.
 */
export function createAvatarVideoProcessor(deps: AvatarVideoDeps): Processor {
  return {
    jobType: "avatar_video",
    async run(context) {
      const { job, signal, progress } = context;
      const request = readRequest(job);
      const provider = deps.providers[request.provider];

      const videoId = await submit(deps, provider, context, request);

      const read = async () => {
        try {
          return await snoozeOnOutage(
            job,
            provider.pauses,
            () => provider.read(videoId, signal),
          );
        } catch (error) {
          if (error instanceof JobFailure && isGone(error.cause)) {
            await context.reportMissing(STEP);
          }
          throw error;
        }
      };
      const state = await read();
      if (state.status === "rendering") {
        throw new Snooze(pauseFor(job, provider.pauses), "rendering");
      }
      // Only now is the length known. A failed video costs nothing where the provider does not charge for it.
      if (state.status === "done" && state.durationSeconds !== null) {
        await context.recordUsage(STEP, Math.ceil(state.durationSeconds));
      } else if (state.status === "failed" && !provider.chargesFailed) {
        await context.recordUsage(STEP, 0);
      }
      const video = requireDone(state);

      progress(80, "storing_output");
      const open = (url: string) =>
        deps.results[request.provider](url, {
          maxBytes: MAX_VIDEO_BYTES,
          signal,
        });
      const body = await open(video.videoUrl) ??
        // The URL has expired; the provider signs a new one for each read.
        await open(requireDone(await read()).videoUrl);
      if (body === null) {
        throw JobFailure.retryable("output_invalid", {
          cause: new Error("two URLs of the result had expired"),
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
          name: request.metadata.name,
          provider_video_id: videoId,
          duration_seconds: video.durationSeconds,
        },
      };
    },
  };
}

function readRequest(job: ClaimedJob): VideoRequest {
  const provider = AVATAR_PROVIDERS.find((name) => name === job.provider);
  if (provider === undefined) throw JobFailure.final("job_type_not_supported");
  const metadata = readMetadata(job, avatarVideoMetadataSchema);
  if (job.input_url === null) throw JobFailure.final("input_required");
  return { provider, metadata, photo: job.input_url };
}

/** Returns the provider's id of the video, which this claim or an earlier one submitted. */
async function submit(
  deps: AvatarVideoDeps,
  provider: AvatarVideos,
  context: JobContext,
  request: VideoRequest,
): Promise<string> {
  const { job, signal, progress, pay } = context;
  const marker = `job:${job.id}`;
  let prepared: PreparedInput | undefined;
  // A video that was submitted, or may have been, needs no files.
  if (job.spend === "none") {
    progress(10, "fetching_input");
    prepared = await snoozeOnOutage(
      job,
      provider.pauses,
      () => prepareInput(deps, provider, context, request, signal),
    );
  }
  try {
    return await pay({
      operation: STEP,
      stage: "calling_provider",
      progressBefore: 30,
      progressAfter: 50,
      // The journal has the estimate of an earlier call.
      units: prepared?.seconds ?? 1,
      unitsNote: prepared?.note,
      repeat: provider.repeatableSeconds === undefined ? undefined : {
        withinSeconds: provider.repeatableSeconds,
        pauseSeconds: pauseFor(job, provider.pauses),
      },
      send: async (signal, endedCalls) => {
        prepared ??= await unpaid(() =>
          prepareInput(deps, provider, context, request, signal)
        );
        const { photo, speech } = prepared;
        return await provider.create({
          photo,
          speech,
          marker,
          idempotencyKey: endedCalls === 0 ? marker : `${marker}:${endedCalls}`,
        }, signal);
      },
      find: (signal) => provider.findByMarker(marker, signal),
      undo: (videoId, signal) => provider.remove(videoId, signal),
    });
  } catch (error) {
    // The plan renders as many videos as it allows: the job waits for them, without spending attempts.
    if (error instanceof JobFailure && error.code === "provider_rate_limited") {
      throw new Snooze(
        error.retryAfterSeconds ?? pauseFor(job, provider.pauses),
        "waiting_for_provider",
      );
    }
    throw error;
  }
}

/** Returns a finished video, or throws the failure that the provider reports. */
function requireDone(
  state: AvatarVideoState,
): Extract<AvatarVideoState, { status: "done" }> {
  if (state.status === "done") return state;
  if (state.status === "failed") {
    throw JobFailure.final(state.code, {
      cause: new Error(state.reason),
    });
  }
  throw JobFailure.retryable("provider_answer_invalid", {
    cause: new Error("a finished video is rendering again"),
  });
}
