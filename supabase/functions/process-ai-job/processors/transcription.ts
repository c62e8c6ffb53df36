/**
 * The job type `transcription`: a recording becomes a text with times and speakers.
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
import { type Completion, JobFailure } from "../../_shared/jobs/outcome.ts";
import { ProviderFailure } from "../../_shared/jobs/paid-call.ts";
import type { Product } from "../../_shared/jobs/products.ts";
import type { Processor } from "../../_shared/jobs/runner.ts";
import {
  type HeardWord,
  speakersOf,
  toSegments,
  toSrt,
} from "../../_shared/media/transcript.ts";
import {
  SOUND_HEAD_BYTES,
  soundSeconds,
} from "../../_shared/media/sound-length.ts";
import type {
  ElevenLabsTranscripts,
  Transcript,
} from "../../_shared/providers/elevenlabs-transcripts.ts";
import { openInput, sizeOfInput } from "../../_shared/storage/object-store.ts";
import { storeOutput } from "../../_shared/storage/outputs.ts";
import { readMetadata } from "./metadata.ts";

const MAX_FILE_BYTES = 52_428_800;
const RETRIEVE_PAUSE_SECONDS = 15;

/**
 * The processor. Progress: 10 while the recording is opened, 20 when it is sent, 80 when the transcript is there, 90
 * while its file is stored, 100 with the transcript of the call.
 */
export function createTranscriptionProcessor(deps: {
  supabase: SupabaseClient<Database>;
  transcripts: ElevenLabsTranscripts;
}): Processor {
  return {
    jobType: "transcription",
    async run({ job, signal, progress, pay }) {
      const metadata = readMetadata(job, transcriptionMetadataSchema);
      if (job.input_url === null) {
        throw new JobFailure("input_required", { isRetryable: false });
      }
      const inputUrl = job.input_url;

      progress(10, "fetching_input");
      const { seconds, recording } = await openRecording(
        deps.supabase,
        inputUrl,
        signal,
      );
      let transcript: Transcript | null = null;
      let id: string;
      try {
        id = await pay({
          operation: "transcribe",
          stage: "transcribing",
          progressBefore: 20,
          progressAfter: 80,
          units: seconds,
          async send(signal) {
            const made = await deps.transcripts.transcribe({
              recording,
              contentType: "application/octet-stream",
              marker: `job:${job.id}`,
              languageCode: metadata.language_code,
              speakers: metadata.speakers,
              tagAudioEvents: metadata.tag_audio_events,
            }, signal);
            transcript = made.transcript;
            const { audio_duration_secs: heard } = made.transcript;
            return typeof heard === "number"
              ? { providerObjectId: made.id, units: Math.ceil(heard) }
              : made.id;
          },
          find: () =>
            Promise.reject(
              new ProviderFailure("outcome_unknown", "unknown", false),
            ),
        });
      } finally {
        if (!recording.locked) {
          await recording.cancel().catch(() => {});
        }
      }
      transcript ??= await retrieve(deps.transcripts, id, signal);

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

/**
 * The recording, to be read as it comes, and how many seconds it is likely to have: its beginning is looked at on the
 * way.
 */
async function openRecording(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  signal: AbortSignal,
): Promise<{ seconds: number; recording: ReadableStream<Uint8Array> }> {
  const bytes = await sizeOfInput(supabase, inputUrl);
  const source = await openInput(supabase, inputUrl, { signal });
  const reader = source.getReader();
  const begun: Uint8Array[] = [];
  const head: number[] = [];
  try {
    while (head.length < SOUND_HEAD_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      begun.push(value);
      head.push(...value.subarray(0, SOUND_HEAD_BYTES - head.length));
    }
  } catch (cause) {
    throw new JobFailure("storage_unavailable", { isRetryable: true, cause });
  }
  const recording = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = begun.shift() ?? (await reader.read()).value;
      if (next === undefined) controller.close();
      else controller.enqueue(next);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return { seconds: soundSeconds(Uint8Array.from(head), bytes), recording };
}

/** A transcript that an earlier attempt paid for. */
async function retrieve(
  transcripts: ElevenLabsTranscripts,
  id: string,
  signal: AbortSignal,
): Promise<Transcript> {
  const transcript = await transcripts.get(id, signal);
  if (transcript !== null) return transcript;
  // It is never made again: it is paid.
  throw new JobFailure("provider_unavailable", {
    isRetryable: true,
    retryAfterSeconds: RETRIEVE_PAUSE_SECONDS,
    cause: new Error(`the provider does not have ${id}`),
  });
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
    text: file.text.slice(0, MAX_RESULT_TEXT),
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
    throw new JobFailure("service_unavailable", {
      isRetryable: true,
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
