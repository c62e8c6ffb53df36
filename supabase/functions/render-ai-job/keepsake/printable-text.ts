/** Text in a form that the fonts of the keepsake can print. */
import { type FontData, ITALIC, ROMAN } from "./font-data.ts";

/** The two faces. */
export type Face = "roman" | "italic";
const FACES: Readonly<Record<Face, FontData>> = {
  roman: ROMAN,
  italic: ITALIC,
};

/** A text as one face prints it. */
export interface PrintableText {
  text: string;
  face: Face;
  /** How many emoji were left out. */
  pictures: number;
  /** Other characters that the face lacks and that were left out, in order, with repetitions. */
  missing: readonly string[];
}

const SHOWN_CHARACTERS = 10;
/** Characters without a glyph: joiners, direction marks, selectors, tags. */
const INVISIBLE = /[\p{Cf}\p{Cc}\p{Variation_Selector}]/u;
const PICTURE =
  /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u20e3]/u;
const LETTER = /\p{L}/u;

/**
 * Converts a text to printable form, in `preferred` unless the other face has more of its characters.
 *
 * Lines are kept; runs of other white space become one space. Variants of a covered character (NFKC: full-width letters,
 * mathematical alphabets) are printed as that character. Invisible characters and emoji are removed, and emoji are counted.
 * Any other character that the face lacks is left out and reported.
 */
export function toPrintable(text: string, preferred: Face): PrintableText {
  const other: Face = preferred === "roman" ? "italic" : "roman";
  const first = fit(text, preferred);
  if (first.missing.length === 0) return first;
  const second = fit(text, other);
  return second.missing.length < first.missing.length ? second : first;
}

/** Counts the letters of a text that are printed and those that were left out. */
export function countLetters(
  { text, missing }: Pick<PrintableText, "text" | "missing">,
): { kept: number; lost: number } {
  const count = (characters: readonly string[]) =>
    characters.filter((character) => LETTER.test(character)).length;
  return { kept: count([...text]), lost: count(missing) };
}

/** The first ten different characters, in readable form. */
export function showCharacters(characters: readonly string[]): string {
  return [...new Set(characters)].slice(0, SHOWN_CHARACTERS).join(" ");
}

function fit(text: string, face: Face): PrintableText {
  let fitted = "";
  let pictures = 0;
  const missing: string[] = [];
  const { covered } = FACES[face];
  for (const character of text.replaceAll(/\r\n?/g, "\n").normalize("NFC")) {
    if (character === "\n") fitted += character;
    else if (/\s/u.test(character)) fitted += " ";
    else if (INVISIBLE.test(character)) continue;
    else if (isCovered(covered, character)) fitted += character;
    else {
      const plain = character.normalize("NFKC");
      if ([...plain].every((part) => isCovered(covered, part))) fitted += plain;
      else if (PICTURE.test(character)) pictures++;
      else missing.push(character);
    }
  }
  return {
    text: fitted.replaceAll(/ +/g, " ").replaceAll(/ ?\n ?/g, "\n")
      .replaceAll(/\n{3,}/g, "\n\n").trim(),
    face,
    pictures,
    missing,
  };
}

function isCovered(
  covered: FontData["covered"],
  character: string,
): boolean {
  const code = character.codePointAt(0) ?? 0;
  let low = 0, high = covered.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first = 0, last = 0] = covered[middle] ?? [];
    if (code < first) high = middle - 1;
    else if (code > last) low = middle + 1;
    else return true;
  }
  return false;
}
