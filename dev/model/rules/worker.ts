/** The steps of a worker that has a job. */
import {
  endWorker,
  IDLE,
  isInCall,
  type Point,
  type State,
  withPoint,
  withWorker,
  workerOf,
} from "../state.ts";
import type { Cause, Emit, Model } from "../system.ts";
import {
  begin,
  complete,
  completeAndSettle,
  repeat,
  send,
  settle,
} from "./paid-calls.ts";
import { query, respond } from "./provider.ts";
import { end, heartbeat } from "./queue.ts";

/** A step of a worker that has a job. */
export function work(
  model: Model,
  state: State,
  worker: number,
  emit: Emit,
): void {
  heartbeat(model, state, worker, emit);
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
  if (model.may("crash")) {
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
      begin(model, state, worker, emit);
      if (model.may("input unavailable")) {
        emitMove("input: storage unavailable", "failing", "fault");
        emitMove("input: not found", "failingPermanently", "fault");
      }
      if (model.may("shutdown")) emitMove("shutdown", "releasing", "fault");
      break;
    case "sending":
      send(model, state, worker, emit);
      break;
    case "awaitingResponse":
      respond(model, state, worker, emit);
      break;
    case "repeating":
      repeat(model, state, worker, emit);
      break;
    case "resending":
      send(model, state, worker, emit);
      break;
    case "awaitingRepeat":
      respond(model, state, worker, emit);
      break;
    case "succeeded":
      settle(model, state, worker, "succeeded", "paid", emit);
      completeAndSettle(model, state, worker, "succeeded", emit);
      break;
    case "rejected":
      settle(model, state, worker, "rejected", "failing", emit);
      break;
    case "rejectedPermanently":
      settle(model, state, worker, "rejected", "failingPermanently", emit);
      break;
    case "throttled":
      settle(model, state, worker, "rejected", "snoozing", emit);
      break;
    case "rejectedCancelled":
      settle(model, state, worker, "rejected", "cancelling", emit);
      break;
    case "responseLost":
      if (model.is("a lost response counts as a rejection")) {
        settle(model, state, worker, "rejected", "failing", emit);
      } else settle(model, state, worker, "unknown", "snoozing", emit);
      break;
    case "responseLostCancelled":
      settle(model, state, worker, "unknown", "queryingCancelled", emit);
      break;
    case "querying":
    case "queryingFinal":
    case "queryingCancelled":
    case "queryingFinalCancelled":
      query(model, state, worker, emit);
      break;
    case "found":
      settle(model, state, worker, "adopted", "paid", emit);
      completeAndSettle(model, state, worker, "adopted", emit);
      break;
    case "foundCancelled":
      settle(model, state, worker, "adopted", "cancelling", emit);
      break;
    case "absent":
      settle(model, state, worker, "absent", "failing", emit);
      break;
    case "absentCancelled":
      settle(model, state, worker, "absent", "cancelling", emit);
      break;
    case "paid":
      complete(model, state, worker, emit);
      break;
    case "failing":
    case "failingPermanently":
    case "snoozing":
    case "releasing":
    case "cancelling":
      end(model, state, worker, point, emit);
      if (point === "failing" && model.may("shutdown")) {
        emitMove("shutdown", "releasing", "fault");
      }
      if (model.may("end not delivered")) {
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
