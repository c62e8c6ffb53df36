/**
 * One process of one function: started under the watchdog, with the permissions and names of an edge function, sent
 * requests and orders, and watched by a supervisor.
 */
import { deadline } from "@std/async/deadline";
import { z } from "zod";
import {
  type ChildSignal,
  type GuardedChild,
  spawnGuarded,
} from "../process/child.ts";
import { functionCommand } from "./command.ts";
import type { DenoCommand } from "./deno.ts";
import type { LogBook } from "../console/log-book.ts";
import type { FunctionDefinition } from "../project/project.ts";
import { StackError } from "../console/stack-error.ts";
import {
  readResourceUsage,
  type ResourceUsage,
} from "../process/resource-usage.ts";
import {
  type IsolateLimits,
  type KillReason,
  Supervisor,
  type UnloadReason,
} from "./supervisor.ts";

/** What every process of a stack's functions has in common. */
export interface FunctionSettings {
  projectDir: string;
  /** What runs them. */
  deno: DenoCommand;
  env: Record<string, string>;
  limits: IsolateLimits;
  /** How long a process may take to accept requests, in milliseconds. */
  bootTimeoutMs: number;
  logs: LogBook;
}

/** How a process ended; `killedFor` when the supervisor has killed it. */
export interface ProcessEnd {
  code: number;
  killedFor?: KillReason;
}

/** A process that accepts requests. */
export interface FunctionProcess {
  pid: number;
  /** `http://127.0.0.1:<port>` */
  origin: string;
  startedAt: Date;
  /** Whether it takes no new requests: retired, or over. */
  readonly isRetired: boolean;
  /** Whether it is over. */
  readonly isOver: boolean;
  /** How many requests are on their way to it or wait for the beginning of an answer. */
  readonly unanswered: number;
  /** Resolves when it takes no new requests. */
  retired: Promise<void>;
  /** Resolves with how it ended. */
  exited: Promise<ProcessEnd>;
  /**
   * Sends it a request and resolves with the answer, whose body may still be on its way. `path` begins with a slash.
   * `onBegun` is called when the function has been given the request.
   *
   * @throws {NotBegun} when it is retired, or ended before the function was given the request: another may have it.
   * @throws {ProcessEnded} when the connection was lost and the function may have begun.
   * @throws the reason of `init.signal` when that is aborted.
   */
  send(
    path: string,
    init: RequestInit & { signal: AbortSignal },
    onBegun?: () => void,
  ): Promise<Response>;
  signal(name: ChildSignal): Promise<void>;
  /** Lets so many milliseconds pass for its clock and its supervisor, for tests. */
  advance(milliseconds: number): Promise<void>;
  /** Asks it to end, and kills it when it does not. */
  end(): Promise<void>;
}

/** A request that a process did not begin, and will not. */
export class NotBegun extends Error {
  override readonly name = "NotBegun";
  constructor(options: ErrorOptions = {}) {
    super("the process takes no requests any more", options);
  }
}

/** A process that lost a request which it may have begun; `end` when it is over. */
export class ProcessEnded extends Error {
  override readonly name = "ProcessEnded";
  constructor(readonly end: ProcessEnd | undefined, options: ErrorOptions) {
    super("the process ended while it worked", options);
  }
}

const marker = "\u001e@stack ";
const graceSeconds = 3;
/** How long a process that broke off a connection may take to be over, in milliseconds. */
const endPatienceMs = 5000;

const eventSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("ready"), port: z.number().int() }),
  z.object({ event: z.literal("clock-started"), ageMs: z.number() }),
  z.object({ event: z.literal("begun"), id: z.uuid() }),
  z.object({ event: z.literal("shutdown"), reason: z.string() }),
]);

/**
 * Starts a function and resolves once it accepts requests.
 * Throws {@link StackError}, naming the function and with what it printed, when it ends or does not get there in
 * time, or when `signal` is aborted before; nothing is left running then.
 */
