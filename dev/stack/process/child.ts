/**
 * Child processes that cannot outlive the stack. Each runs under `watchdog.sh`, which holds a pipe to this process.
 * When this process ends in any way, the pipe closes and the watchdog ends the child.
 */
const watchdog = new URL("./watchdog.sh", import.meta.url);

/** The signals that {@link GuardedChild.signal} can send. */
export type ChildSignal =
  | "TERM"
  | "INT"
  | "QUIT"
  | "HUP"
  | "KILL"
  | "CONT"
  | "STOP";

/** The command, and how to end it. */
export interface GuardedCommand {
  /** Program and arguments. */
  command: [string, ...string[]];
  /** The whole environment of the child; nothing is inherited. */
  env: Record<string, string>;
  cwd?: string | undefined;
  /** Runs it as this user and group; needs root. */
  user?: { uid: number; gid: number } | undefined;
  /** The signal that asks the child to end. */
  endSignal: ChildSignal;
  /** Time for the child to end before it is killed, in whole seconds. */
  graceSeconds: number;
  /** A folder that is deleted once the child has ended. */
  removeDir?: string | undefined;
  /** Called with each line of output, without its line end. */
  onLine: (stream: "stdout" | "stderr", line: string) => void;
}

/** A running child. */
export interface GuardedChild {
  /** Process id of the command, not of its watchdog. */
  pid: number;
  /** Resolves when the child has ended: its exit code, or 128 + n after signal n. */
  exited: Promise<number>;
  /** Sends a signal to the command. Does nothing when it has ended. */
  signal(name: ChildSignal): Promise<void>;
  /** Sends the end signal and waits; kills the child after the grace period. */
  end(): Promise<number>;
}

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  }
  if (rest !== "") onLine(rest);
}

/**
 * Starts a command under the watchdog and resolves once its process id is known. Throws when the watchdog cannot start,
 * or ends before it has started the command.
 */
export async function spawnGuarded(
  options: GuardedCommand,
): Promise<GuardedChild> {
  const process = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      await Deno.readTextFile(watchdog),
      "watchdog",
      options.endSignal,
      String(options.graceSeconds),
      options.removeDir ?? "",
      ...options.command,
    ],
    env: options.env,
    clearEnv: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.user ?? {}),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();

  const started = Promise.withResolvers<number>();
  const readOutput = eachLine(process.stdout, (line) => {
    if (pid === undefined) {
      pid = Number(line);
      started.resolve(pid);
    } else options.onLine("stdout", line);
  });
  const readErrors = eachLine(
    process.stderr,
    (line) => options.onLine("stderr", line),
  );
  let pid: number | undefined;

  // The exit is reported after all output is read, so that the last lines are never lost.
  const exited = (async () => {
    const [status] = await Promise.all([
      process.status,
      readOutput,
      readErrors,
    ]);
    return status.code;
  })();
  exited.then((code) =>
    started.reject(
      new Error(`${options.command[0]} could not be started (code ${code})`),
    )
  );

  const line = process.stdin.getWriter();
  let open = true;
  const whenOpen = async (action: () => Promise<void>) => {
    if (!open) return;
    try {
      await action();
    } catch {
      open = false; // the child has ended and closed its end of the pipe
    }
  };
  exited.then(() => whenOpen(() => line.close()));

  return {
    pid: await started.promise,
    exited,
    signal: (name) =>
      whenOpen(() => line.write(new TextEncoder().encode(`${name}\n`))),
    async end() {
      await whenOpen(() => {
        open = false;
        return line.close();
      });
      return await exited;
    },
  };
}
