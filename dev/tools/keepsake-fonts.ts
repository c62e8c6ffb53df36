/// <reference path="../types/subset-font.d.ts" />
/**
 * Writes the fonts of the keepsake into `render-ai-job/keepsake/font-data.ts`: EB Garamond, cut down to the scripts
 * that it covers, as a module, because a function can be deployed with modules alone.
 *
 * usage: deno task fonts
 */
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { encodeBase64 } from "@std/encoding";
import { fromFileUrl } from "@std/path";
import subsetFont from "subset-font";

const PACKAGE = "@expo-google-fonts/eb-garamond";
const target = fromFileUrl(
  new URL(
    "../../supabase/functions/render-ai-job/keepsake/font-data.ts",
    import.meta.url,
  ),
);

/** First and last code point of each kept range, as far as the font covers it. */
const KEPT: readonly (readonly [number, number])[] = [
  [0x20, 0x7e], // Basic Latin
  [0xa0, 0x24f], // Latin-1, Latin Extended-A and -B
  [0x250, 0x2ff], // IPA, modifier letters
  [0x300, 0x36f], // combining marks
  [0x370, 0x3ff], // Greek
  [0x400, 0x52f], // Cyrillic and its supplement
  [0x1e00, 0x1eff], // Latin Extended Additional, with Vietnamese
  [0x1f00, 0x1fff], // Greek Extended
  [0x2000, 0x206f], // punctuation
  [0x2070, 0x209f], // superscripts and subscripts
  [0x20a0, 0x20bf], // currencies
  [0x2100, 0x214f], // letterlike symbols
  [0x2150, 0x218f], // fractions
  [0x2190, 0x2193], // arrows
  [0x2200, 0x22ff], // mathematics
  [0x2640, 0x2642],
  [0x2766, 0x2767], // the ornament of the cover
  [0xfb00, 0xfb06], // ligatures
];

const text = KEPT.map(([first, last]) =>
  Array.from(
    { length: last - first + 1 },
    (_, index) => String.fromCodePoint(first + index),
  ).join("")
).join("");

await import(`${PACKAGE}/package.json`, { with: { type: "json" } });

async function read(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(
    fromFileUrl(import.meta.resolve(`${PACKAGE}/${path}`)),
  );
}

/**
 * The characters that a font file maps to a glyph: its table `cmap` in format 4, which every font of these planes has
 * (OpenType 1.9, "cmap").
 */
function charactersOf(font: Uint8Array): number[] {
  const view = new DataView(font.buffer, font.byteOffset, font.byteLength);
  const tables = view.getUint16(4);
  let cmap = 0;
  for (let index = 0; index < tables; index++) {
    const at = 12 + index * 16;
    if (view.getUint32(at) === 0x636d6170) cmap = view.getUint32(at + 8);
  }
  const subtables = view.getUint16(cmap + 2);
  for (let index = 0; index < subtables; index++) {
    const at = cmap + view.getUint32(cmap + 4 + index * 8 + 4);
    if (view.getUint16(at) === 4) return readFormat4(view, at);
  }
  throw new Error("the font has no cmap of format 4");
}

function readFormat4(view: DataView, at: number): number[] {
  const segments = view.getUint16(at + 6) / 2;
  const ends = at + 14, starts = ends + segments * 2 + 2;
  const deltas = starts + segments * 2, offsets = deltas + segments * 2;
  const characters: number[] = [];
  for (let index = 0; index < segments; index++) {
    const start = view.getUint16(starts + index * 2);
    const end = view.getUint16(ends + index * 2);
    const offset = view.getUint16(offsets + index * 2);
    for (let code = start; code <= end && code < 0xffff; code++) {
      const raw = offset === 0
        ? code
        : view.getUint16(offsets + index * 2 + offset + (code - start) * 2);
      const glyph = raw === 0 && offset !== 0
        ? 0
        : (raw + view.getUint16(deltas + index * 2)) & 0xffff;
      if (glyph !== 0) characters.push(code);
    }
  }
  return characters;
}

function toRanges(characters: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const code of [...characters].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  return ranges;
}

async function face(
  name: string,
  description: string,
  path: string,
): Promise<string> {
  const font = await subsetFont(Buffer.from(await read(path)), text, {
    targetFormat: "sfnt",
    noLayoutClosure: true,
  });
  const ranges = toRanges(charactersOf(font)).map(([first, last]) =>
    `[${first},${last}]`
  ).join(",");
  return `/** ${description} */
export const ${name}: FontData = {
  covered: [${ranges}],
  gzipped: "${encodeBase64(new Uint8Array(gzipSync(font, { level: 9 })))}",
};
`;
}

const licence = new TextDecoder().decode(await read("LICENSE_FONT"));
const content =
  `// Written by deno task fonts from the npm package ${PACKAGE}. Not to be edited.
/*
${licence.trim().replaceAll("*/", "* /")}
*/

/** A font file and what it covers. */
export interface FontData {
  /** First and last code point of each range, in ascending order. */
  covered: readonly (readonly [number, number])[];
  /** The TrueType file, gzipped, in base64. */
  gzipped: string;
}

${await face(
    "ROMAN",
    "EB Garamond, upright.",
    "400Regular/EBGaramond_400Regular.ttf",
  )}
${await face(
    "ITALIC",
    "EB Garamond, italic.",
    "400Regular_Italic/EBGaramond_400Regular_Italic.ttf",
  )}`;

await Deno.writeTextFile(target, content);
