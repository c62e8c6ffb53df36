/**
 * The rules of the engine: all possible next steps of a state. A step is a transaction of a SQL function, an action of
 * a worker or of the provider, or the passing of time. docs/job-lifecycle.md describes the same;
 * tests/database/model-replay.test.ts compares it with the SQL.
 */
import {
  type Call,
  IDLE,
  isOpen,
  type Job,
  type Point,
  type State,
  type Worker,
} from "./state.ts";

/** Who performs a step. `failure` steps may happen but never have to. */
export type Cause =
  | "engine"
  | "provider"
  | "time"
  | "failure"
  | "people";

/** Failures that a world may have. */
export const FAILURES = [
  "crash",
  "stall",
  "claim answer lost",
  "begin answer lost",
  "settle answer lost",
  "complete answer lost",
  "begin not reached",
  "end not reached",
  "input fails",
  "shutdown",
  "refused",
  "refused for good",
  "refused for now",
  "request dropped",
  "answer lost",
  "answer late",
  "look-up fails",
] as const;
export type Failure = (typeof FAILURES)[number];

/** The size of a world, and its possible events. */
export interface World {
  readonly jobs: 1 | 2;
  readonly workers: 1 | 2;
  readonly maxAttempts: number;
  /** Cap of the provider. */
  readonly cap: number;
  /** Whether a job can exceed the maximum age of its type. */
  readonly ages: boolean;
  /** How often users and operators may retry a job. */
  readonly reruns: number;
  /** Whether the provider recognises repeated requests of a step by a key, and creates one object for all of them. */
  readonly hasKey: boolean;
  /** Owners may cancel the jobs below this number. */
  readonly cancellable: number;
  readonly failures: ReadonlySet<Failure>;
}

/** Rules that can be left out or broken, to prove that the properties notice it. */
export const BREAKS = [
  "writes carry no lease token",
  "claim takes leased jobs",
  "claim ignores the cap",
  "claim counts no attempt",
  "begin sends without a query",
  "begin ignores a cancellation",
  "the call is journalled after the request",
  "an empty query is always conclusive",
  "the time to reconcile starts at the sending",
  "a request may be sent after its lease",
  "a sender that is cut off continues",
  "a lost response counts as a refusal",
  "a refused repetition counts as a refusal",
  "the time to reconcile ignores a repetition",
  "a repetition ignores a cancellation",
  "a refusal leaves the spend unknown",
  "an ending leaves its call as sent",
  "snooze spends the attempt",
  "rescue leaves the last attempt waiting",
  "rescue takes a valid lease",
  "cancelling a waiting job leaves it waiting",
  "requeueing forgets a cancellation",
  "a job is never too old to wait again",
  "retry forgets the journal",
  "cancelling a running job writes no event",
  "nothing sweeps",
] as const;
export type Break = (typeof BREAKS)[number];

/** One step from one state to the next. */
export interface Step {
  /** Name of the rule, followed by a colon and its outcome. */
  readonly rule: string;
  readonly cause: Cause;
  readonly job: number;
  /** The acting worker; -1 when there is none. */
  readonly worker: number;
  /** Names of the events that the step writes, separated by spaces; empty when there are none. */
  readonly event: string;
  readonly next: State;
}

/** Receives each step. */
export type Emit = (step: Step) => void;

/** The rules of a world, with at most one of them broken. */
export class Rules {
  readonly world: World;
  readonly #broken: Break | undefined;

  constructor(world: World, broken?: Break) {
    this.world = world;
    this.#broken = broken;
  }

  /** Calls `emit` with every possible step from `state`. */
  steps(state: State, emit: Emit): void {
    for (let worker = 0; worker < state.workers.length; worker++) {
      const { point } = workerOf(state, worker);
      if (point === "idle") this.#claim(state, worker, emit);
      else this.#work(state, worker, emit);
    }
    for (let job = 0; job < state.jobs.length; job++) {
      this.#sweep(state, job, emit);
      this.#pass(state, job, emit);
      this.#people(state, job, emit);
    }
  }

