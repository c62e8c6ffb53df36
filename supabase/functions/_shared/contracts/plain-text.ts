/** Text that can be stored and sent on: what Postgres can keep in jsonb, without NUL or half of a surrogate pair. */
import { z } from "zod";

const PLAIN_TEXT =
  // deno-lint-ignore no-control-regex -- control characters are exactly what is refused
  /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ud800-\udfff]*$/u;

/** Any length, also none; tabs and line breaks are allowed. */
export const plain = z.string().regex(PLAIN_TEXT, {
  error: "has control characters or broken Unicode",
  // What else is wrong with it says nothing more.
  abort: true,
});

/**
 * A character that is more than a space: not one that only joins, directs or marks others, nor one without a shape. The
 * database has the same in `private.has_visible_text`.
 */
export const VISIBLE = /[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** At least one visible character, at most `max` UTF-16 units; spaces around it are taken away. */
export const plainText = (max: number) =>
  plain.trim().min(1).max(max)
    // What is empty says so already.
    .refine(
      (text) => text === "" || VISIBLE.test(text),
      "has no visible character",
    );

/** A number from 0 to 1. */
export const unitInterval = z.number().min(0).max(1);
