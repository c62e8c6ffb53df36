/** The voice of a speech: looked up before it is used, and marked when the provider no longer has it. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { ClaimedJob, Dependency } from "../../_shared/contracts/jobs.ts";
import { nearestStability } from "../../_shared/contracts/speech-models.ts";
import type { TextToSpeechMetadata } from "../../_shared/contracts/text-to-speech.ts";
import { voiceCloneResultSchema } from "../../_shared/contracts/voice-clone.ts";
import type { Database } from "../../_shared/database.types.ts";
import { fromDatabaseError } from "../../_shared/database/errors.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import type { JobContext } from "../../_shared/jobs/job-context.ts";
import type { SpeechRequest } from "../../_shared/providers/elevenlabs/speech.ts";

const voiceSchema = z.object({
  id: z.uuid(),
  provider_voice_id: z.string(),
  stability: z.number(),
  similarity_boost: z.number(),
});

/**
 * The provider's id and the settings of the voice, and the id that the owner knows. Ownership is checked again here,
 * because it may have changed since the job was created.
 *
 * @param options.mayBeDeleted returns only the id that the owner knows, without settings, when the voice is gone.
 * @throws {JobFailure} `voice_not_found` (final); {AppError} when the database cannot be read.
 */
export async function findVoice(
  supabase: SupabaseClient<Database>,
  { job, dependency }: JobContext,
  metadata: TextToSpeechMetadata,
  { mayBeDeleted = false }: { mayBeDeleted?: boolean } = {},
): Promise<
  & Pick<SpeechRequest, "providerVoiceId" | "voiceSettings">
  & { voiceId: string }
> {
  const isStock = metadata.voice_id !== undefined &&
    !z.uuid().safeParse(metadata.voice_id).success;
  if (metadata.voice_id !== undefined && isStock) {
    return {
      voiceId: metadata.voice_id,
      providerVoiceId: metadata.voice_id,
      voiceSettings: metadata.settings,
    };
  }
  const id = metadata.voice_id ?? clonedVoice(await dependency());
  const { data, error } = await supabase.from("voices")
    .select("id,provider_voice_id,stability,similarity_boost")
    .eq("user_id", job.user_id).eq("provider", "elevenlabs")
    .eq("id", id)
    .maybeSingle();
  if (error) throw fromDatabaseError(error);
  if (data === null) {
    if (mayBeDeleted) {
      return { voiceId: id, providerVoiceId: "", voiceSettings: {} };
    }
    throw JobFailure.final("voice_not_found");
  }
  const voice = voiceSchema.parse(data);
  return {
    voiceId: voice.id,
    providerVoiceId: voice.provider_voice_id,
    voiceSettings: {
      // The voice may have been created for another model.
      stability: nearestStability(metadata.model, voice.stability),
      similarity_boost: voice.similarity_boost,
      ...metadata.settings,
    },
  };
}

function clonedVoice(clone: Dependency | null): string {
  const result = voiceCloneResultSchema.safeParse(clone?.result_data);
  if (result.success) return result.data.voice_id;
  throw JobFailure.final("voice_not_found", {
    cause: result.error,
  });
}

/**
 * Turns the failure of a part into the one to throw. When the provider no longer has the voice, the message says what to
 * do, and the voice's row is marked, so that a clone of the same recording creates a voice instead of reusing this one.
 */
export async function explainMissingVoice(
  supabase: SupabaseClient<Database>,
  job: ClaimedJob,
  voiceId: string,
  failure: unknown,
): Promise<unknown> {
  if (!(failure instanceof JobFailure) || failure.code !== "voice_not_found") {
    return failure;
  }
  const gone = (details: string) =>
    JobFailure.final("voice_not_found", {
      details,
      cause: failure,
    });
  if (!z.uuid().safeParse(voiceId).success) {
    return gone(
      "The AI provider no longer has this stock voice. Choose another one.",
    );
  }
  const { error } = await supabase.from("voices")
    // The time of the claim, by the database's clock.
    .update({ provider_missing_since: job.updated_at })
    .eq("id", voiceId).is("provider_missing_since", null);
  return error ? fromDatabaseError(error) : gone(
    "The AI provider no longer has this voice. Clone the recording again, and use the new voice.",
  );
}
