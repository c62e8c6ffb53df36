/** ElevenLabs: speech to text (Scribe). */
import { z } from "zod";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import {
  type Answer,
  isGone,
  type ProviderAccess,
  type Wire,
} from "../wire.ts";
import { createElevenLabsWire } from "./client.ts";

/** Options of a transcript. */
interface TranscriptOptions {
  /** ISO 639; detected by the provider when left out. */
  languageCode?: string | undefined;
  /** Detected by the provider when left out. */
  speakers?: number | undefined;
  tagAudioEvents: boolean;
}

/** A recording that is part of the request. */
interface SentRecording {
  /** Read once, while it is sent; when it ends early, the request counts as not sent. */
  recording: ReadableStream<Uint8Array>;
  contentType: string;
  /** The name of the uploaded file, by which an operator finds it at the provider. */
  marker: string;
}

/** A recording to be transcribed while the caller waits. */
export interface TranscriptRequest extends TranscriptOptions, SentRecording {}

/** A recording to be transcribed asynchronously. */
export interface TranscriptSubmission extends TranscriptOptions {
  /** Returned by the webhook, to identify the job. */
  jobId: string;
  /** An https address from which the provider fetches the recording (2 GB at most), or the recording itself. */
  source: { url: string } | SentRecording;
}

/** A finished transcript. */
export const transcriptSchema = z.object({
  language_code: z.string().nullish(),
  language_probability: z.number().nullish(),
  text: z.string(),
  words: z.array(z.object({
    text: z.string(),
    start: z.number().nullish(),
    end: z.number().nullish(),
    type: z.string(),
    speaker_id: z.string().nullish(),
  })),
  transcription_id: z.string().min(1).nullish(),
  audio_duration_secs: z.number().nonnegative().nullish(),
});
export type Transcript = z.infer<typeof transcriptSchema>;

/** The response to an asynchronous request. The transcript's id is optional in the provider's own types. */
const submittedSchema = z.object({
  request_id: z.string().min(1),
  transcription_id: z.string().min(1).nullish(),
});

/** Transcripts at ElevenLabs. Every method throws {@link ProviderFailure} and nothing else. */
export interface ElevenLabsTranscripts {
  /** Transcribes a recording and returns the transcript. One request, never repeated; its minutes are paid. */
  transcribe(
    request: TranscriptRequest,
    signal: AbortSignal,
  ): Promise<{ id: string; transcript: Transcript }>;
  /**
   * Submits a recording and returns the transcript's id as soon as the provider accepts it. One request, never
   * repeated; its minutes are paid. The provider notifies the workspace's webhook at the end, and refuses when there is
   * none.
   */
  submit(request: TranscriptSubmission, signal: AbortSignal): Promise<string>;
  /**
   * An earlier transcript; `in_progress` when the provider says that it is too early; null when it does not have it (yet).
   * Costs nothing.
   */
  get(
    id: string,
    signal: AbortSignal,
  ): Promise<Transcript | "in_progress" | null>;
}

/** The model for recordings as files; its predecessor lacks some of the parameters. */
const MODEL = "scribe_v2";

/** Statuses that may mean that a transcript is in progress; the documentation does not say. */
const TOO_EARLY = 425;

/** The transcripts of an ElevenLabs account. */
export function createElevenLabsTranscripts(
  access: ProviderAccess,
): ElevenLabsTranscripts {
  const wire = createElevenLabsWire(access);
  return {
    async transcribe(request, signal) {
      const answer = await send(wire, fieldsOf(request), request, signal);
      const transcript = await answer.json(transcriptSchema);
      const id = transcript.transcription_id ??
        answer.headers.get("request-id");
      if (!id) {
        throw ProviderFailure.unknown("provider_answer_invalid");
      }
      return { id, transcript };
    },

    async submit({ jobId, source, ...request }, signal) {
      const fields = {
        ...fieldsOf(request),
        webhook: "true",
        webhook_metadata: JSON.stringify({ job_id: jobId }),
      };
      const answer = "url" in source
        ? await send(
          wire,
          { ...fields, cloud_storage_url: source.url },
          null,
          signal,
        )
        : await send(wire, fields, source, signal);
      const submitted = await answer.json(submittedSchema);
      return submitted.transcription_id ?? submitted.request_id;
    },

    async get(id, signal) {
      try {
        return await wire.json(
          {
            method: "GET",
            path: `/v1/speech-to-text/transcripts/${encodeURIComponent(id)}`,
          },
          transcriptSchema,
          signal,
        );
      } catch (error) {
        if (isGone(error)) return null;
        const isTooEarly = error instanceof ProviderFailure &&
          error.httpStatus === TOO_EARLY;
        if (isTooEarly) return "in_progress";
        throw error;
      }
    },
  };
}

function fieldsOf(request: TranscriptOptions): Record<string, string> {
  return {
    model_id: MODEL,
    diarize: "true",
    timestamps_granularity: "word",
    tag_audio_events: String(request.tagAudioEvents),
    ...(request.languageCode === undefined
      ? {}
      : { language_code: request.languageCode }),
    ...(request.speakers === undefined
      ? {}
      : { num_speakers: String(request.speakers) }),
  };
}

/** Sends the form, once. */
async function send(
  wire: Wire,
  fields: Readonly<Record<string, string>>,
  file: SentRecording | null,
  signal: AbortSignal,
): Promise<Answer> {
  const form = streamForm(fields, file);
  try {
    return await wire.send({
      method: "POST",
      path: "/v1/speech-to-text",
      stream: form,
    }, signal);
  } catch (error) {
    // The provider cannot process an incomplete form, so nothing was done.
    if (form.state.broken === null) throw error;
    throw ProviderFailure.rejected("storage_unavailable", {
      cause: form.state.broken,
    });
  }
}

/** A multipart form (RFC 7578) that streams its file, if any. `state.broken` is the error that the file ended with. */
function streamForm(
  fields: Readonly<Record<string, string>>,
  file: SentRecording | null,
): {
  contentType: string;
  body: ReadableStream<Uint8Array>;
  state: { broken: { error: unknown } | null };
} {
  const boundary = `form-${crypto.randomUUID()}`;
  const encoder = new TextEncoder();
  const state: { broken: { error: unknown } | null } = { broken: null };
  async function* parts() {
    for (const [field, value] of Object.entries(fields)) {
      yield encoder.encode(
        `--${boundary}\r\ncontent-disposition: form-data; name="${field}"\r\n\r\n${value}\r\n`,
      );
    }
    if (file !== null) {
      const name = file.marker.replace(/[^A-Za-z0-9._-]/g, "-");
      yield encoder.encode(
        `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\ncontent-type: ${file.contentType}\r\n\r\n`,
      );
      try {
        yield* file.recording;
      } catch (error) {
        state.broken = { error };
        throw error;
      }
      yield encoder.encode("\r\n");
    }
    yield encoder.encode(`--${boundary}--\r\n`);
  }
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    body: ReadableStream.from(parts()),
    state,
  };
}
