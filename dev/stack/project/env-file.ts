/**
 * The stack's variables in an env file of the developer: only these change, and the rest of the file keeps every byte.
 *
 * What counts as an assignment is what dotenv reads (https://github.com/motdotla/dotenv#what-rules-does-the-parsing-engine-follow).
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

/** What lies between the quotes that open at `open`; undefined when they never close, or not before the end of a line. */
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

/** The value that begins at `start`, without its quotes, and without the comment and the blanks behind it. */
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
 * Sets variables in the text of an env file. Each assignment of one of the names gets the new value, and keeps its
 * `export`, its quotes and its comment; a name that is not assigned is appended. Nothing else changes: a text that
 * already has all the values comes back as it was.
 *
 * `text` is one character a byte, so that it does not matter which encoding the rest of the file has. Values have to
 * be ASCII, without blanks, quotes and `#`.
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
      // A value of ours is an address or a key: one that runs over several lines has a quote too many.
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
    // Behind a carriage return comes the end of its line.
    at = text.indexOf("\n", at);
    at = at < 0 ? text.length : at + 1;
  }
  merged += text.slice(copied);
  const newline = /\r?\n/.exec(text)?.[0] ?? "\n";
  if (missing.size > 0 && !/(^|\n)$/.test(merged)) merged += newline;
  for (const [name, value] of missing) merged += `${name}=${value}${newline}`;
  return merged;
}

/** What dotenv takes besides: `NAME: value`. */
const anyAssignment =
  /[ \t]*(?:export[ \t]+)?[\w.-]+(?:[ \t]*=[ \t]*|:[ \t]+)/y;

/**
 * The number, from 1, of the first line of an env file that is no assignment, comment, blank line or part of a quoted
 * value; undefined when there is none. dotenv passes such lines over.
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

/** An env file that can be written. */
export interface EnvFile {
  /**
   * Merges the values into the file as it is now, in one step; makes it, with mode 600, when it is not there. A file
   * that has them already is not touched. Throws {@link StackError} when it has become unwritable.
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

/** The file as it is; undefined when there is none. */
async function readExisting(path: string): Promise<Existing | undefined> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  if (info.isDirectory) throw new StackError("it is a folder");
  if (!info.isFile) throw new StackError("it is no ordinary file");
  // Opening says whether it may be written, and changes nothing.
  (await Deno.open(path, { append: true })).close();
  const text = Buffer.from(await Deno.readFile(path)).toString("latin1");
  if (text.includes("\0")) {
    throw new StackError(
      "it is no text in UTF-8 (an editor on Windows may have saved it as UTF-16)",
    );
  }
  return { text, info };
}

/** A link stays a link: what it leads to is written. */
async function followLink(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const isLink = await Deno.lstat(path).then(
      ({ isSymlink }) => isSymlink,
      () => false,
    );
    if (isLink) throw new StackError("it is a link that leads nowhere");
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
      // Owner and group stay where this user may give a file to them, which root may.
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
 * Looks whether an env file can be written, and writes nothing.
 *
 * Throws {@link StackError}, naming the path and the reason, for a folder, a device, a dangling link, a file that is
 * no UTF-8, and a file or folder that this user may not write.
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
