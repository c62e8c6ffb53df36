/**
 * State outside components: components that show the same data share one store, which is active while any of them is
 * mounted.
 */
import { pause } from "./abort.ts";
import { type AiJobs, drawKey } from "./ai-jobs.ts";
import { isAiJobsError } from "./errors.ts";
import { isFinal, type Job, type JobEvent, type JobType } from "./job-types.ts";
import type { Connection } from "./watch.ts";

/** How long a store stays active without a component, because StrictMode and page changes remount immediately. */
const LINGER_MS = 1000;
/** Components render at most once in this time, however many events arrive. */
const FRAME_MS = 16;
const RETRY_MS = 5000;

/** The state that every store has. */
export interface Following {
  /** How events arrive; `polling` until the channel is joined. */
  connection: Connection;
  /** Why the state is not kept up to date, or why the last action was refused; null when all is well. */
  error: Error | null;
}

/** What a component subscribes to: the arguments of `useSyncExternalStore`. */
export interface Source<S, M> {
  subscribe(listener: () => void): () => void;
  getSnapshot(): S;
  /** The store, while it is active. */
  find(): M | undefined;
}

/** The part of the DOM that is used here. React Native has none. */
declare const document: {
  readonly visibilityState: string;
  addEventListener(type: "visibilitychange", listener: () => void): void;
  removeEventListener(type: "visibilitychange", listener: () => void): void;
} | undefined;

/** Follows an object of the server and keeps its newest state. */
export abstract class Store<S extends Following> {
  readonly #listeners = new Set<() => void>();
  #state: S;
  #next: S;
  #frame: ReturnType<typeof setTimeout> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #run: AbortController | undefined;
  #isStopped = false;
  /** Why the last action was refused. */
  #refusal: Error | null = null;

  constructor(initial: S) {
    this.#state = initial;
    this.#next = initial;
  }

  /** What components show; the same object until something changes. */
  get state(): S {
    return this.#state;
  }

  /**
   * Follows until the signal is aborted, or to the end of what can be followed. A rejection becomes the error of the
   * state.
   */
  protected abstract follow(signal: AbortSignal): Promise<unknown>;

  /**
   * Adds a listener; the first one starts the store. The returned function removes it; `stopped` is called once the
   * store has stopped.
   */
  listen(listener: () => void, stopped: () => void): () => void {
    clearTimeout(this.#linger);
    this.#listeners.add(listener);
    if (this.#run === undefined) {
      this.restart();
      if (typeof document !== "undefined") {
        document.addEventListener("visibilitychange", this.#onVisibility);
      }
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#linger = setTimeout(() => {
        this.#stop();
        stopped();
      }, LINGER_MS);
    };
  }

  /** Resumes following from the current position, and clears the error. Does nothing once the store has stopped. */
  readonly restart = (): void => {
    // Nothing would ever stop it again.
    if (this.#isStopped) return;
    this.#run?.abort();
    const run = this.#run = new AbortController();
    if (this.#next.error !== null) this.fail(null);
    this.follow(run.signal).catch((error: unknown) => {
      if (run.signal.aborted) return;
      run.abort();
      this.fail(error);
    });
  };

  /** Runs a user's action on the server. Never rejects: a refusal becomes the error of the state. */
  async act(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      // Why the state is not kept up to date is still true.
      if (this.#refusal !== null && this.#next.error === this.#refusal) {
        this.fail(null);
      }
    } catch (error) {
      this.#refusal = toError(error);
      this.fail(this.#refusal);
    }
  }

  /** Changes the state; components are notified within a frame. */
  protected set(change: Partial<S>): void {
    this.#replace({ ...this.#next, ...change });
  }

  protected readonly setConnection = (connection: Connection): void =>
    this.#replace({ ...this.#next, connection });

  /**
   * Resolves with what `read` returns; retries while it fails with a temporary error, which is the error of the state
   * until then. Rejects on any other error.
   */
  protected async readWithRetries<R>(
    read: () => Promise<R>,
    signal: AbortSignal,
  ): Promise<R> {
    let reported: Error | undefined;
    for (;;) {
      try {
        const result = await read();
        if (reported !== undefined && this.#next.error === reported) {
          this.fail(null);
        }
        return result;
      } catch (error) {
        if (signal.aborted || !isAiJobsError(error) || !error.retryable) {
          throw error;
        }
        this.fail(reported = error);
        await pause(RETRY_MS, signal);
      }
    }
  }

  protected fail(error: unknown): void {
    this.#replace({ ...this.#next, error: toError(error) });
  }

  #replace(next: S): void {
    this.#next = next;
    this.#frame ??= setTimeout(() => {
      this.#frame = undefined;
      this.#state = this.#next;
      for (const listener of [...this.#listeners]) listener();
    }, FRAME_MS);
  }

  #stop(): void {
    this.#isStopped = true;
    this.#run?.abort();
    clearTimeout(this.#frame);
    if (typeof document !== "undefined") {
      document.removeEventListener("visibilitychange", this.#onVisibility);
    }
  }

  /** A page that was hidden may have slept. */
  readonly #onVisibility = (): void => {
    if (document?.visibilityState === "visible") this.restart();
  };
}

/** The active stores of one kind, by client, and by user and what they follow. */
export class Stores<K, S extends Following, M extends Store<S>> {
  readonly #atWork = new WeakMap<AiJobs, Map<string, M>>();
  readonly #initial: S;
  readonly #create: (jobs: AiJobs, key: K) => M;

