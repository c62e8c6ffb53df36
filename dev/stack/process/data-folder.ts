/** The data folder of a persistent stack. */
import { fromFileUrl, join, resolve } from "@std/path";
import { z } from "zod";
import { denoCommandName } from "../console/own-command.ts";
import { readProcess } from "./processes.ts";
import { StackError } from "../console/stack-error.ts";

/** The lock file, which also identifies the stack. */
export const lockName = "lock";

const repository = fromFileUrl(new URL("../../../", import.meta.url));

/** The default data folder of a project; without one, of this repository. */
export function defaultDataDir(projectDir = repository): string {
  return join(resolve(projectDir), ".data", "stack");
}

/** The data folder of a stack with these options. */
export function dataFolderOf(
  { dataDir, projectDir }: { dataDir?: string; projectDir?: string },
): string {
  return resolve(dataDir ?? defaultDataDir(projectDir));
}

const holderSchema = z.object({
  pid: z.number().int().positive(),
  started: z.string(),
  api_url: z.string().optional(),
  db_port: z.number().int().optional(),
});

/** The stack that holds a folder. */
export interface Holder {
  pid: number;
  /** From {@link readProcess}. */
  started: string;
  apiUrl: string | undefined;
  /** URLs of its Postgres on this machine; the passwords are in the folder. */
  dbPort: number | undefined;
}

/** A data folder that this process has locked. Disposing, or the end of the process, releases it. */
export interface DataFolder extends Disposable {
  path: string;
  storageDir: string;
  /** File with the state of the simulated providers. */
  simulatorsDir: string;
  /** Whether seeding was started and not finished. */
  isSeeding(): Promise<boolean>;
  /** Records that seeding has started or finished. */
  noteSeeding(isBegun: boolean): Promise<void>;
  /** Publishes the addresses of the stack. */
  announce(apiUrl: string, dbPort?: number): Promise<void>;
}

/** The command of a task, such as `stop` or `sql`, for the stack of a folder. */
export function taskCommand(task: "stop" | "sql", folder: string): string {
  const words = `${denoCommandName()} task ${task}`;
  if (folder === defaultDataDir()) return words;
  const isPlain = /^[\w@%+=:,./-]+$/.test(folder);
  return `${words} --data ${
    isPlain ? folder : `'${folder.replaceAll("'", "'\\''")}'`
  }`;
}

/**
 * The contents of a lock file; undefined when it is unreadable or its process has ended. They are valid only while the
 * lock is held.
 */
export async function readHolder(dir: string): Promise<Holder | undefined> {
  try {
    const text = await Deno.readTextFile(join(dir, lockName));
    const { pid, started, api_url, db_port } = holderSchema.parse(
      JSON.parse(text),
    );
    const process = await readProcess(pid);
    return process?.started === started
      ? { pid, started, apiUrl: api_url, dbPort: db_port }
      : undefined;
  } catch {
    return undefined;
  }
}

async function inUse(path: string): Promise<StackError> {
  const holder = await readHolder(path);
  const who = holder === undefined
    ? ""
    : ` (process ${holder.pid}${
      holder.apiUrl === undefined ? ", starting" : `, ${holder.apiUrl}`
    })`;
  return new StackError(
    `The data folder ${path} is in use by another stack${who}. Stop it with \`${
      taskCommand("stop", path)
    }\`, or choose another folder with --data.`,
  );
}

