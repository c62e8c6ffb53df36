/** A long text in parts that a speech model takes. */

/** The end of a sentence with what closes it, in scripts with and without spaces; a line break ends one as well. */
const SENTENCE_END = /[.!?…]+["'”’»)\]]*(?=\s)|[。！？｡]+["'”’」』）]*|\n/gu;
/** Never cut before these: they belong to the character before them. */
const CONTINUES = /^[\p{M}\u200d\ufe0f\u{1f3fb}-\u{1f3ff}]/u;

/**
 * Splits a text at ends of sentences into as few parts as that allows; a sentence that is longer by itself is split
 * between words, and a word that is longer by itself between characters.
 *
 * Guarantees: every part has 1 to `limit` UTF-16 units (so no more characters, however they are counted) and something
 * else than spaces; nothing but spaces between parts is lost; the same text and limit give the same parts, always: the
 * steps of a job are numbered by them.
 *
 * @param limit at least 16.
 */
export function splitText(text: string, limit: number): string[] {
  const parts: string[] = [];
  let rest = text.trim();
  while (rest.length > limit) {
    const at = cutAt(rest, limit);
    parts.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at).trimStart();
  }
  if (rest !== "") parts.push(rest);
  return parts;
}

/** Where to cut a text that is longer than `limit`: 1 to `limit`. */
function cutAt(text: string, limit: number): number {
  // One more than fits: a space right after the limit ends a sentence as well.
  const window = text.slice(0, limit + 1);
  let sentence = 0;
  for (const match of window.matchAll(SENTENCE_END)) {
    const end = match.index + match[0].length;
    if (end <= limit) sentence = end;
  }
  if (sentence > 0) return sentence;
  for (let at = limit; at > 0; at--) {
    if (/\s/.test(text[at] ?? "")) return at;
  }
  return betweenCharacters(text, limit);
}

function betweenCharacters(text: string, limit: number): number {
  for (let at = limit; at > 1; at--) {
    const isInsidePair = /^[\udc00-\udfff]/.test(text.slice(at, at + 1));
    const isJoined = text[at - 1] === "\u200d" ||
      CONTINUES.test(text.slice(at, at + 2));
    if (!isInsidePair && !isJoined) return at;
  }
  // Nothing but joined characters: only a surrogate pair must stay whole.
  return /^[\udc00-\udfff]/.test(text.slice(limit, limit + 1))
    ? limit - 1
    : limit;
}
