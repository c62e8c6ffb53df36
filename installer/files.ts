/** Writes files of the project so that a kill or a full disk never leaves part of one under its name. */
import { link, lstat, open, rename, rm } from "node:fs/promises";

const DRAFT = ".edge-ai-jobs.tmp";

/** Whether this is the path of a draft: the text of another file before that file has its name. */
export function isDraft(path: string): boolean {
  return path.endsWith(DRAFT);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** Calls `place` with a draft that has the whole text, on the disk; afterwards there is no draft, except after a kill. */
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

/** Replaces or creates a file atomically. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await withDraft(path, text, 0o666, (draft) => rename(draft, path));
}
