/** Text that Postgres can store in jsonb: no control characters, no NUL, no unpaired surrogates. */
import { z } from "zod";

const PLAIN_TEXT =
  // deno-lint-ignore no-control-regex -- control characters are exactly what is refused
  /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ud800-\udfff]*$/u;

/** Text of any length, also empty; tabs and line breaks are allowed. */
export const plain = z.string().regex(PLAIN_TEXT, {
  error: "has control characters or broken Unicode",
  // Further messages would add nothing.
  abort: true,
});

/**
 * A visible character: no space, no joiner, no direction mark, no character without a glyph. The database has the same
 * rule in `private.has_visible_text`.
 */
export const VISIBLE = /[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** Text with at least one visible character and at most `max` UTF-16 units, trimmed. */
export const plainText = (max: number) =>
  plain.trim().min(1).max(max)
    // An empty text has its own message.
    .refine(
      (text) => text === "" || VISIBLE.test(text),
      "must contain a visible character",
    );

/** A number from 0 to 1. */
export const unitInterval = z.number().min(0).max(1);
