/** Splits a long text into parts that a speech model accepts. */
import { VISIBLE } from "../contracts/plain-text.ts";
import {
  characterStarts,
  type MakeSegmenter,
  markupDepth,
  runtimeSegmenter,
  wordStarts,
} from "./text-bounds.ts";

/** One or more terminals, then closing brackets and quotation marks; “ closes in German and opens in English. */
const TERMINALS =
  /([.!?…．\p{Sentence_Terminal}]+)([\p{Pe}\p{Pf}"'＂＇]*)(\p{Pi}*)/gu;
/** A terminal that ends a sentence without a space after it, since it never occurs in a number, name or address. */
const SURE_TERMINAL = /(?![.!?．])\p{Sentence_Terminal}/u;
/** Line breaks, and the spaces with which Thai and Lao end a sentence. */
const OTHER_ENDS =
  /[\n\r\u2028\u2029]|(?<=[\p{sc=Thai}\p{sc=Lao}])[^\S\n\r]+(?=[\p{sc=Thai}\p{sc=Lao}])/gu;
/** A space at which a line may be broken. */
const BREAKABLE_SPACE = /[^\S\u00a0\u202f\ufeff]/;
/** Spaces, except one that carries a combining mark. */
const LEADING_SPACES = /^(?:\s(?![\p{M}\u200d]))+/u;
/** Characters that stay with the word before them, and those that stay with the word after them. */
const CLOSES = /^[\p{Terminal_Punctuation}\p{Pe}\p{Pf}]/u;
const OPENS = /[\p{Ps}\p{Pi}]$/u;

/**
 * Splits a text at sentence ends into as few parts as possible. A sentence longer than the limit is split between words,
 * and a word longer than the limit between characters. Sentence ends follow Unicode (`Sentence_Terminal`), so Hindi,
 * Urdu, Arabic, Armenian, Burmese, Khmer, Chinese and Japanese are covered too.
 *
 * Guarantees:
 * - Every part has 1 to `limit` UTF-16 units (so at most `limit` characters, however they are counted) and visible text.
 * - Only spaces and parts without visible text are dropped.
 * - No surrogate pair is cut, and no grapheme, tag (`<break time="1s"/>`), element (`<phoneme …>…</phoneme>`) or
 *   bracket (`[laughs softly]`) that fits into a part.
 * - In one runtime, the same text and limit give the same parts: the steps of a job are numbered by them.
 *
 * @param limit at least 16.
 * @param segmenter `Intl.Segmenter`, or null for a runtime without it; words are then separated by spaces only.
 */
export function splitText(
  text: string,
  limit: number,
  segmenter: MakeSegmenter | null = runtimeSegmenter(),
): string[] {
  const whole = text.slice(leadingSpaces(text)).trimEnd();
  const depth = markupDepth(whole, limit);
  const parts: string[] = [];
  let start = 0;
  while (start < whole.length) {
    const end = whole.length - start <= limit ? whole.length : start + cutAt(
      // The next units decide whether a character or word ends at the limit.
      whole.slice(start, start + limit + 64),
      limit,
      (at) => depth[start + at] === 0,
      segmenter,
    );
    parts.push(whole.slice(start, end).trimEnd());
    start = end + leadingSpaces(whole.slice(end));
  }
  return parts.filter((part) => VISIBLE.test(part));
}

const leadingSpaces = (text: string) =>
  LEADING_SPACES.exec(text)?.[0].length ?? 0;

/** The index, 1 to `limit`, at which to cut a text longer than `limit`. */
function cutAt(
  text: string,
  limit: number,
  isOutsideMarkup: (at: number) => boolean,
  segmenter: MakeSegmenter | null,
): number {
  const characters = characterStarts(text, segmenter);
  const isAllowed = (at: number) => characters.has(at) && isOutsideMarkup(at);
  const sentence = Math.max(
    0,
    ...sentenceEnds(text).filter((at) => at <= limit && isAllowed(at)),
  );
  if (sentence > 0) return sentence;

  const last = (fits: (at: number) => boolean) => {
    for (let at = limit; at > 0; at--) {
      if (fits(at)) return at;
    }
    return undefined;
  };
  const space = last((at) =>
    BREAKABLE_SPACE.test(text.charAt(at)) && isAllowed(at)
  );
  if (space !== undefined) return space;
  const words = wordStarts(text, segmenter);
  return last((at) =>
    words.has(at) && isAllowed(at) &&
    !CLOSES.test(text.slice(at, at + 2)) &&
    !OPENS.test(text.slice(Math.max(0, at - 2), at))
  ) ??
    last(isAllowed) ??
    last((at) => characters.has(at)) ??
    // A single grapheme that is longer than a part.
    (isPair(text, limit) ? limit - 1 : limit);
}

/** The index after each sentence, except at the end of the text. */
function sentenceEnds(text: string): number[] {
  const ends: number[] = [];
  for (const match of text.matchAll(TERMINALS)) {
    const [whole, terminals = "", closers = ""] = match;
    const isSure = SURE_TERMINAL.test(terminals);
    const end = match.index +
      (isSure ? terminals.length + closers.length : whole.length);
    if (isSure || /\s/.test(text.charAt(end))) ends.push(end);
  }
  for (const match of text.matchAll(OTHER_ENDS)) {
    ends.push(match.index + match[0].length);
  }
  return ends;
}

/** Whether the units on both sides of an index form a surrogate pair. */
function isPair(text: string, at: number): boolean {
  return /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(at - 1, at + 1));
}
