/** The client: creates jobs, follows them, and fetches their results. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { deadline, reasonOf } from "./abort.ts";
import {
  isAiJobsError,
  JobCancelled,
  JobFailed,
  NotFound,
  RequestInvalid,
  WaitTimeout,
} from "./errors.ts";
import {
  type CompletedJob,
  type Job,
  type JobEvent,
  type JobRequest,
  type JobStatus,
  type JobType,
  type Spend,
} from "./job-types.ts";
import { Live } from "./live.ts";
import {
  callFunction,
  type Fields,
  listOf,
  readJob,
  readStatus,
} from "./server.ts";
import { plainType, sendFile } from "./upload.ts";
import {
  watchAllJobs,
  type WatchDeps,
  watchJob,
  type WatchOptions,
} from "./watch.ts";

/** Options of the client. */
export interface AiJobsOptions {
  /** False polls only; true, the default, also listens to Realtime. */
  live?: boolean;
  /** Milliseconds between two reads while Realtime is not joined; 2000 by default. */
  pollMs?: number;
}

/** An abort rejects the call with the signal's reason. It never cancels a job. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** Time limit and progress callback of `wait`. */
export interface WaitForOptions extends CallOptions {
  /** Rejects with `WaitTimeout` after this time; the job continues. */
  timeoutMs?: number;
  /** Called with each event that changes progress, stage or status. */
  onProgress?(snapshot: JobSnapshot): void;
}

/** The progress of a job. */
export interface JobSnapshot {
  id: string;
  status: JobStatus;
  /** Percent, 0 to 100. */
  progress: number;
  stage: string | null;
  /** Number of the event that reported this. */
  seq: number;
}

/** The progress of an upload. */
export interface UploadProgress {
  /** Whole percent that has arrived, 0 to 100. */
  progress: number;
}

/** How a file is uploaded. */
export interface UploadOptions extends CallOptions {
  /** `uploads` by default. */
  bucket?: string;
  /** Name of the file; that of a `File` by default. */
  name?: string;
  /** MIME type; that of the blob by default. Parameters such as `codecs=opus` are dropped. */
  contentType?: string;
  /** Called each time a part of the file has arrived. */
  onProgress?(progress: UploadProgress): void;
  /** Called before each piece of a large file: while the promise that it returns is pending, the upload is paused. */
  pause?(): Promise<unknown> | undefined;
}

/** An uploaded file. */
export interface UploadedFile {
  /** The value for a job's `input_url`: `<bucket>/<path>`. */
  input_url: string;
  bucket: string;
  path: string;
}

/** Which jobs to list. */
export interface ListOptions<T extends JobType = JobType> extends CallOptions {
  status?: JobStatus | undefined;
  job_type?: T | undefined;
  /** At most 100; 20 by default. */
  limit?: number;
  /** The `next` of the previous page. */
  cursor?: string | undefined;
}

/** The result of a request to cancel or retry. */
export interface JobStanding {
  status: JobStatus;
  spend: Spend;
}

/** One of the user's jobs, by its id. */
export class JobHandle<T extends JobType = JobType> {
  readonly id: string;
  readonly #client: AiJobs;

  /** Use `jobs.job(id)` or `jobs.create(…)`. */
  constructor(client: AiJobs, id: string) {
    this.#client = client;
    this.id = id;
  }

  /** The current state of the job. @throws {NotFound} */
  get(options?: CallOptions): Promise<Job<T>> {
    return this.#client.get<T>(this.id, options);
  }

  /**
   * Yields every event once and in order until the job has ended, even when connections are lost. Pass the `seq` of the
   * last event as `after` to continue after a reload.
   */
  watch(options?: WatchOptions): AsyncGenerator<JobEvent, void, void> {
    return this.#client.watch(this.id, options);
  }

