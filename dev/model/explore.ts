/**
 * Explores every reachable state breadth first, and checks the properties of each state, of each step, and of all
 * paths. The trace of a violation has minimal length.
 */
import type { Cause, Configuration, Rules, Step } from "./rules.ts";
import {
  encode,
  IDLE,
  isFinal,
  isOpen,
  type Job,
  newJob,
  type State,
} from "./state.ts";

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

function violatedByStep(state: State, step: Step): string | undefined {
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

function violatedInState(
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

/** The steps between states, for questions about paths. */
class Edges {
  #from = new Int32Array(1 << 16);
  #to = new Int32Array(1 << 16);
  #kind = new Uint8Array(1 << 16);
  #size = 0;

  add(from: number, to: number, kind: number): void {
    if (this.#size === this.#from.length) this.#grow();
    this.#from[this.#size] = from;
    this.#to[this.#size] = to;
    this.#kind[this.#size] = kind;
    this.#size++;
  }

  #grow(): void {
    const larger = (old: Int32Array<ArrayBuffer>) => {
      const grown = new Int32Array(old.length * 2);
      grown.set(old);
      return grown;
    };
    this.#from = larger(this.#from);
    this.#to = larger(this.#to);
    const kinds = new Uint8Array(this.#kind.length * 2);
    kinds.set(this.#kind);
    this.#kind = kinds;
  }

  /** The edges of the given kinds, grouped by one end. */
  #group(
    count: number,
    isWanted: (kind: number) => boolean,
    by: "from" | "to",
  ): { first: Int32Array; others: Int32Array; kinds: Uint8Array } {
    const ends = by === "from" ? this.#from : this.#to;
    const others = by === "from" ? this.#to : this.#from;
    const wanted = [0, 1, 2, 3, 4].map((kind) => isWanted(kind));
    const first = new Int32Array(count + 1);
    for (let edge = 0; edge < this.#size; edge++) {
      if (!wanted[this.#kind[edge] ?? 0]) continue;
      const end = ends[edge] ?? 0;
      first[end + 1] = (first[end + 1] ?? 0) + 1;
    }
    for (let id = 0; id < count; id++) {
      first[id + 1] = (first[id + 1] ?? 0) + (first[id] ?? 0);
    }
    const next = first.slice();
    const grouped = new Int32Array(first[count] ?? 0);
    const kinds = new Uint8Array(grouped.length);
    for (let edge = 0; edge < this.#size; edge++) {
      if (!wanted[this.#kind[edge] ?? 0]) continue;
      const end = ends[edge] ?? 0;
      const place = next[end] ?? 0;
      next[end] = place + 1;
      grouped[place] = others[edge] ?? 0;
      kinds[place] = this.#kind[edge] ?? 0;
    }
    return { first, others: grouped, kinds };
  }

  /** 1 for each state from which a path of the given edges leads to a goal. */
  statesReaching(
    count: number,
    isGoal: (id: number) => boolean,
    isWanted: (kind: number) => boolean,
  ): Uint8Array {
    const { first, others } = this.#group(count, isWanted, "to");
    const reaches = new Uint8Array(count);
    const waiting: number[] = [];
    for (let id = 0; id < count; id++) {
      if (!isGoal(id)) continue;
      reaches[id] = 1;
      waiting.push(id);
    }
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      const end = first[id + 1] ?? 0;
      for (let edge = first[id] ?? 0; edge < end; edge++) {
        const before = others[edge] ?? 0;
        if (reaches[before] === 1) continue;
        reaches[before] = 1;
        waiting.push(before);
      }
    }
    return reaches;
  }

  /**
   * A state of a cycle of the given edges for which `isBad` holds (given the states of the strongly connected component
   * and the kinds of its edges), or undefined. Tarjan's algorithm, without recursion.
   */
  firstCycle(
    count: number,
    isWanted: (kind: number) => boolean,
    isBad: (
      members: ReadonlySet<number>,
      kinds: ReadonlySet<number>,
    ) => boolean,
  ): number | undefined {
    const { first, others, kinds } = this.#group(count, isWanted, "from");
    const index = new Int32Array(count).fill(-1);
    const low = new Int32Array(count);
    const isOnPath = new Uint8Array(count);
    const next = first.slice(0, count);
    const path: number[] = [];
    let visited = 0;
    for (let root = 0; root < count; root++) {
      if (index[root] !== -1) continue;
      const calls = [root];
      while (calls.length > 0) {
        const at = calls[calls.length - 1] ?? 0;
        if (index[at] === -1) {
          index[at] = low[at] = visited++;
          path.push(at);
          isOnPath[at] = 1;
        }
        const edge = next[at] ?? 0;
        if (edge < (first[at + 1] ?? 0)) {
          next[at] = edge + 1;
          const to = others[edge] ?? 0;
          if (index[to] === -1) calls.push(to);
          else if (isOnPath[to] === 1) {
            low[at] = Math.min(low[at] ?? 0, index[to] ?? 0);
          }
          continue;
        }
        calls.pop();
        const caller = calls[calls.length - 1];
        if (caller !== undefined) {
          low[caller] = Math.min(low[caller] ?? 0, low[at] ?? 0);
        }
        if (low[at] !== index[at]) continue;
        const members = new Set<number>();
        for (let member = -1; member !== at;) {
          member = path.pop() ?? at;
          isOnPath[member] = 0;
          members.add(member);
        }
        const inside = new Set<number>();
        for (const member of members) {
          const end = first[member + 1] ?? 0;
          for (let one = first[member] ?? 0; one < end; one++) {
            if (members.has(others[one] ?? 0)) inside.add(kinds[one] ?? 0);
          }
        }
        if (inside.size > 0 && isBad(members, inside)) {
          return Math.min(...members);
        }
      }
    }
    return undefined;
  }
}
