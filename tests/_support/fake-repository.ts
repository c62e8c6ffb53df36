/**
 * The queue in memory, with the rules of the SQL functions: fencing by lease token, attempts, schedules, and the journal
 * of paid calls. The database ring tests the SQL itself.
 */
import type { JobFailure } from "../../supabase/functions/_shared/failures/job-failure.ts";
import type {
  ClaimedJob,
  Dependency,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import { AppError } from "../../supabase/functions/_shared/failures/app-error.ts";
import type { Completion } from "../../supabase/functions/_shared/jobs/outcome.ts";
import type {
  Beat,
  BegunCall,
  CallIntent,
  CallSettlement,
  CompletionExtras,
  JobRepository,
  Lease,
  Report,
} from "../../supabase/functions/_shared/jobs/repository.ts";
import { FakeJournal } from "./fake-journal.ts";

/** The columns of a job that a test may set. */
export interface JobValues {
  readonly userId: string;
  readonly jobType: string;
  readonly inputUrl: string;
  readonly inputHash: string | null;
  readonly metadata: Record<string, unknown>;
  readonly maxAttempts: number;
  readonly dependsOn: string | null;
}

const JOB: JobValues = {
  userId: "00000000-0000-4000-8000-0000000000aa",
  jobType: "voice_clone",
  inputUrl: "voice-samples/00000000-0000-4000-8000-0000000000aa/7/a.mp3",
  inputHash: null,
  metadata: { voice_name: "Grandma" },
  maxAttempts: 5,
  dependsOn: null,
};

/** A row of `ai_jobs`, as far as the queue functions use it. Times are milliseconds of the fake's own clock. */
export interface FakeJob extends JobValues {
  readonly id: string;
  status: "pending" | "processing" | "completed" | "failed" | "cancelled";
  attempt: number;
  progress: number;
  stage: string | null;
  scheduledAt: number;
  startedAt: number | null;
  leaseToken: string | null;
  leaseExpiresAt: number | null;
  errorCode: string | null;
  errorMessage: string | null;
  completion: Completion | null;
  cachedFrom: string | null;
  isCancelRequested: boolean;
}

/** Runs before and after the effect of each call. Its errors are thrown to the caller, and it is awaited. */
export type Interruption = (
  method: keyof JobRepository,
  phase: "before" | "after",
) => void | Promise<void>;

/** The queue. Its clock only moves when it is advanced. */
export class FakeRepository implements JobRepository {
  readonly jobs = new Map<string, FakeJob>();
  readonly journal: FakeJournal;
  /** All calls, in order. */
  readonly calls: (keyof JobRepository)[] = [];
  /** Calls that had an effect: those with a valid lease. */
  readonly effects: (keyof JobRepository)[] = [];
  /** The size of each heartbeat, in order. */
  readonly beats: number[] = [];
  /** The extras of all completions, in order. */
  readonly extras: CompletionExtras[] = [];
  /** The reports that were sent along when a paid call began, in order. */
  readonly carried: Report[] = [];
  /** The polls that inserts rely on. */
  readonly polls = new Set<string>();
  /** The job that the result cache names for a claimed job. */
  cached: string | null = null;
  interrupt: Interruption = () => {};
  /** Corrections of usage, in order. */
  readonly revised: { jobId: string; operation: string; units: number }[] = [];
  /** Whether the owner's budget is used up. */
  overBudget: "over_budget" | "over_provider_budget" | null = null;
  readonly #receipts = new Set<string>();
  readonly #policy: { leaseSeconds: number; backoffBaseSeconds: number };
  #now = 0;
  #ids = 0;

  /** @param policy as in `ai_job_types`, in seconds. */
  constructor(
    policy: {
      leaseSeconds?: number;
      reconcileSeconds?: number;
      backoffBaseSeconds?: number;
    } = {},
  ) {
    this.#policy = { leaseSeconds: 10, backoffBaseSeconds: 2, ...policy };
    this.journal = new FakeJournal((policy.reconcileSeconds ?? 60) * 1000);
  }

  /** Advances the clock for leases, schedules and the journal. */
  pass(seconds: number): void {
    this.#now += seconds * 1000;
  }

  /** Seconds from now until the job is due. */
  wait(row: FakeJob): number {
    return (row.scheduledAt - this.#now) / 1000;
  }

  /** Adds a pending job that is due now. */
  insert(values: Partial<JobValues> = {}): FakeJob {
    const job: FakeJob = {
      ...JOB,
      ...values,
      id: this.#uuid(),
      status: "pending",
      attempt: 0,
      progress: 0,
      stage: null,
      scheduledAt: this.#now,
      startedAt: null,
      leaseToken: null,
      leaseExpiresAt: null,
      errorCode: null,
      errorMessage: null,
      completion: null,
      cachedFrom: null,
      isCancelRequested: false,
    };
    this.jobs.set(job.id, job);
    return job;
  }

  /** Advances the clock until the job is due, and claims it. */
  claim(row: FakeJob): ClaimedJob {
    this.#now = Math.max(this.#now, row.scheduledAt);
    const [job] = this.#claim(1, row);
    if (job === undefined) throw new Error(`${row.id} is ${row.status}`);
    return job;
  }

  /** Another worker claims the job, which invalidates its current lease. */
  takeOver(row: FakeJob): void {
    row.leaseToken = this.#uuid();
  }

  /** The owner cancels the job: immediately while it waits, else when its worker reads it in a heartbeat. */
  requestCancel(row: FakeJob): void {
    if (row.status !== "pending" && row.status !== "processing") return;
    row.isCancelRequested = true;
    if (row.status === "pending") this.#leave(row, "cancelled");
  }

  /** `rescue_stalled_ai_jobs`: requeues every job whose lease has expired. */
  rescue(): void {
    for (const job of this.jobs.values()) {
      if ((job.leaseExpiresAt ?? Infinity) > this.#now) continue;
      const open = this.journal.open(job.id);
      const isLost = open?.outcome === "sent";
      const getsAnotherAttempt = isLost || this.journal.isPaid(job.id);
      if (open !== undefined) this.journal.lose(open, this.#now);
      const isLast = job.attempt >= job.maxAttempts;
      job.errorCode = open !== undefined && isLast
        ? "outcome_unknown"
        : "lease_expired";
      job.scheduledAt = this.#now +
        (job.attempt <= 1 || isLost ? 0 : this.#backoffMs(job.attempt - 1));
      if (isLast && getsAnotherAttempt) job.attempt--;
      this.#leave(job, isLast && !getsAnotherAttempt ? "failed" : "pending");
    }
  }

  claimDispatched(
    dispatch: { messageId: string; sentAtUnix: number },
    limit: number,
  ): Promise<ClaimedJob[]> {
    return this.#call("claimDispatched", () => {
      if (this.#receipts.has(dispatch.messageId)) {
        throw new AppError("dispatch_replayed");
      }
      this.#receipts.add(dispatch.messageId);
      return this.#claim(limit);
    });
  }

  claimDue(limit: number): Promise<ClaimedJob[]> {
    return this.#call("claimDue", () => this.#claim(limit));
  }

  poll(
    poll: { id: string; isLast: boolean },
    limit: number,
  ): Promise<ClaimedJob[]> {
    return this.#call("poll", () => {
      if (poll.isLast) this.polls.delete(poll.id);
      else this.polls.add(poll.id);
      return this.#claim(limit);
    });
  }

  heartbeat(
    beats: readonly Beat[],
  ): Promise<ReadonlyMap<string, { isCancelRequested: boolean }>> {
    this.beats.push(beats.length);
    const lost: ReadonlyMap<string, { isCancelRequested: boolean }> = new Map();
    return this.#call("heartbeat", () => {
      const alive = beats.flatMap(({ lease, progress, stage }) => {
        const job = this.jobs.get(lease.id);
        if (job?.leaseToken !== lease.lease_token) return [];
        this.#extend(job, Math.min(progress ?? 0, 99));
        job.stage = stage ?? job.stage;
        const { isCancelRequested } = job;
        return [[job.id, { isCancelRequested }] as const];
      });
      return alive.length === 0 ? lost : new Map(alive);
    }, lost);
  }

  beginProviderCall(
    lease: Lease,
    { operation, progress, stage, repeatWithinSeconds }: CallIntent,
    report?: Report,
  ): Promise<BegunCall | null> {
    return this.#fenced<BegunCall | null>(
      "beginProviderCall",
      lease,
      null,
      (job) => {
        if (this.overBudget && !this.journal.has(job.id, operation)) {
          return { decision: this.overBudget };
        }
        if (job.isCancelRequested && !this.journal.has(job.id, operation)) {
          return { decision: "cancelled" };
        }
        if (report !== undefined) this.carried.push(report);
        this.#extend(job, progress);
        const begun = this.journal.begin({
          id: this.#uuid(),
          jobId: job.id,
          operation,
          attempt: job.attempt,
          sentAt: this.#now,
        }, job.isCancelRequested ? undefined : repeatWithinSeconds);
        if (begun.decision === "send" || begun.decision === "repeat") {
          job.stage = stage;
        }
        if (begun.decision === "reconcile") job.stage = "reconciling";
        return begun;
      },
    );
  }

  settleProviderCall(
    lease: Lease,
    callId: string,
    settlement: CallSettlement,
  ): Promise<boolean> {
    return this.#fenced("settleProviderCall", lease, false, (job) => {
      if (!this.journal.settle(job.id, callId, settlement, this.#now)) {
        return false;
      }
      const isSuccess = "providerObjectId" in settlement;
      this.#extend(job, isSuccess ? settlement.progress : undefined);
      return true;
    });
  }

  reviseProviderCall(
    lease: Lease,
    operation: string,
    units: number,
  ): Promise<boolean> {
    return this.#fenced("reviseProviderCall", lease, false, (job) => {
      this.revised.push({ jobId: job.id, operation, units });
      return true;
    });
  }

  doubtProviderCall(
    lease: Lease,
    operation: string,
  ): Promise<"doubted" | "too_early" | "kept" | null> {
    return this.#fenced("doubtProviderCall", lease, null, (job) => {
      const call = this.journal.calls.find((one) =>
        one.jobId === job.id && one.operation === operation
      );
      if (call?.outcome !== "adopted") return "kept";
      call.outcome = "unknown";
      return "doubted";
    });
  }

  complete(
    lease: Lease,
    completion: Completion,
    extras: CompletionExtras = {},
  ): Promise<boolean> {
    return this.#fenced("complete", lease, false, (job) => {
      const { call } = extras;
      if (
        call !== undefined &&
        !this.journal.settle(job.id, call.callId, call.settlement, this.#now)
      ) return false;
      this.extras.push(extras);
      job.completion = completion;
      this.#leave(job, "completed");
      return true;
    });
  }

  reuseResult(lease: Lease, sourceJobId: string): Promise<boolean> {
    return this.#fenced("reuseResult", lease, false, (job) => {
      const source = this.jobs.get(sourceJobId);
      if (
        source?.status !== "completed" || source.userId !== job.userId ||
        source.inputHash !== job.inputHash
      ) return false;
      job.completion = source.completion;
      job.cachedFrom = source.id;
      this.#leave(job, "completed");
      return true;
    });
  }

  /** The result of `DependencyLookup`. */
  dependencyOf(
    { depends_on_job_id: id, user_id }: Pick<
      ClaimedJob,
      "user_id" | "depends_on_job_id"
    >,
  ): Promise<Dependency | null> {
    const job = this.jobs.get(id ?? "");
    return Promise.resolve(
      job?.status !== "completed" || job.userId !== user_id ? null : {
        id: job.id,
        job_type: job.jobType,
        output_url: job.completion?.outputUrl ?? null,
        result_data: job.completion?.resultData ?? {},
      },
    );
  }

  fail(
    lease: Lease,
    failure: Parameters<JobRepository["fail"]>[1],
  ): Promise<"pending" | "failed" | null> {
    return this.#fenced<"pending" | "failed" | null>(
      "fail",
      lease,
      null,
      (job) => {
        const isRetried = failure.isRetryable && job.attempt < job.maxAttempts;
        const isUnknown = !isRetried && this.journal.open(job.id) !== undefined;
        job.errorCode = isUnknown ? "outcome_unknown" : failure.code;
        job.errorMessage = failure.message;
        if (isRetried) {
          const retryAfter = Math.min(failure.retryAfterSeconds ?? 0, 3600);
          job.scheduledAt = this.#now +
            Math.max(this.#backoffMs(job.attempt), retryAfter * 1000);
        }
        const open = this.journal.open(job.id);
        if (open !== undefined) this.journal.lose(open, this.#now);
        this.#leave(job, isRetried ? "pending" : "failed");
        return isRetried ? "pending" : "failed";
      },
    );
  }

  cancel(lease: Lease): Promise<boolean> {
    return this.#fenced("cancel", lease, false, (job) => {
      if (!job.isCancelRequested) return false;
      const open = this.journal.open(job.id);
      if (open !== undefined) this.journal.lose(open, this.#now);
      this.#leave(job, "cancelled");
      return true;
    });
  }

  wake(): Promise<boolean> {
    return this.#call(
      "wake",
      () => [...this.jobs.values()].some((job) => this.#isDue(job)),
      false,
    );
  }

  snooze(
    lease: Lease,
    seconds: number,
    stage: string,
    failure?: Pick<JobFailure, "code">,
  ): Promise<boolean> {
    return this.#fenced("snooze", lease, false, (job) => {
      job.attempt--;
      job.stage = stage;
      job.errorCode = failure?.code ?? null;
      job.scheduledAt = this.#now + seconds * 1000;
      this.#leave(job, "pending");
      return true;
    });
  }

  release(lease: Lease): Promise<boolean> {
    return this.#fenced("release", lease, false, (job) => {
      job.attempt--;
      job.scheduledAt = this.#now;
      this.#leave(job, "pending");
      return true;
    });
  }

  #uuid(): string {
    return `10000000-0000-4000-8000-${String(++this.#ids).padStart(12, "0")}`;
  }

  #backoffMs(attempt: number): number {
    return this.#policy.backoffBaseSeconds * 2 ** (attempt - 1) * 1000;
  }

  #extend(job: FakeJob, progress = 0): void {
    job.leaseExpiresAt = this.#now + this.#policy.leaseSeconds * 1000;
    job.progress = Math.max(job.progress, progress);
  }

  /** A running job whose owner has cancelled ends instead of waiting. */
  #leave(job: FakeJob, status: FakeJob["status"]): void {
    job.status = status === "pending" && job.isCancelRequested
      ? "cancelled"
      : status;
    if (job.status === "cancelled") {
      job.errorCode = "cancelled";
      job.stage = null;
    }
    job.leaseToken = job.leaseExpiresAt = null;
    if (status === "completed") {
      job.progress = 100;
      job.errorCode = job.errorMessage = null;
    }
  }

  #isDue(job: FakeJob): boolean {
    return job.status === "pending" && job.scheduledAt <= this.#now &&
      job.attempt < job.maxAttempts;
  }

  #claim(limit: number, only?: FakeJob): ClaimedJob[] {
    const due = [...this.jobs.values()].filter((job) =>
      this.#isDue(job) && (only === undefined || job === only)
    ).sort((a, b) => a.scheduledAt - b.scheduledAt).slice(0, limit);
    return due.map((job) => {
      job.status = "processing";
      job.attempt++;
      job.startedAt ??= this.#now;
      const leaseToken = job.leaseToken = this.#uuid();
      this.#extend(job);
      return {
        id: job.id,
        user_id: job.userId,
        job_type: job.jobType,
        provider: "elevenlabs",
        input_url: job.inputUrl,
        metadata: job.metadata,
        spend: this.journal.spendOf(job.id),
        attempt: job.attempt,
        max_attempts: job.maxAttempts,
        input_hash: job.inputHash,
        depends_on_job_id: job.dependsOn,
        cached_from_job_id: this.cached,
        lease_token: leaseToken,
        lease_expires_at: new Date(
          this.#now + this.#policy.leaseSeconds * 1000,
        ).toISOString(),
        started_at: new Date(job.startedAt).toISOString(),
        updated_at: new Date(this.#now).toISOString(),
      };
    });
  }

  #fenced<T>(
    method: keyof JobRepository,
    lease: Lease,
    lost: T,
    effect: (job: FakeJob) => T,
  ): Promise<T> {
    return this.#call(method, () => {
      const job = this.jobs.get(lease.id);
      return job?.leaseToken === lease.lease_token ? effect(job) : lost;
    }, lost);
  }

  async #call<T>(
    method: keyof JobRepository,
    effect: () => T,
    lost?: T,
  ): Promise<T> {
    this.calls.push(method);
    await this.interrupt(method, "before");
    const result = effect();
    if (result !== lost) this.effects.push(method);
    await this.interrupt(method, "after");
    return result;
  }
}
