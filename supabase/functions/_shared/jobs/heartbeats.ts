/** The heartbeats of all jobs that an isolate runs, in as few calls as possible. */
import type { ClaimedJob } from "../contracts/jobs.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import type { Logger } from "../platform/log.ts";
import { CancelRequested, LeaseLost } from "./outcome.ts";
import type { Beat, JobRepository, Report } from "./repository.ts";

/** The heartbeat of one job. */
export interface Heartbeat {
  /**
   * Reports progress (1 to 99) and stage, in one call with other jobs' reports: immediately, or half a second after the
   * claim or this job's previous report. Of several reports in that time, only the last is sent.
   */
  report(progress: number, stage: string): void;
  /** Sends a pending report now and resolves when it is sent, so that it cannot arrive after a later write. */
  flushed(): Promise<void>;
  /**
   * Removes and returns a pending report, for a write that carries it. Resolves when no call is in flight, so that none
   * can arrive after that write.
   */
  takeReport(): Promise<Report | undefined>;
  /** Whether the lease cannot have expired: a heartbeat succeeded less than its length ago. */
  leaseIsValid(): boolean;
  /** Stops the heartbeat. Resolves when no call is in flight. */
  stop(): Promise<void>;
}

/** For very short leases. */
const MIN_PERIOD_MS = 500;

/** Between two reports of a job. Each report is an event that Realtime sends to every device of the owner. */
const REPORT_PERIOD_MS = 500;

interface Watched {
  job: ClaimedJob;
  onEnd(reason: LeaseLost | CancelRequested): void;
  /** Uptime in milliseconds at which the lease was last known to be extended. */
  extendedAt: number;
  pending: Report | undefined;
  /** Uptime in milliseconds from which the next report may be sent. */
  reportsFrom: number;
  reportTimer: ReturnType<typeof setTimeout> | undefined;
  isEnded: boolean;
}

/**
 * The heartbeats of an isolate.
 *
 * Guarantees: while any job is watched, one call extends all leases at least every third of the shortest lease; if a
 * call for only some of the jobs is in flight then, immediately after it. A beat during a call for all jobs is left out.
 * Reports made during a call are sent together in the next one, at most two a second for each job. `onEnd` is called
 * once: when the lease is lost, when the owner cancels, or when no heartbeat succeeded for the length of the lease (less
 * half a period). The sweep may have requeued the job by then, so a worker that cannot know must stop.
 */
export class Heartbeats {
  readonly #platform: Pick<PlatformDeps, "uptimeMs">;
  readonly #repository: Pick<JobRepository, "heartbeat">;
  readonly #log: Logger;
  readonly #watched = new Map<string, Watched>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #periodMs = Infinity;
  /** Until no call is in flight, and no beat waits for one. */
  #sending: Promise<void> | undefined;
  /** The jobs of the latest call. */
  #sent: readonly Watched[] = [];
  /** Whether a beat waits for the call in flight. */
  #isBeatWaiting = false;

  /** @param platform its `uptimeMs` measures the time since the last successful heartbeat. */
  constructor(
    platform: Pick<PlatformDeps, "uptimeMs">,
    repository: Pick<JobRepository, "heartbeat">,
    log: Logger,
  ) {
    this.#platform = platform;
    this.#repository = repository;
    this.#log = log;
  }

  /** Starts the heartbeat of a claimed job. */
  watch(
    job: ClaimedJob,
    onEnd: (reason: LeaseLost | CancelRequested) => void,
  ): Heartbeat {
    const entry: Watched = {
      job,
      onEnd,
      extendedAt: this.#platform.uptimeMs(),
      pending: undefined,
      // The claim counts as the first report: a report soon after it may travel with another write.
      reportsFrom: this.#platform.uptimeMs() + REPORT_PERIOD_MS,
      reportTimer: undefined,
      isEnded: false,
    };
    this.#shortenPeriod(Math.max(MIN_PERIOD_MS, leaseMs(job) / 3));
    this.#watched.set(job.lease_token, entry);
    return {
      report: (progress, stage) => {
        entry.pending = { progress, stage };
        this.#scheduleReport(entry);
      },
      flushed: async () => {
        while (
          entry.pending !== undefined && this.#watched.has(job.lease_token)
        ) {
          await this.#flush(entry);
        }
        await this.#sending;
      },
      takeReport: async () => {
        await this.#sending;
        return this.#take(entry);
      },
      leaseIsValid: () => !this.#isExpired(entry),
      stop: async () => {
        this.#unwatch(entry);
        await this.#sending;
      },
    };
  }

