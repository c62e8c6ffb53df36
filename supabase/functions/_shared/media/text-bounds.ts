/** Where a text may be cut: between graphemes, between words, and outside tags and brackets. */

/** Creates a segmenter, as `new Intl.Segmenter` does. */
export type MakeSegmenter = (
  granularity: "grapheme" | "word",
) => Intl.Segmenter;

/** The runtime's own segmenters, or null where it has none. */
export function runtimeSegmenter(): MakeSegmenter | null {
  return "Segmenter" in Intl
    ? (granularity) => new Intl.Segmenter(undefined, { granularity })
    : null;
}

/** Matches units that continue the grapheme before them, for a runtime without `Intl.Segmenter`. */
const CONTINUES = /^[\p{M}\p{Emoji_Modifier}\u200d]/u;

/**
 * The indexes in a text, in UTF-16 units, at which a grapheme (a character as a reader sees it) begins. Without a
 * segmenter, marks, skin tones and U+200D sequences stay whole; flags and syllable blocks may be cut.
 */
export function characterStarts(
  text: string,
  segmenter: MakeSegmenter | null,
): Set<number> {
  if (segmenter !== null) return segmentStarts(text, segmenter("grapheme"));
  const starts = new Set<number>();
  let at = 0;
  for (const character of text) {
    if (text[at - 1] !== "\u200d" && !CONTINUES.test(character)) starts.add(at);
    at += character.length;
  }
  return starts;
}

/**
 * The indexes at which a word or a mark begins, also in scripts without spaces between words; empty without a
 * segmenter.
 */
export function wordStarts(
  text: string,
  segmenter: MakeSegmenter | null,
): Set<number> {
  return segmenter === null
    ? new Set()
    : segmentStarts(text, segmenter("word"));
}

function segmentStarts(text: string, segmenter: Intl.Segmenter): Set<number> {
  const starts = new Set<number>();
  for (const { index } of segmenter.segment(text)) starts.add(index);
  return starts;
}

/** A tag with its attributes, or a bracket. */
const MARKUP = /<(\/?)([\p{L}_][\p{L}\p{N}_:.-]*)[^<>]*>|[[\]]/gu;

/**
 * For each index of a text, how many tags, brackets and elements (with their end tag) enclose it. Those longer than
 * `maxLength` and those that are never closed do not count.
 */
export function markupDepth(text: string, maxLength: number): Int32Array {
  const depth = new Int32Array(text.length + 1);
  const keep = (start: number | undefined, end: number) => {
    if (start === undefined || end - start > maxLength) return;
    depth[start + 1] = (depth[start + 1] ?? 0) + 1;
    depth[end] = (depth[end] ?? 0) - 1;
  };
  const open = new Map<string, number[]>();
  const begin = (name: string, at: number) => {
    const starts = open.get(name);
    if (starts === undefined) open.set(name, [at]);
    else starts.push(at);
  };
  for (const match of text.matchAll(MARKUP)) {
    const [token, slash, name] = match;
    const end = match.index + token.length;
    if (token === "[") begin(token, match.index);
    else if (token === "]") keep(open.get("[")?.pop(), end);
    else if (name !== undefined) {
      keep(match.index, end);
      if (slash !== "") keep(open.get(name)?.pop(), end);
      else if (!token.endsWith("/>")) begin(name, match.index);
    }
  }
  for (let at = 1; at < depth.length; at++) {
    depth[at] = (depth[at] ?? 0) + (depth[at - 1] ?? 0);
  }
  return depth;
}

/** The beginning of a text, at most `maxLength` UTF-16 units, without cutting a grapheme. */
export function headOf(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  // The next units decide whether a grapheme ends at the limit.
  const starts = characterStarts(
    text.slice(0, maxLength + 2),
    runtimeSegmenter(),
  );
  let end = maxLength;
  while (end > 0 && !starts.has(end)) end -= 1;
  return text.slice(0, end);
}

/** The end of a text, at most `maxLength` UTF-16 units, without cutting a grapheme. */
export function tailOf(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const starts = characterStarts(text, runtimeSegmenter());
  let start = text.length - maxLength;
  while (start < text.length && !starts.has(start)) start += 1;
  return text.slice(start);
}