/** In the folder of another project nothing else keeps Git from adding the keys and the database. */
async function hideFromGit(folder: string): Promise<void> {
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  // A folder with other files is not only ours: Git would no longer add those.
  if (names.length > 0 && !names.includes("keys.json")) return;
  try {
    await Deno.writeTextFile(join(folder, ".gitignore"), "*\n", {
      createNew: true,
    });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/**
 * Creates the folder if necessary and locks it. Git ignores the contents of a new folder, and of one of a stack that has no
 * `.gitignore`. Throws {@link StackError} when it is not writable or another stack holds it.
 */
export async function openDataFolder(dir: string): Promise<DataFolder> {
  const path = resolve(dir);
  const storageDir = join(path, "storage");
  const simulatorsDir = join(path, "simulators");
  let file: Deno.FsFile;
  try {
    await Deno.mkdir(path, { recursive: true });
    await hideFromGit(path);
    await Deno.mkdir(storageDir, { recursive: true, mode: 0o700 });
    await Deno.mkdir(simulatorsDir, { recursive: true, mode: 0o700 });
    file = await Deno.open(join(path, lockName), {
      create: true,
      read: true,
      write: true,
    });
  } catch (cause) {
    throw new StackError(
      `The data folder ${path} cannot be used: ${
        cause instanceof Error ? cause.message : cause
      }`,
      { cause },
    );
  }
  // A lock of the operating system: it ends with this process in any case.
  if (!(await file.tryLock(true))) {
    file.close();
    throw await inUse(path);
  }
  const announce = async (apiUrl?: string, dbPort?: number) => {
    const started = (await readProcess(Deno.pid))?.started ?? "";
    const text = JSON.stringify({
      pid: Deno.pid,
      started,
      api_url: apiUrl,
      db_port: dbPort,
    });
    await file.truncate(0);
    await file.seek(0, Deno.SeekMode.Start);
    await file.write(new TextEncoder().encode(text));
  };
  await announce();
  const seeding = join(path, "seeding");
  return {
    path,
    storageDir,
    simulatorsDir,
    isSeeding: () => isThere(seeding),
    async noteSeeding(isBegun) {
      if (isBegun) await Deno.writeTextFile(seeding, "");
      else if (await isThere(seeding)) await Deno.remove(seeding);
    },
    announce,
    [Symbol.dispose]: () => {
      // Unlocked explicitly: a process that is being started may still hold a copy of the descriptor.
      file.unlockSync();
      file.close();
    },
  };
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** How the stop of a stack ended. */
export type Stopped = "was not running" | "stopped" | "killed";

/**
 * Stops the stack that holds a folder and resolves when it has ended. A stack that takes longer than `timeoutMs` is
 * killed; its children then end by themselves.
 *
 * @throws {StackError} when this user may not stop it, when it is this process, or when the folder does not identify
 *   it.
 */
export async function stopStackOf(
  dir: string,
  options: { timeoutMs: number; onFound: (holder: Holder) => void },
): Promise<Stopped> {
  const path = resolve(dir);
  let file: Deno.FsFile;
  try {
    file = await Deno.open(join(path, lockName), { read: true });
  } catch (error) {
    if (
      error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory
    ) return "was not running";
    throw error;
  }
  using _ = file;
  // A shared lock, so that two callers do not take each other for a stack.
  if (await file.tryLock(false)) return "was not running";
  const holder = await readHolder(path);
  if (holder === undefined) {
    throw new StackError(
      `The data folder ${path} is in use, but its lock file names no process. End the stack that uses it.`,
    );
  }
  if (holder.pid === Deno.pid) {
    throw new StackError(
      `The data folder ${path} is in use by this process, which cannot stop itself.`,
    );
  }
  options.onFound(holder);
  const isOver = async () =>
    (await readProcess(holder.pid))?.started !== holder.started;
  const signal = (name: Deno.Signal) => {
    try {
      Deno.kill(holder.pid, name);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound) return;
      throw new StackError(
        `Process ${holder.pid}, which uses the data folder ${path}, belongs to another user.`,
        { cause },
      );
    }
  };
  signal("SIGTERM");
  const deadline = Date.now() + options.timeoutMs;
  let isKilled = false;
  while (!(await isOver())) {
    if (!isKilled && Date.now() > deadline) {
      isKilled = true;
      signal("SIGKILL");
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return isKilled ? "killed" : "stopped";
}
