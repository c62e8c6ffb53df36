/** The state of a list of jobs, newest first, for components that show it. */
import { pause } from "./abort.ts";
import type { AiJobs } from "./ai-jobs.ts";
import {
  type Job,
  type JobEvent,
  type JobStatus,
  type JobType,
} from "./job-types.ts";
import {
  type Following,
  followPlaces,
  isGone,
  isInRow,
  Store,
  Stores,
  withEvent,
} from "./store.ts";

/** Delay before a new job that cannot be read yet is read again; doubles each time. */
const UNSEEN_MS = 500;
const MAX_UNSEEN_MS = 4000;

/** Which jobs a list contains. */
export interface ListedJobs<T extends JobType = JobType> {
  status?: JobStatus | undefined;
  job_type?: T | undefined;
  /** Jobs of a page, 100 at most; 20 by default. */
  limit?: number | undefined;
}

/** A list of jobs as a component shows it. */
export interface AiJobsState<T extends JobType = JobType> extends Following {
  /** Newest first, each with its current progress. */
  jobs: readonly Job<T>[];
  /** Whether the first page has not been read yet. */
  isLoading: boolean;
  /** Whether `loadMore` has more to load. */
  hasMore: boolean;
}

/** The state before the first read, and on a server. */
export const NO_JOBS: AiJobsState = {
  jobs: [],
  isLoading: true,
  hasMore: false,
  connection: "polling",
  error: null,
};

const PAGE = 20;

const hasPlace = ({ jobs_ahead }: Job) => typeof jobs_ahead === "number";

/** Follows a list. */
export class ListStore extends Store<AiJobsState> {
  readonly #jobs: AiJobs;
  readonly #wanted: ListedJobs;
  #rows = new Map<string, Job>();
  #next: string | null = null;
  /** The newest event of each job whose row is being read. */
  readonly #reading = new Map<string, JobEvent>();
  /** The newest event of each job since the list was last read, null once the job is gone: a page may be older. */
  readonly #news = new Map<string, JobEvent | null>();
  #loading: Promise<void> | undefined;

  constructor(jobs: AiJobs, wanted: ListedJobs) {
    super(NO_JOBS);
    this.#jobs = jobs;
    this.#wanted = wanted;
  }

