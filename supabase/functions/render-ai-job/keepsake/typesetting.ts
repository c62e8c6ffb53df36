/**
 * Breaks text into lines. Widths are those of single characters: kerning and ligatures make a line slightly shorter, but
 * shaping each line at each size would take most of a request's processor time.
 */
import LineBreaker from "linebreak";
import type { PrintableText } from "./printable-text.ts";

/** Room for a text, and how it may be set; lengths are points. */
export interface Room {
  width: number;
  height: number;
  /** Font sizes to try, preferred first. */
  sizes: readonly number[];
  /** Line height, in font sizes. */
  leading: number;
}

/** Text broken into lines. */
export interface Setting {
  content: PrintableText;
  size: number;
  leading: number;
  lines: readonly string[];
  height: number;
}

/** The width of a character at a font size of 1. */
export type CharacterWidth = (
  character: string,
  face: PrintableText["face"],
) => number;

/**
 * Sets the text in the first size that fits, else in the last, in lines of about equal length. Lines break where Unicode
 * allows it (UAX 14), and within a word only if the word is longer than a line. If the text's own line breaks need too much
 * room, they become spaces.
 */
export function setText(
  content: PrintableText,
  room: Room,
  widthOf: CharacterWidth,
): Setting {
  const asWritten = setLines(content, room, widthOf);
  return asWritten.height <= room.height || !content.text.includes("\n")
    ? asWritten
    : setLines(
      { ...content, text: content.text.replaceAll(/\s+/g, " ") },
      room,
      widthOf,
    );
}

function setLines(
  content: PrintableText,
  room: Room,
  widthOf: CharacterWidth,
): Setting {
  const pieces = cut(content, widthOf);
  const heightOf = (lines: readonly string[], size: number) =>
    lines.length * size * room.leading;
  let size = room.sizes[0] ?? 12;
  let lines: string[] = [];
  for (size of room.sizes) {
    lines = breakLines(pieces, room.width / size);
    if (heightOf(lines, size) <= room.height) break;
  }
  // The narrowest width that needs no more lines.
  let narrow = room.width * 0.3, wide = room.width;
  for (let step = 0; step < 6; step++) {
    const middle = (narrow + wide) / 2;
    const tried = breakLines(pieces, middle / size);
    if (tried.length > lines.length) narrow = middle;
    else {
      wide = middle;
      lines = tried;
    }
  }
  return {
    content,
    size,
    leading: room.leading,
    lines,
    height: heightOf(lines, size),
  };
}

/** The text between two break opportunities. */
interface Piece {
  characters: readonly string[];
  widths: readonly number[];
  /** Without trailing white space, which may exceed the line. */
  width: number;
  space: number;
  /** A mandatory break follows. */
  isLast: boolean;
}

function cut(
  { text, face }: PrintableText,
  widthOf: CharacterWidth,
): Piece[] {
  const breaker = new LineBreaker(text);
  const pieces: Piece[] = [];
  let from = 0;
  for (let at = breaker.nextBreak(); at !== null; at = breaker.nextBreak()) {
    const characters = [...text.slice(from, at.position).replace(/\n$/, "")];
    const widths = characters.map((character) => widthOf(character, face));
    const space = characters.at(-1) === " " ? widths.at(-1) ?? 0 : 0;
    pieces.push({
      characters,
      widths,
      width: widths.reduce((sum, width) => sum + width, 0) - space,
      space,
      isLast: at.required ?? false,
    });
    from = at.position;
  }
  return pieces;
}

const MARK = /^\p{M}/u;

function breakLines(pieces: readonly Piece[], measure: number): string[] {
  const lines: string[] = [];
  let line = "";
  let filled = 0;
  const end = () => {
    lines.push(line.trimEnd());
    line = "";
    filled = 0;
  };
  for (const { characters, widths, width, space, isLast } of pieces) {
    if (line !== "" && filled + width > measure) end();
    if (width <= measure) {
      line += characters.join("");
      filled += width + space;
    } else {
      for (const [index, character] of characters.entries()) {
        const advance = widths[index] ?? 0;
        const isFull = filled + advance > measure && line !== "";
        if (isFull && !MARK.test(character) && character !== " ") end();
        line += character;
        filled += advance;
      }
    }
    if (isLast) end();
  }
  if (line !== "") end();
  return lines;
}
