/**
 * The job type `text_to_speech`: a text becomes one MP3.
 *
 * A long text is spoken in parts. Each part is a paid step of its own and lies in Storage as soon as it is there, so
 * that a repeated attempt goes on with the next one; at the end the parts are joined, passing through as streams.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import {
  type ClaimedJob,
  type Dependency,
} from "../../_shared/contracts/jobs.ts";
import { voiceCloneResultSchema } from "../../_shared/contracts/voice-clone.ts";
import {
  nearestStability,
  SPEECH_MODEL_RULES,
} from "../../_shared/contracts/speech-models.ts";
import {
  type TextToSpeechMetadata,
  textToSpeechMetadataSchema,
  type TextToSpeechResult,
} from "../../_shared/contracts/text-to-speech.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import type { CallJournal } from "../../_shared/jobs/call-journal.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import { Snooze } from "../../_shared/jobs/outcome.ts";
import { RECOVERY_STAGE } from "../../_shared/jobs/pauses.ts";
import type { JobContext, Processor } from "../../_shared/jobs/job-context.ts";
import { Mp3Error, Mp3Frames } from "../../_shared/media/mp3-frames.ts";
import { splitText } from "../../_shared/media/split-text.ts";
import { headOf, tailOf } from "../../_shared/media/text-bounds.ts";
import {
  type ElevenLabsSpeech,
  type SpeechRequest,
  type Spoken,
} from "../../_shared/providers/elevenlabs/speech.ts";
import {
  hasOutput,
  openOutput,
  OUTPUTS,
  removeOutputs,
  storeOutput,
} from "../../_shared/storage/outputs.ts";

/**
 * Most characters of a part, whatever the model takes: about five minutes of sound, which is made well within the life
 * of an isolate.
 */
const MAX_PART_CHARACTERS = 5_000;
/** Of the parts before and after one, in UTF-16 units: enough for the melody of its sentences. */
const CONTEXT_LENGTH = 300;
/** A part is not begun with less time than this; the next isolate goes on. */
const PART_MS = 40_000;
/** Seconds until the history is asked again for sound that was paid for and got lost. */
const HISTORY_PAUSE_SECONDS = 15;
/** After so long what is not in the history does not come any more, for example with zero retention. */
const HISTORY_LAG_MS = 600_000;
/** How far the provider's clock may be behind the database's. */
const CLOCK_SKEW_MS = 300_000;
const MAX_PART_BYTES = 104_857_600;
const MAX_SPEECH_BYTES = 524_288_000;
const FILE_NAME = "speech.mp3";

const voiceSchema = z.object({
  id: z.uuid(),
  provider_voice_id: z.string(),
  stability: z.number(),
  similarity_boost: z.number(),
});

/** What the processor is made of. */
export interface TextToSpeechDeps {
  supabase: SupabaseClient<Database>;
  /** Also for the sound of a part that was paid for and lost on the way, without paying again. */
  speech: ElevenLabsSpeech;
  journal: CallJournal;
}

