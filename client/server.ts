/** Calls the functions and the Data API, decodes their errors, and retries the calls that may be retried. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { deadline, pause, throwIfAborted } from "./abort.ts";
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
import {
  isStatus,
  type Job,
  type JobEvent,
  type JobStatus,
  type JobType,
} from "./job-types.ts";

/** Any object. */
export type Fields = Record<string, unknown>;

/** A call of one function. */
export interface Call {
  /** Sent by POST; without it the call is a GET. */
  body?: Fields;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** Not idempotent, so that a request whose response was lost must not be repeated. */
  isOnce?: boolean;
}

const TRIES = 4;
const INITIAL_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/** Time limit of a request, because a connection may break without notice. */
const RESPONSE_TIMEOUT_MS = 30_000;

/** Whether a value is an object with members. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value that should be a list; empty if it is not. */
export function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * Calls a function and resolves with its response.
 *
 * Retries up to three times when no response arrives or the service is unavailable.
 *
 * @throws {AiJobsError} of the class that fits the response; the signal's reason once it is aborted.
 */
export async function callFunction(
  supabase: Pick<SupabaseClient, "functions">,
  name: string,
  call: Call,
): Promise<Fields> {
  const { signal, body, headers = {}, isOnce } = call;
  for (let tried = 1;; tried++) {
    throwIfAborted(signal);
    const { data, error } = await supabase.functions.invoke(name, {
      method: body ? "POST" : "GET",
      headers,
      timeout: RESPONSE_TIMEOUT_MS,
      ...(body && { body }),
      ...(signal && { signal }),
    });
    if (error === null && isFields(data)) return data;
    throwIfAborted(signal);
    const failure = error === null ? invalidAnswer() : await toFailure(error);
    if (
      !failure.retryable || failure instanceof LimitReached || isOnce ||
      tried === TRIES
    ) throw failure;
    const backoff = INITIAL_BACKOFF_MS * 2 ** (tried - 1) * (1 + Math.random());
    await pause(
      Math.min(
        Math.max(failure.retryAfterMs ?? 0, backoff),
        MAX_BACKOFF_MS,
      ),
      signal,
    );
  }
}

function invalidAnswer(): ServiceUnavailable {
  return new ServiceUnavailable("The response is not valid.", {
    code: "answer_invalid",
  });
}

/** The error of a request without a usable response. */
export function noResponse(cause?: unknown): NetworkError {
  return new NetworkError("No response arrived.", {
    code: "network_error",
    cause,
  });
}

/** Converts an error of functions-js, or of the Data API in its shape. */
async function toFailure(error: unknown): Promise<AiJobsError> {
  const context = isFields(error) ? error["context"] : undefined;
  if (!(context instanceof Response)) {
    return noResponse(error);
  }
  const { status, headers } = context;
  const body: unknown = await context.json().catch(() => undefined);
  const problem = isFields(body) ? body : {};
  const text = (name: string) =>
    typeof problem[name] === "string" ? problem[name] : undefined;
  const detail = text("detail");
  // The platform refuses a missing or ended session itself, with several codes and as an “Invalid JWT”.
  if (status === 401 && detail === undefined) {
    return new NotSignedIn("Sign in first, or refresh the session.", {
      code: "unauthenticated",
      cause: error,
    });
  }
  const message = detail ?? text("message") ??
    `The service answered with ${status}.`;
  const details = {
    code: text("code") ?? `http_${status}`,
    requestId: text("request_id"),
    // Not a number when it is a date, which the functions never send.
    retryAfterMs: Number(headers.get("retry-after")) * 1000 || undefined,
    fields: fieldsOf(problem["errors"]),
  };
  // 409 for a limit that time does not lift; 403 for an account that is too new.
  if (status === 429 || /_(exceeded|established)$/.test(details.code)) {
    return new LimitReached(message, details);
  }
  const Refusal = REFUSALS[status] ??
    (status < 500 ? RequestInvalid : ServiceUnavailable);
  return new Refusal(message, details);
}

const REFUSALS: Readonly<
  Record<number, typeof AiJobsError | typeof RequestInvalid>
> = {
  401: NotSignedIn,
  404: NotFound,
  408: ServiceUnavailable,
  409: Conflict,
};

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
 * Parses a job as the functions return it.
 *
 * @throws {ServiceUnavailable} when it is not a job.
 */
export function readJob<T extends JobType>(row: unknown): Job<T> {
  const job = isFields(row)
    ? { ...row, result: row["result_data"] ?? null }
    : row;
  if (isJob<T>(job)) return job;
  throw invalidAnswer();
}

/** The status of a job in a response; undefined if it has none. */
export function readStatus({ status }: Fields): JobStatus | undefined {
  return isStatus(status) ? status : undefined;
}

/** An entry of the timeline, from a row or a broadcast; undefined when it is invalid. */
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
    attempt: Number(attempt) || 0,
    status: readStatus(given),
    progress: typeof given["progress"] === "number"
      ? given["progress"]
      : undefined,
    stage: text("stage"),
    error_code: text("error_code"),
    outcome: text("outcome"),
    created_at,
  };
}

/** Rows of one request. A project may allow fewer than its default of 1000. */
export const ROWS_PER_READ = 100;

/** A query of the Data API. */
interface Query {
  abortSignal(signal: AbortSignal): PromiseLike<
    { data: unknown; error: unknown; status: number }
  >;
}

/**
 * The rows that a query finds.
 *
 * @throws {AiJobsError} of the class that fits the response, as {@link callFunction} does: one that is not `retryable`
 *   when the read is refused for good; the signal's reason once it is aborted.
 */
export async function readRows(
  query: Query,
  signal: AbortSignal | undefined,
): Promise<unknown[]> {
  const limit = deadline(signal, RESPONSE_TIMEOUT_MS);
  const { data, error, status } = await query.abortSignal(limit.signal);
  limit.clear();
  throwIfAborted(signal);
  // A 2xx that is not a list comes from a proxy, such as the sign-in page of a network, and ends with it.
  if (Array.isArray(data)) return data;
  throw await toFailure(
    status > 399
      ? { context: new Response(JSON.stringify(error), { status }) }
      : error,
  );
}

/**
 * The events of a job after `after`, in order; those before `since`, in milliseconds, left out.
 *
 * @throws as {@link readRows} does.
 */
export async function readEvents(
  supabase: SupabaseClient,
  jobId: string,
  after: number,
  signal: AbortSignal | undefined,
  since = 0,
): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  let rows: unknown[];
  do {
    rows = await readRows(
      supabase.from("ai_job_events")
        .select("job_id,seq,event,attempt,data,created_at")
        .eq("job_id", jobId)
        .gt("seq", events.at(-1)?.seq ?? after)
        .gte("created_at", new Date(since).toISOString())
        .order("seq").limit(ROWS_PER_READ),
      signal,
    );
    events.push(...rows.flatMap((row) => readEvent(row) ?? []));
  } while (rows.length === ROWS_PER_READ);
  return events;
}
