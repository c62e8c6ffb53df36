/** A process of the benchmark, from the driver's side. serve-commands.ts is the process's side. */
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { FULL_LOCK } from "../../dev/tools/lock-rules.ts";
import { LINE_MARKER } from "./serve-commands.ts";

const messageSchema = z.union([
  z.object({ ready: z.unknown() }),
  z.object({ id: z.number(), answer: z.unknown() }),
  z.object({ id: z.number(), error: z.string() }),
]);

/** How long a process may take to end after its input has ended, in milliseconds. */
const GRACE_MS = 10_000;

const root = fromFileUrl(new URL("../../", import.meta.url));

/** A process that executes commands. */
export class Program implements AsyncDisposable {
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ready = Promise.withResolvers<unknown>();
  readonly #open = new Map<
    number,
    { resolve(answer: unknown): void; reject(error: Error): void }
  >();
  readonly #over: Promise<void>;
  readonly #script: string;
  #calls = 0;

  private constructor(
    script: string,
    given: unknown,
    sink: "null" | "inherit",
  ) {
    this.#script = script;
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        ...FULL_LOCK,
        "--quiet",
        "--allow-all",
        fromFileUrl(new URL(script, import.meta.url)),
        JSON.stringify(given),
      ],
      cwd: root,
      stdin: "piped",
      stdout: "piped",
      stderr: sink,
    }).spawn();
    this.pid = this.#process.pid;
    this.#input = this.#process.stdin.getWriter();
    this.#over = this.#read();
  }

  /**
   * Starts a program of this folder and resolves, once it is ready, with it and its facts. `given` is its only
   * argument, as JSON. Its standard error is shown, or discarded with `sink: "null"`.
   *
   * @throws {Error} when it ends before it is ready.
   */
  static async start<T>(
    script: string,
    given: unknown,
    facts: z.ZodType<T>,
    sink: "null" | "inherit" = "inherit",
  ): Promise<{ program: Program; facts: T }> {
    const program = new Program(script, given, sink);
    const said = await program.#ready.promise;
    return { program, facts: facts.parse(said) };
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (
      const text of this.#process.stdout.pipeThrough(new TextDecoderStream())
    ) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.startsWith(LINE_MARKER)) continue;
        this.#take(
          messageSchema.parse(JSON.parse(line.slice(LINE_MARKER.length))),
        );
      }
    }
    const { code, signal } = await this.#process.status;
    const error = new Error(`${this.#script} ended (${signal ?? code})`);
    this.#ready.reject(error);
    for (const call of this.#open.values()) call.reject(error);
    this.#open.clear();
  }

  #take(message: z.infer<typeof messageSchema>): void {
    if ("ready" in message) return this.#ready.resolve(message.ready);
    const call = this.#open.get(message.id);
    this.#open.delete(message.id);
    if ("error" in message) call?.reject(new Error(message.error));
    else call?.resolve(message.answer);
  }

  /** Sends a command and resolves with its answer. Rejects with the process's own error, or when it ends first. */
  async call<T>(
    command: string,
    given: unknown,
    answer: z.ZodType<T>,
  ): Promise<T> {
    const id = ++this.#calls;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#open.set(id, { resolve, reject });
    await this.#input.write(
      new TextEncoder().encode(`${JSON.stringify({ id, command, given })}\n`),
    );
    return answer.parse(await promise);
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended
    }
    await this.#over;
    await this.#input.abort().catch(() => {});
  }

  /** Waits until it ends by itself, and kills it if it does not. */
  async stop(): Promise<void> {
    await this.#input.close().catch(() => {});
    const late = setTimeout(() => void this.kill(), GRACE_MS);
    await this.#over;
    clearTimeout(late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
