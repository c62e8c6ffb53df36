/**
 * The examples of the OpenAPI document. tests/functions/openapi.test.ts sends each to the stack, in this order, and
 * compares the response; only ids, times, tokens and addresses may differ.
 */
import type { FieldError } from "../../supabase/functions/_shared/failures/app-error.ts";
import {
  ERROR_CATALOGUE,
  type ErrorCode,
} from "../../supabase/functions/_shared/failures/catalogue.ts";

/** A request and its response. */
export interface Example {
  /** Unique within its operation. */
  name: string;
  summary: string;
  body?: unknown;
  query?: Readonly<Record<string, string>>;
  path?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  answer: { status: number; body: unknown };
}

const USER = "0d6c2b1e-6f0a-4c57-9e2f-3b8a7c5d4e10";
const CLONE = "4a1f6f0c-8f0e-4d0b-9a55-1d2f0c7b9e21";
const SPEECH = "5b2a7a1d-9a1f-4e1c-8b66-2e3a1d8c0f32";
const FILM = "6c3b8b2e-0b2a-4f2d-9c77-3f4b2e9d1a43";
const TRANSCRIPT = "7d4c9c3f-1c3b-4a3e-8d88-4a5c3f0e2b54";
const BOOK = "8e5d0d4a-2d4c-4b4f-9e99-5b6d4a1f3c65";
const CANCELLED = "9f6e1e5b-3e5d-4c5a-8faa-6c7e5b2a4d76";
const FAILED = "a07f2f6c-4f6e-4d6b-90bb-7d8f6c3b5e87";
const WAITING = "b18a3a7d-5a7f-4e7c-81cc-8e9a7d4c6f98";
const UNKNOWN = "c29b4b8e-6b8a-4f8d-92dd-9fab8e5d7a09";
const SLIDESHOW = "d30c5c9f-7c9b-4a9e-83ee-0abc9f6e8b10";
const REQUEST = "e41d6d0a-8d0c-4b0f-94ff-1bcd0a7f9c21";

const SAMPLE =
  `voice-samples/${USER}/1f0a8f1e-2b3c-4d5e-8f60-718293a4b5c6/grandma.mp3`;
const PORTRAIT =
  `uploads/${USER}/2a1b9a2f-3c4d-4e6f-9a71-8293a4b5c6d7/grandma.jpg`;
const CALL =
  `recordings/${USER}/3b2c0b3a-4d5e-4f7a-8b82-93a4b5c6d7e8/sunday-call.mp3`;
const TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1cmwiOiJ1cGxvYWRzIn0.c2lnbmF0dXJl";
const ORIGIN = "https://abcdefghijklmnopqrst.supabase.co";

function problem(
  code: ErrorCode,
  more: { detail?: string; errors?: FieldError[] } = {},
): Example["answer"] {
  const { status, message } = ERROR_CATALOGUE[code];
  return {
    status: status ?? 500,
    body: {
      type: `urn:edge-ai-jobs:error:${code}`,
      title: code.replaceAll("_", " "),
      status,
      detail: message,
      code,
      ...more,
      request_id: REQUEST,
    },
  };
}

function wrongField(code: ErrorCode, field: string, message: string) {
  return problem(code, {
    detail: `${field}: ${message}`,
    errors: [{ field, message }],
  });
}

/** The database's message already names the field. */
function refusedBy(code: ErrorCode, field: string, detail: string) {
  return problem(code, { detail, errors: [{ field, message: detail }] });
}

function uploaded(object: string, contentType: string): Example["answer"] {
  const slash = object.indexOf("/");
  return {
    status: 201,
    body: {
      upload_url:
        `${ORIGIN}/storage/v1/object/upload/sign/${object}?token=${TOKEN}`,
      token: TOKEN,
      bucket: object.slice(0, slash),
      path: object.slice(slash + 1),
      input_url: object,
      content_type: contentType,
      expires_at: "2026-11-28T14:00:00.000Z",
    },
  };
}

function accepted(jobId: string): Example["answer"] {
  return {
    status: 202,
    body: {
      job_id: jobId,
      status: "pending",
      message:
        "The job is accepted. Read its progress with get-ai-job or from ai_jobs.",
      cached: false,
      result_data: null,
    },
  };
}

