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

/** Who performs a step. `fault` steps may happen but never have to. */
export type Cause =
  | "engine"
  | "provider"
  | "time"
  | "fault"
  | "request";

/** Faults that a configuration may have. */
export const FAULTS = [
  "crash",
  "stall",
  "claim response lost",
  "begin response lost",
  "settle response lost",
  "complete response lost",
  "begin not delivered",
  "end not delivered",
  "input unavailable",
  "shutdown",
  "rejected",
  "rejected permanently",
  "throttled",
  "request lost",
  "response lost",
  "response late",
  "query fails",
] as const;
export type Fault = (typeof FAULTS)[number];

/** The size of the explored system, and its possible events. */
export interface Configuration {
  readonly jobs: 1 | 2;
  readonly workers: 1 | 2;
  readonly maxAttempts: number;
  /** Cap of the provider. */
  readonly cap: number;
  /** Whether a job can exceed the maximum age of its type. */
  readonly ages: boolean;
  /** How often users and operators may retry a job. */
  readonly retries: number;
  /** Whether the provider has idempotency keys: all requests of a step create one object. */
  readonly hasKey: boolean;
  /** Owners may cancel the jobs below this number. */
  readonly cancellable: number;
  readonly faults: ReadonlySet<Fault>;
}

/** Mutations of the rules: each must violate a property. */
export const MUTATIONS = [
  "writes carry no lease token",
  "claim takes leased jobs",
  "claim ignores the cap",
  "claim counts no attempt",
  "begin resends without a query",
  "begin ignores a cancellation",
  "the call is journalled after its request",
  "an empty query is always conclusive",
  "reconcile_seconds start when the request is sent",
  "a request may be sent after its lease has expired",
  "a worker without a lease continues its request",
  "a lost response counts as a rejection",
  "a rejected repetition counts as a rejection",
  "reconcile_seconds ignore a repetition",
  "a repetition ignores a cancellation",
  "a rejection leaves the spend unknown",
  "the end of a run leaves its call as sent",
  "snooze uses up the attempt",
  "rescue leaves the last attempt waiting",
  "rescue takes a valid lease",
  "cancelling a waiting job leaves it waiting",
  "requeueing ignores a cancellation",
  "requeueing ignores the maximum age",
  "retry ignores the journal",
  "cancelling a running job writes no event",
  "there is no sweep",
] as const;
export type Mutation = (typeof MUTATIONS)[number];

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

/** The rules of a configuration, with at most one mutation. */
export class Rules {
  readonly configuration: Configuration;
  readonly #mutation: Mutation | undefined;

