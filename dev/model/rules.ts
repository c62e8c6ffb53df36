/**
 * The rules of the engine: all possible next steps of a state. A step is a transaction of a SQL function, an action of
 * a worker or of the provider, or the passing of time. docs/job-lifecycle.md describes the same;
 * tests/database/model-replay.test.ts compares it with the SQL.
 */
import { request } from "./rules/people.ts";
import { claim, sweep } from "./rules/queue.ts";
import { pass } from "./rules/time.ts";
import { work } from "./rules/worker.ts";
import { type State, workerOf } from "./state.ts";
import type { Configuration, Emit, Fault, Model, Mutation } from "./system.ts";

/** The rules of a configuration, with at most one mutation. */
export class Rules implements Model {
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
      if (point === "idle") claim(this, state, worker, emit);
      else work(this, state, worker, emit);
    }
    for (let job = 0; job < state.jobs.length; job++) {
      sweep(this, state, job, emit);
      pass(this, state, job, emit);
      request(this, state, job, emit);
    }
  }

  is(mutation: Mutation): boolean {
    return this.#mutation === mutation;
  }

  may(fault: Fault): boolean {
    return this.configuration.faults.has(fault);
  }
}
