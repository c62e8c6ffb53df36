/**
 * The job type `text_to_speech`: creates one MP3 from a text.
 *
 * A long text is spoken in parts. Each part is a separate paid step and is stored when it is done, so a retry continues
 * with the next one. At the end the parts are joined as a stream, without being held in memory.
 */
import { SPEECH_MODEL_RULES } from "../../_shared/contracts/speech-models.ts";
import {
  textToSpeechMetadataSchema,
  type TextToSpeechResult,
} from "../../_shared/contracts/text-to-speech.ts";
import type { Processor } from "../../_shared/jobs/job-context.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import { Snooze } from "../../_shared/jobs/outcome.ts";
import { splitText } from "../../_shared/media/split-text.ts";
import { headOf, tailOf } from "../../_shared/media/text-bounds.ts";
import {
  openOutput,
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
          throw await explainMissingVoice(deps.supabase, job, voiceId, failure);
        });
        files.push(fileName);
      }

      progress(90, "joining");
      const joined = joinParts(
        files.map((fileName) => () =>
          openOutput(deps.supabase, speechFile(job, fileName, signal))
        ),
      );
      const { outputUrl, bytes } = await storeOutput(deps.supabase, {
        ...speechFile(job, FILE_NAME, signal),
        contentType: "audio/mpeg",
        body: joined.body,
        maxBytes: MAX_SPEECH_BYTES,
      });
      // If the completion is lost after this, the provider's history still has the parts.
      await removeOutputs(deps.supabase, job.user_id, job.id, files);
      return {
        outputUrl,
        resultData: {
          voice_id: voiceId,
          model: metadata.model,
          character_count: [...metadata.text].length,
          part_count: texts.length,
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
