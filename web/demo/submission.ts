/**
 * The sending of a form. It outlives the form, as its draft does: a form that is left while it sends still sends once,
 * and one that is sent again after a lost response creates no second job.
 */
import { signal } from "@preact/signals";
import { drawKey } from "../../client/ai-jobs.ts";
import {
  type AiJobs,
  type CreatedJob,
  isAiJobsError,
  isFinal,
  type JobRequest,
  type JobType,
  type UploadedFile,
} from "../../client/mod.ts";

/** Uploads files, and creates jobs. */
export interface Sender {
  /** Whether its user is still signed in. */
  isCurrent: boolean;
  upload(
    file: File,
    bucket: string,
    onProgress: (percent: number) => void,
  ): Promise<UploadedFile>;
  backend: { jobs: AiJobs };
}

/** The sending of one form, and what remains of it after a failure. */
export class Submission {
  /** Percent of the file that is being uploaded, 0 between files; null when nothing is being sent. */
  readonly sent = signal<number | null>(null);
  /** Why the last one failed, or what is wrong with a choice. */
  readonly problem = signal<string | null>(null);
  /** Whether the user submitted while an input was missing. */
  readonly wasIncomplete = signal(false);
  readonly #sender: Sender;
  readonly #uploads = new Map<File, UploadedFile>();
  readonly #rows = new Map<string, string>();
  readonly #keys = new Map<string, string>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** Removes the message. */
  clear(): void {
    this.wasIncomplete.value = false;
    this.problem.value = null;
  }

  /**
   * Runs `action`, which sends the form with the methods below. Sends nothing while an earlier call is running.
   *
   * @throws what `action` throws. The next call uses what this one has sent, unless the request was refused for good.
   */
  async send(
    action: (submission: Submission) => Promise<unknown>,
  ): Promise<void> {
    if (this.sent.value !== null) return;
    this.sent.value = 0;
    try {
      await action(this);
      this.#forget();
    } catch (error) {
      const isRefused = isAiJobsError(error) && !error.retryable &&
        error.name !== "NotSignedIn";
      if (isRefused) this.#forget();
      throw error;
    } finally {
      this.sent.value = null;
    }
  }

  /** Uploads what `prepare` makes of a file, once. */
  async upload(
    file: File,
    bucket: string,
    prepare: (file: File) => File | Promise<File> = (file) => file,
    onProgress = (percent: number) => {
      this.sent.value = percent;
    },
  ): Promise<UploadedFile> {
    this.#throwIfLeft();
    const uploaded = this.#uploads.get(file) ?? await this.#sender.upload(
      await prepare(file),
      bucket,
      onProgress,
    );
    this.#uploads.set(file, uploaded);
    return uploaded;
  }

  /** Inserts a row, once for the same `content`, and resolves with its id. */
  async insert(
    content: unknown,
    action: () => Promise<string>,
  ): Promise<string> {
    this.#throwIfLeft();
    const text = JSON.stringify(content);
    const id = this.#rows.get(text) ?? await action();
    this.#rows.set(text, id);
    return id;
  }

  /**
   * Creates a job. An equal request has the same idempotency key until the form has been sent, or until its job has
   * failed or was cancelled.
   */
  async create<T extends JobType>(
    request: JobRequest<T>,
  ): Promise<CreatedJob<T>> {
    this.#throwIfLeft();
    const { jobs } = this.#sender.backend;
    const text = JSON.stringify(request);
    const key = this.#keys.get(text);
    if (key !== undefined) {
      const job = await jobs.create<T>(request, { idempotencyKey: key });
      if (job.status === "completed" || !isFinal(job.status)) return job;
    }
    const idempotencyKey = drawKey();
    this.#keys.set(text, idempotencyKey);
    return await jobs.create<T>(request, { idempotencyKey });
  }

  /** What one user has begun must not continue in the session of another. */
  #throwIfLeft(): void {
    if (!this.#sender.isCurrent) throw new Error("the user has signed out");
  }

  #forget(): void {
    this.#uploads.clear();
    this.#rows.clear();
    this.#keys.clear();
  }
}
