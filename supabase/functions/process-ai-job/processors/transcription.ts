/**
 * The job type `transcription`: a recording becomes a text with times and speakers.
 *
 * A short recording is sent, and its transcript is the response. A long one is submitted: the provider fetches it, and
 * the job is snoozed until the webhook or the next poll, which reads the transcript by its id.
 *
 * The provider keeps no list of transcripts, so one whose response was lost cannot be found. Such a job is parked
 * (`outcome_unknown`) and not sent again without an operator.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import {
  transcriptionMetadataSchema,
} from "../../_shared/contracts/transcription.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import {
  ProviderFailure,
  unpaid,
} from "../../_shared/failures/provider-failure.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import { Snooze } from "../../_shared/jobs/outcome.ts";
import { pauseFor } from "../../_shared/jobs/pauses.ts";
import { snoozeOnOutage } from "../../_shared/jobs/provider-outcome.ts";
import type { JobContext, Processor } from "../../_shared/jobs/job-context.ts";
import {
  type RecordingLength,
  recordingLength,
} from "../../_shared/media/recording-length.ts";
import { toSrt } from "../../_shared/media/transcript.ts";
import type {
  ElevenLabsTranscripts,
  Transcript,
} from "../../_shared/providers/elevenlabs/transcripts.ts";
import {
  inputInPieces,
  openInput,
  signInput,
  sizeOfInput,
} from "../../_shared/storage/object-store.ts";
import { storeOutput } from "../../_shared/storage/outputs.ts";
import {
  heardWords,
  toFile,
  toProduct,
  toResult,
} from "./transcript-result.ts";
import { noteOn } from "./length-note.ts";

/** The one paid step of the job. */
const STEP = "transcribe";
const MAX_FILE_BYTES = 52_428_800;
/**
 * Longer recordings are submitted even if they are small, where that is possible: if an isolate ends while it waits for
 * the response, the transcript is paid for and cannot be found.
 */
const WAIT_MAX_SECONDS = 900;
/** Between two polls of a transcript that is not ready. */
const PAUSES = { first: 5, longest: 60 };
/**
 * The provider may answer 404 for a transcript that it is still creating: until this long after the request, a 404 does
 * not mean that the id is wrong.
 */
const MAKING_SECONDS = 900;
/** How long the provider may take to fetch a recording: it does so when it starts on the transcript. */
const FETCH_SECONDS = 6 * 60 * 60;

/** The dependencies of the processor. */
export interface TranscriptionDeps {
  supabase: SupabaseClient<Database>;
  transcripts: ElevenLabsTranscripts;
  /** Larger recordings, and those longer than a quarter of an hour, are submitted instead of waited for. */
  waitMaxBytes: number;
  /** Whether the provider's webhook is set up; without it, recordings cannot be submitted. */
  hasWebhook: boolean;
  /** The URL at which the provider reaches Storage. Undefined where it cannot, so that long recordings are sent. */
  storageUrl: string | undefined;
  /** Uniform in [0, 1). */
  random(): number;
}

/** How the provider gets the recording. */
type PreparedInput =
  & { length: RecordingLength }
  & (
    | { kind: "sent"; isLong: boolean; recording: ReadableStream<Uint8Array> }
    | { kind: "fetched"; url: string }
  );

/**
 * Creates the processor. Progress: 10 while the recording is measured, 20 when it is sent or submitted, 80 when the
 * provider has accepted it, 90 while the transcript is stored.
 */