  #is(broken: Break): boolean {
    return this.#broken === broken;
  }

  #may(failure: Failure): boolean {
    return this.world.failures.has(failure);
  }

  /** claim_ai_jobs */
  #claim(state: State, worker: number, emit: Emit): void {
    const running = state.jobs.filter(({ status }) => status === "processing");
    const hasRoom = running.length < this.world.cap ||
      this.#is("claim ignores the cap");
    state.jobs.forEach((row, job) => {
      const isWaiting = row.status === "pending" && row.isDue &&
        row.attempt < row.maxAttempts;
      const isTaken = this.#is("claim takes leased jobs") &&
        row.status === "processing" && row.attempt < row.maxAttempts;
      if (!(isWaiting && hasRoom) && !isTaken) return;
      const claimed = withJob(state, job, {
        status: "processing",
        attempt: row.attempt +
          (this.#is("claim counts no attempt") ? 0 : 1),
        isDue: false,
        isLeaseOver: false,
      });
      const step = { job, worker, event: "claimed" };
      emit({
        ...step,
        rule: "claim",
        cause: "engine",
        next: withWorker(claimed, worker, {
          point: "claimed",
          job,
          isOwner: true,
        }),
      });
      if (!this.#may("claim answer lost")) return;
      emit({
        ...step,
        rule: "claim: answer lost",
        cause: "failure",
        next: claimed,
      });
    });
  }

  /** A step of a worker that has a job. */
  #work(state: State, worker: number, emit: Emit): void {
    this.#heartbeat(state, worker, emit);
    const { point, job } = workerOf(state, worker);
    const moved = (
      rule: string,
      to: Point,
      cause: Cause = "engine",
    ) =>
      emit({
        rule,
        cause,
        job,
        worker,
        event: "",
        next: withPoint(state, worker, to),
      });
    if (this.#may("crash")) {
      emit({
        rule: isInCall(point) ? "crash: inside the call" : "crash",
        cause: "failure",
        job,
        worker,
        event: "",
        next: gone(state, worker),
      });
    }
    switch (point) {
      case "claimed":
        this.#begin(state, worker, emit);
        if (this.#may("input fails")) {
          moved("input: storage does not answer", "failing", "failure");
          moved("input: gone", "failingForGood", "failure");
        }
        if (this.#may("shutdown")) moved("shutdown", "releasing", "failure");
        break;
      case "sending":
        this.#leave(state, worker, emit);
        break;
      case "waiting":
        this.#provide(state, worker, emit);
        break;
      case "repeating":
        this.#repeat(state, worker, emit);
        break;
      case "sendingAgain":
        this.#leave(state, worker, emit);
        break;
      case "waitingAgain":
        this.#provide(state, worker, emit);
        break;
      case "answered":
        this.#settle(state, worker, "succeeded", "paid", emit);
        this.#completeAndSettle(state, worker, "succeeded", emit);
        break;
      case "refused":
        this.#settle(state, worker, "rejected", "failing", emit);
        break;
      case "refusedForGood":
        this.#settle(state, worker, "rejected", "failingForGood", emit);
        break;
      case "refusedForNow":
        this.#settle(state, worker, "rejected", "snoozing", emit);
        break;
      case "refusedByCancel":
        this.#settle(state, worker, "rejected", "cancelling", emit);
        break;
      case "lost":
        if (this.#is("a lost response counts as a refusal")) {
          this.#settle(state, worker, "rejected", "failing", emit);
        } else this.#settle(state, worker, "unknown", "snoozing", emit);
        break;
      case "lostByCancel":
        this.#settle(state, worker, "unknown", "abandoning", emit);
        break;
      case "asking":
      case "askingForGood":
      case "abandoning":
      case "abandoningForGood":
        this.#find(state, worker, emit);
        break;
      case "found":
        this.#settle(state, worker, "adopted", "paid", emit);
        this.#completeAndSettle(state, worker, "adopted", emit);
        break;
      case "foundByCancel":
        this.#settle(state, worker, "adopted", "cancelling", emit);
        break;
      case "absent":
        this.#settle(state, worker, "absent", "failing", emit);
        break;
      case "absentByCancel":
        this.#settle(state, worker, "absent", "cancelling", emit);
        break;
      case "paid":
        this.#complete(state, worker, emit);
        break;
      case "failing":
      case "failingForGood":
      case "snoozing":
      case "releasing":
      case "cancelling":
        this.#end(state, worker, point, emit);
        if (point === "failing" && this.#may("shutdown")) {
          moved("shutdown", "releasing", "failure");
        }
        if (this.#may("end not reached")) {
          emit({
            rule: "end: not reached",
            cause: "failure",
            job,
            worker,
            event: "",
            next: withWorker(state, worker, IDLE),
          });
        }
        break;
      case "idle":
        break;
    }
  }

  #owns(state: State, worker: number): boolean {
    return workerOf(state, worker).isOwner ||
      this.#is("writes carry no lease token");
  }

  /** heartbeat_ai_jobs, only where it changes something; and the worker's own lease timer. */
  #heartbeat(state: State, worker: number, emit: Emit): void {
    const { point, job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const step = { cause: "engine", job, worker, event: "" } as const;
    if (!this.#owns(state, worker)) {
      const goesOn = this.#is("a sender that is cut off continues") &&
        isInCall(point);
      if (goesOn) return;
      emit({ ...step, rule: "heartbeat: lost", next: gone(state, worker) });
      return;
    }
    const renewed = row.isLeaseOver
      ? withJob(state, job, { isLeaseOver: false })
      : state;
    const stopsAt = row.isCancelAsked ? CANCELLED_AT[point] : undefined;
    if (stopsAt !== undefined) {
      const stopped = withPoint(renewed, worker, stopsAt);
      emit({
        ...step,
        rule: `heartbeat: cancelled at ${point}`,
        next: isInCall(point)
          ? withJob(stopped, job, { orphans: row.orphans + 1 })
          : stopped,
      });
    } else if (renewed !== state) {
      emit({ ...step, rule: "heartbeat", next: renewed });
    }
  }

  /** begin_provider_calls */
  #begin(state: State, worker: number, emit: Emit): void {
    const { job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const step = { job, worker };
    const answered = (
      rule: string,
      event: string,
      changes: Partial<Job>,
      to: Point,
    ) => {
      const written = withJob(state, job, { isLeaseOver: false, ...changes });
      emit({
        ...step,
        rule: `begin: ${rule}`,
        cause: "engine",
        event,
        next: withPoint(written, worker, to),
      });
      if (!this.#may("begin answer lost")) return;
      emit({
        ...step,
        rule: `begin: ${rule}, answer lost`,
        cause: "failure",
        event,
        next: withPoint(written, worker, "failing"),
      });
    };
    if (!this.#owns(state, worker)) {
      emit({
        ...step,
        rule: "begin: lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    if (this.#may("begin not reached")) {
      emit({
        ...step,
        rule: "begin: not reached",
        cause: "failure",
        event: "",
        next: withPoint(state, worker, "failing"),
      });
    }
    if (isOpen(row.call) && !this.#is("begin sends without a query")) {
      const isConclusive = row.isDoubtOld;
      answered(
        isConclusive ? "reconcile, conclusive" : "reconcile",
        "progress",
        row.call === "sent" ? { call: "unknown" } : {},
        isConclusive || this.#is("an empty query is always conclusive")
          ? "askingForGood"
          : "asking",
      );
    } else if (row.call === "succeeded" || row.call === "adopted") {
      answered("done", "progress", {}, "paid");
    } else if (
      row.isCancelAsked && !this.#is("begin ignores a cancellation")
    ) {
      emit({
        ...step,
        rule: "begin: cancelled",
        cause: "engine",
        event: "",
        next: withPoint(state, worker, "cancelling"),
      });
    } else if (this.#is("the call is journalled after the request")) {
      answered("send", "", {}, "sending");
    } else {
      answered("send", "submitted", {
        call: "sent",
        isAnswered: false,
        isDoubtOld: false,
        spend: row.spend === "none" ? "unknown" : row.spend,
      }, "sending");
    }
  }

  /** begin_provider_calls once more, after an empty query: the provider recognises the call by its key. */
  #repeat(state: State, worker: number, emit: Emit): void {
    const { job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const step = { job, worker };
    if (!this.#owns(state, worker)) {
      emit({
        ...step,
        rule: "repeat: lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    const mayRepeat = !row.isDoubtOld &&
      (!row.isCancelAsked || this.#is("a repetition ignores a cancellation"));
    const written = withJob(state, job, {
      isLeaseOver: false,
      ...(mayRepeat ? { call: "sent" as const } : {}),
    });
    const decision = mayRepeat
      ? "repeat"
      : row.isDoubtOld
      ? "reconcile, conclusive"
      : "reconcile";
    const event = mayRepeat ? "submitted" : "progress";
    emit({
      ...step,
      rule: `repeat: ${decision}`,
      cause: "engine",
      event,
      next: withPoint(written, worker, mayRepeat ? "sendingAgain" : "snoozing"),
    });
    if (!this.#may("begin answer lost")) return;
    emit({
      ...step,
      rule: `repeat: ${decision}, answer lost`,
      cause: "failure",
      event,
      next: withPoint(written, worker, "failing"),
    });
  }

  /** The request is sent, unless the worker's own clock says that the lease may have expired. */
  #leave(state: State, worker: number, emit: Emit): void {
    const { job, isOwner, point } = workerOf(state, worker);
    const isAgain = point === "sendingAgain";
    const mayLeave = this.#is("a request may be sent after its lease") ||
      (isOwner && !jobOf(state, job).isLeaseOver);
    emit({
      rule: mayLeave ? "send" : "send: too late",
      cause: "engine",
      job,
      worker,
      event: "",
      next: withPoint(
        state,
        worker,
        mayLeave
          ? isAgain ? "waitingAgain" : "waiting"
          : isAgain
          ? "lost"
          : "refused",
      ),
    });
  }

  /** The provider's handling of a request, and the delivery of its response. */
  #provide(state: State, worker: number, emit: Emit): void {
    const { job, point } = workerOf(state, worker);
    const row = jobOf(state, job);
    // A refusal of a repeated request does not prove that the earlier one made nothing.
    const isLost = point === "waitingAgain" &&
      !this.#is("a refused repetition counts as a refusal");
    const emitted = (
      rule: string,
      cause: Cause,
      to: Point,
      changes?: Partial<Job>,
    ) =>
      emit({
        rule: `provider: ${rule}`,
        cause,
        job,
        worker,
        event: "",
        next: withPoint(
          changes === undefined ? state : withJob(state, job, changes),
          worker,
          to,
        ),
      });
    const made = this.#made(row);
    emitted("makes it", "provider", "answered", made);
    if (this.#may("answer lost")) {
      emitted("makes it, answer lost", "failure", "lost", made);
    }
    if (this.#may("refused")) {
      emitted("refuses", "failure", isLost ? "lost" : "refused");
    }
    if (this.#may("refused for good")) {
      emitted(
        "refuses for good",
        "failure",
        isLost ? "lost" : "refusedForGood",
      );
    }
    if (this.#may("refused for now")) {
      emitted(
        "has enough of our calls",
        "failure",
        isLost ? "lost" : "refusedForNow",
      );
    }
    if (this.#may("request dropped")) {
      emitted("never gets it", "failure", "lost");
    }
    if (this.#may("answer late")) {
      emitted("is slower than the client", "failure", "lost", {
        orphans: row.orphans + 1,
      });
    }
  }

  /** The provider's objects after a request. One that recognises it by its key makes nothing new. */
  #made(row: Job): Partial<Job> {
    return this.world.hasKey && row.made > 0
      ? {}
      : { made: row.made + 1, isListed: false };
  }

  /** Queries the provider by the job's marker. */
  #find(state: State, worker: number, emit: Emit): void {
    const { job, point } = workerOf(state, worker);
    const row = jobOf(state, job);
    const emitted = (rule: string, to: Point, cause: Cause = "engine") =>
      emit({
        rule: `look-up: ${rule}`,
        cause,
        job,
        worker,
        event: "",
        next: withPoint(state, worker, to),
      });
    const isCancelled = point === "abandoning" ||
      point === "abandoningForGood";
    if (row.made > 0 && row.isListed) {
      emitted("found", isCancelled ? "foundByCancel" : "found");
    } else if (isCancelled) {
      emitted(
        "nothing for the cancelled",
        point === "abandoningForGood" ? "absentByCancel" : "cancelling",
      );
    } else if (point === "askingForGood") emitted("nothing", "absent");
    else emitted("nothing yet", this.world.hasKey ? "repeating" : "snoozing");
    if (!isCancelled && this.#may("refused for now")) {
      emitted("provider has enough of our calls", "snoozing", "failure");
    }
    if (!this.#may("look-up fails")) return;
    emitted("fails", isCancelled ? "cancelling" : "failing", "failure");
    if (!isCancelled && this.#may("shutdown")) {
      emitted("broken off by shutdown", "releasing", "failure");
    }
  }

  /** settle_provider_calls */
  #settle(
    state: State,
    worker: number,
    outcome: Exclude<Call, "none" | "sent">,
    to: Point,
    emit: Emit,
  ): void {
    const { job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const step = { job, worker };
    if (!this.#owns(state, worker)) {
      emit({
        ...step,
        rule: "settle: lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    const isMade = outcome === "succeeded" || outcome === "adopted";
    const isSpendKept = outcome === "rejected" &&
      this.#is("a refusal leaves the spend unknown");
    const written = withJob(state, job, {
      call: outcome,
      isDoubtOld: row.isDoubtOld && outcome === "unknown" &&
        this.#is("the time to reconcile ignores a repetition"),
      isLeaseOver: false,
      spend: isMade
        ? "incurred"
        : outcome === "unknown" || isSpendKept
        ? "unknown"
        : "none",
    });
    emit({
      ...step,
      rule: `settle: ${outcome}`,
      cause: "engine",
      event: "settled",
      next: withPoint(written, worker, to),
    });
    if (!this.#may("settle answer lost")) return;
    emit({
      ...step,
      rule: `settle: ${outcome}, answer lost`,
      cause: "failure",
      event: "settled",
      next: withPoint(
        written,
        worker,
        to === "cancelling" || to === "abandoning" ? "cancelling" : "failing",
      ),
    });
  }

  /** complete_ai_jobs */
  #complete(state: State, worker: number, emit: Emit): void {
    const { job } = workerOf(state, worker);
    const step = { job, worker };
    if (!this.#owns(state, worker)) {
      emit({
        ...step,
        rule: "complete: lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    const { next, event } = this.#left(state, job, {
      status: "completed",
    }, "completed");
    emit({
      ...step,
      rule: "complete",
      cause: "engine",
      event,
      next: withWorker(next, worker, IDLE),
    });
    if (!this.#may("complete answer lost")) return;
    emit({
      ...step,
      rule: "complete: answer lost",
      cause: "failure",
      event,
      next: withPoint(next, worker, "failing"),
    });
  }

  /** complete_ai_jobs that carries the settlement of the last call: both in one transaction. */
  #completeAndSettle(
    state: State,
    worker: number,
    outcome: "succeeded" | "adopted",
    emit: Emit,
  ): void {
    this.#settle(state, worker, outcome, "paid", (settled) => {
      if (settled.rule !== `settle: ${outcome}`) return;
      this.#complete(settled.next, worker, (completed) =>
        emit({
          ...completed,
          rule: completed.rule.replace(
            "complete",
            `complete: settling ${outcome}`,
          ).replace(": answer lost", ", answer lost"),
          event: "settled completed",
        }));
    });
  }

  /** fail_ai_job, snooze_ai_job, release_ai_job, cancel_ai_job */
  #end(state: State, worker: number, point: Point, emit: Emit): void {
    const { job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const name = END_NAMES[point] ?? point;
    const emitted = (rule: string, next: State, event = "") =>
      emit({
        rule: `${name}${rule}`,
        cause: "engine",
        job,
        worker,
        event,
        next: withWorker(next, worker, IDLE),
      });
    if (!this.#owns(state, worker)) {
      emitted(": lost", state);
      return;
    }
    const givesBack = row.attempt -
      (this.#is("snooze spends the attempt") ? 0 : 1);
    switch (point) {
      case "failing": {
        if (row.attempt >= row.maxAttempts) {
          const { next, event } = this.#left(
            state,
            job,
            { status: "failed" },
            "failed",
          );
          emitted(": attempts used up", next, event);
          return;
        }
        const { next, event, how } = this.#left(state, job, {
          status: "pending",
          isDue: false,
        }, "retried");
        emitted(`: ${how}`, next, event);
        return;
      }
      case "failingForGood": {
        const { next, event } = this.#left(
          state,
          job,
          { status: "failed" },
          "failed",
        );
        emitted(": for good", next, event);
        return;
      }
      case "snoozing": {
        const { next, event, how } = this.#left(state, job, {
          status: "pending",
          attempt: givesBack,
          isDue: false,
        }, "snoozed");
        emitted(`: ${how}`, next, event);
        return;
      }
      case "releasing": {
        const { next, event, how } = this.#left(state, job, {
          status: "pending",
          attempt: row.attempt - 1,
          isDue: true,
        }, "released");
        emitted(`: ${how}`, next, event);
        return;
      }
      default: {
        if (!row.isCancelAsked) {
          emitted(": nobody asked", state);
          return;
        }
        const { next, event } = this.#left(state, job, {
          status: "cancelled",
        }, "cancelled");
        emitted("", next, event);
      }
    }
  }

  /**
   * Consequences of leaving `processing`: the lease ends, a call without a response has an unknown outcome, and a
   * cancelled or expired job ends instead of waiting.
   */
  #left(
    state: State,
    job: number,
    changes: Partial<Job>,
    event: string,
  ): { next: State; event: string; how: string } {
    const row = jobOf(state, job);
    const isDoubtful = row.call === "sent" &&
      !this.#is("an ending leaves its call as sent");
    const isCancelled = changes.status === "pending" && row.isCancelAsked &&
      !this.#is("requeueing forgets a cancellation");
    const isTooOld = changes.status === "pending" && row.isOld &&
      !isCancelled && !this.#is("a job is never too old to wait again");
    const next = withJob(state, job, {
      isLeaseOver: false,
      ...changes,
      ...(isDoubtful ? { call: "unknown" as const } : {}),
      ...(isCancelled ? { status: "cancelled" as const, isDue: false } : {}),
      ...(isTooOld ? { status: "failed" as const, isDue: false } : {}),
    });
    return {
      next: {
        ...next,
        workers: next.workers.map((worker) =>
          worker.job === job && worker.isOwner
            ? { ...worker, isOwner: false }
            : worker
        ),
      },
      event: isCancelled ? "cancelled" : isTooOld ? "failed" : event,
      how: isCancelled ? "cancelled" : isTooOld ? "too old" : event,
    };
  }

  /** rescue_stalled_ai_jobs */
  #sweep(state: State, job: number, emit: Emit): void {
    const row = jobOf(state, job);
    const isStalled = row.status === "processing" &&
      (row.isLeaseOver || this.#is("rescue takes a valid lease"));
    if (!isStalled || this.#is("nothing sweeps")) return;
    const isLast = row.attempt >= row.maxAttempts;
    const diedInside = row.call === "sent";
    const isPaid = row.call === "succeeded" || row.call === "adopted";
    const getsAnother = isLast && (diedInside || isPaid);
    const waits = !isLast || getsAnother ||
      this.#is("rescue leaves the last attempt waiting");
    const { next, event, how } = this.#left(
      state,
      job,
      waits
        ? {
          status: "pending",
          attempt: row.attempt - (getsAnother ? 1 : 0),
          isDue: row.attempt <= 1 || diedInside,
        }
        : { status: "failed" },
      waits ? "rescued" : "failed",
    );
    emit({
      rule: `rescue: ${
        event === "failed" && isOpen(row.call)
          ? `parked, ${how}`
          : how !== "rescued"
          ? how
          : !getsAnother
          ? "rescued"
          : diedInside
          ? "once more, to ask"
          : "once more, to finish"
      }`,
      cause: "engine",
      job,
      worker: -1,
      event,
      next,
    });
  }

  /** Steps of passing time, in the database and at the provider. */
  #pass(state: State, job: number, emit: Emit): void {
    const row = jobOf(state, job);
    const passed = (rule: string, cause: Cause, changes: Partial<Job>) =>
      emit({
        rule,
        cause,
        job,
        worker: -1,
        event: "",
        next: withJob(state, job, changes),
      });
    if (row.status === "pending" && !row.isDue) {
      passed("time: due", "time", { isDue: true });
    }
    if (row.status === "processing" && !row.isLeaseOver) {
      const isHeld = state.workers.some((worker) =>
        worker.job === job && worker.isOwner
      );
      if (!isHeld || this.#may("stall")) {
        passed("time: lease over", isHeld ? "failure" : "time", {
          isLeaseOver: true,
        });
      }
    }
    const isUnderWay = row.status === "pending" && row.attempt > 0 ||
      row.status === "processing";
    if (this.world.ages && isUnderWay && !row.isOld) {
      passed("time: job old", "time", { isOld: true });
    }
    if (row.orphans > 0) {
      passed("provider: makes what nobody waits for", "provider", {
        orphans: row.orphans - 1,
        ...this.#made(row),
      });
      passed("provider: drops what nobody waits for", "provider", {
        orphans: row.orphans - 1,
      });
    }
    if (row.made > 0 && !row.isListed) {
      passed("provider: lists it", "provider", { isListed: true });
    }
    if (!row.isDoubtOld && this.#mayDoubtBeOld(state, job)) {
      passed("time: doubt old", "time", { isDoubtOld: true });
    }
  }

  /**
   * The only assumption about the provider: within `reconcile_seconds` after the sender is known to be gone, it has
   * finished with the request and lists what it created.
   */
  #mayDoubtBeOld(state: State, job: number): boolean {
    const row = jobOf(state, job);
    if (this.#is("the time to reconcile starts at the sending")) {
      return isOpen(row.call);
    }
    const isRepeated = state.workers.some((worker) =>
      worker.job === job && worker.point === "waitingAgain"
    );
    if (isRepeated && this.#is("the time to reconcile ignores a repetition")) {
      return true;
    }
    if (row.call !== "unknown") return false;
    const isOnTheWire = row.orphans > 0 ||
      state.workers.some((worker) =>
        worker.job === job && isInCall(worker.point) &&
        (worker.isOwner || !this.#is("a sender that is cut off continues"))
      );
    return !isOnTheWire && (row.made === 0 || row.isListed);
  }

  /** The actions of owners and operators. */
  #people(state: State, job: number, emit: Emit): void {
    const row = jobOf(state, job);
    const asked = (rule: string, event: string, changes: Partial<Job>) =>
      emit({
        rule,
        cause: "people",
        job,
        worker: -1,
        event,
        next: withJob(state, job, changes),
      });
    if (!row.isCancelAsked && job < this.world.cancellable) {
      if (row.status === "pending") {
        asked("owner: cancels a waiting job", "cancelled", {
          isCancelAsked: true,
          ...(this.#is("cancelling a waiting job leaves it waiting")
            ? {}
            : { status: "cancelled", isDue: false }),
        });
      } else if (row.status === "processing") {
        asked(
          "owner: cancels a running job",
          this.#is("cancelling a running job writes no event")
            ? ""
            : "cancel_requested",
          { isCancelAsked: true },
        );
      }
    }
    if (
      row.isAnswered && (row.status === "pending" || row.status === "failed")
    ) {
      asked("operator: takes the answer back", "failed", {
        status: "failed",
        isDue: false,
        call: "unknown",
        isAnswered: false,
        isDoubtOld: false,
        spend: "unknown",
      });
    }
    if (row.status !== "failed" || row.reruns >= this.world.reruns) return;
    const again = {
      status: "pending",
      isDue: true,
      isCancelAsked: false,
      isOld: false,
      maxAttempts: row.attempt + this.world.maxAttempts,
      reruns: row.reruns + 1,
    } as const;
    if (row.spend !== "unknown") {
      asked("owner: retries", "retry_requested", {
        ...again,
        ...(this.#is("retry forgets the journal")
          ? { call: "none", spend: "none" }
          : {}),
      });
    } else if (
      row.orphans === 0 && !hasRequestUnderWay(state, job) &&
      row.call === "unknown"
    ) {
      // The operator checks once the provider has finished, and reports what happened.
      const isMade = row.made > 0;
      asked(
        isMade ? "operator: it was made" : "operator: nothing was made",
        "retry_requested",
        {
          ...again,
          call: isMade ? "adopted" : "absent",
          isAnswered: true,
          spend: isMade ? "incurred" : "none",
          isDoubtOld: false,
        },
      );
    }
  }
}