  /**
   * Resolves once the job is completed.
   *
   * @throws {JobFailed} with the job's own code, {@link JobCancelled}, {@link WaitTimeout}; {@link NotFound},
   *   {@link NotSignedIn} or {@link RequestInvalid} when a read is refused for good; the signal's reason once it is
   *   aborted, and an AbortError once the client is closed. None of these cancels the job.
   */
  async wait(options: WaitForOptions = {}): Promise<CompletedJob<T>> {
    const { timeoutMs, onProgress } = options;
    const limit = deadline(options.signal, timeoutMs);
    const { signal } = limit;
    let snapshot: JobSnapshot = {
      id: this.id,
      status: "pending",
      progress: 0,
      stage: null,
      seq: 0,
    };
    try {
      for (;;) {
        for await (
          const event of this.watch({ after: snapshot.seq, signal })
        ) {
          snapshot = {
            id: this.id,
            seq: event.seq,
            status: event.status ?? snapshot.status,
            progress: event.progress ?? snapshot.progress,
            stage: event.stage ?? null,
          };
          onProgress?.(snapshot);
        }
        if (this.#client.isClosed) throw reasonOf();
        const job = await this.#client.get<T>(this.id, { signal })
          .catch((error: unknown) => {
            if (!isAiJobsError(error) || !error.retryable) throw error;
          });
        // The watch retries a failed read, with growing delays.
        if (job === undefined) continue;
        if (isCompleted(job)) return job;
        if (job.status === "failed") {
          throw new JobFailed(job.error_message ?? "The job has failed.", {
            code: job.error_code ?? "unknown",
            jobId: job.id,
            spend: job.spend,
          });
        }
        if (job.status === "cancelled") {
          throw new JobCancelled(job.id, job.spend);
        }
        // It was retried after its last event.
      }
    } catch (error) {
      throw limit.isLate ? new WaitTimeout(this.id, timeoutMs ?? 0) : error;
    } finally {
      limit.clear();
    }
  }

  /** Cancels the job; a running one ends within a heartbeat. A second call changes nothing. */
  cancel(options?: CallOptions): Promise<JobStanding> {
    return this.#client.cancel(this.id, options);
  }

  /**
   * Runs a failed job again. @throws {Conflict} when it has not failed, or when it is unknown whether it was paid for.
   */
  retry(options?: CallOptions): Promise<JobStanding> {
    return this.#client.retry(this.id, options);
  }

  /**
   * A signed URL of the job's output, valid for `expiresIn` seconds (an hour by default, at most seven days).
   *
   * @throws {NotFound} when the job has no output, or not yet.
   */
  async downloadUrl(
    options: CallOptions & { expiresIn?: number } = {},
  ): Promise<string> {
    const { output_path, output_url } = await this.get(options);
    if (output_path === null) {
      throw new NotFound("The job has no output.", {
        code: "output_not_found",
      });
    }
    if (options.expiresIn === undefined && output_url !== null) {
      return output_url;
    }
    return await this.#client.downloadUrl(output_path, options);
  }
}

/** A handle on a job that was just created. */
export class CreatedJob<T extends JobType = JobType> extends JobHandle<T> {
  /** The job's status when it was created: `completed` when it reuses the result of an earlier equal job. */
  readonly status: JobStatus;
  /** Whether it reuses the result of an earlier equal job. */
  readonly cached: boolean;

  /** Use `jobs.create(…)`. */
  constructor(client: AiJobs, id: string, answer: Fields) {
    super(client, id);
    this.status = statusOf(answer);
    this.cached = answer["cached"] === true;
  }
}

function isCompleted<T extends JobType>(job: Job<T>): job is CompletedJob<T> {
  return job.status === "completed" && job.result !== null;
}

function statusOf(answer: Fields): JobStatus {
  return readStatus(answer) ?? "pending";
}

function standingOf(answer: Fields): JobStanding {
  const spend = answer["spend"];
  return {
    status: statusOf(answer),
    spend: spend === "incurred" || spend === "unknown" ? spend : "none",
  };
}

/** The refusal of a field, as a function words it. */
function wrong(field: string, message: string): RequestInvalid {
  return new RequestInvalid(`${field}: ${message}`, {
    code: "invalid_request",
    fields: [{ field, message }],
  });
}

/**
 * An idempotency key. React Native has no `crypto` without a polyfill; the key only has to differ from this user's
 * others.
 */
export function drawKey(): string {
  return globalThis.crypto?.randomUUID?.() ??
    `${Math.random()}-${Math.random()}`;
}

/** The jobs of the user who is signed in at one Supabase client. */
export class AiJobs {
  /** Milliseconds between two reads without Realtime. */
  readonly pollMs: number;
  readonly #supabase: SupabaseClient;
  readonly #deps: WatchDeps;

