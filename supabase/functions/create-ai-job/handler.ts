/** create-ai-job: accepts a job with 202, or returns 200 with an earlier result. */
import { openResultCache } from "../_shared/cache/open-cache.ts";
import { z } from "zod";
import { check } from "../_shared/contracts/issue-words.ts";
import {
  type CreateAiJobRequest,
  createAiJobRequestSchema,
  type CreateAiJobResponse,
  idempotencyKeySchema,
  jobStatusSchema,
} from "../_shared/contracts/jobs.ts";
import { normalizeInputUrl } from "../_shared/contracts/object-path.ts";
import { readTrace } from "../_shared/contracts/traceparent.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { readJson } from "../_shared/http/body.ts";
import {
  createUserEndpoint,
  type UserContext,
} from "../_shared/http/caller.ts";
import { createDirectDispatch } from "../_shared/http/direct-dispatch.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import { checkRecordingLength } from "./recording-check.ts";

const createdJobSchema = z.object({
  id: z.uuid(),
  job_type: z.string(),
  status: jobStatusSchema,
  input_url: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  result_data: z.record(z.string(), z.unknown()).nullable(),
  cached_from_job_id: z.uuid().nullable(),
});
type CreatedJob = z.infer<typeof createdJobSchema>;
/** The idempotency key is the only unique column that a request chooses. */
const UNIQUE_VIOLATION = "23505";
const COLUMNS =
  "id,job_type,status,input_url,metadata,result_data,cached_from_job_id";

/**
 * POST `{job_type, input_url, metadata, depends_on?}` with an optional `Idempotency-Key`.
 *
 * 202 with `Location` when the job waits; 200 when an earlier identical job has the result, or when the key was used
 * before with the same request. The database checks the input object at the insert, except for the length of an avatar
 * video's recording, which is read here.
 */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  const dispatch = createDirectDispatch(deps);
  return createUserEndpoint(
    deps,
    { name: "create-ai-job", method: "POST" },
    async (context) => {
      const request = await readJson(context.request, createAiJobRequestSchema);
      const idempotencyKey = readIdempotencyKey(context.request);
      const inputUrl = "input_url" in request
        ? ownInputUrl(request.input_url, deps.env)
        : null;
      await checkRecordingLength(context, request, deps.platform.random);

      const { job, isNew } = await insertJob(
        context,
        request,
        inputUrl,
        idempotencyKey,
        await findEarlier(deps, context, request, inputUrl),
      );
      if (isNew) {
        context.log.info("job_created", {
          job_id: job.id,
          job_type: job.job_type,
          cached: job.cached_from_job_id !== null,
        });
        if (isForProcessAiJob(request, job)) dispatch(job.id, context.log);
      }
      return answer(job, isNew && job.status !== "completed" ? 202 : 200);
    },
  );
}

/** Whether the job may be claimed now, by `process-ai-job`. A book takes much longer than its dispatch. */
function isForProcessAiJob(
  request: CreateAiJobRequest,
  { status, job_type }: CreatedJob,
): boolean {
  return status === "pending" && request.depends_on === undefined &&
    job_type !== "pdf_render";
}

function readIdempotencyKey(request: Request): string | null {
  const header = request.headers.get("idempotency-key");
  if (header === null) return null;
  const key = check(header, idempotencyKeySchema);
  if (key.wrong === undefined) return key.data;
  const message = key.wrong[0]?.message ?? "is not valid";
  throw new AppError("invalid_request", {
    details: `Idempotency-Key: ${message}`,
    fields: [{ field: "Idempotency-Key", message }],
  });
}

function ownInputUrl(input: string, env: AppDeps["env"]): string {
  const projects = [env.SUPABASE_URL, env.API_PUBLIC_URL].filter((url) =>
    url !== undefined
  );
  const inputUrl = normalizeInputUrl(input, projects);
  if (inputUrl !== null) return inputUrl;
  throw new AppError("input_url_invalid", {
    fields: [{
      field: "input_url",
      message:
        "must name an object of this project's Storage as <bucket>/<path>",
    }],
  });
}

