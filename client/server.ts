/** Calls of the functions and of the Data API, with their errors decoded and what may be repeated repeated. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { pause, throwIfAborted } from "./abort.ts";
import {
  AiJobsError,
  Conflict,
  type FieldError,
  LimitReached,
  NetworkError,
  NotFound,
  NotSignedIn,
  RequestInvalid,
  ServiceUnavailable,
} from "./errors.ts";
import type { Job, JobEvent, JobStatus, JobType } from "./job-types.ts";

/** Any object. */
export type Fields = Record<string, unknown>;

/** A call of one function. */
export interface Call {
  method?: "GET" | "POST";
  body?: Fields;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** Whether the function is idempotent, so that a request whose response was lost may be repeated. */
  repeatable?: boolean;
}

const TRIES = 4;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

/** Whether a value is an object with members. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value that should be a list; empty if it is not. */
export function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * Calls a function and resolves with its answer.
 *
 * A repeatable call is repeated up to three times when no answer comes or the service says that it is unavailable.
 *
 * @throws {AiJobsError} of the class that fits the answer; the signal's reason once it is aborted.
 */
export async function callFunction(
  supabase: Pick<SupabaseClient, "functions">,
  name: string,
  call: Call,
): Promise<Fields> {
  const { signal, repeatable = false, body } = call;
  for (let tried = 1;; tried++) {
    throwIfAborted(signal);
    const { data, error } = await supabase.functions.invoke(name, {
      method: call.method ?? "POST",
      ...(body === undefined ? {} : { body }),
      ...(call.headers === undefined ? {} : { headers: call.headers }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (error === null && isFields(data)) return data;
    throwIfAborted(signal);
    const { failure, retryAfterMs } = error === null
      ? {
        failure: invalidAnswer(),
        retryAfterMs: undefined,
      }
      : await toFailure(error);
    if (!failure.retryable || !repeatable || tried === TRIES) throw failure;
    const backoff = FIRST_PAUSE_MS * 2 ** (tried - 1) * (1 + Math.random());
    await pause(
      Math.min(Math.max(retryAfterMs ?? 0, backoff), LONGEST_PAUSE_MS),
      signal,
    );
  }
}

function invalidAnswer(): ServiceUnavailable {
  return new ServiceUnavailable("The response is not valid.", {
    code: "answer_invalid",
    retryable: true,
  });
}

/** The error of functions-js as one of ours. */
async function toFailure(
  error: unknown,
): Promise<{ failure: AiJobsError; retryAfterMs?: number | undefined }> {
  const context = isFields(error) || error instanceof Error
    ? Reflect.get(error, "context")
    : undefined;
  if (!(context instanceof Response)) {
    return {
      failure: new NetworkError("The service did not answer.", {
        code: "network_error",
        retryable: true,
        cause: error,
      }),
    };
  }
  const body: unknown = await context.json().catch(() => undefined);
  const problem = isFields(body) ? body : {};
  const seconds = Number(context.headers.get("retry-after") ?? NaN);
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  return {
    failure: fromProblem(context.status, problem, retryAfterMs),
    retryAfterMs,
  };
}

const REFUSALS: Readonly<Record<number, typeof AiJobsError>> = {
  401: NotSignedIn,
  404: NotFound,
  409: Conflict,
};

function fromProblem(
  status: number,
  problem: Fields,
  retryAfterMs: number | undefined,
): AiJobsError {
  const text = (name: string) =>
    typeof problem[name] === "string" ? problem[name] : undefined;
  const message = text("detail") ?? text("message") ??
    `The service answered with ${status}.`;
  const details = {
    code: text("code") ?? `http_${status}`,
    requestId: text("request_id"),
  };
  // 409 where no time lifts the limit; 403 for an account that is too new.
  if (status === 429 || /_(exceeded|established)$/.test(details.code)) {
    return new LimitReached(message, { ...details, retryAfterMs });
  }
  const Refusal = REFUSALS[status];
  if (Refusal !== undefined) return new Refusal(message, details);
  if (status >= 500) {
    return new ServiceUnavailable(message, { ...details, retryable: true });
  }
  return new RequestInvalid(message, {
    ...details,
    fields: fieldsOf(problem["errors"]),
  });
}

function fieldsOf(errors: unknown): FieldError[] {
  return listOf(errors).flatMap((one) =>
    isFields(one) && typeof one["field"] === "string" &&
      typeof one["message"] === "string"
      ? [{ field: one["field"], message: one["message"] }]
      : []
  );
}

function isJob<T extends JobType>(value: unknown): value is Job<T> {
  return isFields(value) && typeof value["id"] === "string" &&
    typeof value["job_type"] === "string" &&
    typeof value["status"] === "string";
}

/**
 * A job as the functions answer it.
 *
 * @throws {ServiceUnavailable} when it is none.
 */
export function readJob<T extends JobType>(row: unknown): Job<T> {
  const job = isFields(row)
    ? { ...row, result: row["result_data"] ?? null }
    : row;
  if (isJob<T>(job)) return job;
  throw invalidAnswer();
}

/** The status of a job in an answer; undefined if it has none. */
export function readStatus({ status }: Fields): JobStatus | undefined {
  return status === "pending" || status === "processing" ||
      status === "completed" || status === "failed" || status === "cancelled"
    ? status
    : undefined;
}

/** An entry of the timeline, from a row or from a broadcast; undefined when it is none. */
export function readEvent(row: unknown): JobEvent | undefined {
  if (!isFields(row)) return undefined;
  const { job_id, seq, event, attempt, data, created_at } = row;
  if (
    typeof job_id !== "string" || typeof seq !== "number" ||
    typeof event !== "string" || typeof created_at !== "string"
  ) return undefined;
  const given = isFields(data) ? data : {};
  const text = (name: string) =>
    typeof given[name] === "string" ? given[name] : undefined;
  return {
    job_id,
    seq,
    event,
    attempt: typeof attempt === "number" ? attempt : 0,
    status: readStatus(given),
    progress: typeof given["progress"] === "number"
      ? given["progress"]
      : undefined,
    stage: text("stage"),
    error_code: text("error_code"),
    created_at,
  };
}

/** Columns of the timeline. */
export const EVENT_COLUMNS = "job_id,seq,event,attempt,data,created_at";
/** Rows of one read of the timeline. */
export const EVENTS_PER_READ = 500;

/**
 * The events of a job after `after`, in order, 500 at most.
 *
 * @throws {NotSignedIn} when the session is refused; {@link NetworkError} when the table cannot be read now.
 */
export async function readEvents(
  supabase: SupabaseClient,
  jobId: string,
  after: number,
  signal?: AbortSignal,
): Promise<JobEvent[]> {
  let query = supabase.from("ai_job_events").select(EVENT_COLUMNS)
    .eq("job_id", jobId).gt("seq", after)
    .order("seq").limit(EVENTS_PER_READ);
  if (signal !== undefined) query = query.abortSignal(signal);
  return toEvents(await query, signal);
}

/** Rows of the timeline out of an answer of the Data API; throws as {@link readEvents} does. */
export function toEvents(
  answer: { data: unknown; error: unknown; status: number },
  signal?: AbortSignal,
): JobEvent[] {
  const { data, error, status } = answer;
  throwIfAborted(signal);
  if (error !== null) {
    const details = { code: `http_${status}`, cause: error };
    throw status === 401
      ? new NotSignedIn("The session is not valid.", details)
      : new NetworkError("The timeline cannot be read.", {
        ...details,
        retryable: true,
      });
  }
  return listOf(data).flatMap((row) => readEvent(row) ?? []);
}