export function createTranscriptionProcessor(
  deps: TranscriptionDeps,
): Processor {
  return {
    jobType: "transcription",
    async run(context) {
      const { job, log, signal, progress, pay, recordUsage } = context;
      const metadata = readMetadata(job, transcriptionMetadataSchema);
      if (job.input_url === null) {
        throw JobFailure.final("input_required");
      }
      const inputUrl = job.input_url;

      let prepared: PreparedInput | undefined;
      let transcript: Transcript | null = null;
      let id: string;
      try {
        // A transcript that is or may be paid for needs no recording.
        if (job.spend === "none") {
          progress(10, "fetching_input");
          prepared = await prepareInput(deps, inputUrl, signal);
        }
        id = await pay({
          operation: STEP,
          stage: "transcribing",
          progressBefore: 20,
          progressAfter: 80,
          // The journal has the estimate of an earlier call.
          units: prepared?.length.seconds ?? 1,
          unitsNote: prepared && noteOn(prepared.length, log),
          async send(signal) {
            prepared ??= await unpaid(() =>
              prepareInput(deps, inputUrl, signal)
            );
            const options = {
              languageCode: metadata.language_code,
              speakers: metadata.speaker_count,
              tagAudioEvents: metadata.tag_audio_events,
            };
            const jobId = job.id;
            if (prepared.kind === "fetched") {
              return await deps.transcripts.submit(
                { ...options, jobId, source: { url: prepared.url } },
                signal,
              );
            }
            const source = {
              recording: prepared.recording,
              contentType: "application/octet-stream",
              marker: `job:${jobId}`,
            };
            if (prepared.isLong) {
              return await deps.transcripts.submit(
                { ...options, jobId, source },
                signal,
              );
            }
            const made = await deps.transcripts.transcribe(
              { ...options, ...source },
              signal,
            );
            transcript = made.transcript;
            const { audio_duration_secs: heard } = made.transcript;
            return typeof heard === "number"
              ? { providerObjectId: made.id, units: Math.ceil(heard) }
              : made.id;
          },
          find: () =>
            Promise.reject(
              ProviderFailure.unknown("outcome_unknown", {
                isRetryable: false,
                details:
                  "ElevenLabs keeps no list of transcripts in which this one could be found.",
              }),
            ),
        });
      } finally {
        if (prepared?.kind === "sent" && !prepared.recording.locked) {
          await prepared.recording.cancel().catch(() => {});
        }
      }
      if (transcript === null) {
        transcript = await retrieve(deps.transcripts, context, id);
        const { audio_duration_secs: heard } = transcript;
        if (typeof heard === "number") {
          await recordUsage(STEP, Math.ceil(heard));
        }
      }

      progress(90, "storing_output");
      const file = toFile(transcript);
      const isSrt = metadata.output_format === "srt";
      const contentType = isSrt ? "text/plain" : "application/json";
      const { outputUrl } = await storeOutput(deps.supabase, {
        userId: job.user_id,
        jobId: job.id,
        fileName: isSrt ? "transcript.srt" : "transcript.json",
        contentType,
        body: new TextEncoder().encode(
          // Silence has no subtitles; the file must not be empty.
          isSrt ? toSrt(heardWords(transcript)) || "\n" : JSON.stringify(file),
        ),
        maxBytes: MAX_FILE_BYTES,
        signal,
      });
      const callId = metadata.call_id ?? null;
      return {
        outputUrl,
        resultData: toResult(id, file, contentType),
        ...(callId !== null && await callExists(deps.supabase, job, callId)
          ? { product: toProduct(callId, file) }
          : {}),
      };
    },
  };
}

/**
 * Measures the recording, and opens it or signs a URL for it.
 *
 * @throws {JobFailure} `provider_webhook_missing` (final) for a large recording without a webhook.
 */
async function prepareInput(
  deps: TranscriptionDeps,
  inputUrl: string,
  signal: AbortSignal,
): Promise<PreparedInput> {
  const bytes = await sizeOfInput(deps.supabase, inputUrl, "recording");
  const isLarge = bytes > deps.waitMaxBytes;
  if (isLarge && !deps.hasWebhook) {
    throw JobFailure.final("provider_webhook_missing");
  }
  const name = "recording";
  const length = await recordingLength(
    inputInPieces(deps.supabase, inputUrl, bytes, { signal, name }),
    deps.random,
  );
  const isLong = isLarge ||
    (deps.hasWebhook && length.seconds > WAIT_MAX_SECONDS);
  if (isLong && deps.storageUrl !== undefined) {
    const url = await signInput(deps.supabase, inputUrl, {
      baseUrl: deps.storageUrl,
      expiresIn: FETCH_SECONDS,
      name,
    });
    return { kind: "fetched", length, url };
  }
  const recording = await openInput(deps.supabase, inputUrl, { signal, name });
  return { kind: "sent", length, isLong, recording };
}

/**
 * Reads a transcript that is paid for. While it is not ready the job is snoozed: it is never made again.
 *
 * @throws {JobFailure} `provider_object_missing` (final) when an operator named an id that the provider does not have,
 *   and enough time has passed to make the transcript.
 */
async function retrieve(
  transcripts: ElevenLabsTranscripts,
  { job, signal, reportMissing }: JobContext,
  id: string,
): Promise<Transcript> {
  const transcript = await snoozeOnOutage(
    job,
    PAUSES,
    () => transcripts.get(id, signal),
  );
  if (transcript !== null && transcript !== "in_progress") return transcript;
  const wait = new Snooze(pauseFor(job, PAUSES), "transcribing");
  if (transcript === null) {
    await reportMissing(STEP, { seconds: MAKING_SECONDS, wait });
  }
  throw wait;
}

/** Whether the call still exists. If it was deleted, the transcript remains as the job's output. */
async function callExists(
  supabase: SupabaseClient<Database>,
  job: ClaimedJob,
  callId: string,
): Promise<boolean> {
  const { data, error } = await supabase.from("calls").select("id")
    .eq("id", callId).eq("user_id", job.user_id).maybeSingle();
  if (error) {
    throw JobFailure.retryable("service_unavailable", {
      cause: error,
    });
  }
  return data !== null;
}
