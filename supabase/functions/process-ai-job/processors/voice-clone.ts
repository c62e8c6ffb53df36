/** The job type `voice_clone`: a recording becomes a voice at ElevenLabs and a row of `voices`. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { voiceCloneMetadataSchema } from "../../_shared/contracts/jobs.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/jobs/outcome.ts";
import type { Processor } from "../../_shared/jobs/runner.ts";
import type { ElevenLabsVoices } from "../../_shared/providers/elevenlabs-voices.ts";
import { downloadInput } from "../../_shared/storage/object-store.ts";
import { readMetadata } from "./metadata.ts";

/** Most bytes of a recording; the job type's own limit may be lower. */
const MAX_RECORDING_BYTES = 10_485_760;

/**
 * The processor. Progress: 10 while the recording is fetched, 30 when the call is sent, 70 when the voice is there, 100
 * with its row.
 */
export function createVoiceCloneProcessor(deps: {
  supabase: SupabaseClient<Database>;
  voices: ElevenLabsVoices;
}): Processor {
  return {
    jobType: "voice_clone",
    async run({ job, signal, progress, pay }) {
      const metadata = readMetadata(job, voiceCloneMetadataSchema);
      if (job.input_url === null) {
        throw new JobFailure("input_required", { isRetryable: false });
      }
      const inputUrl = job.input_url;
      const {
        voice_name,
        description,
        labels,
        stability,
        similarity_boost,
        remove_background_noise,
      } = metadata;

      progress(10, "fetching_input");
      const recording = await downloadInput(deps.supabase, inputUrl, {
        maxBytes: MAX_RECORDING_BYTES,
        signal,
      });

      const marker = `job:${job.id}`;
      const voiceId = await pay({
        operation: "create_voice",
        stage: "calling_provider",
        progressBefore: 30,
        progressAfter: 70,
        units: 1,
        prepare: () => deps.voices.prepare(),
        send: (signal) =>
          deps.voices.create({
            name: voice_name,
            description,
            labels,
            removeBackgroundNoise: remove_background_noise,
            recording,
            fileName: inputUrl.slice(inputUrl.lastIndexOf("/") + 1),
            marker,
          }, signal),
        find: (signal) => deps.voices.findByMarker(marker, signal),
        undo: (voiceId, signal) => deps.voices.remove(voiceId, signal),
      });

      return {
        resultData: { voice_id: voiceId, voice_name },
        product: {
          kind: "voice",
          provider_voice_id: voiceId,
          name: voice_name,
          description: description ?? null,
          labels: labels ?? {},
          stability,
          similarity_boost,
        },
      };
    },
  };
}
