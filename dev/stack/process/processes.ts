/** Other processes of this machine: from `/proc` on Linux, from `ps` elsewhere. */

/** What is known of one process. */
export interface ProcessFacts {
  pid: number;
  parent: number;
  /** Its process group. A shell makes one for each command that is typed into it. */
  group: number;
  /** The name of its program, without the path and perhaps cut short. */
  name: string;
  /** When it started, in a form that only says whether two are the same: ids are given again. */
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

/** What {@link readProcess} says where there is no `/proc`. */
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

/** What is known of a process; undefined when it is over. */
export function readProcess(pid: number): Promise<ProcessFacts | undefined> {
  return Deno.build.os === "linux" ? fromProc(pid) : readProcessByPs(pid);
}

/** Program and arguments of a process; empty when it is over, or of somebody who does not show them. */
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