  /** Never restarts a period that is short enough: otherwise a steady flow of new jobs would delay every heartbeat. */
  #shortenPeriod(periodMs: number): void {
    if (this.#periodMs <= periodMs) return;
    clearInterval(this.#timer);
    // The period that this interrupts may have started up to its whole length ago.
    this.#beat();
    this.#periodMs = periodMs;
    this.#timer = setInterval(() => this.#beat(), periodMs);
  }

  #scheduleReport(entry: Watched): void {
    const wait = entry.reportsFrom - this.#platform.uptimeMs();
    if (wait <= 0) return void this.#flush();
    entry.reportTimer ??= setTimeout(() => {
      entry.reportTimer = undefined;
      void this.#flush();
    }, wait);
  }

  /** The pending report, which the caller sends. */
  #take(entry: Watched): Report | undefined {
    const { pending } = entry;
    if (pending === undefined) return undefined;
    entry.pending = undefined;
    entry.reportsFrom = this.#platform.uptimeMs() + REPORT_PERIOD_MS;
    clearTimeout(entry.reportTimer);
    entry.reportTimer = undefined;
    return pending;
  }

  #unwatch(entry: Watched): void {
    clearTimeout(entry.reportTimer);
    this.#watched.delete(entry.job.lease_token);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#periodMs = Infinity;
  }

  #beat(): void {
    for (const entry of this.#watched.values()) this.#endIfExpired(entry);
    const entries = [...this.#watched.values()];
    if (this.#sending === undefined) {
      if (entries.length > 0) void this.#send(entries);
      return;
    }
    // Reports of some jobs must not cost the others their leases.
    if (entries.some((entry) => !this.#sent.includes(entry))) {
      this.#isBeatWaiting = true;
    }
  }

  #isExpired({ job, extendedAt }: Watched, slackMs = 0): boolean {
    return this.#platform.uptimeMs() - extendedAt >= leaseMs(job) - slackMs;
  }

  #endIfExpired(entry: Watched): void {
    // A timer that fires slightly early must not give a lost job another period.
    if (!this.#isExpired(entry, this.#periodMs / 2)) return;
    this.#log.warn("lease_not_extended", { job_id: entry.job.id });
    this.#end(entry, new LeaseLost());
  }

  /** A cancelled job still needs its lease, to write its ending; a lost lease cannot be extended. */
  #end(entry: Watched, reason: LeaseLost | CancelRequested): void {
    if (reason instanceof LeaseLost) this.#unwatch(entry);
    if (entry.isEnded) return;
    entry.isEnded = true;
    entry.onEnd(reason);
  }

  /** Sends the reports that are due, and that of `urgent` even if it is not. */
  async #flush(urgent?: Watched): Promise<void> {
    await this.#sending;
    const now = this.#platform.uptimeMs();
    const due = [...this.#watched.values()].filter((entry) =>
      entry.pending !== undefined &&
      (entry === urgent || entry.reportsFrom <= now)
    );
    if (due.length > 0) await this.#send(due);
  }

  #send(entries: Watched[]): Promise<void> {
    // One call at a time: a slow database receives fewer heartbeats, not a queue of them.
    this.#sending ??= this.#sendInTurn(entries);
    return this.#sending;
  }

  /** The beat that waits precedes waiting reports, and carries them: neither holds up the other. */
  async #sendInTurn(entries: Watched[]): Promise<void> {
    let next = entries;
    try {
      do {
        this.#isBeatWaiting = false;
        this.#sent = next;
        await this.#call(next);
        next = [...this.#watched.values()];
      } while (this.#isBeatWaiting && next.length > 0);
    } finally {
      this.#sending = undefined;
    }
  }

  async #call(entries: Watched[]): Promise<void> {
    const beats = entries.map((entry): Beat => {
      return { lease: entry.job, ...this.#take(entry) };
    });
    // Measured before the call: the lease runs from when the database wrote it, not from when the response arrived.
    const sentAt = this.#platform.uptimeMs();
    try {
      const alive = await this.#repository.heartbeat(beats);
      for (const entry of entries) {
        if (!this.#watched.has(entry.job.lease_token)) continue;
        const answer = alive.get(entry.job.id);
        if (answer === undefined) this.#end(entry, new LeaseLost());
        else entry.extendedAt = sentAt;
        if (answer?.isCancelRequested) this.#end(entry, new CancelRequested());
      }
    } catch (error) {
      this.#log.warn("heartbeat_failed", { jobs: entries.length, error });
    }
  }
}

/** Both times are the database's, so a wrong clock of the worker does not change the result. */
function leaseMs(job: ClaimedJob): number {
  return Date.parse(job.lease_expires_at) - Date.parse(job.updated_at);
}
