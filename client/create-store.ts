/** The state of a form that creates a job. */
import { type AiJobs, type CreatedJob, drawKey } from "./ai-jobs.ts";
import { isAiJobsError } from "./errors.ts";
import type { JobRequest, JobType } from "./job-types.ts";
import { toError } from "./store.ts";

/** The state of the creation of a job. */
export interface Creation {
  /** Null until the job is accepted. */
  jobId: string | null;
  isCreating: boolean;
  error: Error | null;
}

/** Before anything was sent, and on a server. */
export const NOT_CREATING: Creation = {
  jobId: null,
  isCreating: false,
  error: null,
};

/** Creates one job at a time for one component. */
export class CreateStore<T extends JobType> {
  readonly #listeners = new Set<() => void>();
  #state = NOT_CREATING;
  #sending: Promise<CreatedJob<T> | undefined> | undefined;
  /** The request and its key: when its response is lost, it is sent again with the same key. */
  #request: { text: string; key: string } | undefined;

  /** For `useSyncExternalStore`. */
  readonly subscribe = (listener: () => void): () => void => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** For `useSyncExternalStore`. */
  readonly getSnapshot = (): Creation => this.#state;

  /** Resets the state. A job that is still being created will not appear in it. */
  readonly reset = (): void => {
    this.#sending = undefined;
    this.#request = undefined;
    this.#set(NOT_CREATING);
  };

  /** Creates a job; resolves with undefined when that fails. */
  create(
    jobs: AiJobs,
    request: JobRequest<T>,
  ): Promise<CreatedJob<T> | undefined> {
    if (this.#sending !== undefined) return this.#sending;
    const sending = this.#send(jobs, request, () => this.#sending === sending);
    return this.#sending = sending;
  }

  async #send(
    jobs: AiJobs,
    request: JobRequest<T>,
    isCurrent: () => boolean,
  ): Promise<CreatedJob<T> | undefined> {
    const text = JSON.stringify(request);
    if (this.#request?.text !== text) this.#request = { text, key: drawKey() };
    const { key } = this.#request;
    this.#set({ ...this.#state, isCreating: true, error: null });
    let job: CreatedJob<T> | undefined;
    let error: unknown = null;
    try {
      job = await jobs.create<T>(request, { idempotencyKey: key });
    } catch (thrown) {
      error = thrown;
    }
    if (isCurrent()) {
      this.#sending = undefined;
      // After a new sign-in, too, the equal request is the same one.
      const isOpen = isAiJobsError(error) &&
        (error.retryable || error.name === "NotSignedIn");
      if (!isOpen) this.#request = undefined;
      this.#set({
        jobId: job?.id ?? this.#state.jobId,
        isCreating: false,
        error: toError(error),
      });
    }
    return job;
  }

  #set(state: Creation): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener();
  }
}
