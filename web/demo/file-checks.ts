/** Checks of files that users choose, and how a choice of several is reported. */

/** A problem with a file, in words for the user. */
export class FileProblem extends Error {}

const BY_EXTENSION: Readonly<Record<string, string>> = {
  mp3: "audio/mpeg",
  wav: "audio/wav",
  m4a: "audio/mp4",
  mp4: "video/mp4",
  ogg: "audio/ogg",
  opus: "audio/ogg",
  webm: "audio/webm",
  flac: "audio/flac",
  aac: "audio/aac",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
};

/** The MIME type of a file without parameters; by its name where the browser knows none. */
export function typeOf(file: File): string {
  const extension = file.name.split(".").at(-1)?.toLowerCase() ?? "";
  return file.type.replace(/;.*/, "").trim() || BY_EXTENSION[extension] || "";
}

/**
 * Passes files that `ready` accepts to `onFile`: all in their order, or only the first. Resolves with what is wrong with
 * each of the others, or null when there are none or the first accepted file ended the choice.
 */
export async function takeFiles(
  files: readonly File[],
  isMany: boolean,
  ready: (file: File) => File | Promise<File>,
  onFile: (file: File) => void,
): Promise<string | null> {
  const problems: string[] = [];
  for (const file of files) {
    try {
      onFile(await ready(file));
      if (!isMany) return null;
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      problems.push(error.message);
    }
  }
  return problems.length === 0 ? null : problems.join(" ");
}

/**
 * The file, if it is of a wanted kind and size.
 *
 * @throws {FileProblem}
 */
export function checkFile(
  file: File,
  kind: RegExp,
  kindName: string,
  maxBytes: number,
): File {
  if (!kind.test(typeOf(file))) {
    throw new FileProblem(`“${file.name}” is not ${kindName}.`);
  }
  if (file.size === 0) throw new FileProblem(`“${file.name}” is empty.`);
  if (file.size > maxBytes) {
    throw new FileProblem(
      `“${file.name}” has ${(file.size / 1e6).toFixed(1)} MB; the limit is ${
        Math.floor(maxBytes / 1e6)
      } MB.`,
    );
  }
  return file;
}
