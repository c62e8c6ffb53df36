/** The processes of this machine, for tests that look for what is left behind. */

/** One process. */
export interface ProcessInfo {
  pid: number;
  parent: number;
  /** Whether it has ended, and its parent has not read its exit code yet. */
  isZombie: boolean;
  /** Whether a signal has stopped it. */
  isStopped: boolean;
  /** Program and arguments, separated by spaces. */
  command: string;
}

/** One process, from /proc; undefined when it has ended. */
async function readProc(pid: number): Promise<ProcessInfo | undefined> {
  try {
    // One after the other: if two reads ran in parallel and one failed, the other would leak.
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    const command = await Deno.readTextFile(`/proc/${pid}/cmdline`);
    // "pid (name) state parent …"; the name may contain spaces and brackets.
    const [state = "", parent = "0"] = stat.slice(stat.lastIndexOf(")") + 2)
      .split(" ");
    return {
      pid,
      parent: Number(parent),
      isZombie: state === "Z",
      isStopped: state === "T",
      command: command.replaceAll("\0", " ").trim(),
    };
  } catch {
    return undefined;
  }
}

/** Read from /proc on Linux, because small containers have no `ps`. */
async function fromProc(): Promise<ProcessInfo[]> {
  const found: ProcessInfo[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const one = await readProc(Number(name));
    if (one !== undefined) found.push(one);
  }
  return found;
}

async function fromPs(): Promise<ProcessInfo[]> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["-A", "-o", "pid=,ppid=,stat=,args="],
  }).output();
  return new TextDecoder().decode(stdout).split("\n").flatMap((line) => {
    const [, pid, parent, state = "", command = ""] =
      /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    return pid === undefined ? [] : [{
      pid: Number(pid),
      parent: Number(parent),
      isZombie: state.startsWith("Z"),
      isStopped: state.startsWith("T"),
      command,
    }];
  });
}

/** All processes that this user can see. */
export async function listProcesses(): Promise<ProcessInfo[]> {
  return Deno.build.os === "linux" ? await fromProc() : await fromPs();
}

/** Every process that descends from `pid`. */
export async function descendants(pid: number): Promise<ProcessInfo[]> {
  const all = await listProcesses();
  const below = (parent: number): ProcessInfo[] =>
    all.filter((one) => one.parent === parent).flatMap((
      one,
    ) => [one, ...below(one.pid)]);
  return below(pid);
}

/** The process ids that still run. On Linux it reads only these, because tests poll until all have ended. */
export async function alive(pids: number[]): Promise<number[]> {
  if (Deno.build.os === "linux") {
    const running = await Promise.all(
      pids.map(async (pid) => (await readProc(pid))?.isZombie === false),
    );
    return pids.filter((_, index) => running[index]);
  }
  const running = new Set(
    (await listProcesses()).filter(({ isZombie }) => !isZombie).map((
      { pid },
    ) => pid),
  );
  return pids.filter((pid) => running.has(pid));
}

/** Whether a signal has stopped the process. */
export async function isStopped(pid: number): Promise<boolean> {
  const one = Deno.build.os === "linux"
    ? await readProc(pid)
    : (await listProcesses()).find((process) => process.pid === pid);
  return one?.isStopped === true;
}
