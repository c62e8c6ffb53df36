/**
 * A folder for Postgres clusters in memory, where the system has one with enough space: a copy of a cluster or of a
 * database creates hundreds of files, which takes ten times as long on many disks.
 */
import { join } from "@std/path";
import { CLUSTERS_VARIABLE } from "../stack/postgres/server-user.ts";

const MEMORY_FOLDER = "/dev/shm";

/**
 * The system's in-memory folder; undefined where there is none with `kilobytes` free, or where it does not allow
 * programs to be executed.
 */
export async function memoryFolder(
  kilobytes: number,
): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  try {
    const { code, stdout } = await new Deno.Command("df", {
      args: ["-Pk", MEMORY_FOLDER],
      stderr: "null",
    }).output();
    const [, row] = new TextDecoder().decode(stdout).split("\n");
    const hasSpace = code === 0 && Number(row?.split(/\s+/)[3]) > kilobytes;
    const mounts = await Deno.readTextFile("/proc/mounts");
    return hasSpace && mayExecute(mounts) ? MEMORY_FOLDER : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Whether the mount of the folder, in the form of proc_pid_mounts(5), allows its files to be executed. */
export function mayExecute(mounts: string): boolean {
  const rows = mounts.split("\n").map((row) => row.split(" "));
  const options = rows.findLast(([, at]) => at === MEMORY_FOLDER)?.[3];
  return options !== undefined && !options.split(",").includes("noexec");
}

const PREFIX = "edge-ai-jobs-tests-";

/** Kilobytes that the rings need: several clusters at a time, each with some of its log. */
const RINGS_NEED = 2_000_000;

/**
 * Places the ephemeral clusters of this process and its children in memory if there is enough of it. Disposing deletes
 * them. Has no effect when the environment already names a folder for clusters or `TMPDIR`. Also deletes the folders of
 * killed runs.
 */
export async function keepClustersInMemory(): Promise<AsyncDisposable> {
  const folder = isPlaceGiven() ? undefined : await memoryFolder(RINGS_NEED);
  if (folder === undefined) return { [Symbol.asyncDispose]: async () => {} };
  await removeForgotten(folder);
  const own = join(folder, `${PREFIX}${Deno.pid}`);
  await Deno.mkdir(own);
  // The mode of /tmp: under root, Postgres runs as another user, who creates and deletes its folders here.
  await Deno.chmod(own, 0o1777);
  Deno.env.set(CLUSTERS_VARIABLE, own);
  return {
    async [Symbol.asyncDispose]() {
      Deno.env.delete(CLUSTERS_VARIABLE);
      // A process that is still ending may write to the folder. Then the next run deletes it.
      await Deno.remove(own, { recursive: true }).catch(() => {});
    },
  };
}

/** Whether the environment says where ephemeral clusters are. */
export function isPlaceGiven(): boolean {
  return Deno.env.get(CLUSTERS_VARIABLE) !== undefined ||
    Deno.env.get("TMPDIR") !== undefined;
}

/** Deletes the folders of runs that have ended. */
export async function removeForgotten(folder: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : "";
    if (!/^\d+$/.test(pid)) continue;
    const isOver = await Deno.stat(`/proc/${pid}`).then(
      () => false,
      () => true,
    );
    if (isOver) await Deno.remove(join(folder, name), { recursive: true });
  }
}