  constructor(initial: S, create: (jobs: AiJobs, key: K) => M) {
    this.#initial = initial;
    this.#create = create;
  }

  /**
   * All sources of equal keys that one user created share one store; those of an unknown user share none. Creating a
   * source costs nothing: the store starts with the first subscriber.
   */
  source(jobs: AiJobs, key: K): Source<S, M> {
    // When another user signs in, the store of the one before may still be active.
    const name = JSON.stringify([jobs.userId ?? drawKey(), key]);
    const find = () => this.#atWork.get(jobs)?.get(name);
    return {
      find,
      getSnapshot: () => find()?.state ?? this.#initial,
      subscribe: (listener) => {
        const stores = this.#atWork.get(jobs) ?? new Map<string, M>();
        this.#atWork.set(jobs, stores);
        const store = stores.get(name) ?? this.#create(jobs, key);
        stores.set(name, store);
        return store.listen(listener, () => stores.delete(name));
      },
    };
  }
}

/** Any thrown value as an error. */
export function toError(error: unknown): Error | null {
  return error === null || error instanceof Error
    ? error
    : new Error(String(error));
}

/**
 * Reads places in the queue again while `waits`, at a third of the rate of polling: no event reports that jobs of other
 * users were claimed. Rejects with the reason of the signal.
 */
export async function followPlaces(
  { pollMs }: AiJobs,
  waits: () => boolean,
  read: () => Promise<unknown>,
  signal: AbortSignal,
): Promise<never> {
  for (;;) {
    await pause(3 * pollMs, signal);
    if (waits()) await read();
  }
}

/** The job updated by an event; the job unchanged when it was read after the event. */
export function withEvent<T extends JobType>(
  job: Job<T>,
  { event, attempt, status, progress, stage, error_code, created_at }: JobEvent,
): Job<T> {
  if (
    status === undefined || Date.parse(created_at) < Date.parse(job.updated_at)
  ) return job;
  return {
    ...job,
    status,
    progress_percentage: progress ?? job.progress_percentage,
    stage: stage ?? null,
    error_code: error_code ?? null,
    jobs_ahead: status === "pending" ? job.jobs_ahead : null,
    attempt: attempt || job.attempt,
    spend: event === "submitted" && job.spend === "none"
      ? "unknown"
      : job.spend,
    cancel_requested_at: event === "cancel_requested"
      ? created_at
      : job.cancel_requested_at,
  };
}

/**
 * Whether the row has what an event does not report: the result, the place in the queue, fields that a list omits, or
 * whether a paid call that had no success was the only one.
 */
export function isInRow({ event, outcome }: JobEvent): boolean {
  return isFinal(event) || event === "unblocked" ||
    event === "retry_requested" ||
    (event === "settled" && (outcome === "rejected" || outcome === "absent"));
}

/** Whether the job no longer exists. */
export function isGone(error: unknown): boolean {
  return isAiJobsError(error) && error.name === "NotFound";
}
