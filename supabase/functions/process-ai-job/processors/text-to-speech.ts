/**
 * The job type `text_to_speech`: creates one MP3 from a text.
 *
 * A long text is spoken in parts. Each part is a separate paid step and is stored when it is done, so a retry continues
 * with the next one. At the end the parts are joined as a stream, without being held in memory. A speech that is joined
 * is used by the next attempt if its completion was lost.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import { SPEECH_MODEL_RULES } from "../../_shared/contracts/speech-models.ts";
import {
  textToSpeechMetadataSchema,
  type TextToSpeechResult,
} from "../../_shared/contracts/text-to-speech.ts";
import type { Database } from "../../_shared/database.types.ts";
import type { Processor } from "../../_shared/jobs/job-context.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import { Snooze } from "../../_shared/jobs/outcome.ts";
import { splitText } from "../../_shared/media/split-text.ts";
import { headOf, tailOf } from "../../_shared/media/text-bounds.ts";
import {
  hasOutput,
  openOutput,
  type OutputPlace,
  outputUrlOf,
  removeOutputs,
  storeOutput,
} from "../../_shared/storage/outputs.ts";
import { joinParts } from "./join-parts.ts";
import { makePart, type PartDeps, speechFile } from "./speech-part.ts";
import { explainMissingVoice, findVoice } from "./speech-voice.ts";

/**
 * Longest part, if the model accepts it: about five minutes of audio, which takes much less than the life of an
 * isolate.
 */
const MAX_PART_CHARACTERS = 5_000;
/** Length of the text before and after a part that the provider gets, in UTF-16 units: enough for its intonation. */
const CONTEXT_LENGTH = 300;
/** With less time than this, a part is left to the next isolate. */
const PART_MS = 40_000;
const MAX_SPEECH_BYTES = 524_288_000;
const FILE_NAME = "speech.mp3";

/** Creates the processor. Progress: 5 to 85 with the parts, 90 while they are joined. */
export function createTextToSpeechProcessor(deps: PartDeps): Processor {
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
      const speech = speechFile(job, FILE_NAME, signal);
      // An earlier attempt may have removed the parts, and its completion was lost.
      const isJoined = job.spend === "incurred" &&
        await hasOutput(deps.supabase, speech);
      const { voiceId, ...voice } = await findVoice(
        deps.supabase,
        context,
        metadata,
        // A speech that is finished needs no voice any more.
        { mayBeDeleted: isJoined },
      );
      const files = texts.map((_, index) => partFile(index));
      for (const [index, text] of isJoined ? [] : texts.entries()) {
        if (index > 0 && context.remainingMs() < PART_MS) {
          throw new Snooze(0, "next_part");
        }
        const part = makePart(deps, context, {
          number: index + 1,
          of: texts.length,
          fileName: partFile(index),
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
          throw await explainMissingVoice(deps.supabase, job, voiceId, failure);
        });
      }

      progress(90, "joining");
      const { outputUrl, bytes, seconds } = isJoined
        ? await measureSpeech(deps.supabase, speech)
        : await joinSpeech(deps.supabase, speech, files);
      await removeOutputs(deps.supabase, job.user_id, job.id, files);
      return {
        outputUrl,
        resultData: {
          voice_id: voiceId,
          model: metadata.model,
          character_count: [...metadata.text].length,
          part_count: texts.length,
          stability: voice.voiceSettings.stability ?? null,
          duration_seconds: Math.round(seconds * 1000) / 1000,
          size_bytes: bytes,
          content_type: "audio/mpeg",
        } satisfies TextToSpeechResult,
      };
    },
  };
}

const partFile = (index: number) => `part-${index + 1}.mp3`;

/** Joins the stored parts into the speech. */
async function joinSpeech(
  supabase: SupabaseClient<Database>,
  speech: OutputPlace,
  files: readonly string[],
): Promise<{ outputUrl: string; bytes: number; seconds: number }> {
  const joined = joinParts(
    files.map((fileName) => () =>
      openOutput(supabase, { ...speech, fileName })
    ),
  );
  const stored = await storeOutput(supabase, {
    ...speech,
    contentType: "audio/mpeg",
    body: joined.body,
    maxBytes: MAX_SPEECH_BYTES,
  });
  return { ...stored, seconds: joined.state.seconds };
}

/** The size and length of a speech that is stored already. */
async function measureSpeech(
  supabase: SupabaseClient<Database>,
  speech: OutputPlace,
): Promise<{ outputUrl: string; bytes: number; seconds: number }> {
  const { body, state } = joinParts([() => openOutput(supabase, speech)]);
  let bytes = 0;
  for await (const sound of body) bytes += sound.byteLength;
  return { outputUrl: outputUrlOf(speech), bytes, seconds: state.seconds };
}

const contextOf = (
  part: string | undefined,
  cut: (text: string, maxLength: number) => string,
) => part === undefined ? undefined : cut(part, CONTEXT_LENGTH);
