/** The separate worker process of a contender: started, queried, killed, replaced. */
import { z } from "zod";
import { wallMs } from "../processes/clock.ts";
import { Program } from "../processes/program.ts";

/** Runs at most one process at a time, always with the same script. */
export class WorkerProcess<Facts> {
  readonly #script: string;
  readonly #facts: z.ZodType<Facts>;
  readonly #sink: "null" | "inherit";
  #program: Program | undefined;
  #starting: Promise<Facts> | undefined;

  constructor(
    script: string,
    facts: z.ZodType<Facts>,
    sink: "null" | "inherit" = "inherit",
  ) {
    this.#script = script;
    this.#facts = facts;
    this.#sink = sink;
  }

  /** Starts the process, and resolves with its facts once it accepts jobs. */
  async start(given: unknown): Promise<Facts> {
    this.#starting = Program.start(
      this.#script,
      given,
      this.#facts,
      this.#sink,
    ).then(({ program, facts }) => {
      this.#program = program;
      return facts;
    });
    return await this.#starting;
  }

  /** SIGKILL, and immediately a new process. Resolves with the time of the kill, before the new one is ready. */
  async killAndStart(given: unknown): Promise<number> {
    const at = wallMs();
    await this.#program?.kill();
    this.#program = undefined;
    this.start(given).catch(() => {}); // the error reaches the code that awaits `ready`
    return at;
  }

  /** Resolves with the facts of the newest process once it accepts jobs. */
  async ready(): Promise<Facts> {
    if (this.#starting === undefined) throw new Error("nothing is started");
    return await this.#starting;
  }

  /** Ends the process. With SIGKILL: nothing is in flight any more, and a graceful end takes some of them seconds. */
  async stop(): Promise<void> {
    await this.#starting;
    await this.#program?.kill();
    this.#program = undefined;
    this.#starting = undefined;
  }

  /** See {@link Contender.firstLines}. */
  async firstLines(): Promise<Map<string, number>> {
    const lines = await this.#program?.call(
      "first_lines",
      null,
      z.record(z.string(), z.number()),
    );
    return new Map(Object.entries(lines ?? {}));
  }
}
