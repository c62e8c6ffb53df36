/**
 * When an isolate has to go, as the supervisor of the hosted edge runtime decides it
 * (supabase/edge-runtime v1.74, `crates/base/src/worker/supervisor/strategy_per_worker.rs`).
 */
import type { ResourceUsage } from "../process/resource-usage.ts";

/** What an isolate may use up. */
export interface IsolateLimits {
  /** How long it lives by its own clock, which stands still until its first request, in milliseconds. */
  wallClockMs: number;
  /**
   * Processor time of an isolate over all its requests and background work, in milliseconds; 0 for no limit. At half of it
   * the isolate is retired, so that each request has at least the other half.
   */
  cpuMs: number;
  /** Resident memory of an isolate, in bytes; 0 for no limit. */
  memoryBytes: number;
}

/** Why an isolate was killed, in the words of a hosted project's `Shutdown` event. */
export type KillReason = "WallClockTime" | "CPUTime" | "Memory";

/** What an isolate's `beforeunload` says. */
export type UnloadReason = "wall_clock" | "cpu" | "memory";

/** What a supervisor does to its isolate, and knows of it. */
export interface Supervised {
  /** Gives it no further request. */
  retire(): void;
  /** Announces its end. */
  announce(reason: UnloadReason): void;
  kill(reason: KillReason): void;
  log(line: string): void;
  /** What it has used since it accepts requests; undefined where that cannot be found out. */
  usage(): Promise<ResourceUsage | undefined>;
}

interface Step {
  at: number;
  take: (value: number) => void;
}

/** Steps to take as a value reaches them: each once, in order. None when the value has no limit. */
class Steps {
  readonly #left: Step[];

  constructor(limit: number, ...steps: Step[]) {
    this.#left = limit === 0 ? [] : steps;
  }

  /** The value at which the next step is due; Infinity when all are taken. */
  get next(): number {
    return this.#left[0]?.at ?? Infinity;
  }

  reach(value: number): void {
    while (this.next <= value) this.#left.shift()?.take(value);
  }
}

/** How often it is looked at what an isolate uses, in milliseconds; memory, unlike time, may grow at any speed. */
const LOOK_AGAIN_MS = { idle: 1000, working: 50, large: 20 };
/** An isolate that has used no processor time for so long is idle, in milliseconds. */
const IDLE_AFTER_MS = 1000;
/** The least pause between two looks. */
const SHORTEST_PAUSE_MS = 10;

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
const mebibytes = (bytes: number) => `${Math.round(bytes / 1_048_576)} MB`;

/**
 * Watches one isolate. Half of a limit retires it, at nine tenths its end is announced, at the whole it is killed.
 * Nothing happens before {@link begin} and after {@link stop}.
 */