/** Where the database finds an earlier job with the same request. */
interface EarlierJob {
  p_is_cache_searched?: boolean;
  p_cached_from_job_id?: string;
}

/** With Redis the earlier job itself, by the hash that the database computes; otherwise the insert searches. */
async function findEarlier(
  deps: AppDeps,
  { supabase, userId, log }: UserContext,
  request: CreateAiJobRequest,
  inputUrl: string | null,
): Promise<EarlierJob> {
  // Its input does not exist yet; the worker searches the cache later.
  if (request.depends_on !== undefined) return {};
  const cache = openResultCache(deps.env, log);
  if (cache === "database") return { p_is_cache_searched: true };
  const { data: hash, error } = await supabase.rpc("ai_job_input_hash", {
    p_user_id: userId,
    p_job_type: request.job_type,
    // The generated types do not allow null; the function takes an empty string instead.
    p_input_url: inputUrl ?? "",
    p_metadata: request.metadata,
  });
  if (error) throw fromDatabaseError(error);
  const jobId = await cache.find(hash);
  return jobId === null ? {} : { p_cached_from_job_id: jobId };
}

/** The new job, or the one that an earlier request with the same key and content created. */
async function insertJob(
  context: UserContext,
  request: CreateAiJobRequest,
  inputUrl: string | null,
  idempotencyKey: string | null,
  earlier: EarlierJob,
): Promise<{ job: CreatedJob; isNew: boolean }> {
  const trace = readTrace(context.request.headers.get("traceparent"));
  const insert = () =>
    context.supabase.rpc("create_ai_job", {
      p_job_type: request.job_type,
      p_metadata: request.metadata,
      ...(inputUrl === null ? {} : { p_input_url: inputUrl }),
      ...(idempotencyKey === null ? {} : { p_idempotency_key: idempotencyKey }),
      ...(request.depends_on === undefined
        ? {}
        : { p_depends_on_job_id: request.depends_on }),
      ...(trace === undefined ? {} : { p_traceparent: trace.traceparent }),
      ...earlier,
    });
  let { data, error } = await insert();
  // A concurrent request with the same key has committed since: the second insert makes the database compare them.
  if (error?.code === UNIQUE_VIOLATION) ({ data, error } = await insert());
  // The key belongs to an equal job, whose id is the hint.
  if (error?.code === "AJ032") {
    return { job: await findJob(context, error.hint), isNew: false };
  }
  if (error) throw fromDatabaseError(asRequested(error));
  return { job: createdJobSchema.parse(data), isNew: true };
}

/** An error of the insert, with the name that the request uses for the column. */
function asRequested(
  error: { code: string; message: string; details: string | null },
): { code: string; message: string; details: string | null } {
  const toName = (text: string) =>
    text.replace(/^depends_on_job_id\b/, "depends_on");
  return {
    code: error.code,
    message: toName(error.message),
    details: error.details && toName(error.details),
  };
}

async function findJob(
  { supabase }: UserContext,
  jobId: string,
): Promise<CreatedJob> {
  const { data, error } = await supabase.from("ai_jobs").select(COLUMNS)
    .eq("id", jobId).single();
  if (error) throw fromDatabaseError(error);
  return createdJobSchema.parse(data);
}

function answer(job: CreatedJob, status: 200 | 202): Response {
  const isCached = job.cached_from_job_id !== null;
  const body: CreateAiJobResponse = {
    job_id: job.id,
    status: job.status,
    message: isCached
      ? "An identical job was completed before; this is its result."
      : status === 202
      ? "The job is accepted. Read its progress with get-ai-job or from ai_jobs."
      : "This Idempotency-Key was used before; this is its job.",
    cached: isCached,
    result_data: job.result_data,
  };
  return jsonResponse(body, {
    status,
    headers: { Location: `/functions/v1/get-ai-job?id=${job.id}` },
  });
}