/** The next state of a worker that learns of a cancellation; in other states it finishes its current step. */
const CANCELLED_AT: Partial<Record<Point, Point>> = {
  claimed: "cancelling",
  sending: "refusedByCancel",
  waiting: "lostByCancel",
  sendingAgain: "lostByCancel",
  waitingAgain: "lostByCancel",
  repeating: "abandoning",
  refused: "refusedByCancel",
  refusedForNow: "refusedByCancel",
  lost: "lostByCancel",
  asking: "abandoning",
  askingForGood: "abandoningForGood",
  failing: "cancelling",
  failingForGood: "cancelling",
  snoozing: "cancelling",
};

const END_NAMES: Partial<Record<Point, string>> = {
  failing: "fail",
  failingForGood: "fail",
  snoozing: "snooze",
  releasing: "release",
  cancelling: "cancel",
};

/** The worker with this number. */
function workerOf(state: State, worker: number): Worker {
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
function isInCall(point: Point): boolean {
  return point === "waiting" || point === "waitingAgain";
}

function hasRequestUnderWay(state: State, job: number): boolean {
  return state.workers.some((worker) =>
    worker.job === job && isInCall(worker.point)
  );
}

function withJob(state: State, job: number, changes: Partial<Job>): State {
  return {
    jobs: state.jobs.map((row, index) =>
      index === job ? { ...row, ...changes } : row
    ),
    workers: state.workers,
  };
}

function withWorker(state: State, worker: number, to: Worker): State {
  return {
    jobs: state.jobs,
    workers: state.workers.map((one, index) => index === worker ? to : one),
  };
}

function withPoint(state: State, worker: number, point: Point): State {
  return withWorker(state, worker, { ...workerOf(state, worker), point });
}

/** The worker is gone; its request may still reach the provider. */
function gone(state: State, worker: number): State {
  const { point, job } = workerOf(state, worker);
  const left = withWorker(state, worker, IDLE);
  return isInCall(point)
    ? withJob(left, job, { orphans: jobOf(state, job).orphans + 1 })
    : left;
}
