/**
 * The state of the model: jobs in the database, objects at the provider, and the local state of each worker. Times are
 * reduced to what a rule depends on: due or not, lease expired or not, outcome unknown for long enough or not.
 */

/** `ai_jobs.status`. */
const STATUSES = [
  "pending",
  "processing",
  "completed",
  "failed",
  "cancelled",
] as const;
export type Status = (typeof STATUSES)[number];

/** The newest paid call of the job's one paid step: `none`, or `ai_provider_calls.outcome`. */
export const CALLS = [
  "none",
  "sent",
  "unknown",
  "succeeded",
  "adopted",
  "rejected",
  "absent",
] as const;
export type Call = (typeof CALLS)[number];

/** `ai_jobs.spend`. */
const SPENDS = ["none", "unknown", "incurred"] as const;
export type Spend = (typeof SPENDS)[number];

/** The program point of a worker, which decides its next step. Other steps may come before it. */
const POINTS = [
  "idle",
  /** Claimed; it downloads the input. */
  "claimed",
  /** begin_provider_calls returned `send`; nothing is sent yet. */
  "sending",
  /** The request is on its way or with the provider. */
  "awaitingResponse",
  "succeeded",
  "rejected",
  "rejectedPermanently",
  /** The provider's concurrency limit is reached; waiting uses up no attempt. */
  "throttled",
  /** The owner cancelled before anything was sent. */
  "rejectedCancelled",
  /** The call ended without a usable response. */
  "responseLost",
  /** The owner cancelled during the call. */
  "responseLostCancelled",
  /** The owner has cancelled, and the provider is queried once for what the call created. */
  "queryingCancelled",
  /** The same, where an empty result is conclusive. */
  "queryingFinalCancelled",
  "foundCancelled",
  /** It will query the provider; an empty result is not conclusive yet. */
  "querying",
  /** It will query the provider; an empty result is conclusive. */
  "queryingFinal",
  /** An empty query was not conclusive, and the provider has an idempotency key of the call. */
  "repeating",
  /** begin_provider_calls returned `repeat`; nothing is sent again yet. */
  "resending",
  /** The repeated request is on its way or with the provider. */
  "awaitingRepeat",
  "found",
  "absent",
  "absentCancelled",
  /** The paid step is done. */
  "paid",
  "failing",
  "failingPermanently",
  "snoozing",
  "releasing",
  "cancelling",
] as const;
export type Point = (typeof POINTS)[number];

/** A job: its row, its paid call, and its objects at the provider. */
export interface Job {
  readonly status: Status;
  readonly attempt: number;
  readonly maxAttempts: number;
  /** `scheduled_at` is not in the future. Only for pending jobs. */
  readonly isDue: boolean;
  /** The lease has expired. It stays valid until the sweep rescues the job. Only for processing jobs. */
  readonly isLeaseExpired: boolean;
  readonly isCancelRequested: boolean;
  readonly call: Call;
  /** An operator has recorded the outcome (`ai_provider_calls.answered_at`). */
  readonly isResolved: boolean;
  /** The outcome has been unknown for `reconcile_seconds`, so an empty query is conclusive. */
  readonly isReconcileOver: boolean;
  readonly spend: Spend;
  /** It was first started longer ago than its type allows. */
  readonly isExpired: boolean;
  /** Its call was sent since then, or is younger than that. Only explored where jobs age. */
  readonly isCallRecent: boolean;
  /** How often an owner or operator retried it. */
  readonly retries: number;
  /** All paid objects that the provider ever created for this job. */
  readonly created: number;
  /** Whether the provider's search finds them. */
  readonly isListed: boolean;
  /** Requests at the provider for whose response no worker waits. */
  readonly abandonedRequests: number;
}

/** A worker slot. */
export interface Worker {
  readonly point: Point;
  /** The job; -1 when idle. */
  readonly job: number;
  /** Whether its token is still the one in the job's row. */
  readonly isOwner: boolean;
}

/** The whole state at one moment. */
export interface State {
  readonly jobs: readonly Job[];
  readonly workers: readonly Worker[];
}

/** An idle worker slot. */
export const IDLE: Worker = { point: "idle", job: -1, isOwner: false };

/** A newly inserted job. */
export function newJob(maxAttempts: number): Job {
  return {
    status: "pending",
    attempt: 0,
    maxAttempts,
    isDue: true,
    isLeaseExpired: false,
    isCancelRequested: false,
    call: "none",
    isResolved: false,
    isReconcileOver: false,
    spend: "none",
    isExpired: false,
    isCallRecent: false,
    retries: 0,
    created: 0,
    isListed: false,
    abandonedRequests: 0,
  };
}

