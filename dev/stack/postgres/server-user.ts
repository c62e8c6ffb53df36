/**
 * The user of the Postgres server and the location of its files. Postgres refuses to run as root, so under root it runs
 * as `nobody`, who must be able to reach its folders. The permissions of folders that the stack did not create never
 * change.
 */
import { dirname, join } from "@std/path";
import { StackError } from "../console/stack-error.ts";

/** The user of the Postgres server: this user, or `nobody` when this user is root. */
export interface ServerUser {
  uid: number;
  gid: number;
  /** Whether this process runs as another user. */
  isOther: boolean;
}

/** The user for Postgres. Throws {@link StackError} when this is root and the machine has no user `nobody`. */
export async function serverUser(): Promise<ServerUser> {
  const uid = Deno.uid() ?? 0, gid = Deno.gid() ?? 0;
  if (uid !== 0) return { uid, gid, isOther: false };
  const [nobodyUid, nobodyGid] = await Promise.all([
    numericId("-u"),
    numericId("-g"),
  ]);
  return { uid: nobodyUid, gid: nobodyGid, isOther: true };
}

async function numericId(flag: "-u" | "-g"): Promise<number> {
  const { stdout } = await new Deno.Command("id", { args: [flag, "nobody"] })
    .output();
  const text = new TextDecoder().decode(stdout).trim();
  if (!/^-?\d+$/.test(text)) {
    throw new StackError(
      "Postgres refuses to run as root, and this machine has no user `nobody` to run it as. Start as an ordinary user.",
    );
  }
  // macOS prints -2, which system calls expect as the unsigned number 4294967294.
  return Number(text) >>> 0;
}

/**
 * Runs a command as the server user, with no environment but the locale, and returns its output. Throws an error with
 * the output when it fails.
 */
export async function runAs(
  user: ServerUser,
  [program, ...args]: [string, ...string[]],
): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd: "/",
    clearEnv: true,
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" },
    ...(user.isOther ? { uid: user.uid, gid: user.gid } : {}),
  }).output();
  const decoder = new TextDecoder();
  if (code !== 0) {
    throw new StackError(
      `${program} failed (code ${code}): ${
        decoder.decode(stderr).trim() || decoder.decode(stdout).trim()
      }`,
    );
  }
  return decoder.decode(stdout);
}

/** Whether the server user can enter the folder, or the nearest existing folder above it. */
export async function canReach(
  user: ServerUser,
  path: string,
): Promise<boolean> {
  if (!user.isOther) return true;
  let existing = path;
  while (!(await pathExists(existing))) existing = dirname(existing);
  try {
    await runAs(user, ["/bin/sh", "-c", 'cd -- "$1"', "reach", existing]);
    return true;
  } catch {
    return false;
  }
}

async function pathExists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * The cache folder, for the Postgres copy and the prepared cluster: `EDGE_AI_JOBS_CACHE` if set, else in the user's
 * cache folder, `/var/cache` under root. It exists when this returns.
 */
export async function cacheFolder(user: ServerUser): Promise<string> {
  const home = Deno.env.get("HOME");
  const chosen = Deno.env.get("EDGE_AI_JOBS_CACHE") ?? "";
  if (chosen !== "") {
    if (await isOwnFolder(chosen) && await canReach(user, chosen)) {
      return chosen;
    }
    throw new StackError(
      `EDGE_AI_JOBS_CACHE=${chosen} cannot be used: it must be a folder of yours` +
        (user.isOther ? ", which the user nobody can enter." : "."),
    );
  }
  const candidates = [
    user.isOther ? "/var/cache/edge-ai-jobs" : undefined,
    join(
      Deno.env.get("XDG_CACHE_HOME") ?? join(home ?? "/nonexistent", ".cache"),
      "edge-ai-jobs",
    ),
    `/var/tmp/edge-ai-jobs-${Deno.uid()}`,
    `/tmp/edge-ai-jobs-${Deno.uid()}`,
  ];
  for (const candidate of candidates) {
    if (candidate === undefined) continue;
    if (await isOwnFolder(candidate) && await canReach(user, candidate)) {
      return candidate;
    }
  }
  throw new StackError(
    "The folder for the Postgres copy could not be created. Set EDGE_AI_JOBS_CACHE to a folder that you may write to.",
  );
}

/** Creates the folder if necessary; false when that fails or another user owns it (a trap in a shared /tmp). */
async function isOwnFolder(path: string): Promise<boolean> {
  try {
    await Deno.mkdir(path, { recursive: true, mode: 0o755 });
    const info = await Deno.lstat(path);
    if (!info.isDirectory || info.uid !== Deno.uid()) return false;
    const probe = await Deno.makeTempFile({ dir: path });
    await Deno.remove(probe);
    return true;
  } catch {
    return false;
  }
}

/**
 * Creates the folder `path`: `fill` writes a temporary folder next to it, which is then renamed. If another process was
 * faster, its folder, which is equal, is kept. Does nothing when the folder exists.
 */
export async function publishDirectory(
  path: string,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  if (await pathExists(path)) return;
  const draft = join(dirname(path), `.draft-${crypto.randomUUID()}`);
  try {
    await fill(draft);
    await Deno.rename(draft, path);
  } catch (error) {
    await Deno.remove(draft, { recursive: true }).catch(() => {});
    if (!(await pathExists(path))) throw error;
  }
}

/** Creates a folder that only the server user may enter, and returns its path. */
export async function makeServerDir(
  user: ServerUser,
  path: string,
): Promise<string> {
  await Deno.mkdir(path, { mode: 0o700, recursive: true });
  if (user.isOther) await Deno.chown(path, user.uid, user.gid);
  return path;
}

/**
 * The environment variable with the folder for ephemeral clusters. It is separate from TMPDIR, because the folder may be
 * in /dev, where Deno lets only programs with all permissions open files.
 */
export const CLUSTERS_VARIABLE = "EDGE_AI_JOBS_CLUSTERS";

/** A new, empty temporary folder owned by the server user, where it can reach it. */
export async function makeServerTempDir(user: ServerUser): Promise<string> {
  const wanted = [Deno.env.get(CLUSTERS_VARIABLE), Deno.env.get("TMPDIR")];
  for (const dir of [...wanted, "/tmp", "/var/tmp"]) {
    if (dir === undefined || dir === "") continue;
    if (!(await pathExists(dir)) || !(await canReach(user, dir))) continue;
    const made = await Deno.makeTempDir({ dir, prefix: "edge-ai-jobs-" });
    if (user.isOther) await Deno.chown(made, user.uid, user.gid);
    return made;
  }
  throw new StackError("There is no temporary folder that Postgres can use.");
}
