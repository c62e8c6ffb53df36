/** One process of one function: started under the watchdog, with the permissions and names of an edge function. */
import { fromFileUrl, join } from "@std/path";
import { z } from "zod";
import { type ChildSignal, type GuardedChild, spawnGuarded } from "./child.ts";
import type { DenoCommand } from "./functions-deno.ts";
import type { LogBook } from "./log-book.ts";
import type { FunctionDefinition } from "./project.ts";
import { StackError } from "./stack-error.ts";

/** What every process of a stack's functions has in common. */
export interface FunctionSettings {
  projectDir: string;
  /** What runs them. */
  deno: DenoCommand;
  env: Record<string, string>;
  /** How long a process may live after its first request, in milliseconds. */
  wallClockMs: number;
  /** How long a process may take to accept requests, in milliseconds. */
  bootTimeoutMs: number;
  logs: LogBook;
}

/** A process that accepts requests. */
export interface FunctionProcess {
  pid: number;
  /** `http://127.0.0.1:<port>` */
  origin: string;
  startedAt: Date;
  /** Resolves when it takes no new requests: retired by age, or over. */
  retired: Promise<void>;
  /** Resolves with why it ended. */
  exited: Promise<{ code: number; byWallClock: boolean }>;
  signal(name: ChildSignal): Promise<void>;
  /** Asks it to end, and kills it when it does not. */
  end(): Promise<void>;
}

const runtime = fromFileUrl(new URL("./edge-runtime.ts", import.meta.url));
const marker = "\u001e@stack ";
const graceSeconds = 3;

const eventSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("ready"), port: z.number().int() }),
  z.object({ event: z.literal("clock-started") }),
  z.object({ event: z.literal("retired") }),
  z.object({ event: z.literal("shutdown"), reason: z.string() }),
]);

/** What Deno needs to find its cache; hidden from the function itself. */
const cacheEnv = [
  "HOME",
  "PATH",
  "DENO_DIR",
  "XDG_CACHE_HOME",
  "TMPDIR",
  "NPM_CONFIG_REGISTRY",
  "npm_config_registry",
  "NPM_CONFIG_USERCONFIG",
  "npm_config_userconfig",
];

/** How this machine reaches the internet, where that takes more than a connection. */
const networkEnv = [
  "HTTP_PROXY",
  "http_proxy",
  "HTTPS_PROXY",
  "https_proxy",
  "ALL_PROXY",
  "all_proxy",
  "NO_PROXY",
  "no_proxy",
  "DENO_CERT",
  "DENO_TLS_CA_STORE",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
];

/** How Deno resolves what a function imports: its import map or configuration, and the project's lock file. */
export async function denoArguments(
  definition: FunctionDefinition,
  projectDir: string,
  deno: DenoCommand,
): Promise<string[]> {
  const lock = join(projectDir, "deno.lock");
  const hasLock = deno.readsLock &&
    await Deno.stat(lock).then(() => true, () => false);
  return [
    "--node-modules-dir=none",
    hasLock ? `--lock=${lock}` : "--no-lock",
    ...(definition.imports?.kind === "config"
      ? [`--config=${definition.imports.path}`]
      : ["--no-config"]),
    ...(definition.imports?.kind === "import-map"
      ? [`--import-map=${definition.imports.path}`]
      : []),
  ];
}

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
  const inherited = Object.fromEntries(
    [...cacheEnv, ...networkEnv].flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const ready = Promise.withResolvers<number>();
  const retired = Promise.withResolvers<void>();
  const words: string[] = [];
  let killTimer: ReturnType<typeof setTimeout> | undefined;
  let byWallClock = false;

  const onEvent = (event: z.infer<typeof eventSchema>) => {
    switch (event.event) {
      case "ready":
        return ready.resolve(event.port);
      case "clock-started":
        killTimer = setTimeout(() => {
          byWallClock = true;
          settings.logs.add(source, "stderr", "wall clock duration reached");
          child.signal("KILL");
        }, settings.wallClockMs);
        return;
      case "retired":
        return retired.resolve();
      case "shutdown":
        settings.logs.add(source, "stderr", `shutdown: ${event.reason}`);
    }
  };
  const child: GuardedChild = await spawnGuarded({
    command: [
      settings.deno.program,
      "run",
      "--quiet",
      "--no-prompt",
      "--cached-only",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      // The memory of an edge function is 256 MB; V8's heap is the part of it that can be limited here.
      "--v8-flags=--max-old-space-size=256",
      ...await denoArguments(
        definition,
        settings.projectDir,
        settings.deno,
      ),
      runtime,
      JSON.stringify({
        entry: new URL(`file://${definition.entrypoint}`).href,
        slug,
        wallClockMs: settings.wallClockMs,
        graceMs: (graceSeconds - 1) * 1000,
        hiddenEnv: [...cacheEnv, "NO_COLOR", "PWD", "OLDPWD", "SHLVL", "_"],
      }),
    ],
    env: {
      ...inherited,
      ...settings.deno.env,
      ...settings.env,
      NO_COLOR: "1",
    },
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
  const exited = child.exited.then((code) => {
    clearTimeout(killTimer);
    retired.resolve();
    ready.reject(
      new StackError(
        `Function ${slug} did not start (code ${code}). It said:\n${
          words.join("\n") || "(nothing)"
        }`,
      ),
    );
    return { code, byWallClock };
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
  let port: number;
  try {
    port = await ready.promise;
  } catch (error) {
    await child.signal("KILL");
    await exited;
    throw error;
  } finally {
    clearTimeout(tooLate);
    signal.removeEventListener("abort", abandon);
  }
  return {
    pid: child.pid,
    origin: `http://127.0.0.1:${port}`,
    startedAt: new Date(),
    retired: retired.promise,
    exited,
    signal: child.signal,
    async end() {
      await child.end();
    },
  };
}
