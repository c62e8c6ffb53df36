/** What the model explores: the faults and mutations of a configuration, and the steps between two states. */
import type { State } from "./state.ts";

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
  "failing ignores a cancellation",
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

/** A configuration with at most one mutation, as the rules read it. */
export interface Model {
  readonly configuration: Configuration;
  /** Whether the rules have this mutation. */
  is(mutation: Mutation): boolean;
  /** Whether this fault can happen. */
  may(fault: Fault): boolean;
}