/** The processor. Progress: 5 to 85 with the parts, 90 while they are joined, 100 with the file. */
export function createTextToSpeechProcessor(deps: TextToSpeechDeps): Processor {
  return {
    jobType: "text_to_speech",
    async run(context) {
      const { job, signal, progress } = context;
      const metadata = readMetadata(job, textToSpeechMetadataSchema);
      const texts = splitText(
        metadata.text,
        Math.min(
          SPEECH_MODEL_RULES[metadata.model].maxCharacters,
          MAX_PART_CHARACTERS,
        ),
      );
      const { voiceId, ...voice } = await findVoice(
        deps.supabase,
        context,
        metadata,
      );
      const files: string[] = [];
      for (const [index, text] of texts.entries()) {
        if (index > 0 && context.remainingMs() < PART_MS) {
          throw new Snooze(0, "next_part");
        }
        const fileName = `part-${index + 1}.mp3`;
        const part = makePart(deps, context, {
          number: index + 1,
          of: texts.length,
          fileName,
          request: {
            ...voice,
            text,
            model: metadata.model,
            outputFormat: metadata.output_format,
            languageCode: metadata.language_code,
            seed: metadata.seed,
            previousText: contextOf(texts[index - 1], tailOf),
            nextText: contextOf(texts[index + 1], headOf),
          },
        });
        await part.catch(async (failure) => {
          throw await withAdvice(deps.supabase, job, voiceId, failure);
        });
        files.push(fileName);
      }

      progress(90, "joining");
      const joined = joinParts(
        files.map((fileName) => () =>
          openOutput(deps.supabase, output(job, fileName, signal))
        ),
      );
      const { outputUrl, bytes } = await storeOutput(deps.supabase, {
        ...output(job, FILE_NAME, signal),
        contentType: "audio/mpeg",
        body: joined.body,
        maxBytes: MAX_SPEECH_BYTES,
      });
      // Should the end of the job be lost after this, the history still has the parts.
      await removeOutputs(deps.supabase, job.user_id, job.id, files);
      return {
        outputUrl,
        resultData: {
          voice_id: voiceId,
          model: metadata.model,
          characters: [...metadata.text].length,
          parts: texts.length,
          stability: voice.voiceSettings.stability ?? null,
          duration_seconds: Math.round(joined.state.seconds * 1000) / 1000,
          size_bytes: bytes,
          content_type: "audio/mpeg",
        } satisfies TextToSpeechResult,
      };
    },
  };
}

const contextOf = (
  part: string | undefined,
  cut: (text: string, maxLength: number) => string,
) => part === undefined ? undefined : cut(part, CONTEXT_LENGTH);

const output = (job: ClaimedJob, fileName: string, signal: AbortSignal) => ({
  bucket: OUTPUTS,
  userId: job.user_id,
  jobId: job.id,
  fileName,
  signal,
});

/**
 * The voice as the provider knows it, with its settings, and by the id that the owner knows. The owner is asked for
 * again: a job outlives its intake.
 */