/** Whether the call may still have created something. */
export function isOpen(call: Call): boolean {
  return call === "sent" || call === "unknown";
}

/** Whether the status is one that ends a job. */
export function isFinal(status: Status): boolean {
  return status === "completed" || status === "failed" ||
    status === "cancelled";
}

const ordinals = (words: readonly string[]) =>
  new Map(words.map((word, index) => [word, index]));
const statusOrdinals = ordinals(STATUSES);
const callOrdinals = ordinals(CALLS);
const spendOrdinals = ordinals(SPENDS);
const pointOrdinals = ordinals(POINTS);

function ordinal(of: ReadonlyMap<string, number>, word: string): number {
  const found = of.get(word);
  if (found === undefined) throw new Error(`${word} is not in the list`);
  return found;
}

function bit(flag: boolean): number {
  return flag ? 1 : 0;
}

function encodeJob(job: Job): string {
  const first = bit(job.isCallRecent) * 8192 +
    ordinal(statusOrdinals, job.status) * 1024 +
    job.attempt * 128 + job.maxAttempts * 16 + bit(job.isDue) * 8 +
    bit(job.isLeaseExpired) * 4 + bit(job.isCancelRequested) * 2 +
    bit(job.isReconcileOver);
  const second = bit(job.isResolved) * 8192 +
    ordinal(callOrdinals, job.call) * 1024 +
    ordinal(spendOrdinals, job.spend) * 256 + job.retries * 64 +
    job.created * 16 + bit(job.isListed) * 8 + bit(job.isExpired) * 4 +
    job.abandonedRequests;
  return String.fromCharCode(first, second);
}

function encodeWorker(worker: Worker, names: readonly number[]): number {
  if (worker.job < 0) return 0;
  return ordinal(pointOrdinals, worker.point) * 8 +
    (names[worker.job] ?? 0) * 2 + bit(worker.isOwner);
}

/**
 * The state as a short key. Equal for states that differ only in the numbering of jobs and workers, which no rule
 * depends on.
 */
export function encode(state: State): string {
  const [first = "", second] = state.jobs.map(encodeJob);
  if (second === undefined) return first + encodeWorkers(state, [0]);
  if (first < second) return first + second + encodeWorkers(state, [0, 1]);
  if (first > second) return second + first + encodeWorkers(state, [1, 0]);
  const straight = encodeWorkers(state, [0, 1]);
  const crossed = encodeWorkers(state, [1, 0]);
  return first + second + (straight < crossed ? straight : crossed);
}

function encodeWorkers(state: State, names: readonly number[]): string {
  const codes = state.workers.map((worker) => encodeWorker(worker, names));
  return String.fromCharCode(...codes.sort((a, b) => a - b));
}

/** The worker with this number. */
export function workerOf(state: State, worker: number): Worker {
  const found = state.workers[worker];
  if (found === undefined) throw new Error(`worker ${worker} does not exist`);
  return found;
}

/** The job with this number. */
export function jobOf(state: State, job: number): Job {
  const found = state.jobs[job];
  if (found === undefined) throw new Error(`job ${job} does not exist`);
  return found;
}

/** Whether the worker's request is on its way or with the provider. */
export function isInCall(point: Point): boolean {
  return point === "awaitingResponse" || point === "awaitingRepeat";
}

/** Whether a request of the job is in flight that a worker waits for. */
export function hasRequestInFlight(state: State, job: number): boolean {
  return state.workers.some((worker) =>
    worker.job === job && isInCall(worker.point)
  );
}

/** The state with changes of one job. */
export function withJob(
  state: State,
  job: number,
  changes: Partial<Job>,
): State {
  return {
    jobs: state.jobs.map((row, index) =>
      index === job ? { ...row, ...changes } : row
    ),
    workers: state.workers,
  };
}

/** The state with another state of one worker. */
export function withWorker(state: State, worker: number, to: Worker): State {
  return {
    jobs: state.jobs,
    workers: state.workers.map((one, index) => index === worker ? to : one),
  };
}

/** The state with one worker at another point. */
export function withPoint(state: State, worker: number, point: Point): State {
  return withWorker(state, worker, { ...workerOf(state, worker), point });
}

/** The worker ends; its request may still reach the provider. */
export function endWorker(state: State, worker: number): State {
  const { point, job } = workerOf(state, worker);
  const left = withWorker(state, worker, IDLE);
  return isInCall(point)
    ? withJob(left, job, {
      abandonedRequests: jobOf(state, job).abandonedRequests + 1,
    })
    : left;
}
