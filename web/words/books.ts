/** What a finished book lacks, in words: the fields of the result of `pdf_render` that its owner should read before printing. */
import { type Fields, numberOf, textOf } from "../shell/config.ts";
import { countOf } from "./times.ts";

const list = new Intl.ListFormat("en-GB", { type: "conjunction" });

/** `1, 3 and 4`, `1 to 40 and 43`: three or more in a row are a range. */
function listOf(numbers: readonly number[]): string {
  const rows: number[][] = [];
  for (const number of [...new Set(numbers)].sort((a, b) => a - b)) {
    const row = rows.at(-1);
    if (row?.at(-1) === number - 1) row.push(number);
    else rows.push([number]);
  }
  return list.format(
    rows.flatMap((row) =>
      row.length > 2 ? [`${row[0]} to ${row.at(-1)}`] : row.map(String)
    ),
  );
}

function slidesIn(result: Fields, name: string): number[] {
  const slides = result[name];
  return Array.isArray(slides)
    ? slides.filter((one) => typeof one === "number")
    : [];
}

/** One sentence for each kind of fault of a finished book; empty where it has none. */
export function remarksOf(result: Fields): string[] {
  const remarks: string[] = [];
  const add = (
    name: string,
    one: (slide: string) => string,
    several: (slides: string) => string,
  ) => {
    const slides = slidesIn(result, name);
    if (slides.length === 0) return;
    remarks.push((slides.length === 1 ? one : several)(listOf(slides)));
  };
  add(
    "photos_too_small",
    (slide) => `Photo ${slide} is too small to print sharply.`,
    (slides) => `Photos ${slides} are too small to print sharply.`,
  );
  add(
    "photos_without_end",
    (slide) => `The file of photo ${slide} may be cut off. Look at its page.`,
    (slides) =>
      `The files of photos ${slides} may be cut off. Look at their pages.`,
  );
  add(
    "captions_incomplete",
    (slide) => `The caption of photo ${slide} is not printed completely.`,
    (slides) => `The captions of photos ${slides} are not printed completely.`,
  );
  const characters = numberOf(result, "omitted_character_count") ?? 0;
  const sample = textOf(result, "omitted_character_sample");
  if (characters > 0) {
    remarks.push(
      `${countOf(characters, "character")} cannot be printed${
        sample === undefined ? "" : `, such as “${sample}”`
      }.`,
    );
  }
  const emoji = numberOf(result, "omitted_picture_count") ?? 0;
  if (emoji > 0) {
    remarks.push(`${emoji} emoji ${emoji === 1 ? "is" : "are"} left out.`);
  }
  return remarks;
}