async function findVoice(
  supabase: SupabaseClient<Database>,
  { job, dependency }: JobContext,
  metadata: TextToSpeechMetadata,
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
  const own = supabase.from("voices")
    .select("id,provider_voice_id,stability,similarity_boost")
    .eq("user_id", job.user_id).eq("provider", "elevenlabs");
  const { data, error } = await (metadata.voice_id === undefined
    // By the provider's id: a clone that the cache answered has made no row of its own.
    ? own.eq("provider_voice_id", clonedVoice(await dependency()))
    : own.eq("id", metadata.voice_id)).maybeSingle();
  if (error) throw unavailable(error);
  if (data === null) {
    throw JobFailure.final("voice_not_found");
  }
  const voice = voiceSchema.parse(data);
  return {
    voiceId: voice.id,
    providerVoiceId: voice.provider_voice_id,
    voiceSettings: {
      // The voice may have been made with another model in mind.
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

interface Part {
  number: number;
  of: number;
  fileName: string;
  request: SpeechRequest;
}

/** Makes a part, or gets hold of what an earlier attempt paid for; afterwards its sound is in Storage. */
async function makePart(
  deps: TextToSpeechDeps,
  { job, signal, pay }: JobContext,
  part: Part,
): Promise<void> {
  const at = (done: number) =>
    Math.round(5 + 80 * (part.number - 1 + done) / part.of);
  const operation = `text_to_speech:${part.number}`;
  let spoken: Spoken | undefined;
  try {
    const id = await pay({
      operation,
      stage: "speaking",
      progressBefore: at(0),
      progressAfter: at(0.8),
      units: [...part.request.text].length,
      async send(signal) {
        spoken = await deps.speech.speak(part.request, signal);
        return spoken.characters === undefined
          ? spoken.id
          : { providerObjectId: spoken.id, units: spoken.characters };
      },
      find: (signal) => findLost(deps, job, operation, part.request, signal),
    });
    const file = output(job, part.fileName, signal);
    if (spoken === undefined && await hasOutput(deps.supabase, file)) return;
    const audio = spoken?.audio ??
      await openSpoken(deps, job, operation, id, part.request, signal);
    await storeOutput(deps.supabase, {
      ...file,
      contentType: "audio/mpeg",
      body: audio,
      maxBytes: MAX_PART_BYTES,
    });
  } finally {
    // Whatever happened in between: the connection must not stay open with sound that nobody reads.
    if (spoken !== undefined && !spoken.audio.locked) {
      await spoken.audio.cancel().catch(() => {});
    }
  }
}

/**
 * What a part's failure means for its owner: when the provider no longer has the voice, the words say what to do, and the
 * voice's row is marked, so that the same recording is cloned anew instead of being answered with this voice again.
 */
async function withAdvice(
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
    // The database's time, of the claim.
    .update({ provider_missing_since: job.updated_at })
    .eq("id", voiceId).is("provider_missing_since", null);
  return error ? unavailable(error) : gone(
    "The AI provider no longer has this voice. Clone the recording again, and use the new voice.",
  );
}

/**
 * What the lost call of a step made: of all that was spoken so since it was sent, what no step of any job has as its own.
 * Equal texts are spoken for other jobs, too, and in other parts of this one.
 */
async function findLost(
  deps: TextToSpeechDeps,
  job: ClaimedJob,
  operation: string,
  request: SpeechRequest,
  signal: AbortSignal,
): Promise<string | null> {
  const sentAt = await deps.journal.openCallSentAt(job, operation);
  if (sentAt === null) return null;
  const found = await deps.speech.find(
    request,
    new Date(sentAt.getTime() - CLOCK_SKEW_MS),
    signal,
  );
  const [id] = await deps.journal.unrecorded("elevenlabs", found);
  return id ?? null;
}

function unavailable(cause: unknown): JobFailure {
  return JobFailure.retryable("service_unavailable", { cause });
}

/**
 * The sound of a paid part from the provider's history.
 *
 * @throws {Snooze} while the history may lag behind; {JobFailure} `provider_unavailable` (final) after that.
 */
async function openSpoken(
  deps: TextToSpeechDeps,
  job: ClaimedJob,
  operation: string,
  id: string,
  request: SpeechRequest,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const audio = await deps.speech.open(id, request, signal);
  if (audio !== null) return audio;
  const cause = new Error(`the history does not have ${id}`);
  const settledAt = await deps.journal.settledAt(job, operation, id);
  const claimedAt = Date.parse(job.updated_at);
  const age = claimedAt - (settledAt?.getTime() ?? claimedAt);
  if (age < HISTORY_LAG_MS) {
    throw new Snooze(HISTORY_PAUSE_SECONDS, RECOVERY_STAGE, { cause });
  }
  // It is never made again: it is paid.
  throw JobFailure.final("provider_unavailable", { cause });
}

/** The frames of one file after another's; no file is opened before the one in front of it is read to its end. */
function joinParts(
  opens: readonly (() => Promise<ReadableStream<Uint8Array>>)[],
): {
  body: ReadableStream<Uint8Array>;
  state: { seconds: number };
} {
  const state = { seconds: 0 };
  let format: string | undefined;
  async function* frames() {
    for (const open of opens) {
      const part = new Mp3Frames();
      for await (const chunk of await open()) {
        const sound = part.add(chunk);
        if (sound.length > 0) yield sound;
      }
      part.end();
      const { sampleRate, channels } = part.format ?? {};
      format ??= `${sampleRate} Hz, ${channels} channels`;
      if (format !== `${sampleRate} Hz, ${channels} channels`) {
        throw new Mp3Error(
          "a part has another sample rate or number of channels",
        );
      }
      state.seconds += part.seconds;
    }
  }
  return { body: ReadableStream.from(frames()), state };
}