const CLONE_REQUEST = {
  job_type: "voice_clone",
  input_url: SAMPLE,
  metadata: { voice_name: "Grandma", description: "Reads slowly" },
};
const KEY = { "Idempotency-Key": "grandma-1" };

const CLONED = {
  id: CLONE,
  job_type: "voice_clone",
  status: "completed",
  progress_percentage: 100,
  stage: null,
  input_url: SAMPLE,
  metadata: {
    voice_name: "Grandma",
    description: "Reads slowly",
    stability: 0.5,
    similarity_boost: 0.75,
    remove_background_noise: false,
  },
  output_path: null,
  output_url: null,
  output_url_expires_at: null,
  result_data: {
    voice_id: "01975e1c-7a40-7c51-9a55-3f0d2b6c8e14",
    provider_voice_id: "pNInz6obpgDQGcFmaJgB",
    voice_name: "Grandma",
  },
  error_code: null,
  error_message: null,
  provider: "elevenlabs",
  attempt: 1,
  max_attempts: 5,
  billable_calls: 1,
  cost_micros: 0,
  cost_currency: "USD",
  jobs_ahead: null,
  spend: "incurred",
  cancel_requested_at: null,
  cached_from_job_id: null,
  depends_on_job_id: null,
  scheduled_at: "2026-11-28T12:00:00.123456+00:00",
  created_at: "2026-11-28T12:00:00.123456+00:00",
  started_at: "2026-11-28T12:00:00.223456+00:00",
  completed_at: "2026-11-28T12:00:04.323456+00:00",
  updated_at: "2026-11-28T12:00:04.323456+00:00",
};

const unsigned = (code: ErrorCode, body: unknown): Example => ({
  name: "unsigned",
  summary: "Invalid signature",
  body,
  answer: problem(code),
});

const DISPATCH = {
  type: "INSERT",
  table: "ai_jobs",
  schema: "public",
  record: { id: WAITING },
  job_ids: [WAITING],
};
const HEYGEN = {
  event_type: "avatar_video.success",
  event_data: { callback_id: `job:${UNKNOWN}`, video_id: "v1" },
};
const ELEVENLABS = {
  type: "speech_to_text_transcription",
  data: { request_id: "r1", webhook_metadata: { job_id: UNKNOWN } },
};
const NOTHING: Example["answer"] = {
  status: 200,
  body: { status: "nothing_waits" },
};

