/** Writes files of the project so that a kill or a full disk never leaves part of one under its name. */
import type { Stats } from "node:fs";
import {
  chmod,
  chown,
  link,
  lstat,
  open,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";

const DRAFT = ".edge-ai-jobs.tmp";

/** Whether this is the path of a draft: the text of another file before that file has its name. */
export function isDraft(path: string): boolean {
  return path.endsWith(DRAFT);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/**
 * Calls `place` with a draft that has the whole text, on the disk; afterwards there is no draft, except after a kill.
 */
async function withDraft(
  path: string,
  text: string,
  mode: number,
  place: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = `${path}${DRAFT}`;
  await rm(draft, { force: true });
  try {
    const handle = await open(draft, "wx", mode);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await place(draft);
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Writes a file that must not exist: it appears with its whole text, or not at all. Rejects with `EEXIST` when the path
 * is taken. `makeLink` is for tests.
 */
export async function addFile(
  path: string,
  text: string,
  makeLink: typeof link = link,
): Promise<void> {
  await withDraft(path, text, 0o666, async (draft) => {
    try {
      // Unlike a rename, a link never replaces a file.
      await makeLink(draft, path);
    } catch (error) {
      if (hasCode(error, "EEXIST")) throw error;
      // File systems without hard links refuse with different codes. For any other reason, the rename fails as well.
      await refuseTaken(path);
      await rename(draft, path);
    }
  });
}

async function refuseTaken(path: string): Promise<void> {
  try {
    await lstat(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  throw Object.assign(
    new Error(`EEXIST: file already exists, rename to '${path}'`),
    { code: "EEXIST", syscall: "rename" },
  );
}

/** A link is kept: its target is replaced. */
async function followLink(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return path;
    throw error;
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Replaces or creates a file atomically. An existing one keeps its mode, and its owner where this user may set that, as
 * root may. A link stays a link to the same file.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const target = await followLink(path);
  const info = await statOf(target);
  // Until it has its own mode, no other user may read what the old file may have kept from them.
  const mode = info === undefined ? 0o666 : 0o600;
  await withDraft(target, text, mode, async (draft) => {
    if (info !== undefined) {
      await chown(draft, info.uid, info.gid).catch(() => {});
      await chmod(draft, info.mode & 0o7777);
    }
    await rename(draft, target);
  });
}
