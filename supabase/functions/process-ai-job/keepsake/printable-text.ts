/** Text as the fonts of the keepsake can print it. */
import { type FontData, ITALIC, ROMAN } from "./font-data.ts";

/** The two faces that there are. */
export type Face = "roman" | "italic";
const FACES: Readonly<Record<Face, FontData>> = {
  roman: ROMAN,
  italic: ITALIC,
};

/** Text with letters that no face has. */
export class UnprintableText extends Error {
  override readonly name = "UnprintableText";
  /** @param characters the first few of them, each once. */
  constructor(readonly characters: string) {
    super(`no font has ${characters}`);
  }
}

/** A text that one face covers whole. */
export interface PrintableText {
  text: string;
  face: Face;
  /** Pictures (emoji) that were left out. */
  leftOut: number;
}

const SHOWN_CHARACTERS = 10;
/** What is no letter and no sign of its own: joiners, marks of direction, selectors, tags. */
const INVISIBLE = /[\p{Cf}\p{Cc}\p{Variation_Selector}]/u;
const PICTURE =
  /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u20e3]/u;

/**
 * Brings a text into the form that is printed, in `preferred` if that face covers it, else in the other one.
 *
 * Lines are kept, runs of other white space become one space. What is only another form of a covered character (NFKC:
 * full-width letters, mathematical alphabets) is printed as that; invisible characters go, and so do emoji, which are
 * counted. Words are never left out: anything else that no face has is refused.
 *
 * @throws {UnprintableText} naming the characters.
 */
export function toPrintable(text: string, preferred: Face): PrintableText {
  const other: Face = preferred === "roman" ? "italic" : "roman";
  const first = fit(text, preferred);
  if (first.missing.size === 0) return toText(first, preferred);
  const second = fit(text, other);
  if (second.missing.size === 0) return toText(second, other);
  throw new UnprintableText(
    [...first.missing].slice(0, SHOWN_CHARACTERS).join(" "),
  );
}

interface Fitted {
  text: string;
  missing: Set<string>;
  leftOut: number;
}

function fit(text: string, face: Face): Fitted {
  const fitted: Fitted = { text: "", missing: new Set(), leftOut: 0 };
  const { covered } = FACES[face];
  for (const character of text.replaceAll(/\r\n?/g, "\n").normalize("NFC")) {
    if (character === "\n") fitted.text += character;
    else if (/\s/u.test(character)) fitted.text += " ";
    else if (INVISIBLE.test(character)) continue;
    else if (isCovered(covered, character)) fitted.text += character;
    else {
      const plain = character.normalize("NFKC");
      if ([...plain].every((part) => isCovered(covered, part))) {
        fitted.text += plain;
      } else if (PICTURE.test(character)) fitted.leftOut++;
      else fitted.missing.add(character);
    }
  }
  return fitted;
}

function toText({ text, leftOut }: Fitted, face: Face): PrintableText {
  return {
    text: text.replaceAll(/ +/g, " ").replaceAll(/ ?\n ?/g, "\n")
      .replaceAll(/\n{3,}/g, "\n\n").trim(),
    face,
    leftOut,
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
