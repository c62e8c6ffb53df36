/**
 * Writes the stack's variables into an env file of the developer. Only these change; every other byte of the file
 * stays.
 *
 * Assignments are recognized as dotenv does
 * (https://github.com/motdotla/dotenv#what-rules-does-the-parsing-engine-follow).
 */
import { Buffer } from "node:buffer";
import { basename, dirname, join } from "@std/path";
import { StackError } from "../console/stack-error.ts";

const assignment =
  /[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*/y;
const byteOrderMark = "\u00ef\u00bb\u00bf";

interface Span {
  start: number;
  end: number;
}

function lineEnd(text: string, from: number): number {
  const at = text.indexOf("\n", from);
  if (at < 0) return text.length;
  return text[at - 1] === "\r" && at > from ? at - 1 : at;
}

/**
 * The text between the quotes that open at `open`; undefined when they are not closed, or not before the end of a line.
 */
function quoted(text: string, open: number): Span | undefined {
  const quote = text[open];
  let close = open + 1;
  while (close < text.length && text[close] !== quote) {
    close += text[close] === "\\" ? 2 : 1;
  }
  if (close >= text.length) return undefined;
  const rest = text.slice(close + 1, lineEnd(text, close + 1));
  return /^[ \t]*(#.*)?$/.test(rest)
    ? { start: open + 1, end: close }
    : undefined;
}

/** The value that begins at `start`, without its quotes, comment and trailing blanks. */
function valueAt(text: string, start: number): Span {
  if (/["'`]/.test(text.charAt(start))) {
    const found = quoted(text, start);
    if (found) return found;
  }
  const rest = text.slice(start, lineEnd(text, start));
  const tail = rest.startsWith("#")
    ? 0
    : /[ \t]+#|[ \t]*$/.exec(rest)?.index ?? rest.length;
  return { start, end: start + tail };
}

/**
 * Sets variables in the text of an env file. Each assignment of one of the names gets the new value and keeps its
 * `export`, quotes and comment; a name without an assignment is appended. Nothing else changes.
 *
 * `text` has one character per byte, so the encoding of the rest of the file does not matter. Values must be ASCII
 * without blanks, quotes and `#`.
 */
export function mergeEnv(
  text: string,
  values: Readonly<Record<string, string>>,
): string {
  const given = new Map(Object.entries(values));
  const missing = new Map(given);
  let merged = "";
  let copied = 0;
  let at = text.startsWith(byteOrderMark) ? byteOrderMark.length : 0;
  while (at < text.length) {
    assignment.lastIndex = at;
    const name = assignment.exec(text)?.[1];
    if (name === undefined) {
      at = lineEnd(text, at);
    } else {
      const start = assignment.lastIndex;
      const value = given.get(name);
      let span = valueAt(text, start);
      // Our values are addresses and keys, so one that spans lines has an unclosed quote.
      if (
        value !== undefined && text.slice(span.start, span.end).includes("\n")
      ) {
        span = { start, end: lineEnd(text, start) };
      }
      if (value !== undefined) {
        missing.delete(name);
        merged += text.slice(copied, span.start) + value;
        copied = span.end;
        if (text[span.end] === "#") merged += " ";
      }
      at = lineEnd(text, span.end);
    }
    // A carriage return is followed by the end of its line.
    at = text.indexOf("\n", at);
    at = at < 0 ? text.length : at + 1;
  }
  merged += text.slice(copied);
  const newline = /\r?\n/.exec(text)?.[0] ?? "\n";
  if (missing.size > 0 && !/(^|\n)$/.test(merged)) merged += newline;
  for (const [name, value] of missing) merged += `${name}=${value}${newline}`;
  return merged;
}

/** dotenv also accepts `NAME: value`. */
const anyAssignment =
  /[ \t]*(?:export[ \t]+)?[\w.-]+(?:[ \t]*=[ \t]*|:[ \t]+)/y;

/**
 * The number, from 1, of the first line of an env file that is not an assignment, comment, blank line or part of a
 * quoted value; undefined when there is none. dotenv skips such lines silently.
 */
export function findStrayLine(text: string): number | undefined {
  let at = text.startsWith("\ufeff") ? 1 : 0;
  while (at < text.length) {
    anyAssignment.lastIndex = at;
    let end = lineEnd(text, at);
    if (anyAssignment.test(text)) {
      end = lineEnd(text, valueAt(text, anyAssignment.lastIndex).end);
    } else if (!/^\s*(#.*)?$/.test(text.slice(at, end))) {
      return text.slice(0, at).split("\n").length;
    }
    at = text.indexOf("\n", end);
    at = at < 0 ? text.length : at + 1;
  }
  return undefined;
}

/** An env file that was checked to be writable. */
export interface EnvFile {
  /**
   * Merges the values into the current file atomically, and creates it with mode 600 if it does not exist. A file that
   * already has them is not touched. Throws {@link StackError} when it has become unwritable.
   */
  write(values: Readonly<Record<string, string>>): Promise<void>;
}

function reasonOf(error: unknown): string {
  return error instanceof Deno.errors.PermissionDenied
    ? "this user may not write there"
    : error instanceof Deno.errors.NotFound ||
        error instanceof Deno.errors.NotADirectory
    ? "its folder does not exist"
    : error instanceof Error
    ? error.message
    : String(error);
}

interface Existing {
  text: string;
  info: Deno.FileInfo;
}

/** The contents of the file; undefined when it does not exist. */
async function readExisting(path: string): Promise<Existing | undefined> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  if (info.isDirectory) throw new StackError("it is a directory");
  if (!info.isFile) throw new StackError("it is not a regular file");
  // Opening checks the permission and changes nothing.
  (await Deno.open(path, { append: true })).close();
  const text = Buffer.from(await Deno.readFile(path)).toString("latin1");
  if (text.includes("\0")) {
    throw new StackError(
      "it is not UTF-8 text (an editor on Windows may have saved it as UTF-16)",
    );
  }
  return { text, info };
}

/** A link is kept: its target is written. */
async function followLink(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const isLink = await Deno.lstat(path).then(
      ({ isSymlink }) => isSymlink,
      () => false,
    );
    if (isLink) throw new StackError("it is a dangling link");
    return path;
  }
}

async function replace(
  path: string,
  text: string,
  info: Deno.FileInfo | undefined,
): Promise<void> {
  const draft = join(
    dirname(path),
    `.${basename(path)}.${crypto.randomUUID()}.draft`,
  );
  try {
    await Deno.writeFile(draft, Buffer.from(text, "latin1"), { mode: 0o600 });
    if (info) {
      // Keeps owner and group where this user may set them, as root may.
      await Deno.chown(draft, info.uid, info.gid).catch(() => {});
      if (info.mode !== null) await Deno.chmod(draft, info.mode & 0o7777);
    }
    await Deno.rename(draft, path);
  } catch (error) {
    await Deno.remove(draft).catch(() => {});
    throw error;
  }
}

/**
 * Checks that an env file can be written, and writes nothing.
 *
 * @throws {StackError} with the path and the reason, for a directory, a device, a dangling link, a file that is not
 *   UTF-8, and a file or directory that this user may not write.
 */
export async function openEnvFile(path: string): Promise<EnvFile> {
  const attempt = async <T>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action();
    } catch (cause) {
      throw new StackError(
        `The env file ${path} cannot be written: ${reasonOf(cause)}.`,
        { cause },
      );
    }
  };
  const target = await attempt(async () => {
    const target = await followLink(path);
    await readExisting(target);
    const probe = await Deno.makeTempFile({ dir: dirname(target) });
    await Deno.remove(probe);
    return target;
  });
  return {
    write: (values) =>
      attempt(async () => {
        const existing = await readExisting(target);
        const text = mergeEnv(existing?.text ?? "", values);
        if (text === existing?.text) return;
        await replace(target, text, existing?.info);
      }),
  };
}
