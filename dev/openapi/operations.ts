/**
 * Requests and responses of the functions, one entry for each operation, with the schemas by which the functions parse.
 */
import { z } from "zod";
import {
  dispatchSchema,
  janitorDispatchSchema,
} from "../../supabase/functions/_shared/contracts/dispatch.ts";
import {
  aiJobResponseSchema,
  createAiJobRequestSchema,
  createAiJobResponseSchema,
  jobIdRequestSchema,
  jobStandingSchema,
  listAiJobsQuerySchema,
  resultSchemas,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  healthDetailsSchema,
  healthSchema,
  OPS_RESPONSES,
  opsRequestSchema,
} from "../../supabase/functions/_shared/contracts/ops.ts";
import {
  createDownloadUrlRequestSchema,
  createDownloadUrlResponseSchema,
  createUploadUrlRequestSchema,
  createUploadUrlResponseSchema,
} from "../../supabase/functions/_shared/contracts/storage.ts";
import type { ErrorCode } from "../../supabase/functions/_shared/failures/catalogue.ts";
import { elevenLabsWebhookSchema } from "../../supabase/functions/_shared/providers/elevenlabs/webhook.ts";
import { heyGenWebhookSchema } from "../../supabase/functions/_shared/providers/heygen/webhook.ts";

/** Who may call: a signed-in user, an operator, the database, an AI provider, Prometheus, or anyone. */
export type Caller =
  | "user"
  | "operator"
  | "database"
  | "provider"
  | "prometheus"
  | "anyone";

/** One operation of one function. */
export interface Operation {
  /** Unique; also the key of its examples. */
  id: string;
  /** After `/functions/v1`. */
  path: string;
  method: "get" | "post";
  caller: Caller;
  summary: string;
  description?: string;
  /** Marks it as `x-internal`: only this project calls it, and it may change in a minor version. */
  isInternal?: boolean;
  query?: z.ZodObject;
  headers?: z.ZodObject;
  pathParameters?: z.ZodObject;
  body?: z.ZodType;
  /** By status. */
  answers: Readonly<
    Record<
      string,
      { description: string; schema: z.ZodType; contentType?: string }
    >
  >;
  /** Error codes besides those of every operation of its caller. */
  errors: readonly ErrorCode[];
}

/** `voice_clone` as `VoiceClone`. */
const pascal = (jobType: string) =>
  jobType.replace(/(?:^|_)([a-z0-9])/g, (_, first) => first.toUpperCase());

/** The result of any job type, as `result_data` holds it. */
const resultSchema = z.union([
  ...Object.entries(resultSchemas).map(([jobType, schema]) =>
    schema.meta({ id: `${pascal(jobType)}Result` })
  ),
  z.record(z.string(), z.unknown()).describe("The result of another job type."),
]).nullable().describe(
  "Null until the job is completed; its schema depends on job_type.",
);

const jobSchema = aiJobResponseSchema.extend({
  result_data: resultSchema,
  output_url: z.string().nullable().describe(
    "A signed URL of the output, valid for an hour. Null in a list, and if there is no output.",
  ),
  output_path: z.string().nullable().describe(
    "The output, as `<bucket>/<path>`; null if there is none.",
  ),
}).meta({ id: "Job" });

const jobIdSchema = jobIdRequestSchema.meta({ id: "JobIdRequest" });
const createdSchema = createAiJobResponseSchema.meta({
  id: "CreateAiJobResponse",
});
const standingSchema = jobStandingSchema.meta({ id: "JobStanding" });
const receiptSchema = z.object({
  status: z.enum(["woken", "nothing_waits", "replayed"]),
}).meta({ id: "WebhookReceipt" });

const idempotencyKey = z.object({
  "Idempotency-Key": z.string().min(1).max(257).optional().describe(
    "1 to 255 visible ASCII characters, bare or in double quotes. Repeating a request with the same key creates no second job.",
  ),
});