export async function startFunctionProcess(
  definition: FunctionDefinition,
  settings: FunctionSettings,
  signal: AbortSignal,
): Promise<FunctionProcess> {
  const { slug } = definition;
  const source = `function:${slug}`;
  const ready = Promise.withResolvers<number>();
  const retired = Promise.withResolvers<void>();
  const words: string[] = [];
  const log = (line: string) => settings.logs.add(source, "stderr", line);
  const orderToken = crypto.randomUUID();
  const orders = new Set<Promise<void>>();
  /** Requests without an answer yet, by id: what to do when the function is given one. */
  const unanswered = new Map<string, { isBegun: boolean; onBegun(): void }>();
  let origin = "";
  let isRetired = false, isReleased = false, isOver = false;
  let killedFor: KillReason | undefined;

  const order = (
    path: "release" | `announce/${UnloadReason}` | `advance/${number}`,
  ) => {
    const sent = (async () => {
      try {
        const answer = await fetch(`${origin}/@stack/${path}`, {
          method: "POST",
          headers: { "x-stack-order": orderToken },
        });
        await answer.body?.cancel();
      } catch {
        // It is over, which all orders lead to.
      }
    })();
    orders.add(sent);
    return sent.finally(() => orders.delete(sent));
  };
  /** Once nothing more can come to it, it may go as soon as it has done what it has. */
  const releaseWhenLeft = () => {
    if (!isRetired || isReleased || unanswered.size > 0) return;
    isReleased = true;
    order("release");
  };
  const retire = () => {
    if (isRetired) return;
    isRetired = true;
    retired.resolve();
    releaseWhenLeft();
  };
  /** What its start has used, which a hosted project does once, when the function is deployed. */
  let atStart: ResourceUsage | undefined;
  const supervisor = new Supervisor(settings.limits, {
    async usage() {
      const now = await readResourceUsage(child.pid);
      return now && { ...now, cpuMs: now.cpuMs - (atStart?.cpuMs ?? 0) };
    },
    retire,
    log,
    announce: (reason) => order(`announce/${reason}`),
    kill(reason) {
      killedFor = reason;
      child.signal("KILL");
    },
  });

  const onEvent = (event: z.infer<typeof eventSchema>) => {
    switch (event.event) {
      case "ready":
        return ready.resolve(event.port);
      case "clock-started":
        return supervisor.begin(event.ageMs);
      case "begun": {
        const request = unanswered.get(event.id);
        if (request === undefined) return;
        request.isBegun = true;
        supervisor.work();
        return request.onBegun();
      }
      case "shutdown":
        log(`shutdown: ${event.reason}`);
    }
  };
  const child: GuardedChild = await spawnGuarded({
    ...await functionCommand(definition, settings, {
      orderToken,
      graceMs: (graceSeconds - 1) * 1000,
    }),
    cwd: settings.projectDir,
    endSignal: "TERM",
    graceSeconds,
    onLine(stream, line) {
      if (stream === "stdout" && line.startsWith(marker)) {
        const event = eventSchema.safeParse(
          JSON.parse(line.slice(marker.length)),
        );
        if (event.success) onEvent(event.data);
        return;
      }
      words.push(line);
      if (words.length > 40) words.shift();
      settings.logs.add(source, stream, line);
    },
  });
  const exited = child.exited.then((code): ProcessEnd => {
    supervisor.stop();
    isOver = true;
    isReleased = true;
    retire();
    ready.reject(
      new StackError(
        `Function ${slug} did not start (code ${code}). It said:\n${
          words.join("\n") || "(nothing)"
        }`,
      ),
    );
    return killedFor === undefined ? { code } : { code, killedFor };
  });
  const tooLate = setTimeout(() =>
    ready.reject(
      new StackError(
        `Function ${slug} did not accept requests within ${
          settings.bootTimeoutMs / 1000
        } s. It said:\n${words.join("\n") || "(nothing)"}`,
      ),
    ), settings.bootTimeoutMs);
  const abandon = () => ready.reject(signal.reason);
  signal.addEventListener("abort", abandon);
  if (signal.aborted) abandon();
  try {
    origin = `http://127.0.0.1:${await ready.promise}`;
    atStart = await readResourceUsage(child.pid);
  } catch (error) {
    await child.signal("KILL");
    await exited;
    throw error;
  } finally {
    clearTimeout(tooLate);
    signal.removeEventListener("abort", abandon);
  }
  async function send(
    path: string,
    init: RequestInit & { signal: AbortSignal },
    onBegun: () => void = () => {},
  ): Promise<Response> {
    if (isRetired) throw new NotBegun();
    const id = crypto.randomUUID();
    const request = { isBegun: false, onBegun };
    unanswered.set(id, request);
    try {
      const headers = new Headers(init.headers);
      headers.set("x-stack-request", id);
      return await fetch(`${origin}${path}`, { ...init, headers });
    } catch (cause) {
      init.signal.throwIfAborted();
      // Only once it is over, and all that it said is read, is it certain what it has not begun.
      const end = await deadline(exited, endPatienceMs).catch(() => undefined);
      if (end !== undefined && !request.isBegun) throw new NotBegun({ cause });
      throw new ProcessEnded(end, { cause });
    } finally {
      unanswered.delete(id);
      releaseWhenLeft();
    }
  }
  return {
    pid: child.pid,
    origin,
    startedAt: new Date(),
    get isRetired() {
      return isRetired;
    },
    get isOver() {
      return isOver;
    },
    get unanswered() {
      return unanswered.size;
    },
    retired: retired.promise,
    exited,
    send,
    async signal(name) {
      // What is asked to end is given nothing more, and ends by itself; what is killed gives no warning.
      if (name === "TERM") {
        isReleased = true;
        retire();
      }
      await child.signal(name);
    },
    async advance(milliseconds) {
      supervisor.advance(milliseconds);
      await order(`advance/${milliseconds}`);
    },
    async end() {
      isReleased = true;
      retire();
      await child.end();
      await Promise.all(orders);
    },
  };
}
