/** ElevenLabs: speech to text (Scribe). */
import { z } from "zod";
import { ProviderFailure } from "../jobs/paid-call.ts";
import {
  type ElevenLabsAccess,
  readElevenLabsJson,
  requestElevenLabs,
} from "./elevenlabs-client.ts";

/** A recording to be written down. */
export interface TranscriptRequest {
  /** Read once, as it is sent; when it breaks off, the request counts as never sent. */
  recording: ReadableStream<Uint8Array>;
  contentType: string;
  /** Becomes the name of the uploaded file, by which a person finds it at the provider. */
  marker: string;
  /** ISO 639; left out, the provider finds out. */
  languageCode?: string | undefined;
  /** Left out, the provider finds out. */
  speakers?: number | undefined;
  tagAudioEvents: boolean;
}

/** What the provider heard. */
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

/** Transcripts at ElevenLabs. Every method throws {@link ProviderFailure} and nothing else. */
export interface ElevenLabsTranscripts {
  /** Writes a recording down and answers with it. One request, never repeated; its minutes are paid. */
  transcribe(
    request: TranscriptRequest,
    signal: AbortSignal,
  ): Promise<{ id: string; transcript: Transcript }>;
  /** A transcript made before, or null when the provider does not have it. Costs nothing. */
  get(id: string, signal: AbortSignal): Promise<Transcript | null>;
}

/** The model for recordings as files; its predecessor lacks some of the parameters. */
const MODEL = "scribe_v2";

/** The transcripts of an ElevenLabs account. */
export function createElevenLabsTranscripts(
  access: ElevenLabsAccess,
): ElevenLabsTranscripts {
  return {
    async transcribe(request, signal) {
      const form = streamForm({
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
      }, request);
      let response: Response;
      try {
        response = await requestElevenLabs(access, {
          method: "POST",
          path: "/v1/speech-to-text",
          contentType: form.contentType,
          body: form.body,
        }, signal);
      } catch (error) {
        // A form without its end is never worked on: the provider cannot have done anything.
        if (form.state.broken === null) throw error;
        throw new ProviderFailure("storage_unavailable", "rejected", true, {
          cause: form.state.broken,
        });
      }
      const transcript = await readElevenLabsJson(response, transcriptSchema);
      const id = transcript.transcription_id ??
        response.headers.get("request-id");
      if (!id) {
        throw new ProviderFailure("provider_answer_invalid", "unknown", true);
      }
      return { id, transcript };
    },

    async get(id, signal) {
      let response: Response;
      try {
        response = await requestElevenLabs(access, {
          method: "GET",
          path: `/v1/speech-to-text/transcripts/${encodeURIComponent(id)}`,
        }, signal);
      } catch (error) {
        if (
          error instanceof ProviderFailure && error.options.httpStatus === 404
        ) return null;
        throw error;
      }
      return await readElevenLabsJson(response, transcriptSchema);
    },
  };
}

/** A multipart form (RFC 7578) whose one file passes through, however large; `state.broken` is what the file ended with. */
function streamForm(
  fields: Readonly<Record<string, string>>,
  file: Pick<TranscriptRequest, "recording" | "contentType" | "marker">,
): {
  contentType: string;
  body: ReadableStream<Uint8Array>;
  state: { broken: { error: unknown } | null };
} {
  const boundary = `form-${crypto.randomUUID()}`;
  const encoder = new TextEncoder();
  const state: { broken: { error: unknown } | null } = { broken: null };
  const name = file.marker.replace(/[^A-Za-z0-9._-]/g, "-");
  const before =
    Object.entries(fields).map(([field, value]) =>
      `--${boundary}\r\ncontent-disposition: form-data; name="${field}"\r\n\r\n${value}\r\n`
    ).join("") +
    `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\ncontent-type: ${file.contentType}\r\n\r\n`;
  async function* parts() {
    yield encoder.encode(before);
    try {
      yield* file.recording;
    } catch (error) {
      state.broken = { error };
      throw error;
    }
    yield encoder.encode(`\r\n--${boundary}--\r\n`);
  }
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    body: ReadableStream.from(parts()),
    state,
  };
}