export class Supervisor {
  readonly #isolate: Supervised;
  readonly #steps: Record<"age" | "cpu" | "memory" | "peak", Steps>;
  /** Memory from which an isolate is watched closely. */
  readonly #largeBytes: number;
  #bornAt: number | undefined;
  #cpuMs = 0;
  #idleMs = 0;
  /** How long the present pause between two looks is; 0 when there is none. */
  #pauseMs = 0;
  #ageTimer: ReturnType<typeof setTimeout> | undefined;
  #usageTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(limits: IsolateLimits, isolate: Supervised) {
    const { wallClockMs, cpuMs, memoryBytes } = limits;
    this.#isolate = isolate;
    this.#largeBytes = memoryBytes * 0.5;
    const retire = (line: string) => {
      isolate.log(line);
      isolate.retire();
    };
    const kill = (reason: KillReason, line: string) => {
      isolate.log(line);
      isolate.kill(reason);
    };
    this.#steps = {
      age: new Steps(wallClockMs, {
        at: wallClockMs * 0.5,
        take: () => retire("wall clock duration warning"),
      }, {
        at: wallClockMs * 0.9,
        take: () => isolate.announce("wall_clock"),
      }, {
        at: wallClockMs,
        take: () => kill("WallClockTime", "wall clock duration reached"),
      }),
      cpu: new Steps(cpuMs, {
        at: cpuMs * 0.5,
        take: (used) =>
          retire(
            `CPU time soft limit reached: this isolate has used ${
              seconds(used)
            } of ${seconds(cpuMs)} and gets no further request`,
          ),
      }, {
        at: cpuMs * 0.9,
        take: () => isolate.announce("cpu"),
      }, {
        at: cpuMs,
        take: (used) =>
          kill(
            "CPUTime",
            `CPU time hard limit reached: this isolate has used ${
              seconds(used)
            } of ${
              seconds(cpuMs)
            } and is ended, with all that it was working on`,
          ),
      }),
      memory: new Steps(memoryBytes, {
        at: memoryBytes * 0.5,
        take: (used) =>
          retire(
            `half of the memory limit reached: this isolate has ${
              mebibytes(used)
            } of ${mebibytes(memoryBytes)} and gets no further request`,
          ),
      }, {
        at: memoryBytes * 0.9,
        take: () => isolate.announce("memory"),
      }),
      peak: new Steps(memoryBytes, {
        at: memoryBytes,
        take: (used) =>
          kill(
            "Memory",
            `memory limit reached: this isolate had ${mebibytes(used)} of ${
              mebibytes(memoryBytes)
            } and is ended, with all that it was working on`,
          ),
      }),
    };
  }

  /** Starts the clock of an isolate that is `ageMs` milliseconds old by its own clock. */
  begin(ageMs: number): void {
    if (this.#bornAt !== undefined) return;
    this.#bornAt = performance.now() - ageMs;
    this.#lookAtAge();
    this.#lookAtUsage();
  }

  /** The isolate was given something to do, and is idle no more. */
  work(): void {
    this.#idleMs = 0;
    if (this.#pauseMs <= LOOK_AGAIN_MS.working) return;
    clearTimeout(this.#usageTimer);
    this.#lookAgainIn(LOOK_AGAIN_MS.working);
  }

  /** Lets so many milliseconds pass at once, for tests. Without effect on an isolate whose clock stands still. */
  advance(milliseconds: number): void {
    if (this.#bornAt === undefined) return;
    this.#bornAt -= milliseconds;
    this.#lookAtAge();
  }

  /** The isolate is over. */
  stop(): void {
    clearTimeout(this.#ageTimer);
    clearTimeout(this.#usageTimer);
    this.#bornAt = undefined;
  }

  #lookAtAge(): void {
    clearTimeout(this.#ageTimer);
    if (this.#bornAt === undefined) return;
    const age = performance.now() - this.#bornAt;
    this.#steps.age.reach(age);
    const wait = this.#steps.age.next - age;
    if (wait === Infinity) return;
    // A timer may come a little early.
    this.#ageTimer = setTimeout(() => this.#lookAtAge(), Math.max(1, wait));
  }

  async #lookAtUsage(): Promise<void> {
    const { cpu, memory, peak } = this.#steps;
    if (cpu.next === Infinity && peak.next === Infinity) return;
    const used = await this.#isolate.usage();
    if (used === undefined || this.#bornAt === undefined) return;
    if (used.cpuMs > this.#cpuMs) this.#idleMs = 0;
    this.#cpuMs = used.cpuMs;
    cpu.reach(used.cpuMs);
    memory.reach(used.memoryBytes);
    peak.reach(used.peakMemoryBytes);
    const state = this.#idleMs >= IDLE_AFTER_MS
      ? "idle"
      : used.memoryBytes < this.#largeBytes
      ? "working"
      : "large";
    // One thread cannot use more processor time than passes, so that no step is missed by more than a short pause.
    this.#lookAgainIn(Math.min(
      Math.max(SHORTEST_PAUSE_MS, cpu.next - used.cpuMs),
      LOOK_AGAIN_MS[state],
    ));
  }

  #lookAgainIn(milliseconds: number): void {
    this.#pauseMs = milliseconds;
    this.#usageTimer = setTimeout(() => {
      this.#idleMs += milliseconds;
      this.#pauseMs = 0;
      this.#lookAtUsage();
    }, milliseconds);
  }
}
