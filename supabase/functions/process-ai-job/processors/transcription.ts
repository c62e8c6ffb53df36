/**
 * The job type `transcription`: a recording becomes a text with times and speakers.
 *
 * A short recording is sent along and its transcript is the answer. A long one is ordered: the provider fetches it, and
 * the job sleeps until its webhook or the next look, which reads the transcript by its id.
 *
 * The provider keeps no list of transcripts, so that one whose answer was lost cannot be found: such a job is parked
 * (`outcome_unknown`) and never sent again by itself.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import {
  MAX_RESULT_TEXT,
  type TranscriptFile,
  transcriptionMetadataSchema,
  type TranscriptionResult,
} from "../../_shared/contracts/transcription.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../_shared/failures/provider-failure.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import { type Completion, Snooze } from "../../_shared/jobs/outcome.ts";
import { pauseFor, snoozeOnOutage } from "../../_shared/jobs/pauses.ts";
import type { Product } from "../../_shared/jobs/products.ts";
import type { Processor } from "../../_shared/jobs/job-context.ts";
import {
  type RecordingLength,
  recordingLength,
} from "../../_shared/media/recording-length.ts";
import { headOf } from "../../_shared/media/text-bounds.ts";
import {
  type HeardWord,
  speakersOf,
  toSegments,
  toSrt,
} from "../../_shared/media/transcript.ts";
import type {
  ElevenLabsTranscripts,
  Transcript,
} from "../../_shared/providers/elevenlabs/transcripts.ts";
import { unpaid } from "../../_shared/providers/wire.ts";
import {
  inputInPieces,
  openInput,
  signInput,
  sizeOfInput,
} from "../../_shared/storage/object-store.ts";
import { storeOutput } from "../../_shared/storage/outputs.ts";
import { noteOn } from "./length-note.ts";

/** The one paid step of the job. */
const STEP = "transcribe";
const MAX_FILE_BYTES = 52_428_800;
/**
 * Longer recordings are ordered, however small they are, where that is possible: an isolate that ends while it waits
 * leaves a transcript that is paid for and that nobody can find.
 */
const WAIT_MAX_SECONDS = 900;
/** Between two looks at a transcript that is not there yet. */
const PAUSES = { first: 5, longest: 60 };
/** How long a provider may fetch a recording: it does so when the order's turn comes. */
const FETCH_SECONDS = 6 * 60 * 60;

/** What the processor is made of. */
export interface TranscriptionDeps {
  supabase: SupabaseClient<Database>;
  transcripts: ElevenLabsTranscripts;
  /** Recordings of up to so many bytes, and a quarter of an hour, are waited for; others are ordered. */
  waitMaxBytes: number;
  /** Whether the provider's webhook is set up; it takes no orders without one. */
  hasWebhook: boolean;
  /** The project as the provider reaches its Storage; undefined where it cannot, and a long recording is sent along. */
  storageUrl: string | undefined;
  /** Uniform in [0, 1). */
  random(): number;
}

/** A recording on its way to the provider. */
type PreparedInput =
  & { length: RecordingLength }
  & (
    | { kind: "sent"; isLong: boolean; recording: ReadableStream<Uint8Array> }
    | { kind: "fetched"; url: string }
  );

/**
 * The processor. Progress: 10 while the recording is looked up, 20 when it is sent or ordered, 80 when that is done, 90
 * while the transcript's file is stored, 100 with the transcript of the call.
 */
