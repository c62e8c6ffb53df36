/**
 * When an isolate has to go, as the supervisor of the hosted edge runtime decides it
 * (supabase/edge-runtime v1.74, `crates/base/src/worker/supervisor/strategy_per_worker.rs`).
 */

/** Why an isolate was killed, in the words of a hosted project's `Shutdown` event. */
export type KillReason = "WallClockTime";

/** What an isolate's `beforeunload` says. */
export type UnloadReason = "wall_clock";

/** What a supervisor does to its isolate. */
export interface Supervised {
  /** Gives it no further request. */
  retire(): void;
  /** Announces its end. */
  announce(reason: UnloadReason): void;
  kill(reason: KillReason): void;
  log(line: string): void;
}

interface Step {
  at: number;
  take: () => void;
}

/** Steps to take as a growing value reaches them: each once, in order. */
class Steps {
  readonly #left: Step[];

  constructor(...steps: Step[]) {
    this.#left = steps.toSorted((a, b) => a.at - b.at);
  }

  /** The value at which the next step is due; Infinity when all are taken. */
  get next(): number {
    return this.#left[0]?.at ?? Infinity;
  }

  reach(value: number): void {
    while (this.next <= value) this.#left.shift()?.take();
  }
}

/**
 * Watches one isolate: at half of its wall clock it is retired, at nine tenths its end is announced, at the whole it is
 * killed. Nothing happens before {@link begin} and after {@link stop}.
 */
export class Supervisor {
  readonly #wallClock: Steps;
  #bornAt: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(limits: { wallClockMs: number }, isolate: Supervised) {
    const { wallClockMs } = limits;
    this.#wallClock = new Steps(
      {
        at: wallClockMs * 0.5,
        take() {
          isolate.log("wall clock duration warning");
          isolate.retire();
        },
      },
      {
        at: wallClockMs * 0.9,
        take: () => isolate.announce("wall_clock"),
      },
      {
        at: wallClockMs,
        take() {
          isolate.log("wall clock duration reached");
          isolate.kill("WallClockTime");
        },
      },
    );
  }

  /** Starts the clock of an isolate that is `ageMs` milliseconds old by its own clock. */
  begin(ageMs: number): void {
    this.#bornAt ??= performance.now() - ageMs;
    this.#look();
  }

  /** Lets so many milliseconds pass at once, for tests. Without effect on an isolate whose clock stands still. */
  advance(milliseconds: number): void {
    if (this.#bornAt === undefined) return;
    this.#bornAt -= milliseconds;
    this.#look();
  }

  /** The isolate is over. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#bornAt = undefined;
  }

  #look(): void {
    clearTimeout(this.#timer);
    if (this.#bornAt === undefined) return;
    const age = performance.now() - this.#bornAt;
    this.#wallClock.reach(age);
    const wait = this.#wallClock.next - age;
    if (wait === Infinity) return;
    // A timer may come a little early.
    this.#timer = setTimeout(() => this.#look(), Math.max(1, wait));
  }
}