  /** Adds the next page. Two simultaneous calls add one. */
  loadMore(): Promise<void> {
    return this.#loading ??= this.act(async () => {
      if (this.#next === null) return;
      const rows = this.#rows;
      const page = await this.#page(this.#next);
      // The list may have been reloaded in the meantime and end elsewhere.
      if (rows !== this.#rows) return;
      this.#addPage(rows, page.jobs);
      this.#next = page.next;
      this.#show();
    }).finally(() => this.#loading = undefined);
  }

  protected override follow(signal: AbortSignal): Promise<unknown> {
    // Listens before it reads, so that no event is missed between the two.
    const places = followPlaces(
      this.#jobs,
      () => [...this.#rows.values()].some(hasPlace),
      () => this.#readPlaces(signal),
      signal,
    );
    return Promise.all([this.#watch(signal), this.#read(signal), places]);
  }

  async #readPlaces(signal: AbortSignal): Promise<void> {
    const { jobs } = await this.readWithRetries(
      () => this.#jobs.list({ status: "pending", limit: 100, signal }),
      signal,
    );
    for (const { id, jobs_ahead } of jobs) {
      const row = this.#rows.get(id);
      if (row?.status === "pending") this.#rows.set(id, { ...row, jobs_ahead });
    }
    this.#show();
  }

  async #page(cursor: string | null, signal?: AbortSignal) {
    const { status, job_type, limit = PAGE } = this.#wanted;
    return await this.#jobs.list({
      limit,
      ...(status === undefined ? {} : { status }),
      ...(job_type === undefined ? {} : { job_type }),
      ...(cursor === null ? {} : { cursor }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Adds the rows of a page to `to`, updated by what happened while it was being read. */
  #addPage(to: Map<string, Job>, jobs: readonly Job[]): void {
    for (const job of jobs) {
      const held = this.#rows.get(job.id);
      const event = this.#news.get(job.id);
      if (event === null) continue;
      const isOlder = held !== undefined &&
        Date.parse(job.updated_at) < Date.parse(held.updated_at);
      const row = isOlder ? held : job;
      to.set(job.id, event === undefined ? row : withEvent(row, event));
    }
  }

  /** Reads as many pages as are shown. */
  async #read(signal: AbortSignal): Promise<void> {
    this.#news.clear();
    const rows = new Map<string, Job>();
    const pages: Job[] = [];
    let next: string | null = null;
    do {
      const page = await this.readWithRetries(
        () => this.#page(next, signal),
        signal,
      );
      pages.push(...page.jobs);
      next = page.next;
    } while (next !== null && pages.length < this.#rows.size);
    this.#addPage(rows, pages);
    for (const [id, event] of this.#news) {
      const held = this.#rows.get(id);
      // A new job, which the pages do not have yet.
      if (event !== null && held !== undefined && !rows.has(id)) {
        rows.set(id, held);
      }
    }
    this.#rows = rows;
    this.#next = next;
    this.set({ isLoading: false });
    this.#show();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const events = this.#jobs.watchAll({
      signal,
      onConnection: this.setConnection,
    });
    for await (const event of events) {
      this.#news.set(event.job_id, event);
      const row = this.#rows.get(event.job_id);
      const isReading = this.#reading.has(event.job_id);
      if (isReading) this.#reading.set(event.job_id, event);
      if (row !== undefined) {
        this.#rows.set(row.id, withEvent(row, event));
        this.#show();
      }
      const isNew = row === undefined &&
        (event.event === "created" || event.status === this.#wanted.status);
      if (!isReading && (isNew || isInRow(event))) {
        this.#readJob(event, signal).catch((error: unknown) => {
          if (!signal.aborted) this.fail(error);
        });
      }
    }
  }

  async #readJob(event: JobEvent, signal: AbortSignal): Promise<void> {
    const id = event.job_id;
    this.#reading.set(id, event);
    try {
      let known: JobEvent;
      let last = event;
      do {
        known = last;
        const job = await this.readWithRetries(
          () => this.#readReported(event, signal),
          signal,
        );
        last = this.#reading.get(id) ?? known;
        this.#rows.set(id, withEvent(job, last));
        // What only the row has may have changed after it was read.
      } while (last !== known && isInRow(last));
    } catch (error) {
      if (!isGone(error)) throw error;
      this.#rows.delete(id);
      this.#news.set(id, null);
    } finally {
      this.#reading.delete(id);
    }
    this.#show();
  }

  /**
   * Realtime may report a new job a moment before other connections see it, so it is read again before it counts as
   * deleted.
   */
  async #readReported(
    { job_id, event }: JobEvent,
    signal: AbortSignal,
  ): Promise<Job> {
    for (let wait = UNSEEN_MS;; wait *= 2) {
      try {
        return await this.#jobs.get(job_id, { signal });
      } catch (error) {
        const isNew = event === "created" && isGone(error);
        if (!isNew || wait > MAX_UNSEEN_MS) throw error;
      }
      await pause(wait, signal);
    }
  }

  #show(): void {
    const { status, job_type } = this.#wanted;
    const jobs = [...this.#rows.values()]
      .filter((job) =>
        (status === undefined || job.status === status) &&
        (job_type === undefined || job.job_type === job_type)
      )
      .sort((a, b) =>
        Date.parse(b.created_at) - Date.parse(a.created_at) ||
        (a.id < b.id ? 1 : -1)
      );
    this.set({ jobs, hasMore: this.#next !== null });
  }
}

/** The lists that components show. */
export const listStores: Stores<ListedJobs, AiJobsState, ListStore> =
  new Stores(NO_JOBS, (jobs, wanted) => new ListStore(jobs, wanted));
