/**
 * One process of one function. It runs under the watchdog with the permissions and names of an Edge Function, receives
 * requests and commands, and is watched by a supervisor.
 */
import { deadline } from "@std/async/deadline";
import { z } from "zod";
import {
  type ChildSignal,
  type GuardedChild,
  spawnGuarded,
} from "../process/child.ts";
import { functionCommand } from "./command.ts";
import type { FunctionDefinition } from "../project/project.ts";
import { StackError } from "../console/stack-error.ts";
import {
  readResourceUsage,
  type ResourceUsage,
} from "../process/resource-usage.ts";
import type { FunctionSettings } from "./settings.ts";
import {
  type KillReason,
  Supervisor,
  type UnloadReason,
} from "./supervisor.ts";

/** How a process ended; `killedFor` is set if the supervisor killed it. */
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
  /** Whether it accepts no new requests: retired, or ended. */
  readonly isRetired: boolean;
  /** Whether it has ended. */
  readonly isOver: boolean;
  /** Number of requests without the beginning of a response. */
  readonly unanswered: number;
  /** Resolves when it accepts no new requests. */
  retired: Promise<void>;
  /** Resolves when it has ended, with the reason. */
  exited: Promise<ProcessEnd>;
  /**
   * Sends a request and resolves with the response, whose body may still be arriving. `path` begins with a slash.
   * `onBegun` is called when the function has received the request.
   *
   * @throws {NotBegun} when the process is retired, or ended before the function received the request. Another process
   *   may handle it.
   * @throws {ProcessEnded} when the connection was lost and the function may have received the request.
   * @throws the reason of `init.signal` when that is aborted.
   */
  send(
    path: string,
    init: RequestInit & { signal: AbortSignal },
    onBegun?: () => void,
  ): Promise<Response>;
  signal(name: ChildSignal): Promise<void>;
  /** Advances its clock and its supervisor, for tests. */
  advance(milliseconds: number): Promise<void>;
  /** Asks it to end, and kills it if it does not. */
  end(): Promise<void>;
}

/** A request that the function has not received and will not receive. */
export class NotBegun extends Error {
  override readonly name = "NotBegun";
  constructor(options: ErrorOptions = {}) {
    super("the process accepts no more requests", options);
  }
}

/** The process ended with a request that the function may have received. `end` is set once it has ended. */
export class ProcessEnded extends Error {
  override readonly name = "ProcessEnded";
  constructor(readonly end: ProcessEnd | undefined, options: ErrorOptions) {
    super("the process ended during the request", options);
  }
}

const marker = "\u001e@stack ";
const graceSeconds = 3;
/** Time for a process to end after it has broken a connection, in milliseconds. */
const exitTimeoutMs = 5000;

const eventSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("ready"), port: z.number().int() }),
  z.object({ event: z.literal("clock-started"), ageMs: z.number() }),
  z.object({ event: z.literal("begun"), id: z.uuid() }),
  z.object({ event: z.literal("shutdown"), reason: z.string() }),
]);

/**
 * Starts a function and resolves once it accepts requests.
 *
 * @throws {StackError} with the function and its output, when it ends or exceeds the time limit, or when `signal` is
 *   aborted before. Nothing is left running then.
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
  const commandToken = crypto.randomUUID();
  const commands = new Set<Promise<void>>();
  /** Requests without a response, by id, with the callback for the moment at which the function receives one. */
  const unanswered = new Map<string, { isBegun: boolean; onBegun(): void }>();
  let origin = "";
  let isRetired = false, isReleased = false, isOver = false;
  let killedFor: KillReason | undefined;

  const command = (
    path: "release" | `announce/${UnloadReason}` | `advance/${number}`,
  ) => {
    const sent = (async () => {
      try {
        const answer = await fetch(`${origin}/@stack/${path}`, {
          method: "POST",
          headers: { "x-stack-command": commandToken },
        });
        await answer.body?.cancel();
      } catch {
        // The process has ended; every command fails here.
      }
    })();
    commands.add(sent);
    return sent.finally(() => commands.delete(sent));
  };
  /** Once it can receive nothing more, it may end when its work is done. */
  const releaseWhenLeft = () => {
    if (!isRetired || isReleased || unanswered.size > 0) return;
    isReleased = true;
    command("release");
  };
  const retire = () => {
    if (isRetired) return;
    isRetired = true;
    retired.resolve();
    releaseWhenLeft();
  };
  /** Its start is not counted: a hosted project does that once, when the function is deployed. */
  let atStart: ResourceUsage | undefined;
  const supervisor = new Supervisor(settings.limits, {
    usage() {
      const now = readResourceUsage(child.pid);
      return now && { ...now, cpuMs: now.cpuMs - (atStart?.cpuMs ?? 0) };
    },
    retire,
    log,
    announce: (reason) => command(`announce/${reason}`),
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
      commandToken,
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
        `Function ${slug} did not start (code ${code}). Its output:\n${
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
        } s. Its output:\n${words.join("\n") || "(nothing)"}`,
      ),
    ), settings.bootTimeoutMs);
  const abandon = () => ready.reject(signal.reason);
  signal.addEventListener("abort", abandon);
  if (signal.aborted) abandon();
  try {
    origin = `http://127.0.0.1:${await ready.promise}`;
    atStart = readResourceUsage(child.pid);
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
      // Only after it has ended, and all output is read, is it certain which requests it has not received.
      const end = await deadline(exited, exitTimeoutMs).catch(() => undefined);
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
      // A process that is asked to end receives nothing more and ends by itself. A kill gives no warning.
      if (name === "TERM") {
        isReleased = true;
        retire();
      }
      await child.signal(name);
    },
    async advance(milliseconds) {
      supervisor.advance(milliseconds);
      await command(`advance/${milliseconds}`);
    },
    async end() {
      isReleased = true;
      retire();
      await child.end();
      await Promise.all(commands);
    },
  };
}