/** Standard Webhooks (https://www.standardwebhooks.com). */
const dispatchHeaders = z.object({
  "webhook-id": z.string().describe("Unique; a second delivery is refused."),
  "webhook-timestamp": z.string().describe(
    "Unix seconds; at most five minutes old.",
  ),
  "webhook-signature": z.string().describe(
    "HMAC-SHA256 of id, timestamp and body with DISPATCH_SECRET.",
  ),
});

const heyGenHeaders = z.object({
  "heygen-signature": z.string(),
  "heygen-timestamp": z.string(),
  "heygen-event-id": z.string(),
});

const health = z.union([
  healthSchema.meta({ id: "Health" }),
  healthDetailsSchema.meta({ id: "HealthDetails" }),
]);

const BODY: readonly ErrorCode[] = [
  "invalid_json",
  "invalid_request",
  "payload_too_large",
  "unsupported_media_type",
];

const DISPATCH_ERRORS: readonly ErrorCode[] = [
  "invalid_json",
  "invalid_request",
  "payload_too_large",
  "dispatch_signature_invalid",
  "dispatch_stale",
  "dispatch_replayed",
];
const dispatchBody = dispatchSchema.meta({ id: "Dispatch" });
const claimedSchema = z.object({ claimed: z.array(z.uuid()) }).meta({
  id: "Claimed",
});

/** An operation of a worker. */
function dispatched(
  worker: Pick<Operation, "id" | "path" | "summary">,
): Operation {
  return {
    ...worker,
    method: "post",
    caller: "database",
    isInternal: true,
    headers: dispatchHeaders,
    body: dispatchBody,
    answers: {
      202: {
        description: "The jobs that this worker has claimed",
        schema: claimedSchema,
      },
    },
    errors: DISPATCH_ERRORS,
  };
}

