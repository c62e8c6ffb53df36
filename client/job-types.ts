/**
 * The job types: the `metadata` and `result` of each. tests/unit/client/job-types.test.ts compares them with the
 * contracts of the functions, so that this package needs no schema library.
 */

/** Clones a voice from a recording. */
export interface VoiceCloneMetadata {
  /** Name of the voice, at most 100 characters; "Cloned Voice" when left out. */
  voice_name?: string | undefined;
  description?: string | undefined;
  labels?: Record<string, string> | undefined;
  /** 0 is expressive, 1 is even; 0.5 when left out. */
  stability?: number | undefined;
  /** How closely to keep to the recording, 0 to 1; 0.75 when left out. */
  similarity_boost?: number | undefined;
  remove_background_noise?: boolean | undefined;
}

/** Result of a voice clone. */
export interface VoiceCloneResult {
  /** The row of `voices`; `text_to_speech` accepts it. */
  voice_id: string;
  /** The voice's id at ElevenLabs. */
  provider_voice_id: string;
  voice_name: string;
}

/** Speaks a text. */
export interface TextToSpeechMetadata {
  text: string;
  /** A row of `voices`, or a stock voice. Left out when the job depends on a voice clone. */
  voice_id?: string | undefined;
  model?:
    | "eleven_multilingual_v2"
    | "eleven_v3"
    | "eleven_flash_v2_5"
    | "eleven_flash_v2"
    | "eleven_turbo_v2_5"
    | "eleven_turbo_v2"
    | undefined;
  output_format?:
    | "mp3_22050_32"
    | "mp3_44100_32"
    | "mp3_44100_64"
    | "mp3_44100_96"
    | "mp3_44100_128"
    | "mp3_44100_192"
    | undefined;
  /**
   * ISO 639, such as `en`. Accepted by `eleven_v3`, `eleven_flash_v2_5` and `eleven_turbo_v2_5`, each with its
   * languages.
   */
  language_code?: string | undefined;
  /** Omitted settings are the voice's own. */
  settings?: {
    /** 0 to 1; 0, 0.5 or 1 with `eleven_v3`. */
    stability?: number | undefined;
    /** 0 to 1. */
    similarity_boost?: number | undefined;
    /** 0 to 1. */
    style?: number | undefined;
    use_speaker_boost?: boolean | undefined;
    /** 0.7 to 1.2; 1 is the voice's own. */
    speed?: number | undefined;
  } | undefined;
  seed?: number | undefined;
}

/** Result of speech; the MP3 is the job's output. */
export interface TextToSpeechResult {
  voice_id: string;
  model: string;
  character_count: number;
  part_count: number;
  /**
   * What it was spoken with: with `eleven_v3` a voice's own stability becomes the nearest of 0, 0.5 and 1. Null for the
   * provider's default.
   */
  stability: number | null;
  duration_seconds: number;
  size_bytes: number;
  content_type: string;
}

/** Transcribes a recording. */
export interface TranscriptionMetadata {
  /** Id of one of your calls, which receives the transcript. */
  call_id?: string | undefined;
  /** ISO 639; detected when left out. */
  language_code?: string | undefined;
  /** How many people speak, 1 to 32; detected when left out. */
  speaker_count?: number | undefined;
  tag_audio_events?: boolean | undefined;
  output_format?: "json" | "srt" | undefined;
}

/** Result of a transcription; the whole transcript is the job's output. */
export interface TranscriptionResult {
  provider_transcription_id: string;
  /** The first 10,000 characters. */
  text: string;
  is_text_cut: boolean;
  language_code: string | null;
  duration_seconds: number | null;
  word_count: number;
  speaker_count: number;
  content_type: string;
}

/** Makes a photo talk: `text` with `voice_id`, or `audio_url`, or neither when the job depends on speech. */
export interface AvatarVideoMetadata {
  name?: string | undefined;
  provider?: "d-id" | "heygen" | undefined;
  text?: string | undefined;
  /** A voice of the provider; needed with `text`. */
  voice_id?: string | undefined;
  voice_provider?: "microsoft" | "elevenlabs" | "amazon" | "google" | undefined;
  /** One of your recordings, as `<bucket>/<path>`. */
  audio_url?: string | undefined;
}

/** Result of an avatar video; the film is the job's output. */
export interface AvatarVideoResult {
  provider: string;
  provider_video_id: string;
  duration_seconds: number | null;
  size_bytes: number;
}

/** Prints a slideshow as a PDF. */
export interface PdfRenderMetadata {
  slideshow_id: string;
  page_size?: "a4" | "letter" | "square" | undefined;
  /** Maximum number of photos on a page; `auto` varies it in a book of more than a dozen. */
  photos_per_page?: "auto" | 1 | 2 | 4 | undefined;
  /** Prints below each photo the day on which it was taken, according to Exif. */
  show_dates?: boolean | undefined;
  /** For the cover, instead of the slideshow's own. */
  title?: string | undefined;
}

/** Result of a keepsake; the PDF is the job's output. */
export interface PdfRenderResult {
  slideshow_id: string;
  title: string;
  page_size: string;
  page_count: number;
  size_bytes: number;
  omitted_picture_count: number;
  /** Characters that the fonts do not have, and the first ten different ones. */
  omitted_character_count: number;
  omitted_character_sample: string | null;
  /** Slides, from 1, whose caption lacks such characters, or is left out because it would lose most of its letters. */
  captions_incomplete: number[];
  /** Slides, from 1, printed at less than 150 pixels to the inch. */
  photos_too_small: number[];
  /** Slides, from 1, whose JPEG has no end marker. */
  photos_without_end: number[];
  content_type: string;
}

