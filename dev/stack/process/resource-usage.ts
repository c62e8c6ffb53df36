/** Resource usage of a function's process, from `/proc`. Only on Linux, like the CPU limit of the hosted runtime. */

/** Usage of a process since its start. */
export interface ResourceUsage {
  /** Processor time of the JavaScript thread in milliseconds, in steps of ten. */
  cpuMs: number;
  /** Private resident memory in bytes, without the program's file, which all processes share. */
  memoryBytes: number;
  /** The peak of `memoryBytes`. */
  peakMemoryBytes: number;
}

/** Milliseconds of a kernel clock tick: 100 a second on all Linux platforms of Deno. */
const TICK_MS = 10;

/** Whether {@link readResourceUsage} works on this system. */
export const canReadResourceUsage = Deno.build.os === "linux";

/**
 * Reads the usage of a process; undefined when it has ended, or without `/proc`. Synchronous, because the kernel answers
 * from memory, and an asynchronous read takes several times as much processor time, twenty times a second.
 */
export function readResourceUsage(pid: number): ResourceUsage | undefined {
  if (!canReadResourceUsage) return undefined;
  try {
    return {
      // Deno runs JavaScript in its first thread, whose id is that of the process.
      cpuMs: cpuOf(Deno.readTextFileSync(`/proc/${pid}/task/${pid}/stat`)),
      ...memoryOf(Deno.readTextFileSync(`/proc/${pid}/status`)),
    };
  } catch {
    return undefined;
  }
}

function cpuOf(stat: string): number {
  // proc_pid_stat(5): utime and stime are fields 14 and 15; the name, in parentheses, may have blanks.
  const [user = 0, system = 0] = stat.slice(stat.lastIndexOf(")") + 2)
    .split(" ").slice(11, 13).map(Number);
  return (user + system) * TICK_MS;
}

function memoryOf(
  status: string,
): Pick<ResourceUsage, "memoryBytes" | "peakMemoryBytes"> {
  const bytes = (name: string) =>
    1024 *
    Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)?.[1] ?? 0);
  const memoryBytes = bytes("RssAnon") + bytes("RssShmem");
  return {
    memoryBytes,
    peakMemoryBytes: Math.max(memoryBytes, bytes("VmHWM") - bytes("RssFile")),
  };
}