  /** Use {@link createAiJobs}. */
  constructor(supabase: SupabaseClient, options: AiJobsOptions) {
    this.#supabase = supabase;
    this.pollMs = options.pollMs ?? 2000;
    this.#deps = {
      supabase,
      live: new Live(supabase, options.live ?? true),
      pollMs: this.pollMs,
    };
  }

  /**
   * Uploads a recording or photo straight to Storage.
   *
   * @throws {RequestInvalid} when the bucket does not accept its type or size, {@link NetworkError} or
   *   {@link ServiceUnavailable} when it does not arrive: each request has a minute, and a second more for each 4 kB.
   */
  async upload(file: Blob, options: UploadOptions = {}): Promise<UploadedFile> {
    const { signal, onProgress } = options;
    // A caller without types may pass bytes or nothing.
    if (file?.size === undefined) throw wrong("file", "must be a Blob or File");
    const name = options.name ??
      ((file instanceof File && file.name) || "file");
    const contentType = plainType(options.contentType ?? file.type);
    if (contentType === "") {
      throw wrong("contentType", "is required, such as audio/mpeg");
    }
    const answer = await callFunction(this.#supabase, "create-upload-url", {
      body: {
        bucket: options.bucket ?? "uploads",
        file_name: name,
        content_type: contentType,
        size_bytes: file.size,
      },
      signal,
    });
    const text = (field: string) => String(answer[field]);
    const bucket = text("bucket");
    const path = text("path");
    const target = {
      upload_url: text("upload_url"),
      token: text("token"),
      bucket,
      path,
    };
    await sendFile(target, file, {
      ...options,
      contentType: text("content_type"),
      onProgress: onProgress &&
        ((fraction) => onProgress({ progress: Math.floor(fraction * 100) })),
    });
    return { input_url: text("input_url"), bucket, path };
  }

  /**
   * Creates a job. Resolves with its id as soon as it is accepted. Generates an idempotency key, so that a request
   * whose response is lost is repeated without a second job; pass the same key to several calls to make them one
   * request.
   *
   * @throws {RequestInvalid} with the wrong fields, {@link LimitReached}, {@link NotSignedIn}, {@link Conflict}.
   */
  async create<T extends JobType>(
    request: JobRequest<T>,
    options: CallOptions & { idempotencyKey?: string } = {},
  ): Promise<CreatedJob<T>> {
    const answer = await callFunction(this.#supabase, "create-ai-job", {
      body: { ...request },
      headers: {
        "Idempotency-Key": options.idempotencyKey ?? drawKey(),
      },
      signal: options.signal,
    });
    return new CreatedJob<T>(this, String(answer["job_id"]), answer);
  }

  /** Creates a job and waits for it: see `create` and `wait`. */
  async run<T extends JobType>(
    request: JobRequest<T>,
    options: WaitForOptions & { idempotencyKey?: string } = {},
  ): Promise<CompletedJob<T>> {
    const job = await this.create<T>(request, options);
    return await job.wait(options);
  }

  /** A handle on a job whose id is known, without a request, for example after a reload. */
  job<T extends JobType = JobType>(id: string): JobHandle<T> {
    return new JobHandle<T>(this, id);
  }

  /** One of the user's jobs. @throws {NotFound} */
  async get<T extends JobType = JobType>(
    id: string,
    options: CallOptions = {},
  ): Promise<Job<T>> {
    return readJob<T>(
      await callFunction(
        this.#supabase,
        `get-ai-job?id=${encodeURIComponent(id)}`,
        { signal: options.signal },
      ),
    );
  }

  /** A page of the user's jobs, newest first. `next` is the cursor of the page after it, null on the last. */
  async list<T extends JobType = JobType>(
    options: ListOptions<T> = {},
  ): Promise<{ jobs: Job<T>[]; next: string | null }> {
    const { signal, ...wanted } = options;
    const query = Object.entries(wanted).flatMap(([name, value]) =>
      value === undefined ? [] : `${name}=${encodeURIComponent(value)}`
    ).join("&");
    const answer = await callFunction(
      this.#supabase,
      `list-ai-jobs?${query}`,
      { signal },
    );
    const next = answer["next_cursor"];
    return {
      jobs: listOf(answer["jobs"]).map((row) => readJob<T>(row)),
      next: typeof next === "string" ? next : null,
    };
  }

  /** All jobs of the user, newest first, page by page. */
  async *listAll<T extends JobType = JobType>(
    options: Omit<ListOptions<T>, "cursor"> = {},
  ): AsyncGenerator<Job<T>, void, void> {
    let cursor: string | undefined;
    do {
      const page: { jobs: Job<T>[]; next: string | null } = await this.list<T>({
        limit: 100,
        ...options,
        cursor,
      });
      yield* page.jobs;
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }

  /** See {@link JobHandle.watch}. */
  watch(
    id: string,
    options: WatchOptions = {},
  ): AsyncGenerator<JobEvent, void, void> {
    return watchJob(
      this.#deps,
      id,
      options,
      () => this.get(id, options),
    );
  }

  /** The events of all the user's jobs from now on; those of one job each once and in order. */
  watchAll(options: WatchOptions = {}): AsyncGenerator<JobEvent, void, void> {
    return watchAllJobs(this.#deps, options);
  }

  /** See {@link JobHandle.cancel}. */
  async cancel(id: string, options: CallOptions = {}): Promise<JobStanding> {
    return standingOf(
      await callFunction(this.#supabase, "cancel-ai-job", {
        body: { job_id: id },
        signal: options.signal,
      }),
    );
  }

  /**
   * See {@link JobHandle.retry}. Never repeated automatically: a second request would find a job that has not failed.
   */
  async retry(id: string, options: CallOptions = {}): Promise<JobStanding> {
    return standingOf(
      await callFunction(this.#supabase, "retry-ai-job", {
        body: { job_id: id },
        signal: options.signal,
        isOnce: true,
      }),
    );
  }

  /** A signed URL of one of the user's objects, named as `<bucket>/<path>`. */
  async downloadUrl(
    object: string,
    options: CallOptions & { expiresIn?: number } = {},
  ): Promise<string> {
    const [bucket, ...path] = object.split("/");
    const answer = await callFunction(this.#supabase, "create-download-url", {
      body: {
        bucket,
        path: path.join("/"),
        expires_in: options.expiresIn,
      },
      signal: options.signal,
    });
    return String(answer["download_url"]);
  }

  /**
   * The user who is signed in; undefined while nobody is, or while a refresh of the session fails. With the option
   * `accessToken` of `createClient`, the user at the last time that the channel was opened.
   */
  get userId(): string | undefined {
    return this.#deps.live.userId;
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#deps.live.isClosed;
  }

  /** Leaves the Realtime channel and ends every watch. A pending `wait` rejects with an AbortError. */
  close(): void {
    this.#deps.live.close();
  }
}

/**
 * A client for the user who is signed in at `supabase`. One for each Supabase client is enough, unless that has the
 * option `accessToken`: then one for each user.
 */
export function createAiJobs(
  supabase: SupabaseClient,
  options: AiJobsOptions = {},
): AiJobs {
  return new AiJobs(supabase, options);
}