/** Metadata and result of each job type, and whether it has an input object. */
export interface JobTypes {
  voice_clone: {
    metadata: VoiceCloneMetadata;
    result: VoiceCloneResult;
    input: true;
  };
  text_to_speech: {
    metadata: TextToSpeechMetadata;
    result: TextToSpeechResult;
    input: false;
  };
  transcription: {
    metadata: TranscriptionMetadata;
    result: TranscriptionResult;
    input: true;
  };
  avatar_video: {
    metadata: AvatarVideoMetadata;
    result: AvatarVideoResult;
    input: true;
  };
  pdf_render: {
    metadata: PdfRenderMetadata;
    result: PdfRenderResult;
    input: false;
  };
}

/** The name of a job type. */
export type JobType = keyof JobTypes;

/** A request for a job of type `T`, or of any type. */
export type JobRequest<T extends JobType = JobType> = T extends JobType ?
    & {
      job_type: T;
      /** Id of one of your jobs: this one waits for it and uses its result. */
      depends_on?: string | undefined;
    }
    & (T extends "transcription" | "voice_clone"
      ? { metadata?: JobTypes[T]["metadata"] }
      : { metadata: JobTypes[T]["metadata"] })
    & (JobTypes[T]["input"] extends true ? {
        /** The input object, as `<bucket>/<path>`: what `upload` returns. */
        input_url: string;
      }
      : { input_url?: undefined })
  : never;

/** The result of a job of type `T`. */
export type JobResult<T extends JobType = JobType> = JobTypes[T]["result"];

/** The status of a job; the last three are final. */
export type JobStatus =
  | "pending"
  | "processing"
  | "completed"
  | "failed"
  | "cancelled";

/** Whether money was spent: `unknown` while the outcome of a paid call is unknown. */
export type Spend = "none" | "unknown" | "incurred";

/** The members of a job of one type. */
interface JobOf<T extends JobType> {
  id: string;
  job_type: T;
  status: JobStatus;
  progress_percentage: number;
  stage: string | null;
  input_url: string | null;
  metadata: JobTypes[T]["metadata"];
  /** Null until the job is completed. */
  result: JobResult<T> | null;
  /** A signed URL of the output, valid for an hour after this response; null in a list, and where there is none. */
  output_url: string | null;
  output_url_expires_at: string | null;
  /** The output as `<bucket>/<path>`. */
  output_path: string | null;
  error_code: string | null;
  error_message: string | null;
  provider: string;
  attempt: number;
  max_attempts: number;
  billable_calls: number;
  spend: Spend;
  /** Cost of the settled paid calls, in millionths of `cost_currency`. */
  cost_micros: number;
  cost_currency: string;
  /**
   * About how many jobs start before this one; 100 means 100 or more. Null unless the job waits for its turn. The hooks
   * keep reading it while it waits.
   */
  jobs_ahead: number | null;
  cancel_requested_at: string | null;
  cached_from_job_id: string | null;
  depends_on_job_id: string | null;
  scheduled_at: string;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  updated_at: string;
}

/** A job as its owner reads it. Times are ISO 8601. Comparing `job_type` narrows `metadata` and `result`. */
export type Job<T extends JobType = JobType> = T extends JobType ? JobOf<T>
  : never;

/** A job that has succeeded. */
export type CompletedJob<T extends JobType = JobType> = T extends JobType
  ? CompletedJobOf<T>
  : never;

interface CompletedJobOf<T extends JobType> extends JobOf<T> {
  status: "completed";
  result: JobResult<T>;
}

/** What an event reports: docs/job-lifecycle.md explains each. A later version may add names. */
export type JobEventName =
  | "created"
  | "claimed"
  | "progress"
  | "submitted"
  | "settled"
  | "snoozed"
  | "retried"
  | "released"
  | "rescued"
  | "unblocked"
  | "cancel_requested"
  | "retry_requested"
  | "completed"
  | "failed"
  | "cancelled";

/** One entry of a job's timeline. `seq` counts from 1 without a gap. */
export interface JobEvent {
  job_id: string;
  seq: number;
  event: JobEventName | (string & Record<never, never>);
  attempt: number;
  status?: JobStatus | undefined;
  /** 0 to 100. */
  progress?: number | undefined;
  stage?: string | undefined;
  error_code?: string | undefined;
  /**
   * With `settled`: the outcome of the paid call; `unknown` when no usable response arrived. Absent when the completion
   * of the job carries the settlement.
   */
  outcome?: string | undefined;
  created_at: string;
}

/** Every status; the last three end a job. */
const STATUSES: readonly unknown[] = [
  "pending",
  "processing",
  "completed",
  "failed",
  "cancelled",
] satisfies JobStatus[];

/** Whether a status or event ends a job, unless it is retried. */
export function isFinal(status: string): boolean {
  return STATUSES.indexOf(status) > 1;
}

/** Whether a value is the status of a job. */
export function isStatus(value: unknown): value is JobStatus {
  return STATUSES.includes(value);
}
