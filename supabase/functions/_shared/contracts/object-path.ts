/** How an object of our own Storage is named: `<bucket>/<path>`, the path's first folder being the owner's id. */
import { z } from "zod";

/** Same form as the check constraints `…_is_object_path` in the migrations. */
const OBJECT_PATH = /^[a-z0-9][a-z0-9_-]{0,62}\/[^/]+\/.*[^/]$/u;
/**
 * Stricter than those constraints: also refuses what a URL would not carry unchanged. The Storage client joins names
 * into URLs without encoding them, so `%2e%2e` would climb out of the owner's folder with the service's rights.
 */
const FORBIDDEN =
  // deno-lint-ignore no-control-regex -- control characters are exactly what is refused
  /[\u0000-\u001f\u007f-\u009f\ud800-\udfff\\%?#]|(^|\/)\.{1,2}(\/|$)|\/\/| $/u;

/** Bucket and path of an object. */
export interface ObjectPath {
  bucket: string;
  path: string;
}

/**
 * Splits `<bucket>/<path>`.
 *
 * @returns null when the text is not of that form, contains `..`, has empty parts, or cannot appear in a URL unchanged
 *   (control characters, backslashes, `%`, `?`, `#`, a space at the end, broken Unicode).
 */
export function parseObjectPath(text: string): ObjectPath | null {
  if (text.length > 1024 || !OBJECT_PATH.test(text) || FORBIDDEN.test(text)) {
    return null;
  }
  const slash = text.indexOf("/");
  return { bucket: text.slice(0, slash), path: text.slice(slash + 1) };
}

/**
 * The object that `input` names: `<bucket>/<path>`, or a URL of this project's own Storage
 * (`<project>/storage/v1/object/[public|sign|authenticated]/<bucket>/<path>`) converted to that form.
 *
 * Every other URL is refused, however its host is disguised: the parsed origin is compared with the
 * project's own, and nothing is ever fetched from the text itself.
 *
 * @returns null for anything else.
 */
export function normalizeInputUrl(
  input: string,
  projectUrls: readonly string[],
): string | null {
  if (!input.includes("://")) {
    return parseObjectPath(input) === null ? null : input;
  }
  let url: URL;
  try {
    url = new URL(input);
  } catch {
    return null;
  }
  const isOurs = projectUrls.some((project) =>
    new URL(project).origin === url.origin
  );
  if (!isOurs || url.username !== "" || url.password !== "") return null;
  const match =
    /^\/storage\/v1\/object\/(?:(?:public|sign|authenticated)\/)?(.+)$/.exec(
      url.pathname,
    );
  if (match?.[1] === undefined) return null;
  try {
    const decoded = decodeURIComponent(match[1]);
    return parseObjectPath(decoded) === null ? null : decoded;
  } catch {
    return null;
  }
}

/** A path inside a bucket, as a request names it. */
export const objectPathSchema = z.string().min(3).max(1024).refine(
  (path) => parseObjectPath(`bucket/${path}`) !== null,
  "must be a path such as <user id>/<file>, without empty, '.' or '..' parts and without \\ % ? #",
);
