/** Jobs in words: their types, stages and the entries of their timeline. */
import {
  isFinal,
  type Job,
  type JobEvent,
  type JobStatus,
  type JobType,
} from "../../client/mod.ts";
import type { Tone } from "../parts/tone.ts";
import type { IconName } from "../parts/icon-paths.ts";
import { placeOf } from "./places.ts";

/** Name and icon of a type. */
export const TYPE_WORDS: Readonly<
  Record<JobType, { name: string; icon: IconName }>
> = {
  voice_clone: { name: "Voice", icon: "microphone" },
  text_to_speech: { name: "Speech", icon: "speech" },
  avatar_video: { name: "Talking photo", icon: "film" },
  transcription: { name: "Transcript", icon: "text" },
  pdf_render: { name: "Book", icon: "book" },
};

function isJobType(name: string): name is JobType {
  return Object.hasOwn(TYPE_WORDS, name);
}

/**
 * Name and icon of the type of that name. A project may have types that this page does not know: they have the name
 * that the database gives them.
 */
export function typeWordsOf(type: string): { name: string; icon: IconName } {
  return isJobType(type) ? TYPE_WORDS[type] : { name: type, icon: "box" };
}

/** Name and colour of a status. */
export const STATUS_WORDS: Readonly<
  Record<JobStatus, { name: string; tone: Tone }>
> = {
  pending: { name: "Waiting", tone: "plain" },
  processing: { name: "Working", tone: "busy" },
  completed: { name: "Ready", tone: "good" },
  failed: { name: "Failed", tone: "bad" },
  cancelled: { name: "Cancelled", tone: "plain" },
};

/** The status in words. A job that waits for the AI service is pending in the queue, but in progress for its owner. */
export function statusOf(
  { status, stage, error_code }: Pick<Job, "status" | "stage" | "error_code">,
): { name: string; tone: Tone } {
  const isAtWork = status === "pending" && stage !== null &&
    !stage.startsWith("waiting") && error_code === null;
  return STATUS_WORDS[isAtWork ? "processing" : status];
}

const STAGES: Readonly<Record<string, string>> = {
  claimed: "Getting started",
  waiting_for_dependency: "Waiting for the step before",
  fetching_input: "Fetching your file",
  calling_provider: "With the AI service",
  speaking: "Speaking",
  transcribing: "Transcribing",
  rendering: "Making the film",
  next_part: "Speaking the next part",
  reconciling: "Checking what the AI service did",
  waiting_for_provider: "The AI service is busy",
  waiting_for_recovery: "Waiting until the AI service answers again",
  reading_slideshow: "Checking the photos",
  reading_photos: "Checking the photos",
  preparing_photos: "Preparing the photos",
  making_pages: "Laying out the pages",
  joining: "Joining the pieces",
  storing_output: "Storing the result",
};

/** Why a job that failed once waits, by the code that a waiting job has then. */
function delayOf(code: string): string {
  return /^provider_(rate|concurrency)_limited$/.test(code)
    ? "The AI service is busy; it will be tried again"
    : /^provider_(unavailable|timeout)$/.test(code)
    ? "The AI service does not answer; it will be tried again"
    : "Waiting for the next attempt";
}

/** What a job is doing, as one short sentence. */
export function stageOf(
  {
    status,
    stage,
    error_code,
    cancel_requested_at,
    depends_on_job_id,
    attempt,
    jobs_ahead,
  }: Pick<
    Job,
    | "status"
    | "stage"
    | "error_code"
    | "cancel_requested_at"
    | "depends_on_job_id"
    | "attempt"
    | "jobs_ahead"
  >,
): string {
  if (status === "completed") return "Ready";
  if (status === "failed") return "Failed";
  if (status === "cancelled") return "Cancelled";
  if (cancel_requested_at !== null) return "Stopping";
  // The stage is that of the attempt that failed.
  const isDelayed = status === "pending" && error_code !== null &&
    stage !== "reconciling" && stage?.startsWith("waiting") !== true;
  if (isDelayed) return delayOf(error_code);
  const known = stage === null ? undefined : STAGES[stage];
  if (known !== undefined) return known;
  if (status === "processing") {
    return stage === null ? "Getting started" : "Working";
  }
  if (jobs_ahead !== null) return placeOf(jobs_ahead);
  if (attempt > 0) return "Waiting for the next attempt";
  return depends_on_job_id === null
    ? "Waiting for its turn"
    : "Waiting for the step before";
}

/** What its owner should know before cancelling a job; undefined where cancelling costs nothing, or is not possible. */
export function cancelWarningOf(
  { status, spend, cancel_requested_at }: Pick<
    Job,
    "status" | "spend" | "cancel_requested_at"
  >,
): string | undefined {
  return isFinal(status) || cancel_requested_at !== null || spend === "none"
    ? undefined
    : "Cancelling does not refund what is already being made.";
}

const EVENTS: Readonly<Record<string, string>> = {
  created: "Created",
  claimed: "Work began",
  submitted: "Sent to the AI service",
  settled: "The call to the AI service ended",
  retried: "Failed; it will be tried again",
  snoozed: "Waiting for the AI service",
  released: "Returned to the queue",
  rescued: "Taken over from a worker that stopped",
  unblocked: "The step before is ready",
  cancel_requested: "Cancellation requested",
  retry_requested: "Tried again",
  completed: "Ready",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** What became of a paid call. */
const OUTCOMES: Readonly<Record<string, string>> = {
  unknown: "No response arrived from the AI service",
  rejected: "The AI service refused",
  adopted: "Found at the AI service",
  absent: "The AI service had done nothing",
};

/** An entry of the timeline in words. */
export function eventOf(
  { event, stage, outcome }: Pick<JobEvent, "event" | "stage" | "outcome">,
): string {
  if (event === "settled" && outcome !== undefined) {
    return OUTCOMES[outcome] ?? "The AI service answered";
  }
  if (event === "progress" && stage !== undefined) {
    return STAGES[stage] ?? "Working";
  }
  if (event === "snoozed" && stage === "reconciling") {
    return "The outcome is unknown; checking with the AI service";
  }
  return EVENTS[event] ?? "Working";
}

function fileNameOf(path: string | null): string | undefined {
  return path?.split("/").at(-1)?.replace(/\.\w+$/, "");
}

/** The subject of a job: the name of the voice, the first words of the speech. */
export function titleOf({ metadata, job_type, input_url }: Job): string {
  const given = Object.entries(metadata).find(([name, value]) =>
    /^(voice_name|name|title|text)$/.test(name) && typeof value === "string" &&
    value !== ""
  )?.[1];
  const title = typeof given === "string"
    ? given
    : fileNameOf(input_url) ?? typeWordsOf(job_type).name;
  return title.length > 70
    ? `${title.slice(0, 68).replace(/\s+\S*$/, "")} …`
    : title;
}
