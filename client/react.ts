"use client";
/** Hooks for React 18 and newer: `edge-ai-jobs/react`. */
import {
  useCallback,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import type { AiJobs, CreatedJob } from "./ai-jobs.ts";
import { CreateStore, NOT_CREATING } from "./create-store.ts";
import {
  type AiJobState,
  type JobStore,
  jobStores,
  NO_JOB,
} from "./job-store.ts";
import type { JobRequest, JobType } from "./job-types.ts";
import {
  type AiJobsState,
  type ListedJobs,
  listStores,
  NO_JOBS,
} from "./list-store.ts";
import type { Source } from "./store.ts";

export type { AiJobsState, AiJobState, ListedJobs };

/** What `useAiJob` returns. The functions stay the same between renders, and never reject: see `error`. */
export interface UseAiJob<T extends JobType = JobType> extends AiJobState<T> {
  /** Cancels the job. */
  cancel(): Promise<void>;
  /** Runs a failed job again and follows it. */
  retry(): Promise<void>;
  /** Reads again and resumes following, after an error. */
  refresh(): void;
}

/** What `useAiJobs` returns. The functions stay the same between renders, and never reject: see `error`. */
export interface UseAiJobs<T extends JobType = JobType> extends AiJobsState<T> {
  /** Adds the next page. */
  loadMore(): Promise<void>;
  /** Reads again and resumes following, after an error. */
  refresh(): void;
}

/** What `useCreateAiJob` returns. */
export interface UseCreateAiJob<T extends JobType> {
  /**
   * Creates a job and follows it. Resolves with its handle, or with undefined when the request was refused; `error`
   * says why. While one is being created, a second call waits for the same job. After a lost response, an equal call
   * repeats the request and creates no second job.
   */
  create(input: JobInput<T>): Promise<CreatedJob<T> | undefined>;
  /** Null until the job is accepted. */
  jobId: string | null;
  /** The created job, as `useAiJob` returns it. */
  job: AiJobState<T>["job"];
  events: AiJobState<T>["events"];
  connection: AiJobState<T>["connection"];
  /** Whether a request is in progress. */
  isCreating: boolean;
  /** Why the job was not created, or why it cannot be followed. */
  error: Error | null;
  cancel(): Promise<void>;
  retry(): Promise<void>;
  /** Forgets the job, to make room for the next one. The job itself continues. */
  reset(): void;
}

/** A request without its type. */
export type JobInput<T extends JobType> = T extends JobType
  ? Omit<JobRequest<T>, "job_type">
  : never;

/** A store that nothing is subscribed to. */
const NOTHING: Source<AiJobState, JobStore> = {
  find: () => undefined,
  getSnapshot: () => NO_JOB,
  subscribe: () => () => {},
};

/** Only the caller knows the type of the job. */
function isOfType<T extends JobType>(
  state: object,
): state is AiJobState<T> {
  return "job" in state;
}

/** The list of a filter by type has only jobs of that type. */
function isListOfType<T extends JobType>(
  state: object,
): state is AiJobsState<T> {
  return "jobs" in state;
}

function hasType<T extends JobType>(
  request: object,
): request is JobRequest<T> {
  return "job_type" in request;
}

/** The last user who was known: while a refresh fails, the session has no token although nobody has signed out. */
function useUserId(jobs: AiJobs): string | undefined {
  const last = useRef(jobs.userId);
  last.current = jobs.userId ?? last.current;
  return last.current;
}

/**
 * Follows a job, live where Realtime is available. `null` follows nothing. Components that show the same job share one
 * watch, and all of one client share one channel.
 */
export function useAiJob<T extends JobType = JobType>(
  jobs: AiJobs,
  id: string | null,
): UseAiJob<T> {
  const userId = useUserId(jobs);
  const source = useMemo(
    () => id === null ? NOTHING : jobStores.source(jobs, id),
    [jobs, userId, id],
  );
  const state: object = useSyncExternalStore(
    source.subscribe,
    source.getSnapshot,
    () => NO_JOB,
  );
  const actions = useMemo(() => ({
    cancel: async () => await source.find()?.cancel(),
    retry: async () => await source.find()?.retry(),
    refresh: () => source.find()?.restart(),
  }), [source]);
  if (!isOfType<T>(state)) throw new TypeError("not a job");
  return { ...state, ...actions };
}

/** Creates a job and follows it, for a form or a button. */
export function useCreateAiJob<T extends JobType>(
  jobs: AiJobs,
  jobType: T,
): UseCreateAiJob<T> {
  const [store] = useState(() => new CreateStore<T>());
  const creation = useSyncExternalStore(
    store.subscribe,
    store.getSnapshot,
    () => NOT_CREATING,
  );
  const create = useCallback((input: JobInput<T>) => {
    const request: object = { ...input, job_type: jobType };
    if (!hasType<T>(request)) throw new TypeError("not a request");
    return store.create(jobs, request);
  }, [store, jobs, jobType]);
  const { refresh: _, ...following } = useAiJob<T>(jobs, creation.jobId);
  return {
    ...following,
    ...creation,
    error: creation.error ?? following.error,
    create,
    reset: store.reset,
  };
}

/**
 * Follows a list of the user's jobs, newest first: new ones appear, and each shows its progress. A `job_type` in the
 * filter is also the type of the jobs.
 */
export function useAiJobs<T extends JobType = JobType>(
  jobs: AiJobs,
  wanted: ListedJobs<T> = {},
): UseAiJobs<T> {
  const { status, job_type, limit } = wanted;
  const userId = useUserId(jobs);
  const source = useMemo(
    () => listStores.source(jobs, { status, job_type, limit }),
    [jobs, userId, status, job_type, limit],
  );
  const state: object = useSyncExternalStore(
    source.subscribe,
    source.getSnapshot,
    () => NO_JOBS,
  );
  const actions = useMemo(() => ({
    loadMore: async () => await source.find()?.loadMore(),
    refresh: () => source.find()?.restart(),
  }), [source]);
  if (!isListOfType<T>(state)) throw new TypeError("not a list");
  return { ...state, ...actions };
}
