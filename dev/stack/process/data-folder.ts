/** The folder that one persistent stack owns. */
import { fromFileUrl, join, resolve } from "@std/path";
import { z } from "zod";
import { denoCommandName } from "../console/own-command.ts";
import { readProcess } from "./processes.ts";
import { StackError } from "../console/stack-error.ts";

/** The file in it that the stack locks, and in which it says who it is. */
export const lockName = "lock";

const repository = fromFileUrl(new URL("../../../", import.meta.url));

/** Where a stack of a project keeps its data when nothing else is said; of this repository without one. */
export function defaultDataDir(projectDir = repository): string {
  return join(resolve(projectDir), ".data", "stack");
}

const holderSchema = z.object({
  pid: z.number().int().positive(),
  started: z.string(),
  api_url: z.string().optional(),
  db_port: z.number().int().optional(),
});

/** The stack that has a folder. */
export interface Holder {
  pid: number;
  /** As {@link readProcess} says it. */
  started: string;
  apiUrl: string | undefined;
  /** Of its Postgres on this machine; the passwords are in the folder. */
  dbPort: number | undefined;
}

/** A data folder that is locked by this process until it is disposed of, or the process ends. */
export interface DataFolder extends Disposable {
  path: string;
  storageDir: string;
  /** Of what the simulated providers remember. */
  simulatorsDir: string;
  /** Whether a seed was begun and not finished. */
  isSeeding(): Promise<boolean>;
  /** Notes that a seed is begun, or finished. */
  noteSeeding(isBegun: boolean): Promise<void>;
  /** Lets others read where the stack answers. */
  announce(apiUrl: string, dbPort?: number): Promise<void>;
}

/** How to stop the stack of a folder. */
export function stopCommand(folder: string): string {
  const words = `${denoCommandName()} task stop`;
  if (folder === defaultDataDir()) return words;
  const isPlain = /^[\w@%+=:,./-]+$/.test(folder);
  return `${words} --data ${
    isPlain ? folder : `'${folder.replaceAll("'", "'\\''")}'`
  }`;
}

/**
 * What the lock of a folder says about the stack that has it, or had it last; undefined when it says nothing, or that
 * process is over. Only a lock that is held makes it true.
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
      stopCommand(path)
    }\`, or choose another folder with --data.`,
  );
}

/**
 * Makes the folder if need be and locks it.
 * Throws {@link StackError} when it cannot be written to, or another stack has it.
 */
export async function openDataFolder(dir: string): Promise<DataFolder> {
  const path = resolve(dir);
  const storageDir = join(path, "storage");
  const simulatorsDir = join(path, "simulators");
  let file: Deno.FsFile;
  try {
    await Deno.mkdir(path, { recursive: true });
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
  // The lock is one of the operating system: it ends with this process, however that ends.
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
      // Closing alone keeps the lock while a process that is being started still has a copy of the descriptor.
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

/** How the stopping of a stack ended. */
export type Stopped = "was not running" | "stopped" | "killed";

/**
 * Stops the stack that has a folder, and resolves when it is over. One that takes longer than `patienceMs` is killed;
 * its children end by themselves then.
 *
 * Throws {@link StackError} when this user may not stop it, when it is this process, or when the folder does not say
 * who has it.
 */
export async function stopStackOf(
  dir: string,
  options: { patienceMs: number; onFound: (holder: Holder) => void },
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
  // Shared, so that two who ask do not take each other for a stack.
  if (await file.tryLock(false)) return "was not running";
  const holder = await readHolder(path);
  if (holder === undefined) {
    throw new StackError(
      `The data folder ${path} is in use, but does not say by which process.`,
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
        `Process ${holder.pid}, which has the data folder ${path}, belongs to another user.`,
        { cause },
      );
    }
  };
  signal("SIGTERM");
  const deadline = Date.now() + options.patienceMs;
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
