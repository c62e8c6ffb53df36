/** The properties of each state and of each step. explore.ts has those of paths. */
import { isOpen, type Job, type State } from "./state.ts";
import type { Configuration, Step } from "./system.ts";

/** The database's columns of a job, which a write with an outdated lease token must not change. */
const ROW_COLUMNS = [
  "status",
  "attempt",
  "maxAttempts",
  "isDue",
  "isLeaseExpired",
  "isCancelRequested",
  "call",
  "isResolved",
  "spend",
  "retries",
  "isExpired",
] as const satisfies readonly (keyof Job)[];
/** The columns that a timeline shows. */
const TIMELINE_COLUMNS = [
  "status",
  "attempt",
  "maxAttempts",
  "isCancelRequested",
  "call",
  "isResolved",
  "spend",
] as const satisfies readonly (keyof Job)[];

function differ(
  before: Job,
  after: Job,
  members: readonly (keyof Job)[],
): boolean {
  return members.some((member) => before[member] !== after[member]);
}

/** The property that a step violates; undefined when there is none. */
export function violatedByStep(state: State, step: Step): string | undefined {
  const before = state.jobs[step.job];
  const after = step.next.jobs[step.job];
  const worker = state.workers[step.worker];
  if (before === undefined || after === undefined) {
    return "a step neither adds nor removes jobs";
  }
  const isStaleWorker = worker !== undefined && worker.point !== "idle" &&
    !worker.isOwner;
  if (isStaleWorker && differ(before, after, ROW_COLUMNS)) {
    return "a write with an old lease token changes nothing";
  }
  if (step.rule === "send") {
    if (before.status !== "processing" || worker?.isOwner !== true) {
      return "nothing is sent for a job that has ended or has another owner";
    }
  }
  if (step.event === "submitted" && before.isCancelRequested) {
    return "nothing new is sent for a job whose owner has cancelled";
  }
  if (differ(before, after, TIMELINE_COLUMNS) !== (step.event !== "")) {
    // Steps that change nothing in the row and still belong in the timeline: a repeated query, a found result.
    const isProgress = step.event === "progress";
    if (!isProgress) {
      return "every change of a job writes one event, and nothing else does";
    }
  }
  const isOver = before.status === "completed" || before.status === "cancelled";
  if (isOver && differ(before, after, ROW_COLUMNS)) {
    return "completed and cancelled are final";
  }
  return undefined;
}

/** The property that a state violates; undefined when there is none. */
export function violatedInState(
  state: State,
  configuration: Configuration,
): string | undefined {
  let running = 0;
  for (let index = 0; index < state.jobs.length; index++) {
    const job = state.jobs[index];
    if (job === undefined) continue;
    const owners = state.workers.filter((worker) =>
      worker.job === index && worker.isOwner
    );
    if (owners.length > 1) return "at most one live owner per job";
    if (job.status === "processing") running++;
    else if (owners.length > 0) return "only a processing job has an owner";
    const broken = violatedInJob(job);
    if (broken !== undefined) return broken;
    const isFaultless = configuration.faults.size === 0 &&
      configuration.cancellable === 0;
    if (isFaultless && (job.attempt > 1 || job.status === "failed")) {
      return "without faults, every job completes in its first attempt";
    }
  }
  return running > configuration.cap ? "caps are never exceeded" : undefined;
}

function violatedInJob(job: Job): string | undefined {
  if (job.created > 1) {
    return "at most one creation at the provider per job and step";
  }
  if (job.attempt < 0 || job.attempt > job.maxAttempts) {
    return "attempts never exceed the maximum";
  }
  if (job.status === "pending") {
    if (job.attempt >= job.maxAttempts) {
      return "a waiting job has an attempt left, so that it can be claimed";
    }
    if (job.isCancelRequested) {
      return "a job whose owner has cancelled does not wait for another run";
    }
  }
  if (job.status === "failed" && job.isCancelRequested) {
    return "a job whose owner has cancelled does not fail, so that nobody runs it again";
  }
  if (job.call === "sent" && job.status !== "processing") {
    return "after the end of a run, its call without a response has an unknown outcome";
  }
  if (job.spend === "none" && job.created > 0) {
    return "spend none: the provider created nothing";
  }
  if (job.spend === "incurred" && job.created !== 1) {
    return "spend incurred: the provider created one object";
  }
  if ((job.spend === "unknown") !== isOpen(job.call)) {
    return "spend is unknown exactly while a call has an unknown outcome";
  }
  if (job.status === "completed" && job.spend !== "incurred") {
    return "a completed job was paid for";
  }
  return undefined;
}
