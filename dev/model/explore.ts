/**
 * Explores every reachable state breadth first, and checks the properties of each state, of each step, and of all
 * paths. The trace of a violation has minimal length.
 */
import { Edges } from "./edges.ts";
import { violatedByStep, violatedInState } from "./properties.ts";
import type { Rules } from "./rules.ts";
import { encode, IDLE, isFinal, newJob, type State } from "./state.ts";
import type { Cause, Step } from "./system.ts";

/** A violated property and a shortest path to it. */
export interface Violation {
  /** The property that was violated. */
  readonly property: string;
  /** Names of the steps from the start, with job and worker. */
  readonly trace: readonly string[];
}

/** The result of an exploration. */
export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** How often each rule was applicable. */
  readonly rules: ReadonlyMap<string, number>;
  /** Undefined when every property holds in every reachable state. */
  readonly violation: Violation | undefined;
}

/** The initial state. */
export function start(rules: Rules): State {
  const { jobs, workers, maxAttempts } = rules.configuration;
  return {
    jobs: Array.from({ length: jobs }, () => newJob(maxAttempts)),
    workers: Array.from({ length: workers }, () => IDLE),
  };
}

/**
 * Explores all states.
 *
 * @throws when there are more than `limit` states, because the world is then larger than intended.
 */
export function explore(rules: Rules, limit = 3_000_000): Exploration {
  return new Search(rules, limit).run();
}

class Search {
  readonly #rules: Rules;
  readonly #limit: number;
  readonly #ids = new Map<string, number>();
  readonly #states: State[] = [];
  readonly #parents: number[] = [];
  readonly #stepNames: string[] = [];
  readonly #counts = new Map<string, number>();
  readonly #edges = new Edges();
  #transitions = 0;
  #violation: Violation | undefined;

  constructor(rules: Rules, limit: number) {
    this.#rules = rules;
    this.#limit = limit;
  }

  run(): Exploration {
    this.#visit(start(this.#rules), -1, undefined);
    for (let id = 0; id < this.#states.length; id++) {
      const state = this.#states[id];
      if (state === undefined || this.#violation !== undefined) break;
      this.#rules.steps(state, (step) => this.#take(id, state, step));
    }
    this.#violation ??= this.#checkPaths();
    return {
      states: this.#states.length,
      transitions: this.#transitions,
      rules: this.#counts,
      violation: this.#violation,
    };
  }

  #take(from: number, state: State, step: Step): void {
    this.#transitions++;
    this.#counts.set(step.rule, (this.#counts.get(step.rule) ?? 0) + 1);
    this.#note(violatedByStep(state, step), () => [
      ...this.#traceTo(from),
      nameOf(step),
    ]);
    const to = this.#visit(step.next, from, step);
    this.#edges.add(from, to, kindOf(step));
  }

  #note(property: string | undefined, trace: () => string[]): void {
    if (property === undefined) return;
    this.#violation ??= { property, trace: trace() };
  }

  #visit(state: State, parent: number, step: Step | undefined): number {
    const key = encode(state);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#states.length;
    if (id >= this.#limit) {
      throw new Error(`there are more than ${this.#limit} states`);
    }
    this.#ids.set(key, id);
    this.#states.push(state);
    this.#parents.push(parent);
    this.#stepNames.push(step === undefined ? "" : nameOf(step));
    this.#note(
      violatedInState(state, this.#rules.configuration),
      () => this.#traceTo(id),
    );
    return id;
  }

  #traceTo(id: number): string[] {
    const trace: string[] = [];
    for (let at = id; at > 0; at = this.#parents[at] ?? 0) {
      trace.push(this.#stepNames[at] ?? "");
    }
    return trace.reverse();
  }

  #checkPaths(): Violation | undefined {
    const count = this.#states.length;
    const isDone = (id: number) => {
      const state = this.#states[id];
      return state !== undefined &&
        state.jobs.every(({ status }) => isFinal(status));
    };
    const violates = (property: string, id: number) => ({
      property,
      trace: this.#traceTo(id),
    });

    const canEnd = this.#edges.statesReaching(count, isDone, isFaultFree);
    const stuck = firstWhere(count, (id) => canEnd[id] === 0);
    if (stuck !== undefined) {
      return violates(
        "from every state, without any further fault, every job can end",
        stuck,
      );
    }
    const cycle = this.#edges.firstCycle(
      count,
      isFaultFree,
      (members) => !this.#hasExit(members),
    );
    if (cycle !== undefined) {
      return violates(
        "without further faults no job loops forever: waiting long enough always ends it",
        cycle,
      );
    }
    if (!this.#rules.configuration.ages) return undefined;
    const endless = this.#edges.firstCycle(
      count,
      isUnrequested,
      (members, kinds) => kinds.has(KIND.claim) && !this.#canExpire(members),
    );
    return endless === undefined ? undefined : violates(
      "no job loops forever: its attempts or its age end it, even if every worker fails",
      endless,
    );
  }

  /** Whether from each of the states, the passing of time or a response leads out of the cycle. */
  #hasExit(members: ReadonlySet<number>): boolean {
    return [...members].every((id) => {
      const state = this.#states[id];
      if (state === undefined) return false;
      let leavesMembers = false;
      this.#rules.steps(state, (step) => {
        if (step.cause !== "time" && step.cause !== "provider") return;
        const to = this.#ids.get(encode(step.next));
        if (to !== undefined && !members.has(to)) leavesMembers = true;
      });
      return leavesMembers;
    });
  }

  /** Whether the job's age leads out of the cycle. Every job reaches its maximum age. */
  #canExpire(members: ReadonlySet<number>): boolean {
    return [...members].some((id) => {
      const state = this.#states[id];
      if (state === undefined) return false;
      let leavesMembers = false;
      this.#rules.steps(state, ({ rule, next }) => {
        if (rule !== "time: maximum age exceeded") return;
        const to = this.#ids.get(encode(next));
        if (to !== undefined && !members.has(to)) leavesMembers = true;
      });
      return leavesMembers;
    });
  }
}

/** Kinds of edges, for questions about paths. */
const KIND = {
  other: 0,
  fault: 1,
  request: 2,
  claim: 3,
  heartbeat: 4,
} as const;
type Kind = (typeof KIND)[keyof typeof KIND];

const KIND_OF_CAUSE: Partial<Record<Cause, Kind>> = {
  fault: KIND.fault,
  request: KIND.request,
};

function kindOf({ rule, cause }: Step): Kind {
  if (rule === "claim") return KIND.claim;
  if (rule === "heartbeat") return KIND.heartbeat;
  return KIND_OF_CAUSE[cause] ?? KIND.other;
}

/** Steps that are neither faults nor requests of people. */
function isFaultFree(kind: number): boolean {
  return kind !== KIND.fault && kind !== KIND.request;
}

/** Steps that can repeat without a request from a user or operator. */
function isUnrequested(kind: number): boolean {
  return kind !== KIND.request && kind !== KIND.heartbeat;
}

function firstWhere(
  count: number,
  test: (id: number) => boolean,
): number | undefined {
  for (let id = 0; id < count; id++) if (test(id)) return id;
  return undefined;
}

function nameOf({ rule, job, worker }: Step): string {
  return `${rule} (job ${job + 1}${
    worker < 0 ? "" : `, worker ${worker + 1}`
  })`;
}
