/**
 * Decides when an isolate must end, like the supervisor of the hosted edge runtime (supabase/edge-runtime v1.74,
 * `crates/base/src/worker/supervisor/strategy_per_worker.rs`).
 */
import type { ResourceUsage } from "../process/resource-usage.ts";

/** Limits of an isolate. */
export interface IsolateLimits {
  /** Age by its own clock, which stands still until its first request, in milliseconds. */
  wallClockMs: number;
  /**
   * Processor time over all its requests and background work, in milliseconds; 0 for no limit. Half of it retires the
   * isolate, so that each request has at least the other half.
   */
  cpuMs: number;
  /** Resident memory in bytes; 0 for no limit. */
  memoryBytes: number;
}

/** Why an isolate was killed, in the terms of a hosted project's `Shutdown` event. */
export type KillReason = "WallClockTime" | "CPUTime" | "Memory";

/** The reason in an isolate's `beforeunload` event. */
export type UnloadReason = "wall_clock" | "cpu" | "memory";

/** The operations that a supervisor needs of its isolate. */
export interface Supervised {
  /** Stops sending it requests. */
  retire(): void;
  /** Announces its end. */
  announce(reason: UnloadReason): void;
  kill(reason: KillReason): void;
  log(line: string): void;
  /** Its usage since it began to accept requests; undefined where that cannot be measured. */
  usage(): ResourceUsage | undefined;
}

interface Step {
  at: number;
  take: (value: number) => void;
}

/** Actions at increasing values of a usage, each once and in order. None when the usage has no limit. */
class Steps {
  readonly #left: Step[];

  constructor(limit: number, ...steps: Step[]) {
    this.#left = limit === 0 ? [] : steps;
  }

  /** The value of the next action; Infinity when all are done. */
  get next(): number {
    return this.#left[0]?.at ?? Infinity;
  }

  reach(value: number): void {
    while (this.next <= value) this.#left.shift()?.take(value);
  }
}

/** Longest interval between two measurements, in milliseconds. Memory, unlike processor time, can grow at any speed. */
const INTERVAL_MS = { idle: 1000, working: 50, large: 20 };
/** An isolate that has used no processor time for this long is idle, in milliseconds. */
const IDLE_AFTER_MS = 1000;
/** Shortest interval between two measurements. */
const MIN_INTERVAL_MS = 10;

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
const mebibytes = (bytes: number) => `${Math.round(bytes / 1_048_576)} MB`;

/**
 * Watches one isolate. Half of a limit retires it, nine tenths announce its end, the whole kills it. Nothing happens
 * before {@link begin} and after {@link stop}.
 */
export class Supervisor {
  readonly #isolate: Supervised;
  readonly #steps: Record<"age" | "cpu" | "memory" | "peak", Steps>;
  /** Memory above which an isolate is measured more often. */
  readonly #largeBytes: number;
  #bornAt: number | undefined;
  #cpuMs = 0;
  #idleMs = 0;
  /** The current interval between two measurements; 0 when there is none. */
  #intervalMs = 0;
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

  /** Starts the clock of an isolate at an age of `ageMs` milliseconds. */
  begin(ageMs: number): void {
    if (this.#bornAt !== undefined) return;
    this.#bornAt = performance.now() - ageMs;
    this.#checkAge();
    this.#checkUsage();
  }

  /** The isolate has received work, so it is not idle. */
  work(): void {
    this.#idleMs = 0;
    if (this.#intervalMs <= INTERVAL_MS.working) return;
    clearTimeout(this.#usageTimer);
    this.#scheduleCheck(INTERVAL_MS.working);
  }

  /** Advances the clock, for tests. No effect while it stands still. */
  advance(milliseconds: number): void {
    if (this.#bornAt === undefined) return;
    this.#bornAt -= milliseconds;
    this.#checkAge();
  }

  /** The isolate has ended. */
  stop(): void {
    clearTimeout(this.#ageTimer);
    clearTimeout(this.#usageTimer);
    this.#bornAt = undefined;
  }

  #checkAge(): void {
    clearTimeout(this.#ageTimer);
    if (this.#bornAt === undefined) return;
    const age = performance.now() - this.#bornAt;
    this.#steps.age.reach(age);
    const wait = this.#steps.age.next - age;
    if (wait === Infinity) return;
    // A timer may fire a little early.
    this.#ageTimer = setTimeout(() => this.#checkAge(), Math.max(1, wait));
  }

  #checkUsage(): void {
    const { cpu, memory, peak } = this.#steps;
    if (cpu.next === Infinity && peak.next === Infinity) return;
    const used = this.#isolate.usage();
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
    // One thread cannot use more processor time than passes, so no action is late by more than the shortest interval.
    this.#scheduleCheck(Math.min(
      Math.max(MIN_INTERVAL_MS, cpu.next - used.cpuMs),
      INTERVAL_MS[state],
    ));
  }

  #scheduleCheck(milliseconds: number): void {
    this.#intervalMs = milliseconds;
    this.#usageTimer = setTimeout(() => {
      this.#idleMs += milliseconds;
      this.#intervalMs = 0;
      this.#checkUsage();
    }, milliseconds);
  }
}
