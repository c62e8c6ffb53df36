/** The input of an avatar video: a photo, and a recording or a text in one of the provider's voices. */
import type { SupabaseClient } from "@supabase/supabase-js";
import {
  adviceOnLength,
  type AvatarProvider,
  type AvatarVideoMetadata,
} from "../../_shared/contracts/avatar-video.ts";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import { parseObjectPath } from "../../_shared/contracts/object-path.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import type { JobContext } from "../../_shared/jobs/job-context.ts";
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
  ProviderFile,
} from "../../_shared/providers/avatar-videos.ts";
import {
  downloadInput,
  type InputName,
} from "../../_shared/storage/object-store.ts";
import { noteOn } from "./length-note.ts";

/** Largest photo; D-ID accepts no more. */
const MAX_PHOTO_BYTES = 10_000_000;

/** What reading the input needs. */
export interface InputDeps {
  supabase: SupabaseClient<Database>;
  /** Uniform in [0, 1). */
  random(): number;
}

/** What a job requests. */
export interface VideoRequest {
  provider: AvatarProvider;
  metadata: AvatarVideoMetadata;
  /** `<bucket>/<path>` of the photo. */
  photo: string;
}

/** The input as uploaded to the provider, and how long the video will probably be. */
export interface PreparedInput {
  photo: string;
  speech: AvatarSpeech;
  seconds: number;
  /** For an owner whose budget does not cover a length that could not be read. */
  note?: string | undefined;
}

/**
 * Uploads photo and recording to the provider, which costs nothing. D-ID deletes them by itself within two days; HeyGen
 * keeps them (docs/operations.md).
 *
 * @throws {JobFailure} (final) when a file is missing, too large, of a type that the provider does not accept, or not the
 *   owner's.
 */
export async function prepareInput(
  deps: InputDeps,
  provider: AvatarVideos,
  context: JobContext,
  request: VideoRequest,
  signal: AbortSignal,
): Promise<PreparedInput> {
  const { job } = context;
  const { metadata, photo } = request;
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
  const advice = adviceOnLength(length.seconds, request.provider);
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

/**
 * The recording to speak: the one in the metadata, or the output of the job's dependency. The service's client can read
 * every file, so the owner's folder is checked here.
 */
async function recordingOf(
  { job, dependency }: JobContext,
  metadata: AvatarVideoMetadata,
): Promise<string> {
  const url = metadata.audio_url ?? await speechOf(dependency);
  if (url === null) {
    throw JobFailure.final("metadata_invalid", {
      details:
        "metadata.text: is required unless audio_url is set or the job depends on a text_to_speech job",
    });
  }
  if (!parseObjectPath(url)?.path.startsWith(`${job.user_id}/`)) {
    throw JobFailure.final("path_not_allowed");
  }
  return url;
}

/** The output of the speech that the job depends on; null for another type, whose output is no speech. */
async function speechOf(
  dependency: JobContext["dependency"],
): Promise<string | null> {
  const speech = await dependency();
  return speech?.job_type === "text_to_speech" ? speech.output_url : null;
}

/** An object of Storage as a file for the provider. Its type is read from its bytes. */
async function fileOf(
  deps: InputDeps,
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
    consumer: job.provider,
    maxBytes,
    signal,
  });
  const head = await bytes.slice(0, INPUT_HEAD_BYTES).arrayBuffer();
  const type = inputTypeOf(new Uint8Array(head));
  if (type === null || !types.includes(type.mimeType)) {
    throw JobFailure.final("input_type_not_allowed", {
      details: `The ${name} is ${
        type?.mimeType ?? "of no known format"
      } by its content; ${job.provider} accepts ${types.join(", ")}.`,
    });
  }
  return {
    bytes,
    mimeType: type.mimeType,
    name: `job-${job.id}.${type.extension}`,
  };
}
