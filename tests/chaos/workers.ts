/** Worker processes: the deployed function in the process that the stack gives it, behind its own fault proxies. */
import { denoCommand } from "../../dev/stack/functions/deno.ts";
import { startFunctionProcess } from "../../dev/stack/functions/process.ts";
import type { FunctionDefinition } from "../../dev/stack/project/project.ts";
import type { Stack } from "../../dev/stack/stack.ts";
import {
  type FaultProxy,
  type Moment,
  startFaultProxy,
  type Verdict,
} from "./fault-proxy.ts";
import { RENDER_SLUG, ROOT, SLUG, type WorkerSlug } from "./project.ts";

/** How a worker is to be. */
export interface WorkerOptions {
  /** The function that it runs; process-ai-job when left out. */
  slug?: WorkerSlug;
  /** Jobs at a time. */
  concurrency: number;
  /** Life of its isolate in milliseconds. */
  wallClockMs?: number;
  /** Another main module in the place of the function's own. */
  entrypoint?: string;
  /** Further variables. */
  env?: Record<string, string>;
}

/** Asked at every moment of every request of a worker. */
export type WorkerWatch = (
  worker: ChaosWorker,
  moment: Moment,
) => Verdict | Promise<Verdict>;

/** A worker process. */
export interface ChaosWorker {
  readonly name: string;
  /** The function that it runs. */
  readonly slug: WorkerSlug;
  /** Where deliveries for it go. */
  readonly origin: string;
  /** What it called so far, in order. */
  readonly calls: readonly string[];
  /** Jobs that it was given, as the answers to its claims say. */
  readonly jobs: readonly string[];
  /** False once its process is over, killed or not. */
  readonly isAlive: boolean;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP, at once. */
  stop(): void;
  /** SIGCONT. */
  goOn(): void;
  /** SIGTERM, which announces the end by `beforeunload`; resolves when the process is gone. */
  end(): Promise<void>;
}

/** Starts workers and ends what is left of them. */
export class Workers implements AsyncDisposable {
  readonly #stack: Stack;
  readonly #definitions: ReadonlyMap<WorkerSlug, FunctionDefinition>;
  readonly #watch: WorkerWatch;
  readonly #all = new Set<AsyncDisposable>();
  #started = 0;

  constructor(stack: Stack, watch: WorkerWatch) {
    this.#stack = stack;
    this.#definitions = new Map(
      ([SLUG, RENDER_SLUG] as const).map((slug) => {
        const definition = stack.functions.definition(slug);
        if (definition === undefined) throw new Error(`there is no ${slug}`);
        return [slug, definition];
      }),
    );
    this.#watch = watch;
  }

  /** Starts a worker and resolves when it takes deliveries. */
  async start(options: WorkerOptions): Promise<ChaosWorker> {
    const name = `worker-${++this.#started}`;
    const slug = options.slug ?? SLUG;
    const definition = this.#definitions.get(slug);
    if (definition === undefined) throw new Error(`there is no ${slug}`);
    const jobs: string[] = [];
    const calls: string[] = [];
    let isAlive = true;
    const watch = (moment: Moment) => {
      if (moment.phase === "headers") {
        calls.push(`${moment.call} ${moment.nth}`);
      }
      if (moment.phase === "answered" && moment.call.startsWith("claim_")) {
        jobs.push(...idsIn(moment.answer ?? ""));
      }
      return this.#watch(worker, moment);
    };
    const wallClockMs = options.wallClockMs ?? 400_000;
    const api: FaultProxy = await startFaultProxy(this.#stack.apiUrl, watch);
    const provider = await startFaultProxy(
      this.#stack.simulatorUrl,
      watch,
      { keepsHost: true },
    );
    const process = await startFunctionProcess(
      {
        ...definition,
        entrypoint: options.entrypoint ?? definition.entrypoint,
      },
      {
        projectDir: ROOT,
        deno: denoCommand(undefined),
        env: {
          SUPABASE_URL: api.url,
          SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({
            default: this.#stack.publishableKey,
          }),
          SUPABASE_SECRET_KEYS: JSON.stringify({
            default: this.#stack.secretKey,
          }),
          DISPATCH_SECRET: this.#stack.dispatchSecret,
          ELEVENLABS_API_KEY: "simulated-in-the-storm",
          ELEVENLABS_BASE_URL: `${provider.url}/elevenlabs`,
          DID_API_KEY: "simulated-in-the-storm",
          DID_BASE_URL: `${provider.url}/d-id`,
          HEYGEN_API_KEY: "simulated-in-the-storm",
          HEYGEN_BASE_URL: `${provider.url}/heygen`,
          WORKER_CONCURRENCY: String(options.concurrency),
          ISOLATE_WALL_CLOCK: String(Math.ceil(wallClockMs / 1000)),
          // Less than a test may take, so that a call that hangs ends by itself.
          AI_API_TIMEOUT: "20",
          DB_STATEMENT_TIMEOUT: "4",
          ...options.env,
        },
        // The one worker of a storm stands for many isolates.
        limits: { wallClockMs, cpuMs: 0, memoryBytes: 0 },
        bootTimeoutMs: 60_000,
        logs: this.#stack.logs,
      },
      new AbortController().signal,
    );
    process.exited.then(() => isAlive = false);
    const signal = (what: Deno.Signal) => {
      try {
        Deno.kill(process.pid, what);
      } catch (error) {
        // It went by itself a moment ago.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    };
    const worker: ChaosWorker = {
      name,
      slug,
      origin: process.origin,
      calls,
      jobs,
      get isAlive() {
        return isAlive;
      },
      async kill() {
        if (isAlive) signal("SIGKILL");
        await process.exited;
        isAlive = false;
      },
      stop: () => signal("SIGSTOP"),
      goOn: () => signal("SIGCONT"),
      end: () => process.end(),
    };
    this.#all.add({
      async [Symbol.asyncDispose]() {
        await worker.kill();
        await Promise.all([api.close(), provider.close()]);
      },
    });
    return worker;
  }

  /** Kills every running worker. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((one) => one[Symbol.asyncDispose]()));
    this.#all.clear();
  }
}

function idsIn(answer: string): string[] {
  try {
    const rows: unknown = JSON.parse(answer);
    return Array.isArray(rows) ? rows.flatMap(idOf) : [];
  } catch {
    return [];
  }
}

function idOf(row: unknown): string[] {
  return typeof row === "object" && row !== null && "id" in row &&
      typeof row.id === "string"
    ? [row.id]
    : [];
}
