/** Text that can be stored and sent on: what Postgres can keep in jsonb, without NUL or half of a surrogate pair. */
import { z } from "zod";

const PLAIN_TEXT =
  // deno-lint-ignore no-control-regex -- control characters are exactly what is refused
  /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ud800-\udfff]*$/u;

/** Any length, also none; tabs and line breaks are allowed. */
export const plain = z.string().regex(
  PLAIN_TEXT,
  "has control characters or broken Unicode",
);

/** At least one character that is no space, at most `max` UTF-16 units; spaces around it are taken away. */
export const plainText = (max: number) => plain.trim().min(1).max(max);

/** A number from 0 to 1. */
export const unitInterval = z.number().min(0).max(1);
