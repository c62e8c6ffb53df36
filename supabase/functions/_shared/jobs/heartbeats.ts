/** The heartbeats of all jobs that an isolate has in hand, in as few calls as possible. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import type { Logger } from "../platform/log.ts";
import { CancelRequested, LeaseLost } from "./outcome.ts";
import type { Beat, JobRepository } from "./repository.ts";

/** The heartbeat of one job. */
export interface Heartbeat {
  /** Reports progress (1 to 99) and stage soon, together with what others report; the newest report counts. */
  report(progress: number, stage: string): void;
  /** Resolves when what was reported has been sent, so that a write that follows is not overtaken by it. */
  sent(): Promise<void>;
  /** No more heartbeats. Resolves when none is on its way. */
  stop(): Promise<void>;
}

interface Watched {
  job: ClaimedJob;
  onEnd(reason: LeaseLost | CancelRequested): void;
  /** Uptime in milliseconds at which the lease was last known to be extended. */
  aliveAt: number;
  pending: { progress: number; stage: string } | undefined;
}

/**
 * The heartbeats of an isolate.
 *
 * Guarantees: while any job is watched, all leases are extended at least every third of the shortest one, by one call;
 * reports that come while a call is under way travel together in the next; `onEnd` is called once when the job turns
 * out to be lost, or its owner asks for it to be cancelled, or when no heartbeat has come through for the length of the
 * lease: the sweep may have given the job to somebody else by then, and a worker that cannot know must stop.
 */
export class Heartbeats {
  readonly #platform: Pick<PlatformDeps, "uptimeMs">;
  readonly #repository: Pick<JobRepository, "heartbeat">;
  readonly #log: Logger;
  readonly #watched = new Map<string, Watched>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #sending: Promise<void> | undefined;

  /** @param platform its `uptimeMs` measures how long no heartbeat has come through. */
  constructor(
    platform: Pick<PlatformDeps, "uptimeMs">,
    repository: Pick<JobRepository, "heartbeat">,
    log: Logger,
  ) {
    this.#platform = platform;
    this.#repository = repository;
    this.#log = log;
  }

  /** Begins the heartbeat of a claimed job. */
  watch(
    job: ClaimedJob,
    onEnd: (reason: LeaseLost | CancelRequested) => void,
  ): Heartbeat {
    const entry: Watched = {
      job,
      onEnd,
      aliveAt: this.#platform.uptimeMs(),
      pending: undefined,
    };
    this.#watched.set(job.lease_token, entry);
    this.#setTimer();
    return {
      report: (progress, stage) => {
        entry.pending = { progress, stage };
        void this.#flush();
      },
      sent: async () => {
        while (entry.pending !== undefined) await this.#flush();
        await this.#sending;
      },
      stop: async () => {
        this.#watched.delete(job.lease_token);
        this.#setTimer();
        await this.#sending;
      },
    };
  }

  #setTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#watched.size === 0) return;
    const shortest = Math.min(
      ...[...this.#watched.values()].map(({ job }) => leaseMs(job)),
    );
    this.#timer = setInterval(() => {
      for (const entry of this.#watched.values()) this.#endIfSilent(entry);
      void this.#send([...this.#watched.values()]);
    }, Math.max(500, shortest / 3));
  }

  #endIfSilent({ job, aliveAt, onEnd }: Watched): void {
    if (this.#platform.uptimeMs() - aliveAt < leaseMs(job)) return;
    this.#log.warn("lease_not_extended", { job_id: job.id });
    onEnd(new LeaseLost());
  }

  async #flush(): Promise<void> {
    await this.#sending;
    const due = [...this.#watched.values()].filter(({ pending }) =>
      pending !== undefined
    );
    if (due.length > 0) await this.#send(due);
  }

  #send(entries: Watched[]): Promise<void> {
    // One call at a time: a slow database gets fewer heartbeats, not a queue of them.
    this.#sending ??= this.#call(entries).finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  async #call(entries: Watched[]): Promise<void> {
    const beats = entries.map((entry): Beat => {
      const beat = { lease: entry.job, ...entry.pending };
      entry.pending = undefined;
      return beat;
    });
    // Before the answer: the lease runs from when the database wrote it, not from when we heard of it.
    const sentAt = this.#platform.uptimeMs();
    try {
      const alive = await this.#repository.heartbeat(beats);
      for (const entry of entries) {
        const { job, onEnd } = entry;
        if (!this.#watched.has(job.lease_token)) continue;
        const answer = alive.get(job.id);
        if (answer === undefined) onEnd(new LeaseLost());
        else entry.aliveAt = sentAt;
        if (answer?.isCancelRequested) onEnd(new CancelRequested());
      }
    } catch (error) {
      this.#log.warn("heartbeat_failed", { jobs: entries.length, error });
    }
  }
}

/** Both times are the database's, so this is the lease's length whatever the worker's clock shows. */
function leaseMs(job: ClaimedJob): number {
  return Date.parse(job.lease_expires_at) - Date.parse(job.updated_at);
}
