/** The job type `voice_clone`: a recording becomes a voice at ElevenLabs and a row of `voices`. */
import { generate as uuidV7 } from "@std/uuid/v7";
import type { SupabaseClient } from "@supabase/supabase-js";
import {
  voiceCloneMetadataSchema,
  type VoiceCloneResult,
} from "../../_shared/contracts/voice-clone.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import { unpaid } from "../../_shared/failures/provider-failure.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import type { Processor } from "../../_shared/jobs/job-context.ts";
import { snoozeOnOutage } from "../../_shared/jobs/provider-outcome.ts";
import {
  INPUT_HEAD_BYTES,
  inputTypeOf,
} from "../../_shared/media/input-type.ts";
import type { ElevenLabsVoices } from "../../_shared/providers/elevenlabs/voices.ts";
import { downloadInput } from "../../_shared/storage/object-store.ts";

/** The one paid step. */
const STEP = "create_voice";
/** Between two checks of a voice during an outage, in seconds. */
const PAUSES = { first: 5, longest: 60 };
/** Largest recording; the limit of the job type may be lower. */
const MAX_RECORDING_BYTES = 10_485_760;

/**
 * Creates the processor. Progress: 10 while the recording is fetched, 30 when the call is sent, 70 when the voice exists.
 */
export function createVoiceCloneProcessor(deps: {
  supabase: SupabaseClient<Database>;
  voices: ElevenLabsVoices;
}): Processor {
  return {
    jobType: "voice_clone",
    async run({ job, signal, progress, pay, reportMissing }) {
      const metadata = readMetadata(job, voiceCloneMetadataSchema);
      if (job.input_url === null) {
        throw JobFailure.final("input_required");
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

      const fetchRecording = async (signal: AbortSignal) =>
        await asSound(
          await downloadInput(deps.supabase, inputUrl, {
            name: "recording",
            consumer: job.job_type,
            maxBytes: MAX_RECORDING_BYTES,
            signal,
          }),
        );
      let recording: Blob | undefined;
      // A voice that was created, or may have been, needs no recording.
      if (job.spend === "none") {
        progress(10, "fetching_input");
        recording = await fetchRecording(signal);
      }

      const marker = `job:${job.id}`;
      let isFromEarlier = true;
      const voiceId = await pay({
        operation: STEP,
        stage: "calling_provider",
        progressBefore: 30,
        progressAfter: 70,
        units: 1,
        isLast: true,
        prepare: () => deps.voices.prepare(),
        send: async (signal) => {
          isFromEarlier = false;
          recording ??= await unpaid(() => fetchRecording(signal));
          return await deps.voices.create({
            name: voice_name,
            description,
            labels,
            removeBackgroundNoise: remove_background_noise,
            recording,
            fileName: inputUrl.slice(inputUrl.lastIndexOf("/") + 1),
            marker,
          }, signal);
        },
        find: (signal) => {
          isFromEarlier = false;
          return deps.voices.findByMarker(marker, signal);
        },
        undo: (voiceId, signal) => deps.voices.remove(voiceId, signal),
      });
      // An operator may have named it.
      if (
        isFromEarlier &&
        !await snoozeOnOutage(
          job,
          PAUSES,
          () => deps.voices.has(voiceId, signal),
        )
      ) {
        await reportMissing(STEP);
      }

      const rowId = uuidV7();
      return {
        resultData: {
          voice_id: rowId,
          provider_voice_id: voiceId,
          voice_name,
        } satisfies VoiceCloneResult,
        product: {
          kind: "voice",
          id: rowId,
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

/**
 * The recording with the type that its bytes have. An unknown format is left to the provider, which reads more formats.
 *
 * @throws {JobFailure} `input_type_not_allowed` (final) for a picture or a document.
 */
async function asSound(recording: Blob): Promise<Blob> {
  const head = await recording.slice(0, INPUT_HEAD_BYTES).arrayBuffer();
  const type = inputTypeOf(new Uint8Array(head));
  if (type === null || /^(audio|video)\//.test(type.mimeType)) {
    return new Blob([recording], { type: type?.mimeType ?? "" });
  }
  throw JobFailure.final("input_type_not_allowed", {
    details:
      `The recording is ${type.mimeType} by its content; send a sound or video file.`,
  });
}
