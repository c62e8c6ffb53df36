/**
 * What the model of the job engine knows of the world: jobs as the database has them, what the provider has, and what
 * each worker believes. Times are reduced to what a rule can ask of them: due or not, lease over or not, doubt old
 * enough or not.
 */

/** `ai_jobs.status`. */
export const STATUSES = [
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
export const SPENDS = ["none", "unknown", "incurred"] as const;
export type Spend = (typeof SPENDS)[number];

/** What a worker does next. Each is one step that others may come before. */
export const POINTS = [
  "idle",
  /** Claimed; the recording is being fetched. */
  "claimed",
  /** begin_provider_calls said `send`; nothing has left yet. */
  "sending",
  /** The request is on its way or with the provider. */
  "waiting",
  "answered",
  "refused",
  "refusedForGood",
  /** The provider works on as many of our calls as it will: to wait for them spends no attempt. */
  "refusedForNow",
  /** The owner cancelled before anything had left. */
  "refusedByCancel",
  /** The call ended without a usable answer. */
  "lost",
  /** The owner cancelled while the call was under way. */
  "lostByCancel",
  /** The owner has cancelled, and what the call may have made is looked for once. */
  "abandoning",
  /** The same, where an empty answer counts. */
  "abandoningForGood",
  "foundByCancel",
  /** The provider is to be asked; its empty answer would not count yet. */
  "asking",
  /** The provider is to be asked; its empty answer counts. */
  "askingForGood",
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

/** One job: its row, its paid call, and what the provider has of it. */
export interface Job {
  readonly status: Status;
  readonly attempt: number;
  readonly maxAttempts: number;
  /** `scheduled_at` is not in the future. Only of a pending job. */
  readonly isDue: boolean;
  /** Of a processing job; a lease that is over is good until the sweep takes it. */
  readonly isLeaseOver: boolean;
  readonly isCancelAsked: boolean;
  readonly call: Call;
  /** The call has been in doubt for longer than the provider's listing may lag. */
  readonly isDoubtOld: boolean;
  readonly spend: Spend;
  /** It was started longer ago than its type allows. */
  readonly isOld: boolean;
  /** How often an owner or operator ran it again. */
  readonly reruns: number;
  /** Paid things that the provider made for this job, ever. */
  readonly made: number;
  /** Whether its search finds them. */
  readonly isListed: boolean;
  /** Requests that the provider has and whose sender is gone. */
  readonly orphans: number;
}

/** A worker slot. */
export interface Worker {
  readonly point: Point;
  /** Which job; -1 when idle. */
  readonly job: number;
  /** Whether its token is still the one in the job's row. */
  readonly isOwner: boolean;
}

/** The world at one moment. */
export interface State {
  readonly jobs: readonly Job[];
  readonly workers: readonly Worker[];
}

/** A worker slot with nothing to do. */
export const IDLE: Worker = { point: "idle", job: -1, isOwner: false };

/** A job that was just inserted. */
export function newJob(maxAttempts: number): Job {
  return {
    status: "pending",
    attempt: 0,
    maxAttempts,
    isDue: true,
    isLeaseOver: false,
    isCancelAsked: false,
    call: "none",
    isDoubtOld: false,
    spend: "none",
    isOld: false,
    reruns: 0,
    made: 0,
    isListed: false,
    orphans: 0,
  };
}

/** Whether the call may still turn out to have made something. */
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
  const second = ordinal(callOrdinals, job.call) * 1024 +
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
 * The state as a short text: equal for states that are equal, also but for the names of jobs and workers, which no rule
 * looks at.
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
