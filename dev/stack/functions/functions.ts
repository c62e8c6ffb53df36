/**
 * All functions of a project, each with one process that accepts requests. The first request starts it, as on the
 * hosted platform; {@link Functions.ready} starts all beforehand. A process that ends unexpectedly is replaced, with
 * growing delays if that repeats. A process that retires by age is replaced before it ends.
 */
import type { ChildSignal } from "../process/child.ts";
import { type FunctionProcess, startFunctionProcess } from "./process.ts";
import type { FunctionDefinition } from "../project/project.ts";
import type { FunctionSettings } from "./settings.ts";

const initialBackoffMs = 100;
const maxBackoffMs = 5000;
/** A process that lived this long was not in a crash loop. */
const healthyMs = 10_000;

class ManagedFunction {
  readonly definition: FunctionDefinition;
  readonly #settings: FunctionSettings;
  readonly #alive = new Set<FunctionProcess>();
  #current: Promise<FunctionProcess> | undefined;
  #backoffMs = initialBackoffMs;
  readonly #stopping = new AbortController();

  constructor(definition: FunctionDefinition, settings: FunctionSettings) {
    this.definition = definition;
    this.#settings = settings;
  }

  /** The process that accepts requests; started if there is none. Waits for one that is booting. */
  async current(): Promise<FunctionProcess> {
    for (;;) {
      const process = await (this.#current ??= this.#bootFirst());
      // Its successor starts to serve at the moment it retires.
      if (!process.isRetired || this.#stopping.signal.aborted) return process;
      await process.retired;
    }
  }

  get processes(): FunctionProcess[] {
    return [...this.#alive];
  }

  /** A process that does not start is not kept; the next request tries again. */
  async #bootFirst(): Promise<FunctionProcess> {
    try {
      return await this.#boot();
    } catch (error) {
      this.#current = undefined;
      throw error;
    }
  }

  async #boot(): Promise<FunctionProcess> {
    const process = await startFunctionProcess(
      this.definition,
      this.#settings,
      this.#stopping.signal,
    );
    this.#alive.add(process);
    process.exited.then(() => this.#alive.delete(process));
    if (this.#stopping.signal.aborted) await process.end();
    else process.retired.then(() => this.#replace(process));
    return process;
  }

  async #replace(old: FunctionProcess): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const age = Date.now() - old.startedAt.getTime();
    if (age > healthyMs) this.#backoffMs = initialBackoffMs;
    this.#current = this.#bootUntilItWorks(old.isOver && age < healthyMs);
    // The rejection may have no listener; the next caller of the function gets the error.
    await this.#current.catch(() => {});
  }

  async #bootUntilItWorks(afterCrash: boolean): Promise<FunctionProcess> {
    if (afterCrash) await this.#pause();
    for (;;) {
      try {
        return await this.#boot();
      } catch (error) {
        if (this.#stopping.signal.aborted) throw error;
        this.#settings.logs.add(
          `function:${this.definition.slug}`,
          "stderr",
          error instanceof Error ? error.message : String(error),
        );
        await this.#pause();
      }
    }
  }

  async #pause(): Promise<void> {
    const { signal } = this.#stopping;
    const pause = Promise.withResolvers<void>();
    const timer = setTimeout(pause.resolve, this.#backoffMs);
    const stop = () => pause.resolve();
    signal.addEventListener("abort", stop);
    this.#backoffMs = Math.min(this.#backoffMs * 2, maxBackoffMs);
    await pause.promise;
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    signal.throwIfAborted();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the stack is stopping"));
    await this.#current?.catch(() => {});
    await Promise.all(this.processes.map((process) => process.end()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.processes.map(async (process) => {
      await process.signal("KILL");
      await process.exited;
    }));
  }
}

function manage(
  definitions: FunctionDefinition[],
  settings: FunctionSettings,
): Map<string, ManagedFunction> {
  return new Map(
    definitions.map((definition) => [
      definition.slug,
      new ManagedFunction(definition, settings),
    ]),
  );
}

/** The functions of a running stack. */
export class Functions {
  #functions: Map<string, ManagedFunction>;
  #settings: FunctionSettings;

  /** Starts no process. */
  constructor(definitions: FunctionDefinition[], settings: FunctionSettings) {
    this.#settings = settings;
    this.#functions = manage(definitions, settings);
  }

  /** Names of all functions, sorted. */
  get slugs(): string[] {
    return [...this.#functions.keys()].sort();
  }

  /** Starts every function and resolves when all accept requests. Rejects with the first that does not. */
  async ready(): Promise<void> {
    await Promise.all(
      [...this.#functions.values()].map((managed) => managed.current()),
    );
  }

  /** The definition of a function in config.toml; undefined when there is none. */
  definition(slug: string): FunctionDefinition | undefined {
    return this.#functions.get(slug)?.definition;
  }

  /** The process of a function that accepts requests, started if there is none. */
  process(slug: string): Promise<FunctionProcess> {
    return this.#get(slug).current();
  }

  /** Every live process of a function: the one that accepts requests, and retired ones that still work. */
  processes(slug: string): FunctionProcess[] {
    return this.#get(slug).processes;
  }

  /**
   * Sends a signal to every live process of a function and, when it is KILL, waits until they have ended. A new
   * process takes their place.
   */
  async kill(slug: string, signal: `SIG${ChildSignal}`): Promise<void> {
    const name = signalNames[signal];
    await Promise.all(
      this.#get(slug).processes.map(async (process) => {
        await process.signal(name);
        if (name === "KILL") await process.exited;
      }),
    );
  }

  /** Advances the clocks of all live processes, for tests. */
  async advance(milliseconds: number): Promise<void> {
    await Promise.all(
      [...this.#functions.values()].flatMap(({ processes }) =>
        processes.map((process) => process.advance(milliseconds))
      ),
    );
  }

  /** Asks all processes to end, and kills those that exceed the grace period. */
  async stop(): Promise<void> {
    await Promise.all(
      [...this.#functions.values()].map((managed) => managed.stop()),
    );
  }

  /** Kills every process and refuses requests until {@link resume}. For tests. */
  async halt(): Promise<void> {
    const managed = [...this.#functions.values()];
    const stopped = Promise.all(managed.map((one) => one.stop()));
    await Promise.all(managed.map((one) => one.kill()));
    await stopped;
  }

  /** Accepts requests again after {@link halt}. Processes that start from now on have these settings. */
  resume(settings: Pick<FunctionSettings, "env" | "limits">): void {
    const definitions = [...this.#functions.values()].map((one) =>
      one.definition
    );
    this.#settings = { ...this.#settings, ...settings };
    this.#functions = manage(definitions, this.#settings);
  }

  #get(slug: string): ManagedFunction {
    const found = this.#functions.get(slug);
    if (found === undefined) throw new Error(`function ${slug} does not exist`);
    return found;
  }
}

const signalNames = {
  SIGTERM: "TERM",
  SIGINT: "INT",
  SIGQUIT: "QUIT",
  SIGHUP: "HUP",
  SIGKILL: "KILL",
  SIGCONT: "CONT",
  SIGSTOP: "STOP",
} as const;
