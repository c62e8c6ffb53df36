/** The folder that one persistent stack owns. */
import { join, resolve } from "@std/path";
import { StackError } from "./stack-error.ts";

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
    file = await Deno.open(join(path, "lock"), {
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
    throw new StackError(
      `The data folder ${path} is in use by another stack. Stop that one, or choose another folder with --data.`,
    );
  }
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
    [Symbol.dispose]: () => file.close(),
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
