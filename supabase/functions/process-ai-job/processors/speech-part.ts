/** One part of a speech: a paid step whose audio is stored as soon as it exists. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import type { Database } from "../../_shared/database.types.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import type { CallJournal } from "../../_shared/jobs/call-journal.ts";
import type { JobContext } from "../../_shared/jobs/job-context.ts";
import { Snooze } from "../../_shared/jobs/outcome.ts";
import { RECOVERY_STAGE } from "../../_shared/jobs/pauses.ts";
import type {
  ElevenLabsSpeech,
  SpeechRequest,
  Spoken,
} from "../../_shared/providers/elevenlabs/speech.ts";
import {
  hasOutput,
  OUTPUTS,
  storeOutput,
} from "../../_shared/storage/outputs.ts";

/** Seconds until the history is queried again for audio that was paid for and lost. */
const HISTORY_PAUSE_SECONDS = 15;
/** After this time, what the history does not list will not appear any more, for example with zero retention. */
const HISTORY_LAG_MS = 600_000;
/** How far the provider's clock may differ from the database's. */
const CLOCK_SKEW_MS = 300_000;
const MAX_PART_BYTES = 104_857_600;

/** The dependencies of a part. */
export interface PartDeps {
  supabase: SupabaseClient<Database>;
  /** Also fetches audio that was paid for and lost, without paying again. */
  speech: ElevenLabsSpeech;
  journal: CallJournal;
}

/** A part of a text. */
export interface Part {
  number: number;
  of: number;
  fileName: string;
  request: SpeechRequest;
}

/** Where a file of a job is stored until the job ends. */
export const speechFile = (
  job: ClaimedJob,
  fileName: string,
  signal: AbortSignal,
) => ({
  bucket: OUTPUTS,
  userId: job.user_id,
  jobId: job.id,
  fileName,
  signal,
});

/**
 * Creates a part, or fetches the one that an earlier attempt paid for, and stores its audio.
 *
 * @throws {Snooze} while audio that was paid for may still appear in the provider's history.
 */
export async function makePart(
  deps: PartDeps,
  context: JobContext,
  part: Part,
): Promise<void> {
  const { job, signal, pay } = context;
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
      find: (signal) =>
        findLostSpeech(deps, job, operation, part.request, signal),
    });
    const file = speechFile(job, part.fileName, signal);
    if (spoken === undefined && await hasOutput(deps.supabase, file)) return;
    const audio = spoken?.audio ??
      await openPaidSpeech(deps, context, operation, id, part.request);
    await storeOutput(deps.supabase, {
      ...file,
      contentType: "audio/mpeg",
      body: audio,
      maxBytes: MAX_PART_BYTES,
    });
  } finally {
    // After a failure too: the connection must not stay open with unread audio.
    if (spoken !== undefined && !spoken.audio.locked) {
      await spoken.audio.cancel().catch(() => {});
    }
  }
}

/**
 * Finds what the lost call of a step made: speech of this text in this voice, made since the call was sent, that the
 * journal has not recorded. Equal texts are also spoken for other jobs, and in other parts of this one.
 */
async function findLostSpeech(
  deps: PartDeps,
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

/**
 * The audio of a paid part, from the provider's history.
 *
 * @throws {Snooze} while the history may lag behind; then {JobFailure} `provider_unavailable` (final), or
 *   `provider_object_missing` (final) when an operator or a lookup had named the id.
 */
async function openPaidSpeech(
  deps: PartDeps,
  { job, signal, reportMissing }: JobContext,
  operation: string,
  id: string,
  request: SpeechRequest,
): Promise<ReadableStream<Uint8Array>> {
  const claimedAt = new Date(job.updated_at);
  const { sentAt, settledAt } =
    await deps.journal.settledCall(job, operation, id) ??
      { sentAt: claimedAt, settledAt: claimedAt };
  const audio = await deps.speech.open(id, request, {
    after: new Date(sentAt.getTime() - CLOCK_SKEW_MS),
    before: new Date(settledAt.getTime() + CLOCK_SKEW_MS),
  }, signal);
  if (audio !== null) return audio;
  await reportMissing(operation);
  const cause = new Error(`the history does not have ${id}`);
  if (claimedAt.getTime() - settledAt.getTime() < HISTORY_LAG_MS) {
    throw new Snooze(HISTORY_PAUSE_SECONDS, RECOVERY_STAGE, { cause });
  }
  // It is paid for, so it is never made again.
  throw JobFailure.final("provider_unavailable", { cause });
}
