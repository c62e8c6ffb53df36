/** What a function's process has used, from `/proc`. Linux only, as the limit on CPU time in the hosted runtime itself. */

/** Of one process, since its start. */
export interface ResourceUsage {
  /** Processor time of the thread that runs JavaScript, in milliseconds, in steps of ten. */
  cpuMs: number;
  /** Private resident memory in bytes, without the program's file, which all processes share. */
  memoryBytes: number;
  /** The peak of `memoryBytes`. */
  peakMemoryBytes: number;
}

/** Of a clock tick of the kernel; 100 a second on all platforms of Linux that Deno runs on. */
const TICK_MS = 10;

/** Whether {@link readResourceUsage} can say anything here. */
export const canReadResourceUsage = Deno.build.os === "linux";

/** What a process has used; undefined when it is over, or where there is no `/proc`. */
export async function readResourceUsage(
  pid: number,
): Promise<ResourceUsage | undefined> {
  if (!canReadResourceUsage) return undefined;
  // Both to their end: a process may go between the two.
  const [stat, status] = await Promise.allSettled([
    // Deno runs JavaScript in its first thread, whose id is that of the process.
    Deno.readTextFile(`/proc/${pid}/task/${pid}/stat`),
    Deno.readTextFile(`/proc/${pid}/status`),
  ]);
  if (stat.status === "rejected" || status.status === "rejected") {
    return undefined;
  }
  return { cpuMs: cpuOf(stat.value), ...memoryOf(status.value) };
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
