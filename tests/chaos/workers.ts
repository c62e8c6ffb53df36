/** Worker processes: the function as deployed, started as the stack starts it, behind fault proxies of its requests. */
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

/** The calls whose responses are claimed jobs. */
const CLAIMS = /^(claim|poll)_/;

/** How to start a worker. */
export interface WorkerOptions {
  /** The function that it runs; process-ai-job by default. */
  slug?: WorkerSlug;
  /** Jobs at a time. */
  concurrency: number;
  /** Wall-clock limit of its isolate in milliseconds. */
  wallClockMs?: number;
  /** A main module that replaces the function's own. */
  entrypoint?: string;
  /** Additional environment variables. */
  env?: Record<string, string>;
}

/** Called at every moment of every request of a worker, which waits for the verdict. */
export type WorkerWatch = (
  worker: ChaosWorker,
  moment: Moment,
) => Verdict | Promise<Verdict>;

/** A worker process. */
export interface ChaosWorker {
  readonly name: string;
  /** The function that it runs. */
  readonly slug: WorkerSlug;
  /** The origin to which deliveries are sent. */
  readonly origin: string;
  /** Its calls so far, in order, as `<call> <nth>`. */
  readonly calls: readonly string[];
  /** Jobs that it claimed, from the responses to its claims. */
  readonly jobs: readonly string[];
  /** False once its process has ended. */
  readonly isAlive: boolean;
  /** Whether it is suspended. */
  readonly isSuspended: boolean;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP. */
  suspend(): void;
  /** SIGCONT. */
  resume(): void;
  /** SIGTERM, which the function sees as `beforeunload`; resolves when the process is gone. */
  terminate(): Promise<void>;
}

/** Starts workers. Disposing kills those that still run. */
export class Workers implements AsyncDisposable {
  readonly #stack: Stack;
  readonly #definitions: ReadonlyMap<WorkerSlug, FunctionDefinition>;
  readonly #watch: WorkerWatch;
  readonly #all = new Set<AsyncDisposable>();
  readonly #known: ChaosWorker[] = [];
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

  /** Starts a worker and resolves once it accepts deliveries. */
  async start(options: WorkerOptions): Promise<ChaosWorker> {
    const name = `worker-${++this.#started}`;
    const slug = options.slug ?? SLUG;
    const definition = this.#definitions.get(slug);
    if (definition === undefined) throw new Error(`there is no ${slug}`);
    const jobs: string[] = [];
    const calls: string[] = [];
    let isAlive = true;
    let isSuspended = false;
    const watch = (moment: Moment) => {
      if (moment.phase === "headers") {
        calls.push(`${moment.call} ${moment.nth}`);
      }
      if (moment.phase === "answered" && CLAIMS.test(moment.call)) {
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
          ELEVENLABS_API_KEY: "chaos-test-key",
          ELEVENLABS_BASE_URL: `${provider.url}/elevenlabs`,
          DID_API_KEY: "chaos-test-key",
          DID_BASE_URL: `${provider.url}/d-id`,
          HEYGEN_API_KEY: "chaos-test-key",
          HEYGEN_BASE_URL: `${provider.url}/heygen`,
          WORKER_CONCURRENCY: String(options.concurrency),
          ISOLATE_WALL_CLOCK: String(Math.ceil(wallClockMs / 1000)),
          // Less than a test's limit, so that a hanging call ends by itself.
          AI_API_TIMEOUT: "20",
          DB_STATEMENT_TIMEOUT: "4",
          ...options.env,
        },
        // One process stands for many isolates, so their limits do not apply.
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
        // The process has ended by itself.
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
      get isSuspended() {
        return isSuspended;
      },
      async kill() {
        if (isAlive) signal("SIGKILL");
        await process.exited;
        isAlive = false;
      },
      suspend() {
        signal("SIGSTOP");
        isSuspended = true;
      },
      resume() {
        signal("SIGCONT");
        isSuspended = false;
      },
      terminate: () => process.end(),
    };
    this.#known.push(worker);
    this.#all.add({
      async [Symbol.asyncDispose]() {
        await worker.kill();
        await Promise.all([api.close(), provider.close()]);
      },
    });
    return worker;
  }

  /** The workers that neither have ended nor are suspended. */
  get running(): ChaosWorker[] {
    return this.#known.filter(({ isAlive, isSuspended }) =>
      isAlive && !isSuspended
    );
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