export function createTranscriptionProcessor(
  deps: TranscriptionDeps,
): Processor {
  return {
    jobType: "transcription",
    async run({ job, log, signal, progress, pay, recordUsage }) {
      const metadata = readMetadata(job, transcriptionMetadataSchema);
      if (job.input_url === null) {
        throw JobFailure.final("input_required");
      }
      const inputUrl = job.input_url;

      let prepared: PreparedInput | undefined;
      let transcript: Transcript | null = null;
      let id: string;
      try {
        // What is paid for, or may be, needs no recording any more.
        if (job.spend === "none") {
          progress(10, "fetching_input");
          prepared = await prepareInput(deps, inputUrl, signal);
        }
        id = await pay({
          operation: STEP,
          stage: "transcribing",
          progressBefore: 20,
          progressAfter: 80,
          // Of what was sent before, the journal has the estimate.
          units: prepared?.length.seconds ?? 1,
          unitsNote: prepared && noteOn(prepared.length, log),
          async send(signal) {
            prepared ??= await unpaid(() =>
              prepareInput(deps, inputUrl, signal)
            );
            const options = {
              languageCode: metadata.language_code,
              speakers: metadata.speakers,
              tagAudioEvents: metadata.tag_audio_events,
            };
            const jobId = job.id;
            if (prepared.kind === "fetched") {
              return await deps.transcripts.order(
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
              return await deps.transcripts.order(
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
                  "ElevenLabs keeps no list of transcripts in which this one could be looked up.",
              }),
            ),
        });
      } finally {
        if (prepared?.kind === "sent" && !prepared.recording.locked) {
          await prepared.recording.cancel().catch(() => {});
        }
      }
      if (transcript === null) {
        transcript = await retrieve(deps.transcripts, job, id, signal);
        const { audio_duration_secs: heard } = transcript;
        if (typeof heard === "number") {
          await recordUsage(STEP, Math.ceil(heard));
        }
      }

      progress(90, "storing");
      const file = toFile(transcript);
      const isSrt = metadata.output_format === "srt";
      const contentType = isSrt ? "text/plain" : "application/json";
      const { outputUrl } = await storeOutput(deps.supabase, {
        userId: job.user_id,
        jobId: job.id,
        fileName: isSrt ? "transcript.srt" : "transcript.json",
        contentType,
        body: new TextEncoder().encode(
          // Nothing said is no subtitles, and still a file.
          isSrt ? toSrt(heardWords(transcript)) || "\n" : JSON.stringify(file),
        ),
        maxBytes: MAX_FILE_BYTES,
        signal,
      });
      const callId = metadata.call_id ?? null;
      return {
        outputUrl,
        resultData: toResult(id, file, contentType),
        ...(callId !== null && await isCallThere(deps.supabase, job, callId)
          ? { product: toProduct(callId, file) }
          : {}),
      };
    },
  };
}

/** Measures how large and how long the recording is, and opens it or makes an address for it. */
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

/** A transcript that is paid for. While it is not there, the job waits for it: it is never made again. */
async function retrieve(
  transcripts: ElevenLabsTranscripts,
  job: ClaimedJob,
  id: string,
  signal: AbortSignal,
): Promise<Transcript> {
  const transcript = await snoozeOnOutage(
    job,
    PAUSES,
    () => transcripts.get(id, signal),
  );
  if (transcript !== null) return transcript;
  throw new Snooze(pauseFor(job, PAUSES), "transcribing");
}

function heardWords(transcript: Transcript): HeardWord[] {
  let time = 0;
  return transcript.words.map((word) => {
    const start = word.start ?? time;
    const end = Math.max(start, word.end ?? start);
    time = end;
    return {
      text: word.text,
      start,
      end,
      type: word.type === "spacing" || word.type === "audio_event"
        ? word.type
        : "word",
      speaker: word.speaker_id ?? null,
    };
  });
}

function toFile(transcript: Transcript): TranscriptFile {
  const words = heardWords(transcript);
  return {
    language: transcript.language_code ?? null,
    duration_seconds: transcript.audio_duration_secs ?? words.at(-1)?.end ??
      null,
    speakers: speakersOf(words),
    text: transcript.text,
    segments: toSegments(words),
    words: words.flatMap(({ type, ...word }) =>
      type === "spacing" ? [] : [{ ...word, type }]
    ),
  };
}

function toResult(
  id: string,
  file: TranscriptFile,
  contentType: TranscriptionResult["content_type"],
): TranscriptionResult & Completion["resultData"] {
  return {
    transcription_id: id,
    text: headOf(file.text, MAX_RESULT_TEXT),
    is_text_cut: file.text.length > MAX_RESULT_TEXT,
    language: file.language,
    duration_seconds: file.duration_seconds,
    words: file.words.filter(({ type }) => type === "word").length,
    speakers: file.speakers.length,
    content_type: contentType,
  };
}

/** A call that was deleted meanwhile takes no transcript; what was paid for stays as the job's output. */
async function isCallThere(
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

function toProduct(callId: string, file: TranscriptFile): Product {
  const { text, duration_seconds, ...data } = file;
  return {
    kind: "transcript",
    call_id: callId,
    transcript: text,
    transcript_data: data,
    duration_seconds: duration_seconds === 0 ? null : duration_seconds,
  };
}
