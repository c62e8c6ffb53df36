/**
 * The state of the model: jobs in the database, objects at the provider, and what each worker believes. Times are
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

/** The next step of a worker. Steps of others may come before it. */
const POINTS = [
  "idle",
  /** Claimed; it downloads the input. */
  "claimed",
  /** begin_provider_calls returned `send`; nothing is sent yet. */
  "sending",
  /** The request is on its way or with the provider. */
  "waiting",
  "answered",
  "refused",
  "refusedForGood",
  /** The provider's concurrency limit is reached; waiting spends no attempt. */
  "refusedForNow",
  /** The owner cancelled before anything was sent. */
  "refusedByCancel",
  /** The call ended without a usable response. */
  "lost",
  /** The owner cancelled during the call. */
  "lostByCancel",
  /** The owner has cancelled, and the provider is queried once for what the call created. */
  "abandoning",
  /** The same, where an empty result is conclusive. */
  "abandoningForGood",
  "foundByCancel",
  /** It will query the provider; an empty result is not conclusive yet. */
  "asking",
  /** It will query the provider; an empty result is conclusive. */
  "askingForGood",
  /** An empty query was not conclusive, and the provider knows the call by its key. */
  "repeating",
  /** begin_provider_calls returned `repeat`; nothing is sent again yet. */
  "sendingAgain",
  /** The repeated request is on its way or with the provider. */
  "waitingAgain",
  "found",
  "absent",
  "absentByCancel",
  /** The paid step is done. */
  "paid",
  "failing",
  "failingForGood",
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
  /** The lease has expired. It stays valid until the sweep takes the job. Only for processing jobs. */
  readonly isLeaseOver: boolean;
  readonly isCancelAsked: boolean;
  readonly call: Call;
  /** The outcome is what an operator answered (`ai_provider_calls.answered_at`). */
  readonly isAnswered: boolean;
  /** The outcome has been unknown for longer than the provider's listing may lag. */
  readonly isDoubtOld: boolean;
  readonly spend: Spend;
  /** It was first started longer ago than its type allows. */
  readonly isOld: boolean;
  /** How often an owner or operator retried it. */
  readonly reruns: number;
  /** All paid objects that the provider ever created for this job. */
  readonly made: number;
  /** Whether the provider's search finds them. */
  readonly isListed: boolean;
  /** Requests at the provider whose sender is gone. */
  readonly orphans: number;
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
    isLeaseOver: false,
    isCancelAsked: false,
    call: "none",
    isAnswered: false,
    isDoubtOld: false,
    spend: "none",
    isOld: false,
    reruns: 0,
    made: 0,
    isListed: false,
    orphans: 0,
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
  const first = ordinal(statusOrdinals, job.status) * 1024 +
    job.attempt * 128 + job.maxAttempts * 16 + bit(job.isDue) * 8 +
    bit(job.isLeaseOver) * 4 + bit(job.isCancelAsked) * 2 +
    bit(job.isDoubtOld);
  const second = bit(job.isAnswered) * 8192 +
    ordinal(callOrdinals, job.call) * 1024 +
    ordinal(spendOrdinals, job.spend) * 256 + job.reruns * 64 +
    job.made * 16 + bit(job.isListed) * 8 + bit(job.isOld) * 4 + job.orphans;
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