  constructor(configuration: Configuration, mutation?: Mutation) {
    this.configuration = configuration;
    this.#mutation = mutation;
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
      this.#request(state, job, emit);
    }
  }

  #is(mutation: Mutation): boolean {
    return this.#mutation === mutation;
  }

  #may(fault: Fault): boolean {
    return this.configuration.faults.has(fault);
  }

  /** claim_ai_jobs */
  #claim(state: State, worker: number, emit: Emit): void {
    const running = state.jobs.filter(({ status }) => status === "processing");
    const hasRoom = running.length < this.configuration.cap ||
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
        isLeaseExpired: false,
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
      if (!this.#may("claim response lost")) return;
      emit({
        ...step,
        rule: "claim: response lost",
        cause: "fault",
        next: claimed,
      });
    });
  }

  /** A step of a worker that has a job. */
  #work(state: State, worker: number, emit: Emit): void {
    this.#heartbeat(state, worker, emit);
    const { point, job } = workerOf(state, worker);
    const emitMove = (
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
        cause: "fault",
        job,
        worker,
        event: "",
        next: endWorker(state, worker),
      });
    }
    switch (point) {
      case "claimed":
        this.#begin(state, worker, emit);
        if (this.#may("input unavailable")) {
          emitMove("input: storage unavailable", "failing", "fault");
          emitMove("input: not found", "failingPermanently", "fault");
        }
        if (this.#may("shutdown")) emitMove("shutdown", "releasing", "fault");
        break;
      case "sending":
        this.#send(state, worker, emit);
        break;
      case "awaitingResponse":
        this.#respond(state, worker, emit);
        break;
      case "repeating":
        this.#repeat(state, worker, emit);
        break;
      case "resending":
        this.#send(state, worker, emit);
        break;
      case "awaitingRepeat":
        this.#respond(state, worker, emit);
        break;
      case "succeeded":
        this.#settle(state, worker, "succeeded", "paid", emit);
        this.#completeAndSettle(state, worker, "succeeded", emit);
        break;
      case "rejected":
        this.#settle(state, worker, "rejected", "failing", emit);
        break;
      case "rejectedPermanently":
        this.#settle(state, worker, "rejected", "failingPermanently", emit);
        break;
      case "throttled":
        this.#settle(state, worker, "rejected", "snoozing", emit);
        break;
      case "rejectedCancelled":
        this.#settle(state, worker, "rejected", "cancelling", emit);
        break;
      case "responseLost":
        if (this.#is("a lost response counts as a rejection")) {
          this.#settle(state, worker, "rejected", "failing", emit);
        } else this.#settle(state, worker, "unknown", "snoozing", emit);
        break;
      case "responseLostCancelled":
        this.#settle(state, worker, "unknown", "queryingCancelled", emit);
        break;
      case "querying":
      case "queryingFinal":
      case "queryingCancelled":
      case "queryingFinalCancelled":
        this.#query(state, worker, emit);
        break;
      case "found":
        this.#settle(state, worker, "adopted", "paid", emit);
        this.#completeAndSettle(state, worker, "adopted", emit);
        break;
      case "foundCancelled":
        this.#settle(state, worker, "adopted", "cancelling", emit);
        break;
      case "absent":
        this.#settle(state, worker, "absent", "failing", emit);
        break;
      case "absentCancelled":
        this.#settle(state, worker, "absent", "cancelling", emit);
        break;
      case "paid":
        this.#complete(state, worker, emit);
        break;
      case "failing":
      case "failingPermanently":
      case "snoozing":
      case "releasing":
      case "cancelling":
        this.#end(state, worker, point, emit);
        if (point === "failing" && this.#may("shutdown")) {
          emitMove("shutdown", "releasing", "fault");
        }
        if (this.#may("end not delivered")) {
          emit({
            rule: "end: not delivered",
            cause: "fault",
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

  #holdsLease(state: State, worker: number): boolean {
    return workerOf(state, worker).isOwner ||
      this.#is("writes carry no lease token");
  }

  /** heartbeat_ai_jobs, only where it changes something, and the worker's own lease timer. */
  #heartbeat(state: State, worker: number, emit: Emit): void {
    const { point, job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const step = { cause: "engine", job, worker, event: "" } as const;
    if (!this.#holdsLease(state, worker)) {
      const continues =
        this.#is("a worker without a lease continues its request") &&
        isInCall(point);
      if (continues) return;
      emit({
        ...step,
        rule: "heartbeat: lease lost",
        next: endWorker(state, worker),
      });
      return;
    }
    const renewed = row.isLeaseExpired
      ? withJob(state, job, { isLeaseExpired: false })
      : state;
    const cancelledAt = row.isCancelRequested ? CANCELLED_AT[point] : undefined;
    if (cancelledAt !== undefined) {
      const stopped = withPoint(renewed, worker, cancelledAt);
      emit({
        ...step,
        rule: `heartbeat: cancelled at ${point}`,
        next: isInCall(point)
          ? withJob(stopped, job, {
            abandonedRequests: row.abandonedRequests + 1,
          })
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
      const written = withJob(state, job, {
        isLeaseExpired: false,
        ...changes,
      });
      emit({
        ...step,
        rule: `begin: ${rule}`,
        cause: "engine",
        event,
        next: withPoint(written, worker, to),
      });
      if (!this.#may("begin response lost")) return;
      emit({
        ...step,
        rule: `begin: ${rule}, response lost`,
        cause: "fault",
        event,
        next: withPoint(written, worker, "failing"),
      });
    };
    if (!this.#holdsLease(state, worker)) {
      emit({
        ...step,
        rule: "begin: lease lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    if (this.#may("begin not delivered")) {
      emit({
        ...step,
        rule: "begin: not delivered",
        cause: "fault",
        event: "",
        next: withPoint(state, worker, "failing"),
      });
    }
    if (isOpen(row.call) && !this.#is("begin resends without a query")) {
      const isConclusive = row.isReconcileOver;
      answered(
        isConclusive ? "reconcile, conclusive" : "reconcile",
        "progress",
        row.call === "sent" ? { call: "unknown" } : {},
        isConclusive || this.#is("an empty query is always conclusive")
          ? "queryingFinal"
          : "querying",
      );
    } else if (row.call === "succeeded" || row.call === "adopted") {
      answered("done", "progress", {}, "paid");
    } else if (
      row.isCancelRequested && !this.#is("begin ignores a cancellation")
    ) {
      emit({
        ...step,
        rule: "begin: cancelled",
        cause: "engine",
        event: "",
        next: withPoint(state, worker, "cancelling"),
      });
    } else if (this.#is("the call is journalled after its request")) {
      answered("send", "", {}, "sending");
    } else {
      answered("send", "submitted", {
        call: "sent",
        isResolved: false,
        isReconcileOver: false,
        spend: row.spend === "none" ? "unknown" : row.spend,
      }, "sending");
    }
  }

  /** begin_provider_calls again, after an empty query: the provider recognizes the call by its idempotency key. */
  #repeat(state: State, worker: number, emit: Emit): void {
    const { job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const step = { job, worker };
    if (!this.#holdsLease(state, worker)) {
      emit({
        ...step,
        rule: "repeat: lease lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    const mayRepeat = !row.isReconcileOver &&
      (!row.isCancelRequested ||
        this.#is("a repetition ignores a cancellation"));
    const written = withJob(state, job, {
      isLeaseExpired: false,
      ...(mayRepeat ? { call: "sent" as const } : {}),
    });
    const decision = mayRepeat
      ? "repeat"
      : row.isReconcileOver
      ? "reconcile, conclusive"
      : "reconcile";
    const event = mayRepeat ? "submitted" : "progress";
    emit({
      ...step,
      rule: `repeat: ${decision}`,
      cause: "engine",
      event,
      next: withPoint(written, worker, mayRepeat ? "resending" : "snoozing"),
    });
    if (!this.#may("begin response lost")) return;
    emit({
      ...step,
      rule: `repeat: ${decision}, response lost`,
      cause: "fault",
      event,
      next: withPoint(written, worker, "failing"),
    });
  }

  /** The request is sent, unless the worker's own clock says that the lease may have expired. */
  #send(state: State, worker: number, emit: Emit): void {
    const { job, isOwner, point } = workerOf(state, worker);
    const isRepeat = point === "resending";
    const maySend =
      this.#is("a request may be sent after its lease has expired") ||
      (isOwner && !jobOf(state, job).isLeaseExpired);
    emit({
      rule: maySend ? "send" : "send: lease may have expired",
      cause: "engine",
      job,
      worker,
      event: "",
      next: withPoint(
        state,
        worker,
        maySend
          ? isRepeat ? "awaitingRepeat" : "awaitingResponse"
          : isRepeat
          ? "responseLost"
          : "rejected",
      ),
    });
  }

  /** The provider's handling of a request, and the delivery of its response. */
  #respond(state: State, worker: number, emit: Emit): void {
    const { job, point } = workerOf(state, worker);
    const row = jobOf(state, job);
    // A rejected repetition does not prove that the earlier request created nothing.
    const isLost = point === "awaitingRepeat" &&
      !this.#is("a rejected repetition counts as a rejection");
    const emitStep = (
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
    const made = this.#create(row);
    emitStep("creates the object", "provider", "succeeded", made);
    if (this.#may("response lost")) {
      emitStep(
        "creates the object, response lost",
        "fault",
        "responseLost",
        made,
      );
    }
    if (this.#may("rejected")) {
      emitStep("rejects", "fault", isLost ? "responseLost" : "rejected");
    }
    if (this.#may("rejected permanently")) {
      emitStep(
        "rejects permanently",
        "fault",
        isLost ? "responseLost" : "rejectedPermanently",
      );
    }
    if (this.#may("throttled")) {
      emitStep(
        "throttles",
        "fault",
        isLost ? "responseLost" : "throttled",
      );
    }
    if (this.#may("request lost")) {
      emitStep("request lost", "fault", "responseLost");
    }
    if (this.#may("response late")) {
      emitStep("responds after the timeout", "fault", "responseLost", {
        abandonedRequests: row.abandonedRequests + 1,
      });
    }
  }

  /** The provider's objects after a request. With an idempotency key, a repetition creates no further object. */
  #create(row: Job): Partial<Job> {
    return this.configuration.hasKey && row.created > 0
      ? {}
      : { created: row.created + 1, isListed: false };
  }

  /** Queries the provider by the job's marker. */
  #query(state: State, worker: number, emit: Emit): void {
    const { job, point } = workerOf(state, worker);
    const row = jobOf(state, job);
    const emitStep = (rule: string, to: Point, cause: Cause = "engine") =>
      emit({
        rule: `query: ${rule}`,
        cause,
        job,
        worker,
        event: "",
        next: withPoint(state, worker, to),
      });
    const isCancelled = point === "queryingCancelled" ||
      point === "queryingFinalCancelled";
    if (row.created > 0 && row.isListed) {
      emitStep("found", isCancelled ? "foundCancelled" : "found");
    } else if (isCancelled) {
      emitStep(
        "nothing found, cancelled",
        point === "queryingFinalCancelled" ? "absentCancelled" : "cancelling",
      );
    } else if (point === "queryingFinal") {
      emitStep("nothing found, conclusive", "absent");
    } else {
      emitStep(
        "nothing found",
        this.configuration.hasKey ? "repeating" : "snoozing",
      );
    }
    if (!isCancelled && this.#may("throttled")) {
      emitStep("throttled", "snoozing", "fault");
    }
    if (!this.#may("query fails")) return;
    emitStep("fails", isCancelled ? "cancelling" : "failing", "fault");
    if (!isCancelled && this.#may("shutdown")) {
      emitStep("interrupted by shutdown", "releasing", "fault");
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
    if (!this.#holdsLease(state, worker)) {
      emit({
        ...step,
        rule: "settle: lease lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    const isCreated = outcome === "succeeded" || outcome === "adopted";
    const isSpendKept = outcome === "rejected" &&
      this.#is("a rejection leaves the spend unknown");
    const written = withJob(state, job, {
      call: outcome,
      isReconcileOver: row.isReconcileOver && outcome === "unknown" &&
        this.#is("reconcile_seconds ignore a repetition"),
      isLeaseExpired: false,
      spend: isCreated
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
    if (!this.#may("settle response lost")) return;
    emit({
      ...step,
      rule: `settle: ${outcome}, response lost`,
      cause: "fault",
      event: "settled",
      next: withPoint(
        written,
        worker,
        to === "cancelling" || to === "queryingCancelled"
          ? "cancelling"
          : "failing",
      ),
    });
  }

  /** complete_ai_jobs */
  #complete(state: State, worker: number, emit: Emit): void {
    const { job } = workerOf(state, worker);
    const step = { job, worker };
    if (!this.#holdsLease(state, worker)) {
      emit({
        ...step,
        rule: "complete: lease lost",
        cause: "engine",
        event: "",
        next: withWorker(state, worker, IDLE),
      });
      return;
    }
    const { next, event } = this.#leaveProcessing(state, job, {
      status: "completed",
    }, "completed");
    emit({
      ...step,
      rule: "complete",
      cause: "engine",
      event,
      next: withWorker(next, worker, IDLE),
    });
    if (!this.#may("complete response lost")) return;
    emit({
      ...step,
      rule: "complete: response lost",
      cause: "fault",
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
          ).replace(": response lost", ", response lost"),
          event: "settled completed",
        }));
    });
  }

  /** fail_ai_job, snooze_ai_job, release_ai_job, cancel_ai_job */
  #end(state: State, worker: number, point: Point, emit: Emit): void {
    const { job } = workerOf(state, worker);
    const row = jobOf(state, job);
    const name = END_NAMES[point] ?? point;
    const emitStep = (rule: string, next: State, event = "") =>
      emit({
        rule: `${name}${rule}`,
        cause: "engine",
        job,
        worker,
        event,
        next: withWorker(next, worker, IDLE),
      });
    if (!this.#holdsLease(state, worker)) {
      emitStep(": lease lost", state);
      return;
    }
    const attemptReturned = row.attempt -
      (this.#is("snooze uses up the attempt") ? 0 : 1);
    switch (point) {
      case "failing": {
        if (row.attempt >= row.maxAttempts) {
          const { next, event } = this.#leaveProcessing(
            state,
            job,
            { status: "failed" },
            "failed",
          );
          emitStep(": attempts used up", next, event);
          return;
        }
        const { next, event, how } = this.#leaveProcessing(state, job, {
          status: "pending",
          isDue: false,
        }, "retried");
        emitStep(`: ${how}`, next, event);
        return;
      }
      case "failingPermanently": {
        const { next, event } = this.#leaveProcessing(
          state,
          job,
          { status: "failed" },
          "failed",
        );
        emitStep(": permanent", next, event);
        return;
      }
      case "snoozing": {
        const { next, event, how } = this.#leaveProcessing(state, job, {
          status: "pending",
          attempt: attemptReturned,
          isDue: false,
        }, "snoozed");
        emitStep(`: ${how}`, next, event);
        return;
      }
      case "releasing": {
        const { next, event, how } = this.#leaveProcessing(state, job, {
          status: "pending",
          attempt: row.attempt - 1,
          isDue: true,
        }, "released");
        emitStep(`: ${how}`, next, event);
        return;
      }
      default: {
        if (!row.isCancelRequested) {
          emitStep(": not requested", state);
          return;
        }
        const { next, event } = this.#leaveProcessing(state, job, {
          status: "cancelled",
        }, "cancelled");
        emitStep("", next, event);
      }
    }
  }

  /**
   * Consequences of leaving `processing`: the lease ends, a call without a response gets an unknown outcome, and a
   * cancelled or expired job ends instead of waiting.
   */
  #leaveProcessing(
    state: State,
    job: number,
    changes: Partial<Job>,
    event: string,
  ): { next: State; event: string; how: string } {
    const row = jobOf(state, job);
    const isUnsettled = row.call === "sent" &&
      !this.#is("the end of a run leaves its call as sent");
    const isCancelled = changes.status === "pending" && row.isCancelRequested &&
      !this.#is("requeueing ignores a cancellation");
    const isTooOld = changes.status === "pending" && row.isExpired &&
      !isCancelled && !this.#is("requeueing ignores the maximum age");
    const next = withJob(state, job, {
      isLeaseExpired: false,
      ...changes,
      ...(isUnsettled ? { call: "unknown" as const } : {}),
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
      (row.isLeaseExpired || this.#is("rescue takes a valid lease"));
    if (!isStalled || this.#is("there is no sweep")) return;
    const isLast = row.attempt >= row.maxAttempts;
    const diedInCall = row.call === "sent";
    const isPaid = row.call === "succeeded" || row.call === "adopted";
    const getsExtraAttempt = isLast && (diedInCall || isPaid);
    const waits = !isLast || getsExtraAttempt ||
      this.#is("rescue leaves the last attempt waiting");
    const { next, event, how } = this.#leaveProcessing(
      state,
      job,
      waits
        ? {
          status: "pending",
          attempt: row.attempt - (getsExtraAttempt ? 1 : 0),
          isDue: row.attempt <= 1 || diedInCall,
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
          : !getsExtraAttempt
          ? "rescued"
          : diedInCall
          ? "extra attempt, to query"
          : "extra attempt, to finish"
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
    const emitTime = (rule: string, cause: Cause, changes: Partial<Job>) =>
      emit({
        rule,
        cause,
        job,
        worker: -1,
        event: "",
        next: withJob(state, job, changes),
      });
    if (row.status === "pending" && !row.isDue) {
      emitTime("time: due", "time", { isDue: true });
    }
    if (row.status === "processing" && !row.isLeaseExpired) {
      const isOwned = state.workers.some((worker) =>
        worker.job === job && worker.isOwner
      );
      if (!isOwned || this.#may("stall")) {
        emitTime("time: lease expires", isOwned ? "fault" : "time", {
          isLeaseExpired: true,
        });
      }
    }
    const isStarted = row.status === "pending" && row.attempt > 0 ||
      row.status === "processing";
    if (this.configuration.ages && isStarted && !row.isExpired) {
      emitTime("time: maximum age exceeded", "time", { isExpired: true });
    }
    if (row.abandonedRequests > 0) {
      emitTime("provider: handles an abandoned request", "provider", {
        abandonedRequests: row.abandonedRequests - 1,
        ...this.#create(row),
      });
      emitTime("provider: drops an abandoned request", "provider", {
        abandonedRequests: row.abandonedRequests - 1,
      });
    }
    if (row.created > 0 && !row.isListed) {
      emitTime("provider: lists the object", "provider", { isListed: true });
    }
    if (!row.isReconcileOver && this.#mayReconcileBeOver(state, job)) {
      emitTime("time: reconcile_seconds over", "time", {
        isReconcileOver: true,
      });
    }
  }

  /**
   * The only assumption about the provider: within `reconcile_seconds` after the sender is known to have ended, it has
   * finished with the request and lists what it created.
   */
  #mayReconcileBeOver(state: State, job: number): boolean {
    const row = jobOf(state, job);
    if (this.#is("reconcile_seconds start when the request is sent")) {
      return isOpen(row.call);
    }
    const isRepeated = state.workers.some((worker) =>
      worker.job === job && worker.point === "awaitingRepeat"
    );
    if (isRepeated && this.#is("reconcile_seconds ignore a repetition")) {
      return true;
    }
    if (row.call !== "unknown") return false;
    const isInFlight = row.abandonedRequests > 0 ||
      state.workers.some((worker) =>
        worker.job === job && isInCall(worker.point) &&
        (worker.isOwner ||
          !this.#is("a worker without a lease continues its request"))
      );
    return !isInFlight && (row.created === 0 || row.isListed);
  }

  /** The actions of owners and operators. */
  #request(state: State, job: number, emit: Emit): void {
    const row = jobOf(state, job);
    const emitRequest = (rule: string, event: string, changes: Partial<Job>) =>
      emit({
        rule,
        cause: "request",
        job,
        worker: -1,
        event,
        next: withJob(state, job, changes),
      });
    if (!row.isCancelRequested && job < this.configuration.cancellable) {
      if (row.status === "pending") {
        emitRequest("owner: cancels a waiting job", "cancelled", {
          isCancelRequested: true,
          ...(this.#is("cancelling a waiting job leaves it waiting")
            ? {}
            : { status: "cancelled", isDue: false }),
        });
      } else if (row.status === "processing") {
        emitRequest(
          "owner: cancels a running job",
          this.#is("cancelling a running job writes no event")
            ? ""
            : "cancel_requested",
          { isCancelRequested: true },
        );
      }
    }
    if (
      row.isResolved && (row.status === "pending" || row.status === "failed")
    ) {
      emitRequest("operator: takes back the answer", "failed", {
        status: "failed",
        isDue: false,
        call: "unknown",
        isResolved: false,
        isReconcileOver: false,
        spend: "unknown",
      });
    }
    if (row.status !== "failed" || row.retries >= this.configuration.retries) {
      return;
    }
    const again = {
      status: "pending",
      isDue: true,
      isCancelRequested: false,
      isExpired: false,
      maxAttempts: row.attempt + this.configuration.maxAttempts,
      retries: row.retries + 1,
    } as const;
    if (row.spend !== "unknown") {
      emitRequest("owner: retries", "retry_requested", {
        ...again,
        ...(this.#is("retry ignores the journal")
          ? { call: "none", spend: "none" }
          : {}),
      });
    } else if (
      row.abandonedRequests === 0 && !hasRequestInFlight(state, job) &&
      row.call === "unknown"
    ) {
      // The operator checks once the provider has finished, and reports what happened.
      const isCreated = row.created > 0;
      emitRequest(
        isCreated
          ? "operator: reports a creation"
          : "operator: reports no creation",
        "retry_requested",
        {
          ...again,
          call: isCreated ? "adopted" : "absent",
          isResolved: true,
          spend: isCreated ? "incurred" : "none",
          isReconcileOver: false,
        },
      );
    }
  }
}

/** The next point of a worker that learns of a cancellation; at other points it finishes its current step. */
const CANCELLED_AT: Partial<Record<Point, Point>> = {
  claimed: "cancelling",
  sending: "rejectedCancelled",
  awaitingResponse: "responseLostCancelled",
  resending: "responseLostCancelled",
  awaitingRepeat: "responseLostCancelled",
  repeating: "queryingCancelled",
  rejected: "rejectedCancelled",
  throttled: "rejectedCancelled",
  responseLost: "responseLostCancelled",
  querying: "queryingCancelled",
  queryingFinal: "queryingFinalCancelled",
  failing: "cancelling",
  failingPermanently: "cancelling",
  snoozing: "cancelling",
};

const END_NAMES: Partial<Record<Point, string>> = {
  failing: "fail",
  failingPermanently: "fail",
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
  return point === "awaitingResponse" || point === "awaitingRepeat";
}

function hasRequestInFlight(state: State, job: number): boolean {
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

/** The worker ends; its request may still reach the provider. */
function endWorker(state: State, worker: number): State {
  const { point, job } = workerOf(state, worker);
  const left = withWorker(state, worker, IDLE);
  return isInCall(point)
    ? withJob(left, job, {
      abandonedRequests: jobOf(state, job).abandonedRequests + 1,
    })
    : left;
}