/** By operation id. */
export const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  createUploadUrl: [
    {
      name: "recording",
      summary: "A recording for a voice clone",
      body: {
        bucket: "voice-samples",
        file_name: "grandma.mp3",
        content_type: "audio/mpeg",
        size_bytes: 124_153,
      },
      answer: uploaded(SAMPLE, "audio/mpeg"),
    },
    {
      name: "portrait",
      summary: "A photo for an avatar video",
      body: {
        bucket: "uploads",
        file_name: "grandma.jpg",
        content_type: "image/jpg",
        size_bytes: 3_147,
      },
      answer: uploaded(PORTRAIT, "image/jpeg"),
    },
    {
      name: "call",
      summary: "A recording to transcribe, its type as a browser reports it",
      body: {
        bucket: "recordings",
        file_name: "sunday call.mp3",
        content_type: "audio/mp3; codecs=mp3",
        size_bytes: 124_153,
      },
      answer: uploaded(CALL, "audio/mpeg"),
    },
    {
      name: "too_large",
      summary: "A file that is too large for the bucket",
      body: {
        bucket: "voice-samples",
        file_name: "grandma.mp3",
        content_type: "audio/mpeg",
        size_bytes: 20_000_000,
      },
      answer: wrongField(
        "file_size_not_allowed",
        "size_bytes",
        "is 20000000; voice-samples accepts at most 10485760 bytes",
      ),
    },
  ],
  createAiJob: [
    {
      name: "voice_clone",
      summary: "Clone a voice",
      headers: KEY,
      body: CLONE_REQUEST,
      answer: accepted(CLONE),
    },
    {
      name: "repeated",
      summary: "The same request with the same key creates no second job",
      headers: KEY,
      body: CLONE_REQUEST,
      answer: {
        status: 200,
        body: {
          job_id: CLONE,
          status: "pending",
          message: "This Idempotency-Key was used before; this is its job.",
          cached: false,
          result_data: null,
        },
      },
    },
    {
      name: "key_reused",
      summary: "A different request with the same key",
      headers: KEY,
      body: { ...CLONE_REQUEST, metadata: { voice_name: "Grandpa" } },
      answer: refusedBy(
        "idempotency_key_reused",
        "idempotency_key",
        "this idempotency key was used for a different request; use a new key",
      ),
    },
    {
      name: "text_to_speech",
      summary: "Speak a letter in that voice, once it is cloned",
      body: {
        job_type: "text_to_speech",
        metadata: { text: "Good evening, everyone." },
        depends_on: CLONE,
      },
      answer: accepted(SPEECH),
    },
    {
      name: "avatar_video",
      summary: "A photo speaks the letter, once its audio exists",
      body: {
        job_type: "avatar_video",
        input_url: PORTRAIT,
        metadata: { name: "The letter", provider: "d-id" },
        depends_on: SPEECH,
      },
      answer: accepted(FILM),
    },
    {
      name: "transcription",
      summary: "Transcribe a call",
      body: {
        job_type: "transcription",
        input_url: CALL,
        metadata: { speaker_count: 2 },
      },
      answer: accepted(TRANSCRIPT),
    },
    {
      name: "pdf_render",
      summary: "Print a slideshow",
      body: {
        job_type: "pdf_render",
        metadata: { slideshow_id: SLIDESHOW, page_size: "a4" },
      },
      answer: accepted(BOOK),
    },
    {
      name: "invalid",
      summary: "Invalid fields",
      body: {
        job_type: "text_to_speech",
        metadata: { text: "", voice_id: "21m00Tcm4TlvDq8ikWAM" },
      },
      answer: wrongField(
        "invalid_request",
        "metadata.text",
        "must not be empty",
      ),
    },
    {
      name: "foreign_file",
      summary: "Another user's recording",
      body: {
        job_type: "voice_clone",
        input_url: `voice-samples/${UNKNOWN}/grandma.mp3`,
      },
      answer: refusedBy(
        "path_not_allowed",
        "input_url",
        "the recording (input_url) is outside your own folder; its path must begin with your user id",
      ),
    },
  ],
  getAiJob: [
    {
      name: "completed",
      summary: "A completed voice clone",
      query: { id: CLONE },
      answer: {
        status: 200,
        body: CLONED,
      },
    },
    {
      name: "unknown",
      summary: "No such job, or another user's",
      query: { id: UNKNOWN },
      answer: problem("not_found"),
    },
  ],
  listAiJobs: [
    {
      name: "voices",
      summary: "The newest voice clone",
      query: { job_type: "voice_clone", limit: "1" },
      answer: { status: 200, body: { jobs: [CLONED], next_cursor: null } },
    },
    {
      name: "wrong_limit",
      summary: "A limit above the maximum",
      query: { limit: "1000" },
      answer: wrongField("invalid_request", "limit", "must be at most 100"),
    },
  ],
  cancelAiJob: [
    {
      name: "waiting",
      summary: "A waiting job",
      body: { job_id: CANCELLED },
      answer: {
        status: 200,
        body: {
          job_id: CANCELLED,
          status: "cancelled",
          spend: "none",
          message: "The job is cancelled.",
        },
      },
    },
    {
      name: "ended",
      summary: "A job that has ended",
      body: { job_id: CLONE },
      answer: refusedBy(
        "job_not_cancellable",
        "job_id",
        "the job is completed; only a waiting or running job can be cancelled",
      ),
    },
  ],
  retryAiJob: [
    {
      name: "failed",
      summary: "A failed job",
      body: { job_id: FAILED },
      answer: {
        status: 202,
        body: {
          job_id: FAILED,
          status: "pending",
          spend: "none",
          message: "The job is waiting for its next attempt.",
        },
      },
    },
    {
      name: "completed",
      summary: "A job that has not failed",
      body: { job_id: CLONE },
      answer: refusedBy(
        "job_not_retryable",
        "job_id",
        "the job is completed; only a failed job can be retried",
      ),
    },
  ],
  createDownloadUrl: [
    {
      name: "recording",
      summary: "One of the caller's files, for a minute",
      body: {
        bucket: "voice-samples",
        path: SAMPLE.slice("voice-samples/".length),
        expires_in: 60,
      },
      answer: {
        status: 200,
        body: {
          download_url:
            `${ORIGIN}/storage/v1/object/sign/${SAMPLE}?token=${TOKEN}`,
          expires_at: "2026-11-28T12:01:00.000Z",
        },
      },
    },
    {
      name: "missing",
      summary: "No such file",
      body: { bucket: "outputs", path: `${USER}/nothing.mp3` },
      answer: problem("object_not_found", {
        errors: [{ field: "path", message: "names no object" }],
      }),
    },
  ],
  processAiJob: [
    {
      name: "dispatch",
      summary: "A due job",
      body: DISPATCH,
      answer: { status: 202, body: { claimed: [WAITING] } },
    },
    unsigned("dispatch_signature_invalid", DISPATCH),
  ],
  renderAiJob: [
    {
      name: "dispatch",
      summary: "The job is already claimed",
      body: DISPATCH,
      answer: { status: 202, body: { claimed: [] } },
    },
    unsigned("dispatch_signature_invalid", DISPATCH),
  ],
  runJanitor: [
    {
      name: "run",
      summary: "On a schedule",
      body: { type: "JANITOR" },
      answer: { status: 202, body: { status: "started" } },
    },
    unsigned("dispatch_signature_invalid", { type: "JANITOR" }),
  ],
  receiveElevenLabsWebhook: [
    {
      name: "nothing_waits",
      summary: "No job waits for it",
      body: ELEVENLABS,
      answer: NOTHING,
    },
    unsigned("webhook_signature_invalid", ELEVENLABS),
  ],
  receiveHeyGenWebhook: [
    {
      name: "nothing_waits",
      summary: "No job waits for it",
      body: HEYGEN,
      answer: NOTHING,
    },
    unsigned("webhook_signature_invalid", HEYGEN),
  ],
  receiveDIdWebhook: [
    {
      name: "nothing_waits",
      summary: "No job waits for it",
      path: { job_id: UNKNOWN, token: "3f7a" },
      body: {},
      answer: NOTHING,
    },
    {
      ...unsigned("webhook_signature_invalid", {}),
      path: { job_id: UNKNOWN, token: "0000" },
    },
  ],
  operate: [
    {
      name: "pause",
      summary: "Pause a provider",
      body: { action: "pause", provider: "d-id" },
      answer: { status: 200, body: { is_paused: true } },
    },
    {
      name: "resume",
      summary: "Resume it",
      body: { action: "resume", provider: "d-id" },
      answer: { status: 200, body: { is_paused: false } },
    },
    {
      name: "preview_redrive",
      summary: "The number of jobs that would run again, and their price",
      body: {
        action: "preview_redrive",
        filter: { error_code: "provider_quota_exceeded" },
      },
      answer: {
        status: 200,
        body: {
          count: 0,
          user_count: 0,
          price_micros: 0,
          without_estimate: 0,
          oldest_failed_at: null,
          newest_failed_at: null,
          left_out: {
            spend_unknown: 0,
            dependency_failed: 0,
            tried_too_often: 0,
          },
        },
      },
    },
    {
      name: "redrive_count_changed",
      summary: "The count has changed since the preview",
      body: {
        action: "redrive",
        filter: { error_code: "provider_quota_exceeded" },
        expected_count: 3,
      },
      answer: refusedBy(
        "redrive_count_changed",
        "expected_count",
        "the filter matches 0 jobs now, and not 3",
      ),
    },
    {
      name: "set_budget",
      summary: "Five dollars a month for every user",
      body: { action: "set_budget", budget_micros: 5_000_000 },
      answer: { status: 200, body: { budget_micros: 5_000_000 } },
    },
  ],
};