/** Every operation, in the order in which an app uses them. */
export const OPERATIONS: readonly Operation[] = [
  {
    id: "createUploadUrl",
    path: "/create-upload-url",
    method: "post",
    caller: "user",
    summary: "Create an upload URL",
    description:
      "Send the file with PUT to `upload_url`, with the `content_type` of the response; then pass `input_url` to a job.",
    body: createUploadUrlRequestSchema.meta({ id: "CreateUploadUrlRequest" }),
    answers: {
      201: {
        description: "The URL and the path of the file",
        schema: createUploadUrlResponseSchema.meta({
          id: "CreateUploadUrlResponse",
        }),
      },
    },
    errors: [
      ...BODY,
      "bucket_not_allowed",
      "file_type_not_allowed",
      "file_size_not_allowed",
      "unused_uploads_exceeded",
      "unused_upload_bytes_exceeded",
    ],
  },
  {
    id: "createAiJob",
    path: "/create-ai-job",
    method: "post",
    caller: "user",
    summary: "Create a job",
    description:
      "The job runs in the background: poll it with getAiJob, or subscribe to the private Realtime topic `ai_jobs:<user id>`.",
    headers: idempotencyKey,
    body: createAiJobRequestSchema.meta({ id: "CreateAiJobRequest" }),
    answers: {
      202: {
        description: "The job is accepted; `Location` is its URL",
        schema: createdSchema,
      },
      200: {
        description:
          "The result of an earlier identical job, or the job of an earlier request with this key",
        schema: createdSchema,
      },
    },
    errors: [
      ...BODY,
      "job_type_unknown",
      "job_type_disabled",
      "input_required",
      "input_url_invalid",
      "input_not_found",
      "input_type_not_allowed",
      "input_size_not_allowed",
      "metadata_invalid",
      "path_not_allowed",
      "dependency_not_found",
      "dependency_failed",
      "voice_not_found",
      "call_not_found",
      "slideshow_not_found",
      "slideshow_empty",
      "slideshow_too_large",
      "idempotency_key_reused",
      "account_not_established",
      "voices_exceeded",
      "voice_places_exceeded",
      "active_jobs_exceeded",
      "daily_jobs_exceeded",
    ],
  },
  {
    id: "getAiJob",
    path: "/get-ai-job",
    method: "get",
    caller: "user",
    summary: "Read a job",
    query: z.object({ id: z.uuid() }),
    answers: {
      200: {
        description: "The job, with a signed URL of its output",
        schema: jobSchema,
      },
    },
    errors: ["invalid_request", "not_found"],
  },
  {
    id: "listAiJobs",
    path: "/list-ai-jobs",
    method: "get",
    caller: "user",
    summary: "List your jobs, newest first",
    query: listAiJobsQuerySchema,
    answers: {
      200: {
        description: "A page; `next_cursor` is null on the last page",
        schema: z.object({
          jobs: z.array(jobSchema),
          next_cursor: z.string().nullable(),
        }).meta({ id: "ListAiJobsResponse" }),
      },
    },
    errors: ["invalid_request"],
  },
  {
    id: "cancelAiJob",
    path: "/cancel-ai-job",
    method: "post",
    caller: "user",
    summary: "Cancel a job",
    body: jobIdSchema,
    answers: {
      200: { description: "The job is cancelled", schema: standingSchema },
      202: {
        description: "The job is running; it stops within a heartbeat",
        schema: standingSchema,
      },
    },
    errors: [...BODY, "not_found", "job_not_cancellable"],
  },
  {
    id: "retryAiJob",
    path: "/retry-ai-job",
    method: "post",
    caller: "user",
    summary: "Retry a failed job",
    body: jobIdSchema,
    answers: {
      202: {
        description: "The job waits for its next attempt",
        schema: standingSchema,
      },
    },
    errors: [
      ...BODY,
      "not_found",
      "job_not_retryable",
      "job_spend_unknown",
      "voices_exceeded",
      "voice_places_exceeded",
      "active_jobs_exceeded",
    ],
  },
  {
    id: "createDownloadUrl",
    path: "/create-download-url",
    method: "post",
    caller: "user",
    summary: "Create a download URL",
    body: createDownloadUrlRequestSchema.meta({
      id: "CreateDownloadUrlRequest",
    }),
    answers: {
      200: {
        description: "The URL",
        schema: createDownloadUrlResponseSchema.meta({
          id: "CreateDownloadUrlResponse",
        }),
      },
    },
    errors: [
      ...BODY,
      "bucket_not_allowed",
      "path_not_allowed",
      "object_not_found",
    ],
  },
  dispatched({
    id: "processAiJob",
    path: "/process-ai-job",
    summary: "The database dispatches due jobs",
  }),
  dispatched({
    id: "renderAiJob",
    path: "/render-ai-job",
    summary: "The database dispatches due `pdf_render` jobs",
  }),
  {
    id: "runJanitor",
    path: "/janitor",
    method: "post",
    caller: "database",
    isInternal: true,
    summary: "The database starts a run of the janitor",
    headers: dispatchHeaders,
    body: janitorDispatchSchema.meta({ id: "JanitorDispatch" }),
    answers: {
      202: {
        description: "The run continues in the background",
        schema: z.object({ status: z.literal("started") }).meta({
          id: "JanitorStarted",
        }),
      },
    },
    errors: DISPATCH_ERRORS,
  },
  {
    id: "receiveElevenLabsWebhook",
    path: "/provider-webhook/elevenlabs",
    method: "post",
    caller: "provider",
    summary: "Receive a webhook of ElevenLabs",
    headers: z.object({ "elevenlabs-signature": z.string() }),
    body: elevenLabsWebhookSchema.meta({ id: "ElevenLabsWebhook" }),
    answers: {
      200: { description: "Whether a job was made due", schema: receiptSchema },
    },
    errors: [
      "invalid_json",
      "not_found",
      "payload_too_large",
      "webhook_signature_invalid",
      "webhook_stale",
    ],
  },
  {
    id: "receiveHeyGenWebhook",
    path: "/provider-webhook/heygen",
    method: "post",
    caller: "provider",
    summary: "Receive a webhook of HeyGen",
    headers: heyGenHeaders,
    body: heyGenWebhookSchema.meta({ id: "HeyGenWebhook" }),
    answers: {
      200: { description: "Whether a job was made due", schema: receiptSchema },
    },
    errors: [
      "invalid_json",
      "not_found",
      "payload_too_large",
      "webhook_signature_invalid",
      "webhook_stale",
    ],
  },
  {
    id: "receiveDIdWebhook",
    path: "/provider-webhook/d-id/{job_id}/{token}",
    method: "post",
    caller: "provider",
    summary: "Receive a webhook of D-ID",
    description:
      "D-ID signs nothing: the URL contains a token that is valid for one job. The body is not read.",
    pathParameters: z.object({ job_id: z.uuid(), token: z.string() }),
    body: z.looseObject({}).meta({ id: "DIdWebhook" }),
    answers: {
      200: { description: "Whether a job was made due", schema: receiptSchema },
    },
    errors: ["not_found", "payload_too_large", "webhook_signature_invalid"],
  },
  {
    id: "operate",
    path: "/ops",
    method: "post",
    caller: "operator",
    summary: "The operator's API",
    description:
      "One action per request. The database checks the role again. It records every action and every view of a payload, with the operator and the time. The names of the actions and their bodies are stable; the responses are those that the console shows, and may change in a minor version.",
    body: opsRequestSchema.meta({ id: "OpsRequest" }),
    answers: {
      200: {
        description: "The response of the action",
        schema: z.union([
          OPS_RESPONSES.overview.meta({ id: "OpsOverview" }),
          OPS_RESPONSES.charts.meta({ id: "OpsCharts" }),
          OPS_RESPONSES.failures.meta({ id: "OpsFailures" }),
          OPS_RESPONSES.providers.meta({ id: "OpsProviders" }),
          OPS_RESPONSES.parked.meta({ id: "OpsParked" }),
          OPS_RESPONSES.budgets.meta({ id: "OpsBudgets" }),
          OPS_RESPONSES.search.meta({ id: "OpsSearch" }),
          OPS_RESPONSES.job.meta({ id: "OpsJob" }),
          OPS_RESPONSES.payload.meta({ id: "OpsPayload" }),
          OPS_RESPONSES.actions.meta({ id: "OpsActions" }),
          OPS_RESPONSES.preview_redrive.meta({ id: "OpsPreviewRedrive" }),
          OPS_RESPONSES.redrive.meta({ id: "OpsRedrive" }),
          OPS_RESPONSES.pause.meta({ id: "OpsPaused" }),
          OPS_RESPONSES.probe.meta({ id: "OpsProbe" }),
          OPS_RESPONSES.resolve.meta({ id: "OpsJobStanding" }),
          OPS_RESPONSES.set_budget.meta({ id: "OpsBudget" }),
        ]),
      },
    },
    errors: [
      ...BODY,
      "not_found",
      "redrive_count_changed",
      "job_not_parked",
      "provider_not_checked",
      "provider_object_found",
      "provider_object_missing",
      "provider_object_id_invalid",
      "provider_object_mismatch",
      "job_not_cancellable",
      "job_not_retryable",
      "job_spend_unknown",
      "dependency_failed",
      "voices_exceeded",
      "voice_places_exceeded",
      "active_jobs_exceeded",
    ],
  },
  {
    id: "readHealth",
    path: "/health",
    method: "get",
    caller: "anyone",
    summary: "Whether jobs make progress",
    description:
      "The status, at most five seconds old; with an operator's token also every check.",
    answers: {
      200: {
        description:
          "Jobs make progress; `degraded`: something needs attention",
        schema: health,
      },
      503: {
        description: "Jobs do not make progress: `failing`",
        schema: health,
      },
    },
    errors: [],
  },
  {
    id: "readMetrics",
    path: "/metrics",
    method: "get",
    caller: "prometheus",
    summary: "Metrics for Prometheus",
    description:
      "With `Authorization: Bearer` and METRICS_TOKEN; 404 while that is not set. Under 300 series; no user is named.",
    answers: {
      200: {
        description: "Prometheus text, version 0.0.4",
        schema: z.string(),
        contentType: "text/plain",
      },
    },
    errors: ["not_found", "metrics_token_invalid"],
  },
];
