/** Converts a transcript into the stored file, the job's result, and the row of `calls`. */
import {
  MAX_RESULT_TEXT,
  type TranscriptFile,
  type TranscriptionResult,
} from "../../_shared/contracts/transcription.ts";
import type { Completion } from "../../_shared/jobs/outcome.ts";
import type { Product } from "../../_shared/jobs/products.ts";
import { headOf } from "../../_shared/media/text-bounds.ts";
import {
  type HeardWord,
  speakersOf,
  toSegments,
} from "../../_shared/media/transcript.ts";
import type { Transcript } from "../../_shared/providers/elevenlabs/transcripts.ts";

/** The words with times that never go backwards; a word without times gets those of its predecessor. */
export function heardWords(transcript: Transcript): HeardWord[] {
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

/** The transcript as it is stored. */
export function toFile(transcript: Transcript): TranscriptFile {
  const words = heardWords(transcript);
  return {
    language_code: transcript.language_code ?? null,
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

/** The job's result, with the beginning of the text. */
export function toResult(
  id: string,
  file: TranscriptFile,
  contentType: TranscriptionResult["content_type"],
): TranscriptionResult & Completion["resultData"] {
  return {
    provider_transcription_id: id,
    text: headOf(file.text, MAX_RESULT_TEXT),
    is_text_cut: file.text.length > MAX_RESULT_TEXT,
    language_code: file.language_code,
    duration_seconds: file.duration_seconds,
    word_count: file.words.filter(({ type }) => type === "word").length,
    speaker_count: file.speakers.length,
    content_type: contentType,
  };
}

/** Fills the row of the call that was transcribed. */
export function toProduct(callId: string, file: TranscriptFile): Product {
  const { text, duration_seconds, ...data } = file;
  return {
    kind: "transcript",
    call_id: callId,
    transcript: text,
    transcript_data: data,
    duration_seconds: duration_seconds === 0 ? null : duration_seconds,
  };
}
