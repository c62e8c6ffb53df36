/**
 * Checks that the recording for an avatar video is short enough for its provider; the database checks type and size.
 */
import {
  adviceOnLength,
  AVATAR_PROVIDERS,
  RECORDING_LIMITS,
} from "../_shared/contracts/avatar-video.ts";
import type { CreateAiJobRequest } from "../_shared/contracts/jobs.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { JobFailure } from "../_shared/failures/job-failure.ts";
import type { UserContext } from "../_shared/http/caller.ts";
import { recordingLength } from "../_shared/media/recording-length.ts";
import { inputInPieces, sizeOfInput } from "../_shared/storage/object-store.ts";

/**
 * Reads the length of `metadata.audio_url` with its owner's rights. A recording that cannot be read here (missing, not
 * the caller's, too large or of an unknown format) is left to the insert and the worker, which report it.
 *
 * @param random uniform in [0, 1).
 * @throws {AppError} `input_size_not_allowed`, with the field, the length and the limit, when it is too long.
 */
export async function checkRecordingLength(
  { supabase, signal, log }: UserContext,
  request: CreateAiJobRequest,
  random: () => number,
): Promise<void> {
  if (request.job_type !== "avatar_video") return;
  const { audio_url: audioUrl } = request.metadata;
  if (audioUrl === undefined) return;
  const provider = request.metadata.provider ??
    await defaultProvider(supabase, request.job_type);
  if (provider === undefined) return;
  let advice: string | null;
  try {
    const size = await sizeOfInput(supabase, audioUrl);
    if (size > RECORDING_LIMITS[provider].maxAudioBytes) return;
    const { seconds, isMeasured } = await recordingLength(
      inputInPieces(supabase, audioUrl, size, { signal }),
      random,
    );
    advice = isMeasured ? adviceOnLength(seconds, provider) : null;
  } catch (error) {
    if (!(error instanceof JobFailure)) throw error;
    log.info("recording_not_read", { error });
    return;
  }
  if (advice === null) return;
  const field = "metadata.audio_url";
  const message = `the recording (${field}) ${advice}`;
  throw new AppError("input_size_not_allowed", {
    details: message,
    fields: [{ field, message }],
  });
}

async function defaultProvider(
  supabase: UserContext["supabase"],
  jobType: string,
) {
  const { data, error } = await supabase.from("ai_job_types").select("provider")
    .eq("job_type", jobType).maybeSingle();
  if (error) throw fromDatabaseError(error);
  return AVATAR_PROVIDERS.find((name) => name === data?.provider);
}
