/** Other processes of this machine: from `/proc` on Linux, from `ps` elsewhere. */

/** A process of this machine. */
export interface ProcessFacts {
  pid: number;
  parent: number;
  /** Its process group. A shell creates one for each command. */
  group: number;
  /** The name of its program, without the path and possibly truncated. */
  name: string;
  /** Its start, as an opaque value that distinguishes processes with the same id. */
  started: string;
}

async function fromProc(pid: number): Promise<ProcessFacts | undefined> {
  let stat: string;
  try {
    stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  } catch {
    return undefined;
  }
  // proc_pid_stat(5): "pid (name) state parent group …", the start is field 22; the name may have blanks and brackets.
  const close = stat.lastIndexOf(")");
  const fields = stat.slice(close + 2).split(" ");
  const [state = "", parent, group] = fields;
  if (/^[ZX]$/.test(state)) return undefined;
  return {
    pid,
    parent: Number(parent),
    group: Number(group),
    name: stat.slice(stat.indexOf("(") + 1, close),
    started: fields[19] ?? "",
  };
}

async function ps(columns: string, pid: number): Promise<string> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["-ww", "-o", columns, "-p", String(pid)],
    env: { LC_ALL: "C" },
    stdin: "null",
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** {@link readProcess} for systems without `/proc`. */
export async function readProcessByPs(
  pid: number,
): Promise<ProcessFacts | undefined> {
  const row = await ps("ppid=,pgid=,stat=,lstart=,comm=", pid);
  // "  123  123 Ss   Sat Nov 28 10:02:04 2026 /bin/name"
  const [, parent, group, state = "", started = "", name = ""] =
    /^(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(.*)$/.exec(
      row,
    ) ??
      [];
  if (parent === undefined || state.startsWith("Z")) return undefined;
  return {
    pid,
    parent: Number(parent),
    group: Number(group),
    name: name.slice(name.lastIndexOf("/") + 1),
    started,
  };
}

/** Reads a process; undefined when it has ended. */
export function readProcess(pid: number): Promise<ProcessFacts | undefined> {
  return Deno.build.os === "linux" ? fromProc(pid) : readProcessByPs(pid);
}

/** Program and arguments of a process; empty when it has ended or hides them. */
export async function readCommand(pid: number): Promise<string[]> {
  if (Deno.build.os !== "linux") {
    return (await ps("args=", pid)).split(" ").filter((word) => word !== "");
  }
  try {
    const text = await Deno.readTextFile(`/proc/${pid}/cmdline`);
    return text.replace(/\0$/, "").split("\0").filter((word) => word !== "");
  } catch {
    return [];
  }
}
