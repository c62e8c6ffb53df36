/** The state of one job, for components that show it. */
import type { AiJobs } from "./ai-jobs.ts";
import type { Job, JobEvent, JobType } from "./job-types.ts";
import {
  type Following,
  followPlaces,
  isInRow,
  Store,
  Stores,
  withEvent,
} from "./store.ts";

/** A job as a component shows it. */
export interface AiJobState<T extends JobType = JobType> extends Following {
  /**
   * The job with its current progress; its result and output follow as soon as it is completed. Null until it is read.
   */
  job: Job<T> | null;
  /** The timeline so far, in order. */
  events: readonly JobEvent[];
}

/** The state before the first read, and on a server. */
export const NO_JOB: AiJobState = {
  job: null,
  events: [],
  connection: "polling",
  error: null,
};

/** Follows one job. */
export class JobStore extends Store<AiJobState> {
  readonly #jobs: AiJobs;
  readonly #id: string;
  #job: Job | null = null;
  #events: readonly JobEvent[] = [];

  constructor(jobs: AiJobs, id: string) {
    super(NO_JOB);
    this.#jobs = jobs;
    this.#id = id;
  }

  /** Cancels the job. */
  cancel(): Promise<void> {
    return this.act(() => this.#jobs.cancel(this.#id));
  }

  /** Runs a failed job again and follows it. */
  retry(): Promise<void> {
    return this.act(async () => {
      try {
        await this.#jobs.retry(this.#id);
      } finally {
        // A refusal, or no response, may mean that it runs already.
        this.restart();
      }
    });
  }

  protected override follow(signal: AbortSignal): Promise<unknown> {
    const places = followPlaces(
      this.#jobs,
      () => typeof this.#job?.jobs_ahead === "number",
      () => this.#read(signal),
      signal,
    );
    return Promise.race([
      Promise.all([this.#read(signal), this.#watch(signal)]),
      places,
    ]);
  }

  async #read(signal: AbortSignal): Promise<void> {
    const job = await this.readWithRetries(
      () => this.#jobs.get(this.#id, { signal }),
      signal,
    );
    const isOld = this.#job !== null &&
      Date.parse(job.updated_at) < Date.parse(this.#job.updated_at);
    if (isOld) return;
    const last = this.#events.at(-1);
    this.#show(last === undefined ? job : withEvent(job, last));
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const events = this.#jobs.watch(this.#id, {
      after: this.#events.at(-1)?.seq,
      signal,
      onConnection: this.setConnection,
    });
    for await (const event of events) {
      this.#events = [...this.#events, event];
      this.#show(this.#job && withEvent(this.#job, event));
      if (isInRow(event)) await this.#read(signal);
    }
  }

  #show(job: Job | null): void {
    this.#job = job;
    this.set({ job, events: this.#events });
  }
}

/** The jobs that components show. */
export const jobStores: Stores<string, AiJobState, JobStore> = new Stores(
  NO_JOB,
  (jobs, id) => new JobStore(jobs, id),
);
