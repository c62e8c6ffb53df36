/**
 * Processor time by part, from `/proc`. Unlike durations, it hardly depends on other work of the machine. Linux only.
 */

/** Parts of a running benchmark. `gateway` is the embedded stack's own process: REST, Storage, pg_net, pg_cron. */
export type Part =
  | "driver"
  | "postgres"
  | "provider"
  | "gateway"
  | "worker";

/** Milliseconds of processor time by part. */
export type CpuTimes = Record<Part, number>;

interface Process {
  pid: number;
  parent: number;
  name: string;
  ms: number;
  /** Processor time of its children that have ended. */
  childrenMs: number;
}

/** Milliseconds of a clock tick of the kernel; 100 ticks a second on all Linux platforms that Deno supports. */
const TICK_MS = 10;

async function processes(): Promise<Map<number, Process>> {
  const all = new Map<number, Process>();
  for await (const { name: folder } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(folder)) continue;
    let stat: string;
    try {
      stat = await Deno.readTextFile(`/proc/${folder}/stat`);
    } catch {
      continue; // it has ended
    }
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    // proc(5): parent is field 4; utime, stime, cutime, cstime are 14 to 17. The latter are of children that have ended.
    const [user = 0, system = 0, ...children] = fields.slice(11, 15);
    const pid = Number(folder);
    all.set(pid, {
      pid,
      parent: fields[1] ?? 0,
      name,
      ms: (user + system) * TICK_MS,
      childrenMs: children.reduce((sum, ticks) => sum + ticks, 0) * TICK_MS,
    });
  }
  return all;
}

/** The processor time that each process of the benchmark has used so far. */
async function snapshot(
  pids: { provider: number; stack: number },
): Promise<Map<number, { part: Part; ms: number }>> {
  const all = await processes();
  const isOurs = (process: Process): boolean => {
    if (process.pid === Deno.pid) return true;
    const parent = all.get(process.parent);
    return parent !== undefined && isOurs(parent);
  };
  return new Map(
    [...all.values()].filter(isOurs).map((process) => {
      const part = partOf(process, pids);
      // Only for Postgres, whose children are its connections. The children of other parts are parts themselves.
      const ms = process.ms + (part === "postgres" ? process.childrenMs : 0);
      return [process.pid, { part, ms }];
    }),
  );
}

function partOf(
  { pid, name }: Process,
  pids: { provider: number; stack: number },
): Part {
  if (pid === Deno.pid) return "driver";
  if (pid === pids.provider) return "provider";
  if (pid === pids.stack) return "gateway";
  return name === "postgres" ? "postgres" : "worker";
}

/**
 * Runs `work` and returns the processor time that each part used meanwhile; undefined without `/proc`. The functions of
 * the stack count as `worker`. A process that ends meanwhile is left out, apart from connections of Postgres.
 */
export async function withCpu<T>(
  pids: { provider: number; stack: number },
  work: () => Promise<T>,
): Promise<{ result: T; cpu: CpuTimes | undefined }> {
  if (Deno.build.os !== "linux") {
    return { result: await work(), cpu: undefined };
  }
  const before = await snapshot(pids);
  const result = await work();
  const cpu: CpuTimes = {
    driver: 0,
    postgres: 0,
    provider: 0,
    gateway: 0,
    worker: 0,
  };
  const after = await snapshot(pids);
  for (const [pid, { part, ms }] of after) {
    cpu[part] += ms - (before.get(pid)?.ms ?? 0);
  }
  for (const [pid, { part, ms }] of before) {
    // A connection that has ended: the server's count now includes also its earlier time.
    if (part === "postgres" && !after.has(pid)) cpu.postgres -= ms;
  }
  return { result, cpu };
}
